// Start, readiness, drain and end of the program.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { makeFixtures } from '../fixtures/make-fixtures.mjs';
import { gatedProgram } from '../fault/support.mjs';
import {
  Client, documentJob, eventually, notification, RELEASE, runSluice, startRedis, startSluice, temporaryFolder,
} from './harness/index.mjs';

const checkOf = (body, name) => body.checks.find((check) => check.name === name);

test('it listens without Redis, is not ready, and becomes ready when Redis comes', async () => {
  const redis = await startRedis();
  await redis.kill();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url } });
  const down = await sluice.client.as(null).get('/readyz?verbose');
  assert.equal(down.status, 503);
  assert.equal(checkOf(down.json, 'redis').ok, false);
  assert.equal(checkOf(down.json, 'documents').ok, true);
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

for (const [name, content, word] of [
  ['is not there', undefined, /does not exist/],
  ['is no JSON', '{', /queues/],
  ['has an unknown field', '{"queues":[{"name":"a","retries":1}]}', /retries/],
  ['names no processor of ours', '{"queues":[{"name":"a","processor":"magic"}]}', /queue "a": there is no such processor/],
  ['has a bad schema', '{"queues":[{"name":"a","payload":{"type":"thing"}}]}', /type|thing/],
]) {
  test(`it refuses to start on a queue declaration that ${name}, and says so`, async () => {
    const file = join(temporaryFolder(), 'queues.json');
    if (content !== undefined) writeFileSync(file, content);
    const { code, text } = await runSluice(['serve'], { env: { PORT: '0', SLUICE_QUEUES: file } });
    assert.notEqual(code, 0);
    assert.match(text, word);
  });
}

const residentKb = ({ child }) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]);

test('at rest, with 512 connection threads, the program takes less than 32 MB', async (t) => {
  const sluice = await start(t, { program: [RELEASE], env: { SLUICE_HTTP_THREADS: '512' } });
  assert.equal((await sluice.client.post('/api/jobs/notifications', notification)).status, 201);
  assert.ok(residentKb(sluice) < 32 * 1024, `${residentKb(sluice)} kB`);
  await sluice.stop();
});

// The allocator's heaps stayed as large as they had been at their largest moment.
test('what large requests needed is given back when they are over', { timeout: 120_000 }, async (t) => {
  const redis = await redisFor(t);
  const sluice = await start(t, { program: [RELEASE], args: ['--role=api'], env: { REDIS_URL: redis.url, LOG_LEVEL: 'info' } });
  const large = { ...notification, metadata: { text: 'x'.repeat(900_000) } };
  const burst = async (body) => {
    const client = new Client(sluice.client); // connections of its own: those of the burst before may have been idle for too long by now
    await Promise.all(Array.from({ length: 40 }, () => client.post('/api/jobs/notifications', body)));
    client.close();
  };
  await burst(notification);
  const before = residentKb(sluice);
  for (let round = 0; round < 3; round++) await burst(large);
  await eventually(() => residentKb(sluice) < before + 12 * 1024, { timeout: 30_000, what: 'no more than 12 MiB above the beginning' });
  await sluice.stop();
});

async function start(t, options) {
  const sluice = await startSluice(options);
  t.after(() => sluice.child.running && sluice.kill());
  return sluice;
}

async function redisFor(t, options) {
  const redis = await startRedis(options);
  t.after(() => redis.stop());
  return redis;
}

// A document job that keeps its processor busy for as long as the settings allow.
async function spin(sluice, id = 'spin') {
  const folder = temporaryFolder('fixtures');
  makeFixtures(folder);
  return run(sluice, id, readFileSync(join(folder, 'spin.pdf')), { filename: 'spin.pdf' });
}

// A job about the document, when it runs.
async function run(sluice, id, bytes, more) {
  await sluice.client.put(`/api/documents/${id}`, bytes, { headers: { 'content-type': 'application/octet-stream' } });
  const { json } = await sluice.client.post('/api/jobs/document-processing', { ...documentJob, documentId: id, fileSize: bytes.length, ...more });
  await eventually(async () => (await sluice.client.get(json.statusUrl)).json.state === 'active', { what: 'a running job' });
  return json;
}

describe('SIGTERM', () => {
  test('under load fails no request: each is answered, and what was accepted is there', async (t) => {
    const redis = await redisFor(t);
    const sluice = await start(t, { args: ['--role=api'], env: { REDIS_URL: redis.url } });
    const accepted = [];
    const failures = [];
    let sent = 0;
    // Every client uses a connection of its own for each request, so that "refused" means: nothing was taken.
    const client = async (n) => {
      for (;;) {
        try {
          const answer = await sluice.client.post('/api/jobs/notifications', notification, { headers: { connection: 'close', 'x-client': String(n) } });
          sent++;
          if (answer.status === 201) accepted.push(answer.json.jobId);
          else if (answer.status !== 503) failures.push(answer.text);
        } catch (error) {
          if (error.code !== 'ECONNREFUSED') failures.push(error.code ?? error.message);
          return;
        }
      }
    };
    const clients = Array.from({ length: 64 }, (_, n) => client(n));
    await eventually(() => accepted.length > 200, { what: 'some load' });
    sluice.child.signal('SIGTERM');
    await Promise.all(clients);
    const { code } = await sluice.child.end(20_000);
    assert.equal(code, 0);
    assert.deepEqual(failures, [], `of ${sent} requests`);
    const exist = await Promise.all(accepted.map((id) => redis.admin.exists(`bull:notifications:${id}`)));
    assert.equal(exist.filter((n) => n === 1).length, accepted.length);
    sluice.assertClean();
  });

  test('takes readiness away first, answers on meanwhile, lets a job in flight finish, and wakes who waits', async (t) => {
    const redis = await redisFor(t);
    const gate = gatedProgram();
    const sluice = await start(t, { program: gate.program, env: { REDIS_URL: redis.url } });
    gate.shut();
    const job = await run(sluice, 'held', Buffer.from('It is held up.\n'), { filename: 'held.txt', mimeType: 'text/plain' });
    const { json: waiting } = await sluice.client.post('/api/jobs/notifications?delay=60000', notification);
    const waits = sluice.client.get(waiting.statusUrl, { headers: { prefer: 'wait=30' } });
    sluice.child.signal('SIGTERM');
    await sluice.logged('draining', { signal: 'TERM', jobs: 1 });
    const once = { headers: { connection: 'close' } };
    const ready = await eventually(async () => {
      const answer = await sluice.client.get('/readyz', once);
      return answer.status === 503 && answer;
    }, { what: 'the end of readiness' });
    assert.equal(ready.json.code, 'shutting-down');
    assert.equal((await sluice.client.get('/livez', once)).status, 200);
    const { status, headers } = await sluice.client.post('/api/jobs/notifications', notification);
    assert.deepEqual([status, headers.connection], [201, 'close']);
    assert.equal((await waits).json.state, 'delayed', 'the wait is cut short');
    gate.open();
    assert.equal((await sluice.child.end(30_000)).code, 0);
    const { atm: attempts } = await redis.admin.hgetall(`bull:document-processing:${job.jobId}`);
    assert.equal(attempts, '1', 'the attempt ended and counts');
    sluice.assertClean();
  });

  test('twice ends at once', async (t) => {
    const sluice = await start(t, { env: { SLUICE_DOC_TOOL_TIMEOUT: '10m', SLUICE_DOC_TOOL_CPU: '10m', SLUICE_DRAIN_GRACE: '10m' } });
    await spin(sluice);
    sluice.child.signal('SIGINT');
    await sluice.logged('draining', { signal: 'INT' });
    sluice.child.signal('SIGTERM');
    assert.equal((await sluice.child.end(20_000)).code, 143); // the job would take ten minutes
  });

  test('again, when it has drained and a store does not let it end, ends it at once', async (t) => {
    const sluice = await start(t);
    const { pid } = await sluice.logged('redis_child_ready');
    process.kill(pid, 'SIGSTOP'); // it is given ten seconds to end
    sluice.child.signal('SIGTERM');
    await sluice.logged('drained');
    sluice.child.signal('SIGTERM');
    assert.equal((await sluice.child.end(20_000)).code, 143);
  });
});
