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
import { derive, FLOATS, isBinary, rowsOf, similarities, wireBytes } from "./vectors.js";

const MAX_SHOWN = 4000; // characters of an answer
const LEAST_CUT = 32; // dimensions
const PAUSE_MILLISECONDS = 2000; // before models that are not loaded yet are asked for again
const MAX_COMPARED = 512; // texts: four times as many comparisons are sixteen times as many

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
    withoutModels(error.status === 503 ? "waiting for the models" : "not known");
    if (error.status === 503) setTimeout(loadModels, PAUSE_MILLISECONDS);
    fail(error);
  }
}

async function embed() {
  running = new AbortController();
  byId("embed").textContent = "Stop";
  byId("failure").replaceChildren();
  try {
    await loading; // a key may have been typed just now
    const asked = { model: model(), formats: formats() }; // the form may change meanwhile
    const call = { model: asked.model?.id, input: texts(), ...options() };
    refuse(call);
    say(`Embedding ${plural(call.input.length)}…`);
    const { signal } = running;
    const answer = await askJson("POST", "/v1/embeddings", { body: JSON.stringify(call), signal });
    await show(call, asked, answer, await referenceOf(call, asked, answer, signal));
  } catch (error) {
    if (error.name === "AbortError") say("Stopped.");
    else fail(error);
  } finally {
    running = null;
    byId("embed").textContent = "Embed";
  }
}

/** Throws what would be refused anyway and is plain already here. */
function refuse({ model: name, input, encoding_format }) {
  const trouble = !mayAsk() ? "type an API key first"
    : !name ? "no model is known yet"
    : input.length === 0 ? "type a text first"
    : encoding_format.length === 0 ? "tick a format first" : "";
  if (trouble) throw new ApiError(trouble, { code: "" });
}

/** Float rows of all dimensions: out of the answer, or by a second call where it has none. */
async function referenceOf(call, asked, answer, signal) {
  const full = answer.json.dimensions === asked.model.dimensions;
  const own = full && ["float", "base64"].find((format) => asked.formats.includes(format));
  if (own) return { rows: rowsOf(answer.json, own) };
  if (call.input.length < 2) return { rows: [] };
  const { dimensions, ...rest } = call;
  const body = JSON.stringify({ ...rest, encoding_format: "base64" });
  try {
    const { json } = await askJson("POST", "/v1/embeddings", { body, signal });
    return { rows: rowsOf(json, "base64"), note: `A second call fetched float at all ${count(asked.model.dimensions)} dimensions, to compare with.` };
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { rows: [], note: `The call for float, to compare with, failed: ${error.message}.` };
  }
}

async function show(call, asked, answer, reference) {
  byId("blank").hidden = true;
  byId("answer").hidden = false;
  figures(call, answer);
  byId("snippets").replaceChildren(programs(call));
  raw(answer);
  const input = call.input.slice(0, MAX_COMPARED);
  const byDot = call.normalized === false && asked.model.similarity === "dot";
  const variants = await variantsOf(asked, answer, reference, input.length, byDot);
  const truth = reference.rows.length === 0 ? null
    : similarities(reference.rows.slice(0, MAX_COMPARED), "float", asked.model.dimensions, byDot);
  showSimilarity(input, variants);
  showCosts(byId("costs"), input.length, truth, variants);
  const bound = call.input.length > MAX_COMPARED ? `Compared are the first ${MAX_COMPARED} texts.` : null;
  byId("costs").append(...[reference.note, bound].filter(Boolean).map((words) => el("p", { class: "note" }, words)));
  bringIntoView(byId("results"));
  say(`${plural(call.input.length)} embedded in ${duration(answer.milliseconds)}, ${count(answer.json.usage.total_tokens)} tokens.`);
}

/** What was asked for, and what float would give when cut: each with its matrix of `n` texts. */
async function variantsOf(asked, answer, reference, n, byDot) {
  const d = answer.json.dimensions;
  const wire = wireBytes(answer.text, asked.formats);
  const sent = asked.formats.map((format) => ({ format, d, rows: rowsOf(answer.json, format), wire: wire[format] / answer.json.data.length }));
  const cut = reference.rows.length === 0 ? [] : cuts(asked, d).map(({ format, d: size }) => ({
    format, d: size, rows: derive(reference.rows.slice(0, n), format, size), wire: null }));
  const variants = [];
  for (const { rows, ...variant } of [...sent, ...cut]) {
    const dot = byDot && FLOATS.includes(variant.format); // the others are of unit vectors
    const matrix = similarities(rows.slice(0, n), variant.format, variant.d, dot);
    const measure = isBinary(variant.format) ? "agreeing bits" : dot ? "dot product" : "cosine";
    variants.push({ ...variant, matrix, measure, label: `${variant.format} ${variant.d}` });
    await breathe();
  }
  return variants;
}

/** Halves of the native size in the kinds of format asked for, where the model allows cuts. */
function cuts({ model: { matryoshka, dimensions }, formats: sent }, d) {
  if (!matryoshka) return [];
  const kinds = new Set(sent.map((format) => (isBinary(format) ? "binary" : format.includes("int8") ? "int8" : "float")));
  const sizes = [];
  for (let size = Math.floor(dimensions / 2); size >= LEAST_CUT && sizes.length < 3; size = Math.floor(size / 2)) {
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

function showSimilarity(input, variants) {
  const place = byId("similarity"), list = byId("shown");
  list.replaceChildren(...variants.map(({ label }, i) => el("option", { value: i }, label)));
  list.parentElement.hidden = input.length < 2;
  if (input.length < 2) {
    place.replaceChildren(el("p", { class: "note" }, "One text has nobody to be compared with: add a second."));
    return;
  }
  const update = () => {
    const { format, d, matrix, measure } = variants[list.selectedIndex];
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
