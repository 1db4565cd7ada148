// sluice doctor --queues: finds what cannot be right in Redis, and mends it without losing a job.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'bullmq';
import { openStage, runSluice } from './harness/index.mjs';

const stage = await openStage({ sluice: null });
const { redis, keep, queue: open_ } = stage;

const doctor = (...args) => runSluice(['doctor', '--queues', ...args], { env: { REDIS_URL: redis.url } });
async function faults(...args) {
  const { code, text } = await doctor('--json', ...args);
  const report = JSON.parse(text);
  assert.equal(code, report.faults.length && !report.mended ? 1 : 0, text);
  return report;
}
const told = ({ faults: found }) => found.map(({ queue, id, fault }) => `${fault} ${queue}/${id}`).toSorted();
const job = (name, id, more = {}) => redis.admin.hset(`bull:${name}:${id}`, { name: 'x', data: '{}', opts: '{}', timestamp: 1000, priority: 0, ...more });

describe('the doctor', () => {
  test('finds nothing in queues of every kind that are well', async () => {
    const q = open_('well');
    const worker = keep(new Worker('well', null, { connection: redis.connect() }));
    for (let i = 0; i < 30; i++) await q.add('x', { i }, { delay: i % 3 ? 0 : 60_000, priority: i % 5 ? 0 : 2, deduplication: { id: `d-${i}` } });
    await q.upsertJobScheduler('often', { every: 3_600_000 }, { name: 'tick' });
    for (let i = 0; i < 6; i++) {
      const taken = await worker.getNextJob(`t-${i}`);
      await taken.log('a line');
      if (i < 2) await taken.moveToCompleted('ok', `t-${i}`, false);
      else if (i < 4) await taken.moveToFailed(new Error('no'), `t-${i}`, false);
    }
    const report = await faults();
    assert.deepEqual([told(report), report.queues, report.jobs], [[], 1, 31]);
    const { code, text } = await doctor();
    assert.equal(code, 0);
    assert.match(text, /31 jobs in 1 queues; 0 faults/);
  });

  test('finds each fault, changes nothing, and mends all of them when asked to', async () => {
    const q = open_('ill');
    await q.add('x', {}, { jobId: 'kept', deduplication: { id: 'mine' } });
    await job('ill', 'lost');
    await job('ill', 'lost-urgent', { priority: 3 });
    await job('ill', 'lost-failed', { finishedOn: 2000, failedReason: 'no' });
    await job('ill', 'lost-done', { finishedOn: 2000, returnvalue: '1' });
    const added = Date.now();
    await job('ill', 'lost-later', { timestamp: added, delay: 86_400_000 });
    await job('ill', 'lost-parent');
    await redis.admin.sadd('bull:ill:lost-parent:dependencies', 'bull:elsewhere:child');
    await redis.admin.lpush('bull:ill:wait', 'ghost');
    await redis.admin.zadd('bull:ill:delayed', 4096, 'late-ghost');
    await job('ill', 'two');
    await redis.admin.lpush('bull:ill:wait', 'two');
    await redis.admin.zadd('bull:ill:delayed', 4096 * 9e12, 'two');
    await job('ill', 'double');
    await redis.admin.lpush('bull:ill:wait', 'double', 'double');
    await job('ill', 'done-twice', { finishedOn: 3000 });
    await redis.admin.zadd('bull:ill:completed', 3000, 'done-twice');
    await redis.admin.lpush('bull:ill:wait', 'done-twice');
    await redis.admin.set('bull:ill:de:forgotten', 'nobody');
    await job('ill', 'aside');
    await redis.admin.lpush('bull:ill:paused', 'aside');
    const wanted = ['left-by-v5 ill/null', 'no-job ill/ghost', 'no-job ill/late-ghost', 'orphan ill/lost', 'orphan ill/lost-done', 'orphan ill/lost-failed',
      'orphan ill/lost-later', 'orphan ill/lost-parent', 'orphan ill/lost-urgent', 'stale-deduplication ill/forgotten', 'twice ill/done-twice', 'twice ill/double', 'twice ill/two'];
    const before = await redis.admin.dbsize();
    assert.deepEqual(told(await faults()), wanted);
    assert.deepEqual(told(await faults()), wanted, 'a look changes nothing');
    assert.equal(await redis.admin.dbsize(), before);
    const { text } = await doctor();
    assert.match(text, /orphan +ill\/lost\n/);
    assert.match(text, /13 faults: sluice doctor --queues --fix/);

    const mended = await faults('--fix');
    assert.deepEqual([told(mended), mended.mended], [wanted, true]);
    assert.deepEqual(told(await faults()), []);
    const states = {};
    for (const id of ['kept', 'lost', 'lost-later', 'lost-parent', 'lost-urgent', 'lost-failed', 'lost-done', 'two', 'double', 'done-twice', 'aside']) states[id] = await (await q.getJob(id)).getState();
    assert.deepEqual(states, { kept: 'waiting', lost: 'waiting', 'lost-later': 'delayed', 'lost-parent': 'waiting-children', 'lost-urgent': 'prioritized', 'lost-failed': 'failed',
      'lost-done': 'completed', two: 'delayed', double: 'waiting', 'done-twice': 'completed', aside: 'waiting' });
    assert.equal(Number(await redis.admin.zscore('bull:ill:delayed', 'lost-later')), (added + 86_400_000) * 4096, 'when it was to run');
    assert.equal(await redis.admin.get('bull:ill:de:mine'), 'kept');
    assert.equal(await redis.admin.exists('bull:ill:de:forgotten'), 0);
    assert.deepEqual((await redis.admin.lrange('bull:ill:wait', 0, -1)).toSorted(), ['aside', 'double', 'kept', 'lost']);
  });

  test('sees a job that is held as where it is, and a paused queue stays paused', async () => {
    const q = open_('held');
    const worker = keep(new Worker('held', null, { connection: redis.connect() }));
    const { id } = await q.add('x', {});
    await worker.getNextJob('t');
    await redis.admin.lpush('bull:held:wait', id);
    await job('held', 'aside');
    await job('held', 'aside-later');
    await redis.admin.lpush('bull:held:paused', 'aside', 'aside-later');
    await q.pause();
    await q.add('x', {}, { jobId: 'fresh' });
    assert.deepEqual(told(await faults('--fix')), ['left-by-v5 held/null', `twice held/${id}`]);
    assert.deepEqual([await redis.admin.lrange('bull:held:active', 0, -1), await redis.admin.lrange('bull:held:wait', 0, -1)], [[id], ['fresh', 'aside-later', 'aside']]);
    assert.equal(await q.isPaused(), true);
    const events = (await redis.admin.xrange('bull:held:events', '-', '+')).map(([, [, event]]) => event);
    assert.ok(events.includes('paused') && !events.includes('resumed'), 'not for a moment may a worker take one');
  });

  test('names keys that are something else, leaves their queue alone, and looks through the others', async () => {
    await open_('strange').add('x', {});
    const q = open_('beside');
    await q.add('x', {}, { jobId: 'kept' });
    await redis.admin.lpush('bull:beside:wait', 'ghost');
    await redis.admin.set('bull:strange:failed', 'not a set');
    await redis.admin.hset('bull:strange:active', 'not', 'a list');
    const foreign = ['foreign-key strange/active', 'foreign-key strange/failed'];
    assert.deepEqual(told(await faults()), [...foreign, 'no-job beside/ghost']);
    const { code, text } = await doctor('--fix');
    assert.equal(code, 1, 'not all is mended');
    assert.match(text, /foreign-key +strange\/active\n/);
    assert.match(text, /2 foreign-key: something else stands under a key of the queue.*not looked through\n/);
    assert.match(text, /1 no-job: .*; now taken out of the list\n/);
    assert.deepEqual([await redis.admin.lrange('bull:beside:wait', 0, -1), await redis.admin.get('bull:strange:failed')], [['kept'], 'not a set']);
    assert.match((await doctor()).text, /2 faults$/, 'and --fix is not what mends them');
    await redis.admin.del('bull:strange:failed', 'bull:strange:active');
    assert.deepEqual(told(await faults()), []);
  });

  test('ids are text to the terminal, whatever is in them', async () => {
    await redis.admin.hset('bull:sly:meta', 'x', '1');
    const ids = ['\u001b]0;title\u0007\u001b[2J', 'c1-\u009b31m', 'turned-\u202e'];
    for (const id of ids) await job('sly', id);
    const shown = ['sly/\\u001b]0;title\\u0007\\u001b[2J', 'sly/c1-\\u009b31m', 'sly/turned-\\u202e'];
    const dangerous = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/;
    const { text } = await doctor();
    for (const one of shown) assert.ok(text.includes(one), `${one} in ${text}`);
    assert.doesNotMatch(text, dangerous);
    const { text: json } = await doctor('--json');
    assert.doesNotMatch(json, dangerous);
    assert.deepEqual(JSON.parse(json).faults.map(({ id }) => id).toSorted(), ids.toSorted());
    for (const id of ids) await redis.admin.del(`bull:sly:${id}`);
  });

  test('says when it cannot look', async () => {
    const { code, text } = await runSluice(['doctor', '--queues'], { env: { REDIS_URL: 'unix:///nowhere/redis.sock' } });
    assert.equal(code, 1);
    assert.match(text, /Redis does not answer/);
    assert.equal((await runSluice(['doctor', '--fix'], { env: { REDIS_URL: redis.url } })).code, 1);
  });
});
