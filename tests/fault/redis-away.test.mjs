// Redis away, frozen, loading, empty, without its scripts, or cutting connections: refusals that say so, in time, and service at its return.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, startRedis } from '../api/harness/index.mjs';
import {
  DOCUMENTS, Executions, Writers, addJob, balance, completed, durableRedis, gatedProgram, gateway, inventory, putDocument, queueFile, saysAway, startMonitor } from './support.mjs';

const RETURN_MS = 1000; // from Redis' first answer to the first acknowledged job
const BUSY_MS = 3500; // that each process may be kept waiting by a busy machine

// Submits one job after another while the fault lasts, each without a second try; every answer and how long it took.
async function probe(sluice, data, lasts) {
  const answers = [];
  while (lasts()) {
    const since = performance.now();
    const answer = await sluice.client.post(`/api/jobs/${DOCUMENTS}`, data);
    answers.push({ ...answer, ms: performance.now() - since });
    await pause(20);
  }
  return answers;
}

const slowest = (answers) => Math.max(...answers.map(({ ms }) => ms));

// The first job that is acknowledged comes within the second.
async function serviceIsBack(t, sluice, data, since) {
  const id = await eventually(() => addJob(sluice, data), { what: 'an acknowledged job', interval: 5 });
  const ms = performance.now() - since;
  t.diagnostic(`service ${Math.round(ms)} ms after the return`);
  assert.ok(ms < RETURN_MS + BUSY_MS, `service came back after ${ms} ms`);
  return id;
}

test('away for 5 s: 503 with Retry-After, back within a second, no restart, no job failed', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const gate = gatedProgram();
  // One stalled recovery would be too many: the locks expire while Redis is away and must be taken again in time.
  const sluice = await gateway(t, { program: gate.program, env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ maxStalledCount: 1 }) } });
  const { pid } = sluice.child;
  const data = await putDocument(sluice);
  gate.shut();
  const ids = [];
  for (let n = 0; n < 6; n++) ids.push(await addJob(sluice, data)); // 4 run, 2 wait
  const executions = new Executions(sluice.logs);
  await eventually(() => executions.running.length === 4, { what: 'four running jobs' });

  await redis.kill();
  const until = performance.now() + 5000;
  const answers = await probe(sluice, data, () => performance.now() < until);
  for (const answer of answers) assert.ok(saysAway(answer), answer.text);
  assert.ok(answers.filter(({ status }) => status === 503).length > 20, 'it says 503 all the time');
  assert.ok(slowest(answers) < RETURN_MS + BUSY_MS, `an answer took ${slowest(answers)} ms`);
  assert.equal((await sluice.client.get('/livez')).status, 200, 'a restart would help nobody');
  const ready = await sluice.client.get('/readyz');
  assert.equal(ready.status, 503);
  assert.match(ready.json.detail, /redis: Redis does not answer/);

  await redis.start();
  ids.push(await serviceIsBack(t, sluice, data, performance.now()));
  await eventually(async () => (await sluice.client.get('/readyz')).status === 200, { what: 'readiness' });
  gate.open();
  for (const id of ids) assert.equal((await completed(sluice, id)).attemptsMade, 1);
  for (const [id, job] of await inventory(redis.admin)) assert.deepEqual({ id, ...job }, { id, state: 'completed', starts: 1, stalls: 0, made: 1 });
  assert.equal(sluice.child.pid, pid);
  await sluice.stop();
});

test('frozen for 6 s: requests end in time, nothing piles up, back at once', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile(), SLUICE_REDIS_TIMEOUT: '1s', SLUICE_REDIS_CONNECT_TIMEOUT: '1s' } });
  const data = await putDocument(sluice);
  const executions = new Executions(sluice.logs);
  const first = await addJob(sluice, data);
  await completed(sluice, first);

  redis.pause();
  t.after(() => redis.resume());
  const until = performance.now() + 6000;
  const answers = (await Promise.all(Array.from({ length: 8 }, () => probe(sluice, data, () => performance.now() < until)))).flat();
  for (const answer of answers) assert.ok(saysAway(answer), answer.text);
  assert.ok(slowest(answers) < 2500 + BUSY_MS, `an answer took ${slowest(answers)} ms`);
  const quick = answers.filter(({ status, ms }) => status === 503 && ms < 900); // who waits for Redis waits for a second
  assert.ok(quick.length > 80, `once it is known, refusals are quick: ${quick.length} of ${answers.length}`);
  const inFlight = async () => Number(/^sluice_http_requests_in_flight (\d+)/m.exec((await sluice.client.get('/metrics')).text)?.[1]);
  await eventually(async () => (await inFlight()) === 1, { what: 'an end of all requests but this very one' });
  redis.resume();
  const last = await serviceIsBack(t, sluice, data, performance.now());
  await completed(sluice, last);
  const unknown = answers.filter(({ status }) => status === 504).length;
  t.diagnostic(`${answers.length} answers, ${unknown} of them 504, the slowest after ${Math.round(slowest(answers))} ms`);
  await eventually(async () => (await redis.admin.zcard(`bull:${DOCUMENTS}:completed`)) >= 2 && !executions.running.length, { what: 'the end of the jobs' });
  await sluice.stop();
});

test('-LOADING at the start: 503, and service when it has loaded', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const filling = redis.admin.pipeline();
  for (let n = 0; n < 20_000; n++) filling.set(`filler:${n}`, n);
  await filling.exec();
  await redis.kill();
  await redis.launch(['--key-load-delay', '1000']); // microseconds: 20 s in all, unless it is told to hurry
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile() } });
  const data = await putDocument(sluice);
  const loaded = redis.connect({ maxLoadingRetryTime: 100 }); // asks again so soon
  const probing = probe(sluice, data, () => loaded.status !== 'ready');
  await eventually(() => sluice.logs.some(({ event, error }) => event === 'redis_unreachable' && /LOADING/.test(error)), { what: 'a log line that says why' });
  const refused = await sluice.client.post(`/api/jobs/${DOCUMENTS}`, data);
  assert.ok(refused.status === 503 && saysAway(refused), refused.text);
  await redis.connect({ enableReadyCheck: false }).config('SET', 'key-load-delay', '0');
  const answers = await probing;
  for (const answer of answers) assert.ok(answer.status === 201 || saysAway(answer), answer.text);
  await completed(sluice, await serviceIsBack(t, sluice, data, performance.now()));
  await sluice.stop();
});

test('restarted empty: what it held is gone, service goes on', { timeout: 60_000 }, async (t) => {
  const redis = await startRedis({ args: ['--appendonly', 'no', '--maxmemory-policy', 'noeviction'] });
  t.after(() => redis.stop());
  const gate = gatedProgram();
  const sluice = await gateway(t, { program: gate.program, env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile() }, allow: ['job_finish_failed', 'redis_data_lost'] });
  const data = await putDocument(sluice);
  gate.shut();
  const lost = await addJob(sluice, data, '?jobId=lost');
  await sluice.logged('job_active', { jobId: lost });
  const checks = async () => (await sluice.client.get('/readyz?verbose')).json.checks;
  const dataCheck = async () => (await checks()).find(({ name }) => name === 'redis-data');
  assert.deepEqual(await dataCheck(), { name: 'redis-data', ok: true, detail: null });
  // Ids as of many jobs, more than are added before the next look. What the first look after that saw is known when the second one comes.
  const monitor = await startMonitor(t, redis);
  await redis.admin.set(`bull:${DOCUMENTS}:id`, 1_000_000);
  await monitor.until(/"set"[^]*("GET" "bull:document-processing:id"[^]*){2}/);
  await redis.kill();
  await redis.start();
  const id = await serviceIsBack(t, sluice, data, performance.now());
  gate.open();
  await completed(sluice, id);
  assert.equal((await sluice.client.get(`/api/jobs/status/${DOCUMENTS}/${lost}`)).status, 404);
  await sluice.logged('redis_up', { otherProcess: true });
  assert.match((await sluice.logged('redis_data_lost')).error, /document-processing had given out 1000000 ids/);
  const { ok, detail } = await dataCheck();
  assert.ok(ok && /jobs are lost/.test(detail), detail);
  assert.match((await sluice.client.get('/metrics')).text, /^sluice_redis_data_lost_total 1$/m);
  assert.deepEqual([...(await inventory(redis.admin)).keys()], [id], 'nothing of the lost job is written back');
  await sluice.stop();
});

// Under load, again and again; every job must come to its end without a second execution.
async function disturb(t, { disturbance, times, mayFail }) {
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile() } });
  const executions = new Executions(sluice.logs);
  const inFlight = [];
  const writers = new Writers(sluice, {
    data: await putDocument(sluice), mayFail, held: (w) => w.acknowledged - executions.read().began.size > 40,
  });
  for (let n = 0; n < times; n++) {
    const at = writers.acknowledged + 4;
    await eventually(() => writers.acknowledged >= at, { timeout: 30_000, interval: 2, what: 'further acknowledgements' });
    await disturbance(redis.admin, inFlight, executions);
  }
  await writers.stop();
  await balance(t, { redis: redis.admin, writers, executions, inFlight });
  await sluice.stop();
  return { writers, executions };
}

test('SCRIPT FLUSH under load goes unnoticed', { timeout: 120_000 }, async (t) => {
  const { writers, executions } = await disturb(t, { times: 60, mayFail: () => false, disturbance: (redis) => redis.script('FLUSH') });
  assert.deepEqual([...writers.answers.keys()], [201]);
  assert.equal(executions.total, writers.acknowledged);
});

test('CLIENT KILL of every connection under load', { timeout: 120_000 }, async (t) => {
  let killed = 0;
  await disturb(t, {
    times: 40, mayFail: saysAway,
    disturbance: async (redis, inFlight, executions) => {
      const caught = new Set(executions.running);
      const own = await redis.client('ID');
      const clients = (await redis.client('LIST')).trim().split('\n').map((line) => /^id=(\d+)/.exec(line)[1]).filter((id) => id !== String(own));
      for (const id of clients) killed += Number(await redis.client('KILL', 'ID', id));
      for (const id of executions.running) caught.add(id); // began before the last connection was killed
      inFlight.push(...caught);
    },
  });
  t.diagnostic(`${killed} connections killed`);
});

// An array goes to Redis in several calls: each item's own answer must be true, and repeating the array completes it.
test('arrays whose connection is cut half-way are true item by item', { timeout: 120_000 }, async (t) => {
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_ROLE: 'api' } });
  const items = Array.from({ length: 1000 }, (_, n) => ({
    data: { documentId: `array-${n}`, userId: 'u', filename: 'a.pdf', mimeType: 'application/pdf', fileSize: 1 },
  }));
  const path = `/api/queues/${DOCUMENTS}/jobs`;
  let cutting = true;
  const cutter = (async () => {
    for (let ms = 5; cutting; ms += 5) { // ever more seldom, so that any machine gets an array through between two cuts
      await redis.admin.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes');
      await pause(ms);
    }
  })();
  const ids = new Set();
  const statuses = new Set();
  for (let n = 0; n < 6; n++) {
    const headers = { 'Idempotency-Key': `array-${n}` };
    await eventually(async () => {
      const { status, json } = await sluice.client.post(path, items, { headers });
      statuses.add(status);
      assert.ok([200, 503, 504].includes(status), `status ${status}`);
      for (const { jobId, problem } of json.results ?? []) {
        if (jobId) ids.add(jobId);
        else assert.match(problem.code, /^(redis-unavailable|outcome-unknown)$/);
      }
      return status === 200 && json.results.every(({ jobId }) => jobId);
    }, { timeout: 60_000, interval: 5, what: `array ${n} added as a whole` });
  }
  cutting = false;
  await cutter;
  t.diagnostic(`statuses seen: ${[...statuses].join(' ')}`);
  assert.equal(ids.size, 6000, 'each item has one id, however often its array was repeated');
  const waiting = await redis.admin.lrange(`bull:${DOCUMENTS}:wait`, 0, -1);
  assert.deepEqual(new Set(waiting), ids);
  assert.equal(waiting.length, ids.size);
});

test('a policy that evicts jobs: not ready, and it says what to do', { timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  await redis.admin.config('SET', 'maxmemory-policy', 'allkeys-lru');
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url }, allow: ['redis_settings_refused'] });
  const refused = await eventually(async () => {
    const answer = await sluice.client.as(null).get('/readyz');
    return answer.status === 503 && answer;
  }, { what: 'unreadiness' });
  assert.match(refused.json.detail, /maxmemory-policy is allkeys-lru.*set it to noeviction/);
  await sluice.logged('redis_settings_refused');
  assert.equal((await sluice.client.get('/livez')).status, 200);
  await redis.admin.config('SET', 'maxmemory-policy', 'noeviction');
  await eventually(async () => (await sluice.client.get('/readyz')).status === 200, { what: 'readiness after the correction' });
  await sluice.stop();
});
