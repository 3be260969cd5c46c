/** Shows what the address asks for. */

import { FIRST_HITS, START, followLinks, go, read, write } from "./address.js";
import * as api from "./api.js";
import { card } from "./cards.js";
import { count, inside, make } from "./dom.js";
import { mapPart } from "./map.js";
import { museumPage } from "./museum.js";
import { chosenOptions, showOptions } from "./options.js";
import { showThemes } from "./themes.js";

const MOST_HITS = 96;
const NOTHING_FITS = "Nothing here shows this well.";
const NOT_EXACT = "approximate: some that match better may be missing";

const [form, query, choosePicture, themesPlace, optionsPlace, status, problem, content] = [
  "search", "query", "picture", "themes", "options", "status", "problem", "content",
].map((id) => document.getElementById(id));

let leaving = new AbortController();
let arrived = false;
// The collection, once it is known; the picture that is searched with; what was found last.
let collection = null;
let picture = null;
let last = {};

/** Says something to everybody, also to those who cannot see the page change. */
function say(text) {
  status.textContent = text;
}

function chosenTheme() {
  const chosen = form.elements.theme;
  return chosen?.value ?? "";
}

/** What is chosen beside the text. */
function chosen() {
  return { theme: chosenTheme(), ...(collection ? chosenOptions(form, collection) : {}) };
}

/** Shows the same in another theme, or found in another way. */
function change() {
  const state = read();
  const text = query.value.trim();
  if (state.museum) go(write({ query: text, ...chosen() }));
  else {
    const other = state.like || state.picture;
    go(write({ ...state, query: other ? "" : text, ...chosen(), top_k: "" }));
  }
}

/** Searches, unless that was what was searched last. */
async function search(state, top_k, signal) {
  const key = write({ ...state, museum: "", view: "", top_k });
  if (last.key !== key || last.picture !== picture) {
    const answer = await api.search({ ...state, picture: state.picture && picture, top_k }, signal);
    last = { key, picture, answer };
  }
  return last.answer;
}

/** Searches with a picture that was dropped or chosen. */
function searchPicture(file) {
  picture = file;
  go(write({ picture: file.name || "picture", ...chosen(), match: "" }));
}

async function map(themes, hits, state, more = {}) {
  const theme = themes.findIndex((item) => item.name === state.theme);
  const open = (museum) => go(write({ ...state, top_k: "", museum }));
  const { signal } = leaving;
  const options = { hits, numbered: true, theme, open, signal, ...more };
  return mapPart(await api.places(), themes, options);
}

async function showResults(state, summary, signal) {
  const top_k = Math.min(Number(state.top_k) || FIRST_HITS, MOST_HITS);
  if (state.picture && !picture) {
    throw new api.Problem(`${state.picture} is no longer available; choose it again.`, false);
  }
  const answer = await search(state, top_k, signal);
  const { hits } = answer;
  const like = state.like ? await api.museum(state.like, signal) : null;
  const title = like ? `More like ${like.title}`
    : state.picture ? `Like ${state.picture}` : "Results";
  const heading = make("h1", { tabindex: "-1", dir: "auto" }, title);
  const found = hits.length ? count(hits.length, "museum") : "No museum found";
  const line = answer.fits === false ? NOTHING_FITS : [
    state.theme ? `${found} in ${state.theme}` : found,
    ...(hits.length > 1 ? ["best match first"] : []),
    ...(answer.exact ? [] : [NOT_EXACT]),
  ].join(", ");
  say(line);
  document.title = `${like || state.picture ? title : state.query} – Museum search`;
  if (!hits.length) {
    return [
      heading,
      make("div", { class: "empty" },
        make("p", {}, `${line}.`),
        make("p", {}, state.theme
          ? inside(write({ ...state, theme: "" }), {}, "Search in all themes")
          : "Try other words.")),
    ];
  }
  const cards = hits.map((hit, i) => card(hit, i + 1, answer, summary.themes, state));
  const more = hits.length >= top_k && top_k < Math.min(MOST_HITS, summary.museums)
    ? inside(write({ ...state, top_k: Math.min(2 * top_k, MOST_HITS) }),
      { class: "button" }, "Show more")
    : null;
  const list = [make("ol", { class: "cards" }, cards), more];
  const fits = answer.fits !== false;
  return [
    heading,
    fits ? make("p", { class: "hint" }, line) : null,
    ...answer.notes.map((note) => make("p", { class: "hint note", dir: "auto" }, note)),
    make("div", { class: "beside" },
      fits ? make("div", {}, list) : make("div", {}, nothingFits(list)),
      await map(summary.themes, fits ? hits : [], state)),
  ];
}

/** What is said in place of results that are none. */
function nothingFits(nearest) {
  return [
    make("div", { class: "empty" },
      make("p", {}, NOTHING_FITS),
      make("p", { class: "hint" }, "Try other words. It may also not be in this collection.")),
    make("details", { class: "nearest" },
      make("summary", {}, "Show the nearest museums anyway"), nearest),
  ];
}

async function showMuseum(state, summary, signal) {
  const museum = await api.museum(state.museum, signal);
  document.title = `${museum.title} – Museum search`;
  say(`${museum.title}, ${count(museum.rooms.length, "room")}`);
  const part = await map(summary.themes, [museum], state, { numbered: false });
  const nothing = { sentences: [], hits: [] };
  const asked = state.query || (state.picture && picture);
  const found = asked
    // The museum is there to be seen, whatever becomes of the search.
    ? await search(state, Number(state.top_k) || FIRST_HITS, signal).catch(() => nothing)
    : nothing;
  const hit = found.hits.find((other) => other.id === museum.id);
  return museumPage(museum, summary.themes, state, part, { sentences: found.sentences, hit });
}

async function showMap(state, summary, signal) {
  const answer = state.query
    ? await search(state, FIRST_HITS, signal)
    : { hits: [] };
  document.title = "Map – Museum search";
  const line = answer.hits.length
    ? `Highlighted: ${count(answer.hits.length, "museum")}, numbered from the best match.`
    : "";
  say(line);
  return [
    make("h1", { tabindex: "-1" }, "Map of the collection"),
    line
      ? make("p", { class: "hint" }, `${line} `,
        inside(write({ query: state.query, theme: state.theme }), {}, "Show them as results"))
      : null,
    await map(summary.themes, answer.hits, state, { list: true }),
  ];
}

async function showStart(state, summary) {
  const museums = count(summary.museums, "museum");
  const themes = summary.themes.length;
  document.title = "Museum search";
  say("");
  const examples = summary.examples.map((text) =>
    make("li", {}, inside(write({ query: text, theme: state.theme }), { dir: "auto" }, text)));
  return [
    examples.length
      ? make("section", { class: "examples", "aria-label": "Examples" },
        make("p", { class: "hint" }, "For example"), make("ul", {}, examples))
      : null,
    make("h1", { class: "quiet", tabindex: "-1" },
      themes > 1 ? `${museums} in ${count(themes, "theme")}` : museums),
    await map(summary.themes, [], state),
  ];
}

function showProblem(error) {
  const again = make("button", { type: "button", click: show }, "Try again");
  problem.replaceChildren(
    make("h1", {}, error.passing ? "No answer right now" : "This does not work"),
    make("p", {}, error.message),
    make("p", {}, error.passing ? again : inside(START, {}, "Back to the start")),
  );
  content.replaceChildren();
  say("");
}

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const state = read();
  query.value = state.query;
  const view = state.view === "map" ? "map" : "search";
  for (const link of document.querySelectorAll("[data-view]")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const { query: text, theme, match, theme_weight } = state;
  const same = { query: text, theme, match, theme_weight };
  document.querySelector('[data-view="map"]').href = write({ ...same, view: "map" });
  document.querySelector('[data-view="search"]').href = write(same);
  content.setAttribute("aria-busy", "true");
  try {
    const summary = await api.collection();
    collection = summary;
    choosePicture.hidden = !summary.picture_queries;
    showThemes(themesPlace, summary.themes, theme, change);
    showOptions(optionsPlace, summary, state, change);
    document.getElementById("about").textContent = [
      count(summary.museums, "museum"),
      ...(summary.themes.length > 1 ? [count(summary.themes.length, "theme")] : []),
    ].join(", ");
    const kind = state.museum ? showMuseum
      : view === "map" ? showMap
        : state.query || state.like || state.picture ? showResults : showStart;
    const shown = await kind(state, summary, signal);
    if (signal.aborted) return;
    problem.replaceChildren();
    content.replaceChildren(...shown.filter(Boolean));
    if (arrived && !form.contains(document.activeElement)) {
      content.querySelector("h1")?.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    if (!(error instanceof api.Problem)) console.error(error);
    showProblem(error instanceof api.Problem ? error : new api.Problem(
      "The page has failed. Reloading it may help.", true));
  } finally {
    if (!signal.aborted) content.removeAttribute("aria-busy");
    arrived = true;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = query.value.trim();
  if (text) go(write({ query: text, ...chosen(), view: read().view }));
});
choosePicture.querySelector("input").addEventListener("change", ({ target }) => {
  if (target.files.length) searchPicture(target.files[0]);
  target.value = "";
});
// Without this the browser would leave the page for a file that is dropped.
addEventListener("dragover", (event) => {
  if (event.dataTransfer.types.includes("Files")) event.preventDefault();
});
// A file may be dropped before the collection is known; if it never is, show() says so.
addEventListener("drop", async (event) => {
  const file = event.dataTransfer.files[0];
  if (!file) return;
  event.preventDefault();
  const summary = await api.collection().catch(() => null);
  if (summary?.picture_queries) searchPicture(file);
});
query.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});
addEventListener("popstate", show);
followLinks();
show();
