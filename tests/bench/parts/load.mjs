// Load on a server, and what it cost: wrk where it can, a generator of our own where it cannot (arrivals at a steady rate).
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Child, cleanEnvironment, eventually, temporaryFolder } from '../../api/harness/index.mjs';
import { notification } from '../peers/shared.mjs';

const run = promisify(execFile);
const folder = temporaryFolder('sluice-bench');
const TICKS = 100; // USER_HZ
let files = 0;

// Processor seconds that the process has used, all threads together.
export function cpuSeconds(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
}

export function residentMiB(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
}

export function bodyFile(text) {
  if (text === undefined) return '';
  const path = join(folder, `body-${++files}`);
  writeFileSync(path, text);
  return path;
}

// target: {url, token, pid}; redis: {pid}; what: {method, path, body (text), ids, connections, seconds, perRequest}. Resolves with
// {perSecond, p50Ms, p99Ms, faults, serverMicros and redisMicros (of CPU, per item), residentMiB}. An item is a request, or each
// of the perRequest things that one asks for.
export async function hammer(target, redis, { method = 'POST', path, body, ids = 0, ...load }) {
  const sample = await wrk(target, redis, { script: 'load.lua', path, args: [method, target.token, bodyFile(body), String(ids)], ...load });
  await lastWord(target, { method, path, body });
  return sample;
}

// wrk leaves what is in flight unanswered. One more request is answered behind all that: nothing of it burdens whoever is measured next.
async function lastWord({ url, token }, { method, path, body }) {
  const headers = { ...(token && { Authorization: `Bearer ${token}` }), ...(body && { 'Content-Type': 'application/json' }) };
  const answer = await fetch(url + path.replace('ID', '1'), { method, body, headers });
  await answer.arrayBuffer();
}

// The same by any of the scripts.
export async function wrk(target, redis, { script, path = '', args, connections, seconds, perRequest = 1 }) {
  const measured = watch(target, redis);
  const { stdout } = await run('wrk', ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '30s',
    '-s', join(import.meta.dirname, '..', script), target.url + path, '--', ...args]);
  const { requests, ...seen } = JSON.parse(stdout.trim().split('\n').at(-1));
  return { p50Ms: seen.p50Ms, p99Ms: seen.p99Ms, faults: seen.faults, ...measured(requests * perRequest, seen.seconds) };
}

// Begins to count what a server and its Redis use; the function ends it: {perSecond, serverMicros, redisMicros, residentMiB} for so many items.
export function watch(target, redis) {
  const before = [cpuSeconds(target.pid), redis ? cpuSeconds(redis.pid) : 0];
  return (items, seconds) => ({
    perSecond: items / seconds,
    serverMicros: ((cpuSeconds(target.pid) - before[0]) * 1e6) / items,
    ...(redis && { redisMicros: ((cpuSeconds(redis.pid) - before[1]) * 1e6) / items }),
    residentMiB: residentMiB(target.pid),
  });
}

// The text of so many lines, each a job of 200 bytes.
export const lines = (n) => `${JSON.stringify({ data: notification(200) })}\n`.repeat(n);

// Adds the jobs of such a text in one call: how long it took, in seconds.
export async function sendLines({ url, token }, queue, text) {
  const began = performance.now();
  const answer = await new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/x-ndjson', 'Content-Length': Buffer.byteLength(text) };
    request(`${url}/api/queues/${queue}/jobs`, { method: 'POST', headers, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk)).on('error', reject).on('end', () => resolve(Buffer.concat(chunks)));
    }).on('error', reject).end(text);
  });
  const seconds = (performance.now() - began) / 1000;
  const summary = JSON.parse(answer.subarray(answer.lastIndexOf('\n', answer.length - 2) + 1));
  if (summary.rejected !== 0 || summary.problem) throw new Error(`lines for ${queue}: ${JSON.stringify(summary)}`);
  return seconds;
}

// Puts so many jobs into an empty queue of Sluice's, which then have the ids 1 to n.
export async function fill(target, queue, n) {
  const AT_ONCE = 200_000;
  for (let added = 0; added < n; added += AT_ONCE) await sendLines(target, queue, lines(Math.min(AT_ONCE, n - added)));
}

// BullMQ's Worker in a process of its own, which has begun. end() waits until it has done its jobs, or for so many seconds; it resolves with what
// the worker says then.
export async function startWorker(redis, { queue, concurrency, jobs }) {
  const program = join(import.meta.dirname, '../peers/worker.mjs');
  const child = new Child(process.execPath, [program, redis.socket, queue, String(concurrency), String(jobs)], { env: cleanEnvironment() });
  await eventually(() => child.lines.includes('ready'), { interval: 2, timeout: 20_000, what: 'a BullMQ worker' });
  return {
    async end({ after = 600 } = {}) {
      await Promise.race([child.exited, pause(after * 1000, null, { ref: false })]);
      child.signal('SIGTERM');
      await child.end(60_000);
      const last = child.lines.at(-1) ?? '';
      if (!last.startsWith('{')) throw new Error(`the BullMQ worker ended:\n${child.tail()}`);
      return JSON.parse(last);
    },
  };
}

// Sends so many requests, `perSecond` a second, however long the answers take; next() is each one's body.
export async function steady(target, { path, next, jobs, perSecond }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  const pending = [];
  const began = performance.now();
  for (let sent = 0; sent < jobs;) {
    const due = Math.min(jobs, Math.floor(((performance.now() - began) / 1000) * perSecond));
    for (; sent < due; sent++) pending.push(post(target, agent, path, next()));
    await pause(1);
  }
  await Promise.all(pending);
  agent.destroy();
}

function post(target, agent, path, body) {
  const headers = { Authorization: `Bearer ${target.token}`, 'Content-Type': 'application/json', 'Content-Length': body.length };
  return new Promise((resolve, reject) => {
    const sent = request(target.url + path, { method: 'POST', headers, agent }, (response) => {
      response.resume().on('end', () => (response.statusCode === 201 ? resolve() : reject(new Error(`status ${response.statusCode}`))));
    });
    sent.on('error', reject).end(body);
  });
}
