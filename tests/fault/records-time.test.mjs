// Records as time goes by: gateways are started anew under a clock that is ahead (libfaketime), and PostgreSQL with them where something is to expire;
// Redis keeps the real one.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { declare, eventually, startPostgres } from '../api/harness/index.mjs';
import { durableRedis, gateway } from './support.mjs';

const HOUR = 3600;
const DAY = 24 * HOUR;
const WEEK_MS = 7 * DAY * 1000;
const NOTE = { userId: 'u1', type: 'email', subject: 'the first', message: 'm' };
const FAKETIME = readdirSync('/usr/lib').map((name) => join('/usr/lib', name, 'faketime/libfaketimeMT.so.1')).find((path) => existsSync(path));

// The environment of a program whose clock is ahead; only the time of day, not the one that waits are measured by.
const ahead = (seconds) => ({
  LD_PRELOAD: FAKETIME, FAKETIME: `+${seconds}s`, FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1',
  ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:verify_asan_link_order=0',
});

async function stage(t, ...queues) {
  assert.ok(FAKETIME, 'libfaketime is not installed');
  const redis = await durableRedis(t);
  const pg = await startPostgres();
  t.after(() => pg.stop());
  const sluice = await gateway(t, {
    env: { REDIS_URL: redis.url, DATABASE_URL: pg.url, SLUICE_RECORDS: 'on', SLUICE_NOTIFY_DRY_RUN: '1', LOG_LEVEL: 'info', SLUICE_QUEUES: declare(...queues) },
  });
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  const as = (claims) => sluice.as({ ttl: 100 * DAY, org: 'acme', ...claims });
  return {
    redis, pg, sluice, as,
    recorded: (queue, n) => eventually(() => pg.rows(`SELECT 1 FROM sluice.records WHERE queue = '${queue}' AND state = 'completed'`).length >= n, { timeout: 60_000, what: `${n} records of ${queue}` }),
    // The same gateway, so many seconds later, and PostgreSQL where the test says so; it has been killed where the test says that.
    later: async (seconds, { killed = false, both = false } = {}) => {
      if (!killed) await sluice.stop();
      if (both) {
        await pg.stop();
        await pg.start({ env: ahead(seconds) });
      }
      const from = sluice.logs.length;
      await sluice.start({ env: ahead(seconds) });
      await eventually(() => sluice.logs.slice(from).some(({ event }) => event === 'postgres_up'), { timeout: 60_000, what: 'PostgreSQL' });
    },
  };
}

async function complete(worker, queue) {
  let ended = 0;
  const lease = async () => (await worker.post(`/api/queues/${queue}/lease`, { workerId: 'w1', max: 100, wait: 1 })).json.jobs;
  for (let held = await lease(); held.length; held = await lease()) {
    const answers = await Promise.all(held.map(({ id, token }) => worker.post(`/api/queues/${queue}/jobs/${id}/complete`, { token, returnvalue: id })));
    ended += answers.filter(({ status }) => status === 200).length;
  }
  return ended;
}

test('under "keep 1" with 10 000 jobs behind it, a job is there an hour later', { timeout: 5 * 60_000 }, async (t) => {
  const { as, pg, redis, sluice, recorded, later } = await stage(t, { name: 'notifications', removeOnComplete: 1 }, { name: 'many', processor: 'none', removeOnComplete: 1 });
  const key = { headers: { 'idempotency-key': 'once' } };
  const created = await as({ roles: ['producer'] }).post('/api/jobs/notifications', NOTE, key);
  assert.equal(created.status, 201, created.text);
  const path = `/api/jobs/status/notifications/${created.json.jobId}`;
  const { json: then } = await as({ roles: ['producer'] }).get(path, { headers: { prefer: 'wait=20' } });
  assert.equal(then.state, 'completed');
  const second = await as({ roles: ['producer'] }).post('/api/jobs/notifications', { ...NOTE, subject: 'the second' });
  await recorded('notifications', 2);
  assert.equal(await redis.admin.exists(`bull:notifications:${created.json.jobId}`), 0, 'the second job takes the place of the first');

  const jobs = Array.from({ length: 1000 }, () => ({ name: 'job', data: {} }));
  for (let i = 0; i < 10; i++) assert.equal((await as({ roles: ['operator'] }).post('/api/queues/many/jobs', jobs)).status, 200);
  assert.equal(await complete(as({ roles: ['worker'] }), 'many'), 10_000);
  await recorded('many', 10_000);

  await later(HOUR);
  const producer = as({ roles: ['producer'] });
  for (const headers of [{}, { prefer: 'wait=5' }]) {
    const { status, json } = await producer.get(path, { headers });
    assert.equal(status, 200);
    assert.deepEqual(json, { ...then, source: 'archive' });
  }
  const again = await producer.post('/api/jobs/notifications', NOTE, key);
  assert.deepEqual([again.json.jobId, again.headers['idempotent-replayed']], [created.json.jobId, 'true']);
  assert.equal((await producer.get(`/api/jobs/status/notifications/${second.json.jobId}`)).json.state, 'completed');
  assert.equal(pg.rows("SELECT 1 FROM sluice.records WHERE queue = 'notifications'").length, 2);
  const fresh = await producer.post('/api/jobs/notifications', { ...NOTE, subject: 'the third' });
  const { json: ended } = await producer.get(`/api/jobs/status/notifications/${fresh.json.jobId}`, { headers: { prefer: 'wait=20' } });
  assert.equal(ended.state, 'completed');
  assert.ok(ended.timestamp > then.timestamp + 0.9 * HOUR * 1000, 'the clock was moved');
  await sluice.stop();
});

test('records go when the days of their queue are over, weeks that nobody keeps are dropped, and weeks to come are made', { timeout: 3 * 60_000 }, async (t) => {
  const queue = (name, days) => ({ name, processor: 'none', removeOnComplete: true, record: { days } });
  const { as, pg, redis, sluice, recorded, later } = await stage(t, queue('brief', 3), queue('long', 40));
  for (const name of ['brief', 'long']) {
    assert.equal((await as({ roles: ['operator'] }).post(`/api/queues/${name}/jobs`, [1, 2, 3].map((n) => ({ name: 'job', data: { n } })))).status, 200);
    assert.equal(await complete(as({ roles: ['worker'] }), name), 3);
    await recorded(name, 3);
  }
  const kept = () => pg.rows('SELECT queue, count(*) n FROM sluice.records GROUP BY queue ORDER BY queue').map(({ queue: name, n }) => `${name} ${n}`);
  const weeks = () => pg.rows(`SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'sluice.records'::regclass AND c.relname ~ '^records_[0-9]{8}$'`).map(({ relname }) => relname).sort();
  const week = (ms) => `records_${new Date(Math.floor(ms / WEEK_MS) * WEEK_MS).toISOString().slice(0, 10).replaceAll('-', '')}`;
  const has = (...names) => eventually(() => names.every((name) => weeks().includes(name)), { timeout: 30_000, what: `the weeks ${names.join()} among ${weeks().join()}` });
  const moment = (days) => Date.now() + days * DAY * 1000;
  const first = weeks();
  assert.deepEqual(kept(), ['brief 3', 'long 3']);
  await has(week(moment(0)), week(moment(7)));

  await later(2 * DAY);
  await has(week(moment(2)), week(moment(9)));
  assert.deepEqual(kept(), ['brief 3', 'long 3']);

  // What was added waits in Redis when the gateway is killed, and is looked at when its record has gone: it does not come again.
  const adds = () => redis.admin.xlen('bull:brief:outbox:adds');
  const [{ created_ms: created }] = pg.rows("SELECT created_ms FROM sluice.records WHERE queue = 'brief' AND job_id = '1'");
  await sluice.kill();
  await redis.admin.xadd('bull:brief:outbox:adds', '*', 'kind', 'added', 'id', '1', 'at', created, 'name', 'job', 'data', '{"n":1}', 'opts', '{}');
  await later(4 * DAY, { killed: true, both: true });
  await eventually(() => kept().join() === 'long 3', { timeout: 30_000, what: 'the end of what is kept for three days' });
  await eventually(async () => (await adds()) === 0, { timeout: 60_000, what: 'adds that are settled' });
  assert.deepEqual(kept(), ['long 3']);
  assert.equal((await as({ roles: ['operator'] }).get('/api/jobs/status/long/1')).json.source, 'archive');
  assert.equal((await as({ roles: ['operator'] }).get('/api/jobs/status/brief/1')).json.code, 'job-expired');

  // What another deployment has in the same database is not ours to drop; what stands in no week (a client may give a job any timestamp) is over as well.
  const copy = (prefix, createdMs) => pg.sql(`INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, org)
    SELECT '${prefix}', queue, 'copy', ${createdMs}, at_ms, state, org FROM sluice.records WHERE queue = 'long' AND job_id = '1'`);
  copy('theirs', 'created_ms');
  copy('bull', '1');
  copy('bull', moment(1000));

  // A gateway whose clock is wrong takes no more than what is over by that of PostgreSQL as well.
  pg.sql("UPDATE sluice.records SET at_ms = 1 WHERE prefix = 'bull' AND created_ms = 1");
  await later(60 * DAY);
  await eventually(() => kept().join() !== 'long 6', { timeout: 30_000, what: 'the end of what is over by any clock' });
  assert.deepEqual(kept(), ['long 5']);

  copy('bull', '1');
  await later(60 * DAY, { both: true });
  await sluice.logged('records_expired', {}, { timeout: 30_000 });
  await eventually(() => kept().join() === 'long 1', { timeout: 30_000, what: 'the end of what is kept for 40 days' });
  assert.equal(pg.rows("SELECT 1 FROM sluice.records WHERE prefix = 'theirs'").length, 1);
  pg.sql("DELETE FROM sluice.records WHERE prefix = 'theirs'");
  await later(60 * DAY);
  await eventually(() => !weeks().some((name) => first.includes(name)), { timeout: 30_000, what: 'the end of the last week' });
  await has(week(moment(60)), week(moment(67)));
  assert.deepEqual(weeks().filter((name) => first.includes(name)), []);
  assert.deepEqual(kept(), []);
  assert.equal((await as({ roles: ['operator'] }).get('/api/jobs/status/long/1')).json.code, 'job-expired');
  await sluice.stop();
});
