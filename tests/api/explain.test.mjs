// Why jobs do not run: each finding is provoked, and goes when its cause goes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FlowProducer, Worker } from 'bullmq';
import { eventually, openStage } from './harness/index.mjs';

const stage = await openStage();
const { redis, sluice, keep, queue: open_, hand } = stage;
const viewer = sluice.as({ sub: 'eve', roles: ['viewer'] });

async function explain(name, id) {
  const path = id === undefined ? `/api/queues/${name}/explain` : `/api/queues/${name}/jobs/${encodeURIComponent(id)}/explain`;
  const { status, json, text } = await viewer.get(path);
  assert.equal(status, 200, text);
  return json;
}
const codes = ({ findings }) => findings.map((finding) => finding.code);
async function finding(code, name, id) {
  return eventually(async () => (await explain(name, id)).findings.find((f) => f.code === code), { timeout: 30_000, interval: 100, what: `the finding ${code}` });
}
const gone = (code, name, id) =>
  eventually(async () => !codes(await explain(name, id)).includes(code), { timeout: 30_000, interval: 100, what: `the end of ${code}` });

describe('a queue', () => {
  test('that nobody works on', async () => {
    const q = open_('lonely');
    const { id } = await q.add('x', {});
    const found = await finding('no-worker', 'lonely');
    assert.deepEqual([found.severity, found.action, found.values], ['critical', 'start-worker', { jobs: 1 }]);
    assert.ok(codes(await explain('lonely', id)).includes('no-worker'));
    keep(new Worker('lonely', async () => {}, { connection: redis.connect() }));
    await gone('no-worker', 'lonely');
    assert.deepEqual(codes(await explain('lonely')), ['ok']);
  });

  test('that is paused', async () => {
    const q = open_('halted');
    const { id } = await q.add('x', {});
    await sluice.client.post('/api/queues/halted/pause', { reason: 'the mail provider is down' });
    const found = await finding('paused', 'halted', id);
    assert.match(found.sentence, /the mail provider is down/);
    assert.deepEqual(found.values, { by: 'tester', reason: 'the mail provider is down' });
    assert.ok(found.since <= Date.now() && found.action === 'resume');
    await q.resume();
    await gone('paused', 'halted', id);
  });

  test('that is rate limited, or at its concurrency', async () => {
    const q = open_('slow');
    await q.add('x', {});
    const { id } = await q.add('y', {});
    await q.setGlobalConcurrency(1);
    await hand('slow').getNextJob('t');
    await q.rateLimit(40_000);
    const limited = await finding('rate-limited', 'slow', id);
    assert.ok(limited.until > Date.now() && limited.until < Date.now() + 45_000);
    assert.ok(limited.values.leftMs > 0 && limited.values.leftMs <= 40_000);
    assert.deepEqual((await finding('at-concurrency', 'slow')).values, { jobs: 1, concurrency: 1 });
    await q.removeRateLimitKey();
    await gone('rate-limited', 'slow', id);
  });

  test('whose workers vanished, and what they had', async () => {
    const q = open_('orphaned');
    const { id } = await q.add('x', {});
    await hand('orphaned', { lockDuration: 60_000, name: 'gone-1' }).getNextJob('t');
    assert.ok(codes(await explain('orphaned', id)).includes('running'));
    await redis.admin.del(`bull:orphaned:${id}:lock`);
    const stalled = await finding('stalled', 'orphaned');
    assert.match(stalled.sentence, /1 active job is held by nobody/);
    assert.deepEqual(stalled.values, { jobs: 1 });
    const lost = await finding('lock-expired', 'orphaned', id);
    assert.match(lost.sentence, /gone-1/);
    assert.deepEqual(lost.values, { worker: 'gone-1' });
  });

  test('whose jobs end while one looks', async () => {
    const q = open_('brisk');
    await q.addBulk(Array.from({ length: 3000 }, () => ({ name: 'x', data: {} })));
    const worker = keep(new Worker('brisk', async () => {}, { connection: redis.connect(), concurrency: 50 }));
    for (let looks = 0; looks < 60 && (await q.getWaitingCount()) > 0; looks++) assert.ok(!codes(await explain('brisk')).includes('stalled'), 'a job that has ended has no lock, and no need of one');
    await worker.close();
  });

  test('whose priorities wait behind plain jobs', async () => {
    const q = open_('mixed');
    await q.add('plain', {});
    const { id } = await q.add('urgent', {}, { priority: 1 });
    assert.ok(codes(await explain('mixed')).includes('priority-starved'));
    assert.ok(codes(await explain('mixed', id)).includes('priority-starved'));
  });

  test('whose marker is missing, whose delayed jobs are overdue, with leftovers of BullMQ 5', async () => {
    const q = open_('broken');
    await q.add('x', {}, { timestamp: Date.now() - 60_000 });
    await redis.admin.del('bull:broken:marker');
    await redis.admin.hset('bull:broken:late', { name: 'x', data: '{}', opts: '{}', timestamp: 1 });
    await redis.admin.zadd('bull:broken:delayed', (Date.now() - 60_000) * 4096, 'late');
    await redis.admin.hset('bull:broken:left', { name: 'x', data: '{}', opts: '{}', timestamp: 1 });
    await redis.admin.lpush('bull:broken:paused', 'left');
    const found = codes(await explain('broken'));
    for (const code of ['marker-missing', 'overdue', 'left-by-v5']) assert.ok(found.includes(code), `${code} in ${found}`);
    assert.ok(codes(await explain('broken', 'left')).includes('left-aside'));
  });

  test('that fails, and that grows', async () => {
    const q = open_('failing');
    await q.add('x', {});
    keep(new Worker('failing', async () => { throw new Error('no'); }, { connection: redis.connect(), metrics: { maxDataPoints: 5 }, limiter: { max: 2, duration: 500 } }));
    await eventually(async () => {
      await q.addBulk(Array.from({ length: 60 }, () => ({ name: 'x', data: {} })));
      const found = codes(await explain('failing'));
      return found.includes('failing') && found.includes('backlog-grows');
    }, { timeout: 60_000, interval: 300, what: 'both findings' });
    const last = (await q.getJobs(['wait'], 0, 0))[0];
    const { etaMs, ahead } = await explain('failing', last.id);
    assert.ok(etaMs > 0 && ahead > 0);
  });
});

describe('a job', () => {
  test('in line knows how many are before it', async () => {
    const q = open_('queueing');
    const ids = [];
    for (let i = 0; i < 5; i++) ids.push((await q.add('x', {})).id);
    const urgent = await q.add('y', {}, { priority: 2 });
    assert.deepEqual(await Promise.all([ids[0], ids[3], urgent.id].map(async (id) => (await explain('queueing', id)).ahead)), [0, 3, 5]);
    const found = await finding('in-line', 'queueing', ids[3]);
    assert.match(found.sentence, /3 jobs are before it/);
    assert.equal(found.values.jobs, 3);
  });

  test('that is delayed, after a failure too', async () => {
    const q = open_('delays');
    const { id } = await q.add('x', {}, { attempts: 3, backoff: { type: 'fixed', delay: 60_000 } });
    const job = await hand('delays').getNextJob('t');
    await job.moveToFailed(new Error('the printer is on fire'), 't', false);
    const { findings: [found] } = await explain('delays', id);
    assert.deepEqual([found.code, found.action], ['delayed', 'promote']);
    assert.match(found.sentence, /after attempt 1 failed: the printer is on fire/);
    assert.deepEqual({ ...found.values, leftMs: 0 }, { leftMs: 0, attempt: 1, reason: 'the printer is on fire' });
    assert.ok(found.until > Date.now() + 30_000);
  });

  test('that has ended', async () => {
    const q = open_('ends');
    const { id } = await q.add('x', {});
    await (await hand('ends').getNextJob('t')).moveToFailed(new Error('no way'), 't', false);
    const { findings } = await explain('ends', id);
    assert.deepEqual([findings.length, findings[0].code], [1, 'ended']);
    assert.match(findings[0].sentence, /after 1 of 1 attempts: no way/);
    assert.deepEqual(findings[0].values, { made: 1, attempts: 1, reason: 'no way' });
  });

  test('that waits for others, or for nobody any more', async () => {
    const flows = keep(new FlowProducer({ connection: redis.connect() }));
    const { job } = await flows.add({ name: 'root', queueName: 'parents', children: [{ name: 'a', queueName: 'kids' }, { name: 'b', queueName: 'kids' }] });
    assert.match((await finding('waiting-children', 'parents', job.id)).sentence, /2 jobs that it depends on have ended/);
    await redis.admin.del(`bull:parents:${job.id}:dependencies`);
    assert.equal((await finding('children-stuck', 'parents', job.id)).severity, 'critical');
  });

  test('that no list names', async () => {
    const q = open_('lost');
    const { id } = await q.add('x', {});
    await redis.admin.del('bull:lost:wait');
    assert.equal((await finding('nowhere', 'lost', id)).action, 'remove');
  });

  test('that nobody has is a 404', async () => {
    assert.equal((await viewer.get('/api/queues/notifications/jobs/nobody/explain')).status, 404);
    assert.equal((await viewer.get('/api/queues/nobody/explain')).status, 404);
  });
});
