// The page at /operator: what waits, who sends, which Triton is well. All of it is in /metrics.

import { ask, ApiError, errorBox } from "./api.js";
import { about, byId, count, duration, el } from "./dom.js";
import { Memory, parse } from "./metrics.js";
import { tile } from "./sparkline.js";

const LOOK_MILLISECONDS = 2000;
const COURSE_SECONDS = 300; // of the lines, at most
const LEAST_SECONDS = 30; // of the lines, from the first look on
const RATE_SECONDS = 60; // of the tables

const memory = new Memory(COURSE_SECONDS);
const isCall = (labels) => (labels.route === "create_embeddings" ? "" : null);

async function look() {
  const [metrics, health] = await Promise.allSettled([
    about.place === "calls" ? null : ask("GET", "/metrics", { withKey: false, accept: "text/plain" }),
    ask("GET", "/health/ready", { withKey: false }),
  ]);
  tellHealth(health);
  const trouble = whyNoMetrics(metrics);
  byId("failure").replaceChildren(...(trouble ? [trouble] : []));
  byId("seen").hidden = memory.looks.length === 0 && trouble !== null;
  if (trouble) return;
  memory.add(parse(metrics.value.text), performance.now() / 1000);
  show();
}

/** Something to show in place of the metrics; null if they are there. */
function whyNoMetrics({ reason, value: answer }) {
  if (reason) return errorBox(reason);
  if (answer?.status === 200) return null;
  if (answer === null || answer.status === 404) {
    return el("p", { class: "note" }, "The metrics are not served at this address. Where ",
      el("code", {}, "GATEWAY_OPERATIONS_PORT"), " gives them a port of their own, this page is there too, and shows what waits, who sends and which Triton is well.");
  }
  return errorBox(new ApiError("the metrics were refused", { status: answer.status, code: "", requestId: answer.requestId }));
}

/** The headline, and the reasons a 503 gives. Told anew only when it changes. */
function tellHealth({ reason, value: answer }) {
  const headline = reason ? "The gateway does not answer"
    : answer.status === 200 ? "Ready"
    : answer.status === 404 ? "Readiness is told elsewhere" : "Not ready";
  const troubles = reason || answer.status === 404 ? [] : reasonsOf(answer.text);
  if (byId("headline").textContent !== headline) byId("headline").textContent = headline;
  byId("headline").dataset.well = headline === "Ready";
  byId("troubles").replaceChildren(...troubles.map(([what, why]) => el("li", {}, el("b", {}, what), " ", why)));
}

/** Every object of names and words that is told: ill models, ill Tritons. A 200 may have some too. */
function reasonsOf(text) {
  let details = {};
  try {
    const told = JSON.parse(text);
    details = told.details ?? told;
  } catch {
    // a proxy's words, not ours
  }
  return Object.values(details).filter((group) => group && typeof group === "object" && !Array.isArray(group))
    .flatMap((group) => Object.entries(group))
    .map(([what, why]) => [what, typeof why === "string" ? why : JSON.stringify(why)]);
}

function show() {
  const over = Math.min(RATE_SECONDS, memory.looks.at(-1).at - memory.looks[0].at);
  byId("window").textContent = over < 1 ? "Rates appear with the second look, in two seconds."
    : `Rates are those of the last ${count(over)} seconds; this page measures only while it is open.`;
  const seconds = memory.quantile("gateway_request_duration_seconds", 0.95, (labels) => labels.route === "create_embeddings", RATE_SECONDS);
  const calls = sum(memory.rate("gateway_requests_total", isCall, RATE_SECONDS));
  const tokens = sum(memory.rate("gateway_tokens_total", undefined, RATE_SECONDS));
  const waiting = sum(memory.now("gateway_waiting_tokens"));
  const span = Math.min(COURSE_SECONDS, Math.max(LEAST_SECONDS, memory.looks.at(-1).at - memory.looks[0].at));
  byId("tiles").replaceChildren(
    tile("Calls a second", rate(calls), memory.course(Memory.rateOf("gateway_requests_total", isCall)), span, rate),
    tile("Tokens a second", rate(tokens), memory.course(Memory.rateOf("gateway_tokens_total")), span, rate),
    tile("95 of 100 calls within", Number.isNaN(seconds) ? "–" : duration(seconds * 1000), memory.course(p95), span, (value) => duration(value * 1000)),
    tile("Tokens that wait", count(waiting), memory.course(Memory.sumOf("gateway_waiting_tokens")), span, count));
  unwritten();
  lanes();
  keys();
  tritons();
  stages();
  errors();
  models();
}

function p95(earlier, later) {
  const pair = new Memory(Infinity);
  pair.looks = [earlier, later];
  return pair.quantile("gateway_request_duration_seconds", 0.95, (labels) => labels.route === "create_embeddings");
}

const label = (name) => (labels) => labels[name] ?? null;
const sum = (map) => [...map.values()].reduce((total, value) => total + value, 0);
const rate = (value) => (value === 0 ? "0" : value < 10 ? value.toFixed(value < 1 ? 2 : 1) : count(value));
const mean = (seconds, number) => (number ? duration((seconds / number) * 1000) : "–");

/** What is written nowhere yet, or never will be. */
function unwritten() {
  const waiting = sum(memory.now("gateway_usage_unwritten_records"));
  const lost = sum(memory.now("gateway_usage_lost_records_total"));
  const words = [
    waiting ? `${count(waiting)} records of the usage log wait for room on the disk.` : "",
    lost ? `${count(lost)} records of the usage log are lost.` : "",
  ].join(" ");
  if (byId("usage").textContent !== words) byId("usage").textContent = words; // told once
}

function lanes() {
  const left = memory.now("gateway_capacity_tokens", label("lane"));
  const waiting = memory.now("gateway_waiting_tokens", label("lane"));
  const sent = memory.now("gateway_triton_tokens", label("lane"));
  const most = Math.max(...waiting.values(), ...sent.values(), 1);
  rows("lanes", [...new Set([...waiting.keys(), ...sent.keys()])].sort().reverse().map((lane) => [
    lane, ...[waiting, sent].map((tokens) => bar(tokens.get(lane) ?? 0, most)),
    left.has(lane) ? count(left.get(lane)) : "–"]), "no lane has had a call yet");
}

const bar = (value, most) => el("span", { class: "barred" }, count(value),
  el("meter", { min: 0, max: most, value, "aria-hidden": "true" }));

function keys() {
  const calls = memory.rate("gateway_key_requests_total", label("key"), RATE_SECONDS);
  const failed = memory.rate("gateway_key_requests_total", (labels) => (labels.status >= "400" ? labels.key : null), RATE_SECONDS);
  const texts = memory.rate("gateway_usage_texts_total", label("key"), RATE_SECONDS);
  const tokens = memory.rate("gateway_usage_tokens_total", label("key"), RATE_SECONDS);
  const held = memory.now("gateway_held_tokens", label("key"));
  const known = memory.now("gateway_key_requests_total", label("key"));
  const names = [...new Set([known, held].flatMap((map) => [...map.keys()]))];
  const busiest = names.sort((a, b) => (tokens.get(b) ?? 0) - (tokens.get(a) ?? 0) || (calls.get(b) ?? 0) - (calls.get(a) ?? 0) || a.localeCompare(b));
  rows("keys", busiest.map((name) => [
    name || "(no key)", ...[calls, texts, tokens, failed].map((map) => rate(map.get(name) ?? 0)), count(held.get(name) ?? 0),
  ]), "nobody has called yet");
}

/** Whatever carries a label `triton`: its chunks, and every gauge of it. */
function tritons() {
  const chunks = memory.growth("gateway_chunk_seconds_count", label("triton"), RATE_SECONDS);
  const took = memory.growth("gateway_chunk_seconds_sum", label("triton"), RATE_SECONDS).grown;
  const gauges = new Map();
  for (const { name, labels, value } of memory.looks.at(-1).samples) {
    if (!labels.triton || /_(bucket|sum|count|total|created)$/.test(name)) continue;
    const told = gauges.get(labels.triton) ?? gauges.set(labels.triton, []).get(labels.triton);
    told.push(gauge(name.replace(/^gateway_(triton_)?/, ""), labels, value));
  }
  const names = [...new Set([...chunks.grown.keys(), ...gauges.keys()])].sort();
  const over = chunks.over || 1;
  rows("tritons", names.map((name) => [
    name, rate((chunks.grown.get(name) ?? 0) / over), mean(took.get(name) ?? 0, chunks.grown.get(name)),
    (gauges.get(name) ?? []).join(", ") || "–",
  ]), "no chunk has been sent yet, or the metrics do not tell Tritons apart");
}

/** Whether it is up, in words; anything else as its value, name and other labels. */
function gauge(name, { triton, ...others }, value) {
  if (name === "up") return value ? "well" : "ill";
  return [count(value), name.replaceAll("_", " "), ...Object.values(others)].join(" ");
}

function stages() {
  const took = memory.growth("gateway_stage_seconds_sum", label("stage"), RATE_SECONDS).grown;
  const times = memory.growth("gateway_stage_seconds_count", label("stage"), RATE_SECONDS).grown;
  const total = sum(took);
  rows("stages", [...took].map(([stage, seconds]) => [
    stage, mean(seconds, times.get(stage)),
    el("span", { class: "barred" }, total ? `${Math.round((100 * seconds) / total)}\u202f%` : "–",
      el("meter", { min: 0, max: total || 1, value: seconds, "aria-hidden": "true" }))]), "no call has been timed yet");
}

function errors() {
  const reasons = memory.now("gateway_rejected_total", label("reason"));
  const codes = reasons.size ? reasons : memory.now("gateway_upstream_errors_total", label("code"));
  const name = reasons.size ? "gateway_rejected_total" : "gateway_upstream_errors_total";
  const lately = memory.growth(name, label(reasons.size ? "reason" : "code"), RATE_SECONDS).grown;
  const shown = [...codes].filter(([, total]) => total > 0).sort(([, a], [, b]) => b - a);
  const retry = ({ reason, result }) => `chunk retried, ${reason}: ${result}`;
  const again = memory.growth("gateway_retries_total", retry, RATE_SECONDS).grown;
  rows("errors", [
    ...shown.map(([code, total]) => [code, count(lately.get(code) ?? 0), count(total)]),
    ...[...memory.now("gateway_retries_total", retry)].map(([words, total]) => [words, count(again.get(words) ?? 0), count(total)]),
  ], "none since the gateway started");
}

function models() {
  const texts = memory.rate("gateway_texts_total", label("model"), RATE_SECONDS);
  const tokens = memory.rate("gateway_tokens_total", label("model"), RATE_SECONDS);
  const total = memory.now("gateway_tokens_total", label("model"));
  rows("models", [...total].map(([name, sent]) => [name, rate(texts.get(name) ?? 0), rate(tokens.get(name) ?? 0), count(sent)]), "no model has embedded a text yet");
}

/** The rows of a table, its first cell the head of each; `none` says why there is none. */
function rows(id, cells, none) {
  const table = byId(id);
  const width = table.tHead.rows[0].cells.length;
  table.tBodies[0].replaceChildren(...(cells.length
    ? cells.map(([head, ...rest]) => el("tr", {}, el("th", { scope: "row" }, head), rest.map((cell) => el("td", {}, cell))))
    : [el("tr", {}, el("td", { colspan: width, class: "none" }, none))]));
}

if (about.place === "operations") {
  for (const link of document.querySelectorAll("nav a:not([aria-current])")) link.remove(); // of calls, elsewhere
}

let timer = null;

async function keepLooking() {
  await look();
  timer = document.hidden ? null : setTimeout(keepLooking, LOOK_MILLISECONDS);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && timer === null) keepLooking();
});
keepLooking();
