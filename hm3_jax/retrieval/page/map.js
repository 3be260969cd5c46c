/** The map of the collection: a canvas, and the same museums as a list. */

import { count, make } from "./dom.js";
import { museumList } from "./list.js";
import { colour, corners, mark, onScheme } from "./marks.js";
import { few } from "./themes.js";

const MARGIN = 26;
const REACH = 14; // pixels from a museum within which it is meant
const MOST_ZOOM = 40;
const MOST_STRETCH = 2;

const limited = (value, least, most) => Math.min(Math.max(value, least), most);

/** Draws museums and finds them again; knows nothing of the page. */
class Chart {
  constructor(canvas, places, themes, lit, theme) {
    Object.assign(this, { canvas, places, themes, lit, theme });
    this.row = new Map(places.ids.map((id, row) => [id, row]));
    this.zoom = 1;
    const ends = [places.x, places.y].map((column) =>
      column.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)],
        [Infinity, -Infinity]));
    this.middle = ends.map(([least, most]) => (least + most) / 2);
    this.half = ends.map(([least, most]) => (most - least) / 2 || 1);
    this.centre = [...this.middle];
    this.hovered = -1;
    this.shapes = themes.map((_, theme) => {
      const path = new Path2D();
      for (const [x, y] of corners(theme)) path.lineTo(x, y);
      path.closePath();
      return path;
    });
  }

  /** Where a museum is, in pixels. */
  point(x, y) {
    const [scaleX, scaleY] = this.scales;
    return [
      this.width / 2 + (x - this.centre[0]) * scaleX,
      this.height / 2 - (y - this.centre[1]) * scaleY,
    ];
  }

  /** Pixels from one unit to the next; the whole map fits at zoom 1. */
  get scales() {
    const fit = [this.width, this.height].map(
      (pixels, axis) => Math.max(pixels / 2 - MARGIN, 1) / this.half[axis],
    );
    // Some stretching is fine: distances mean no more than near and far.
    const most = MOST_STRETCH * Math.min(...fit);
    return fit.map((scale) => this.zoom * Math.min(scale, most));
  }

  draw() {
    const { canvas, places, themes } = this;
    const ratio = devicePixelRatio || 1;
    this.width = canvas.clientWidth;
    this.height = canvas.clientHeight;
    canvas.width = Math.round(this.width * ratio);
    canvas.height = Math.round(this.height * ratio);
    const context = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    this.ink = style.color;
    this.paper = style.backgroundColor;
    const crowd = limited(60 / Math.sqrt(places.ids.length), 0.4, 1.6);
    this.size = 3.6 * crowd * limited(Math.sqrt(this.zoom), 1, 2.5);
    const colours = themes.map((_, theme) => colour(theme));
    const quiet = this.lit.size > 0 || this.theme >= 0;
    for (let row = 0; row < places.ids.length; row += 1) {
      if (this.lit.has(places.ids[row]) || row === this.hovered) continue;
      const theme = places.themes[row];
      const chosen = this.theme < 0 || theme === this.theme;
      context.globalAlpha = !quiet ? 0.85 : chosen && this.theme >= 0 ? 0.7 : 0.28;
      this.#shape(context, ratio, row, this.size, colours[theme]);
    }
    context.globalAlpha = 1;
    for (const [id, label] of [...this.lit].reverse()) {
      if (this.row.has(id)) this.#light(context, ratio, this.row.get(id), label, colours);
    }
    if (this.hovered >= 0) this.#light(context, ratio, this.hovered, null, colours);
  }

  #shape(context, ratio, row, size, fill) {
    const [x, y] = this.point(this.places.x[row], this.places.y[row]);
    const scale = size * ratio;
    context.setTransform(scale, 0, 0, scale, x * ratio, y * ratio);
    context.fillStyle = fill;
    context.fill(this.shapes[this.places.themes[row]]);
    return [x, y];
  }

  #light(context, ratio, row, label, colours) {
    const [x, y] = this.point(this.places.x[row], this.places.y[row]);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.beginPath();
    context.arc(x, y, 11, 0, 2 * Math.PI);
    context.fillStyle = this.paper;
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = this.ink;
    context.stroke();
    if (label) {
      context.fillStyle = this.ink;
      context.font = "600 11px system-ui, sans-serif";
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(label, x, y + 0.5);
    } else {
      this.#shape(context, ratio, row, 6, colours[this.places.themes[row]]);
    }
  }

  /** The museum at a place of the canvas, or -1; lit ones lie on top. */
  at(x, y) {
    let best = -1;
    let least = REACH ** 2;
    for (let row = 0; row < this.places.ids.length; row += 1) {
      const [px, py] = this.point(this.places.x[row], this.places.y[row]);
      let distance = (px - x) ** 2 + (py - y) ** 2;
      if (this.lit.has(this.places.ids[row])) distance /= 4;
      if (distance < least) [best, least] = [row, distance];
    }
    return best;
  }

  move(dx, dy) {
    const [scaleX, scaleY] = this.scales;
    const to = [this.centre[0] - dx / scaleX, this.centre[1] + dy / scaleY];
    this.centre = to.map((value, axis) => {
      const [middle, half] = [this.middle[axis], this.half[axis]];
      return limited(value, middle - half, middle + half);
    });
    this.draw();
  }

  /** Zooms in or out, around a place of the canvas. */
  scale(factor, x = this.width / 2, y = this.height / 2) {
    const zoom = limited(this.zoom * factor, 1, MOST_ZOOM);
    const [cx, cy] = [this.width / 2, this.height / 2];
    const kept = 1 - this.zoom / zoom;
    this.move((cx - x) * kept, (cy - y) * kept);
    this.zoom = zoom;
    if (zoom === 1) this.centre = [...this.middle];
    // A finger moves a map that is near, and the page otherwise.
    this.canvas.classList.toggle("near", zoom > 1);
    this.draw();
  }
}

/** The places of a large collection are a part of it, and hits may be others. */
function withHits(places, themes, hits) {
  const known = new Set(places.ids);
  const more = hits.filter((hit) => !known.has(hit.id));
  const number = (hit) => themes.findIndex((theme) => theme.name === hit.theme);
  return {
    ids: [...places.ids, ...more.map((hit) => hit.id)],
    titles: [...places.titles, ...more.map((hit) => hit.title)],
    themes: [...places.themes, ...more.map(number)],
    x: [...places.x, ...more.map((hit) => hit.x)],
    y: [...places.y, ...more.map((hit) => hit.y)],
  };
}

/**
 * A map as a part of the page.
 *
 * @param {Object} places The server's map.
 * @param {Array} themes The collection's themes.
 * @param {Object} options `hits`: museums to light; `numbered`: whether by their rank;
 *   `theme`: number of the theme that stands out, or -1; `open`: called with a museum's
 *   id; `signal`: ends it; `list`: whether the museums are listed below.
 */
export function mapPart(places, themes, options) {
  const { hits, numbered, theme, open, signal } = options;
  const lit = new Map(hits.map((hit, i) => [hit.id, numbered ? String(i + 1) : ""]));
  const about = lit.size
    ? `Map of ${count(places.ids.length, "museum")}, ${lit.size} of them highlighted`
    : `Map of ${count(places.ids.length, "museum")}`;
  const canvas = make("canvas", { role: "img", "aria-label": about });
  const tip = make("p", { class: "tip", dir: "auto", hidden: true });
  const chart = new Chart(canvas, withHits(places, themes, hits), themes, lit, theme);
  const redraw = () => canvas.isConnected && chart.draw();
  listen(chart, tip, open);
  new ResizeObserver(redraw).observe(canvas);
  onScheme(redraw, signal);
  const button = (text, name, act) =>
    make("button", { type: "button", "aria-label": name, click: act }, text);
  return make(
    "section",
    { class: "map", "aria-label": "Map of the collection" },
    make(
      "div",
      { class: "chart" },
      canvas,
      tip,
    ),
    make(
      "div",
      { class: "below" },
      few(themes) && themes.length > 1 ? legend(themes) : null,
      make(
        "div",
        { class: "zoom" },
        button("+", "Zoom in", () => chart.scale(1.6)),
        button("−", "Zoom out", () => chart.scale(1 / 1.6)),
        button("⤢", "Whole map", () => chart.scale(0)),
      ),
    ),
    make("p", { class: "hint" }, "Similar museums are close together."),
    options.list ? museumList(places, themes) : null,
  );
}

function legend(themes) {
  return make(
    "ul",
    { class: "legend", "aria-label": "Themes on the map" },
    themes.map((item, theme) =>
      make("li", {}, mark(theme), make("span", { dir: "auto" }, item.name))),
  );
}

function listen(chart, tip, open) {
  const { canvas, places } = chart;
  let from = null;
  let moved = 0;
  const place = (event) => [event.offsetX, event.offsetY];
  const hover = (row) => {
    if (row === chart.hovered) return;
    chart.hovered = row;
    tip.hidden = row < 0;
    canvas.classList.toggle("over", row >= 0);
    if (row >= 0) {
      const [x, y] = chart.point(places.x[row], places.y[row]);
      tip.textContent = places.titles[row];
      tip.style.left = `${limited(x, 90, Math.max(90, chart.width - 90))}px`;
      tip.style.top = `${y}px`;
    }
    chart.draw();
  };
  canvas.addEventListener("pointerdown", (event) => {
    [from, moved] = [place(event), 0];
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    if (from && event.buttons && chart.zoom > 1) {
      moved += Math.abs(x - from[0]) + Math.abs(y - from[1]);
      canvas.setPointerCapture(event.pointerId);
      chart.move(x - from[0], y - from[1]);
      from = [x, y];
    } else hover(chart.at(x, y));
  });
  canvas.addEventListener("pointerleave", () => hover(-1));
  canvas.addEventListener("click", (event) => {
    const row = chart.at(...place(event));
    if (row >= 0 && moved < 6) open(places.ids[row]);
  });
  canvas.addEventListener("wheel", (event) => {
    // Without the key the page scrolls, as it does everywhere else.
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    chart.scale(Math.exp(-event.deltaY / 200), ...place(event));
  }, { passive: false });
}
