// Embeddings as the API gives them → numbers, similarities, and what a format loses of them.

export const FORMATS = ["float", "float16", "base64", "int8", "uint8", "binary", "ubinary"];

/** Those that hold the lengths of vectors too, if they are not normalized. */
export const FLOATS = ["float", "float16", "base64"];

/** How a format compares: by angle, or by bits that agree. */
export const isBinary = (format) => format.endsWith("binary");

/** Bytes of one stored vector of `d` dimensions. */
export function storedBytes(format, d) {
  if (isBinary(format)) return Math.ceil(d / 8);
  return d * { float: 4, base64: 4, float16: 2, int8: 1, uint8: 1 }[format];
}

/** The rows of one format out of an answer: arrays of numbers, one a text. */
export function rowsOf(json, format) {
  const single = typeof json.encoding_format === "string";
  return json.data.map(({ embedding }) => decode(single ? embedding : embedding[format], format));
}

function decode(value, format) {
  switch (format) {
    case "base64": {
      const raw = Uint8Array.from(atob(value), (character) => character.charCodeAt(0));
      const view = new DataView(raw.buffer);
      return Float32Array.from({ length: raw.length / 4 }, (_, i) => view.getFloat32(4 * i, true));
    }
    case "uint8":
      return Float32Array.from(value, (number) => number - 127.5); // rounded down, so half above
    case "binary":
      return Uint8Array.from(value, (number) => number + 128);
    case "ubinary":
      return Uint8Array.from(value);
    default:
      return Float32Array.from(value);
  }
}

/** Characters that each format takes in the body of an answer, by format; all its texts. */
export function wireBytes(text, formats) {
  const name = (format) => (formats.length === 1 ? "embedding" : format);
  return Object.fromEntries(formats.map((format) => {
    const values = text.matchAll(new RegExp(`"${name(format)}":(\\[[^\\]]*\\]|"[A-Za-z0-9+/=]*")`, "g"));
    return [format, [...values].reduce((sum, [, value]) => sum + value.length, 0)];
  }));
}

/** Float rows cut to `d` dimensions in the way of a format; the service's own formulas. */
export function derive(rows, format, d) {
  const cuts = rows.map((row) => row.subarray(0, d));
  if (isBinary(format)) return cuts.map(packSigns);
  if (format !== "int8") return cuts;
  const scale = 74.9 * Math.log(Math.max(d, 8)) - 59.8;
  return cuts.map((cut) => {
    const length = Math.max(Math.hypot(...cut), 1e-12);
    return cut.map((x) => Math.trunc(Math.min(127, Math.max(-128, (x / length) * scale))));
  });
}

function packSigns(row) {
  const packed = new Uint8Array(Math.ceil(row.length / 8));
  row.forEach((x, i) => (packed[i >> 3] |= (x > 0 ? 128 : 0) >> (i & 7)));
  return packed;
}

/**
 * (N, N) similarities, row after row.
 *
 * Cosine, or the dot product where `dot`; of bits the share that agrees, from -1 to 1.
 */
export function similarities(rows, format, d, dot = false) {
  const n = rows.length;
  const matrix = new Float32Array(n * n);
  const compare = isBinary(format) ? agreement(d) : product;
  const units = isBinary(format) || dot ? rows : rows.map(unit);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      matrix[i * n + j] = matrix[j * n + i] = compare(units[i], units[j]);
    }
  }
  return matrix;
}

function unit(row) {
  let sum = 0;
  for (const x of row) sum += x * x;
  const length = Math.max(Math.sqrt(sum), 1e-12);
  return row.map((x) => x / length);
}

function product(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

const BITS = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

const agreement = (d) => (a, b) => {
  let differing = 0;
  for (let i = 0; i < a.length; i++) differing += BITS[a[i] ^ b[i]];
  return 1 - (2 * differing) / d;
};

/** Indices of the `k` texts most like text `i`, itself aside. */
export function nearest(matrix, n, i, k) {
  const others = Array.from({ length: n }, (_, j) => j).filter((j) => j !== i);
  return others.sort((a, b) => matrix[i * n + b] - matrix[i * n + a] || a - b).slice(0, k);
}

// Of two float similarities that only rounding tells apart.
const TIE = 1e-6;

/**
 * The mean share of the k nearest texts that are as near by the reference as its own k nearest.
 *
 * Texts that a format holds equally near are taken in any order: what is counted is the mean over
 * all orders, so a coarse format gains nothing by the order of the texts.
 */
export function recall(reference, matrix, n, k) {
  let found = 0;
  for (let i = 0; i < n; i++) {
    const others = Array.from({ length: n }, (_, j) => j).filter((j) => j !== i);
    const kth = (values) => others.map((j) => values[i * n + j]).sort((a, b) => b - a)[k - 1];
    const right = kth(reference) - TIE, last = kth(matrix);
    const isRight = (j) => reference[i * n + j] >= right;
    const nearer = others.filter((j) => matrix[i * n + j] > last);
    const level = others.filter((j) => matrix[i * n + j] === last);
    found += nearer.filter(isRight).length;
    found += ((k - nearer.length) * level.filter(isRight).length) / level.length;
  }
  return found / (n * k);
}

/** What of a recall chance alone would find. */
export const byChance = (n, k) => k / (n - 1);
