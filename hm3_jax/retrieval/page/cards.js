/** Results: one card a museum, and why it matched. */

import { write } from "./address.js";
import { answersPart, roomName } from "./answers.js";
import { inside, make } from "./dom.js";
import { mark } from "./marks.js";
import { doors, picture } from "./pictures.js";

// Sentences and rooms that a card names; those that add less are left out.
const MOST_NAMED = 2;
const LEAST_NAMED = 0.005;

const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

/** Numbers of the parts that add most, best first. */
function strongest(parts) {
  return parts
    .map((added, number) => ({ added, number }))
    .filter(({ added }) => added >= LEAST_NAMED)
    .sort((a, b) => b.added - a.added)
    .slice(0, MOST_NAMED);
}

/** The theme of a museum; nothing where all have the same. */
export function themeName(name, themes) {
  if (themes.length < 2) return null;
  const number = themes.findIndex((theme) => theme.name === name);
  return make("span", { class: "theme" }, mark(number), make("span", { dir: "auto" }, name));
}

function why(hit, sentences) {
  const lines = [];
  const said = sentences.length > 1 ? strongest(hit.sentences) : [];
  const line = (what, added) =>
    lines.push(make("li", {}, what, make("span", { class: "added" }, ` ${signed(added)}`)));
  for (const { added, number } of said) {
    const text = sentences[number];
    line(make("q", { dir: "auto", title: text }, text), added);
  }
  const rooms = hit.rooms.length > 1 ? strongest(hit.rooms) : [];
  for (const { added, number } of rooms) {
    line(make("span", { dir: "auto" }, roomName(hit.room_titles[number], number)), added);
  }
  if (!lines.length) return null;
  return make("div", { class: "why" }, make("p", {}, "Why it matched"), make("ul", {}, lines));
}

/** What is written about a museum: where the words of the query stand, or the beginning. */
function written(hit) {
  if (!hit.passage.length) {
    return hit.excerpt ? make("p", { class: "excerpt", dir: "auto" }, hit.excerpt) : null;
  }
  // Every second piece is one of the words.
  const pieces = hit.passage.map((piece, i) => (i % 2 ? make("mark", {}, piece) : piece));
  return make("p", { class: "excerpt", dir: "auto" }, pieces);
}

/** Rooms that a match lights: those that answer, or those that add most to it. */
export function litRooms(hit) {
  return new Set(hit.answers.length
    ? hit.answers.filter((answer) => answer.fits !== false).map((answer) => answer.room)
    : strongest(hit.rooms).map((room) => room.number));
}

/** The picture that answers best, or the one that stands for the museum. */
function thumbnail(hit) {
  const shown = hit.answers.filter((answer) => answer.thumbnail);
  shown.sort((a, b) => b.cosine - a.cosine);
  return shown.length ? shown[0].thumbnail : hit.thumbnail;
}

/** How much a museum that is compared as a whole is like the query. */
function match(hit) {
  const score = hit.score.toFixed(2);
  const value = Math.max(0, hit.score);
  return make(
    "span",
    { class: "score" },
    make("meter", { min: 0, max: 1, value, "aria-label": `Match ${score}` }),
    make("span", { "aria-hidden": "true" }, score),
  );
}

/** One result. */
export function card(hit, place, answer, themes, state) {
  const number = themes.findIndex((theme) => theme.name === hit.theme);
  const open = litRooms(hit);
  const instead = () => doors(hit.rooms.length, open, number);
  const address = write({ ...state, top_k: "", museum: hit.id });
  const alike = write({ like: hit.id, theme: state.theme });
  return make(
    "li",
    { class: "card", "data-id": hit.id },
    make(
      "article",
      { "aria-labelledby": `hit-${place}` },
      make(
        "div",
        { class: "picture" },
        picture(thumbnail(hit), "", instead),
        make("span", { class: "place", "aria-hidden": "true" }, place),
      ),
      make(
        "div",
        { class: "text" },
        make("h3", { id: `hit-${place}`, dir: "auto" }, inside(address, { title: hit.title }, hit.title)),
        make(
          "p",
          { class: "facts" },
          themeName(hit.theme, themes),
          hit.answers.length ? null : match(hit),
          answer.match === "both"
            ? make("span", { class: "found" }, `Found by ${hit.found_by.join(" and ")}`)
            : null,
        ),
        hit.answers.length ? answersPart(hit, answer.sentences, number) : null,
        written(hit),
        hit.answers.length ? null : why(hit, answer.sentences),
        make(
          "p",
          { class: "actions" },
          inside(alike, { "aria-describedby": `hit-${place}` }, "More like this"),
        ),
      ),
    ),
  );
}
