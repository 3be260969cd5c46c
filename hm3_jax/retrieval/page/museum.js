/** The page of one museum. */

import { START, write } from "./address.js";
import { KINDS, answersPart, roomName } from "./answers.js";
import { themeName } from "./cards.js";
import { count, inside, make } from "./dom.js";
import { doors, picture, video } from "./pictures.js";

const NAMES = { view: "View", painting: "Painting", video: "Video" };

/** Sentences that a room answers, by the address of the picture that does; "" for others. */
function said(found, number) {
  const sentences = new Map();
  found.hit?.answers.forEach((answer, i) => {
    if (answer.room !== number || answer.fits === false || !found.sentences[i]) return;
    const place = answer.picture ?? "";
    sentences.set(place, [...(sentences.get(place) ?? []), found.sentences[i]]);
  });
  return sentences;
}

const quotes = (sentences = []) =>
  sentences.map((text) => make("q", { dir: "auto" }, text));

function roomPart(room, number, theme, found) {
  const name = roomName(room.title, number);
  const answering = said(found, number);
  const what = Object.entries(KINDS)
    .filter(([kind]) => room.counts[kind])
    .map(([kind, one]) => count(room.counts[kind], one));
  const met = { view: 0, painting: 0, video: 0 };
  const shown = room.pictures.map((item) => {
    met[item.kind] += 1;
    const text = item.title ?? `${NAMES[item.kind]} ${met[item.kind]} of ${name}`;
    const gone = () => make("p", { class: "gone" },
      item.kind === "video" ? `${text} does not play in this browser` : `${text} cannot be shown`);
    return make(
      "figure",
      { class: answering.has(item.url) ? `${item.kind} answering` : item.kind },
      item.kind === "video"
        ? video(item.url, text, gone)
        : make("a", { href: item.url, target: "_blank", rel: "noopener" },
          picture(item.thumbnail, text, gone)),
      item.title ? make("figcaption", { dir: "auto" }, item.title) : null,
      quotes(answering.get(item.url)),
    );
  });
  return make(
    "li",
    { class: answering.size ? "room lit" : "room" },
    make("h3", { dir: "auto" }, name),
    make("p", { class: "hint" }, what.join(", ")),
    quotes(answering.get("")),
    shown.length
      ? make("div", { class: "pictures" }, shown)
      : doors(1, new Set([0]), theme),
  );
}

/**
 * Everything about a museum; `map` is put beside it, and `found` is what a search has
 * found in it: the sentences of the query, and its `hit`, if it is one.
 */
export function museumPage(museum, themes, state, map, found) {
  const theme = themes.findIndex((item) => item.name === museum.theme);
  const searched = state.query || state.like || state.picture;
  return [
    make(
      "article",
      { class: "museum" },
      make(
        "p",
        { class: "back" },
        searched
          ? inside(write({ ...state, museum: "" }), {}, "← Back to the results")
          : inside(START, {}, "← All museums"),
      ),
      make("h1", { tabindex: "-1", dir: "auto" }, museum.title),
      make(
        "p",
        { class: "facts" },
        themeName(museum.theme, themes),
        make("span", {}, count(museum.rooms.length, "room")),
        museum.id === museum.title
          ? null
          : make("span", { class: "id" }, museum.id),
      ),
      make(
        "p",
        { class: "actions" },
        inside(write({ like: museum.id }), { class: "button" }, "More like this"),
      ),
      make(
        "div",
        { class: "beside" },
        make(
          "div",
          {},
          found.hit?.answers.length
            ? [make("h2", {}, "What matches here"),
              answersPart(found.hit, found.sentences, theme)]
            : [],
          museum.description.length
            ? make("p", { class: "description", dir: "auto" }, museum.description.join(" "))
            : null,
          make("h2", {}, "Rooms"),
          make(
            "ol",
            { class: "rooms" },
            museum.rooms.map((room, i) => roomPart(room, i, theme, found)),
          ),
        ),
        map,
      ),
    ),
  ];
}
