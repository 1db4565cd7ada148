// Start, readiness, drain and end of the program.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, eventually, runSluice, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

const checkOf = (body, name) => body.checks.find((check) => check.name === name);

test('it listens without Redis, is not ready, and becomes ready when Redis comes', async () => {
  const redis = await startRedis();
  await redis.kill();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url } });
  const down = await sluice.client.as(null).get('/readyz?verbose');
  assert.equal(down.status, 503);
  assert.equal((await sluice.client.as(null).get('/livez')).status, 200);
  await redis.start();
  await eventually(async () => (await sluice.client.as(null).get('/readyz')).status === 200, { what: 'readiness' });
  await sluice.stop();
  await redis.stop();
});

test('it is not ready while Redis may throw jobs away', async () => {
  const redis = await startRedis({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'] });
  const sluice = await startSluice({ env: { REDIS_URL: redis.url }, allow: ['redis_settings_refused'] });
  await sluice.logged('redis_settings_refused');
  const refused = await sluice.client.as(null).get('/readyz?verbose');
  assert.equal(refused.status, 503);
  assert.match(refused.text ?? JSON.stringify(refused.json), /noeviction/);
  await redis.admin.config('SET', 'maxmemory-policy', 'noeviction');
  await eventually(async () => (await sluice.client.as(null).get('/readyz')).status === 200, { what: 'readiness' });
  const ready = await sluice.client.as(null).get('/readyz?verbose');
  assert.equal(checkOf(ready.json, 'redis-settings').ok, true);
  await sluice.stop();
  await redis.stop();
});

test('a second start on the same folder fails with one line that names the holder', async () => {
  const sluice = await startSluice();
  const { code, text } = await runSluice(['serve'], { env: { DATA_DIR: sluice.dataDir, PORT: '0', JWT_SECRET: sluice.secret } });
  assert.equal(code, 1);
  assert.match(text, new RegExp(`^sluice: redis: .*${sluice.child.pid}`, 'm'));
  assert.doesNotMatch(text, /listening/);
  await sluice.stop();
});

test('it refuses to start on a weak secret, a wrong queue file and a port that is taken', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'queues.json'), '{"queues":[{"name":"a","concurency":1}]}');
  const sluice = await startSluice();
  for (const [env, said] of [
    [{ JWT_SECRET: 'your-256-bit-secret' }, /keys: JWT_SECRET/],
    [{ SLUICE_QUEUES: join(folder, 'queues.json') }, /queues: .*queues\.json/],
    [{ PORT: String(sluice.port), DATA_DIR: temporaryFolder() }, /http: /],
  ]) {
    const { code, text } = await runSluice(['serve'], { env: { DATA_DIR: folder, PORT: '0', ...env } });
    assert.equal(code, 1, text);
    assert.match(text, said);
  }
  await sluice.stop();
});

test('SIGINT ends it as SIGTERM does, SIGHUP does not', async () => {
  const sluice = await startSluice();
  sluice.child.signal('SIGHUP');
  assert.equal((await sluice.client.as(null).get('/livez')).status, 200);
  sluice.client.close();
  sluice.child.signal('SIGINT');
  const { code } = await sluice.child.end(20_000);
  assert.equal(code, 0);
  assert.ok(sluice.logs.some((entry) => entry.event === 'drained'));
  sluice.assertClean();
});

test('--role and --workers win over the environment', async () => {
  const sluice = await startSluice({ env: { SLUICE_ROLE: 'worker' }, args: ['--role=api', '--workers', '3'] });
  assert.equal(sluice.logs[0].role, 'api');
  await sluice.stop();
});

test('SLUICE_ROLE=worker serves health and metrics only', async () => {
  const sluice = await startSluice({ env: { SLUICE_ROLE: 'worker' } });
  const client = new Client({ port: sluice.port, token: sluice.token() }); // no contract: its document is not served
  assert.equal((await client.get('/readyz')).status, 200);
  assert.equal((await client.get('/metrics')).status, 200);
  assert.equal((await client.get('/openapi.json')).status, 404);
  client.close();
  await sluice.stop();
});
