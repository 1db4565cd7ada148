// Random actions over HTTP with a model beside them: no job is lost, none is in two states, the counts add up, the order is kept; and the
// official client, on the same Redis, says the same.
//
//     SLUICE_MODEL_RUNS=500  SLUICE_MODEL_SEED=7
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Queue } from 'bullmq';
import fc from 'fast-check';
import { eventually, startRedis, startSluice } from '../api/harness/index.mjs';

const RUNS = Number(process.env.SLUICE_MODEL_RUNS ?? 25);
const SEED = Number(process.env.SLUICE_MODEL_SEED ?? 1);
const HOUR = 3_600_000;

let redis;
let sluice;
let operator;
let worker;
let connection;

before(async () => {
  redis = await startRedis();
  sluice = await startSluice({ env: { REDIS_URL: redis.url } });
  operator = sluice.as({ sub: 'ops', roles: ['operator'] });
  worker = sluice.as({ sub: 'svc', roles: ['worker'] });
  connection = redis.connect();
});
after(async () => {
  await sluice?.stop();
  await redis.stop();
});

// What the queue should be. wait and prioritized are in the order in which they are taken; active is Map id → token.
class Model {
  wait = [];
  prioritized = [];
  delayed = [];
  active = new Map();
  completed = [];
  failed = [];
  removed = [];
  jobs = new Map(); // id → {priority, lifo, n}
  paused = false;

  without(list, id) {
    this[list] = this[list].filter((each) => each !== id);
  }

  // Into wait at the end where new jobs come in (or, lifo, at the other), or behind its priority.
  enqueue(id, { lifo = this.jobs.get(id).lifo } = {}) {
    const { priority } = this.jobs.get(id);
    if (priority > 0) {
      const behind = this.prioritized.findIndex((other) => this.jobs.get(other).priority > priority);
      this.prioritized.splice(behind < 0 ? this.prioritized.length : behind, 0, id);
    } else if (lifo) {
      this.wait.unshift(id);
    } else {
      this.wait.push(id);
    }
  }

  stateOf(id) {
    if (this.active.has(id)) return 'active';
    return ['wait', 'prioritized', 'delayed', 'completed', 'failed', 'removed'].find((list) => this[list].includes(id));
  }
}

class Run {
  constructor(name) {
    this.name = name;
    this.path = `/api/queues/${name}`;
    this.model = new Model();
    this.queue = new Queue(name, { connection });
  }

  async ok(answer, status = 200) {
    const { status: got, json, text } = await answer;
    assert.equal(got, status, text);
    return json;
  }

  pick(list, at) {
    return list.length ? list[at % list.length] : undefined;
  }

  // Any job that was ever added and is still there.
  any(at) {
    return this.pick([...this.model.jobs.keys()].filter((id) => this.model.stateOf(id) !== 'removed'), at);
  }

  async add({ priority, delay, lifo }) {
    const m = this.model;
    const opts = { ...(priority && { priority }), ...(delay && { delay: HOUR + delay }), ...(lifo && !priority && { lifo }) };
    const { jobId } = await this.ok(operator.post(`${this.path}/jobs`, { name: 'x', data: { n: 0 }, opts }), 201);
    m.jobs.set(jobId, { priority, lifo: lifo && !priority, n: 0 });
    if (delay) m.delayed.push(jobId);
    else m.enqueue(jobId);
  }

  async take() {
    const m = this.model;
    const { jobs } = await this.ok(worker.post(`${this.path}/lease`, { workerId: 'w' }));
    const next = m.paused ? undefined : m.wait.shift() ?? m.prioritized.shift();
    assert.equal(jobs[0]?.id, next, 'the job that was taken');
    if (!next) return;
    assert.deepEqual(jobs[0].data, { n: m.jobs.get(next).n });
    m.active.set(next, jobs[0].token);
  }

  async end({ at, how }) {
    const m = this.model;
    const id = this.pick([...m.active.keys()], at);
    if (!id) return;
    const token = m.active.get(id);
    m.active.delete(id);
    if (how === 'complete') {
      await this.ok(worker.post(`${this.path}/jobs/${id}/complete`, { token, returnvalue: 1 }));
      m.completed.push(id);
    } else {
      await this.ok(worker.post(`${this.path}/jobs/${id}/fail`, { token, reason: 'NO: it was not to be', retry: false }));
      m.failed.push(id);
    }
  }

  async pause({ on }) {
    await this.ok(operator.post(`${this.path}/${on ? 'pause' : 'resume'}`, on ? {} : undefined));
    this.model.paused = on;
  }

  async retry({ at, data }) {
    const m = this.model;
    const id = this.any(at);
    if (!id) return;
    const from = m.stateOf(id);
    const finished = from === 'completed' || from === 'failed';
    await this.ok(operator.post(`${this.path}/jobs/${id}/retry`, data ? { data: { n: data } } : {}), finished ? 200 : 409);
    if (!finished) return;
    m.without(from, id);
    if (data) m.jobs.get(id).n = data;
    m.enqueue(id);
  }

  async promote({ at }) {
    const m = this.model;
    const id = this.any(at);
    if (!id) return;
    const delayed = m.stateOf(id) === 'delayed';
    await this.ok(operator.post(`${this.path}/jobs/${id}/promote`), delayed ? 200 : 409);
    if (!delayed) return;
    m.without('delayed', id);
    m.enqueue(id, { lifo: false }); // as the official client does
  }

  async remove({ at }) {
    const m = this.model;
    const id = this.any(at);
    if (!id) return;
    const from = m.stateOf(id);
    await this.ok(operator.post(`${this.path}/jobs/${id}/remove`), from === 'active' ? 409 : 200);
    if (from === 'active') return;
    m.without(from, id);
    m.removed.push(id);
  }

  async edit({ at, priority, delay, data }) {
    const m = this.model;
    const id = this.any(at);
    if (!id) return;
    const from = m.stateOf(id);
    const body = { ...(priority !== undefined && { priority }), ...(delay && { delay: HOUR + delay }), ...(data && { data: { n: data } }) };
    const refused = from === 'active' || (delay && from !== 'delayed') || (priority !== undefined && ['completed', 'failed'].includes(from));
    if (!Object.keys(body).length) return;
    await this.ok(operator.request('PATCH', `${this.path}/jobs/${id}`, { body }), refused ? 409 : 200);
    if (refused) return;
    if (data) m.jobs.get(id).n = data;
    if (priority === undefined) return;
    m.jobs.get(id).priority = priority;
    if (from !== 'wait' && from !== 'prioritized') return;
    m.without(from, id);
    m.enqueue(id, { lifo: false });
  }

  async drain({ delayed }) {
    const m = this.model;
    const lists = ['wait', 'prioritized', ...(delayed ? ['delayed'] : [])];
    const gone = lists.flatMap((list) => m[list]);
    const { removed } = await this.ok(operator.post(`${this.path}/drain`, { delayed, confirm: this.name }));
    assert.equal(removed, gone.length);
    m.removed.push(...gone);
    for (const list of lists) m[list] = [];
  }

  async clean({ state, limit }) {
    const m = this.model;
    const list = state === 'waiting' ? 'wait' : state;
    const { removed } = await this.ok(operator.post(`${this.path}/clean`, { state, limit, confirm: this.name }));
    assert.equal(removed, Math.min(limit, m[list].length));
    m.removed.push(...m[list].splice(0, removed));
  }

  async bulk({ action, state }) {
    const m = this.model;
    const fits = action === 'retry' ? ['completed', 'failed'] : action === 'promote' ? ['delayed'] : ['waiting', 'prioritized', 'delayed', 'completed', 'failed'];
    const of = fits[state % fits.length];
    const list = of === 'waiting' ? 'wait' : of;
    const body = { action, filter: { state: of }, confirm: this.name };
    const { matched } = await this.ok(operator.post(`${this.path}/bulk`, { ...body, dryRun: true }));
    const ids = m[list];
    assert.equal(matched, ids.length);
    const { id } = await this.ok(operator.post(`${this.path}/bulk`, body), 202);
    const task = await eventually(async () => {
      const now = await this.ok(operator.get(`/api/tasks/${id}`));
      return now.endedAt && now;
    }, { timeout: 60_000, what: 'the end of the task' });
    assert.deepEqual([task.state, task.changed, task.skipped], ['done', ids.length, 0]);
    m[list] = [];
    if (action === 'remove') m.removed.push(...ids);
    else for (const each of await this.inOrderOfTheir(of, ids)) m.enqueue(each, action === 'promote' ? { lifo: false } : undefined);
  }

  // Jobs that ended in one millisecond, or are due in it, have no order of their own: that of their new place is taken over.
  async inOrderOfTheir(state, ids) {
    const wait = (await this.queue.getRanges(['wait', 'prioritized'], 0, -1, true));
    const lifo = ids.filter((id) => state !== 'delayed' && this.model.jobs.get(id).lifo && !this.model.jobs.get(id).priority);
    const plain = ids.filter((id) => !lifo.includes(id)).toSorted((a, b) => wait.indexOf(a) - wait.indexOf(b));
    return [...plain, ...lifo.toSorted((a, b) => wait.indexOf(b) - wait.indexOf(a))];
  }

  async listed(state) {
    const ids = [];
    let cursor = '';
    do {
      const page = await this.ok(operator.get(`${this.path}/jobs?state=${state}&order=asc&limit=7${cursor && `&cursor=${encodeURIComponent(cursor)}`}`));
      ids.push(...page.items.map((job) => job.id));
      cursor = page.next;
    } while (cursor);
    return ids;
  }

  async check() {
    const m = this.model;
    const sets = { waiting: m.wait, prioritized: m.prioritized, delayed: m.delayed, completed: m.completed, failed: m.failed, active: [...m.active.keys()] };
    const { counts, paused } = await this.ok(operator.get(this.path));
    for (const [state, ids] of Object.entries(sets)) {
      assert.equal(counts[state], ids.length, `the count of ${state}`);
      const listed = await this.listed(state);
      if (state === 'waiting' || state === 'prioritized') assert.deepEqual(listed, ids, `the order of ${state}`);
      else assert.deepEqual(listed.toSorted(), ids.toSorted(), `the jobs that are ${state}`);
    }
    assert.equal(paused, m.paused);
    const { waiting, ...official } = await this.queue.getJobCounts();
    assert.deepEqual({ ...official, waiting }, { ...official, waiting: m.wait.length, delayed: m.delayed.length, failed: m.failed.length, completed: m.completed.length,
      active: m.active.size, prioritized: m.prioritized.length });
    assert.equal(await this.queue.isPaused(), m.paused);
    const hashes = (await redis.admin.keys(`bull:${this.name}:*`)).map((key) => key.slice(`bull:${this.name}:`.length)).filter((key) => m.jobs.has(key));
    assert.deepEqual(hashes.toSorted(), Object.values(sets).flat().toSorted(), 'a hash for every job, and no other');
    assert.equal(Object.values(sets).flat().length + m.removed.length, m.jobs.size, 'the model itself');
  }
}

const index = fc.nat(1000);
const priority = fc.constantFrom(0, 0, 1, 2);
const maybe = (arbitrary) => fc.option(arbitrary, { nil: undefined });
const of = (op, more = {}) => fc.record({ op: fc.constant(op), ...more });
const operation = fc.oneof(
  { weight: 8, arbitrary: of('add', { priority, delay: fc.constantFrom(0, 0, 0, 1000, 2000), lifo: fc.boolean() }) },
  { weight: 6, arbitrary: of('take') },
  { weight: 6, arbitrary: of('end', { at: index, how: fc.constantFrom('complete', 'fail') }) },
  { weight: 3, arbitrary: of('retry', { at: index, data: maybe(fc.integer({ min: 1, max: 9 })) }) },
  { weight: 2, arbitrary: of('promote', { at: index }) },
  { weight: 2, arbitrary: of('remove', { at: index }) },
  { weight: 3, arbitrary: of('edit', { at: index, priority: maybe(priority), delay: maybe(fc.integer({ min: 1, max: 5000 })), data: maybe(fc.integer({ min: 1, max: 9 })) }) },
  { weight: 1, arbitrary: of('pause', { on: fc.boolean() }) },
  { weight: 1, arbitrary: of('drain', { delayed: fc.boolean() }) },
  { weight: 1, arbitrary: of('clean', { state: fc.constantFrom('waiting', 'completed', 'failed', 'prioritized', 'delayed'), limit: fc.integer({ min: 1, max: 5 }) }) },
  { weight: 1, arbitrary: of('bulk', { action: fc.constantFrom('retry', 'remove', 'promote'), state: index }) },
);

test('whatever operators do, no job is lost, none is in two states, and the order is kept', async () => {
  let runs = 0;
  await fc.assert(fc.asyncProperty(fc.array(operation, { minLength: 10, maxLength: 45 }), async (operations) => {
    const run = new Run(`model-${++runs}`);
    await run.queue.waitUntilReady();
    await redis.admin.hset(`bull:${run.name}:meta`, 'opts.maxLenEvents', '10000');
    try {
      for (const step of operations) {
        await run[step.op](step);
        await run.check();
      }
    } finally {
      await run.queue.close();
    }
  }), { numRuns: RUNS, seed: SEED, endOnFailure: false });
});
