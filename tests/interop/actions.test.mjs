// Each action of an operator beside the official client's on a queue in the same condition: afterwards both queues are the same, key by key
// and event by event.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FlowProducer, Queue, Worker } from 'bullmq';
import { openStage } from '../api/harness/index.mjs';

const stage = await openStage();
const { redis, sluice, keep } = stage;
const operator = sluice.as({ sub: 'ops', roles: ['operator'] });

// A queue under test: the official objects, and our routes.
class Side {
  constructor(name) {
    this.name = name;
    this.queue = keep(new Queue(name, { connection: redis.connect() }));
    this.worker = keep(new Worker(name, null, { connection: redis.connect(), name: 'w' }));
    this.taken = 0;
  }

  async post(path, body) {
    const { status, text } = await operator.post(`/api/queues/${this.name}${path}`, body);
    assert.equal(status, 200, text);
  }

  async patch(id, body) {
    const { status, text } = await operator.request('PATCH', `/api/queues/${this.name}/jobs/${id}`, { body });
    assert.equal(status, 200, text);
  }

  add(jobId, opts = {}, data = { n: 1 }) {
    return this.queue.add('x', data, { jobId, timestamp: 1_700_000_000_000, ...opts });
  }

  async take() {
    const token = `t-${++this.taken}`;
    return { job: await this.worker.getNextJob(token), token };
  }

  async fail(jobId, opts) {
    await this.add(jobId, opts);
    const { job, token } = await this.take();
    await job.moveToFailed(new Error('no'), token, false);
  }

  async complete(jobId, opts) {
    await this.add(jobId, opts);
    const { job, token } = await this.take();
    await job.moveToCompleted('ok', token, false);
  }
}

// Everything under the queue's prefix, without what differs by time and chance.
async function dump(name) {
  const prefix = `bull:${name}:`;
  const plain = (text) => String(text).replaceAll(name, 'Q').replace(/\b1[6-9]\d{11}(\.\d+)?\b/g, 'TIME').replace(/\bt-\d+\b/g, 'TOKEN').replace(/at .*/gs, 'TRACE');
  const scores = (list) => Array.from({ length: list.length / 2 }, (_, i) => [plain(list[2 * i]), Number(list[2 * i + 1]) > 1e12 ? 'TIME' : list[2 * i + 1]]);
  const read = {
    string: async (key) => plain(await redis.admin.get(key)),
    list: async (key) => (await redis.admin.lrange(key, 0, -1)).map(plain),
    set: async (key) => (await redis.admin.smembers(key)).map(plain).toSorted(),
    zset: async (key) => scores(await redis.admin.zrange(key, 0, -1, 'WITHSCORES')),
    hash: async (key) => Object.fromEntries(Object.entries(await redis.admin.hgetall(key)).filter(([f]) => f !== 'sluice:pause').map(([f, v]) => [f, plain(v)]).toSorted()),
    stream: async (key) => (await redis.admin.xrange(key, '-', '+')).map(([, fields]) => fields.map(plain)),
  };
  const found = {};
  for (const key of (await redis.admin.keys(`${prefix}*`)).toSorted()) found[key.slice(prefix.length)] = await read[await redis.admin.type(key)](key);
  return found;
}

let number = 0;
// prepare(side) makes the condition; official(side) and ours(side) act.
function same(title, prepare, official, ours) {
  test(title, async () => {
    const dumps = [];
    for (const [who, act] of [['official', official], ['ours', ours]]) {
      const side = new Side(`${who}-${++number}`);
      await prepare(side);
      await act(side);
      dumps.push(await dump(side.name));
    }
    assert.ok(Object.keys(dumps[0]).length > 1);
    assert.deepEqual(dumps[1], dumps[0]);
  });
}
const job = (side, id) => side.queue.getJob(id);

describe('pause and resume', () => {
  const some = async (side) => {
    await side.add('a');
    await side.add('b', { priority: 2 });
    await side.add('c', { delay: 60_000 });
  };
  same('pause', some, (s) => s.queue.pause(), (s) => s.post('/pause', {}));
  same('resume', async (s) => { await some(s); await s.queue.pause(); }, (s) => s.queue.resume(), (s) => s.post('/resume'));
  same('resume with delayed jobs only', async (s) => { await s.add('c', { delay: 60_000 }); await s.queue.pause(); }, (s) => s.queue.resume(), (s) => s.post('/resume'));
  same('resume of what BullMQ 5 left', async (s) => {
    await some(s);
    await s.queue.pause();
    await redis.admin.rename(`bull:${s.name}:wait`, `bull:${s.name}:paused`);
    await s.add('d');
  }, (s) => s.queue.resume(), (s) => s.post('/resume'));
});

describe('retry', () => {
  const retry = (state, opts) => async (s) => (await job(s, 'a')).retry(state, opts);
  const ours = (body = {}) => (s) => s.post('/jobs/a/retry', body);
  same('of a failed job', (s) => s.fail('a'), retry('failed'), ours());
  same('of a completed job', (s) => s.complete('a'), retry('completed'), ours());
  same('with attempts counted anew', (s) => s.fail('a'), retry('failed', { resetAttemptsMade: true, resetAttemptsStarted: true }), ours({ resetAttempts: true }));
  same('into its priority', (s) => s.fail('a', { priority: 3 }), retry('failed'), ours());
  same('of a lifo job, before others', async (s) => { await s.fail('a', { lifo: true }); await s.add('b'); }, retry('failed'), ours());
  same('in a paused queue', async (s) => { await s.fail('a'); await s.queue.pause(); }, retry('failed'), ours());
  same('with other data', (s) => s.fail('a'), async (s) => { await (await job(s, 'a')).updateData({ n: 2 }); await retry('failed')(s); }, ours({ data: { n: 2 } }));
  same('of a child, for which its parent waits again', async (s) => {
    const flow = keep(new FlowProducer({ connection: redis.connect() }));
    await flow.add({ name: 'p', queueName: s.name, opts: { jobId: 'p', timestamp: 1_700_000_000_000 }, children: [
      { name: 'a', queueName: s.name, opts: { jobId: 'a', timestamp: 1_700_000_000_000, ignoreDependencyOnFailure: true } },
      { name: 'b', queueName: s.name, opts: { jobId: 'b', timestamp: 1_700_000_000_000, delay: 60_000 } },
    ] });
    const { job: child, token } = await s.take();
    await child.moveToFailed(new Error('no'), token, false);
  }, retry('failed'), ours());
});

describe('promote', () => {
  const promote = async (s) => (await job(s, 'a')).promote();
  const ours = (s) => s.post('/jobs/a/promote');
  same('into wait', async (s) => { await s.add('a', { delay: 60_000 }); await s.add('b'); }, promote, ours);
  same('into its priority', async (s) => { await s.add('b', { priority: 1 }); await s.add('a', { delay: 60_000, priority: 1 }); }, promote, ours);
  same('in a paused queue', async (s) => { await s.add('a', { delay: 60_000 }); await s.queue.pause(); }, promote, ours);
});

describe('remove', () => {
  const remove = async (s) => (await job(s, 'a')).remove();
  const ours = (s) => s.post('/jobs/a/remove');
  same('of a waiting job', async (s) => { await s.add('b'); await s.add('a', { deduplication: { id: 'd' } }); await s.add('c'); }, remove, ours);
  same('of a delayed and of a prioritized job', async (s) => { await s.add('a', { delay: 60_000, priority: 2 }); await s.add('b', { priority: 1 }); }, remove, ours);
  same('of a failed job with logs', async (s) => { await s.fail('a'); await (await job(s, 'a')).log('line'); }, remove, ours);
  same('of a parent with its children', async (s) => {
    const flow = keep(new FlowProducer({ connection: redis.connect() }));
    await flow.add({ name: 'a', queueName: s.name, opts: { jobId: 'a' }, children: [
      { name: 'x', queueName: s.name, opts: { jobId: 'x' }, children: [{ name: 'y', queueName: s.name, opts: { jobId: 'y' } }] }, // one each: a set has no order
    ] });
  }, remove, ours);
  same('of the last child, which lets its parent go', async (s) => {
    const flow = keep(new FlowProducer({ connection: redis.connect() }));
    await flow.add({ name: 'p', queueName: s.name, opts: { jobId: 'p', timestamp: 1_700_000_000_000 }, children: [{ name: 'a', queueName: s.name, opts: { jobId: 'a' } }] });
  }, remove, ours);
});

describe('changes', () => {
  const several = async (s) => { await s.add('b'); await s.add('a'); await s.add('c', { priority: 2 }); await s.add('d', { priority: 2 }); };
  same('a priority for a plain job', several, async (s) => (await job(s, 'a')).changePriority({ priority: 2 }), (s) => s.patch('a', { priority: 2 }));
  same('another priority', several, async (s) => (await job(s, 'c')).changePriority({ priority: 2 }), (s) => s.patch('c', { priority: 2 }));
  same('no priority any more', several, async (s) => (await job(s, 'c')).changePriority({ priority: 0 }), (s) => s.patch('c', { priority: 0 }));
  same('the priority of a delayed job', (s) => s.add('a', { delay: 60_000 }), async (s) => (await job(s, 'a')).changePriority({ priority: 5 }), (s) => s.patch('a', { priority: 5 }));
  same('a delay', (s) => s.add('a', { delay: 60_000 }), async (s) => (await job(s, 'a')).changeDelay(90_000), (s) => s.patch('a', { delay: 90_000 }));
  same('data', (s) => s.add('a'), async (s) => (await job(s, 'a')).updateData({ n: [1, null, 'ü'] }), (s) => s.patch('a', { data: { n: [1, null, 'ü'] } }));
});

describe('drain and clean', () => {
  const full = async (s) => {
    await s.fail('f-1');
    await s.complete('c-1', { deduplication: { id: 'one' } });
    await s.complete('c-2');
    for (let i = 0; i < 4; i++) {
      await s.add(`w-${i}`, { deduplication: { id: `d-${i}` } });
      await s.add(`p-${i}`, { priority: 1 + i });
      await s.add(`l-${i}`, { delay: 60_000 });
    }
    await s.take();
  };
  const ours = (path, body) => (s) => s.post(path, { ...body, confirm: s.name });
  same('drain', full, (s) => s.queue.drain(), ours('/drain', {}));
  same('drain, with delayed jobs', full, (s) => s.queue.drain(true), ours('/drain', { delayed: true }));
  for (const state of ['waiting', 'delayed', 'prioritized', 'completed', 'failed', 'active'])
    same(`clean what is ${state}`, full, (s) => s.queue.clean(0, 3, state === 'waiting' ? 'wait' : state), ours('/clean', { state, limit: 3 }));
  same('clean what is old enough only', full, (s) => s.queue.clean(3_600_000, 50, 'completed'), ours('/clean', { state: 'completed', olderThanMs: 3_600_000, limit: 50 }));
});
