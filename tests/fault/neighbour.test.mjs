// A neighbour with write access to Redis that writes what no BullMQ client writes: one job suffers for it, the queue does not.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Queue } from 'bullmq';
import { declare, eventually, listen, notification, startRedis } from '../api/harness/index.mjs';
import { DOCUMENTS, addJob, gateway, putDocument, queueFile } from './support.mjs';

const statusOf = async (sluice, queue, id) => (await sluice.client.get(`/api/jobs/status/${queue}/${id}`)).json;
const ended = (sluice, queue, id) =>
  eventually(async () => {
    const job = await statusOf(sluice, queue, id);
    return ['completed', 'failed'].includes(job.state) && job;
  }, { what: `the end of job ${id}`, timeout: 60_000 });

async function world(t, queues, options = {}) {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queues }, ...options });
  return { redis, sluice };
}

// Jobs that are not taken before the neighbour has been at work.
async function whilePaused(t, redis, name, steps) {
  const queue = new Queue(name, { connection: redis.connect() });
  t.after(() => queue.close());
  await queue.pause();
  const result = await steps();
  await queue.resume();
  return result;
}

const DAMAGE = {
  'an unreadable parent': ['parent', '{"id":'],
  'a parent that is a number': ['parent', '7'],
  'attempts that are no number': ['atm', 'many'],
};

test('a job whose end cannot be recorded fails once, with the reason, and its queue goes on', async (t) => {
  const { redis, sluice } = await world(t, queueFile());
  const document = await putDocument(sluice);
  const broken = {};
  const whole = await whilePaused(t, redis, DOCUMENTS, async () => {
    for (const [what, fields] of Object.entries(DAMAGE)) {
      broken[what] = await addJob(sluice, document);
      await redis.admin.hset(`bull:${DOCUMENTS}:${broken[what]}`, ...fields);
    }
    const starts = await addJob(sluice, document); // healed: nobody but us counts them
    await redis.admin.hset(`bull:${DOCUMENTS}:${starts}`, 'ats', 'x');
    return [starts, await addJob(sluice, document)];
  });
  for (const id of whole) assert.equal((await ended(sluice, DOCUMENTS, id)).state, 'completed');
  for (const [what, id] of Object.entries(broken)) {
    const { state, failedReason } = await ended(sluice, DOCUMENTS, id);
    assert.equal(state, 'failed', what);
    assert.match(failedReason, /^BROKEN_JOB: /, what);
    await sluice.logged('job_set_aside', { jobId: id });
  }
  assert.equal(sluice.logs.filter(({ event }) => event === 'job_set_aside').length, Object.keys(DAMAGE).length, 'once each');
  assert.equal(await redis.admin.llen(`bull:${DOCUMENTS}:active`), 0);
  assert.equal((await redis.admin.keys(`bull:${DOCUMENTS}:*:lock`)).length, 0);
  await sluice.stop();
});

for (const [kind, changes] of [['a plain queue', {}], ['a queue with a rate limit', { limiter: { max: 1000, duration: 1000 } }]]) {
  test(`${kind} steps over its own keys among the ids of its jobs`, async (t) => {
    const { redis, sluice } = await world(t, queueFile(changes));
    const document = await putDocument(sluice);
    const ids = await whilePaused(t, redis, DOCUMENTS, async () => {
      const before = await addJob(sluice, document);
      await redis.admin.lpush(`bull:${DOCUMENTS}:wait`, 'wait', 'events', 'pc');
      return [before, await addJob(sluice, document), await addJob(sluice, document)];
    });
    for (const id of ids) assert.equal((await ended(sluice, DOCUMENTS, id)).state, 'completed');
    await sluice.logged('take_failed', { queue: DOCUMENTS });
    await eventually(async () => (await redis.admin.llen(`bull:${DOCUMENTS}:active`)) === 0, { what: 'an empty list of active jobs' });
    await sluice.stop();
  });
}

test('the settings of a queue among the ids of its jobs stay what they are', async (t) => {
  const { redis, sluice } = await world(t, queueFile());
  const document = await putDocument(sluice);
  const [id, before] = await whilePaused(t, redis, DOCUMENTS, async () => {
    await redis.admin.lpush(`bull:${DOCUMENTS}:wait`, 'meta');
    return [await addJob(sluice, document), await redis.admin.hgetall(`bull:${DOCUMENTS}:meta`)];
  });
  assert.equal((await ended(sluice, DOCUMENTS, id)).state, 'completed');
  delete before.paused;
  assert.deepEqual(await redis.admin.hgetall(`bull:${DOCUMENTS}:meta`), before);
  await sluice.stop();
});

test('an HTTP worker hears that the job which it holds was set aside', async (t) => {
  const { redis, sluice } = await world(t, declare({ name: 'elsewhere', processor: 'none' }), { allow: ['request_failed'] });
  const added = await sluice.client.post('/api/queues/elsewhere/jobs', { name: 'n', data: {} });
  assert.equal(added.status, 201);
  const lease = async () => (await sluice.client.post('/api/queues/elsewhere/lease', { workerId: 'w', max: 1, wait: 1 })).json.jobs?.[0];
  const job = await lease();
  await redis.admin.hset(`bull:elsewhere:${job.id}`, 'parent', 'x');
  const { status, json } = await sluice.client.post(`/api/queues/elsewhere/jobs/${job.id}/complete`, { token: job.token, returnvalue: 1 });
  assert.deepEqual([status, json.code], [409, 'lock-lost']);
  const { state, failedReason } = await statusOf(sluice, 'elsewhere', job.id);
  assert.equal(state, 'failed');
  assert.match(failedReason, /^BROKEN_JOB: /);

  // The official script, which is all that a lease is, fails once at each such id.
  await redis.admin.lpush('bull:elsewhere:wait', 'wait');
  const next = await sluice.client.post('/api/queues/elsewhere/jobs', { name: 'n', data: {} });
  const leased = await eventually(lease, { what: 'the job behind it' });
  assert.equal(leased.id, next.json.jobId);
  assert.equal((await sluice.client.post(`/api/queues/elsewhere/jobs/${leased.id}/complete`, { token: leased.token })).status, 200);
  await sluice.stop();
});

const OWN_KEYS = [
  'wait', 'active', 'paused', 'delayed', 'prioritized', 'waiting-children', 'completed', 'failed', 'id', 'events', 'marker', 'limiter', 'metrics:completed', 'metrics:failed',
];

test('whatever stands under the keys of some queues, all others are seen and go on', async (t) => {
  const queues = declare(...['good', 'broken', 'marked'].map((name) => ({ name, processor: 'none', jobName: 'work' })));
  const { redis, sluice } = await world(t, queues, { allow: [/./] });
  const { client } = sluice;
  const lease = (name) => client.post(`/api/queues/${name}/lease`, { workerId: 'w', wait: 30 });
  const add = async (path, body) => {
    const { status, json, text } = await client.post(path, body);
    assert.equal(status, 201, text);
    return json.jobId;
  };
  // One queue that is listened to, one that runs here, one that only Redis knows; and one whose jobs a worker elsewhere waits for.
  const listener = await listen(client, '/api/events?queue=broken,good');
  const broken = ['broken', 'compliance-analysis', 'found'];
  await redis.admin.hset('bull:found:meta', 'version', 'somebody');
  for (const name of broken) await redis.admin.mset(OWN_KEYS.flatMap((key) => [`bull:${name}:${key}`, 'something else']));
  await redis.admin.set('bull:marked:marker', 'something else');
  const inVain = lease('marked').catch(() => null); // ended with the program

  for (let round = 0; round < 2; round++) { // what blocks does not look before it blocks the next time
    const leased = lease('good');
    const id = await add('/api/queues/good/jobs', { data: {} });
    assert.deepEqual((await leased).json.jobs.map((job) => job.id), [id]);
    await listener.when(({ data }) => data.queue === 'good' && data.jobId === id);
    await ended(sluice, 'notifications', await add('/api/jobs/notifications', notification));
  }
  for (const client of ['sluice:watcher', 'sluice:leases', 'sluice:events']) await sluice.logged('foreign_key', { client });

  const get = async (path) => {
    const { status, json, text } = await client.get(path);
    assert.equal(status, 200, text);
    return json;
  };
  assert.equal((await get('/api/jobs/stats')).queues.broken.waiting, 0);
  const listed = (await get('/api/queues')).items.map(({ name }) => name);
  for (const name of [...broken, 'marked', 'good']) assert.ok(listed.includes(name), name);
  const states = await client.post('/api/jobs/status', { jobs: [{ queue: 'broken', jobId: 'x' }, { queue: 'good', jobId: 'y' }] });
  assert.equal(states.status, 200, states.text);
  for (const name of [...broken, 'marked']) {
    const { findings } = await get(`/api/queues/${name}/explain`);
    assert.ok(findings.some(({ code, severity }) => code === 'foreign-key' && severity === 'critical'), name);
  }
  (await listen(client, '/api/events')).close();
  listener.close();
  await sluice.stop();
  await inVain;
});

test('a job that is due beyond all times keeps nobody else from being waited for', async (t) => {
  const { redis, sluice } = await world(t, declare({ name: 'elsewhere', processor: 'none', jobName: 'work' }));
  const last = '3.7778931862957153e22'; // 2^63 ms after shifting: the end of what a number holds
  await redis.admin.zadd('bull:elsewhere:delayed', last, 'never');
  await redis.admin.zadd('bull:elsewhere:marker', '9223372036854774784', '1');
  const leased = sluice.client.post('/api/queues/elsewhere/lease', { workerId: 'w', wait: 30 });
  await eventually(async () => (await redis.admin.zcard('bull:elsewhere:marker')) === 0, { what: 'that the marker is taken' });
  const { json } = await sluice.client.post('/api/queues/elsewhere/jobs', { data: {} });
  assert.deepEqual((await leased).json.jobs.map(({ id }) => id), [json.jobId]);
  assert.equal((await sluice.client.get('/api/queues')).status, 200);
  await sluice.stop();
});
