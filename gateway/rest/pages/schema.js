// openapi.json, read: references resolved, types in words, operations in the order of the document.

import { el } from "./dom.js";

/** A document and how to follow what it refers to. */
export class Schema {
  constructor(document) {
    this.document = document;
  }

  /** What stands where a `$ref` points; anything else as it is. */
  resolve(node) {
    while (node?.$ref) {
      node = node.$ref.slice(2).split("/").reduce((place, name) => place[name.replaceAll("~1", "/")], this.document);
    }
    return node;
  }

  /** Every operation once: the twins without /v1 are names of the same. */
  operations() {
    const paths = Object.entries(this.document.paths);
    const all = paths.flatMap(([path, item]) => Object.entries(item).map(([method, operation]) => ({
      method: method.toUpperCase(), path, operation,
      twin: path.startsWith("/v1/") && path.slice(3) in this.document.paths ? path.slice(3) : null,
    })));
    const first = (path) => (path.startsWith("/v1/") ? 0 : 1);
    return all.filter(({ path }) => !(`/v1${path}` in this.document.paths)).sort((a, b) => first(a.path) - first(b.path));
  }

  /** The examples of a body or of a parameter, resolved: [name, example]. */
  examples(holder) {
    return Object.entries(holder?.examples ?? {}).map(([name, node]) => [name, this.resolve(node)]);
  }

  /** A schema's type in words; `named` collects what it refers to by name. */
  type(node, named = new Map()) {
    if (node.$ref) {
      const name = node.$ref.split("/").at(-1);
      named.set(name, this.resolve(node));
      return name;
    }
    if (node.const !== undefined) return JSON.stringify(node.const);
    if (node.enum) return node.enum.map((value) => String(value)).join(" | ");
    const choices = node.oneOf ?? node.anyOf;
    if (choices) return choices.map((choice) => this.type(choice, named)).join("; or ");
    const types = [node.type ?? "anything"].flat();
    return types.map((type) => (type === "array" && node.items ? `array of ${this.type(node.items, named)}` : type)).join(" or ") + bounds(node);
  }

  /** The fields of an object as a table, and what they refer to below it. */
  fields(node, caption) {
    const { properties = {}, required = [] } = this.resolve(node);
    const named = new Map();
    const rows = Object.entries(properties).map(([name, field]) => el("tr", {},
      el("th", { scope: "row" }, name),
      el("td", {}, el("p", { class: "faint" }, this.type(field, named), required.includes(name) ? el("b", {}, ", required") : null),
        el("p", {}, meaning(field)))));
    const kinds = [...named].filter(([, kind]) => kind.type !== "object").map(([name, kind]) => el("p", { class: "hint" },
      el("code", {}, name), `: ${this.type(kind)}. `, meaning(kind)));
    return el("div", {}, el("table", { class: "words" },
      el("caption", {}, caption),
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Field"), el("th", { scope: "col" }, "Meaning"))),
      el("tbody", {}, rows)), kinds);
  }
}

function bounds({ minimum, maximum, minLength, maxLength, minItems, maxItems }) {
  const range = (least, most, unit) =>
    least === undefined && most === undefined ? ""
    : least === 1 && most === undefined && unit ? ", not empty"
    : least === undefined ? `, at most ${most}${unit}`
    : most === undefined ? `, at least ${least}${unit}` : `, ${least} to ${most}${unit}`;
  return range(minimum, maximum, "") + range(minLength, maxLength, " characters") + range(minItems, maxItems, " entries");
}

function meaning({ description, default: standard }) {
  const words = description ? `${description[0].toUpperCase()}${description.slice(1)}. ` : "";
  return standard === undefined ? words : [words, "Default ", el("code", {}, JSON.stringify(standard)), "."];
}
