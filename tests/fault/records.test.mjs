// Records beside a PostgreSQL, a Redis and gateways that stop, vanish and come back: every acknowledged job has one record, with its end.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'bullmq';
import { eventually, declare, startPostgres } from '../api/harness/index.mjs';
import { LONG, chance, durableRedis, gateway } from './support.mjs';

const QUEUE = 'notifications';
const NOTE = { userId: 'u1', type: 'email', subject: 's', message: 'm' };

async function postgres(t) {
  const pg = await startPostgres();
  t.after(() => pg.stop());
  return pg;
}

// Jobs that leave nothing in Redis when they end, and are taken up again soon when their worker vanishes.
function settings(redis, pg, more = {}) {
  const queues = declare({
    name: QUEUE, concurrency: 8, lockDuration: 2000, stalledInterval: 1000, maxStalledCount: 1000, attempts: 50, backoff: { type: 'fixed', delay: 200 },
    removeOnComplete: { count: 0 }, removeOnFail: { count: 0 },
  });
  return { env: { REDIS_URL: redis.url, DATABASE_URL: pg.url, SLUICE_RECORDS: 'on', SLUICE_NOTIFY_DRY_RUN: '1', SLUICE_QUEUES: queues, LOG_LEVEL: 'info', ...more } };
}

// Adds jobs to the queue, a few at a time, until told to stop: the ids that were acknowledged. mayFail(answer) excuses others; `next` gives the
// gateway.
class Load {
  ids = [];
  others = [];
  #running = true;

  constructor(next, { mayFail = () => false, queue = QUEUE } = {}) {
    this.ended = Promise.all([1, 2, 3].map(() => this.#add(next, mayFail, queue)));
  }

  async #add(next, mayFail, queue) {
    while (this.#running) {
      const { json } = await next().client.get(`/api/jobs/stats/${queue}`).catch(() => ({}));
      if (json?.waiting > 300) continue; // the workers are behind
      const answer = await next().client.post(`/api/queues/${queue}/jobs`, [NOTE, NOTE, NOTE, NOTE].map((data) => ({ name: 'job', data }))).catch((error) => ({ error }));
      if (answer.status === 200) this.ids.push(...answer.json.results.filter(({ jobId }) => jobId).map(({ jobId }) => jobId));
      else if (!mayFail(answer)) this.others.push(answer);
    }
  }

  reached = (n) => eventually(() => this.ids.length >= n, { timeout: LONG ? 600_000 : 120_000, what: `${n} acknowledged jobs` });

  async stop() {
    this.#running = false;
    await this.ended;
    assert.deepEqual(this.others.map(({ status, text, error }) => status ? `${status} ${text}` : error.message), []);
  }
}

// A message that was being sent when its gateway was killed may be one that the job rightly does not send again.
const ENDED = "(state = 'completed' OR failed_reason LIKE 'AMBIGUOUS: %')";

// Waits until there is a record of the end of each, and finds no other.
async function balance(sluice, pg, ids) {
  const missing = () => pg.rows(`SELECT id FROM unnest('{${ids.join()}}'::text[]) id WHERE NOT EXISTS
    (SELECT FROM sluice.records WHERE queue = '${QUEUE}' AND job_id = id AND ${ENDED}) LIMIT 12`).map(({ id }) => id);
  const say = async (id) => {
    const { status, json } = await sluice.client.get(`/api/jobs/status/${QUEUE}/${id}?data=0`);
    const [record] = pg.rows(`SELECT * FROM sluice.records WHERE job_id = '${id}'`);
    return `${id}: ${status} ${json.code ?? `${json.source} ${json.state} ${json.failedReason}`}; record ${JSON.stringify(record)}`;
  };
  await eventually(() => missing().length === 0, { timeout: 120_000, interval: 500, what: `records of all ${ids.length} jobs` })
    .catch(async (error) => assert.fail(`${error.message}; missing, among others:\n${(await Promise.all(missing().map(say))).join('\n')}`));
  assert.deepEqual(pg.rows('SELECT job_id, count(*) FROM sluice.records GROUP BY job_id HAVING count(*) > 1'), []);
  assert.deepEqual(pg.rows(`SELECT job_id, state FROM sluice.records WHERE NOT ${ENDED} OR (state = 'completed' AND returnvalue IS NULL) OR data IS NULL OR attempts = '{}'`), []);
}

for (const [how, halt, resume] of [['stopped in the middle of everything', 'pause', 'resume'], ['killed', 'kill', 'start']]) {
  test(`PostgreSQL ${how} under load: nobody notices, and every record is there afterwards`, { timeout: 15 * 60_000 }, async (t) => {
    const [redis, pg] = [await durableRedis(t), await postgres(t)];
    const sluice = await gateway(t, settings(redis, pg));
    await sluice.logged('postgres_up', {}, { timeout: 60_000 });
    const load = new Load(() => sluice);
    await load.reached(100);
    await pg[halt]();
    const [gone] = load.ids;
    await load.reached(load.ids.length + (LONG ? 20_000 : 400));
    const { status, json } = await sluice.client.get(`/api/jobs/status/${QUEUE}/${gone}`, { timeout: 20_000 });
    assert.deepEqual([status, json.code], [503, 'records-unavailable']);
    assert.equal((await sluice.client.get('/health/ready')).status, 200);
    await pg[resume]();
    await load.stop();
    await balance(sluice, pg, load.ids);
    assert.equal((await sluice.client.get(`/api/jobs/status/${QUEUE}/${gone}`)).json.source, 'archive');
    await sluice.stop();
  });
}

test('gateway, PostgreSQL and Redis killed at random', { timeout: 15 * 60_000 }, async (t) => {
  const below = chance(t);
  const [redis, pg] = [await durableRedis(t), await postgres(t)];
  const sluice = await gateway(t, settings(redis, pg));
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  const load = new Load(() => sluice, { mayFail: () => true });
  const victims = [sluice, sluice, pg, redis];
  const until = performance.now() + 180_000;
  for (let kills = 0; LONG ? performance.now() < until : kills < 12; kills++) {
    await load.reached(load.ids.length + 20 + below(80));
    const victim = victims[below(victims.length)];
    await victim.kill();
    await victim.start();
  }
  await load.stop();
  await balance(sluice, pg, load.ids);
  t.diagnostic(`${load.ids.length} jobs`);
  await sluice.stop();
});

// The job is gone with its end: what was in it is known by what was written down when it was added.
test('another program\'s worker leaves nothing of its jobs, gateway and PostgreSQL are killed: each has its record, with its data', { timeout: 15 * 60_000 }, async (t) => {
  const below = chance(t);
  const [redis, pg] = [await durableRedis(t), await postgres(t)];
  const queue = 'elsewhere';
  const sluice = await gateway(t, settings(redis, pg, { SLUICE_QUEUES: declare({ name: queue, processor: 'none' }) }));
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  const foreign = new Worker(queue, async (job) => ({ done: job.id }), { connection: redis.connect(), concurrency: 5, removeOnComplete: { count: 0 } });
  foreign.on('error', () => {});
  t.after(() => foreign.close(true));
  await foreign.waitUntilReady();
  const load = new Load(() => sluice, { mayFail: () => true, queue });
  for (let kills = 0; kills < (LONG ? 40 : 6); kills++) {
    await load.reached(load.ids.length + 20 + below(80));
    const victim = [sluice, pg][below(2)];
    await victim.kill();
    await victim.start();
  }
  await load.stop();
  const wrong = () => pg.rows(`SELECT id, (SELECT array_agg(state || coalesce(data, ' without data')) FROM sluice.records WHERE queue = '${queue}' AND job_id = id) found
    FROM unnest('{${load.ids.join()}}'::text[]) id WHERE 1 <> (SELECT count(*) FILTER (WHERE state = 'completed' AND data IS NOT NULL AND returnvalue = '{"done":"' || id || '"}')
    + 2 * count(*) FILTER (WHERE state <> 'completed') FROM sluice.records WHERE queue = '${queue}' AND job_id = id) LIMIT 5`);
  await eventually(() => wrong().length === 0, { timeout: 60_000, interval: 500, what: `one record of each of ${load.ids.length} jobs` })
    .catch((error) => assert.fail(`${error.message}: ${JSON.stringify(wrong())}`));
  t.diagnostic(`${load.ids.length} jobs`);
  await sluice.stop();
});

test('two gateways on one Redis take turns at writing, and each job has one record', { timeout: 15 * 60_000 }, async (t) => {
  const [redis, pg] = [await durableRedis(t), await postgres(t)];
  const gateways = [await gateway(t, settings(redis, pg)), await gateway(t, settings(redis, pg))];
  for (const each of gateways) await each.logged('postgres_up', {}, { timeout: 60_000 });
  let turn = 0;
  const load = new Load(() => gateways[turn++ % 2]);
  await load.reached(LONG ? 20_000 : 600);
  await load.stop();
  await balance(gateways[0], pg, load.ids);
  const written = await Promise.all(gateways.map(async (each) => Number(/^sluice_records_written_total\{queue="notifications"\} (\d+)$/m.exec((await each.client.get('/metrics')).text)[1])));
  // What the one has written and not yet taken off the outbox, the other may write again, to the same rows: seldom, or they do not take turns.
  const twice = written[0] + written[1] - load.ids.length;
  assert.ok(twice >= 0 && twice < load.ids.length / 2, `${written.join(' + ')} entries were written of ${load.ids.length}`);
  for (const each of gateways) await each.stop();
});

test('a backlog that is too long gives up data first, then its oldest entries, and says so', { timeout: 3 * 60_000 }, async (t) => {
  const [redis, pg] = [await durableRedis(t), await postgres(t)];
  const sluice = await gateway(t, { ...settings(redis, pg, { SLUICE_RECORDS_BACKLOG: '200' }), allow: ['records_dropped'] });
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  await pg.kill();
  const outbox = `bull:${QUEUE}:outbox`;
  const jobs = Array.from({ length: 50 }, () => ({ name: 'job', data: NOTE }));
  const addUntil = (event) => eventually(async () => {
    assert.equal((await sluice.client.post(`/api/queues/${QUEUE}/jobs`, jobs)).status, 200);
    return sluice.logs.some((line) => line.event === event);
  }, { timeout: 60_000, interval: 100, what: event });
  await addUntil('records_without_data');
  await addUntil('records_dropped');
  await eventually(async () => (await redis.admin.xlen(outbox)) <= 200, { timeout: 20_000, what: 'a bounded outbox' });
  await eventually(async () => !(await redis.admin.xrevrange(outbox, '+', '-', 'COUNT', 1))[0][1].includes('data'), { what: 'an entry without data' });
  const { json } = await sluice.client.get('/health/ready?verbose');
  const note = json.checks.find(({ name }) => name === 'records');
  assert.equal(note.ok, false);
  assert.match(note.detail, /without data and return value; [1-9]\d* were dropped/);
  assert.match((await sluice.client.get('/metrics')).text, /^sluice_records_dropped_total\{queue="notifications"\} [1-9]\d*$/m);
  await pg.start();
  await eventually(async () => (await redis.admin.xlen(outbox)) === 0, { timeout: 60_000, what: 'an empty outbox' });
  await sluice.logged('records_with_data_again', {}, { timeout: 20_000 });
  const [{ n, sizes }] = pg.rows('SELECT count(*) n, count(data_bytes) sizes FROM sluice.records');
  assert.ok(n > 0 && sizes > 0, `${n} records, ${sizes} of them with a size in the place of data`);
  await sluice.stop();
});

test('adds on a queue that others work on are given up like ends, and their jobs are not', { timeout: 3 * 60_000 }, async (t) => {
  const [redis, pg] = [await durableRedis(t), await postgres(t)];
  const queue = 'elsewhere';
  const sluice = await gateway(t, {
    ...settings(redis, pg, { SLUICE_RECORDS_BACKLOG: '200', SLUICE_QUEUES: declare({ name: queue, processor: 'none' }) }), allow: ['records_dropped'],
  });
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  await pg.kill();
  const adds = `bull:${queue}:outbox:adds`;
  const jobs = Array.from({ length: 50 }, () => ({ name: 'job', data: NOTE }));
  let added = 0;
  await eventually(async () => {
    assert.equal((await sluice.client.post(`/api/queues/${queue}/jobs`, jobs)).status, 200);
    added += jobs.length;
    return sluice.logs.some((line) => line.event === 'records_dropped');
  }, { timeout: 60_000, interval: 100, what: 'records_dropped' });
  await eventually(async () => (await redis.admin.xlen(adds)) <= 200, { timeout: 20_000, what: 'a bounded stream' });
  assert.equal((await sluice.client.get(`/api/jobs/stats/${queue}`)).json.waiting, added);
  await pg.start();
  await eventually(async () => (await redis.admin.xlen(adds)) === 0, { timeout: 60_000, what: 'adds that are written' });
  assert.ok(pg.rows(`SELECT 1 FROM sluice.records WHERE state = 'pending' AND name = 'job' AND org = 'default'`).length > 0);
  await sluice.stop();
});

test('when Redis gets full, records are given up before jobs are', { timeout: 3 * 60_000 }, async (t) => {
  const [redis, pg] = [await durableRedis(t), await postgres(t)];
  const sluice = await gateway(t, { ...settings(redis, pg), allow: ['records_dropped'] });
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  await pg.kill();
  const outbox = `bull:${QUEUE}:outbox`;
  const jobs = Array.from({ length: 100 }, () => ({ name: 'job', data: { ...NOTE, message: 'x'.repeat(4000) } }));
  for (let i = 0; i < 5; i++) assert.equal((await sluice.client.post(`/api/queues/${QUEUE}/jobs`, jobs)).status, 200);
  await eventually(async () => (await redis.admin.xlen(outbox)) >= 500, { timeout: 60_000, what: '500 entries' });
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.admin.info('memory'))[1]);
  await redis.admin.config('SET', 'maxmemory', Math.round(used / 0.85));
  await sluice.logged('records_dropped', {}, { timeout: 20_000 });
  await eventually(async () => (await redis.admin.xlen(outbox)) < 450, { timeout: 20_000, what: 'a shorter outbox' });
  assert.equal((await sluice.client.post(`/api/queues/${QUEUE}/jobs`, jobs.slice(0, 1))).status, 200);
  await redis.admin.config('SET', 'maxmemory', 0);
  await pg.start();
  await eventually(async () => (await redis.admin.xlen(outbox)) === 0, { timeout: 60_000, what: 'an empty outbox' });
  await sluice.stop();
});
