// Contenders measured in turns, so that a machine that is busy with something else slows all of them down, and what comes of it.

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted.length % 2 ? sorted[sorted.length >> 1] : (sorted[sorted.length / 2 - 1] + sorted[sorted.length / 2]) / 2;
}

// How far apart the rounds are, as a part of their median.
export function spread(values) {
  return (Math.max(...values) - Math.min(...values)) / median(values);
}

// contenders: {name: async () => sample}, a sample an object of numbers. Every round measures each of them once, in an order that
// rotates; the first round warms them up and does not count. Resolves with {name: {samples, each number's median under its own name, spread of perSecond,
// ratio}}; the ratio is the median over the rounds of the first contender's rate by this one's in the same round.
export async function inTurns(rounds, contenders, { warmUp = true } = {}) {
  const names = Object.keys(contenders);
  const samples = Object.fromEntries(names.map((name) => [name, []]));
  const first = warmUp ? -1 : 0;
  for (let round = first; round < rounds; round++) {
    for (let i = 0; i < names.length; i++) {
      const name = names[(round - first + i) % names.length];
      const sample = await contenders[name]();
      if (sample.faults) throw new Error(`${name}: ${sample.faults} requests failed`);
      if (round >= 0) samples[name].push(sample);
    }
  }
  return compare(samples);
}

// The same from samples that were taken in turns elsewhere: {name: [sample of each round]}.
export function compare(samples) {
  const [yardstick] = Object.values(samples);
  return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, summary(list, yardstick)]));
}

function summary(samples, yardstick) {
  const out = { samples };
  for (const key of Object.keys(samples[0])) out[key] = median(samples.map((sample) => sample[key]));
  out.spread = spread(samples.map((sample) => sample.perSecond));
  out.ratio = median(samples.map((sample, round) => yardstick[round].perSecond / sample.perSecond));
  return out;
}
