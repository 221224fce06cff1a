// The texts of a call: one a line, or fields of their own for texts with lines inside.

import { about, byId, count, el } from "./dom.js";
import { SAMPLES } from "./samples.js";

let isSeparate = false;

/** The texts as they will be sent; in lines, empty ones are left out. */
export function texts() {
  if (isSeparate) return [...byId("fields").querySelectorAll("textarea")].map((field) => field.value);
  return byId("texts").value.split("\n").map((line) => line.replace(/\r$/, "")).filter((line) => line.trim() !== "");
}

/** Wires what people type into; begins with the samples. */
export function wireTexts() {
  byId("texts").value = byId("texts").value || SAMPLES.join("\n");
  byId("texts").addEventListener("input", tellCount);
  byId("fields").addEventListener("input", tellCount);
  byId("sample").addEventListener("click", () => put(SAMPLES));
  byId("clear").addEventListener("click", () => {
    put([]);
    (isSeparate ? byId("fields").querySelector("textarea") : byId("texts")).focus();
  });
  byId("mode").addEventListener("click", () => {
    const kept = texts();
    isSeparate = !isSeparate;
    byId("mode").setAttribute("aria-pressed", isSeparate);
    byId("texts").hidden = isSeparate;
    byId("fields").hidden = !isSeparate;
    byId("texts-hint").textContent = isSeparate
      ? "Each field is one text, lines and all; an empty one is sent as it is."
      : "One a line; empty lines are left out.";
    put(isSeparate ? kept : kept.map((text) => text.replace(/\s*\n\s*/g, " ")));
  });
  tellCount();
}

function put(list) {
  if (isSeparate) {
    const add = el("button", { type: "button", class: "quiet", click: () => insert("").focus() }, "Add a text");
    byId("fields").replaceChildren(add);
    for (const text of list.length ? list : [""]) insert(text);
  } else {
    byId("texts").value = list.join("\n");
  }
  tellCount();
}

/** One more field, above the button that adds; gives its textarea. */
function insert(text) {
  const area = el("textarea", { rows: 2, dir: "auto" });
  area.value = text;
  const row = el("div", { class: "text-row" }, area,
    el("button", { type: "button", class: "quiet", click: () => remove(row) }, "Remove"));
  byId("fields").lastElementChild.before(row);
  number();
  return area;
}

function remove(row) {
  const next = (row.nextElementSibling ?? row.previousElementSibling).querySelector("textarea, button") ?? row.nextElementSibling;
  row.remove();
  number();
  next.focus();
}

function number() {
  byId("fields").querySelectorAll(".text-row").forEach((row, i) => {
    row.querySelector("textarea").setAttribute("aria-label", `Text ${i + 1}`);
    row.querySelector("button").setAttribute("aria-label", `Remove text ${i + 1}`);
  });
  tellCount();
}

function tellCount() {
  const number = texts().length;
  byId("texts-count").textContent = `${count(number)} of at most ${count(about.max_texts)}`;
  byId("texts-count").classList.toggle("over", number > about.max_texts);
}
