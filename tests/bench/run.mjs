// The benchmark: starts everything itself, measures Sluice and its peers in turns, prints the figures as Markdown. A full run writes
// them into docs/performance.md, between its markers, and the chart into docs/img/.
//
//     node tests/bench/run.mjs [part ...]      parts: submit disk arrays lines reading running workers latency idle costs records search admin limits startup; all by default
//     QUICK=1                                  fewer rounds, shorter, the most telling cases; writes nothing
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '../..');
process.env.SLUICE_BIN ??= resolve(root, 'build/sluice');
process.env.SLUICE_BUILD ??= resolve(root, 'build');
const { costs, idle, latency } = await import('./parts/alone.mjs');
const { admin } = await import('./parts/admin.mjs');
const { chart } = await import('./parts/chart.mjs');
const { markdown } = await import('./parts/report.mjs');
const { limits } = await import('./parts/limits.mjs');
const { records } = await import('./parts/records.mjs');
const { searching } = await import('./parts/records-search.mjs');
const { arrays, byLines, reading, submit } = await import('./parts/versus.mjs');
const { running, workers } = await import('./parts/workers.mjs');

const quick = Boolean(process.env.QUICK);
const FULL = {
  rounds: 4, seconds: 2, connections: [1, 50, 200], peers: ['fastify', 'jwt', 'nest'], disk: ['everysec', 'always'], arrays: [100, 1000], lines: 100_000,
  backlogs: [1000, 100_000, 1_000_000], concurrencies: [1, 10, 100], emptyJobs: 30_000, leases: [1, 100], leased: 80_000, lengths: [0, 100_000, 500_000],
  sizes: [200, 10_000, 500_000], queues: [3, 100, 1000], recorded: ['own', 'elsewhere', 'ends'], searched: 2_000_000, scripts: [[1, 16], [25, 16], [100, 16], [100, 1]],
  startups: 15,
  admin: { queues: 200, jobs: 500_000, visits: 9, seconds: 10, listeners: 300 },
};
const QUICK = {
  rounds: 1, seconds: 1, connections: [50], peers: ['fastify', 'nest'], disk: ['always'], arrays: [100], lines: 100_000,
  backlogs: [1000, 100_000], concurrencies: [1, 100], emptyJobs: 5_000, leases: [], leased: 20_000, lengths: [],
  sizes: [500_000], queues: [1000], recorded: ['own'], scripts: [[25, 16], [100, 1]],
  startups: 3, admin: { queues: 200, jobs: 20_000, visits: 1, seconds: 2, listeners: 300 },
};
const plan = quick ? QUICK : FULL;

const DISK = { everysec: ', AOF every second', always: ', AOF at every write' };

const VERSUS = {
  submit: () => submit(plan, 'memory', ''),
  disk: async () => {
    const out = [];
    for (const mode of plan.disk) out.push(...(await submit(plan, mode, DISK[mode])));
    return out;
  },
  arrays: () => arrays(plan),
  lines: () => byLines(plan),
  reading: () => reading(plan),
  running: () => running(plan),
  workers: () => workers(plan),
};
const ALONE = {
  latency: () => latency(plan),
  idle: () => idle(plan),
  costs: () => costs(plan),
  records: () => records(plan),
  search: () => (plan.searched ? searching(plan) : undefined),
  admin: () => admin(plan.admin),
  limits: () => limits(plan),
  startup: () => execFileSync(process.execPath, [resolve(import.meta.dirname, 'startup.mjs'), String(plan.startups)], { encoding: 'utf8' }),
};

const wanted = process.argv.slice(2);
const isWanted = (name) => !wanted.length || wanted.includes(name);
const parts = { versus: [] };
for (const [name, measure] of Object.entries(VERSUS)) {
  if (isWanted(name)) parts.versus.push(...((await step(name, measure)) ?? []));
}
for (const [name, measure] of Object.entries(ALONE)) {
  if (isWanted(name)) parts[name] = await step(name, measure);
}

async function step(name, measure) {
  const began = performance.now();
  try {
    return await measure();
  } catch (error) {
    console.error(`${name} failed: ${error.stack}`);
    process.exitCode = 1; // the other parts are measured and printed all the same, but nothing is written
    return undefined;
  } finally {
    console.error(`${name}: ${((performance.now() - began) / 1000).toFixed(0)} s`);
  }
}

const text = markdown(parts, plan);
console.log(text);
if (!quick && !wanted.length && !process.exitCode) {
  const page = resolve(root, 'docs/performance.md');
  const markers = /(<!-- figures -->\n)[\s\S]*(<!-- end of figures -->)/;
  writeFileSync(page, readFileSync(page, 'utf8').replace(markers, (_, begin, end) => `${begin}\n${text}\n\n${end}`));
  mkdirSync(resolve(root, 'docs/img'), { recursive: true });
  writeFileSync(resolve(root, 'docs/img/performance.svg'), chart(parts.versus));
}
process.exit(); // what a part that failed has left running ends with this program
