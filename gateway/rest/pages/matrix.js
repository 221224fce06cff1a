// The similarity matrix: a canvas to look at and walk through, the same as a table to read.

import { el, shorten } from "./dom.js";
import { nearest } from "./vectors.js";

const NEAREST = 5; // told of the text under the cursor
const MAX_LABELS = 40; // beyond, a row is lower than a line of text
const MAX_TABLE = 64; // beyond, a table of all pairs is no help to anybody
const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * Shows `matrix` (N × N) of `texts` inside `place`; `measure` says what its numbers are.
 *
 * The colours are relative: from the least to the greatest of this matrix, the diagonal aside.
 */
export function showMatrix(place, texts, matrix, measure) {
  const n = texts.length;
  const range = rangeOf(matrix, n);
  const canvas = el("canvas", {
    tabindex: "0", role: "application", "aria-roledescription": "similarity matrix",
    "aria-label": `Similarity of ${n} texts, ${measure}, from ${tell(range.least)} to ${tell(range.greatest)}. Arrow keys move between pairs; the table below holds the same.`,
  });
  const readout = el("div", { class: "readout" });
  const ramp = el("span", { class: "ramp", "aria-hidden": "true" }, Array.from({ length: 5 }, () => el("i")));
  const labels = el("ol", { class: "labels", "aria-hidden": "true" },
    n <= MAX_LABELS ? texts.map((text) => el("li", { dir: "auto" }, shorten(text, 60))) : []);
  place.replaceChildren(
    el("div", { class: n <= MAX_LABELS ? "matrix labelled" : "matrix" },
      labels, canvas,
      el("p", { class: "legend" }, el("span", {}, tell(range.least)), ramp, el("span", {}, tell(range.greatest)))),
    readout,
    tables(texts, matrix, measure));

  let cursor = mostAlike(matrix, n);
  const paint = () => draw(canvas, matrix, n, range, [...ramp.children], cursor);
  const move = (i, j, announced) => {
    cursor = [Math.min(n - 1, Math.max(0, i)), Math.min(n - 1, Math.max(0, j))];
    readout.setAttribute("aria-live", announced ? "polite" : "off");
    tellPair(readout, texts, matrix, ...cursor);
    paint();
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    const at = (offset, size) => Math.floor((offset / size) * n);
    move(at(event.clientY - box.top, box.height), at(event.clientX - box.left, box.width), false);
  };
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const far = event.shiftKey ? 10 : 1;
    move(cursor[0] + far * step[0], cursor[1] + far * step[1], true);
  });
  move(...cursor, false);
  repaint?.disconnect();
  repaint = watch(canvas, paint);
}

let repaint = null;

/** Paints again when the size or the theme changes. */
function watch(canvas, paint) {
  const observer = new ResizeObserver(paint);
  observer.observe(canvas);
  addEventListener("theme", paint);
  return {
    disconnect() {
      observer.disconnect();
      removeEventListener("theme", paint);
    },
  };
}

function rangeOf(matrix, n) {
  let least = Infinity, greatest = -Infinity;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      least = Math.min(least, matrix[i * n + j]);
      greatest = Math.max(greatest, matrix[i * n + j]);
    }
  }
  return { least, greatest };
}

function mostAlike(matrix, n) {
  let best = [1, 0];
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < i; j++) {
      if (matrix[i * n + j] > matrix[best[0] * n + best[1]]) best = [i, j];
    }
  }
  return best;
}

function draw(canvas, matrix, n, range, stops, [row, column]) {
  const side = Math.round(canvas.clientWidth * devicePixelRatio);
  if (side === 0) return;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d");
  const small = new OffscreenCanvas(n, n);
  small.getContext("2d").putImageData(picture(matrix, n, range, stops.map(colorOf)), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, side, side);
  const edge = (index) => Math.round((index * side) / n);
  const style = getComputedStyle(canvas);
  const gap = side / n > 12 * devicePixelRatio ? devicePixelRatio : 0;
  context.fillStyle = style.backgroundColor;
  for (let i = 1; gap && i < n; i++) {
    context.fillRect(edge(i), 0, gap, side);
    context.fillRect(0, edge(i), side, gap);
  }
  context.strokeStyle = style.color;
  context.lineWidth = 2 * devicePixelRatio;
  const size = Math.max(edge(1), 5 * devicePixelRatio);
  context.strokeRect(edge(column), edge(row), size, size);
}

function picture(matrix, n, { least, greatest }, stops) {
  const image = new ImageData(n, n);
  const span = Math.max(greatest - least, 1e-9);
  for (let i = 0; i < n * n; i++) {
    const isSelf = i % (n + 1) === 0;
    const share = Math.min(1, Math.max(0, (matrix[i] - least) / span));
    image.data.set([...mix(stops, share), isSelf ? 40 : 255], 4 * i);
  }
  return image;
}

function mix(stops, share) {
  const place = share * (stops.length - 1);
  const low = Math.min(Math.floor(place), stops.length - 2);
  return stops[low].map((value, i) => value + (stops[low + 1][i] - value) * (place - low));
}

const colorOf = (stop) => getComputedStyle(stop).color.match(/[\d.]+/g).slice(0, 3).map(Number);

const tell = (similarity) => similarity.toFixed(3).replace("-", "\u2212");

function tellPair(readout, texts, matrix, i, j) {
  const n = texts.length;
  const line = (index) => el("p", { class: "pair" }, el("b", {}, index + 1), el("bdi", {}, shorten(texts[index], 160)));
  readout.replaceChildren(
    el("p", { class: "value" }, i === j ? "itself" : tell(matrix[i * n + j])),
    line(i),
    i === j ? "" : line(j),
    el("p", { class: "faint", "aria-hidden": "true" }, `Nearest to ${i + 1}`),
    el("ol", { class: "nearest", "aria-hidden": "true" },
      nearest(matrix, n, i, NEAREST).map((other) => el("li", {},
        el("span", { class: "number" }, tell(matrix[i * n + other])), el("bdi", {}, shorten(texts[other], 80))))));
}

/** The nearest neighbours of each text, and all pairs where they are not too many; made when opened. */
function tables(texts, matrix, measure) {
  const details = el("details", {}, el("summary", {}, "As a table"));
  details.addEventListener("toggle", () => {
    if (!details.open || details.children.length > 1) return;
    details.append(texts.length <= MAX_TABLE ? allPairs(texts, matrix, measure) : neighbours(texts, matrix, measure));
  });
  return details;
}

function allPairs(texts, matrix, measure) {
  const n = texts.length;
  const rows = texts.map((text, i) => el("tr", {},
    el("th", { scope: "row" }, `${i + 1}. `, el("bdi", {}, shorten(text, 40))),
    texts.map((_, j) => el("td", {}, tell(matrix[i * n + j])))));
  return scrollable(el("table", { class: "numbers" },
    el("caption", {}, `Similarity of all pairs, ${measure}`),
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Text"), texts.map((_, j) => el("th", { scope: "col" }, j + 1)))),
    el("tbody", {}, rows)), "Similarity of all pairs");
}

function neighbours(texts, matrix, measure) {
  const n = texts.length;
  const cell = (i) => (other) => el("td", {}, `${tell(matrix[i * n + other])} `, el("bdi", {}, `${other + 1}. ${shorten(texts[other], 40)}`));
  const rows = texts.map((text, i) => el("tr", {},
    el("th", { scope: "row" }, `${i + 1}. `, el("bdi", {}, shorten(text, 40))), nearest(matrix, n, i, 3).map(cell(i))));
  return scrollable(el("table", { class: "words" },
    el("caption", {}, `The three nearest of each of ${n} texts, ${measure}`),
    el("thead", {}, el("tr", {}, ["Text", "Nearest", "Second", "Third"].map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows)), "Nearest neighbours");
}

/** A region of its own that scrolls, by keyboard too. */
export const scrollable = (content, name) =>
  el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, content);
