/** What answers a query in a museum: each sentence beside its picture. */

import { make } from "./dom.js";
import { doors, picture, video } from "./pictures.js";

/** What is said of things of each kind. */
export const KINDS = { views: "view", images: "painting", videos: "video" };
// Sentences that a card shows; the others are shown when asked for.
const MOST_SHOWN = 3;

/** What an item is called. */
export function itemName(answer) {
  return answer.title ?? `${KINDS[answer.kind]} ${answer.place + 1}`;
}

/** What a room is called. */
export const roomName = (title, number) => title ?? `Room ${number + 1}`;

/** One sentence beside the picture that answers it, where there are `pictures`. */
function line(answer, text, theme, pictures, titles) {
  const room = roomName(titles[answer.room], answer.room);
  const name = `${itemName(answer)} of ${room}`;
  const instead = () => doors(1, new Set([0]), theme);
  const small = answer.picture
    ? make("a", { href: answer.picture, target: "_blank", rel: "noopener" },
      answer.kind === "videos"
        ? video(answer.picture, name, instead, false)
        : picture(answer.thumbnail, name, instead))
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
        make("span", { dir: "auto" }, `${room}, ${itemName(answer)}`),
        make("span", { class: "added" },
          answer.fits === false ? " – no good answer" : ` – ${answer.cosine.toFixed(2)}`)),
    ),
  );
}

/** All sentences of a query with what answers them in a museum. */
export function answersPart(hit, sentences, theme) {
  const pictures = hit.answers.some((answer) => answer.picture);
  const lines = hit.answers.map((answer, i) =>
    line(answer, sentences[i] ?? "", theme, pictures, hit.room_titles));
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
