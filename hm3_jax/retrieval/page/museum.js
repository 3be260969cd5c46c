/** The page of one museum. */

import { START, write } from "./address.js";
import { doors, picture, themeName } from "./cards.js";
import { count, inside, make } from "./dom.js";

const KINDS = { views: "view", images: "painting", videos: "video" };

function roomPart(room, number, theme) {
  const what = Object.entries(KINDS)
    .filter(([kind]) => room.counts[kind])
    .map(([kind, one]) => count(room.counts[kind], one));
  const shown = room.pictures.map((item, i) => {
    const kind = item.kind === "painting" ? "Painting" : "View";
    const text = item.title ?? `${kind} ${i + 1} of room ${number + 1}`;
    const gone = () => make("p", { class: "gone" }, `${text} cannot be shown`);
    return make(
      "figure",
      { class: item.kind },
      make("a", { href: item.url, target: "_blank", rel: "noopener" },
        picture(item.thumbnail, text, gone)),
      item.title ? make("figcaption", { dir: "auto" }, item.title) : null,
    );
  });
  return make(
    "li",
    { class: "room" },
    make("h3", {}, `Room ${number + 1}`),
    make("p", { class: "hint" }, what.join(", ")),
    shown.length
      ? make("div", { class: "pictures" }, shown)
      : doors(1, new Set([0]), theme),
  );
}

/** Everything about a museum; `map` is put beside it. */
export function museumPage(museum, themes, state, map) {
  const theme = themes.findIndex((item) => item.name === museum.theme);
  const searched = state.query || state.like;
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
          museum.description.length
            ? make("p", { class: "description", dir: "auto" }, museum.description.join(" "))
            : null,
          make("h2", {}, "Rooms"),
          make(
            "ol",
            { class: "rooms" },
            museum.rooms.map((room, i) => roomPart(room, i, theme)),
          ),
        ),
        map,
      ),
    ),
  ];
}
