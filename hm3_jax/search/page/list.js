/** The museums of the map as a list, by theme. */

import { write } from "./address.js";
import { inside, make } from "./dom.js";
import { mark } from "./marks.js";

const LIST_STEP = 100;

/** All museums of the map by theme, for those who do not use the canvas. */
export function museumList(places, themes) {
  const rows = themes.map(() => []);
  places.themes.forEach((theme, row) => rows[theme].push(row));
  return make(
    "div",
    { class: "list" },
    make("h2", {}, "The same as a list"),
    themes.map((item, theme) => {
      const list = make("ul");
      const more = make("button", { type: "button", click: () => grow() }, "Show more");
      const grow = () => {
        const first = list.children.length;
        for (const row of rows[theme].slice(first, first + LIST_STEP)) {
          const address = write({ museum: places.ids[row] });
          list.append(make("li", {}, inside(address, {}, places.titles[row])));
        }
        more.hidden = list.children.length >= rows[theme].length;
      };
      const part = make(
        "details",
        { toggle: () => part.open && !list.children.length && grow() },
        make("summary", {}, mark(theme), item.name,
          make("span", { class: "hint" }, ` ${rows[theme].length}`)),
        list,
        more,
      );
      return part;
    }),
  );
}
