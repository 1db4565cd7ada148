// The figures as Markdown.
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, release } from 'node:os';
import { execFileSync } from 'node:child_process';
import { NAMES } from './chart.mjs';
import { goals } from './goals.mjs';

const count = (n) => Math.round(n).toLocaleString('en');
const tenths = (n) => (n === undefined || Number.isNaN(n) ? '' : n.toFixed(1));
const percent = (n) => `±${Math.round(n * 50)} %`;
const table = (head, rows, others = '---:') => [head, head.map((_, i) => (i ? others : '---')), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');

function versusTable(cases) {
  const rows = cases.flatMap(({ title, results }) => Object.entries(results).map(([name, r]) => [
    name === 'sluice' ? title : '', NAMES[name], count(r.perSecond), percent(r.spread), name === 'sluice' ? '' : `**${r.ratio.toFixed(2)}**`,
    tenths(r.serverMicros), tenths(r.redisMicros), tenths(r.p50Ms), tenths(r.p99Ms), tenths(r.residentMiB),
  ]));
  return table(['case', 'program', 'a second', 'spread', 'Sluice is × as fast', 'CPU µs each', 'Redis CPU µs each', 'p50 ms', 'p99 ms', 'resident MiB'], rows);
}

function ownTable(head, rows) {
  return table([head, 'a second', 'spread', 'CPU µs each', 'Redis CPU µs each', 'p50 ms', 'p99 ms', 'resident MiB'],
    rows.map((r) => [r.title, count(r.perSecond), percent(r.spread), tenths(r.serverMicros), tenths(r.redisMicros), tenths(r.p50Ms), tenths(r.p99Ms), tenths(r.residentMiB)]));
}

const RECORDS = { sluice: 'without records', records: 'with records', stopped: 'with records, PostgreSQL stopped meanwhile' };

function recordsTable(cases) {
  const rows = cases.flatMap(({ title, results }) => Object.entries(results).map(([name, r]) => [
    name === 'sluice' ? title : '', RECORDS[name], count(r.perSecond), percent(r.spread), r.ratio.toFixed(2),
    tenths(r.p50Ms), tenths(r.p99Ms), (r.p99Ms / results.sluice.p99Ms).toFixed(2), tenths(r.serverMicros), tenths(r.redisMicros), tenths(r.pgMicros),
  ]));
  return table(['load', '', 'a second', 'spread', 'without is × as fast', 'p50 ms', 'p99 ms', 'p99 × without', 'CPU µs each', 'Redis CPU µs each', 'PostgreSQL CPU µs each'], rows);
}

function searchTable(searches) {
  return table(['records that are searched for', 'first ms', 'p50 ms', 'longest ms'], searches.map((r) => [r.title, tenths(r.firstMs), tenths(r.p50Ms), tenths(r.worstMs)]));
}

const seconds = (n) => (n === undefined ? '' : n.toFixed(1));

function adminTables({ page, meanwhile, listening }, { queues, jobs }) {
  const others = 'other requests: p50 ms';
  return [
    `### The web page with ${count(queues)} queues and ${count(jobs)} jobs`,
    table(['what', 'ms', 'longest ms', "CPU ms of the page's thread"], page.map((r) => [r.title, tenths(r.ms), tenths(r.worstMs), tenths(r.cpuMs)])),
    `### What others notice of ${count(jobs)} jobs that are cleaned or acted on (200 requests a second: submit, status, counts)`,
    table(['meanwhile', 'jobs', 'seconds', 'Redis CPU µs a job', others, 'p99 ms', 'longest ms'], meanwhile.map((r) => [
      r.title, r.jobs ? count(r.jobs) : '', seconds(r.seconds), tenths(r.redisMicros), tenths(r.p50Ms), tenths(r.p99Ms), tenths(r.worstMs)])),
    '### What others notice of listeners to all events (the same requests; 100 jobs a second)',
    table(['listeners', 'connections to Redis for them', 'told, MiB a second', 'writes a second to each', 'CPU µs a request', 'Redis CPU µs a request', others, 'p99 ms', 'longest ms'], listening.map((r) => [
      count(r.listeners), r.readers, tenths(r.bytesPerSecond / 1048576), tenths(r.piecesPerSecond), tenths(r.serverMicros), tenths(r.redisMicros), tenths(r.p50Ms), tenths(r.p99Ms), tenths(r.worstMs)])),
  ];
}

function latencyTable({ results }) {
  return table(['submitted through', 'p50 ms', 'p99 ms'], Object.entries(results).map(([name, r]) => [NAMES[name], tenths(r.p50Ms), tenths(r.p99Ms)]));
}

function goalTable(rows) {
  const cells = rows.map((row) => [row.title, row.measured, row.reached ? 'yes' : '**no**', row.limit]);
  return table(['goal', 'measured', 'reached', 'what stands in the way, measured in the same run'], cells, '---');
}

export function machine() {
  const redis = /v=([\d.]+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))[1];
  return `${availableParallelism()} cores of ${cpus()[0].model}, Linux ${release()}, Redis ${redis}, Node ${process.versions.node}, load average ${readFileSync('/proc/loadavg', 'utf8').split(' ')[0]} at the end`;
}

// parts: {versus, latency, idle, costs, records, search, admin, limits, startup}; what was not measured is left out.
export function markdown(parts, plan) {
  const out = [`Machine: ${machine()}. ${plan.rounds} round${plan.rounds > 1 ? 's' : ''} of ${plan.seconds} s for each figure; medians.`];
  const reached = goals(parts);
  if (reached.length) out.push('### Goals', goalTable(reached));
  if (parts.versus.length) out.push('### Beside the others', versusTable(parts.versus));
  if (parts.latency) out.push(`### From submission to completion at half load, ${count(parts.latency.perSecond)} jobs a second, the same BullMQ worker for both`, latencyTable(parts.latency));
  if (parts.idle) out.push('### POST one job with 50 connections, 2 500 connection threads', ownTable('beside them', parts.idle.map((r) => ({ title: `${count(r.connections)} idle connections`, ...r }))));
  if (parts.costs) out.push('### What the cost of a job depends on (POST, 50 connections)', ownTable('with', parts.costs));
  if (parts.records) out.push('### What records cost, until the last one is written', recordsTable(parts.records));
  if (parts.search) out.push(`### Searching ${count(plan.searched)} records: GET /api/records, 50 at a time`, searchTable(parts.search));
  if (parts.admin) out.push(...adminTables(parts.admin, plan.admin));
  if (parts.limits) out.push('### What the machine allows', ownTable('who does only this', parts.limits));
  if (parts.startup) out.push('### Start and rest', `\`\`\`\n${parts.startup.trim()}\n\`\`\``);
  return out.join('\n\n');
}
