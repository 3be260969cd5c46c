/** A shape and a colour for each theme: either alone tells neighbours apart. */

import { make } from "./dom.js";

// Corners, and how far the points between them are from the middle (1: a polygon);
// the last number turns the shape, in corners.
const SHAPES = [
  [24, 1, 0],
  [4, 1, 0.5],
  [3, 1, 0],
  [4, 1, 0],
  [5, 0.4, 0],
  [3, 1, 0.5],
  [4, 0.35, 0],
  [6, 1, 0],
  [4, 0.35, 0.5],
  [6, 0.45, 0],
];
// Of a shape; stars reach far out of a circle of this area.
const AREA = 2;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Corners of a theme's shape around 0, 0; all shapes have the same area. */
export function corners(theme) {
  const [number, inner, turn] = SHAPES[theme % SHAPES.length];
  const steps = inner === 1 ? number : 2 * number;
  const points = Array.from({ length: steps }, (_, i) => {
    const radius = inner === 1 || i % 2 === 0 ? 1 : inner;
    const angle = 2 * Math.PI * (i / steps + turn / number) - Math.PI / 2;
    return [radius * Math.cos(angle), radius * Math.sin(angle)];
  });
  const twice = points.reduce((sum, [x, y], i) => {
    const [nextX, nextY] = points[(i + 1) % steps];
    return sum + x * nextY - y * nextX;
  }, 0);
  const scale = Math.sqrt((2 * AREA) / twice);
  return points.map(([x, y]) => [scale * x, scale * y]);
}

/** A theme's colour; it stands out from the page, light or dark. */
export function colour(theme) {
  // The golden angle keeps colours apart, however many there are.
  const hue = (25 + 137.508 * theme) % 360;
  return dark.matches ? `oklch(0.78 0.12 ${hue})` : `oklch(0.52 0.13 ${hue})`;
}

/** A theme's mark as a small picture beside its name. */
export function mark(theme) {
  const points = corners(theme).map(([x, y]) => `${x.toFixed(3)},${y.toFixed(3)}`);
  return make(
    "svg:svg",
    { viewBox: "-1.45 -1.45 2.9 2.9", class: "mark", "aria-hidden": "true" },
    make("svg:polygon", { points: points.join(" "), fill: colour(theme) }),
  );
}

/** Calls `act` whenever the page turns dark or light. */
export function onScheme(act, signal) {
  dark.addEventListener("change", act, { signal });
}
