// Backup and restore as docs/operations.md tells them: with the same commands, while the gateway works, back into empty stores.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { ROOT, declare, eventually, notification, runSluice, startPostgres, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';

const run = (program, ...args) => promisify(execFile)(program, args, { timeout: 60_000 });
const OPERATIONS = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');

test('the stores of several programs: a copy of each, and what came after it is gone', async () => {
  for (const command of ['redis-cli -u "$REDIS_URL" --rdb', 'pg_dump --format=custom --schema=sluice', 'pg_restore --no-owner', 'CONFIG SET appendonly yes']) {
    assert.ok(OPERATIONS.includes(command), `docs/operations.md says it otherwise: ${command}`);
  }
  const copies = temporaryFolder('sluice-copies');
  const SLUICE_QUEUES = declare({ name: 'work', processor: 'none', removeOnComplete: true });
  let [redis, pg] = await Promise.all([startRedis({ args: ['--appendonly', 'yes'] }), startPostgres()]);
  let sluice = await startSluice({ env: { REDIS_URL: redis.url, DATABASE_URL: pg.url, SLUICE_RECORDS: 'on', SLUICE_QUEUES } });
  const { secret } = sluice;
  const add = async () => (await sluice.client.post('/api/queues/work/jobs', { name: 'w', data: { kept: true } })).json.jobId;
  const look = async (id) => (await sluice.client.get(`/api/jobs/status/work/${id}`)).json;
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  const [ended, waiting] = [await add(), await add()];
  const [job] = (await sluice.client.post('/api/queues/work/lease', { workerId: 'w', max: 1 })).json.jobs;
  assert.equal(job.id, ended);
  await sluice.client.post(`/api/queues/work/jobs/${ended}/complete`, { token: job.token, returnvalue: 'done' });
  await eventually(async () => (await look(ended)).source === 'archive', { timeout: 30_000, what: 'the record' });
  assert.equal((await sluice.client.request('PUT', '/api/documents/d1', { body: 'words', headers: { 'content-type': 'text/plain' } })).status, 201);

  await run('redis-cli', '-s', redis.socket, '--rdb', join(copies, 'jobs.rdb'));
  await run('pg_dump', '--format=custom', '--schema=sluice', '-f', join(copies, 'records.dump'), pg.url);
  await run('tar', '-C', join(sluice.dataDir, 'documents'), '-cf', join(copies, 'documents.tar'), '.');
  const after = await add();
  await sluice.stop();
  await redis.stop();
  await pg.stop();

  // Redis passes over the copy when it is started with appendonly yes.
  const folder = temporaryFolder('sluice-restored');
  const documents = join(folder, 'documents');
  mkdirSync(documents);
  await run('cp', join(copies, 'jobs.rdb'), join(folder, 'dump.rdb'));
  [redis, pg] = await Promise.all([startRedis({ folder, args: ['--appendonly', 'no'] }), startPostgres()]);
  await redis.admin.config('SET', 'appendonly', 'yes');
  await run('pg_restore', '--no-owner', `--dbname=${pg.url}`, join(copies, 'records.dump'));
  await run('tar', '-C', documents, '-xf', join(copies, 'documents.tar'));
  const env = { REDIS_URL: redis.url, DATABASE_URL: pg.url, SLUICE_RECORDS: 'on', SLUICE_QUEUES, SLUICE_DOCUMENTS_DIR: documents };
  assert.equal((await runSluice(['migrate'], { env })).code, 0);
  sluice = await startSluice({ secret, env });
  await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  const [restored, still] = [await look(ended), await look(waiting)];
  assert.deepEqual([restored.source, restored.returnvalue], ['archive', 'done']);
  assert.deepEqual([still.state, still.data], ['waiting', { kept: true }]);
  assert.equal((await sluice.client.get('/api/documents/d1')).text, 'words');
  assert.equal(await add(), after, 'what came after the copy is gone, and its id is given out again');
  const audit = await runSluice(['audit', 'verify'], { env });
  assert.equal(audit.code, 0, audit.text);
  await eventually(async () => /aof_enabled:1\r\naof_rewrite_in_progress:0\r\naof_rewrite_scheduled:0/.test(await redis.admin.info('persistence')), { timeout: 60_000, what: 'the file that it writes' });
  await redis.kill();
  redis.args = ['--appendonly', 'yes'];
  await redis.start(); // from the file that it writes since
  await eventually(async () => (await sluice.client.get(`/api/jobs/status/work/${after}`)).json.state === 'waiting', { timeout: 30_000, what: 'the job after a crash of Redis' });
  await sluice.stop();
  await redis.stop();
  await pg.stop();
});

test('the embedded Redis: a copy of its folder, taken while it writes', async () => {
  let sluice = await startSluice();
  const add = async () => (await sluice.client.post('/api/jobs/notifications?delay=600000', notification)).json.jobId;
  const ids = [await add(), await add(), await add()];
  const dataDir = temporaryFolder('sluice-restored');
  const cli = (...args) => run('redis-cli', '-s', join(sluice.dataDir, 'redis.sock'), ...args);
  await cli('CONFIG', 'SET', 'auto-aof-rewrite-percentage', '0');
  cpSync(join(sluice.dataDir, 'redis'), join(dataDir, 'redis'), { recursive: true });
  await cli('CONFIG', 'SET', 'auto-aof-rewrite-percentage', '100');
  const { secret } = sluice;
  await sluice.stop();
  sluice = await startSluice({ dataDir, secret });
  for (const id of ids) assert.equal((await sluice.client.get(`/api/jobs/status/notifications/${id}`)).json.state, 'delayed');
  await sluice.stop();
});
