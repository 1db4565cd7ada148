// Locks: those of the dead are given up, those of the living are kept.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { Worker } from 'bullmq';
import { Child, cleanEnvironment, eventually } from '../api/harness/index.mjs';
import { DOCUMENTS, addJob, completed, durableRedis, gatedProgram, gateway, inventory, putDocument, queueFile } from './support.mjs';

const LOCK_MS = 1000;
const WORKER_LOCK_MS = 4000; // of a process that renews it each half of that, and may be late
const quick = { lockDuration: LOCK_MS, stalledInterval: 200 };

function stuckWorker(t, redis, queue) {
  const child = new Child(process.execPath, [join(import.meta.dirname, 'stuck-worker.mjs'), redis.socket, queue, String(WORKER_LOCK_MS)], {
    cwd: join(import.meta.dirname, '..'), env: cleanEnvironment(),
  });
  t.after(() => child.killGroup('SIGKILL'));
  return child;
}

test('the job of a Node worker that was killed is recovered by the gateway', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const queue = 'calls';
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ ...quick, lockDuration: WORKER_LOCK_MS, processor: 'none' }, queue) } });
  const { json } = await sluice.client.post(`/api/queues/${queue}/jobs`, { name: 'call', data: { n: 1 } });
  const stuck = stuckWorker(t, redis, queue);
  await eventually(() => stuck.lines.includes(`took ${json.jobId}`), { what: 'the worker\'s take' });
  // While it lives it renews its lock, and nobody takes the job away.
  const end = await redis.admin.pexpiretime(`bull:${queue}:${json.jobId}:lock`);
  await eventually(() => Date.now() > end + 500, { what: 'the end of its first lock' });
  assert.deepEqual(sluice.logs.filter(({ event }) => event === 'job_stalled'), []);
  assert.equal((await sluice.client.get(`/api/jobs/status/${queue}/${json.jobId}`)).json.state, 'active');

  stuck.killGroup('SIGKILL');
  const since = performance.now();
  await sluice.logged('job_stalled', { queue, jobId: json.jobId }, { timeout: 20_000 });
  const recovered = performance.now() - since;
  t.diagnostic(`recovered ${Math.round(recovered)} ms after the kill`);
  assert.ok(recovered < 3 * WORKER_LOCK_MS, `recovered only after ${recovered} ms`);

  const second = new Worker(queue, async (job) => ({ done: job.id }), { connection: redis.connect(), skipStalledCheck: true });
  t.after(() => second.close(true));
  assert.deepEqual((await completed(sluice, json.jobId, { queue })).returnvalue, { done: json.jobId });
  await second.close();
  await sluice.stop();
});

test('a job dropped by too many workers fails, and says so', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const gate = gatedProgram();
  const sluice = await gateway(t, {
    program: gate.program, env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ ...quick, maxStalledCount: 2 }) },
  });
  const data = await putDocument(sluice);
  gate.shut();
  const id = await addJob(sluice, data);
  const runs = () => sluice.logs.filter(({ event, jobId }) => event === 'job_active' && jobId === id).length;
  for (let n = 1; n <= 3; n++) {
    await eventually(() => runs() === n, { what: `execution ${n}` });
    await sluice.kill();
    await sluice.start();
  }
  const failed = await eventually(async () => {
    const { json } = await sluice.client.get(`/api/jobs/status/${DOCUMENTS}/${id}`);
    return json.state === 'failed' && json;
  }, { what: 'the failure' });
  assert.match(failed.failedReason, /stalled more than allowable limit/);
  gate.open();
  await completed(sluice, await addJob(sluice, data)); // the others go on
  await sluice.stop();
});

test('a job longer than its lock keeps it', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const gate = gatedProgram();
  const sluice = await gateway(t, {
    program: gate.program, env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ ...quick, maxStalledCount: 0 }) },
  });
  const data = await putDocument(sluice);
  gate.shut();
  const id = await addJob(sluice, data);
  const { ts } = await sluice.logged('job_active', { jobId: id });
  const lock = `bull:${DOCUMENTS}:${id}:lock`;
  await eventually(async () => {
    assert.ok(await redis.admin.exists(lock), 'the lock is there all the time');
    return Date.now() - Date.parse(ts) > 5 * LOCK_MS;
  }, { timeout: 6 * LOCK_MS, what: 'five times the lock\'s duration' });
  gate.open();
  await completed(sluice, id);
  assert.deepEqual((await inventory(redis.admin)).get(id), { state: 'completed', starts: 1, stalls: 0, made: 1 });
  assert.equal(sluice.logs.filter(({ event }) => ['lock_lost', 'job_stalled'].includes(event)).length, 0);
  await sluice.stop();
});

test('jobs leased in an answer that never came are given back, not found stalled', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const queue = 'calls';
  const file = queueFile({ processor: 'none', lockDuration: 600_000, maxStalledCount: 0 }, queue);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: file, SLUICE_REDIS_TIMEOUT: '1s' } });
  const lease = (max) => sluice.client.post(`/api/queues/${queue}/lease`, { workerId: 'w', max, wait: 0 }, { timeout: 30_000 });
  const added = await sluice.client.post(`/api/queues/${queue}/jobs`, Array.from({ length: 4 }, () => ({ data: {} })));
  const [first, ...others] = added.json.results.map(({ jobId }) => jobId);
  const { json: { jobs: [told] } } = await lease(1);
  assert.equal(told.id, first);

  redis.pause();
  t.after(() => redis.resume());
  const unheard = await lease(3);
  redis.resume();
  assert.equal(unheard.json.code, 'outcome-unknown', unheard.text);
  for (const jobId of others) await sluice.logged('job_taken_unheard', { queue, jobId }, { timeout: 30_000 });
  const again = await eventually(async () => {
    const { json } = await lease(3);
    return json.jobs?.length ? json.jobs : null;
  }, { timeout: 30_000, what: 'the jobs' });
  assert.deepEqual(again.map(({ id }) => id), others);
  for (const { id, token } of [told, ...again]) {
    assert.equal((await sluice.client.post(`/api/queues/${queue}/jobs/${id}/complete`, { token, returnvalue: 1 })).status, 200);
  }
  for (const [id, { state, starts, stalls }] of await inventory(redis.admin, { queue })) {
    assert.deepEqual({ id, state, starts, stalls }, { id, state: 'completed', starts: id === first ? 1 : 2, stalls: 0 });
  }
  await sluice.stop();
});
