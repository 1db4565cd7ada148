// Bull Board beside us on the same Redis: what is done here, it shows; what is done there, we show. Asked by its own HTTP API.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { ExpressAdapter } from '@bull-board/express';
import { Queue, Worker } from 'bullmq';
import { eventually, startRedis, startSluice } from '../api/harness/index.mjs';

const STATES = ['waiting', 'prioritized', 'active', 'delayed', 'completed', 'failed', 'waiting-children'];
const HOUR = 3_600_000;
const LATER = { timeout: 60_000 };

let redis;
let sluice;
let operator;
let board;

before(async () => {
  redis = await startRedis();
  sluice = await startSluice({ env: { REDIS_URL: redis.url } });
  operator = sluice.as({ sub: 'ops', roles: ['operator'] });
  board = await Board.start();
});
after(async () => {
  await board?.stop();
  await sluice?.stop();
  await redis?.stop();
});

class Board {
  #open = [];

  static async start() {
    const self = new Board();
    const adapter = new ExpressAdapter();
    self.registry = createBullBoard({ queues: [], serverAdapter: adapter });
    self.server = adapter.getRouter().listen(0, '127.0.0.1');
    await new Promise((resolve) => self.server.once('listening', resolve));
    self.url = `http://127.0.0.1:${self.server.address().port}`;
    return self;
  }

  async stop() {
    for (const thing of this.#open.reverse()) await thing.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  // A queue that it shows while the test lasts, as the official object.
  queue(t, name) {
    const queue = this.keep(new Queue(name, { connection: redis.connect() }));
    this.registry.addQueue(new BullMQAdapter(queue));
    t.after(() => this.registry.removeQueue(name));
    return queue;
  }

  keep(thing) {
    this.#open.push(thing);
    return thing;
  }

  async ask(method, path, body, wanted = [200, 204]) {
    const answer = await fetch(`${this.url}/api${path}`, { method, headers: body && { 'content-type': 'application/json' }, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(wanted.includes(answer.status), `${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : {};
  }

  async shown(name, status = 'latest') {
    const { queues } = await this.ask('GET', `/queues?activeQueue=${name}&status=${status}&page=1&jobsPerPage=1000`);
    return queues.find((queue) => queue.name === name);
  }

  act(name, rest, body) {
    return this.ask(body ? 'PATCH' : 'PUT', `/queues/${name}${rest}`, body);
  }
}

async function ours(method, path, body, status = 200) {
  const answer = await operator.request(method, path, body === undefined ? {} : { body });
  assert.equal(answer.status, status, answer.text);
  return answer.json;
}
const act = (name, rest, body) => ours('POST', `/api/queues/${name}${rest}`, body);

async function listed(name, state) {
  const { items, next } = await ours('GET', `/api/queues/${name}/jobs?state=${state}&limit=200`);
  assert.equal(next, null);
  return items;
}

// Both show the same: whether it is paused, the counts, the jobs of each state in their order, and what they say of each.
async function agree(name) {
  const [{ counts, paused }, theirs] = await Promise.all([ours('GET', `/api/queues/${name}`), board.shown(name)]);
  assert.equal(paused, theirs.isPaused, 'paused');
  for (const state of STATES) {
    assert.equal(counts[state], theirs.counts[state], `the count of ${state}`);
    if (!counts[state]) continue;
    const [mine, { jobs }] = await Promise.all([listed(name, state), board.shown(name, state)]);
    assert.deepEqual(mine.map(fields), jobs.map(theirFields), `what is ${state}`);
  }
}

const fields = ({ id, name, timestamp, attemptsMade, delay, priority, failedReason, processedOn, finishedOn }) => ({
  id, name, timestamp, attempts: attemptsMade, delay, priority, failedReason: failedReason ?? undefined, processedOn: processedOn ?? undefined, finishedOn: finishedOn ?? undefined,
});
const theirFields = ({ id, name, timestamp, attempts, delay, priority = 0, failedReason, processedOn, finishedOn }) => ({
  id, name, timestamp, attempts, delay, priority, failedReason, processedOn, finishedOn,
});

async function agreeOnJob(name, id) {
  const [mine, { job, status }] = await Promise.all([ours('GET', `/api/queues/${name}/jobs/${id}`), board.ask('GET', `/queues/${name}/${id}`)]);
  assert.equal(mine.state, status);
  assert.deepEqual(fields(mine), theirFields(job));
  assert.deepEqual([mine.data, mine.returnvalue ?? null, mine.progress ?? 0], [job.data, job.returnValue ?? null, job.progress]);
}

let number = 0;
// A queue with jobs in every state that Bull Board acts on; they are hours old.
async function filled(t) {
  const name = `board-${++number}`;
  const queue = board.queue(t, name);
  const worker = board.keep(new Worker(name, null, { connection: redis.connect() }));
  const add = (jobId, opts = {}) => queue.add('x', { of: jobId }, { jobId, timestamp: Date.now() - HOUR, ...opts });
  const end = async (jobId, how) => {
    await add(jobId);
    await how(await worker.getNextJob(`t-${jobId}`), `t-${jobId}`);
  };
  for (const i of [1, 2, 3]) {
    await end(`c-${i}`, (job, token) => job.moveToCompleted({ ok: i }, token, false));
    await end(`f-${i}`, (job, token) => job.moveToFailed(new Error(`no ${i}`), token, false));
  }
  await end('running', () => {});
  for (const i of [1, 2, 3]) {
    await add(`w-${i}`);
    await add(`p-${i}`, { priority: 4 - i });
    await add(`d-${i}`, { delay: HOUR * i });
  }
  return { name, queue };
}

const task = (id) => eventually(async () => {
  const now = await ours('GET', `/api/tasks/${id}`);
  return now.endedAt ? now : null;
}, { ...LATER, what: 'the end of the task' });
const states = async (queue, ...ids) => Promise.all(ids.map((id) => queue.getJobState(id)));

test('every job of a queue that neither has touched', async (t) => {
  const { name } = await filled(t);
  await agree(name);
  for (const id of ['c-1', 'f-2', 'running', 'w-3', 'p-1', 'd-2']) await agreeOnJob(name, id);
});

describe('what we do, Bull Board shows', () => {
  test('pause and resume', async (t) => {
    const { name } = await filled(t);
    await act(name, '/pause', { reason: 'repairs' });
    assert.equal((await board.shown(name)).isPaused, true);
    await agree(name);
    await act(name, '/resume');
    assert.equal((await board.shown(name)).isPaused, false);
    await agree(name);
  });

  test('one job retried, promoted, removed, changed', async (t) => {
    const { name } = await filled(t);
    await act(name, '/jobs/f-1/retry', {});
    await act(name, '/jobs/c-1/retry', { data: { of: 'other' } });
    await act(name, '/jobs/d-1/promote');
    for (const id of ['w-1', 'p-1', 'f-2', 'd-2']) await act(name, `/jobs/${id}/remove`);
    await ours('PATCH', `/api/queues/${name}/jobs/p-2`, { priority: 9 });
    await ours('PATCH', `/api/queues/${name}/jobs/d-3`, { delay: 5 * HOUR, data: { of: 'changed' } });
    await agree(name);
    const { job, status } = await board.ask('GET', `/queues/${name}/c-1`);
    assert.deepEqual([job.data, status], [{ of: 'other' }, 'waiting']);
    await agreeOnJob(name, 'd-3');
    await board.ask('GET', `/queues/${name}/w-1`, undefined, [404]);
  });

  for (const state of ['waiting', 'prioritized', 'delayed', 'completed', 'failed']) {
    test(`a clean of what is ${state}`, async (t) => {
      const { name } = await filled(t);
      assert.equal((await act(name, '/clean', { state, limit: 2, confirm: name })).removed, 2);
      assert.equal((await board.shown(name)).counts[state], 1);
      await agree(name);
    });
  }

  test('a drain', async (t) => {
    const { name } = await filled(t);
    await act(name, '/drain', { delayed: true, confirm: name });
    const { counts } = await board.shown(name);
    assert.deepEqual([counts.waiting, counts.prioritized, counts.delayed, counts.completed, counts.failed, counts.active], [0, 0, 0, 3, 3, 1]);
    await agree(name);
  });

  test('actions by a filter', async (t) => {
    const { name } = await filled(t);
    for (const [action, state, changed] of [['retry', 'failed', 3], ['promote', 'delayed', 3], ['remove', 'completed', 3], ['remove', 'waiting', 9]]) {
      const { id } = await ours('POST', `/api/queues/${name}/bulk`, { action, filter: { state }, confirm: name }, 202);
      const ended = await task(id);
      assert.deepEqual([ended.state, ended.changed], ['done', changed], `${action} ${state}`);
      await agree(name);
    }
  });

  test('a job that is leased and ended over HTTP, with its log and progress', async (t) => {
    const name = `board-${++number}`;
    board.queue(t, name);
    const worker = sluice.as({ sub: 'svc', roles: ['worker'] });
    await ours('POST', `/api/queues/${name}/jobs`, { name: 'x', data: { n: 1 }, opts: { jobId: 'leased' } }, 404); // nobody has made it
    await redis.admin.hset(`bull:${name}:meta`, 'opts.maxLenEvents', '10000');
    await ours('POST', `/api/queues/${name}/jobs`, { name: 'x', data: { n: 1 }, opts: { jobId: 'leased' } }, 201);
    const { json: { jobs: [{ token }] } } = await worker.post(`/api/queues/${name}/lease`, { workerId: 'w' });
    await agree(name);
    for (const [verb, body] of [['log', { line: 'half of it' }], ['progress', { progress: 50 }], ['complete', { returnvalue: { done: true } }]]) {
      const { status, text } = await worker.post(`/api/queues/${name}/jobs/leased/${verb}`, { token, ...body });
      assert.equal(status, 200, text);
    }
    await agree(name);
    assert.deepEqual(await board.ask('GET', `/queues/${name}/leased/logs`), ['half of it']);
    await agreeOnJob(name, 'leased');
    assert.equal((await board.ask('GET', `/queues/${name}/leased`)).job.progress, 50);
  });

  test('our own workers', async (t) => {
    board.queue(t, 'notifications');
    await eventually(async () => (await board.shown('notifications')).hasWorkers === true, { ...LATER, what: 'a worker of notifications' });
  });
});

describe('what Bull Board does, we show', () => {
  test('pause and resume', async (t) => {
    const { name } = await filled(t);
    await board.act(name, '/pause');
    assert.equal((await ours('GET', `/api/queues/${name}`)).paused, true);
    await agree(name);
    await board.act(name, '/resume');
    await agree(name);
  });

  test('one job retried, promoted, removed, changed', async (t) => {
    const { name, queue } = await filled(t);
    for (const [id, verb] of [['f-1', 'retry'], ['c-1', 'retry'], ['d-1', 'promote'], ['w-1', 'clean'], ['p-1', 'clean'], ['f-2', 'clean']]) await board.act(name, `/${id}/${verb}`);
    await board.act(name, '/p-2/priority', { priority: 9 });
    await board.act(name, '/d-3/delay', { runAt: Date.now() + 5 * HOUR });
    await board.act(name, '/d-3/update-data', { jobData: { of: 'changed' } });
    await agree(name);
    assert.deepEqual(await states(queue, 'f-1', 'c-1', 'd-1', 'w-1'), ['waiting', 'waiting', 'waiting', 'unknown']);
    assert.deepEqual((await ours('GET', `/api/queues/${name}/jobs/d-3`)).data, { of: 'changed' });
    await ours('GET', `/api/queues/${name}/jobs/w-1`, undefined, 404);
  });

  test('a job is added', async (t) => {
    const { name } = await filled(t);
    const { job } = await board.ask('POST', `/queues/${name}/add`, { name: 'by-hand', data: { a: [1, 'ü'] }, options: { priority: 2 } });
    const mine = await ours('GET', `/api/queues/${name}/jobs/${job.id}`);
    assert.deepEqual([mine.name, mine.state, mine.data, mine.priority], ['by-hand', 'prioritized', { a: [1, 'ü'] }, 2]);
    await agree(name);
  });

  test('everything of a state: retried, promoted, cleaned, emptied', async (t) => {
    const { name } = await filled(t);
    for (const rest of ['/retry/failed', '/promote', '/clean/completed', '/retry/completed', '/empty']) {
      await board.act(name, rest);
      await agree(name);
    }
    assert.equal((await ours('GET', `/api/queues/${name}`)).counts.waiting, 0);
  });

  for (const state of ['wait', 'delayed', 'failed', 'prioritized']) {
    test(`a clean of ${state}`, async (t) => {
      const { name } = await filled(t);
      await redis.admin.eval("for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], ARGV[1], id) end", 1, `bull:${name}:failed`, String(Date.now() - HOUR));
      await board.act(name, `/clean/${state}`);
      assert.equal((await ours('GET', `/api/queues/${name}`)).counts[state === 'wait' ? 'waiting' : state], 0);
      await agree(name);
    });
  }

  test('a limit for all workers of the queue', async (t) => {
    const { name } = await filled(t);
    await board.ask('PUT', `/queues/${name}/concurrency`, { concurrency: 7 });
    await board.ask('PUT', `/queues/${name}/rate-limit`, { max: 5, duration: 2000 });
    const { concurrency, limiter } = await ours('GET', `/api/queues/${name}`);
    assert.deepEqual([concurrency, limiter.max, limiter.duration], [7, 5, 2000]);
  });
});
