/** How is searched: by pictures or words, for a museum or for its like. */

import { make } from "./dom.js";

const NAMES = { both: "Pictures and words", pictures: "Pictures", words: "Words" };
// Weights of the themes, from "this museum" to "museums like this".
const WEIGHTS = [0, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10];

const nearest = (weight) =>
  WEIGHTS.reduce((best, other, i) =>
    Math.abs(other - weight) < Math.abs(WEIGHTS[best] - weight) ? i : best, 0);

/**
 * Puts the options that a collection has into a part of the page.
 *
 * @param {Element} place Where they go; what is there is replaced.
 * @param {Object} summary Of the collection.
 * @param {Object} state What the address asks for.
 * @param {Function} change Called when one of them was changed.
 */
export function showOptions(place, summary, state, change) {
  // What is put there is new, and whoever was on one of them stays there.
  const focused = place.contains(document.activeElement) && document.activeElement.name;
  place.replaceChildren(...[ways(summary, state, change), slider(summary, state, change)]
    .filter(Boolean));
  if (focused) place.querySelector(`[name="${focused}"]:checked, input[type="range"]`)?.focus();
}

/** What is chosen; "" for what the server does by itself. */
export function chosenOptions(form, summary) {
  const { match, theme_weight: weight } = form.elements;
  const kept = nearest(summary.theme_weight ?? 0);
  return {
    match: !match || match.value === summary.matches[0] ? "" : match.value,
    theme_weight: !weight || Number(weight.value) === kept ? "" : String(WEIGHTS[weight.value]),
  };
}

function ways(summary, state, change) {
  if (summary.matches.length < 2) return null;
  const chosen = summary.matches.includes(state.match) ? state.match : summary.matches[0];
  const labels = Object.entries(NAMES).map(([name, text]) =>
    make(
      "label",
      { class: "chip" },
      make("input", {
        type: "radio", name: "match", value: name, checked: name === chosen, change,
      }),
      make("span", {}, text),
    ));
  return make("fieldset", {}, make("legend", {}, "Find by"),
    make("span", { class: "before", "aria-hidden": "true" }, "Find by"), labels);
}

function slider(summary, state, change) {
  if (summary.theme_weight === null) return null;
  const weight = state.theme_weight === "" ? summary.theme_weight : Number(state.theme_weight);
  const input = make("input", {
    type: "range", name: "theme_weight", id: "theme_weight", min: 0, max: WEIGHTS.length - 1,
    value: nearest(weight), change, "aria-label": "From this museum to museums like this",
  });
  return make(
    "div",
    { class: "slider" },
    make("label", { for: "theme_weight" }, "This museum"),
    input,
    make("span", {}, "Museums like this"),
  );
}
