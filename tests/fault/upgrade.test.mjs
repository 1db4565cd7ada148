// What docs/operations.md says of upgrades: new processes beside old ones on the stores that those have filled, schemas of earlier versions with what
// is in them, and the way back. SLUICE_OLD_BIN names the program of an earlier release; without it the old one is the same as the new.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Queue } from 'bullmq';
import { ROOT, SLUICE, eventually, freePort, listen, makeToken, runSluice, startPostgres, temporaryFolder } from '../api/harness/index.mjs';
import { Client } from '../api/harness/http.mjs';
import { startEdge } from './edge.mjs';
import { DOCUMENTS, Writers, balance, durableRedis, executionsOf, gateway, putDocument } from './support.mjs';

const OLD = process.env.SLUICE_OLD_BIN ?? SLUICE;
const MIGRATIONS = join(ROOT, 'lib/pg/migrations');
const KEPT = { removeOnComplete: { count: 1_000_000 }, removeOnFail: { count: 1_000_000 } };
const SOON = { timeout: 120_000 };

function declared() {
  const path = join(temporaryFolder(), 'queues.json');
  const queues = [
    { name: DOCUMENTS, concurrency: 4, lockDuration: 2000, stalledInterval: 1000, ...KEPT },
    { name: 'ticks', processor: 'document', concurrency: 1, ...KEPT },
    { name: 'left', processor: 'none', lockDuration: 600_000, ...KEPT },
  ];
  writeFileSync(path, JSON.stringify({ queues }));
  return path;
}

async function database(t) {
  const postgres = await startPostgres();
  t.after(() => postgres.kill());
  return postgres;
}

const recordsOf = async (client) => (await client.get('/readyz?verbose')).json.checks.find(({ name }) => name === 'records');
const whenRecording = (client) => eventually(async () => (await recordsOf(client)).ok, { ...SOON, what: 'PostgreSQL to be up' });

test('new processes beside the old ones, which then go: nothing is lost, nothing twice, and no request fails', { timeout: 300_000 }, async (t) => {
  const [redis, postgres] = [await durableRedis(t, { tcp: true }), await database(t)];
  const secret = randomBytes(32).toString('hex');
  const env = {
    REDIS_URL: redis.url, DATABASE_URL: postgres.url, SLUICE_RECORDS: 'on', SLUICE_QUEUES: declared(), SLUICE_DOCUMENTS_DIR: join(temporaryFolder(), 'documents'),
  };
  const ports = [await freePort(), await freePort()];
  const start = (program, role, port) => gateway(t, { secret, program: [program], env: { ...env, PORT: String(port) }, args: [`--role=${role}`], allow: [/^postgres_/] });
  const old = { api: await start(OLD, 'api', ports[0]), worker: await start(OLD, 'worker', 0) };
  const before = old.api.client;
  await whenRecording(before);
  const edge = await startEdge(t, ports);
  const client = new Client({ port: edge.port, token: makeToken(secret) });
  t.after(() => client.close());
  const data = await putDocument({ client: before });

  // What the old ones leave behind: records, waiting, delayed and leased jobs, a schedule, an Idempotency-Key, a listener, and ends that are not recorded.
  const add = async (via, name, query = '', headers = {}) => {
    const { status, json, text } = await via.post(`/api/queues/left/jobs${query}`, { name, data: { name } }, { headers });
    assert.ok(status === 200 || status === 201, text);
    return json.jobId;
  };
  const lease = async (via) => (await via.post('/api/queues/left/lease', { workerId: 'w', max: 1 })).json.jobs[0];
  const complete = async (via, job) => {
    const { status, text } = await via.post(`/api/queues/left/jobs/${job.id}/complete`, { token: job.token, returnvalue: job.name });
    assert.equal(status, 200, text);
  };
  const recorded = [];
  for (const name of ['r1', 'r2', 'r3']) recorded.push(await add(before, name));
  for (let n = 0; n < recorded.length; n++) await complete(before, await lease(before));
  const search = (via, cursor) => via.get(`/api/records?queue=left&limit=1${cursor ? `&cursor=${cursor}` : ''}`);
  await eventually(() => postgres.rows("SELECT 1 FROM sluice.records WHERE queue = 'left' AND state = 'completed'").length === recorded.length, { ...SOON, what: 'the records' });
  const first = (await search(before)).json;
  const held = [await add(before, 'held 1'), await add(before, 'held 2')];
  const leases = [await lease(before), await lease(before)];
  assert.deepEqual(leases.map(({ id }) => id), held);
  const delayed = await before.post('/api/queues/left/jobs', { name: 'delayed', data: {}, opts: { delay: 600_000 } });
  const once = await add(before, 'once', '', { 'idempotency-key': 'upgrade' });
  const schedules = new Queue('ticks', { connection: redis.connect() });
  await schedules.upsertJobScheduler('tick', { every: 300 }, { name: 'process-document', data });
  const listener = await listen(before, '/api/events?queue=left');
  const marker = await add(before, 'marker');
  await eventually(() => listener.events.some(({ data: { jobId } }) => jobId === marker), { what: 'an event of the old process' });
  const { lastId } = listener;
  const heard = new Set(listener.events.map(({ id }) => id));
  const missedByListener = await add(before, 'missed by the listener');
  listener.close();

  let backlog = 0;
  const writers = new Writers({ client }, { data, count: 4, held: () => backlog > 60 });
  const load = async (number) => {
    const goal = writers.acknowledged + number;
    await eventually(async () => {
      backlog = writers.acknowledged - await redis.admin.zcard(`bull:${DOCUMENTS}:completed`);
      return writers.acknowledged >= goal;
    }, { timeout: 60_000, what: 'more load' });
  };
  postgres.pause();
  await load(20);
  const young = { api: await start(SLUICE, 'api', ports[1]), worker: await start(SLUICE, 'worker', 0) };
  await load(20);
  postgres.resume();
  await edge.restore('s1');
  await load(20);
  await edge.drain('s0');
  await old.api.stop();
  await old.worker.stop();
  const ticked = await schedules.getCompletedCount();
  await load(20);
  backlog = 0;
  await writers.stop();

  // Everything goes on where the old ones left it.
  const after = young.api.client;
  for (const job of leases) {
    assert.equal((await client.post(`/api/queues/left/jobs/${job.id}/heartbeat`, { token: job.token })).status, 200);
    await complete(client, job);
  }
  assert.equal((await client.get(`/api/jobs/status/left/${delayed.json.jobId}`)).json.state, 'delayed');
  const again = await client.post('/api/queues/left/jobs', { name: 'once', data: { name: 'once' } }, { headers: { 'idempotency-key': 'upgrade' } });
  assert.deepEqual([again.json.jobId, again.headers['idempotent-replayed']], [once, 'true']);
  const resumed = await listen(after, '/api/events?queue=left', { headers: { 'last-event-id': lastId } });
  await eventually(() => resumed.events.some(({ data: { jobId } }) => jobId === missedByListener), { what: 'what the listener has missed' });
  assert.deepEqual(resumed.events.filter(({ id }) => heard.has(id)), [], 'what it had heard is told again');
  resumed.close();
  await eventually(async () => await schedules.getCompletedCount() > ticked + 1, { ...SOON, what: 'two more runs of the schedule' });
  await eventually(async () => {
    const sizes = await redis.admin.multi().zcard('bull:ticks:delayed').llen('bull:ticks:wait').llen('bull:ticks:active').exec();
    return sizes.reduce((sum, [, n]) => sum + n, 0) === 1;
  }, { ...SOON, interval: 10, what: 'a moment with one run of the schedule, which is yet to come' });
  await schedules.removeJobScheduler('tick');
  assert.deepEqual([...writers.answers.keys()], [201]);
  await balance(t, { redis: redis.admin, writers, executions: executionsOf([old.worker.logs, young.worker.logs]), inFlight: [] });
  const rows = (queue) => postgres.rows(`SELECT job_id, state, count(*) FROM sluice.records WHERE queue = '${queue}' AND state = 'completed' GROUP BY 1, 2`);
  await eventually(() => rows(DOCUMENTS).length === writers.acknowledged && rows('left').length === recorded.length + leases.length, { ...SOON, what: 'a record of every job' });
  assert.deepEqual([...rows(DOCUMENTS), ...rows('left')].filter(({ count }) => count !== 1), []);
  const second = await search(client, first.next);
  assert.deepEqual([first.items[0].id, second.json.items[0].id], [recorded[2], recorded[1]], 'a cursor of the old process');
  await schedules.close();
  for (const sluice of Object.values(young)) await sluice.stop();
});

const files = readdirSync(MIGRATIONS).sort();

// The schema as a program of that version has made it.
function makeSchema(postgres, version) {
  for (const [i, file] of files.slice(0, version).entries()) {
    const text = readFileSync(join(MIGRATIONS, file), 'utf8');
    const sha256 = createHash('sha256').update(text).digest('hex');
    postgres.sql(`${text};\nINSERT INTO sluice.migrations (version, name, sha256) VALUES (${i + 1}, '${file.replace(/^\d+_|\.sql$/g, '')}', '${sha256}');`);
  }
}

// What the tables of that schema can hold of what is in the other one.
function fill(postgres, from) {
  const tables = postgres.rows(`SELECT table_name AS name, string_agg(column_name, ', ') AS columns FROM information_schema.columns
    WHERE table_schema = 'sluice' AND table_name NOT LIKE 'records\\_%' AND table_name <> 'migrations' GROUP BY 1`);
  for (const { name, columns } of tables) postgres.sql(`INSERT INTO sluice.${name} (${columns}) SELECT ${columns} FROM ${from}.${name};`);
  return tables.map(({ name }) => name);
}

test('a schema of each earlier version keeps what is in it, and takes more', { timeout: 300_000 }, async (t) => {
  const [redis, postgres] = [await durableRedis(t), await database(t)];
  const env = { REDIS_URL: redis.url, DATABASE_URL: postgres.url, SLUICE_RECORDS: 'on', SLUICE_QUEUES: declared() };
  const sluice = await gateway(t, { env, allow: [/^postgres_/] });
  await whenRecording(sluice.client);
  const end = async (name) => {
    const { json: { jobId } } = await sluice.client.post('/api/queues/left/jobs', { name, data: { name }, opts: { removeOnComplete: true } });
    const [job] = (await sluice.client.post('/api/queues/left/lease', { workerId: 'w', max: 1 })).json.jobs;
    await sluice.client.post(`/api/queues/left/jobs/${jobId}/complete`, { token: job.token, returnvalue: name });
    await eventually(async () => (await sluice.client.get(`/api/jobs/status/left/${jobId}`)).json.source === 'archive', { ...SOON, what: `the record of ${name}` });
    return jobId;
  };
  const kept = [await end('first'), await end('second')];
  await sluice.stop();
  postgres.sql('ALTER SCHEMA sluice RENAME TO kept');
  for (let version = 1; version < files.length; version++) {
    postgres.sql('SET client_min_messages = warning; DROP SCHEMA IF EXISTS sluice CASCADE');
    makeSchema(postgres, version);
    const tables = fill(postgres, 'kept');
    const { code, text } = await runSluice(['migrate'], { env });
    assert.equal(code, 0, text);
    assert.equal(text.match(/applied now/g).length, files.length - version, text);
    const audited = tables.includes('audit');
    if (audited) assert.equal((await runSluice(['audit', 'verify'], { env })).code, 0, `the audit trail from version ${version}`);
    if (!tables.includes('records')) continue;
    await sluice.start();
    await whenRecording(sluice.client);
    const names = async () => (await sluice.client.get('/api/records?queue=left&limit=50')).json.items.map(({ name }) => name);
    assert.deepEqual((await names()).filter((name) => !name.startsWith('later')), ['second', 'first'], `from version ${version}`);
    assert.equal((await sluice.client.get(`/api/jobs/status/left/${kept[0]}`)).json.returnvalue, 'first');
    await end(`later ${version}`);
    assert.equal((await names())[0], `later ${version}`);
    await sluice.stop();
  }
});

test('an older program on a newer schema works on without records, which wait for the newer one', { timeout: 120_000 }, async (t) => {
  const [redis, postgres] = [await durableRedis(t), await database(t)];
  const env = { REDIS_URL: redis.url, DATABASE_URL: postgres.url, SLUICE_RECORDS: 'on', SLUICE_QUEUES: declared() };
  assert.equal((await runSluice(['migrate'], { env })).code, 0);
  postgres.sql("INSERT INTO sluice.migrations (version, name, sha256) SELECT max(version) + 1, 'later', '' FROM sluice.migrations");
  const sluice = await gateway(t, { env, allow: [/^postgres_/] });
  await eventually(async () => /newer program/.test((await recordsOf(sluice.client)).detail), { ...SOON, what: 'the refusal' });
  assert.equal((await sluice.client.get('/readyz')).status, 200);
  const ids = [];
  for (let n = 0; n < 3; n++) ids.push((await sluice.client.post('/api/queues/left/jobs', { name: 'n', data: {} })).json.jobId);
  const { jobs } = (await sluice.client.post('/api/queues/left/lease', { workerId: 'w', max: 3 })).json;
  for (const job of jobs) assert.equal((await sluice.client.post(`/api/queues/left/jobs/${job.id}/complete`, { token: job.token, returnvalue: 1 })).status, 200);
  const count = () => postgres.rows("SELECT job_id FROM sluice.records WHERE queue = 'left' AND state = 'completed'").map(({ job_id: id }) => id).sort();
  assert.deepEqual(count(), []);
  assert.equal((await sluice.client.get(`/api/records?queue=left`)).json.code, 'records-unavailable');
  await sluice.stop();
  postgres.sql("DELETE FROM sluice.migrations WHERE name = 'later'"); // the newer program, which knows that version
  await sluice.start();
  await eventually(() => count().length === ids.length, { ...SOON, what: 'the records' });
  assert.deepEqual(count(), ids.sort());
  await sluice.stop();
});
