// What each format costs in bytes and in nearest neighbours, on the texts at hand.

import { bytes, el, percent, svg } from "./dom.js";
import { scrollable } from "./matrix.js";
import { byChance, recall, storedBytes } from "./vectors.js";

const FEW = 20; // texts below which a recall is anecdote
const WIDTH = 460, HEIGHT = 240;
const EDGE = { left: 46, right: 74, top: 18, bottom: 36 };

/**
 * Shows the costs of `variants` of `n` texts inside `place`, and their recall against `reference`,
 * the matrix by float, if there is one.
 *
 * A variant has format, d, label, matrix, and wire: bytes a text in the answer, null if it was
 * computed here and never sent.
 */
export function showCosts(place, n, reference, variants) {
  if (n < 3 || reference === null) {
    place.replaceChildren(n < 3 ? el("p", { class: "note" },
      "Nearest neighbours need at least three texts; twenty begin to mean something.") : "", table(priced(variants)));
    return;
  }
  const most = n - 2;
  const field = el("input", { type: "number", id: "k", min: 1, max: most, value: Math.min(10, Math.max(1, Math.round((n - 1) / 4))) });
  const result = el("div", {});
  const update = () => {
    const k = Math.min(most, Math.max(1, Math.trunc(Number(field.value)) || 1));
    field.value = k;
    const rows = priced(variants).map((row) => ({ ...row, recall: recall(reference, row.matrix, n, k) }));
    result.replaceChildren(caution(n, k), el("div", { class: "costs" }, scatter(rows, k), table(rows, k)));
  };
  field.addEventListener("change", update);
  place.replaceChildren(
    el("p", { class: "inline" }, el("label", { for: "k" }, "Neighbours counted, k"), field), result);
  update();
}

const priced = (variants) => variants.map((variant) => ({ ...variant, stored: storedBytes(variant.format, variant.d) }));

function caution(n, k) {
  const chance = byChance(n, k);
  const words = `Of the ${k} nearest of each text by float, the share that is found again. Chance alone finds ${percent(chance)}.`;
  if (n >= FEW && chance <= 0.35) return el("p", { class: "note" }, words);
  const why = n < FEW ? `${n} texts are too few to decide by: twenty begin to mean something, hundreds of your own do.`
    : "A smaller k tells more.";
  return el("p", { class: "note" }, words, " ", el("strong", {}, why));
}

function table(rows, k) {
  const heads = ["Format", "Dims", ...(k ? [`Recall@${k}`] : []), "Stored", "A million", "On the wire"];
  return scrollable(el("table", { class: "numbers" },
    el("caption", {}, "Bytes of one text"),
    el("thead", {}, el("tr", {}, heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, rows.map((row) => el("tr", {},
      el("th", { scope: "row" }, row.format),
      el("td", {}, row.d),
      k ? el("td", { class: "recall" }, percent(row.recall)) : null,
      el("td", {}, bytes(row.stored)),
      el("td", {}, millions(row.stored)),
      el("td", {}, row.wire === null ? el("span", { class: "faint" }, "not sent") : bytes(row.wire)))))), "Bytes and recall of each format");
}

/** A million of them, in units of 1024. */
function millions(stored) {
  const gib = (stored * 1e6) / 2 ** 30;
  return gib >= 1 ? `${gib.toFixed(1)}\u202fGiB` : `${(gib * 1024).toFixed(0)}\u202fMiB`;
}

/** Recall over stored bytes; a line joins what nothing cheaper equals. */
function scatter(rows, k) {
  const stored = rows.map((row) => row.stored);
  const least = Math.log2(Math.min(...stored)), most = Math.log2(Math.max(...stored));
  const floor = Math.max(0, Math.floor((Math.min(...rows.map((row) => row.recall)) - 0.05) * 10) / 10);
  const x = (value) => EDGE.left + ((Math.log2(value) - least) / Math.max(most - least, 1)) * (WIDTH - EDGE.left - EDGE.right);
  const y = (share) => EDGE.top + ((1 - share) / (1 - floor)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const best = frontier(rows);
  return svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "scatter", role: "img",
    "aria-label": `Recall at ${k} over stored bytes; the table beside it holds the numbers.`,
  },
    [1, (1 + floor) / 2, floor].map((share) => [
      svg("line", { class: "grid", x1: EDGE.left, x2: WIDTH - EDGE.right + 60, y1: y(share), y2: y(share) }),
      svg("text", { class: "tick", x: EDGE.left - 8, y: y(share) + 4, "text-anchor": "end" }, percent(share)),
    ]),
    [...new Set(stored)].sort((a, b) => a - b).filter(apart(x)).map((value) =>
      svg("text", { class: "tick", x: x(value), y: HEIGHT - 14, "text-anchor": "middle" }, bytes(value))),
    svg("polyline", { class: "frontier", points: best.map((row) => `${x(row.stored)},${y(row.recall)}`).join(" ") }),
    rows.map((row) => svg("circle", { class: best.includes(row) ? "point best" : "point", cx: x(row.stored), cy: y(row.recall), r: 5 },
      svg("title", {}, `${row.label}: ${percent(row.recall)} in ${bytes(row.stored)}`))),
    named(best, (row) => x(row.stored), (row) => y(row.recall)));
}

// Where a name may stand beside its point: below to the right, above to the left, above, below.
const PLACES = [[9, 16, "start"], [-9, -9, "end"], [9, -9, "start"], [-9, 18, "end"]];
const LETTER = 7.3, LINE = 14;

/** Names of points where there is room; the others have theirs in the table. */
function named(rows, x, y) {
  const taken = rows.map((row) => ({ left: x(row) - 5, right: x(row) + 5, top: y(row) - 5, bottom: y(row) + 5 }));
  const isFree = (box) => taken.every((other) =>
    box.right < other.left || box.left > other.right || box.bottom < other.top || box.top > other.bottom);
  return rows.toReversed().flatMap((row) => {
    for (const [right, down, anchor] of PLACES) {
      const width = row.label.length * LETTER, start = x(row) + right - (anchor === "end" ? width : 0);
      const box = { left: start, right: start + width, top: y(row) + down - LINE + 4, bottom: y(row) + down + 3 };
      if (!isFree(box) || box.left < EDGE.left) continue;
      taken.push(box);
      return [svg("text", { class: "name", x: x(row) + right, y: y(row) + down, "text-anchor": anchor }, row.label)];
    }
    return [];
  });
}

/** Keeps ticks that do not run into the one before. */
function apart(x) {
  let last = -Infinity;
  return (value) => {
    if (x(value) - last < 52) return false;
    last = x(value);
    return true;
  };
}

/** From cheap to dear, what finds more than everything cheaper. */
function frontier(rows) {
  let best = -1;
  const cheapFirst = [...rows].sort((a, b) => a.stored - b.stored || b.recall - a.recall);
  return cheapFirst.filter((row) => row.recall > best && ((best = row.recall), true));
}
