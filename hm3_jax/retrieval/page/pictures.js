/** Pictures and videos, and what stands for them. */

import { make } from "./dom.js";
import { colour } from "./marks.js";

const MOST_DOORS = 12;

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

/** A video, with or without what plays it; something else in its place where it does not. */
export function video(url, text, instead, controls = true) {
  const element = make("video", {
    src: url,
    "aria-label": text,
    preload: "metadata",
    playsinline: true,
    controls,
    error: () => element.replaceWith(instead()),
  });
  return element;
}
