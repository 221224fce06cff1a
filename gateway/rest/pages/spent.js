// Where the time of a call went: what the server tells of it, and the way there and back.

import { duration, el } from "./dom.js";

const OUTSIDE = "way and browser";

/** A bar of parts inside `place`; nothing where the server tells no stages. */
export function showSpent(place, { milliseconds, serverMilliseconds, stages }) {
  const told = stages.filter(([name]) => name !== "total");
  if (told.length === 0 || Number.isNaN(serverMilliseconds)) return place.replaceChildren();
  const rest = serverMilliseconds - told.reduce((sum, [, took]) => sum + took, 0);
  const parts = [...told, ["rest", rest], [OUTSIDE, milliseconds - serverMilliseconds]]
    .filter(([, took]) => took > 0);
  const shade = (name, i) => (name === OUTSIDE ? "outside" : name === "triton" ? "shade-triton" : `shade-${i % 3}`);
  const bar = el("div", { class: "parts", "aria-hidden": "true" }, parts.map(([name, took], i) => {
    const part = el("i", { class: shade(name, i), title: `${name} ${duration(took)}` });
    part.style.flexGrow = took;
    return part;
  }));
  place.replaceChildren(bar, el("ul", { class: "parts-told", "aria-label": "Where the time went" },
    parts.map(([name, took], i) => el("li", {},
      el("i", { class: shade(name, i), "aria-hidden": "true" }),
      `${name} `, el("span", { class: "number" }, duration(took))))));
}
