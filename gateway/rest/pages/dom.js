// Elements built from values. Nothing here reads markup, so a text stays a text.

const SVG = "http://www.w3.org/2000/svg";

/** What this gateway tells every page of itself. */
export const about = JSON.parse(document.querySelector("meta[name=gateway]").content);

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/** An element; attributes that are null or false are left out, functions listen. */
export const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

/** The same in SVG. */
export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** A text as one line of at most `length` characters, cut between what people call characters. */
export function shorten(text, length) {
  const line = text.replace(/\s+/gu, " ").trim();
  if (line.length <= length) return line === "" ? "(empty)" : line;
  let short = "";
  for (const { segment } of new Intl.Segmenter().segment(line.slice(0, length + 40))) {
    if (short.length + segment.length > length - 1) break;
    short += segment;
  }
  return `${short}…`;
}

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** 12 345 as people read it. */
export const count = (number) => grouped.format(number).replaceAll(",", "\u202f");

/** Bytes with a unit of 1024. */
export function bytes(number) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (number < 1000 || unit === "MiB") {
      return `${number < 10 && unit !== "B" ? number.toFixed(1) : count(number)}\u202f${unit}`;
    }
    number /= 1024;
  }
}

/** Milliseconds, or seconds where there are many. */
export const duration = (milliseconds) =>
  milliseconds < 1 ? `${milliseconds.toFixed(2)}\u202fms`
  : milliseconds < 10 ? `${milliseconds.toFixed(1)}\u202fms`
  : milliseconds < 10_000 ? `${count(milliseconds)}\u202fms`
  : `${(milliseconds / 1000).toFixed(1)}\u202fs`;

/** A share of 1 as a percentage. */
export const percent = (share) => `${(share * 100).toFixed(share > 0.995 && share < 1 ? 1 : 0)}\u202f%`;

/** A button that copies what `text` gives. */
export function copyButton(text, what) {
  const button = el("button", { type: "button", class: "quiet", "aria-label": `Copy ${what}` }, "Copy");
  const tell = (words, name = words) => {
    button.textContent = words;
    button.setAttribute("aria-label", name);
  };
  button.addEventListener("click", async () => {
    tell((await copy(text())) ? "Copied" : "Select and copy by hand");
    setTimeout(() => tell("Copy", `Copy ${what}`), 2000);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text); // only where the address is https or loopback
    return true;
  } catch {
    const field = el("textarea", { class: "unseen" });
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    return done;
  }
}
