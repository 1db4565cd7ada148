// SIGTERM under load: what is in flight is finished, what comes later is told so, and the program ends with 0.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { DOCUMENTS, Executions, addJob, durableRedis, embeddedStore, gatedProgram, gateway, inventory, putDocument, queueFile } from './support.mjs';

// Submits one job after another on kept connections until nobody listens any more: {acknowledged, refused, failures}.
async function submitUntilClosed(sluice, data, writers) {
  const client = sluice.client.as(sluice.token()); // stop() closes the other's connections
  const told = { acknowledged: [], refused: 0, failures: [] };
  const one = async () => {
    for (;;) {
      try {
        const { status, json, headers } = await client.post(`/api/jobs/${DOCUMENTS}`, data);
        if (status === 201) told.acknowledged.push(json.jobId);
        else if (status === 503 && json.code === 'shutting-down' && headers['retry-after']) told.refused++;
        else told.failures.push(json);
      } catch (error) {
        if (error.syscall === 'connect') return; // nothing was sent
        told.failures.push(`${error.code}: ${error.message}`);
      }
    }
  };
  await Promise.all(Array.from({ length: writers }, one));
  return told;
}

test('requests and jobs in flight are finished', { timeout: 120_000 }, async (t) => {
  const redis = await durableRedis(t);
  const gate = gatedProgram();
  const sluice = await gateway(t, { program: gate.program, env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile() } });
  const data = await putDocument(sluice);
  const executions = new Executions(sluice.logs);
  gate.shut();
  const load = submitUntilClosed(sluice, data, 16);
  await eventually(() => executions.running.length === 4, { what: 'four running jobs' });
  const running = executions.running;
  const waiting = sluice.client.get(`/api/jobs/status/${DOCUMENTS}/${running[0]}`, { headers: { prefer: 'wait=20' } });
  await eventually(async () => (await redis.admin.llen(`bull:${DOCUMENTS}:wait`)) > 50, { what: 'a backlog' });

  const since = performance.now();
  sluice.child.signal('SIGTERM');
  await sluice.logged('draining', { jobs: 4 });
  assert.equal((await sluice.client.as(null).get('/readyz')).status, 503, 'no more work is wanted');
  assert.equal((await sluice.client.get('/livez')).headers.connection, 'close');
  gate.open();
  const told = await load;
  assert.equal((await waiting).status, 200, 'a request that waits is answered');
  const end = await sluice.child.end(30_000);
  sluice.assertClean();
  assert.deepEqual(end, { code: 0, signal: null }, sluice.child.tail());
  t.diagnostic(`${told.acknowledged.length} acknowledged, ${told.refused} refused, ended after ${Math.round(performance.now() - since)} ms`);

  assert.deepEqual(told.failures, []);
  const jobs = await inventory(redis.admin);
  assert.deepEqual(told.acknowledged.filter((id) => !jobs.has(id)), [], 'acknowledged and lost');
  for (const id of running) assert.deepEqual(jobs.get(id), { state: 'completed', starts: 1, stalls: 0, made: 1 });
  assert.deepEqual([...jobs].filter(([, { state }]) => !['wait', 'completed'].includes(state)), [], 'nothing is left half done');
});

test('a job that outlasts the grace goes back to the front without using up an attempt', { timeout: 60_000 }, async (t) => {
  const gate = gatedProgram();
  const sluice = await gateway(t, { program: gate.program, env: { SLUICE_QUEUES: queueFile({ concurrency: 1 }), SLUICE_DRAIN_GRACE: '500ms' } });
  const data = await putDocument(sluice);
  gate.shut();
  const first = await addJob(sluice, data);
  const second = await addJob(sluice, data);
  await sluice.logged('job_active', { jobId: first });
  await sluice.stop();
  assert.ok(sluice.logs.some(({ event, jobId }) => event === 'job_released' && jobId === first));

  await sluice.start();
  const store = embeddedStore(t, sluice);
  gate.open();
  await eventually(async () => (await store.zcard(`bull:${DOCUMENTS}:completed`)) === 2, { timeout: 20_000, what: 'the end of both' });
  const order = sluice.logs.filter(({ event }) => event === 'job_active').map(({ jobId }) => jobId);
  assert.deepEqual(order, [first, first, second], 'the one that was begun comes first');
  assert.equal((await sluice.client.get(`/api/jobs/status/${DOCUMENTS}/${first}`)).json.attemptsMade, 1);
  await sluice.stop();
});
