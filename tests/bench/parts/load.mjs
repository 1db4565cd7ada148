// Load on a server, and what it cost: wrk where it can, a generator of our own where it cannot (arrivals at a steady rate).
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { temporaryFolder } from '../../api/harness/index.mjs';
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

function bodyFile(text) {
  if (text === undefined) return '';
  const path = join(folder, `body-${++files}`);
  writeFileSync(path, text);
  return path;
}

// target: {url, token, pid}; redis: {pid}; what: {method, path, body (text), ids, connections, seconds, perRequest}. Resolves with
// {perSecond, p50Ms, p99Ms, faults, serverMicros and redisMicros (of CPU, per item), residentMiB}. An item is a request, or each
// of the perRequest things that one asks for.
export async function hammer(target, redis, { method = 'POST', path, body, ids = 0, connections, seconds, perRequest = 1 }) {
  const before = [cpuSeconds(target.pid), cpuSeconds(redis.pid)];
  const { stdout } = await run('wrk', ['-t', '1', '-c', String(connections), '-d', `${seconds}s`, '--timeout', '30s',
    '-s', join(import.meta.dirname, '../load.lua'), target.url + path, '--', method, target.token, bodyFile(body), String(ids)]);
  const seen = JSON.parse(stdout.trim().split('\n').at(-1));
  const items = seen.requests * perRequest;
  return {
    perSecond: items / seen.seconds,
    p50Ms: seen.p50Ms,
    p99Ms: seen.p99Ms,
    faults: seen.faults,
    serverMicros: ((cpuSeconds(target.pid) - before[0]) * 1e6) / items,
    redisMicros: ((cpuSeconds(redis.pid) - before[1]) * 1e6) / items,
    residentMiB: residentMiB(target.pid),
  };
}

// Puts so many jobs into an empty queue of Sluice's, which then have the ids 1 to n.
export async function fill({ url, token }, queue, n) {
  const headers = { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' };
  const body = JSON.stringify(Array.from({ length: 1000 }, () => ({ data: notification(200) })));
  for (let added = 0; added < n; added += 1000) {
    const answer = await fetch(`${url}/api/queues/${queue}/jobs`, { method: 'POST', headers, body });
    const { results } = await answer.json();
    if (!results?.every((result) => result.created)) throw new Error(`filling ${queue}: ${answer.status}`);
  }
}

// Sends `perSecond` requests a second for so long, however long the answers take; next() is each one's body.
export async function steady(target, { path, next, perSecond, seconds }) {
  const agent = new Agent({ keepAlive: true, maxSockets: 50 });
  const pending = [];
  const began = performance.now();
  for (let sent = 0; sent < perSecond * seconds;) {
    const due = Math.min(perSecond * seconds, Math.floor(((performance.now() - began) / 1000) * perSecond));
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
