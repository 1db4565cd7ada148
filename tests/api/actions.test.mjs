// Acting on queues and jobs: each action does what the official client's does, is audited, and refuses with a reason.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { QueueEvents, Worker } from 'bullmq';
import { declare, eventually, openStage } from './harness/index.mjs';

const stage = await openStage({
  sluice: {
    env: {
      SLUICE_QUEUES: declare({ name: 'strict', processor: 'none', attempts: 1, payload: { type: 'object', required: ['n'], properties: { n: { type: 'integer' } } } }),
    },
  },
});
const { redis, sluice, keep, queue: open_, hand } = stage;
const operator = sluice.as({ sub: 'ops', roles: ['operator'] });

const at = (name, rest = '') => `/api/queues/${name}${rest}`;
async function done(answer) {
  const { status, json, text } = await answer;
  assert.equal(status, 200, text);
  return json;
}
async function refused(answer, status, code, detail) {
  const { status: got, json, text } = await answer;
  assert.deepEqual([got, json?.code], [status, code], text);
  if (detail) assert.match(json.detail, detail);
}
const audited = (action, target) => sluice.logged('audit', { action, target });

describe('pause and resume', () => {
  test('are what the official client sees, and the reason is shown until then', async () => {
    const q = open_('paused');
    await q.add('x', {});
    assert.deepEqual(await done(operator.post(at('paused', '/pause'), { reason: 'mail is down' })), { queue: 'paused', paused: true, reason: 'mail is down' });
    assert.equal(await q.isPaused(), true);
    const detail = await done(operator.get(at('paused')));
    assert.deepEqual([detail.paused, detail.pausedReason, detail.pausedBy], [true, 'mail is down', 'ops']);
    assert.ok(Math.abs(detail.pausedSince - Date.now()) < 60_000);
    assert.equal((await done(operator.get('/api/queues'))).items.find((item) => item.name === 'paused')?.paused ?? true, true);
    assert.equal(await hand('paused').getNextJob('t', { block: false }), undefined);
    const entry = await audited('queue.pause', 'paused');
    assert.deepEqual([entry.before, entry.after], [{ paused: false }, { paused: true, reason: 'mail is down' }]);

    await done(operator.post(at('paused', '/resume')));
    assert.equal(await q.isPaused(), false);
    assert.deepEqual((await done(operator.get(at('paused')))).pausedReason, null);
    assert.deepEqual((await audited('queue.resume', 'paused')).before, { paused: true, reason: 'mail is down' });
    await q.pause();
    assert.deepEqual([(await done(operator.get(at('paused')))).paused, (await done(operator.get(at('paused')))).pausedReason], [true, null]);
    await q.resume();
  });

  test('wake a worker that waits', async () => {
    const q = open_('woken');
    await q.waitUntilReady();
    await q.add('first', {});
    let ran = 0;
    keep(new Worker('woken', async () => { ran++; }, { connection: redis.connect() }));
    await eventually(() => ran === 1, { what: 'the first job' });
    await done(operator.post(at('woken', '/pause'), {}));
    await q.add('second', {});
    await done(operator.post(at('woken', '/resume')));
    await eventually(() => ran === 2, { what: 'the second job' });
  });
});

describe('drain and clean', () => {
  test('ask for the name of the queue', async () => {
    await open_('asked').add('x', {});
    await refused(operator.post(at('asked', '/drain'), { confirm: 'something' }), 400, 'validation-failed', /asked/);
    await refused(operator.post(at('asked', '/clean'), { state: 'waiting' }), 400, 'validation-failed');
  });

  test('a drain leaves what the official one leaves', async () => {
    for (const delayed of [false, true]) {
      const left = [];
      for (const who of ['official', 'ours']) {
        const name = `drained-${who}-${delayed}`;
        const q = open_(name);
        await q.upsertJobScheduler('later', { pattern: '0 0 1 1 *' }, { name: 'tock' });
        for (let i = 0; i < 6; i++) {
          await q.add('plain', { i });
          await q.add('urgent', { i }, { priority: 2, deduplication: { id: `d-${i}` } });
          await q.add('late', { i }, { delay: 90_000 });
        }
        await hand(name).getNextJob('t');
        if (who === 'official') await q.drain(delayed);
        else assert.deepEqual(await done(operator.post(at(name, '/drain'), { delayed, confirm: name })), { queue: name, removed: delayed ? 17 : 11, more: false });
        const keys = (await redis.admin.keys(`bull:${name}:*`)).map((key) => key.slice(`bull:${name}:`.length));
        left.push([keys.toSorted(), (await q.getJobs(['wait', 'active', 'delayed', 'prioritized'])).map((job) => job.name).toSorted()]);
      }
      assert.deepEqual(left[1], left[0]);
    }
    assert.equal((await audited('queue.drain', 'drained-ours-true')).before.delayed, true);
  });

  test('a drain leaves the next job of a schedule, also one that waits already', async () => {
    const q = open_('scheduled');
    await q.add('a', {});
    const tick = await q.upsertJobScheduler('often', { every: 3_600_000 }, { name: 'tick' });
    await tick.promote().catch(() => {}); // it may be due at once
    await q.add('b', {});
    assert.equal((await done(operator.post(at('scheduled', '/drain'), { delayed: true, confirm: 'scheduled' }))).removed, 2);
    assert.deepEqual((await q.getJobs(['wait', 'delayed'])).map((job) => job.id), [tick.id]);
  });

  test('a large queue is drained and cleaned to the end', async () => {
    const q = open_('large');
    await q.addBulk(Array.from({ length: 1500 }, (_, i) => ({ name: 'x', data: { i } })));
    const first = await done(operator.post(at('large', '/clean'), { state: 'waiting', limit: 450, confirm: 'large' }));
    assert.deepEqual(first, { queue: 'large', removed: 450, more: true });
    const { removed, more } = await done(operator.post(at('large', '/drain'), { confirm: 'large' }));
    assert.deepEqual([removed, more, await q.count()], [1050, false, 0]);
    assert.deepEqual(await redis.admin.keys('bull:large:[0-9]*'), []);
  });

  // Before, a job that stayed ended the clean at the step that met it.
  test('a clean passes over what stays, as the official one does', async () => {
    const left = [];
    for (const who of ['official', 'ours']) {
      const q = open_(`mixed-${who}`);
      const clean = (state, limit) => (who === 'official' ? q.clean(1_800_000, limit, state === 'waiting' ? 'wait' : state)
        : done(operator.post(at(q.name, '/clean'), { state, olderThanMs: 1_800_000, limit, confirm: q.name })));
      const job = (id, i, opts = {}) => ({ name: 'x', data: {}, opts: { jobId: `${id}-${i}`, timestamp: Date.now() - (i % 7 ? 3_600_000 : 0), ...opts } });
      await q.addBulk(Array.from({ length: 350 }, (_, i) => job('w', i)));
      await q.addBulk(Array.from({ length: 350 }, (_, i) => job('p', i, { priority: 1 + (i % 3) })));
      await q.addBulk(Array.from({ length: 350 }, (_, i) => job('l', i, { delay: 90_000_000 + i })));
      await q.upsertJobScheduler('hourly', { every: 3_600_000 }, { name: 'tick' }); // delayed, and due before the others
      for (const state of ['waiting', 'prioritized', 'delayed']) await clean(state, 300);
      left.push(await Promise.all(['wait', 'prioritized', 'delayed'].map(async (state) => (await q.getJobs([state], 0, -1, true)).map(({ id }) => id.replace(/^repeat.*/, 'tick')))));
      await clean('waiting', 1000);
      assert.equal(await q.getWaitingCount(), 50 + (left.at(-1)[0].includes('tick') ? 1 : 0), 'those that are younger');
    }
    assert.deepEqual(left[1], left[0]);
    assert.ok(left[0].flat().includes('tick'));
    assert.ok(left[0][0].length > 50 && left[0][0].length < 150, 'waiting ones were looked at up to the limit');
  });

  test('a clean goes by state and age, the oldest first', async () => {
    const q = open_('cleaned');
    await q.add('x', {});
    for (let i = 0; i < 10; i++) {
      const finishedOn = Date.now() - i * 60_000;
      await redis.admin.hset(`bull:cleaned:old-${i}`, { name: 'x', data: '{}', opts: '{}', timestamp: finishedOn, finishedOn });
      await redis.admin.zadd('bull:cleaned:failed', finishedOn, `old-${i}`);
    }
    const events = keep(new QueueEvents('cleaned', { connection: redis.connect(), lastEventId: '0' }));
    let counted = 0;
    events.on('cleaned', ({ count }) => (counted += Number(count)));
    assert.equal((await done(operator.post(at('cleaned', '/clean'), { state: 'failed', olderThanMs: 330_000, limit: 2, confirm: 'cleaned' }))).removed, 2);
    assert.deepEqual((await q.getFailed()).map((job) => job.id).toSorted(), Array.from({ length: 8 }, (_, i) => `old-${i}`));
    assert.equal((await done(operator.post(at('cleaned', '/clean'), { state: 'failed', olderThanMs: 330_000, confirm: 'cleaned' }))).removed, 2);
    assert.equal(await q.getFailedCount(), 6);
    await eventually(() => counted === 4, { what: 'the events of the cleaning' });
  });
});

describe('one job', () => {
  async function fail(name, data = {}, options = {}) {
    const q = open_(name);
    const { id } = await q.add('x', data, options);
    const job = await hand(name).getNextJob('t');
    assert.equal(job.id, id);
    await job.moveToFailed(new Error('it broke'), 't', false);
    return { q, id };
  }

  test('is retried, with its data or other', async () => {
    const { q, id } = await fail('strict', { n: 1 });
    await refused(operator.post(at('strict', `/jobs/${id}/retry`), { data: { n: 'one' } }), 400, 'validation-failed');
    assert.equal((await q.getJob(id)).data.n, 1);
    const shown = await done(operator.post(at('strict', `/jobs/${id}/retry`), { data: { n: 2 } }));
    assert.deepEqual([shown.state, shown.failedReason, shown.attemptsMade], ['waiting', null, 1]);
    const job = await q.getJob(id);
    assert.deepEqual([await job.getState(), job.data, job.failedReason, job.finishedOn], ['waiting', { n: 2 }, undefined, undefined]);
    assert.deepEqual((await audited('job.retry', `strict/${id}`)).after.dataChanged, true);
    await refused(operator.post(at('strict', `/jobs/${id}/retry`), {}), 409, 'conflict', /waiting/);
    const again = await hand('strict').getNextJob('t2');
    await refused(operator.post(at('strict', `/jobs/${id}/retry`), {}), 409, 'conflict', /locked/);
    await again.moveToCompleted('ok', 't2', false);
    const reset = await done(operator.post(at('strict', `/jobs/${id}/retry`), { resetAttempts: true }));
    assert.deepEqual([reset.state, reset.attemptsMade, reset.returnvalue], ['waiting', 0, null]);
  });

  test('is retried at the front when it was lifo, and into its priority', async () => {
    const { q, id } = await fail('fronts', {}, { lifo: true });
    await q.add('other', {});
    await done(operator.post(at('fronts', `/jobs/${id}/retry`), {}));
    assert.equal((await redis.admin.lindex('bull:fronts:wait', -1)), id);
    const urgent = await fail('urgents', {}, { priority: 4 });
    assert.equal((await done(operator.post(at('urgents', `/jobs/${urgent.id}/retry`), {}))).state, 'prioritized');
  });

  test('is promoted when it is delayed', async () => {
    const q = open_('promoted');
    const { id } = await q.add('x', {}, { delay: 60_000 });
    assert.deepEqual((await done(operator.post(at('promoted', `/jobs/${id}/promote`)))).state, 'waiting');
    assert.equal(await (await q.getJob(id)).getState(), 'waiting');
    await refused(operator.post(at('promoted', `/jobs/${id}/promote`)), 409, 'conflict', /waiting, not delayed/);
    assert.deepEqual((await audited('job.promote', `promoted/${id}`)).before.state, 'delayed');
  });

  test('is removed unless somebody holds it, or it is the next of a schedule', async () => {
    const q = open_('removed');
    const worker = hand('removed', { name: 'node-3' });
    const { id } = await q.add('x', {});
    const held = await worker.getNextJob('t');
    await refused(operator.post(at('removed', `/jobs/${id}/remove`)), 409, 'conflict', /locked by "node-3"/);
    await held.moveToCompleted('ok', 't', false);
    assert.deepEqual(await done(operator.post(at('removed', `/jobs/${id}/remove`))), { jobId: id, queue: 'removed', removed: true });
    assert.equal(await q.getJob(id), undefined);
    await refused(operator.post(at('removed', `/jobs/${id}/remove`)), 404, 'not-found');
    const next = await q.upsertJobScheduler('s', { every: 3_600_000 }, { name: 'tick' });
    await refused(operator.post(at('removed', `/jobs/${encodeURIComponent(next.id)}/remove`)), 409, 'conflict', /schedule/);
  });

  test('is changed: priority, delay, data; all of it or nothing', async () => {
    const q = open_('changed');
    const { id } = await q.add('x', { v: 1 }, { delay: 60_000 });
    const before = Date.now();
    const shown = await done(operator.request('PATCH', at('changed', `/jobs/${id}`), { body: { priority: 5, delay: 5_000_000, data: { v: 2 } } }));
    assert.deepEqual([shown.state, shown.priority, shown.delay], ['delayed', 5, 5_000_000]);
    const job = await q.getJob(id);
    assert.deepEqual([job.data, job.priority, job.delay], [{ v: 2 }, 5, 5_000_000]);
    const { dueAt } = await done(operator.get(at('changed', `/jobs/${id}`)));
    assert.ok(dueAt >= before + 5_000_000 && dueAt <= Date.now() + 5_000_000);
    const waiting = await q.add('y', { v: 1 });
    await refused(operator.request('PATCH', at('changed', `/jobs/${waiting.id}`), { body: { delay: 1, data: { v: 3 } } }), 409, 'conflict', /not delayed/);
    assert.deepEqual((await q.getJob(waiting.id)).data, { v: 1 });
    assert.equal((await done(operator.request('PATCH', at('changed', `/jobs/${waiting.id}`), { body: { priority: 3 } }))).state, 'prioritized');
    assert.equal(await (await q.getJob(waiting.id)).getState(), 'prioritized');
    assert.equal((await done(operator.request('PATCH', at('changed', `/jobs/${waiting.id}`), { body: { priority: 0 } }))).state, 'waiting');
    const worker = hand('changed', { name: 'node-4' });
    const held = await worker.getNextJob('t');
    for (const body of [{ priority: 1 }, { data: {} }]) await refused(operator.request('PATCH', at('changed', `/jobs/${held.id}`), { body }), 409, 'conflict', /locked by "node-4"/);
    await held.moveToFailed(new Error('no'), 't', false);
    await refused(operator.request('PATCH', at('changed', `/jobs/${held.id}`), { body: { priority: 1 } }), 409, 'conflict', /ended/);
    for (const body of [{}, { priority: -1 }, { nonsense: 1 }]) await refused(operator.request('PATCH', at('changed', `/jobs/${held.id}`), { body }), 400, 'validation-failed');
  });

  test('is no viewer\'s, producer\'s or worker\'s to act on', async () => {
    await open_('guarded').add('x', {}, { jobId: 'g-1' });
    for (const role of ['viewer', 'producer', 'worker']) {
      const client = sluice.as({ sub: role, roles: [role] });
      for (const [path, body] of [['/pause', {}], ['/resume'], ['/drain', { confirm: 'guarded' }], ['/clean', { state: 'waiting', confirm: 'guarded' }],
        ['/jobs/g-1/retry', {}], ['/jobs/g-1/promote'], ['/jobs/g-1/remove']]) await refused(client.post(at('guarded', path), body), 403, 'forbidden');
      await refused(client.request('PATCH', at('guarded', '/jobs/g-1'), { body: { priority: 1 } }), 403, 'forbidden');
    }
  });
});
