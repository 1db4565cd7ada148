// The same random steps through the official client on one Redis database and through lib/bullmq on another; then every key must
// be the same: fields, scores, the order of lists, events. What lib/bullmq does not do (promoting one job, keeping schedulers) is
// done by the official client on both sides.
//
//     SLUICE_DIFF_SEQUENCES=2000  SLUICE_DIFF_SEED=7  node --test tests/interop/differential.test.mjs
//
// In half of the sequences ours keeps an outbox as well, which has one end for each that the events tell of.
//
// A failing sequence prints its seed and is run again, compared after every step, to name the first step that differs.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FlowProducer, Queue, UnrecoverableError, Worker } from 'bullmq';
import { startRedis } from '../api/harness/index.mjs';
import { completeJobs, countNodes, randomTree, sameFlow, shape } from './flows.mjs';
import { Driver, NAME, Random, SEED, SEQUENCES } from './support.mjs';

const STEPS = 25;
const START = Date.UTC(2026, 10, 21, 9);
const KEY = `bull:${NAME}:`;

// ---- time ----
const realNow = Date.now;
let standing = null; // ms; null: the real clock
Date.now = () => standing ?? realNow();

// ---- comparing ----
// What a run must have seen, so that it compares more than empty queues.
const EVENTS = [
  'active', 'added', 'completed', 'deduplicated', 'delayed', 'drained', 'duplicated', 'failed', 'paused', 'progress', 'removed', 'resumed',
  'retries-exhausted', 'stalled', 'waiting', 'waiting-children',
];

const JSON_FIELDS = new Set(['opts', 'parent', 'stacktrace', 'pd']);

// Ours always stores {count, age}; BullMQ stores what the caller wrote.
function plainKeep(keep) {
  if (typeof keep === 'boolean') return { count: keep ? 0 : -1 };
  return typeof keep === 'number' ? { count: keep } : keep;
}

function plainField(name, value) {
  if (!JSON_FIELDS.has(name)) return value;
  const parsed = JSON.parse(value);
  for (const keep of ['removeOnComplete', 'removeOnFail']) if (name === 'opts' && keep in parsed) parsed[keep] = plainKeep(parsed[keep]);
  return parsed;
}

const pairs = (flat) => Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i], flat[2 * i + 1]]);

const READERS = {
  string: (redis, key) => redis.get(key),
  list: (redis, key) => redis.lrange(key, 0, -1),
  set: async (redis, key) => (await redis.smembers(key)).sort(),
  zset: async (redis, key) => Object.fromEntries(pairs(await redis.zrange(key, 0, -1, 'WITHSCORES'))),
  hash: async (redis, key) => Object.fromEntries(Object.entries(await redis.hgetall(key)).map(([k, v]) => [k, plainField(k, v)])),
  stream: async (redis, key) => (await redis.xrange(key, '-', '+')).map(([, fields]) => fields.join(' ')),
};

async function snapshot(redis) {
  const content = {};
  for (const key of (await redis.keys('*')).sort()) {
    const type = await redis.type(key);
    content[key] = { type, expires: (await redis.pttl(key)) > 0, value: await READERS[type](redis, key) };
  }
  return content;
}

// ---- one sequence ----
const CODES = { [-1]: 'NOT_FOUND', [-2]: 'LOCK_LOST', [-3]: 'WRONG_STATE', [-4]: 'WRONG_STATE', [-5]: 'NOT_FOUND', [-6]: 'LOCK_LOST', [-7]: 'WRONG_STATE', [-9]: 'WRONG_STATE' };

async function outcome(promise) {
  try {
    return { rc: 'OK', value: await promise };
  } catch (error) {
    if (!(error.code in CODES)) throw error;
    return { rc: CODES[error.code] };
  }
}

class Sequence {
  held = new Map(); // id → {job, token}
  tokens = 0;
  trail = [];

  constructor(world, seed) {
    Object.assign(this, world);
    this.random = new Random(seed);
    this.settings = this.#settings();
  }

  #settings() {
    const r = this.random;
    return {
      worker: r.chance(0.5) ? 'w1' : undefined,
      metrics: r.chance(0.5) ? 10 : 0,
      limiter: r.chance(0.1) ? { max: 6, duration: 600_000 } : undefined,
      outbox: r.chance(0.5),
      keep: r.chance(0.3) ? { removeOnComplete: { count: 2 }, removeOnFail: { count: 1, age: 3600 } } : {},
    };
  }

  async open() {
    standing = START + this.random.below(1000);
    const { worker, metrics, limiter, keep } = this.settings;
    await Promise.all([this.theirs.flushdb(), this.ours.flushdb()]);
    this.queue = new Queue(NAME, { connection: this.theirs });
    this.other = new Queue(NAME, { connection: this.ours });
    this.flowProducer = new FlowProducer({ connection: this.theirs });
    this.worker = new Worker(NAME, null, {
      connection: this.theirs, autorun: false, name: worker, limiter, ...keep, ...(metrics && { metrics: { maxDataPoints: metrics } }),
    });
    for (const each of [this.queue, this.other, this.flowProducer, this.worker]) each.on('error', (error) => this.trail.push(`error ${error.message}`));
    await Promise.all([this.queue.waitUntilReady(), this.other.waitUntilReady(), this.worker.waitUntilReady()]);
  }

  async close() {
    await Promise.all([this.queue, this.other, this.flowProducer, this.worker].map((each) => each.close()));
    standing = null;
  }

  ask(op, more) {
    return this.driver.call(op, { outbox: this.settings.outbox, ...more });
  }

  asWorker() {
    const { worker, metrics, limiter, keep } = this.settings;
    return { worker, metrics, keep, limitMax: limiter?.max, limitMs: limiter?.duration };
  }

  // One random step; its description goes into the trail.
  async step() {
    const kinds = ['add', 'add', 'add', 'bulk', 'take', 'take', 'complete', 'fail', 'fail', 'group', 'group', 'group', 'delay', 'release', 'progress', 'log', 'extend', 'stalled', 'pause', 'flow', 'promote', 'schedule', 'wait', 'wait'];
    const kind = this.random.pick(kinds);
    standing += this.random.below(50);
    this.trail.push(`${kind} at +${standing - START}`);
    await this[kind]();
  }

  note(text) {
    this.trail[this.trail.length - 1] += ` ${text}`;
  }

  same(theirs, ours, what) {
    assert.deepEqual(ours, theirs, what);
  }

  options() {
    const r = this.random;
    const maybe = (p, key, make) => (r.chance(p) ? { [key]: make() } : {});
    return {
      ...maybe(0.3, 'delay', () => r.below(8000)),
      ...maybe(0.2, 'priority', () => r.below(6)),
      ...maybe(0.1, 'lifo', () => r.chance(0.7)),
      ...maybe(0.15, 'jobId', () => `job-${r.below(5)}`),
      ...maybe(0.6, 'attempts', () => 1 + r.below(4)),
      ...maybe(0.4, 'backoff', () => r.pick([500, { type: 'fixed', delay: r.below(3000) }, { type: 'exponential', delay: 700 }])),
      ...maybe(0.2, 'removeOnComplete', () => r.pick([true, false, 3, { count: 2 }, { age: 5 }, { age: 3, count: 9, limit: 2 }])),
      ...maybe(0.2, 'removeOnFail', () => r.pick([true, false, 1, { count: 0 }, { age: 4 }])),
      ...maybe(0.1, 'keepLogs', () => r.below(3)),
      ...maybe(0.2, 'stackTraceLimit', () => r.below(3)),
      ...maybe(0.1, 'timestamp', () => standing - r.below(5000)),
      ...maybe(0.25, 'deduplication', () => this.deduplication()),
    };
  }

  deduplication() {
    const r = this.random;
    return {
      id: `d${r.below(2)}`,
      ...(r.chance(0.5) && { ttl: 600_000 }),
      ...(r.chance(0.3) && { extend: true }),
      ...(r.chance(0.3) && { replace: true }),
      ...(r.chance(0.3) && { keepLastIfActive: true }),
      ...(r.chance(0.2) && { reschedule: true }),
    };
  }

  data() {
    return { n: this.random.below(1000), deep: { list: [], pi: 3.14159265358979312, text: 'päck "it"' } };
  }

  async add() {
    const data = this.data(), opts = this.options();
    const [last] = (await this.theirs.xrevrange(`${KEY}events`, '+', '-', 'COUNT', 1)).map(([id]) => id);
    const theirs = await this.queue.add('send', data, opts);
    const events = await this.theirs.xrange(`${KEY}events`, last ? `(${last}` : '-', '+');
    const ours = await this.ask('add', { name: 'send', data: JSON.stringify(data), opts });
    this.note(JSON.stringify({ opts, id: theirs.id }));
    this.same({ rc: 'OK', id: theirs.id, created: events.some(([, e]) => e[1] === 'added') }, { rc: ours.rc, id: ours.id, created: ours.created }, ours.error);
  }

  async bulk() {
    const plain = this.random.chance(0.3); // many of a kind, as queues mostly hold them
    const opts = this.random.pick([{}, { attempts: 2 }, { removeOnComplete: true }, { removeOnComplete: 3 }]);
    const jobs = Array.from({ length: 1 + this.random.below(plain ? 30 : 6) }, () => ({ name: 'send', data: this.data(), opts: plain ? opts : this.options() }));
    const theirs = await this.queue.addBulk(jobs);
    const ours = await this.ask('addMany', { jobs: jobs.map((job) => ({ ...job, data: JSON.stringify(job.data) })) });
    this.note(JSON.stringify(jobs.map((job, i) => ({ opts: job.opts, id: theirs[i].id }))));
    this.same({ rc: 'OK', ids: theirs.map((job) => job.id) }, { rc: ours.rc, ids: ours.ids }, ours.error);
  }

  async take() {
    const token = `token-${++this.tokens}`;
    this.worker.limitUntil = 0; // the official worker asks no more for a while; ours is asked every time
    const job = await this.worker.getNextJob(token, { block: false });
    const ours = await this.ask('take', { token, ...this.asWorker() });
    this.note(job?.id ?? 'nothing');
    this.same(job?.id, ours.id, `${ours.rc} ${ours.error}`);
    this.same('OK', ours.rc, ours.error);
    if (job) this.held.set(job.id, { job, token });
  }

  // A job that is held, or nothing to do.
  any() {
    const ids = [...this.held.keys()];
    return ids.length ? this.held.get(this.random.pick(ids)) : null;
  }

  async end(op, held, theirs, more) {
    const ours = await this.ask(op, { id: held.job.id, token: held.token, ...this.asWorker(), ...more });
    this.note(`${held.job.id} ${theirs.rc}`);
    this.same(theirs.rc, ours.rc, ours.error);
    if (theirs.rc === 'OK') this.held.delete(held.job.id);
    return ours;
  }

  async complete() {
    const held = this.any();
    if (!held) return;
    if (this.random.chance(0.1)) held.token = 'not-mine';
    const value = this.random.pick([null, 7, 'text', { ok: [] }, undefined]);
    const theirs = await outcome(held.job.moveToCompleted(value, held.token, false));
    await this.end('complete', held, theirs, { value: value === undefined ? '' : JSON.stringify(value) });
  }

  async fail() {
    const held = this.any();
    if (!held || held.token === 'not-mine') return; // the official job object remembers the trace of a refused failure
    const reason = this.random.pick(['SMTP_DOWN: no answer', 'x', 'ümlaut "quoted"\nline']);
    const permanent = this.random.chance(0.15);
    const error = permanent ? new UnrecoverableError(reason) : new Error(reason);
    error.stack = `${reason}\n  at step`;
    const theirs = await outcome(held.job.moveToFailed(error, held.token, false));
    await this.end('fail', held, theirs, { reason, trace: error.stack, permanent });
    if (theirs.rc !== 'OK') this.held.delete(held.job.id);
  }

  async delay() {
    const held = this.any();
    if (!held) return;
    const ms = this.random.below(4000);
    await this.end('delay', held, await outcome(held.job.moveToDelayed(standing + ms, held.token)), { ms });
  }

  async release() {
    const held = this.any();
    if (held) await this.end('release', held, await outcome(this.giveBack(held)), {});
  }

  // The official client sets no marker for a job that goes back among the prioritized; ours does.
  async giveBack({ job, token }) {
    const limited = await job.moveToWait(token);
    const [priority, paused] = await Promise.all([this.theirs.zscore(`${KEY}prioritized`, job.id), this.theirs.hexists(`${KEY}meta`, 'paused')]);
    if (priority && !paused) await this.theirs.zadd(`${KEY}marker`, 0, '0');
    return limited;
  }

  // How a job ends in a group: what the official client does, then what ours is told.
  ending(held) {
    const r = this.random, { job, token } = held;
    const kind = r.pick(['complete', 'complete', 'complete', 'complete', 'fail', 'delay', 'release']);
    const common = { kind, id: job.id, token };
    if (kind === 'delay') {
      const ms = r.below(4000);
      return { ...common, ms, tell: () => job.moveToDelayed(standing + ms, token) };
    }
    if (kind === 'release') return { ...common, tell: () => this.giveBack(held) };
    if (kind === 'complete') {
      const value = r.pick([null, 7, 'text', { ok: [] }]);
      return { ...common, value: JSON.stringify(value), tell: (fetch) => job.moveToCompleted(value, token, fetch) };
    }
    const reason = 'SMTP_DOWN: no answer', permanent = r.chance(0.3);
    const error = permanent ? new UnrecoverableError(reason) : new Error(reason);
    error.stack = `${reason}\n  at step`;
    const final = permanent || job.attemptsMade + 1 >= (job.opts.attempts ?? 0);
    return { ...common, reason, trace: error.stack, permanent, tell: (fetch) => job.moveToFailed(error, token, fetch && final) };
  }

  // Several endings and takes in one call; the official client's way is one by one, the last one fetching.
  async group() {
    const r = this.random;
    const chosen = [...this.held.values()].filter(({ token }) => token !== 'not-mine' && r.chance(0.8)).slice(0, 20);
    if (chosen.length && r.chance(0.15)) chosen.splice(r.below(chosen.length), 0, r.pick(chosen)); // ended twice
    for (const held of chosen) if (r.chance(0.05)) held.token = 'not-mine';
    const endings = chosen.map((held) => this.ending(held));
    const free = r.below(2) * r.below(20), frees = r.chance(0.8), stem = `stem-${++this.tokens}`;
    const found = []; // [data, id]
    const codes = [];
    for (const [i, { tell }] of endings.entries()) {
      const { rc, value: [data, id] = [] } = await outcome(tell(i === endings.length - 1 && (frees || free > 0)).then((value) => (Array.isArray(value) ? value : [])));
      codes.push(rc);
      if (data) found.push([data, id]);
    }
    const wanted = free + (frees ? codes.filter((rc) => rc === 'OK').length : 0);
    while (found.length < wanted) {
      const [data, id] = await this.worker.backend.moveToActive(`${stem}-${found.length + 1}`, this.settings.worker);
      if (!data) break;
      found.push([data, id]);
    }
    const ours = await this.ask('work', { endings: endings.map(({ tell, ...rest }) => rest), free, frees, stem, ...this.asWorker() });
    this.note(JSON.stringify({ ends: endings.map(({ kind, id }, i) => `${kind} ${id} ${codes[i]}`), free, frees, found: found.map(([, id]) => id) }));
    this.same({ rc: 'OK', codes, found: found.map(([, id]) => id), trouble: '' }, { rc: ours.rc, codes: ours.codes, found: ours.taken.map(([id]) => id), trouble: ours.trouble }, ours.error);
    for (const { id } of endings) this.held.delete(id);
    for (const [i, [data, id]] of found.entries()) {
      const token = ours.taken[i][1];
      await this.theirs.set(`${KEY}${id}:lock`, token, 'KEEPTTL'); // a fetch takes the next job under the token of the last
      this.held.set(id, { job: await this.worker.nextJobFromJobData(data, id, token), token });
    }
    this.sizes.add(endings.length);
  }

  async progress() {
    const held = this.any();
    if (!held) return;
    const value = { pct: this.random.below(100), step: 'half' };
    const theirs = await outcome(held.job.updateProgress(value));
    this.same(theirs.rc, (await this.ask('progress', { id: held.job.id, value: JSON.stringify(value) })).rc);
  }

  async log() {
    const held = this.any();
    if (!held) return;
    const theirs = await outcome(held.job.log('a line'));
    const ours = await this.ask('log', { id: held.job.id, line: 'a line', keep: held.job.opts.keepLogs ?? -1 });
    this.same({ rc: theirs.rc, count: theirs.value ?? 0 }, { rc: ours.rc, count: ours.count });
  }

  async extend() {
    const held = this.any();
    if (!held) return;
    const lost = await this.worker.backend.extendLocks([held.job.id], [held.token], 30_000);
    const ours = await this.ask('extend', { id: held.job.id, token: held.token });
    this.same(lost.length > 0, ours.lost);
  }

  // Some locks run out, then both look for stalled jobs.
  async stalled() {
    const held = this.any();
    const gone = [`${KEY}stalled-check`, ...(held && this.random.chance(0.7) ? [`${KEY}${held.job.id}:lock`] : [])];
    await Promise.all([this.theirs.del(...gone), this.ours.del(...gone)]);
    const theirs = await this.worker.backend.moveStalledJobsToWait();
    const ours = await this.ask('stalled', { max: 1 });
    this.note(theirs.join(' '));
    this.same(theirs.length, ours.count);
    for (const id of theirs) this.held.delete(id);
  }

  async pause() {
    const resume = this.random.chance(0.6);
    await (resume ? this.queue.resume() : this.queue.pause());
    this.same('OK', (await this.ask('pause', { resume })).rc);
  }

  // A tree with ids from us, so that both sides have the same; some of its leaves are jobs that are there already.
  async flow() {
    const free = [];
    for (let i = 0; i < 5; i++) if (!(await this.theirs.hexists(`${KEY}job-${i}`, 'parentKey'))) free.push(`job-${i}`);
    const tree = randomTree(this.random, `tree-${++this.tokens}`, { queues: [NAME], leaves: free, data: () => this.data() });
    this.note(await sameFlow(this, tree));
  }

  async promote() {
    const [id] = await this.theirs.zrange(`${KEY}delayed`, 0, 0);
    if (!id) return;
    await (await this.queue.getJob(id)).promote();
    await (await this.other.getJob(id)).promote();
    this.note(id);
  }

  async schedule() {
    const id = `every-${this.random.below(2)}`;
    const repeat = this.random.pick([{ every: 2000 }, { every: 5000, offset: 700 }, { every: 3000, limit: 3 }, { pattern: '*/3 * * * * *', tz: 'America/New_York' }, { pattern: '0 4 * * 1-5', tz: 'Europe/Berlin' }, { pattern: '*/2 * * * * *', endDate: START + 9000 }]);
    const template = { name: 'tick', data: { at: id }, opts: { attempts: 2, priority: this.random.below(3) } };
    const results = [];
    for (const queue of [this.queue, this.other]) results.push(await queue.upsertJobScheduler(id, repeat, template).then((job) => job?.id, (error) => error.message));
    this.note(JSON.stringify({ repeat, results }));
    this.same(results[0], results[1]);
  }

  // Each end once, as the events have them; each entry with what a record needs.
  compareOutbox(ours) {
    const entries = (ours[`${KEY}outbox`]?.value ?? []).map((text) => text.split(' '));
    const ends = entries.filter(([, kind]) => kind === 'end').map(([, , , id]) => id);
    const events = (ours[`${KEY}events`]?.value ?? []).map((text) => text.split(' ')).filter(([, event]) => ['completed', 'failed'].includes(event));
    this.same(this.settings.outbox ? events.map(([, , , id]) => id).sort() : [], ends.sort(), 'the ends in the outbox');
    this.ends.count += ends.length;
    for (const entry of entries) assert.ok(entry.includes('timestamp') && entry.includes('opts'), entry.join(' '));
    const adds = (ours[`${KEY}outbox:adds`]?.value ?? []).map((text) => text.split(' '));
    for (const entry of adds) assert.ok(entry.includes('added') && entry.includes('data') && entry.includes('opts'), entry.join(' '));
    const added = new Set(adds.map(([, , , id]) => id));
    for (const id of Object.keys(ours[`${KEY}outbox:adds:ids`]?.value ?? {})) assert.ok(added.has(id), `${id} has a place among the adds, and is not there`);
  }

  async wait() {
    standing += this.random.below(3000);
  }

  async compare() {
    const [theirs, ours] = await Promise.all([snapshot(this.theirs), snapshot(this.ours)]);
    this.compareOutbox(ours);
    delete ours[`${KEY}outbox`];
    delete ours[`${KEY}outbox:adds`];
    delete ours[`${KEY}outbox:adds:ids`];
    this.same(theirs, ours);
    for (const event of theirs[`${KEY}events`]?.value ?? []) this.events.add(event.split(' ')[1]);
    const jobs = Object.keys(theirs).filter((key) => theirs[key].type === 'hash' && 'timestamp' in theirs[key].value);
    for (const id of jobs.map((key) => key.slice(KEY.length))) {
      const [state, status] = await Promise.all([this.queue.getJobState(id), this.ask('status', { id })]);
      if (!(state === 'active' && status.state === 'waiting')) this.same(state, status.state, `state of ${id}`); // its lock ran out
    }
    const counts = await this.ask('counts');
    const official = await this.queue.getJobCounts('wait', 'active', 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children');
    for (const [state, n] of Object.entries(official)) this.same(n, counts[state === 'wait' ? 'waiting' : state], state);
  }
}

async function run(world, seed, everyStep) {
  const sequence = new Sequence(world, seed);
  try {
    await sequence.open();
    for (let i = 0; i < STEPS; i++) {
      await sequence.step();
      if (everyStep) await sequence.compare();
    }
    await sequence.compare();
  } catch (error) {
    error.message = `seed ${seed}, after:\n  ${sequence.trail.join('\n  ')}\n${error.message}`;
    throw error;
  } finally {
    await sequence.close();
  }
}

describe('lib/bullmq and the official client', () => {
  const world = { events: new Set(), sizes: new Set(), ends: { count: 0 } };

  before(async () => {
    world.redis = await startRedis();
    world.theirs = world.redis.connect({ db: 0 });
    world.ours = world.redis.connect({ db: 1 });
    world.driver = new Driver(world.redis.socket, 1);
  });

  after(async () => {
    assert.equal(await world.driver.end(), 0);
    await world.redis.stop();
  });

  test(`leave the same behind after ${SEQUENCES} random sequences`, { timeout: 60_000 + SEQUENCES * 3_000 }, async () => {
    for (let seed = SEED; seed < SEED + SEQUENCES; seed++) {
      try {
        await run(world, seed, false);
      } catch {
        await run(world, seed, true);
        throw new Error(`seed ${seed} failed once and not again`);
      }
    }
    if (SEQUENCES < 100) return;
    assert.deepEqual([...world.events].sort(), EVENTS);
    assert.ok(world.ends.count > SEQUENCES / 2, `the outboxes had ${world.ends.count} ends`);
    assert.ok(Math.max(...world.sizes) >= 15, `the largest group had ${Math.max(...world.sizes)} endings`);
  });

  // One leaf of a flow may have been completed before; when all children of a parent have, the parent waits for nobody.
  test(`insert ${SEQUENCES} flows over two queues alike, and FlowProducer reads ours`, { timeout: 60_000 + SEQUENCES * 3_000 }, async () => {
    const r = new Random(SEED);
    const queues = ['orders', 'bills'];
    const producers = [world.theirs, world.ours].map((connection) => new FlowProducer({ connection }));
    let released = 0;
    for (let i = 0; i < SEQUENCES; i++) {
      await Promise.all([world.theirs.flushdb(), world.ours.flushdb()]);
      standing = START + i;
      const done = ['done-0', 'done-1', 'done-2'];
      for (const connection of [world.theirs, world.ours]) for (const name of queues) await completeJobs(connection, name, done);
      const tree = randomTree(r, 'root', { queues, leaves: r.chance(0.8) ? done : [], data: () => ({ i }), known: 0.7 });
      const told = await sameFlow({ flowProducer: producers[0], driver: world.driver }, tree);
      const [theirs, ours] = await Promise.all([snapshot(world.theirs), snapshot(world.ours)]);
      assert.deepEqual(ours, theirs, told);
      released += Object.values(theirs).some(({ type, value }) => type === 'stream' && value.some((entry) => /event waiting .*prev waiting-children/.test(entry)));
      const [one, other] = await Promise.all(producers.map((producer) => producer.getFlow({ id: 'root', queueName: tree.queueName, depth: 9, maxChildren: 99 })));
      assert.deepEqual(shape(other), shape(one), told);
      assert.equal(countNodes(shape(other)), countNodes(tree), told);
    }
    standing = null;
    for (const producer of producers) await producer.close();
    if (SEQUENCES >= 100) assert.ok(released > 0, 'no parent was ever released at once');
  });
});
