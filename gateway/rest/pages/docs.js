// The page at /docs: openapi.json of this server, to read and to run.

import { askJson, errorBox, keepKey, needsKey } from "./api.js";
import { about, byId, el } from "./dom.js";
import { scrollable } from "./matrix.js";
import { runner, servedModels } from "./runner.js";
import { Schema } from "./schema.js";

const PLACEHOLDER = "mixedbread-ai/mxbai-embed-large-v1"; // the model of the examples

async function show() {
  const [{ json }, models] = await Promise.all([askJson("GET", "/openapi.json", { withKey: false }), servedModels()]);
  const schema = new Schema(json);
  const operations = schema.operations();
  byId("title").textContent = `${json.info.title} ${about.version}`;
  byId("description").textContent = json.info.description;
  byId("contents").replaceChildren(
    ...operations.map((one) => el("li", {}, el("a", { href: `#${idOf(one)}` }, el("span", { class: "method" }, one.method), one.path))),
    el("li", {}, el("a", { href: "#errors" }, "Errors")));
  byId("operations").replaceChildren(...operations.map((one) => section(schema, one, models)), errors(schema, operations));
  document.getElementById(location.hash.slice(1))?.scrollIntoView();
}

const idOf = ({ operation }) => operation.operationId;

function section(schema, one, models) {
  const { method, path, twin, operation } = one;
  const body = operation.requestBody?.content["application/json"];
  const answer = schema.resolve(operation.responses["200"])?.content ?? {};
  const id = idOf(one);
  return el("section", { id, "aria-labelledby": `${id}-title` },
    el("h2", { id: `${id}-title` }, el("span", { class: "method" }, method), " ", path),
    el("p", {}, `${operation.summary}.`, twin ? [" Also at ", el("code", {}, twin), "."] : "",
      operation.description ? ` ${operation.description}` : "",
      operation.security?.length === 0 || !needsKey ? "" : " Needs a key."),
    body ? scrollable(schema.fields(body.schema, "Fields of the body"), "Fields of the body") : null,
    answer["application/json"]?.schema ? el("details", {}, el("summary", {}, "Answer"),
      scrollable(schema.fields(answer["application/json"].schema, "Fields of the answer"), "Fields of the answer")) : null,
    el("p", { class: "hint" }, "Answers ", Object.keys(operation.responses).flatMap((status, i) => [
      i ? ", " : "", status < "400" ? status : el("a", { href: `#error-${status}` }, status)]), "."),
    runner(id, method, examplesOf(schema, one, models)));
}

/** What can be run: bodies, values of the path, or the plain request. */
function examplesOf(schema, { path, operation }, models) {
  const body = operation.requestBody?.content["application/json"];
  if (body) {
    return schema.examples(body).filter(([, example]) => needsKey || example["x-key"] !== false).map(([, example]) => ({
      title: example.summary, path, status: example["x-status"], withKey: example["x-key"] !== false,
      body: JSON.stringify(served(example.value, models), null, 2),
    }));
  }
  const parameter = operation.parameters?.[0];
  if (!parameter) return [{ title: operation.summary, path, body: null, status: 200, withKey: operation.security?.length !== 0 }];
  return schema.examples(parameter).map(([, example]) => ({
    title: example.summary, body: null, status: example["x-status"], withKey: true,
    path: path.replace(`{${parameter.name}}`, encodeURI(served({ model: example.value }, models).model)),
  }));
}

/** The value with a model of this server in the place of the examples' own. */
function served(value, models) {
  if (value.model !== PLACEHOLDER || models.length === 0 || models.some(({ id }) => id === PLACEHOLDER)) return value;
  const fit = value.dimensions ? models.find(({ matryoshka }) => matryoshka) : null;
  return { ...value, model: (fit ?? models[0]).id };
}

function errors(schema, operations) {
  const told = new Map(operations.flatMap(({ operation }) => Object.entries(operation.responses))
    .filter(([status]) => status >= "400").sort());
  return el("section", { id: "errors", "aria-labelledby": "errors-title" },
    el("h2", { id: "errors-title" }, "Errors"),
    el("p", {}, "Every error has this body. Match on ", el("code", {}, "error.code"), "; the words may change."),
    [...told].map(([status, response]) => kinds(schema, status, schema.resolve(response))));
}

function kinds(schema, status, { description, content, headers }) {
  return el("div", { id: `error-${status}`, class: "kinds" },
    el("h3", {}, `${status}: ${description.replaceAll("`", "")}`),
    headers ? el("p", { class: "hint" }, "With ", el("code", {}, Object.keys(headers).join(", ")), ".") : null,
    schema.examples(content["application/json"]).map(([code, { summary, value }]) => el("details", {},
      el("summary", {}, el("code", {}, code), ` ${summary}`),
      scrollable(el("pre", {}, JSON.stringify(value, null, 2)), `Body of ${code}`))));
}

const start = () => show().catch((error) => byId("failure").replaceChildren(errorBox(error)));
byId("access").addEventListener("submit", (event) => event.preventDefault());
keepKey(start);
start();
