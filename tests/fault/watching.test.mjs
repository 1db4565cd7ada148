// Watching and tasks while Redis is away: said at once, and taken up again when it is back.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import { declare, eventually, failedJobs, listen, startRedis, startSluice } from '../api/harness/index.mjs';
import { LONG } from './support.mjs';

const SLOW = { timeout: 60_000 };

let redis;
let sluice;
let operator;

before(async () => {
  redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  sluice = await startSluice({ env: { REDIS_URL: redis.url } });
  operator = sluice.as({ sub: 'ops', roles: ['operator'] });
});
after(async () => {
  await sluice?.stop();
  await redis?.stop();
});

describe('while Redis is away', () => {
  test('whoever watches is told so, and sees everything when it is back', async () => {
    assert.equal((await operator.get('/api/queues')).status, 200);
    await redis.kill();
    for (const path of ['/api/queues', '/api/queues/notifications', '/api/queues/notifications/explain', '/api/queues/notifications/jobs']) {
      const answer = await eventually(async () => {
        const { status, headers, json } = await operator.get(path);
        return status !== 200 && { status, headers, json };
      }, { what: `the end of good answers to ${path}`, ...SLOW });
      assert.ok([503, 504].includes(answer.status), JSON.stringify(answer.json));
    }
    await redis.launch();
    await redis.ready(SLOW);
    const { items } = await eventually(async () => {
      const { status, json } = await operator.get('/api/queues');
      return status === 200 && json;
    }, { what: 'an answer', ...SLOW });
    assert.ok(items.some((item) => item.name === 'notifications'));
  });

  test('a task goes on where it was, and no job is lost', async () => {
    const n = 8000;
    const queue = new Queue('outlived', { connection: redis.connect() });
    await failedJobs(redis, 'outlived', n);
    const { status, json: { id }, text } = await operator.post('/api/queues/outlived/bulk', { action: 'retry', filter: { state: 'failed' } });
    assert.equal(status, 202, text);
    const task = async () => (await operator.get(`/api/tasks/${id}`)).json;
    await eventually(async () => (await task()).changed > 0, { interval: 1, what: 'the first jobs', ...SLOW });
    await redis.kill();
    await redis.launch();
    await redis.ready(SLOW);
    const ended = await eventually(async () => {
      const now = await task();
      return now.endedAt && now;
    }, { what: 'the end of the task', ...SLOW });
    assert.equal(ended.state, 'done', JSON.stringify(ended));
    const counts = await queue.getJobCounts('wait', 'failed');
    assert.deepEqual(counts, { wait: n, failed: 0 });
    assert.equal(new Set((await queue.getJobs(['wait'])).map((job) => job.id)).size, n);
    await queue.close();
  });
});

// Each of Redis' answers takes so long that nothing is said for more than a quarter of a minute, before what is asked for is found.
test('a listener that is still told the past is not told that it has had it', { skip: LONG ? false : 'a long test' }, async (t) => {
  const names = Array.from({ length: 60 }, (_, i) => `past-${i}`);
  const gateway = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare(...names.map((name) => ({ name, processor: 'none' }))) } });
  t.after(() => gateway.stop());
  const viewer = gateway.as({ sub: 'eve', roles: ['viewer'] });
  const happen = (name, event) => redis.admin.xadd(`bull:${name}:events`, '*', 'event', event, 'jobId', '1');
  const path = `/api/events?types=completed&queue=${names.join(',')}`;
  const from = async (id) => {
    const listener = await listen(viewer, path, { headers: id ? { 'last-event-id': id } : {} });
    t.after(() => listener.close());
    return listener;
  };
  for (const name of names) await happen(name, 'active');
  const other = await from(); // who comes next hears the same, and joins without asking Redis
  const start = await eventually(() => other.lastId || false, SLOW);
  for (const name of names) await happen(name, 'active');
  await happen(names.at(-1), 'completed');
  await other.when((event) => event.type === 'completed', SLOW);
  const told = (listener) => listener.of('completed').length + listener.of('resync').length > 0;
  let slow;
  const coming = from(start).then((listener) => (slow = listener));
  while (!slow?.comments && !(slow && told(slow))) {
    await redis.admin.client('PAUSE', 2500, 'ALL');
    await redis.admin.ping(); // behind what had waited
  }
  await coming;
  slow.close();
  if (told(slow)) return; // nothing was left untold
  const again = await from(slow.lastId);
  await eventually(() => told(again), { ...SLOW, what: 'what had not been told' });
});
