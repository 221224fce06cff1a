// A number and its last minutes as a line.

import { el, svg } from "./dom.js";

const WIDTH = 260, HEIGHT = 52;

/**
 * A tile: its title, its number now, and the course that led there, [{ at, value }], over `seconds`.
 *
 * `tell` makes words of a value.
 */
export function tile(title, now, course, seconds, tell) {
  return el("div", { class: "tile" },
    el("h2", {}, title),
    el("p", { class: "now" }, now),
    sparkline(title, course, seconds, tell));
}

function sparkline(title, course, seconds, tell) {
  const known = course.filter(({ value }) => Number.isFinite(value));
  const most = Math.max(...known.map(({ value }) => value), 0);
  const end = course.at(-1)?.at ?? 0;
  const x = (at) => WIDTH * (1 - (end - at) / seconds);
  const y = (value) => HEIGHT - 2 - (HEIGHT - 6) * (most > 0 ? value / most : 0);
  const points = known.map(({ at, value }) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`);
  const words = known.length ? `${title}: now ${tell(known.at(-1).value)}, highest ${tell(most)}` : `${title}: nothing measured yet`;
  return el("div", { class: "spark" },
    svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": words },
      svg("line", { class: "grid", x1: 0, x2: WIDTH, y1: HEIGHT - 2, y2: HEIGHT - 2 }),
      points.length ? svg("polyline", { class: "course", points: points.join(" ") }) : null),
    el("p", { class: "hint" }, known.length && most > 0 ? `highest ${tell(most)}` : "\u00a0"));
}
