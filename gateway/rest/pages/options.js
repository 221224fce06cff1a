// The options of a call as the chosen model allows them.

import { about, byId, count, el } from "./dom.js";
import { FORMATS } from "./vectors.js";

const FIRST = ["float", "int8", "binary"];
let models = [];

/** The chosen model, as `/v1/models` tells it; null while none is known. */
export const model = () => models[byId("model").selectedIndex] ?? null;

/** The formats that are ticked. */
export const formats = () => [...byId("formats").querySelectorAll(":checked")].map((box) => box.value);

/** Wires the form; formats first, the model's own options once there is one. */
export function wireOptions() {
  byId("formats").append(...FORMATS.map((format) => el("label", { class: "chip" },
    el("input", { type: "checkbox", value: format, checked: FIRST.includes(format) }), el("span", {}, format))));
  byId("model").addEventListener("change", showModel);
  byId("prompt").addEventListener("change", showPrompt);
  showModel();
}

/** Fills the list of models; keeps the choice where it is still served. */
export function setModels(served) {
  const kept = model()?.id;
  models = served;
  byId("model").disabled = served.length === 0;
  byId("model").replaceChildren(...served.map(({ id }) => el("option", { selected: id === kept }, id)));
  showModel();
}

/** Says why there is no list of models. */
export function withoutModels(why) {
  models = [];
  byId("model").disabled = true;
  byId("model").replaceChildren(el("option", {}, why));
  showModel();
}

function showModel() {
  const chosen = model();
  const field = byId("dimensions");
  byId("facts").replaceChildren(...(chosen ? facts(chosen) : []));
  field.disabled = !chosen?.matryoshka;
  field.value = chosen?.matryoshka ? field.value : "";
  field.max = chosen?.dimensions ?? "";
  field.placeholder = chosen?.dimensions ?? "";
  byId("dimensions-hint").textContent = !chosen ? "" : chosen.matryoshka
    ? `1 to ${count(chosen.dimensions)}; trained to be cut.` : "Fixed: not trained to be cut.";
  byId("normalized").checked = chosen?.similarity !== "dot";
  showPrompts(chosen);
}

function facts({ dimensions, max_length, matryoshka, similarity, revision, aliases }) {
  return [
    `${count(dimensions)} dimensions, ${count(max_length)} tokens a text`,
    matryoshka ? ", Matryoshka" : "",
    similarity ? `, for ${similarity}` : "",
    revision ? el("span", {}, ", revision ", el("code", {}, revision.slice(0, 12))) : "",
    aliases?.length ? `, also ${aliases.join(", ")}` : "",
    ".",
  ];
}

function showPrompts(chosen) {
  const byDefault = chosen?.default_prompt_name;
  const named = Object.entries(chosen?.prompts ?? {});
  byId("prompt").replaceChildren(
    el("option", { value: "default" }, byDefault ? `Default: ${byDefault}` : "None"),
    ...(byDefault ? [el("option", { value: "none" }, "None")] : []),
    ...named.map(([name, text], i) => el("option", { value: `named-${i}` }, `${name}: ${JSON.stringify(text)}`)),
    el("option", { value: "own" }, "Own words"));
  showPrompt();
}

function showPrompt() {
  byId("own-prompt").hidden = byId("prompt").value !== "own";
  byId("own-prompt").maxLength = about.max_prompt_characters;
}

function prompt() {
  const chosen = byId("prompt").value;
  if (chosen === "none") return { prompt: "" };
  if (chosen === "own") return { prompt: byId("own-prompt").value };
  if (chosen.startsWith("named-")) return { prompt: Object.values(model().prompts)[Number(chosen.slice(6))] };
  return {};
}

/** The fields of the body that these options stand for, defaults left out. */
export function options() {
  const asked = formats();
  const truncation = byId("truncation").value;
  return {
    ...prompt(),
    ...(byId("dimensions").value !== "" && { dimensions: Number(byId("dimensions").value) }),
    encoding_format: asked.length === 1 ? asked[0] : asked,
    ...(!byId("normalized").checked && { normalized: false }),
    ...(truncation !== "end" && { truncation_strategy: truncation }),
  };
}
