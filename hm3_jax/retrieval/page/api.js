/** Asks the server. */

/** What went wrong, in a sentence for people. */
export class Problem extends Error {
  /** @param {boolean} passing Whether to try again makes sense. */
  constructor(message, passing) {
    super(message);
    this.passing = passing;
  }
}

// Servers and proxies refuse addresses that are much longer.
const LONGEST_IN_ADDRESS = 2000;
const kept = new Map();

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not respond.", true);
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer !== null) return answer;
  const passing = response.status >= 500;
  throw new Problem(answer?.error ?? `The server says ${response.status}.`, passing);
}

/** Museums for a picture, for a text or like a museum; `signal` gives up waiting. */
export function search({ query, picture, like, theme, match, theme_weight, top_k }, signal) {
  const parameters = new URLSearchParams({ top_k });
  if (theme) parameters.set("theme", theme);
  if (theme_weight) parameters.set("theme_weight", theme_weight);
  if (picture) {
    const headers = { "Content-Type": picture.type };
    return ask(`api/search/picture?${parameters}`,
      { method: "POST", body: picture, headers, signal });
  }
  if (like) {
    return ask(`api/like/${encodeURIComponent(like)}?${parameters}`, { signal });
  }
  if (match) parameters.set("match", match);
  if (query.length > LONGEST_IN_ADDRESS) {
    const body = JSON.stringify({
      query,
      top_k,
      theme: theme || null,
      match: match || null,
      theme_weight: theme_weight ? Number(theme_weight) : null,
    });
    const headers = { "Content-Type": "application/json" };
    return ask("api/search", { method: "POST", body, headers, signal });
  }
  parameters.set("query", query);
  return ask(`api/search?${parameters}`, { signal });
}

export function museum(id, signal) {
  return ask(`api/museums/${encodeURIComponent(id)}`, { signal });
}

/** What does not change while the server runs is asked for once. */
function once(address) {
  if (!kept.has(address)) {
    const answer = ask(address);
    kept.set(address, answer);
    answer.catch(() => kept.delete(address));
  }
  return kept.get(address);
}

export const collection = () => once("api/collection");
export const places = () => once("api/map");
