// Watching queues and jobs: what the pages of an operator are made of, held against what the official client says.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FlowProducer, Worker } from 'bullmq';
import { declare, eventually, openStage } from './harness/index.mjs';

const NAME = 'orders';
const SLOW = { timeout: 30_000 };

const stage = await openStage({
  sluice: {
    env: {
      SLUICE_QUEUES: declare(
        { name: NAME, processor: 'none', attempts: 2, limiter: { max: 50, duration: 1000 }, payload: { type: 'object' } },
        { name: 'listed', processor: 'none' }, { name: 'leased', processor: 'none' }, { name: 'docs-too', processor: 'document' },
      ),
    },
  },
});
const { redis, sluice, keep, queue: open_ } = stage;
const viewer = sluice.as({ sub: 'eve', roles: ['viewer'] });
const queue = open_(NAME);

async function read(path, client = viewer) {
  const { status, json, text } = await client.get(path);
  assert.equal(status, 200, text);
  return json;
}
const summary = async (name) => (await read('/api/queues')).items.find((item) => item.name === name);
const ids = (jobs) => jobs.map((job) => job.id);

describe('all queues', () => {
  test('declared ones are there at once, others when Redis has been searched', async () => {
    await open_('found.only').add('x', {});
    const found = await eventually(() => summary('found.only'), { what: 'the queue that is only in Redis', ...SLOW });
    assert.deepEqual([found.declared, found.processor, found.counts.waiting], [false, null, 1]);
    const { items, complete } = await read('/api/queues');
    assert.deepEqual(items.map((item) => item.name), items.map((item) => item.name).toSorted());
    assert.equal(complete, true);
    const declared = items.find((item) => item.name === NAME);
    assert.deepEqual([declared.declared, declared.processor, declared.paused, declared.pausedReason], [true, 'none', false, null]);
    assert.equal(items.find((item) => item.name === 'docs-too').workers.own, 1);
  });

  test('a queue that is gone is forgotten, a declared one is not', async () => {
    const short = open_('short-lived');
    await short.add('x', {});
    await eventually(() => summary('short-lived'), { what: 'the queue', ...SLOW });
    await short.obliterate({ force: true });
    await eventually(async () => !(await summary('short-lived')), { what: 'the end of the queue', ...SLOW });
    assert.ok(await summary(NAME));
  });

  test('rates: what comes in by the counter of ids, what goes out only where a worker counts it', async () => {
    const quiet = open_('uncounted');
    const counted = open_('counted');
    for (const [q, metrics] of [[quiet, undefined], [counted, { maxDataPoints: 10 }]]) {
      await q.addBulk(Array.from({ length: 20 }, (_, i) => ({ name: 'x', data: { i } })));
      keep(new Worker(q.name, async () => {}, { connection: redis.connect(), metrics }));
    }
    await eventually(async () => (await summary('uncounted'))?.rates.in === 0, { what: 'a rate of a queue at rest', ...SLOW });
    await eventually(async () => (await quiet.getCompletedCount()) === 20 && (await counted.getCompletedCount()) === 20, { what: 'the jobs done', ...SLOW });
    const rates = await eventually(async () => {
      await counted.add('x', {});
      const { rates: now } = await summary('counted');
      return now.in > 0 && now.out > 0 && now;
    }, { what: 'rates of a queue that runs', interval: 100, ...SLOW });
    assert.equal(rates.failed, 0);
    assert.equal((await summary('uncounted')).rates.out, null);
    const { fine, coarse } = await eventually(async () => {
      const metrics = await read('/api/queues/counted/metrics');
      return metrics.fine.points.length > 0 && metrics;
    }, { what: 'a point of the course', interval: 200, ...SLOW });
    assert.deepEqual([fine.intervalMs, coarse.intervalMs], [5000, 60000]);
  });

  test('only those who see every organization may look', async () => {
    for (const path of ['/api/queues', `/api/queues/${NAME}`, `/api/queues/${NAME}/jobs`, `/api/queues/${NAME}/workers`]) {
      assert.equal((await sluice.as({ sub: 'p', roles: ['producer'] }).get(path)).status, 403);
      assert.equal((await sluice.as({ sub: 'w', roles: ['worker'] }).get(path)).status, 403);
    }
  });
});

describe('one queue', () => {
  test('its declaration, limits and pause', async () => {
    await queue.setGlobalConcurrency(7);
    await queue.add('x', {}, { delay: 60_000 });
    const detail = await read(`/api/queues/${NAME}`);
    assert.equal(detail.concurrency, 7);
    assert.deepEqual(detail.limiter, { max: 50, duration: 1000, limited: false, endsInMs: null });
    assert.equal(detail.counts.delayed, 1);
    assert.ok(detail.nextDelayedAt > Date.now() && detail.delayedDue === 0);
    assert.deepEqual([detail.declaration.name, detail.declaration.options.attempts, detail.declaration.payload], [NAME, 2, { type: 'object' }]);
    await queue.removeGlobalConcurrency();
    await queue.pause();
    assert.equal((await read(`/api/queues/${NAME}`)).paused, true);
    await queue.resume();
    await queue.rateLimit(60_000);
    const limited = await read(`/api/queues/${NAME}`);
    assert.ok(limited.rateLimited && limited.limiter.limited && limited.limiter.endsInMs > 0);
    await queue.removeRateLimitKey();
    await queue.obliterate({ force: true });
  });

  test('an unknown one is a 404, also for an autoscaler', async () => {
    for (const path of ['', '/scale', '/metrics', '/workers', '/jobs', '/jobs/1']) {
      const { status, json } = await viewer.get(`/api/queues/nobody${path}`);
      assert.deepEqual([status, json.code], [404, 'queue-unknown']);
    }
  });

  test('the backlog counts what is ready, running and due', async () => {
    const q = open_('scaled');
    await q.add('a', {});
    await q.add('b', {}, { priority: 3 });
    await q.add('c', {}, { delay: 60_000 });
    assert.deepEqual(await read('/api/queues/scaled/scale'), { queue: 'scaled', waiting: 2, active: 0, delayed: 1, backlog: 2 });
  });

  test('its workers: BullMQ clients in both spellings, workers over HTTP, processes of Sluice', async () => {
    const leaser = sluice.as({ sub: 'svc', roles: ['worker'], org: 'acme' });
    const worker = keep(new Worker('leased', null, { connection: redis.connect(), name: 'node-1' }));
    await worker.waitUntilReady();
    void worker.getNextJob('t').catch(() => {});
    const python = redis.connect();
    await python.client('SETNAME', 'bull:leased:w:py-1');
    const events = redis.connect();
    await events.client('SETNAME', 'bull:leased:qe');
    const q = open_('leased');
    const { json: nothing } = await leaser.post('/api/queues/leased/lease', { workerId: 'h-1' });
    assert.deepEqual(nothing.jobs, []);
    await q.add('x', {});
    const { json: { jobs: [job] } } = await leaser.post('/api/queues/leased/lease', { workerId: 'h-1', wait: 5 });
    const found = await eventually(async () => {
      const { items, holders } = await read('/api/queues/leased/workers');
      return items.length === 3 && { items, holders };
    }, { what: 'three workers', ...SLOW });
    assert.deepEqual(found.items.map((w) => [w.kind, w.name, w.active]).toSorted(), [['bullmq', 'node-1', 0], ['bullmq', 'py-1', 0], ['http', 'h-1', 1]]);
    assert.deepEqual(found.holders, [{ name: 'lease:h-1:acme:svc', active: 1 }]);
    const { workers } = await eventually(async () => {
      const s = await summary('leased');
      return s.workers.bullmq === 2 && s;
    }, { what: 'the count of workers', ...SLOW });
    assert.equal(workers.http, 1);
    await leaser.post(`/api/queues/leased/jobs/${job.id}/complete`, { token: job.token });
    const { items } = await read('/api/queues/docs-too/workers');
    assert.equal(items[0]?.kind, 'own');
  });
});

describe('the jobs of a queue', () => {
  const all = async (path, each = () => {}) => {
    const found = [];
    let cursor = '';
    do {
      const page = await read(`${path}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`);
      found.push(...page.items);
      cursor = page.next;
      await each(page);
    } while (cursor);
    return found;
  };

  test('every state in the order of getJobs, page by page, both ways', async () => {
    const q = open_('paged');
    await q.addBulk(Array.from({ length: 23 }, (_, i) => ({ name: 'plain', data: { i } })));
    for (let i = 0; i < 11; i++) {
      await q.add('later', { i }, { delay: 100_000 - i });
      await q.add('sooner', { i }, { priority: 1 + (i % 3) });
    }
    for (const [state, name] of [['waiting', 'wait'], ['delayed', 'delayed'], ['prioritized', 'prioritized']]) {
      for (const order of ['desc', 'asc']) {
        const wanted = ids(await q.getJobs([name], 0, -1, order === 'asc'));
        assert.deepEqual(ids(await all(`/api/queues/paged/jobs?state=${state}&order=${order}&limit=4`)), wanted, `${state} ${order}`);
      }
    }
    const [job] = await all('/api/queues/paged/jobs?state=waiting&limit=200');
    assert.deepEqual([job.state, job.data, job.returnvalue], ['waiting', null, null]);
  });

  test('finished and active ones, too', async () => {
    const q = open_('ended');
    const worker = keep(new Worker('ended', null, { connection: redis.connect() }));
    for (let i = 0; i < 9; i++) await q.add('x', { i });
    for (let i = 0; i < 8; i++) {
      const job = await worker.getNextJob(`t${i}`);
      if (i < 3) await job.moveToCompleted('done', `t${i}`, false);
      else if (i < 6) await job.moveToFailed(new Error('no'), `t${i}`, false);
    }
    for (const state of ['completed', 'failed', 'active']) {
      const found = await all(`/api/queues/ended/jobs?state=${state}&limit=2`);
      assert.deepEqual(ids(found), ids(await q.getJobs([state])), state);
      assert.ok(found.every((job) => job.state === state));
    }
  });

  test('a job that stays is not left out, whatever comes and goes between two pages', async () => {
    const q = open_('moving');
    const worker = keep(new Worker('moving', null, { connection: redis.connect() }));
    await q.addBulk(Array.from({ length: 60 }, (_, i) => ({ name: 'x', data: { i } })));
    for (const order of ['desc', 'asc']) {
      let turn = 0;
      const found = await all(`/api/queues/moving/jobs?state=waiting&order=${order}&limit=7`, async () => {
        turn++;
        if (turn > 4) return;
        await worker.getNextJob(`t-${order}-${turn}-a`);
        await worker.getNextJob(`t-${order}-${turn}-b`);
        await q.add('new', { turn });
        await q.add('front', { turn }, { lifo: true });
        await worker.getNextJob(`t-${order}-${turn}-c`); // the one at the front
      });
      const seen = new Set(ids(found));
      for (const job of await q.getJobs(['wait'])) if (job.name === 'x') assert.ok(seen.has(job.id), `${order}: ${job.id} was left out`);
    }
  });

  test('jobs that ended in the same millisecond are not left out when the last of a page goes', async () => {
    const q = open_('tied');
    await q.add('x', {});
    const many = Array.from({ length: 12 }, (_, i) => `tie-${i}`);
    for (const id of many) {
      await redis.admin.hset(`bull:tied:${id}`, { name: 'x', data: '{}', opts: '{}', timestamp: '1000', finishedOn: '2000' });
      await redis.admin.zadd('bull:tied:failed', 2000, id);
    }
    for (const order of ['desc', 'asc']) {
      let gone;
      const found = await all(`/api/queues/tied/jobs?state=failed&order=${order}&limit=5`, async ({ items }) => {
        if (!gone) await redis.admin.zrem('bull:tied:failed', (gone = items.at(-1).id));
      });
      assert.deepEqual([...new Set(ids(found))].toSorted(), many.toSorted());
      await redis.admin.zadd('bull:tied:failed', 2000, gone);
    }
  });

  test('by name and by id; a cursor of somebody else is refused', async () => {
    const q = open_('named');
    await q.addBulk(Array.from({ length: 40 }, (_, i) => ({ name: i % 4 ? 'common' : 'rare', data: {}, opts: { jobId: `job-${i}` } })));
    const rare = await all('/api/queues/named/jobs?state=waiting&name=rare&limit=3');
    assert.deepEqual(ids(rare), ids((await q.getJobs(['wait'])).filter((job) => job.name === 'rare')));
    const { scanned, next } = await read('/api/queues/named/jobs?state=waiting&name=none');
    assert.deepEqual([scanned, next], [40, null]);
    assert.deepEqual(ids((await read('/api/queues/named/jobs?id=job-7')).items), ['job-7']);
    assert.deepEqual((await read('/api/queues/named/jobs?id=job-7&state=failed')).items, []);
    assert.deepEqual((await read('/api/queues/named/jobs?id=nobody')).items, []);
    const forged = ['nonsense', '9~1~x', '0~abc~x', '0~--~x', '0~1e308~x'].map((cursor) => `cursor=${cursor}`);
    for (const state of ['active', 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children']) forged.push(`state=${state}&cursor=1~~`, `state=${state}&cursor=1~1~x`);
    for (const query of [...forged, 'state=completed&cursor=0~--~x', 'state=asleep', 'limit=0', 'limit=201', 'order=random']) {
      const { status, json } = await viewer.get(`/api/queues/named/jobs?${query}`);
      assert.deepEqual([status, json.code], [400, 'validation-failed'], query);
    }
  });

  test('one in full, and its log', async () => {
    const q = open_('detailed');
    const worker = keep(new Worker('detailed', null, { connection: redis.connect(), name: 'node-9' }));
    const { id } = await q.add('x', { a: 1 });
    const job = await worker.getNextJob('token-1');
    for (let i = 0; i < 5; i++) await job.log(`line ${i}`);
    const detail = await read(`/api/queues/detailed/jobs/${id}`);
    assert.deepEqual([detail.state, detail.data, detail.attemptsStarted, detail.processedBy, detail.logs], ['active', { a: 1 }, 1, 'node-9', 5]);
    assert.ok(detail.lock.sluice === false && detail.lock.endsInMs > 0);
    assert.equal((await read(`/api/queues/detailed/jobs/${id}?data=0`)).data, null);
    assert.deepEqual(await read(`/api/queues/detailed/jobs/${id}/logs?start=1&limit=2`), { lines: ['line 1', 'line 2'], start: 1, total: 5 });
    for (const path of ['nobody', 'nobody/logs', 'nobody/flow', 'meta']) assert.equal((await viewer.get(`/api/queues/detailed/jobs/${path}`)).status, 404);
  });

  test('its flow, from whichever job one comes', async () => {
    const flows = keep(new FlowProducer({ connection: redis.connect() }));
    const tree = await flows.add({
      name: 'root', queueName: 'flow-a', children: [
        { name: 'left', queueName: 'flow-b', children: [{ name: 'leaf', queueName: 'flow-a' }] },
        { name: 'right', queueName: 'flow-b' },
      ],
    });
    const worker = keep(new Worker('flow-b', null, { connection: redis.connect() }));
    const right = await worker.getNextJob('t');
    await right.moveToCompleted('done', 't', false);
    const leaf = tree.children[0].children[0].job;
    for (const [name, id] of [['flow-a', tree.job.id], ['flow-a', leaf.id], ['flow-b', right.id]]) {
      const { nodes, more } = await read(`/api/queues/${name}/jobs/${id}/flow`);
      assert.equal(more, false);
      const shape = nodes.map((node) => [node.name, node.state, node.parent === null ? null : nodes[node.parent].name]);
      assert.deepEqual(shape[0], ['root', 'waiting-children', null]);
      assert.deepEqual(shape.toSorted(), [['leaf', 'waiting', 'left'], ['left', 'waiting-children', 'root'], ['right', 'completed', 'root'], ['root', 'waiting-children', null]]);
    }
  });
});
