// The call at hand as a program: curl, both SDKs in Python, JavaScript. The key is never in it.

import { about } from "./dom.js";

const NEEDS_KEY = about.auth !== "off";

// Characters that reorder what is read without changing what runs, and ends of lines of JavaScript.
const INVISIBLE = /[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** A value as JSON that shows what it holds; its strings are strings of Python and JavaScript too. */
const literal = (value) =>
  JSON.stringify(value).replace(INVISIBLE, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** A list with an entry a line, each with a comma behind it but for the last of JSON. */
function indented(value, depth, { step = 4, last = "," } = {}) {
  if (!Array.isArray(value) || value.length < 2) return literal(value);
  const lines = value.map((entry) => `\n${" ".repeat(depth + step)}${literal(entry)}`);
  return `[${lines.join(",")}${last}\n${" ".repeat(depth)}]`;
}

/** Every program, by its name, for the body of a call to the gateway at `origin`. */
export const snippets = (body, origin) => ({
  curl: curl(body, origin),
  "Python, openai": openai(body, origin),
  "Python, mixedbread": mixedbread(body, origin),
  JavaScript: javascript(body, origin),
});

function curl(body, origin) {
  const fields = Object.entries(body).map(([name, value]) =>
    `  ${literal(name)}: ${indented(value, 2, { step: 2, last: "" })}`);
  const json = `{\n${fields.join(",\n")}\n}`.replaceAll("'", "'\\''");
  return [
    `curl ${origin}/v1/embeddings \\`,
    ...(NEEDS_KEY ? ['  -H "Authorization: Bearer $API_KEY" \\'] : []),
    "  -H 'Content-Type: application/json' \\",
    `  -d '${json}'`,
  ].join("\n");
}

const pythonKey = NEEDS_KEY ? 'os.environ["API_KEY"]' : '"none"';
const pythonTop = NEEDS_KEY ? "import os\n\n" : "";

function python(value, depth) {
  if (value === true) return "True";
  if (value === false) return "False";
  return indented(value, depth);
}

const keywords = (fields) =>
  Object.entries(fields).map(([name, value]) => `    ${name}=${python(value, 4)},\n`).join("");

/** What the SDK has no argument for goes into its extra_body. */
function extra(fields) {
  const names = Object.keys(fields);
  if (names.length === 0) return "";
  return `    extra_body={${names.map((name) => `${literal(name)}: ${python(fields[name], 4)}`).join(", ")}},\n`;
}

function openai({ model, input, dimensions, encoding_format, ...rest }, origin) {
  const own = { model, input, ...(dimensions && { dimensions }) };
  if (encoding_format === "float" || encoding_format === "base64") own.encoding_format = encoding_format;
  else rest.encoding_format = encoding_format;
  return `${pythonTop}from openai import OpenAI

client = OpenAI(api_key=${pythonKey}, base_url="${origin}/v1")
answer = client.embeddings.create(
${keywords(own)}${extra(rest)})
print(answer.usage.total_tokens, answer.data[0].embedding)`;
}

function mixedbread({ truncation_strategy, ...own }, origin) {
  return `${pythonTop}from mixedbread import Mixedbread

client = Mixedbread(api_key=${pythonKey}, base_url="${origin}")
answer = client.embed(
${keywords(own)}${extra(truncation_strategy ? { truncation_strategy } : {})})
print(answer.usage.total_tokens, answer.data[0].embedding)`;
}

function javascript(body, origin) {
  const fields = Object.entries(body).map(([name, value]) => `    ${name}: ${indented(value, 4)},\n`).join("");
  const key = NEEDS_KEY ? "    Authorization: `Bearer ${process.env.API_KEY}`,\n" : "";
  return `const answer = await fetch("${origin}/v1/embeddings", {
  method: "POST",
  headers: {
${key}    "Content-Type": "application/json",
  },
  body: JSON.stringify({
${fields}  }),
});
if (!answer.ok) throw new Error((await answer.json()).message);
const { data, usage } = await answer.json();
console.log(usage.total_tokens, data[0].embedding);`;
}
