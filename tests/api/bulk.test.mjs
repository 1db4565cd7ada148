// One action on many jobs: counted first, then a task that can be watched and stopped.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FlowProducer, UnrecoverableError } from 'bullmq';
import { eventually, openStage } from './harness/index.mjs';

const stage = await openStage();
const { redis, sluice, queue: open_ } = stage;
const operator = sluice.as({ sub: 'ops', roles: ['operator'] });

const bulk = (name, body) => operator.post(`/api/queues/${name}/bulk`, body);
async function count(name, action, filter) {
  const { status, json, text } = await bulk(name, { action, filter, dryRun: true });
  assert.equal(status, 200, text);
  return json;
}
async function begin(name, action, filter, more = {}) {
  const { status, json, headers, text } = await bulk(name, { action, filter, ...more });
  assert.equal(status, 202, text);
  assert.equal(headers.location, `/api/tasks/${json.id}`);
  return json;
}
const task = async (id) => (await operator.get(`/api/tasks/${id}`)).json;
const ended = (id) => eventually(async () => {
  const now = await task(id);
  return !['queued', 'running'].includes(now.state) && now;
}, { timeout: 60_000, what: 'the end of the task' });

// Failed jobs without the work of failing them: i says when and how.
async function failedJobs(name, n, of = (i) => ({ error: i % 3 ? 'timeout: slow' : 'refused', jobName: i % 2 ? 'odd' : 'even' })) {
  const queue = open_(name);
  await queue.waitUntilReady();
  await redis.admin.hset(`bull:${name}:meta`, 'opts.maxLenEvents', '10000');
  const pipeline = redis.admin.pipeline();
  const now = Date.now();
  for (let i = 0; i < n; i++) {
    const { error, jobName } = of(i);
    const at = now - 3_600_000 + Math.floor((i * 3_000_000) / n); // within the last hour, the first ended first
    pipeline.hset(`bull:${name}:f-${i}`, { name: jobName, data: '{}', opts: '{}', timestamp: at, finishedOn: at, failedReason: error, atm: 1 });
    pipeline.zadd(`bull:${name}:failed`, at, `f-${i}`);
  }
  await pipeline.exec();
  return queue;
}

describe('a bulk action', () => {
  test('counts first, and then does what it counted', async () => {
    const queue = await failedJobs('retried', 900);
    const filter = { state: 'failed', name: 'odd', error: 'timeout' };
    assert.deepEqual(await count('retried', 'retry', filter), { matched: 300, scanned: 900, total: 900, complete: true });
    assert.equal(await queue.getFailedCount(), 900);
    const { id } = await begin('retried', 'retry', filter);
    const { state, by, matched, changed, skipped, total, endedAt } = await ended(id);
    assert.deepEqual({ state, by, matched, changed, skipped, total }, { state: 'done', by: 'ops', matched: 300, changed: 300, skipped: 0, total: 900 });
    assert.ok(endedAt);
    assert.deepEqual([await queue.getFailedCount(), await queue.getWaitingCount()], [600, 300]);
    const next = (await queue.getJobs(['wait'], 0, 9, true)).map((job) => job.id);
    assert.deepEqual(next.slice(0, 3), ['f-1', 'f-5', 'f-7'], 'the oldest runs first');
    assert.deepEqual((await sluice.logged('audit', { action: 'jobs.bulk', target: 'retried' })).after.filter, { ...filter, olderThanMs: 0 });
    assert.ok((await operator.get('/api/tasks')).json.items.some((item) => item.id === id));
  });

  test('meets jobs once, however fast they fail again', async () => {
    const queue = await failedJobs('hopeless', 500);
    stage.worker('hopeless', async () => { throw new Error('timeout: again'); }, { concurrency: 20 });
    const { changed, state } = await ended((await begin('hopeless', 'retry', { state: 'failed' })).id);
    assert.deepEqual([state, changed], ['done', 500]);
    await eventually(async () => (await queue.getFailedCount()) === 500, { timeout: 60_000, what: 'every job failed again' });
  });

  test('goes on behind an id that is longer than ours may be', async () => {
    const queue = await failedJobs('lengthy', 450);
    const long = 'x'.repeat(3000);
    const at = await redis.admin.zscore('bull:lengthy:failed', 'f-199'); // the last of a step
    await redis.admin.multi().zrem('bull:lengthy:failed', 'f-199').zadd('bull:lengthy:failed', at, long).rename('bull:lengthy:f-199', `bull:lengthy:${long}`).exec();
    assert.deepEqual(await count('lengthy', 'retry', { state: 'failed' }), { matched: 450, scanned: 450, total: 450, complete: true });
    const { id } = await begin('lengthy', 'retry', { state: 'failed' });
    const { state, changed } = await ended(id);
    assert.deepEqual([state, changed], ['done', 450]);
    assert.equal(await queue.getFailedCount(), 0);
  });

  test('removes by age and name, from lists and sets, and asks for the name of the queue', async () => {
    const queue = await failedJobs('removed', 450);
    await queue.addBulk(Array.from({ length: 450 }, (_, i) => ({ name: i % 3 ? 'keep' : 'drop', data: {} })));
    assert.equal((await bulk('removed', { action: 'remove', filter: { state: 'failed' } })).status, 400);
    const confirm = { confirm: 'removed' };
    const aged = await ended((await begin('removed', 'remove', { state: 'failed', olderThanMs: 2_100_000 }, confirm)).id);
    assert.ok(aged.matched >= 200 && aged.changed === aged.matched, JSON.stringify(aged));
    assert.equal(await queue.getFailedCount(), 450 - aged.changed);
    assert.equal((await ended((await begin('removed', 'remove', { state: 'waiting', name: 'drop' }, confirm)).id)).changed, 150);
    const left = await queue.getJobs(['wait'], 0, -1, true);
    assert.equal(left.length, 300);
    assert.ok(left.every((job, i) => job.name === 'keep' && (i === 0 || Number(job.id) > Number(left[i - 1].id))), 'in their order');
  });

  test('removes from the middle of a list while workers take from its end', async () => {
    const queue = open_('contested');
    const n = 6000;
    await queue.addBulk(Array.from({ length: n }, (_, i) => ({ name: i % 2 ? 'keep' : 'drop', data: {}, opts: { removeOnComplete: true } })));
    const ran = [];
    stage.worker('contested', async (job) => void ran.push(job), { concurrency: 20 });
    const { state, changed } = await ended((await begin('contested', 'remove', { state: 'waiting', name: 'drop' }, { confirm: 'contested' })).id);
    assert.equal(state, 'done');
    await eventually(async () => ran.length + changed === n && (await queue.count()) === 0, { timeout: 60_000, what: 'the end of all others' });
    const ids = ran.map(({ id }) => id);
    assert.equal(new Set(ids).size, ids.length);
    assert.equal(ran.filter(({ name }) => name === 'keep').length, n / 2, 'what does not match has run');
    assert.ok(!ids.includes(''), 'no mark is taken for a job');
    await eventually(async () => (await redis.admin.keys('bull:contested:[0-9]*')).length === 0, { timeout: 60_000, what: 'nothing left behind' });
  });

  test('removes from where BullMQ 5 left paused jobs, too', async () => {
    const queue = open_('left');
    await queue.addBulk(Array.from({ length: 330 }, (_, i) => ({ name: i % 3 ? 'keep' : 'drop', data: {} })));
    await redis.admin.rename('bull:left:wait', 'bull:left:paused');
    await queue.addBulk(Array.from({ length: 330 }, (_, i) => ({ name: i % 3 ? 'keep' : 'drop', data: {} })));
    const { changed, skipped } = await ended((await begin('left', 'remove', { state: 'waiting', name: 'drop' }, { confirm: 'left' })).id);
    assert.deepEqual([changed, skipped], [220, 0]);
    assert.deepEqual([await redis.admin.llen('bull:left:paused'), await redis.admin.llen('bull:left:wait')], [220, 220]);
    assert.ok((await queue.getJobs(['wait', 'paused'])).every((job) => job?.name === 'keep'));
  });

  test('removes children that stand in the same list, and a parent for which the last of them makes room', async () => {
    const queue = open_('family');
    const flow = stage.keep(new FlowProducer({ connection: redis.connect() }));
    const of = (jobId, name, children) => ({ name, queueName: 'family', data: {}, opts: { jobId, continueParentOnFailure: true }, children });
    await flow.add(of('parent', 'drop', [of('a', 'fails'), of('b', 'keep'), of('c', 'drop')]));
    await flow.add(of('waits', 'keep', [of('last', 'drop')]));
    const worker = stage.hand('family');
    const job = await worker.getNextJob('t');
    assert.equal(job.id, 'a');
    await job.moveToFailed(new UnrecoverableError('no'), 't', false);
    assert.equal(await queue.getJobState('parent'), 'waiting', 'its failed child has let it go, and two others still wait');
    const { changed } = await ended((await begin('family', 'remove', { state: 'waiting', name: 'drop' }, { confirm: 'family' })).id);
    assert.ok(changed >= 2, `${changed} removed`);
    for (const id of ['parent', 'b', 'c', 'last']) assert.equal(await queue.getJob(id), undefined, `${id} is gone, with its parent or by itself`);
    assert.equal(await queue.getJobState('waits'), 'waiting', 'the parent of the last one waits no longer for it');
    assert.deepEqual(await redis.admin.lrange('bull:family:wait', 0, -1), ['waits']);
  });

  test('cleans by state and age, and leaves what comes meanwhile', async () => {
    const queue = await failedJobs('cleaned', 450);
    assert.equal((await bulk('cleaned', { action: 'clean', filter: { state: 'failed' } })).status, 400, 'not without the name of the queue');
    const confirm = { confirm: 'cleaned' };
    assert.equal((await bulk('cleaned', { action: 'clean', filter: { state: 'failed', error: 'timeout' }, ...confirm })).status, 400);
    assert.deepEqual(await count('cleaned', 'clean', { state: 'failed' }), { matched: 450, scanned: 450, total: 450, complete: true });
    const aged = await ended((await begin('cleaned', 'clean', { state: 'failed', olderThanMs: 2_100_000 }, confirm)).id);
    assert.ok(aged.changed >= 200 && aged.changed < 450, JSON.stringify(aged));
    await redis.admin.zadd('bull:cleaned:failed', Date.now() + 3_600_000, 'f-449'); // ends when the cleaning has begun
    const { action, state, changed } = await ended((await begin('cleaned', 'clean', { state: 'failed' }, confirm)).id);
    assert.deepEqual([action, state, changed], ['clean', 'done', 449 - aged.changed]);
    assert.deepEqual((await queue.getFailed()).map((job) => job.id), ['f-449']);
    await queue.addBulk(Array.from({ length: 120 }, () => ({ name: 'x', data: {} })));
    assert.equal((await ended((await begin('cleaned', 'clean', { state: 'waiting' }, confirm)).id)).changed, 120);
    assert.equal(await queue.getWaitingCount(), 0);
  });

  test('promotes, and passes over what a worker has taken', async () => {
    const queue = open_('promoted');
    await queue.addBulk(Array.from({ length: 30 }, (_, i) => ({ name: 'x', data: {}, opts: { delay: 60_000 + i } })));
    assert.equal((await ended((await begin('promoted', 'promote', { state: 'delayed' })).id)).changed, 30);
    assert.deepEqual([await queue.getDelayedCount(), await queue.getWaitingCount()], [0, 30]);
    const ids = (await queue.getJobs(['wait'], 0, -1, true)).map((job) => Number(job.id));
    assert.deepEqual(ids, ids.toSorted((a, b) => a - b));
  });

  test('can be stopped, and is kept for a look at it', async () => {
    const queue = await failedJobs('stopped', 20_000);
    const { id } = await begin('stopped', 'remove', { state: 'failed' }, { confirm: 'stopped' });
    const cancelled = await operator.delete(`/api/tasks/${id}`);
    assert.equal(cancelled.status, 200, cancelled.text);
    const { state, changed } = await ended(id);
    assert.equal(state, 'cancelled');
    assert.equal(await queue.getFailedCount(), 20_000 - changed);
    assert.equal((await operator.delete(`/api/tasks/${id}`)).status, 409);
    assert.equal((await operator.get('/api/tasks/nobody')).status, 404);
    assert.equal((await operator.delete('/api/tasks/nobody')).status, 404);
  });

  test('others are answered while it works', async () => {
    await failedJobs('busy', 20_000);
    const { id } = await begin('busy', 'retry', { state: 'failed' });
    let answers = 0;
    while (['queued', 'running'].includes((await task(id)).state)) answers += (await operator.get('/api/jobs/stats/notifications')).status === 200;
    assert.ok(answers >= 20, `${answers} answers`);
    assert.equal((await task(id)).changed, 20_000);
  });

  test('is refused where it makes no sense, and to those who only look', async () => {
    open_('refused');
    for (const [action, state] of [['retry', 'waiting'], ['promote', 'failed'], ['remove', 'active'], ['clean', 'active'], ['clean', 'waiting-children'], ['explode', 'failed'], ['retry', 'lost']])
      assert.equal((await bulk('notifications', { action, filter: { state } })).status, 400, `${action} ${state}`);
    assert.equal((await bulk('nobody', { action: 'retry', filter: { state: 'failed' } })).status, 404);
    const viewer = sluice.as({ sub: 'eve', roles: ['viewer'] });
    assert.equal((await viewer.post('/api/queues/notifications/bulk', { action: 'retry', filter: { state: 'failed' } })).status, 403);
    assert.equal((await viewer.get('/api/tasks')).status, 200);
  });
});
