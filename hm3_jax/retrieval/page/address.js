/**
 * What the page shows is in its address, so that it can be shared. Addresses are
 * relative: the page may be below a path of a proxy.
 */

const NAMES = ["query", "picture", "theme", "match", "theme_weight", "like", "museum", "view", "top_k"];
export const START = "./";
export const FIRST_HITS = 12;

/** What an address asks for; fields that it does not have are "". */
export function read(address = location.href) {
  const parameters = new URL(address, location.href).searchParams;
  const state = Object.fromEntries(NAMES.map((n) => [n, parameters.get(n) ?? ""]));
  state.query = state.query.trim();
  return state;
}

/** The address of a state; the other fields are as they are given. */
export function write(state) {
  const parameters = new URLSearchParams();
  for (const name of NAMES) if (state[name]) parameters.set(name, state[name]);
  const text = parameters.toString();
  return text ? `${START}?${text}` : START;
}

/** Goes somewhere, and remembers where one was. */
export function go(address) {
  if (new URL(address, location.href).href !== location.href) {
    history.pushState(null, "", address);
  }
  dispatchEvent(new Event("popstate"));
}

/** Follows links that stay on the page; others, and new tabs, are the browser's. */
export function followLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[data-inside]");
    const plain = !(event.ctrlKey || event.metaKey || event.shiftKey || event.altKey);
    if (!link || !plain || event.button !== 0) return;
    event.preventDefault();
    go(link.getAttribute("href"));
  });
}
