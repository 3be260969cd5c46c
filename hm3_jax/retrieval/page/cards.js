/** Results: one card a museum, and what carried its match. */

import { write } from "./address.js";
import { inside, make } from "./dom.js";
import { colour, mark } from "./marks.js";

// Sentences and rooms that a card names; those that add less are left out.
const MOST_NAMED = 2;
const LEAST_NAMED = 0.005;
const MOST_DOORS = 12;

const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;

/** Numbers of the parts that add most, best first. */
function strongest(parts) {
  return parts
    .map((added, number) => ({ added, number }))
    .filter(({ added }) => added >= LEAST_NAMED)
    .sort((a, b) => b.added - a.added)
    .slice(0, MOST_NAMED);
}

/** A museum without a picture: a row of doors, those that matched open. */
export function doors(rooms, open, theme) {
  const number = Math.max(1, Math.min(rooms, MOST_DOORS));
  const width = 280 / number;
  const door = Math.min(width * 0.62, 46);
  const shapes = Array.from({ length: number }, (_, i) => {
    const x = 20 + width * i + (width - door) / 2;
    const d = `M${x} 150V${95 + door / 2}a${door / 2} ${door / 2} 0 0 1 ${door} 0V150z`;
    const fill = open.has(i) ? colour(theme) : "none";
    return make("svg:path", { d, fill, stroke: colour(theme) });
  });
  return make(
    "svg:svg",
    {
      viewBox: "0 0 320 180",
      preserveAspectRatio: "xMidYMax slice",
      class: "doors",
      "aria-hidden": "true",
    },
    ...shapes,
    make("svg:path", { d: "M10 150H310", stroke: "currentColor", fill: "none" }),
  );
}

/** A picture; doors in its place where it cannot be shown. */
export function picture(url, text, instead) {
  if (!url) return instead();
  const image = make("img", {
    src: url,
    alt: text,
    loading: "lazy",
    decoding: "async",
    error: () => image.replaceWith(instead()),
  });
  return image;
}

export function themeName(name, themes) {
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
    line(make("span", {}, `Room ${number + 1}`), added);
  }
  if (!lines.length) return null;
  return make("div", { class: "why" }, make("p", {}, "Carried by"), make("ul", {}, lines));
}

/** One result. */
export function card(hit, place, answer, themes, state) {
  const number = themes.findIndex((theme) => theme.name === hit.theme);
  const open = new Set(strongest(hit.rooms).map((room) => room.number));
  const instead = () => doors(hit.rooms.length, open, number);
  const address = write({ ...state, top_k: "", museum: hit.id });
  const score = hit.score.toFixed(2);
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
        picture(hit.thumbnail, "", instead),
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
          make(
            "span",
            { class: "score" },
            make("meter", {
              min: 0,
              max: 1,
              value: Math.max(0, hit.score),
              "aria-label": `Match ${score}`,
            }),
            make("span", { "aria-hidden": "true" }, score),
          ),
        ),
        hit.excerpt ? make("p", { class: "excerpt", dir: "auto" }, hit.excerpt) : null,
        why(hit, answer.sentences),
        make(
          "p",
          { class: "actions" },
          inside(alike, { "aria-describedby": `hit-${place}` }, "More like this"),
        ),
      ),
    ),
  );
}
