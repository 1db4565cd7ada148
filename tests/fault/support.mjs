// What the fault tests share: chance that can be repeated, clients that keep a journal, and the books that are balanced at the end.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { chmodSync, copyFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { BUILD, SLUICE, eventually, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';

export const DOCUMENTS = 'document-processing';
export const LONG = Boolean(process.env.SLUICE_TEST_LONG);
export const DURABLE = ['--appendonly', 'yes', '--appendfsync', 'always', '--maxmemory-policy', 'noeviction'];
const REPLICATION_MS = 1000; // a replica is told at once; the rest is for the journal, which is written when the answer has been read
const TEXT = 'Every acknowledged job is done.\nNone is lost.\n';

// Repeatable chance (mulberry32): SLUICE_TEST_SEED runs a seed that failed again.
export function chance(t) {
  const seed = Number(process.env.SLUICE_TEST_SEED ?? randomBytes(4).readUInt32LE());
  let state = seed;
  t.diagnostic(`SLUICE_TEST_SEED=${seed}`);
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

// A queue file whose documents are recovered within seconds and kept for the accounts; its path.
export function queueFile(changes = {}, name = DOCUMENTS) {
  const path = join(temporaryFolder(), 'queues.json');
  const queue = {
    name, concurrency: 4, lockDuration: 2000, stalledInterval: 1000, maxStalledCount: 100,
    removeOnComplete: { count: 1_000_000 }, removeOnFail: { count: 1_000_000 }, ...changes,
  };
  writeFileSync(path, JSON.stringify({ queues: [queue] }));
  return path;
}

// A Redis that writes to the disk before it answers; it ends with the test, however that ends.
export async function durableRedis(t, options = {}) {
  const redis = await startRedis({ args: DURABLE, ...options });
  t.after(() => redis.stop());
  return redis;
}

// The program; it ends with the test, cleanly where the test has come to its own stop().
export async function gateway(t, options = {}) {
  const sluice = await startSluice(options);
  t.after(() => {
    sluice.over = true; // who still submits to it may stop
    sluice.child.killGroup('SIGKILL');
  });
  t.after(() => sluice.client.close());
  return sluice;
}

// A connection to the gateway's embedded Redis, which may be killed meanwhile.
export function embeddedStore(t, sluice) {
  const store = new Redis({ path: join(sluice.dataDir, 'redis.sock'), retryStrategy: () => 50, maxRetriesPerRequest: null });
  store.on('error', () => {});
  t.after(() => store.disconnect());
  return store;
}

// What Redis is told from now on: until(expression) resolves when it fits the text of MONITOR. ioredis' own monitor throws when somebody's
// command comes in one piece with the answer to MONITOR.
export async function startMonitor(t, redis) {
  const socket = connect(redis.socket).setEncoding('latin1');
  const close = () => socket.destroy();
  t.after(close);
  let told = '';
  socket.on('data', (piece) => (told += piece));
  const until = (text) =>
    new Promise((resolve) => {
      const look = () => text.test(told) && resolve();
      socket.on('data', look);
      look();
    });
  socket.write('MONITOR\r\n');
  await until(/^\+OK\r\n/);
  return { until, close };
}

// Answers that say that Redis is away, as they must.
export function saysAway({ status, json, headers }) {
  return (status === 503 && json.code === 'redis-unavailable' && headers['retry-after'] === '1') || (status === 504 && json.code === 'outcome-unknown');
}

// The program beside a helper that waits while the gate is shut, so that a job runs for as long as a test wants.
export function gatedProgram() {
  const folder = temporaryFolder();
  const [bin, helper, gate] = ['sluice', 'sluice-helper', 'gate'].map((name) => join(folder, name));
  copyFileSync(SLUICE, bin);
  // The gateway may be killed before the shell has looked for its parent, so that it asks for whom it was told to work.
  writeFileSync(helper, `#!/bin/sh
for word; do case $word in --parent=*) parent=\${word#--parent=} ;; esac; done
while [ -e ${gate} ] && [ -e /proc/$parent ]; do sleep 0.02; done
exec ${join(BUILD, 'sluice-helper')} "$@"
`);
  chmodSync(helper, 0o755);
  return { program: [bin], shut: () => writeFileSync(gate, ''), open: () => rmSync(gate) };
}

// A job about the document; its id.
export async function addJob(sluice, data, query = '') {
  const { status, json, text } = await sluice.client.post(`/api/jobs/${DOCUMENTS}${query}`, data);
  assert.equal(status, 201, text);
  return json.jobId;
}

// Waits until the job has ended well; its status.
export function completed(sluice, id, { queue = DOCUMENTS, ...options } = {}) {
  return eventually(async () => {
    const { json } = await sluice.client.get(`/api/jobs/status/${queue}/${id}`);
    assert.notEqual(json.state, 'failed', json.failedReason);
    return json.state === 'completed' ? json : null;
  }, { timeout: 30_000, what: `the end of ${id}`, ...options });
}

// Uploads one text; what a job about it says.
export async function putDocument(sluice) {
  const documentId = randomUUID();
  const { status } = await sluice.client.put(`/api/documents/${documentId}`, TEXT);
  assert.equal(status, 201);
  return { documentId, userId: 'u-1', filename: 'promise.txt', mimeType: 'text/plain', fileSize: Buffer.byteLength(TEXT) };
}

// Clients that submit jobs until they are stopped. Every job is submitted until it is acknowledged, as a client with an Idempotency-Key
// or an id of its own would do it, so that in the end there is exactly one job for each.
export class Writers {
  journal = new Map(); // job id -> when it was acknowledged
  answers = new Map(); // status, or the error's code -> how often
  unexpected = [];
  #stopping = false;
  #running = [];

  // mayFail(answer): is this refusal one that the fault explains? A lost connection always is one when lossy is set.
  constructor(sluice, { count = 8, data, held = () => false, mayFail = () => false, lossy = false, timeout = 35_000 }) {
    Object.assign(this, { sluice, data, held, mayFail, lossy, timeout });
    for (let writer = 0; writer < count; writer++) this.#running.push(this.#write(writer));
  }

  get acknowledged() {
    return this.journal.size;
  }

  // Lets what was begun come to its acknowledgement.
  async stop() {
    this.#stopping = true;
    await Promise.all(this.#running);
    assert.deepEqual(this.unexpected, []);
  }

  async #write(writer) {
    for (let n = 0; !this.#stopping && !this.sluice.over; n++) {
      if (this.held(this)) await eventually(() => !this.held(this) || this.#stopping, { timeout: 120_000, what: 'work on what has been submitted' });
      else await this.#submit(writer % 2 ? { path: `?jobId=w${writer}-${n}` } : { headers: { 'idempotency-key': `w${writer}-${n}` } });
    }
  }

  async #submit({ path = '', headers }) {
    while (!this.sluice.over) {
      const answer = await this.#try(`/api/jobs/${DOCUMENTS}${path}`, headers);
      if (answer) {
        this.journal.set(answer.jobId, performance.now());
        return;
      }
      await pause(10);
    }
  }

  async #try(path, headers) {
    try {
      const answer = await this.sluice.client.post(path, this.data, { headers, timeout: this.timeout });
      this.#count(answer.status);
      if (answer.status === 200 || answer.status === 201) return answer.json;
      if (!this.mayFail(answer)) this.unexpected.push(answer.text);
    } catch (error) {
      this.#count(error.code ?? error.message);
      if (!this.lossy && !error.closedIdle) this.unexpected.push(error.stack); // every submission may be repeated
    }
    return undefined;
  }

  #count(what) {
    this.answers.set(what, (this.answers.get(what) ?? 0) + 1);
  }
}

const ENDED = new Set(['job_completed', 'job_failed', 'job_retry', 'job_delayed', 'job_released', 'job_dropped', 'job_finish_failed']);

// What the log lines say about executions: which began, which ended.
export class Executions {
  began = new Map(); // job id -> how often
  givenBack = new Map(); // job id -> how often it had been taken by a call whose answer never came
  deaths = 0;

  #open = new Set();

  // forgetful: a master that takes over may not have been told that a job is held, and gives it out again.
  constructor(logs, { forgetful = false } = {}) {
    Object.assign(this, { logs, forgetful, seen: 0, overlaps: 0 });
  }

  // Reads the lines that are new; fails when a job runs twice at the same time.
  read() {
    for (; this.seen < this.logs.length; this.seen++) {
      const { event, jobId } = this.logs[this.seen];
      if (event === 'job_active') {
        assert.ok(this.forgetful || !this.#open.has(jobId), `${jobId} runs twice at once`);
        if (this.#open.has(jobId)) this.overlaps++;
        this.#open.add(jobId);
        this.began.set(jobId, (this.began.get(jobId) ?? 0) + 1);
      } else if (ENDED.has(event)) {
        this.#open.delete(jobId);
      } else if (event === 'job_taken_unheard') {
        this.givenBack.set(jobId, (this.givenBack.get(jobId) ?? 0) + 1);
      }
    }
    return this;
  }

  // The process has died: what it had begun and not ended. Those jobs may begin once more.
  died() {
    const inFlight = [...this.read().#open];
    this.#open.clear();
    this.deaths++;
    return inFlight;
  }

  // What runs now.
  get running() {
    return [...this.read().#open];
  }

  get total() {
    return [...this.read().began.values()].reduce((sum, n) => sum + n, 0);
  }
}

// Those of several processes, as one. A process that was kept waiting for longer than a lock lasts may be given once more what it still runs.
export function executionsOf(logs) {
  const all = logs.map((lines) => new Executions(lines, { forgetful: true }));
  const sum = (what) => {
    const total = new Map();
    for (const one of all) for (const [id, n] of one[what]) total.set(id, (total.get(id) ?? 0) + n);
    return total;
  };
  return {
    all,
    read: () => all.forEach((one) => one.read()),
    get began() { return sum('began'); },
    get givenBack() { return sum('givenBack'); },
    get deaths() { return all.reduce((n, one) => n + one.deaths, 0); },
  };
}

// Everything that Redis holds of the queue, and nothing else of it: {id: {state, starts, stalls}}.
export async function inventory(redis, { prefix = 'bull', queue = DOCUMENTS } = {}) {
  const base = `${prefix}:${queue}:`;
  const lists = ['wait', 'active', 'paused'];
  const sets = ['completed', 'failed', 'delayed', 'prioritized', 'waiting-children'];
  const jobs = new Map();
  const place = (id, state) => {
    assert.ok(!jobs.has(id), `${id} is in ${jobs.get(id)?.state} and in ${state}`);
    jobs.set(id, { state });
  };
  for (const name of lists) for (const id of await redis.lrange(base + name, 0, -1)) place(id, name);
  for (const name of sets) for (const id of await redis.zrange(base + name, 0, -1)) place(id, name);
  for (const [id, job] of jobs) {
    const [starts, stalls, made] = await redis.hmget(base + id, 'ats', 'stc', 'atm');
    Object.assign(job, { starts: Number(starts ?? 0), stalls: Number(stalls ?? 0), made: Number(made ?? 0) });
  }
  const own = new Set(['meta', 'id', 'events', 'outbox', 'marker', 'stalled-check', 'stalled', ...lists, ...sets]);
  const stray = (await redis.keys(`${base}*`)).map((key) => key.slice(base.length)).filter((key) => {
    return !own.has(key) && !key.startsWith('idem:') && !key.startsWith('metrics:') && !jobs.has(key) && !jobs.has(key.replace(/:(logs|ended)$/, ''));
  });
  assert.deepEqual(stray, [], 'keys of the queue that belong to no job');
  return jobs;
}

// The promise: every acknowledged job is done, there is no other one, and a job began once more only after a kill caught it running. failovers: when
// a master was lost, which takes with it what its replicas had not been sent yet.
export async function balance(t, { redis, writers, executions, inFlight, failovers = [], timeout = 60_000 }) {
  const ids = [...writers.journal.keys()];
  const base = `bull:${DOCUMENTS}:`;
  const there = async () => (failovers.length ? redis.exists(...ids.map((id) => base + id)) : ids.length);
  await eventually(async () => (await redis.zcard(`${base}completed`)) >= (await there()), { timeout, what: `the end of ${ids.length} jobs` })
    .catch(() => {}); // what is missing is said below
  const jobs = await inventory(redis);
  const lost = ids.filter((id) => !jobs.has(id));
  const caught = new Map();
  for (const id of inFlight) caught.set(id, (caught.get(id) ?? 0) + 1);
  const repeated = [...jobs].filter(([, job]) => job.starts > 1).length;
  t.diagnostic(`acknowledged ${ids.length}, completed ${[...jobs.values()].filter((job) => job.state === 'completed').length}, ` +
    `taken more than once ${repeated}, in flight at kills ${inFlight.length}, answers ${JSON.stringify([...writers.answers])}`);
  if (failovers.length) t.diagnostic(`${lost.length} lost on their way to a replica, ${executions.overlaps} given out twice`);
  const away = (id) => Math.min(...failovers.map((at) => Math.abs(writers.journal.get(id) - at)));
  assert.deepEqual(lost.filter((id) => away(id) >= REPLICATION_MS).map((id) => `${id}, ${Math.round(away(id))} ms from any failover`), [], 'acknowledged and lost');
  assert.deepEqual([...jobs.keys()].filter((id) => !writers.journal.has(id)), [], 'made, and acknowledged to nobody');
  assert.deepEqual([...jobs].filter(([, job]) => job.state !== 'completed'), [], 'not completed');
  executions.read();
  const { began, givenBack, deaths } = executions;
  for (const [id, job] of jobs) {
    assert.equal(job.made, 1, `${id} ended ${job.made} times`);
    // A process that dies may not have said what it gave back.
    const again = job.starts - job.stalls - 1, given = givenBack.get(id) ?? 0;
    assert.ok(again >= 0 && (again <= given || deaths > 0), `${id} was taken ${job.starts} times, found stalled ${job.stalls} times, given back ${given} times`);
    // That it ran at all is shown by Redis (starts); the log, which drops lines rather than wait for a slow reader, bounds how often.
    const runs = began.get(id) ?? 0;
    // Of several processes, one that was kept waiting for so long has lost its lock to the others.
    const lapsed = executions.all ? job.stalls : 0;
    assert.ok(runs <= 1 + (caught.get(id) ?? 0) + lapsed + failovers.length, `${id} ran ${runs} times, caught by ${caught.get(id) ?? 0} kills`);
  }
}
