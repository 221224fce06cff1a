// Validates manifests of operators by the models of their packages: node models.mjs FOLDER < manifests.
// The models let unknown keys pass. But they read each key that they know, and no other: so the
// keys that nobody reads are those that there are not.
import { existsSync } from "node:fs";
import { text } from "node:stream/consumers";

const PACKAGES = {
  "monitoring.coreos.com/v1": "prometheus-operator",
  "keda.sh/v1alpha1": "keda",
  "gateway.networking.k8s.io/v1": "gateway-api",
};

// The same data, that remembers which of its places were read.
function watched(data, read, place = "") {
  if (data === null || typeof data !== "object") return data;
  return new Proxy(data, {
    get(target, key) {
      const value = Reflect.get(target, key);
      if (!Object.hasOwn(target, key)) return value;
      const inner = `${place}/${String(key)}`;
      read.add(inner);
      return watched(value, read, inner);
    },
  });
}

function* places(data, place = "") {
  if (data === null || typeof data !== "object") return;
  for (const [key, value] of Object.entries(data)) {
    yield `${place}/${key}`;
    yield* places(value, `${place}/${key}`);
  }
}

async function faults(manifest, folder) {
  const { apiVersion, kind } = manifest;
  const name = PACKAGES[apiVersion];
  const file = `${folder}/${name}/node_modules/@kubernetes-models/${name}/${apiVersion}/${kind}.js`;
  if (!existsSync(file)) return [`no ${kind} in ${apiVersion}`];
  const Model = (await import(file))[kind];
  const read = new Set();
  try {
    Model.prototype.validate.call(watched(manifest, read));
  } catch (error) {
    return [error.message];
  }
  return [...places(manifest)].filter((place) => !read.has(place)).map((place) => `no key ${place}`);
}

const [folder] = process.argv.slice(2);
const found = [];
for (const manifest of JSON.parse(await text(process.stdin))) found.push(await faults(manifest, folder));
console.log(JSON.stringify(found));
