// The page at /: a call as people make it, and what came of it.

import { askJson, ApiError, errorBox, keepKey, mayAsk } from "./api.js";
import { about, byId, bytes, copyButton, count, duration, el } from "./dom.js";
import { showCosts } from "./costs.js";
import { scrollable, showMatrix } from "./matrix.js";
import { formats, model, options, setModels, wireOptions, withoutModels } from "./options.js";
import { snippets } from "./snippets.js";
import { showSpent } from "./spent.js";
import { tabs } from "./tabs.js";
import { texts, wireTexts } from "./texts.js";
import { derive, isBinary, rowsOf, similarities, wireBytes } from "./vectors.js";

const MAX_SHOWN = 4000; // characters of an answer
const LEAST_CUT = 32; // dimensions

let running = null;
let loading = null; // the list of models

const loadModels = () => (loading = askForModels());

async function askForModels() {
  if (!mayAsk()) return withoutModels("waiting for a key");
  byId("failure").replaceChildren();
  try {
    const { json } = await askJson("GET", "/v1/models");
    setModels(json.data);
  } catch (error) {
    withoutModels("not known");
    fail(error);
  }
}

async function embed() {
  await loading; // a key may have been typed just now
  const call = { model: model()?.id, input: texts(), ...options() };
  const trouble = whyNot(call);
  if (trouble) return fail(new ApiError(trouble, { code: "" }));
  running = new AbortController();
  byId("embed").textContent = "Stop";
  say(`Embedding ${plural(call.input.length)}…`);
  byId("failure").replaceChildren();
  try {
    const answer = await askJson("POST", "/v1/embeddings", { body: JSON.stringify(call), signal: running.signal });
    const reference = await referenceOf(call, answer, running.signal);
    await show(call, answer, reference);
  } catch (error) {
    if (error.name === "AbortError") say("Stopped.");
    else fail(error);
  } finally {
    running = null;
    byId("embed").textContent = "Embed";
  }
}

/** What would be refused anyway and is plain already here. */
function whyNot({ model: name, input, encoding_format }) {
  if (!mayAsk()) return "type an API key first";
  if (!name) return "no model is known yet";
  if (input.length === 0) return "type a text first";
  if (encoding_format.length === 0) return "tick a format first";
  return "";
}

/** Float rows of all dimensions: out of the answer, or by a second call where it has none. */
async function referenceOf(call, answer, signal) {
  const full = answer.json.dimensions === model().dimensions;
  const own = full && ["float", "base64"].find((format) => formats().includes(format));
  if (own) return { rows: rowsOf(answer.json, own), isExtra: false };
  if (call.input.length < 2) return { rows: [], isExtra: false };
  const { dimensions, ...rest } = call;
  const body = JSON.stringify({ ...rest, encoding_format: "base64" });
  const { json } = await askJson("POST", "/v1/embeddings", { body, signal });
  return { rows: rowsOf(json, "base64"), isExtra: true };
}

async function show(call, answer, reference) {
  byId("blank").hidden = true;
  byId("answer").hidden = false;
  const asked = formats(), n = call.input.length, d = answer.json.dimensions;
  figures(call, answer);
  byId("snippets").replaceChildren(programs(call));
  raw(answer);
  const wire = wireBytes(answer.text, asked);
  const dot = call.normalized === false && model().similarity === "dot";
  const variants = [];
  for (const format of asked) {
    const matrix = similarities(rowsOf(answer.json, format), format, d, dot);
    variants.push({ format, d, label: `${format} ${d}`, matrix, wire: wire[format] / n });
    await breathe();
  }
  for (const { format, d: cut } of cuts(asked, d)) {
    if (reference.rows.length === 0) break;
    const matrix = similarities(derive(reference.rows, format, cut), format, cut, dot);
    variants.push({ format, d: cut, label: `${format} ${cut}`, matrix, wire: null });
    await breathe();
  }
  const truth = similarities(reference.rows, "float", model().dimensions, dot);
  showSimilarity(call.input, variants, dot);
  showCosts(byId("costs"), n, truth, variants);
  if (reference.isExtra) {
    byId("costs").append(el("p", { class: "note" },
      `A second call fetched float at all ${count(model().dimensions)} dimensions, to compare with.`));
  }
  bringIntoView(byId("results"));
  say(`${plural(n)} embedded in ${duration(answer.milliseconds)}, ${count(answer.json.usage.total_tokens)} tokens.`);
}

/** Halves of the native size in the kinds of format asked for, where the model allows cuts. */
function cuts(asked, d) {
  if (!model().matryoshka) return [];
  const kinds = new Set(asked.map((format) => (isBinary(format) ? "binary" : format.includes("int8") ? "int8" : "float")));
  const sizes = [];
  for (let size = Math.floor(model().dimensions / 2); size >= LEAST_CUT && sizes.length < 3; size = Math.floor(size / 2)) {
    if (size !== d) sizes.push(size);
  }
  return sizes.flatMap((size) => [...kinds].map((format) => ({ format, d: size })));
}

function figures(call, answer) {
  const { json, text, milliseconds, serverMilliseconds } = answer;
  const entries = [
    ["Round trip", duration(milliseconds)],
    ["Of it the server", Number.isNaN(serverMilliseconds) ? "not told" : duration(serverMilliseconds)],
    ["Texts", count(call.input.length)],
    ["Tokens", count(json.usage.total_tokens)],
    ["Answer", bytes(new Blob([text]).size)],
    ["Dimensions", count(json.dimensions)],
  ];
  byId("figures").replaceChildren(...entries.map(([name, value]) =>
    el("div", {}, el("dt", {}, name), el("dd", {}, value))));
  showSpent(byId("spent"), answer);
}

function showSimilarity(input, variants, dot) {
  const place = byId("similarity"), list = byId("shown");
  list.replaceChildren(...variants.map(({ label }, i) => el("option", { value: i }, label)));
  list.parentElement.hidden = input.length < 2;
  if (input.length < 2) {
    place.replaceChildren(el("p", { class: "note" }, "One text has nobody to be compared with: add a second."));
    return;
  }
  const update = () => {
    const { format, d, matrix } = variants[list.selectedIndex];
    const measure = isBinary(format) ? "agreeing bits" : dot ? "dot product" : "cosine";
    showMatrix(place, input, matrix, `${measure} of ${format} with ${d} dimensions`);
  };
  list.onchange = update;
  update();
}

function programs(call) {
  const panels = Object.entries(snippets(call, location.origin)).map(([name, program]) => [name, el("div", { class: "program" },
    copyButton(() => program, `the call as ${name}`), scrollable(el("pre", {}, el("code", {}, program)), `Call as ${name}`))]);
  return el("div", {}, tabs("The same call", Object.fromEntries(panels)),
    about.auth === "off" ? null : el("p", { class: "hint" }, "The key stands in ", el("code", {}, "API_KEY"), " of the environment."));
}

function raw({ text, headers, status }) {
  const rest = text.length - MAX_SHOWN;
  const body = rest > 0 ? `${text.slice(0, MAX_SHOWN)}… ${count(rest)} more` : text;
  const head = `${status}\n${headers.map(([name, value]) => `${name}: ${value}`).join("\n")}`;
  byId("raw").replaceChildren(scrollable(el("pre", {}, head), "Headers of the answer"),
    copyButton(() => text, "the body of the answer"), scrollable(el("pre", { class: "wrapped" }, body), "Body of the answer"));
}

/** On a phone the results begin below what is seen. */
function bringIntoView(element) {
  if (element.getBoundingClientRect().top < innerHeight / 2) return;
  const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
  element.scrollIntoView({ behavior });
}

const plural = (n) => (n === 1 ? "1 text" : `${count(n)} texts`);
const breathe = () => new Promise((resolve) => setTimeout(resolve));

function say(words) {
  byId("status").textContent = words;
}

function fail(error) {
  say("");
  byId("failure").replaceChildren(errorBox(error));
}

wireTexts();
wireOptions();
keepKey(loadModels);
byId("call").addEventListener("submit", (event) => {
  event.preventDefault();
  if (running) running.abort();
  else embed();
});
byId("call").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !running) {
    event.preventDefault();
    embed();
  }
});
loadModels();
