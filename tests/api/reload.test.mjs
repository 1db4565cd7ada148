// SIGHUP: what is declared anew comes in force while the program serves, what cannot is named, and a file with a fault changes nothing.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import { declare, eventually, makeToken, runSluice, startPostgres, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

const object = (...required) => ({ type: 'object', required });

// Signals, and waits for the log line that tells how it went.
async function reload(sluice, event) {
  const count = () => sluice.logs.filter((entry) => entry.event === event).length;
  const already = count();
  sluice.child.signal('SIGHUP');
  await eventually(() => count() > already, { what: event });
}

describe('declarations read again', () => {
  const first = [
    { name: 'orders', processor: 'none', attempts: 1, payload: object('n') },
    { name: 'kept', processor: 'none', removeOnComplete: true },
  ];
  let redis, pg, sluice, operator, worker, file;

  before(async () => {
    [redis, pg] = await Promise.all([startRedis(), startPostgres()]);
    file = declare(...first);
    sluice = await startSluice({
      env: { REDIS_URL: redis.url, SLUICE_QUEUES: file, SLUICE_RECORDS: 'on', DATABASE_URL: pg.url, SLUICE_NOTIFY_DRY_RUN: '1' },
      allow: ['queues_not_reloaded'],
    });
    operator = sluice.as({ sub: 'olga', roles: ['operator'] });
    worker = sluice.as({ sub: 'wanda', roles: ['worker'] });
    await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  });

  after(async () => {
    await sluice.stop();
    await redis.stop();
    await pg.stop();
  });

  const write = (...queues) => writeFileSync(file, JSON.stringify({ queues }));
  const add = (queue, data, opts) => operator.post(`/api/queues/${queue}/jobs`, { name: 'job', data, opts });
  const checks = async () => (await sluice.client.get('/readyz?verbose')).json.checks.find(({ name }) => name === 'reload');

  async function take(queue, max = 1) {
    const { json } = await worker.post(`/api/queues/${queue}/lease`, { workerId: 'w1', max, wait: 0 });
    return json.jobs;
  }

  test('limits, retries and the schema of a queue', async () => {
    assert.equal((await add('orders', { n: 1 })).status, 201);
    write({ ...first[0], attempts: 4, backoff: { type: 'fixed', delay: 7 }, limiter: { max: 1, duration: 600_000 }, payload: object('m') }, first[1]);
    await reload(sluice, 'queues_reloaded');
    const refused = await add('orders', { n: 1 });
    assert.equal(refused.status, 400);
    assert.equal(refused.json.errors[0].pointer, '/data/m');
    const { jobId } = (await add('orders', { m: 1 })).json;
    const job = (await operator.get(`/api/jobs/status/orders/${jobId}`)).json;
    assert.deepEqual([job.attempts, job.opts.backoff], [4, { type: 'fixed', delay: 7 }]);
    assert.equal((await take('orders', 2)).length, 1, 'the limiter lets one through');
    const { declaration } = (await operator.get('/api/queues/orders')).json;
    assert.deepEqual([declaration.options.attempts, declaration.payload], [4, object('m')]);
    const openapi = (await sluice.client.get('/openapi.json')).json;
    assert.deepEqual(openapi.components.schemas['payload-orders'].required, ['m']);
    assert.equal((await checks()).ok, true);
  });

  test("a built-in queue's schema, also where its own route has checked it before", async () => {
    const note = { userId: 'u1', type: 'email', subject: 's', message: 'm' };
    const post = (body) => sluice.as({ roles: ['producer'] }).post('/api/jobs/notifications', body);
    assert.equal((await post(note)).status, 201);
    write(...first, { name: 'notifications', payload: object('userId', 'type', 'subject', 'message', 'ticket') });
    await reload(sluice, 'queues_reloaded');
    assert.equal((await post(note)).status, 400);
    assert.equal((await post({ ...note, ticket: 't' })).status, 201);
  });

  test('a new queue: jobs, workers, counts, events, records, metrics', async () => {
    write(...first, { name: 'fresh', processor: 'none', attempts: 2, removeOnComplete: true, payload: object('k') });
    await reload(sluice, 'queues_reloaded');
    assert.equal((await add('fresh', {})).status, 400);
    const { jobId } = (await add('fresh', { k: 1 })).json;
    assert.equal((await operator.get('/api/jobs/stats/fresh')).json.waiting, 1);
    assert.equal((await operator.get('/api/jobs/stats')).json.queues.fresh.waiting, 1);
    await eventually(async () => (await operator.get('/api/queues')).json.items.some(({ name, declared }) => name === 'fresh' && declared), { what: 'it among the queues' });
    assert.match((await sluice.client.get('/metrics')).text, /^sluice_jobs\{queue="fresh",state="waiting"\} 1$/m);
    const [job] = await take('fresh');
    assert.equal(job.id, jobId);
    assert.equal((await worker.post(`/api/queues/fresh/jobs/${jobId}/complete`, { token: job.token, returnvalue: 'done' })).status, 200);
    await eventually(async () => (await operator.get(`/api/jobs/status/fresh/${jobId}`)).json.source === 'archive', { timeout: 30_000, what: 'its record' });
    const delayed = (await add('fresh', { k: 2 }, { delay: 50 })).json.jobId;
    await eventually(async () => (await operator.get(`/api/jobs/status/fresh/${delayed}`)).json.state === 'waiting', { what: 'its promotion' });
  });

  test('a queue that was found in Redis before it was declared', async () => {
    const queue = new Queue('found', { connection: redis.connect() });
    await queue.add('job', {});
    const summary = async () => (await operator.get('/api/queues')).json.items.find(({ name }) => name === 'found');
    await eventually(async () => (await summary())?.declared === false, { timeout: 20_000, what: 'the undeclared queue' });
    write(...first, { name: 'found', processor: 'none' });
    await reload(sluice, 'queues_reloaded');
    await eventually(async () => (await summary())?.declared === true, { timeout: 20_000, what: 'the declared queue' });
    await queue.close();
  });

  test('a queue with a processor is worked on, by as many as are declared then', async () => {
    const queue = { name: 'mail', processor: 'notification', concurrency: 1 };
    const slots = async () => {
      const { text } = await sluice.client.get('/metrics');
      return Number(/^sluice_processor_slots\{processor="notification",state="max"\} (\d+)$/m.exec(text)[1]);
    };
    const before = await slots();
    write(...first, queue);
    await reload(sluice, 'queues_reloaded');
    assert.equal(await slots(), before + 1);
    const { jobId } = (await add('mail', { userId: 'nobody', type: 'email', subject: 's', message: 'm' })).json;
    await eventually(async () => (await operator.get(`/api/jobs/status/mail/${jobId}`)).json.attemptsMade > 0, { what: 'an attempt' });
    write(...first, { ...queue, concurrency: 5 });
    await reload(sluice, 'queues_reloaded');
    assert.equal(await slots(), before + 5);
    write(...first, { ...queue, concurrency: 2 });
    await reload(sluice, 'queues_reloaded');
    assert.equal(await slots(), before + 2);
  });

  test('what waits for a restart is told by the log, by readiness, and by the doctor', async () => {
    write({ ...first[0], processor: 'notification' }, first[1]);
    await reload(sluice, 'queues_reloaded');
    await sluice.logged('waits_for_restart', { change: 'queue orders: another processor, and the rest of its declaration with it' });
    await sluice.logged('waits_for_restart', { change: 'queue fresh: not declared any more' });
    const check = await checks();
    assert.equal(check.ok, false);
    assert.match(check.detail, /^\d changes of the declared queues wait for a restart/);
    assert.equal((await sluice.client.get('/readyz')).status, 200, 'it is ready all the same');
    const { code, text } = await runSluice(['doctor'], { env: { PORT: String(sluice.port), REDIS_URL: redis.url, SLUICE_QUEUES: file } });
    assert.equal(code, 0, text);
    assert.match(text, /^warn +gateway +the running gateway says: reload: \d changes/m);
  });

  test('a file with a fault changes nothing, and says where it is', async () => {
    write({ ...first[0], attempts: 9 });
    await reload(sluice, 'queues_reloaded');
    for (const [text, what] of [['{"queues":[', /byte/], ['{"queues":[{"name":"orders","attempts":2,"colour":1}]}', /colour/],
      ['{"queues":[{"name":"orders","attempts":2},{"name":"hook","processor":"webhook"}]}', /hook/]]) {
      writeFileSync(file, text);
      await reload(sluice, 'queues_not_reloaded');
      assert.match(sluice.logs.findLast(({ event }) => event === 'queues_not_reloaded').error, what);
      assert.match((await checks()).detail, what);
      assert.equal((await operator.get('/api/queues/orders')).json.declaration.options.attempts, 9);
      assert.equal((await operator.get('/api/jobs/stats/hook')).status, 404);
    }
    write(...first);
    await reload(sluice, 'queues_reloaded');
    assert.doesNotMatch((await checks()).detail ?? '', /colour|hook/);
  });
});

test('the secret of tokens, by its file; a weak one changes nothing', async () => {
  const JWT_SECRET_FILE = join(temporaryFolder(), 'secret');
  const [old, fresh] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')];
  writeFileSync(JWT_SECRET_FILE, `${old}\n`);
  const redis = await startRedis();
  const sluice = await startSluice({ secret: old, env: { REDIS_URL: redis.url, JWT_SECRET: '', JWT_SECRET_FILE }, allow: ['keys_not_reloaded'] });
  const statusUnder = async (secret) => (await sluice.client.as(makeToken(secret, { roles: ['viewer'] })).get('/api/jobs/stats')).status;
  assert.deepEqual([await statusUnder(old), await statusUnder(fresh)], [200, 401]);
  writeFileSync(JWT_SECRET_FILE, 'short');
  await reload(sluice, 'keys_not_reloaded');
  assert.deepEqual([await statusUnder(old), await statusUnder(fresh)], [200, 401]);
  writeFileSync(JWT_SECRET_FILE, fresh);
  await reload(sluice, 'keys_reloaded');
  assert.deepEqual([await statusUnder(old), await statusUnder(fresh)], [401, 200]);
  await sluice.stop();
  await redis.stop();
});

test('requests and jobs go on while declarations change', async () => {
  const redis = await startRedis();
  const file = declare({ name: 'busy', processor: 'notification', concurrency: 1 });
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: file, SLUICE_NOTIFY_DRY_RUN: '1' } });
  const operator = sluice.as({ roles: ['operator'] });
  let over = false, jobs = 0;
  const submit = async () => {
    for (; !over; jobs++) {
      const { status, text } = await operator.post('/api/queues/busy/jobs', { data: { userId: 'u', type: 'email', subject: 's', message: 'm' } });
      assert.equal(status, 201, text);
      assert.equal((await operator.get('/api/jobs/stats/busy')).status, 200);
    }
  };
  const submitting = [submit(), submit(), submit()];
  for (let round = 1; round <= 10; round++) {
    writeFileSync(file, JSON.stringify({ queues: [{ name: 'busy', processor: 'notification', concurrency: 1 + (round * 3) % 7, attempts: 1 + (round % 3), payload: { type: 'object' } }, { name: `extra-${round % 4}` }] }));
    const enough = jobs + 5;
    await reload(sluice, 'queues_reloaded');
    await eventually(() => jobs > enough, { what: 'more jobs' });
  }
  over = true;
  await Promise.all(submitting);
  const last = (await operator.post('/api/queues/busy/jobs', { data: { userId: 'u', type: 'email', subject: 's', message: 'm' } })).json.jobId;
  await eventually(async () => (await operator.get(`/api/jobs/status/busy/${last}`)).json.attemptsMade > 0, { timeout: 60_000, what: 'the last job' });
  await sluice.stop();
  await redis.stop();
});
