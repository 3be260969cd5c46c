/** The themes to choose from. */

import { make } from "./dom.js";
import { mark } from "./marks.js";

// More themes than this are a list to choose from, and have no room beside a map.
const MOST_SHOWN = 24;

/** Whether there are few enough themes to show all of them. */
export const few = (themes) => themes.length <= MOST_SHOWN;

/**
 * Puts the themes into a part of the page.
 *
 * @param {Element} place Where they go; what is there is replaced.
 * @param {Array} themes Of the collection.
 * @param {string} chosen Name of one of them, or "" for all.
 * @param {Function} change Called when another one was chosen.
 */
export function showThemes(place, themes, chosen, change) {
  // What is put there is new, and whoever was on one of them stays there.
  const focused = place.contains(document.activeElement);
  if (themes.length < 2) {
    place.replaceChildren();
    return;
  }
  const names = ["", ...themes.map((item) => item.name)];
  place.replaceChildren(...(few(themes) ? buttons : menu)(names, chosen, change));
  const now = place.querySelector("input:checked, select");
  if (focused) now?.focus();
  // On a small screen they are one row, which is pushed aside to the chosen one.
  const row = place.firstElementChild;
  if (chosen && now) row.scrollLeft = now.parentElement.offsetLeft - row.offsetLeft - 40;
}

function buttons(names, chosen, change) {
  const labels = names.map((name, i) =>
    make(
      "label",
      { class: "chip" },
      make("input", {
        type: "radio", name: "theme", value: name, checked: name === chosen, change,
      }),
      i ? mark(i - 1) : null,
      make("span", { dir: "auto" }, name || "All themes"),
    ));
  return [make("fieldset", {}, make("legend", {}, "Theme"), labels)];
}

function menu(names, chosen, change) {
  const options = names.map((name) =>
    make("option", { value: name, selected: name === chosen }, name || "All themes"));
  return [
    make("label", { for: "theme" }, "Theme "),
    make("select", { name: "theme", id: "theme", change }, options),
  ];
}
