/** The museums of the map as a list, by theme. */

import { write } from "./address.js";
import { inside, make } from "./dom.js";
import { mark } from "./marks.js";
import { few } from "./themes.js";

const LIST_STEP = 100;

/** Rows of the map's museums, in parts that have a name. */
function parts(places, themes) {
  if (!few(themes)) return [{ name: "All museums", rows: [...places.ids.keys()] }];
  const found = themes.map((item, theme) => ({ name: item.name, theme, rows: [] }));
  places.themes.forEach((theme, row) => found[theme].rows.push(row));
  return found;
}

/** All museums of the map by theme, for those who do not use the canvas. */
export function museumList(places, themes) {
  return make(
    "div",
    { class: "list" },
    make("h2", {}, "The map as a list"),
    parts(places, themes).map(({ name, theme, rows }) => {
      const list = make("ul");
      const more = make("button", { type: "button", click: () => grow() }, "Show more");
      const grow = () => {
        const first = list.children.length;
        for (const row of rows.slice(first, first + LIST_STEP)) {
          const address = write({ museum: places.ids[row] });
          list.append(make("li", {}, inside(address, { dir: "auto" }, places.titles[row])));
        }
        more.hidden = list.children.length >= rows.length;
      };
      const part = make(
        "details",
        { toggle: () => part.open && !list.children.length && grow() },
        make("summary", {}, theme === undefined ? null : mark(theme),
          make("span", { dir: "auto" }, name),
          make("span", { class: "hint" }, ` ${rows.length}`)),
        list,
        more,
      );
      return part;
    }),
  );
}
