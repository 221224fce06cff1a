// An example that can be changed and run against this very server.

import { ask, errorBox, key, needsKey } from "./api.js";
import { byId, bytes, copyButton, count, duration, el } from "./dom.js";
import { scrollable } from "./matrix.js";

const MAX_SHOWN = 6000; // characters of an answer

/**
 * The examples of an operation with a button that sends them.
 *
 * Each is { title, path, body, status, withKey }; `body` is text or null, `status` what is documented.
 */
export function runner(id, method, examples) {
  const choice = el("select", { id: `${id}-example` }, examples.map(({ title, status }, i) =>
    el("option", { value: i }, `${title} (${status})`)));
  const path = el("input", { id: `${id}-path`, spellcheck: "false", "aria-label": "Path" });
  const body = el("textarea", { id: `${id}-body`, rows: 8, spellcheck: "false", class: "code", "aria-label": "Body" });
  const result = el("div", { class: "result", role: "status" });
  const button = el("button", { type: "button", class: "primary", "aria-label": `Run ${id.replaceAll("_", " ")}`, click: run }, "Run");

  function show() {
    const example = examples[choice.selectedIndex];
    path.value = example.path;
    body.hidden = example.body === null;
    body.value = example.body ?? "";
    result.replaceChildren();
  }

  async function run() {
    const example = examples[choice.selectedIndex];
    button.disabled = true;
    try {
      const sent = example.body === null ? undefined : body.value;
      const answer = await ask(method, path.value, { body: sent, withKey: example.withKey });
      const isChanged = sent !== (example.body ?? undefined) || path.value !== example.path;
      result.replaceChildren(...told(answer, isChanged ? null : example.status));
    } catch (error) {
      result.replaceChildren(errorBox(error));
    } finally {
      button.disabled = false;
      button.focus();
    }
  }

  choice.addEventListener("change", show);
  show();
  return el("div", { class: "runner" },
    el("p", { class: "inline", hidden: examples.length < 2 }, el("label", { for: choice.id }, "Example"), choice),
    el("div", { class: "request" }, el("span", { class: "method" }, method), path, button),
    body, result);
}

function told({ status, headers, text, milliseconds }, documented) {
  const asDocumented = documented === null ? "" : status === documented ? ", as documented" : `; documented is ${documented}`;
  const hint = status === 401 && needsKey && !key() ? " Type a key above." : "";
  return [
    el("p", {}, el("b", {}, status), `${asDocumented}, in ${duration(milliseconds)}, ${bytes(new Blob([text]).size)}.${hint}`),
    el("details", {}, el("summary", {}, `Headers (${headers.length})`),
      scrollable(el("pre", {}, headers.map(([name, value]) => `${name}: ${value}`).join("\n")), "Headers of the answer")),
    scrollable(el("pre", { class: "wrapped" }, pretty(text)), "Body of the answer"),
    copyButton(() => text, "the body of the answer"),
  ];
}

/** JSON with its lines, arrays of numbers on one; anything else as it is; long ones cut. */
function pretty(text) {
  let words = text;
  try {
    words = JSON.stringify(JSON.parse(text), null, 2).replace(/\[\s+(-?[\d.e+-]+(?:,\s+-?[\d.e+-]+)*)\s+\]/g,
      (_, numbers) => `[${numbers.replace(/\s+/g, " ")}]`);
  } catch {
    // no JSON
  }
  return words.length > MAX_SHOWN ? `${words.slice(0, MAX_SHOWN)}… ${count(words.length - MAX_SHOWN)} characters more` : words;
}

/** The models that this key may use; none where they cannot be asked for. */
export async function servedModels() {
  if (needsKey && byId("key").value.trim() === "") return [];
  try {
    return JSON.parse((await ask("GET", "/v1/models")).text).data ?? [];
  } catch {
    return [];
  }
}
