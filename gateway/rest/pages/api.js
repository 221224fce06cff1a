// How the pages ask the gateway, and where the key is kept: in memory, or for this tab if ticked.

import { about, byId, el } from "./dom.js";

const STORED = "api-key";

/** What the gateway said no with, or that it could not be reached (status 0). */
export class ApiError extends Error {
  constructor(message, { status = 0, code = "unreachable", requestId = "", details = {} } = {}) {
    super(message);
    Object.assign(this, { status, code, requestId, details: details ?? {} });
  }
}

export const needsKey = about.auth !== "off";

/** The key as typed; empty where none is asked for. */
export const key = () => (needsKey ? byId("key").value.trim() : "");

/** Wires the field of the key; calls `changed` when another one is there. */
export function keepKey(changed) {
  byId("access").hidden = !needsKey;
  if (!needsKey) return;
  const field = byId("key"), keep = byId("keep-key");
  const store = () =>
    keep.checked ? sessionStorage.setItem(STORED, key()) : sessionStorage.removeItem(STORED);
  try {
    field.value = sessionStorage.getItem(STORED) ?? "";
  } catch {
    keep.parentElement.hidden = true; // storage is forbidden: in memory alone, then
  }
  keep.checked = field.value !== "";
  keep.addEventListener("change", store);
  field.addEventListener("change", () => {
    if (keep.checked) store();
    changed();
  });
}

/** Whether asking makes sense: a key is there, or none is needed. */
export const mayAsk = () => !needsKey || key() !== "";

/**
 * One request to this origin: status, headers, text, and both clocks in milliseconds.
 *
 * Throws ApiError only if no answer came; whoever aborts gets the AbortError.
 */
export async function ask(method, path, { body, signal, withKey = true, accept } = {}) {
  const headers = { Accept: accept ?? "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (withKey && key()) headers.Authorization = `Bearer ${key()}`;
  const started = performance.now();
  let response, text;
  try {
    response = await fetch(path, { method, headers, body, signal, credentials: "omit", cache: "no-store" });
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const message =
      error instanceof TypeError && /header|ByteString|ISO-8859/i.test(error.message)
        ? "the key holds characters that no header carries"
        : "the gateway could not be reached, or closed the connection";
    throw new ApiError(message);
  }
  return {
    status: response.status,
    headers: [...response.headers],
    text,
    requestId: response.headers.get("x-request-id") ?? "",
    milliseconds: performance.now() - started,
    serverMilliseconds: Number(response.headers.get("x-total-time") ?? NaN),
    stages: stagesOf(response.headers.get("server-timing") ?? ""),
  };
}

/** The same, for JSON: throws ApiError unless the answer is a 200. */
export async function askJson(method, path, options) {
  const answer = await ask(method, path, options);
  let json = null;
  try {
    json = JSON.parse(answer.text);
  } catch {
    // said below
  }
  if (answer.status === 200 && json !== null) return { ...answer, json };
  throw new ApiError(json?.error?.message ?? json?.message ?? "the answer is no JSON", {
    status: answer.status,
    code: json?.error?.code ?? "",
    requestId: answer.requestId,
    details: json?.details ?? {},
  });
}

/** `Server-Timing: queue;dur=1.5` as [name, milliseconds]. */
function stagesOf(header) {
  return [...header.matchAll(/([\w-]+)[^,]*?;\s*dur=([\d.]+)/g)].map(([, name, took]) => [name, Number(took)]);
}

/** What an error says, for people: its words, its status, and the id to ask the operator with. */
export function errorBox(error) {
  const status = error.status ? `${error.status} ${error.code}` : error.code ? "No answer" : "Not sent";
  return el("div", { class: "error" },
    el("p", { class: "error-status" }, status),
    el("p", {}, error.message),
    error.details.retry_after ? el("p", {}, `Try again in ${error.details.retry_after} s.`) : null,
    error.requestId ? el("p", { class: "faint" }, "Request id ", el("code", {}, error.requestId)) : null);
}
