// Prometheus' text format → samples, and a short memory of them for rates and quantiles.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g;

/** [{ name, labels, value }] of an answer of /metrics. */
export function parse(text) {
  return text.split("\n").flatMap((line) => {
    const [, name, labels = "", value] = (line[0] !== "#" && line.match(LINE)) || [];
    return name ? [{ name, labels: labelsOf(labels), value: Number(value.replace("Inf", "Infinity")) }] : [];
  });
}

const labelsOf = (text) =>
  Object.fromEntries([...text.matchAll(LABEL)].map(([, name, value]) =>
    [name, value.replace(/\\(.)/g, (_, escaped) => (escaped === "n" ? "\n" : escaped))]));

/** Adds up samples by what `by` makes of their labels; null leaves one out. */
function addUp(samples, name, by) {
  const sums = new Map();
  for (const sample of samples) {
    const group = sample.name === name ? by(sample.labels) : null;
    if (group !== null && group !== undefined) sums.set(group, (sums.get(group) ?? 0) + sample.value);
  }
  return sums;
}

const all = () => "";

/** What was measured over the last minutes; times in seconds. */
export class Memory {
  constructor(seconds) {
    this.seconds = seconds;
    this.looks = [];
  }

  add(samples, at) {
    this.looks.push({ samples, at });
    while (this.looks[0].at < at - this.seconds) this.looks.shift();
  }

  /** The newest values, by group; a Map. */
  now(name, by = all) {
    return addUp(this.looks.at(-1)?.samples ?? [], name, by);
  }

  /** What counters grew by over the last `seconds`, by group, and for how long that is true. */
  growth(name, by = all, seconds = this.seconds) {
    const last = this.looks.at(-1);
    const first = this.looks.find((look) => look.at >= last?.at - seconds);
    return { grown: first && last !== first ? grown(first, last, name, by) : new Map(), over: last ? last.at - first.at : 0 };
  }

  /** Per second, by group. */
  rate(name, by = all, seconds = this.seconds) {
    const { grown: sums, over } = this.growth(name, by, seconds);
    return new Map([...sums].map(([group, sum]) => [group, sum / over]));
  }

  /** [{ at, value }] of `tell(earlier, later)` between two looks, oldest first. */
  course(tell) {
    return this.looks.slice(1).map((look, i) => ({ at: look.at, value: tell(this.looks[i], look) }));
  }

  /** The rate between two looks, for `course`. */
  static rateOf = (name, by = all) => (earlier, later) =>
    [...grown(earlier, later, name, by).values()].reduce((sum, one) => sum + one, 0) / (later.at - earlier.at);

  /** The sum at the later look, for `course`. */
  static sumOf = (name, by = all) => (_, later) =>
    [...addUp(later.samples, name, by).values()].reduce((sum, one) => sum + one, 0);

  /** The quantile of a histogram over the last `seconds`; NaN if nothing was observed. */
  quantile(name, share, keep, seconds = this.seconds) {
    const { grown: buckets } = this.growth(`${name}_bucket`, (labels) => (keep(labels) ? labels.le : null), seconds);
    return quantile([...buckets].map(([le, sum]) => [le === "+Inf" ? Infinity : Number(le), sum]), share);
  }
}

/** By group; a counter that began anew counts from zero. */
function grown(first, last, name, by) {
  const before = addUp(first.samples, name, by);
  return new Map([...addUp(last.samples, name, by)].map(([group, value]) => {
    const earlier = before.get(group) ?? 0;
    return [group, value < earlier ? value : value - earlier];
  }));
}

function quantile(buckets, share) {
  const sorted = buckets.sort(([a], [b]) => a - b);
  const wanted = share * (sorted.at(-1)?.[1] ?? 0);
  if (wanted === 0) return NaN;
  let below = [0, 0];
  for (const [bound, sum] of sorted) {
    if (sum >= wanted) {
      return bound === Infinity ? below[0] : below[0] + ((bound - below[0]) * (wanted - below[1])) / (sum - below[1]);
    }
    below = [bound, sum];
  }
  return NaN;
}
