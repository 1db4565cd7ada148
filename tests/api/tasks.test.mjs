// Tasks behind a balancer: each gateway on a Redis answers for those of all, and tells the truth of one that is gone.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { eventually, failedJobs, openStage, startSluice } from './harness/index.mjs';

const SLOW = { timeout: 60_000 };
const MANY = 40_000; // some seconds of work

const stage = await openStage();
const { redis, sluice } = stage;
const other = await startSluice({ env: { REDIS_URL: redis.url }, secret: sluice.secret });
stage.keep({ close: () => other.stop() });
const operator = (gateway) => gateway.as({ sub: 'ops', roles: ['operator'] });
const here = operator(sluice);
const there = operator(other);

async function begin(client, queue, action = 'remove') {
  const { status, json, headers, text } = await client.post(`/api/queues/${queue}/bulk`, { action, filter: { state: 'failed' }, confirm: queue });
  assert.equal(status, 202, text);
  return { id: json.id, path: headers.location };
}
const show = async (client, path) => {
  const { status, json, text } = await client.get(path);
  assert.equal(status, 200, text);
  return json;
};
const until = (client, path, fits, what) => eventually(async () => {
  const task = await show(client, path);
  return fits(task) && task;
}, { ...SLOW, what });
const left = (queue) => redis.admin.zcard(`bull:${queue}:failed`);
const startThird = () => startSluice({ env: { REDIS_URL: redis.url }, secret: sluice.secret });

describe('a task of one gateway', () => {
  test('is known to the other at once, and how it ends', async () => {
    await failedJobs(redis, 'shared', 500);
    const { id, path } = await begin(here, 'shared', 'retry');
    const first = await show(there, path);
    assert.deepEqual([first.id, first.queue, first.action, first.by, first.filter.state], [id, 'shared', 'retry', 'ops', 'failed']);
    const ended = await until(there, path, (task) => task.endedAt, 'the end');
    assert.deepEqual([ended.state, ended.changed, ended.total, ended.failure], ['done', 500, 500, null]);
    assert.deepEqual(ended, await show(here, path));
    const own = await begin(there, 'shared');
    const listed = async (client) => (await show(client, '/api/tasks')).items.map((task) => task.id);
    assert.deepEqual(await listed(there), [own.id, id], 'the newest first');
    assert.deepEqual(await listed(here), [own.id, id]);
    await until(here, own.path, (task) => task.state === 'done', 'the end of the other');
  });

  test('is followed and stopped at the other, by those who may', async () => {
    await failedJobs(redis, 'stopped', MANY);
    const { path } = await begin(here, 'stopped');
    const waiting = await begin(here, 'stopped');
    await until(there, path, (task) => task.state === 'running' && task.changed > 0, 'how far it is');
    const viewer = other.as({ sub: 'eve', roles: ['viewer'] });
    assert.equal((await viewer.get(path)).status, 200);
    assert.equal((await viewer.delete(path)).status, 403);
    assert.equal((await other.as({ sub: 'p', roles: ['producer'] }).get(path)).status, 403);
    assert.equal((await there.delete(waiting.path)).status, 200);
    assert.equal((await there.delete(path)).status, 200);
    const ended = await until(there, path, (task) => task.endedAt, 'the end');
    assert.deepEqual([ended.state, ended.failure], ['cancelled', null]);
    assert.equal(await left('stopped'), MANY - ended.changed);
    const never = await until(there, waiting.path, (task) => task.endedAt, 'the end of what waited');
    assert.deepEqual([never.state, never.changed, never.startedAt], ['cancelled', 0, null]);
    assert.deepEqual(await show(here, path), ended);
    assert.equal((await there.delete(path)).status, 409);
    assert.ok((await redis.admin.ttl(`bull:sluice:task:${ended.id}`)) > 3600);
  });

  test('that is killed is lost, and the other says so', async () => {
    await failedJobs(redis, 'orphaned', MANY);
    const third = await startThird();
    const { id, path } = await begin(operator(third), 'orphaned');
    await until(there, path, (task) => task.changed > 0, 'how far it is');
    await third.kill();
    const alive = `bull:sluice:task:${id}:alive`;
    const ttl = await redis.admin.pttl(alive);
    assert.ok(ttl <= 15_000, `${ttl} ms`); // those are not waited for
    await redis.admin.del(alive);
    const lost = await show(there, path);
    assert.deepEqual([lost.state, typeof lost.failure, typeof lost.endedAt], ['lost', 'string', 'number']);
    assert.ok(lost.changed <= MANY - (await left('orphaned')), 'what it told of was done');
    assert.equal((await there.delete(path)).status, 409);
    assert.equal((await show(here, '/api/tasks')).items.find((task) => task.id === id).state, 'lost');
    await redis.admin.zremrangebyrank('bull:orphaned:failed', 100, -1);
    const again = await begin(here, 'orphaned');
    await until(there, again.path, (task) => task.state === 'done', 'the rest');
    assert.equal(await left('orphaned'), 0);
  });

  test('that is stopped ends with it, and says why', async () => {
    await failedJobs(redis, 'left', MANY);
    const third = await startThird();
    const running = await begin(operator(third), 'left');
    const waiting = await begin(operator(third), 'left');
    await until(there, running.path, (task) => task.changed > 0, 'how far it is');
    await third.stop();
    for (const { path } of [running, waiting]) {
      const { state, failure, changed } = await show(there, path);
      assert.deepEqual([state, failure], ['cancelled', 'its gateway was stopped']);
      if (path === running.path) assert.equal(await left('left'), MANY - changed);
    }
  });

  test('is not taken for one when others have written what is none', async () => {
    await redis.admin.multi().set('bull:sluice:task:odd', '{"id":"odd"}').set('bull:sluice:task:odder', 'no').hset('bull:sluice:task:hash', 'a', 1)
      .zadd('bull:sluice:tasks', Date.now(), 'odd', Date.now(), 'odder', Date.now(), 'hash', Date.now(), 'x'.repeat(300)).exec();
    for (const id of ['odd', 'odder', 'hash', 'x'.repeat(300), 'a%3Aalive', 'none']) {
      assert.equal((await there.get(`/api/tasks/${id}`)).status, 404, id);
      assert.equal((await there.delete(`/api/tasks/${id}`)).status, 404, id);
    }
    assert.ok((await show(there, '/api/tasks')).items.length >= 4);
  });
});
