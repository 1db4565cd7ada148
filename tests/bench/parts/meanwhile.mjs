// What those who submit and ask notice while an admin cleans half a million jobs, acts on them by a filter, or 300 listen to what happens: requests
// that arrive at a steady rate, and how long each takes from when it was due.
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Child, cleanEnvironment, eventually } from '../../api/harness/index.mjs';
import { notification } from '../peers/shared.mjs';
import { crowd } from './crowd.mjs';
import { median } from './figures.mjs';
import { cpuSeconds } from './load.mjs';
import { PEERS, startStage } from './stage.mjs';

const PER_SECOND = 200;
const QUEUE = 'crowded';
const SMALL = JSON.stringify(notification(200));

// What arrives: a job is submitted, its state is asked for, a queue's counts are asked for.
const MIX = [
  () => ['POST', '/api/jobs/notifications', SMALL],
  (n) => ['GET', `/api/jobs/status/notifications/${1 + (n % 100)}`],
  () => ['GET', '/api/jobs/stats/notifications'],
  () => ['POST', '/api/jobs/notifications', SMALL],
];

function send({ url, token }, agent, [method, path, body]) {
  const headers = { Authorization: `Bearer ${token}`, ...(body && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }) };
  return new Promise((resolve, reject) => {
    request(url + path, { method, headers, agent }, (response) => {
      response.resume().on('end', () => (response.statusCode < 300 ? resolve() : reject(new Error(`${method} ${path}: ${response.statusCode}`))));
    }).on('error', reject).end(body);
  });
}

// Requests at a steady rate until end(), which resolves with {requests, p50Ms, p99Ms, worstMs}.
function arrivals(target) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const taken = [];
  const pending = new Set();
  const began = performance.now();
  let sent = 0;
  let failure = null;
  const timer = setInterval(() => {
    for (; sent < ((performance.now() - began) * PER_SECOND) / 1000; sent++) {
      const due = began + (sent * 1000) / PER_SECOND;
      const one = send(target, agent, MIX[sent % MIX.length](sent)).then(() => taken.push(performance.now() - due), (error) => (failure ??= error));
      pending.add(one);
      one.finally(() => pending.delete(one));
    }
  }, 1);
  return {
    async end() {
      clearInterval(timer);
      await Promise.all(pending);
      agent.destroy();
      if (failure) throw failure;
      const sorted = taken.toSorted((a, b) => a - b);
      return { requests: sorted.length, p50Ms: median(sorted), p99Ms: sorted[Math.floor(sorted.length * 0.99)], worstMs: sorted.at(-1) };
    },
  };
}

// The arrivals while `work` goes on: {jobs (what it resolves with), seconds, ...of end()}.
async function beside(target, work) {
  const others = arrivals(target);
  const began = performance.now();
  const jobs = await work();
  const seconds = (performance.now() - began) / 1000;
  return { jobs, seconds, ...(await others.end()) };
}

async function ask({ url, token }, method, path, body) {
  const answer = await fetch(url + path, { method, headers: { authorization: `Bearer ${token}`, ...(body && { 'content-type': 'application/json' }) }, body: body && JSON.stringify(body) });
  const json = await answer.json();
  if (!answer.ok) throw new Error(`${method} ${path}: ${JSON.stringify(json)}`);
  return json;
}

// As the page does it: asked again until there is nothing left.
async function clean(target, state) {
  let removed = 0;
  for (let more = true; more; ) {
    const step = await ask(target, 'POST', `/api/queues/${QUEUE}/clean`, { state, limit: 10_000, confirm: QUEUE });
    removed += step.removed;
    more = step.more && step.removed > 0;
  }
  return removed;
}

async function bulk(target, action, filter) {
  const { id } = await ask(target, 'POST', `/api/queues/${QUEUE}/bulk`, { action, filter, confirm: QUEUE });
  for (;;) {
    const task = await ask(target, 'GET', `/api/tasks/${id}`);
    if (task.endedAt) {
      if (task.state !== 'done') throw new Error(`the task is ${task.state}: ${task.failure}`);
      return task.changed;
    }
    await pause(100);
  }
}

const WORK = [
  ...['waiting', 'completed', 'failed', 'delayed'].map((state) => ({ id: 'clean', state, title: `clean: ${state}`, run: (target) => clean(target, state) })),
  { id: 'bulk', state: 'waiting', title: 'remove by a filter, waiting: every fifth', run: (target) => bulk(target, 'remove', { state: 'waiting', name: 'seldom' }) },
  { id: 'bulk', state: 'failed', title: 'retry by a filter: all that failed', run: (target) => bulk(target, 'retry', { state: 'failed' }) },
];

// [{id, title, jobs, seconds, redisMicros (a job), requests, p50Ms, p99Ms, worstMs}]; the first is nothing else going on.
export async function meanwhile(plan) {
  const stage = await startStage({ env: { SLUICE_KEEP_ALIVE_TIMEOUT: '10m' } });
  const { sluice } = stage.targets;
  const rows = [];
  for (const { id, state, title, run } of [{ id: 'alone', title: 'nothing else' }, ...WORK]) {
    await stage.empty();
    await ask(sluice, 'POST', '/api/queues/notifications/jobs', Array.from({ length: 100 }, () => ({ data: notification(200) })));
    if (state) await crowd(stage.redis, QUEUE, state, plan.jobs);
    const before = cpuSeconds(stage.redis.pid);
    const sample = await beside(sluice, () => (run ? run(sluice) : pause(plan.seconds * 1000)));
    rows.push({ id, title, ...sample, redisMicros: sample.jobs && ((cpuSeconds(stage.redis.pid) - before) * 1e6) / sample.jobs });
  }
  await stage.empty();
  await stage.stop();
  return rows;
}

// ---- listeners ----

const eventReaders = async (redis) => (await redis.admin.client('LIST')).split('\n').filter((line) => line.includes('name=sluice:events')).length;

async function startListeners({ url, as }, n) {
  if (!n) return { end: () => ({ bytes: 0, pieces: 0, ended: 0 }) };
  const child = new Child(process.execPath, [join(PEERS, 'listeners.mjs'), url, as({ roles: ['viewer'] }), String(n)], { env: cleanEnvironment() });
  await eventually(() => child.lines.includes('ready'), { timeout: 60_000, what: `${n} listeners` });
  return {
    async end() {
      child.signal('SIGTERM');
      await child.end(30_000);
      return JSON.parse(child.lines.at(-1));
    },
  };
}

async function listened(stage, plan, n) {
  const { sluice } = stage.targets;
  const listeners = await startListeners(sluice, n);
  const before = [cpuSeconds(sluice.pid), cpuSeconds(stage.redis.pid)];
  const sample = await beside(sluice, () => pause(plan.seconds * 1000));
  const micros = (pid, i) => ((cpuSeconds(pid) - before[i]) * 1e6) / sample.requests;
  const used = { serverMicros: micros(sluice.pid, 0), redisMicros: micros(stage.redis.pid, 1), readers: await eventReaders(stage.redis) };
  const { bytes, pieces, ended } = await listeners.end();
  if (ended) throw new Error(`${ended} of ${n} listeners were cut off`);
  return { ...sample, ...used, perSecond: PER_SECOND, bytesPerSecond: bytes / sample.seconds, piecesPerSecond: n ? pieces / sample.seconds / n : 0 };
}

// [{listeners, readers, p50Ms, p99Ms, worstMs, serverMicros, redisMicros, bytesPerSecond, piecesPerSecond (of each listener)}]; every listener hears of every job.
export async function listening(plan) {
  const stage = await startStage({ env: { SLUICE_KEEP_ALIVE_TIMEOUT: '10m' } });
  const rows = [];
  for (const listeners of [0, plan.listeners]) {
    await ask(stage.targets.sluice, 'POST', '/api/queues/notifications/jobs', Array.from({ length: 100 }, () => ({ data: notification(200) })));
    rows.push({ listeners, ...(await listened(stage, plan, listeners)) });
  }
  await stage.empty();
  await stage.stop();
  return rows;
}
