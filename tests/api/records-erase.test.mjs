// Forgetting a person: what was kept of their jobs goes, and what still waits to be written is not kept.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, test } from 'node:test';
import { Worker } from 'bullmq';
import { declare, eventually, startPostgres, startRedis, startSluice } from './harness/index.mjs';

const SOON = { timeout: 120_000 };
let postgres, redis, sluice;

before(async () => {
  postgres = await startPostgres();
  redis = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
  sluice = await startSluice({
    env: { SLUICE_RECORDS: 'on', DATABASE_URL: postgres.url, REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'mail', processor: 'none', jobName: 'send' }) },
  });
  await eventually(() => postgres.rows('SELECT 1 FROM sluice.audit_heads LIMIT 0'), { ...SOON, what: 'the schema' });
});

after(async () => {
  await sluice.stop();
  await postgres.stop();
  await redis.stop();
});

const admin = () => sluice.as({ sub: 'ada', roles: ['admin'] });
const kept = () => postgres.rows('SELECT job_id, org, state FROM sluice.records').map(({ job_id: id }) => id).sort();

async function add(jobId, { sub = 'shop', org = 'acme', data = {}, opts = {}, roles = ['producer'] } = {}) {
  const { status, text } = await sluice.as({ sub, org, roles }).post('/api/queues/mail/jobs', { data, opts: { jobId, ...opts } });
  assert.equal(status, 201, text);
}

async function finishAll(n) {
  const worker = sluice.as({ roles: ['worker'] });
  const { json } = await worker.post('/api/queues/mail/lease', { workerId: 'w', max: n, wait: 10 });
  assert.equal(json.jobs.length, n);
  for (const { id, token } of json.jobs) assert.equal((await worker.post(`/api/queues/mail/jobs/${id}/complete`, { token })).status, 200);
}

const ended = (n) => eventually(() => postgres.rows(`SELECT 1 FROM sluice.records WHERE state = 'completed'`).length === n, { ...SOON, what: `${n} records` });
const erase = (org, userId, client = admin()) => client.delete(`/api/records?org=${org}&userId=${encodeURIComponent(userId)}`);

test('the records of a user go, by submitter and by data, and nobody else\'s', async () => {
  await add('by-ann', { sub: 'ann' });
  await add('about-ann', { data: { userId: 'ann' } });
  await add('by-number', { data: { userId: 17 } });
  await add('about-bob', { data: { userId: 'bob', friend: 'ann' } });
  await add('other-org', { sub: 'ann', org: 'globex', data: { userId: 'ann' } });
  await finishAll(5);
  await ended(5);
  const { status, json } = await erase('acme', 'ann');
  assert.equal(status, 200);
  assert.deepEqual(json, { deleted: 2, unfinished: 0, more: false });
  assert.deepEqual(kept(), ['about-bob', 'by-number', 'other-org']);
  assert.deepEqual((await erase('acme', '17')).json, { deleted: 1, unfinished: 0, more: false });
  assert.deepEqual((await erase('acme', `' OR '1'='1`)).json, { deleted: 0, unfinished: 0, more: false });
  assert.deepEqual(kept(), ['about-bob', 'other-org']);
  const line = await sluice.logged('audit', { action: 'records.erase' });
  assert.deepEqual({ target: line.target, after: line.after }, { target: 'acme/ann', after: { deleted: 2, unfinished: 0, more: false } });
});

test('what waits in the outbox is not kept, what comes later is', async () => {
  // Who has this lock keeps the writer from the queue's outbox.
  const holder = spawn('psql', ['-X', '-q', '-d', postgres.url], { stdio: ['pipe', 'ignore', 'inherit'] });
  holder.stdin.write(`SELECT pg_advisory_lock(hashtextextended('bull:mail:outbox', 0));\n`);
  await eventually(() => postgres.rows(`SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock'`).length > 0, { what: 'the lock' });
  await add('waits-eve', { sub: 'eve' });
  await add('waits-for-eve', { data: { userId: 'eve' } });
  await add('waits-bob', { data: { userId: 'bob' } });
  await finishAll(3);
  assert.deepEqual((await erase('acme', 'eve')).json, { deleted: 0, unfinished: 0, more: false });
  assert.ok((await redis.admin.xlen('bull:mail:outbox')) >= 3);
  holder.stdin.end();
  await once(holder, 'exit');
  await add('later-eve', { sub: 'eve' });
  await finishAll(1);
  await eventually(() => kept().includes('later-eve'), { ...SOON, what: 'the later record' });
  await eventually(async () => (await redis.admin.xlen('bull:mail:outbox')) === 0, { ...SOON, what: 'an empty outbox' });
  assert.deepEqual(kept(), ['about-bob', 'later-eve', 'other-org', 'waits-bob']);
});

test('a job that has not ended stays, is counted, and leaves no record when it ends', async () => {
  await add('live', { sub: 'lea' });
  await eventually(() => kept().includes('live'), { ...SOON, what: 'the record of a job that waits' });
  assert.deepEqual((await erase('acme', 'lea')).json, { deleted: 1, unfinished: 1, more: false });
  assert.equal((await sluice.as({ sub: 'lea', org: 'acme', roles: ['producer'] }).get('/api/jobs/status/mail/live')).json.state, 'waiting');
  await finishAll(1);
  await eventually(async () => (await redis.admin.xlen('bull:mail:outbox')) === 0, { ...SOON, what: 'an empty outbox' });
  assert.ok(!kept().includes('live'));
});

test('what was erased stays so when it is asked for again by a gateway whose clock is behind', async () => {
  const until = () => postgres.rows("SELECT until_ms FROM sluice.record_erasures WHERE org = 'acme' AND user_id = 'tom'")[0].until_ms;
  assert.equal((await erase('acme', 'tom')).status, 200);
  const first = until();
  postgres.sql("UPDATE sluice.record_erasures SET until_ms = until_ms + 3600000 WHERE user_id = 'tom'"); // by one that is an hour ahead
  assert.equal((await erase('acme', 'tom')).status, 200);
  assert.equal(until(), first + 3_600_000);
});

test('nor when a BullMQ worker ends it, and leaves nothing of whose it was', async (t) => {
  for (const [jobId, sub] of [['live-lou', 'lou'], ['live-max', 'max']]) await add(jobId, { sub, opts: { removeOnComplete: true }, roles: ['operator'] });
  await eventually(() => ['live-lou', 'live-max'].every((id) => kept().includes(id)), { ...SOON, what: 'the records of jobs that wait' });
  assert.deepEqual((await erase('acme', 'lou')).json, { deleted: 1, unfinished: 1, more: false });
  const worker = new Worker('mail', async (job) => ({ of: job.id }), { connection: redis.connect(), concurrency: 1 });
  t.after(() => worker.close());
  const end = () => postgres.rows("SELECT returnvalue FROM sluice.records WHERE job_id = 'live-max' AND state = 'completed'");
  await eventually(() => end().length === 1, { ...SOON, what: 'the end of the later one' });
  assert.deepEqual(end(), [{ returnvalue: '{"of":"live-max"}' }]);
  assert.equal(await redis.admin.exists('bull:mail:live-lou'), 0);
  assert.ok(!kept().includes('live-lou'));
});

test('more rows than one step takes', async () => {
  postgres.sql(`INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, org, sub)
    SELECT 'bull', 'mail', 'many-' || i, i, i, 'completed', 'acme', 'zoe' FROM generate_series(1, 2500) AS i`);
  assert.deepEqual((await erase('acme', 'zoe')).json, { deleted: 2500, unfinished: 0, more: false });
});

test('only administrators, and only with both names', async () => {
  for (const role of ['operator', 'viewer', 'producer', 'worker']) assert.equal((await erase('acme', 'bob', sluice.as({ roles: [role], org: 'acme' }))).status, 403);
  for (const query of ['', '?org=acme', '?userId=bob', '?org=acme&userId=', '?org=acme&userId=bob&all=1']) {
    assert.equal((await admin().delete(`/api/records${query}`)).status, 400, query);
  }
  assert.ok(kept().includes('about-bob'));
});
