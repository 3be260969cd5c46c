/** What answers a query in a museum: each sentence beside its picture. */

import { make } from "./dom.js";
import { doors, picture } from "./pictures.js";

const KINDS = { views: "view", images: "painting", videos: "video" };
// Sentences that a card shows; the others are shown when asked for.
const MOST_SHOWN = 3;

/** What an item is called. */
export function itemName(answer) {
  return answer.title ?? `${KINDS[answer.kind]} ${answer.place + 1}`;
}

/** One sentence beside the picture that answers it, where there are `pictures`. */
function line(answer, text, theme, pictures) {
  const name = `${itemName(answer)} of room ${answer.room + 1}`;
  const instead = () => doors(1, new Set([0]), theme);
  const small = answer.picture
    ? make("a", { href: answer.picture, target: "_blank", rel: "noopener" },
      picture(answer.thumbnail, name, instead))
    : instead();
  return make(
    "li",
    { class: answer.fits === false ? "weak" : "" },
    pictures ? small : null,
    make(
      "div",
      {},
      text ? make("q", { dir: "auto", title: text }, text) : null,
      make("p", { class: "hint" },
        make("span", { dir: "auto" }, `Room ${answer.room + 1}, ${itemName(answer)}`),
        make("span", { class: "added" },
          answer.fits === false ? " – no good answer" : ` – ${answer.cosine.toFixed(2)}`)),
    ),
  );
}

/** All sentences of a query with what answers them in a museum. */
export function answersPart(hit, sentences, theme) {
  const pictures = hit.answers.some((answer) => answer.thumbnail);
  const lines = hit.answers.map((answer, i) =>
    line(answer, sentences[i] ?? "", theme, pictures));
  const more = lines.splice(MOST_SHOWN);
  return make(
    "div",
    { class: pictures ? "answers" : "answers plain" },
    make("ul", {}, lines),
    more.length
      ? make("details", {}, make("summary", {}, `${more.length} more`), make("ul", {}, more))
      : null,
  );
}
