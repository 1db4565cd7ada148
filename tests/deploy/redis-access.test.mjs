// Redis as others run it: over TLS with client certificates, and with a user that may do no more than examples/redis/users.acl allows.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { Child, ROOT, analysis, declare, documentJob, eventually, freePort, listen, notification, runSluice, startPostgres, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';

const folder = temporaryFolder('sluice-tls');
const file = (name) => join(folder, name);
const RULES = readFileSync(join(ROOT, 'examples/redis/users.acl'), 'utf8');
const [, PASSWORD] = / >(\S+)/.exec(RULES);

// An authority, a server's and a client's certificate by it, and a client's by nobody that counts.
function makeCertificates() {
  const openssl = (...args) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const fresh = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  openssl('req', '-x509', ...fresh, '-days', '2', '-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.pem');
  openssl('req', '-x509', ...fresh, '-days', '2', '-subj', '/CN=stranger', '-keyout', 'stranger.key', '-out', 'stranger.pem');
  execFileSync('sh', ['-c', 'printf subjectAltName=IP:127.0.0.1 >names'], { cwd: folder });
  for (const name of ['server', 'client']) {
    openssl('req', ...fresh, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names', '-out', `${name}.pem`);
  }
}

// The rules of the example for Redis' command line; the test's own connection stays whatever it wants to be.
async function startGuarded() {
  const port = await freePort();
  const redis = await startRedis({ args: [
    '--tls-port', String(port), '--tls-cert-file', file('server.pem'), '--tls-key-file', file('server.key'), '--tls-ca-cert-file', file('ca.pem'),
    '--tls-auth-clients', 'yes', '--maxmemory-policy', 'noeviction', '--appendonly', 'yes',
  ] });
  const [, user] = /^user sluice (.*)$/m.exec(RULES);
  await redis.admin.acl('SETUSER', 'sluice', ...user.split(' '));
  return { redis, port, url: `rediss://sluice:${PASSWORD}@127.0.0.1:${port}` };
}

const credentials = (name) => ({ REDIS_TLS_CA_FILE: file('ca.pem'), REDIS_TLS_CERT_FILE: file(`${name}.pem`), REDIS_TLS_KEY_FILE: file(`${name}.key`) });

async function assertNothingRefused(redis) {
  const refused = (await redis.admin.call('ACL', 'LOG')).map((entry) => Object.fromEntries(entry.flatMap((value, i) => (i % 2 ? [] : [[value, entry[i + 1]]]))));
  assert.deepEqual(refused.map(({ reason, context, object, 'client-info': info }) => `${reason} ${context} ${object} ${/ name=\S*/.exec(info)}`), []);
}

describe('a Redis that wants certificates and trusts its users little', () => {
  before(makeCertificates);

  test('what Sluice does, it may do, and Redis refuses nothing of it', async () => {
    const { redis, port, url } = await startGuarded();
    const SLUICE_QUEUES = declare(
      { name: 'remote', processor: 'none', attempts: 2, lockDuration: 60_000, stalledInterval: 500 },
      { name: 'notifications', attempts: 1, limiter: { max: 100, duration: 1000 } },
    );
    const sluice = await startSluice({ env: { ...credentials('client'), REDIS_URL: url, SLUICE_QUEUES, SLUICE_NOTIFY_DRY_RUN: '1' } });
    const { client } = sluice;
    const ended = (queue, id) => eventually(async () => {
      const { json } = await client.get(`/api/jobs/status/${queue}/${id}`);
      return json.finishedOn && json;
    }, { timeout: 30_000, what: `the end of ${queue} ${id}` });
    const ok = async (promise) => {
      const { status, json, text } = await promise;
      assert.ok(status < 300, text);
      return json;
    };
    const remote = '/api/queues/remote';

    await ok(client.get('/readyz'));
    for (const [path, body, queue] of [
      ['document-processing', documentJob, 'document-processing'], ['notifications', notification, 'notifications'], ['compliance-analysis', analysis, 'compliance-analysis'],
    ]) {
      const { jobId } = await ok(client.post(`/api/jobs/${path}?delay=100&attempts=1`, body, { headers: { 'idempotency-key': path } }));
      if (queue === 'notifications') await ended(queue, jobId);
      assert.equal((await ok(client.post(`/api/jobs/${path}?delay=100&attempts=1`, body, { headers: { 'idempotency-key': path } }))).jobId, jobId);
    }
    await ok(client.post('/api/auth/workflow/document-upload', documentJob));

    await ok(client.post(`${remote}/jobs`, [{ name: 'a', data: {} }, { name: 'b', data: {}, opts: { priority: 2 } }, { name: 'c', data: {}, opts: { delay: 600_000 } }]));
    const { jobs } = await ok(client.post(`${remote}/lease`, { workerId: 'w', max: 2, wait: 5 }));
    assert.equal(jobs.length, 2);
    const [first, second] = jobs;
    await ok(client.post(`${remote}/jobs/${first.id}/heartbeat`, { token: first.token }));
    await ok(client.post(`${remote}/jobs/${first.id}/progress`, { token: first.token, progress: 50 }));
    await ok(client.post(`${remote}/jobs/${first.id}/log`, { token: first.token, line: 'half' }));
    await ok(client.post(`${remote}/jobs/${first.id}/complete`, { token: first.token, returnvalue: 1 }));
    await ok(client.post(`${remote}/jobs/${second.id}/fail`, { token: second.token, reason: 'E: no', retry: false }));
    await ok(client.post(`${remote}/jobs/${second.id}/retry`, {}));
    for (const path of ['', '/remote', '/remote/metrics', '/remote/workers', '/remote/scale', '/remote/explain', '/remote/jobs?state=delayed', `/remote/jobs/${first.id}`, `/remote/jobs/${first.id}/logs`]) {
      await ok(client.get(`/api/queues${path}`));
    }
    await ok(client.post(`${remote}/pause`, { reason: 'a test' }));
    await ok(client.post(`${remote}/resume`, {}));
    await ok(client.post(`${remote}/drain`, { confirm: 'remote' }));
    await ok(client.get('/api/jobs/stats'));
    assert.match((await client.get('/metrics')).text, /sluice_redis_eviction_policy_ok 1/);

    // A neighbour with the same rights on the same queue.
    const connection = new Redis({ port, username: 'sluice', password: PASSWORD, maxRetriesPerRequest: null, tls: {
      ca: readFileSync(file('ca.pem')), cert: readFileSync(file('client.pem')), key: readFileSync(file('client.key')), checkServerIdentity: () => undefined,
    } });
    const queue = new Queue('remote', { connection });
    const worker = new Worker('remote', async () => 'done', { connection });
    const { id } = await queue.add('n', {});
    assert.equal((await ended('remote', id)).returnvalue, 'done');
    await worker.close();
    await queue.close();
    connection.disconnect();

    await assertNothingRefused(redis);
    await sluice.stop();
    await redis.stop();
  });

  test('the same of records, audit, events, flows, groups of HTTP workers, actions on many jobs, and the doctor', async () => {
    const [{ redis, url }, pg] = await Promise.all([startGuarded(), startPostgres()]);
    const SLUICE_QUEUES = declare({ name: 'remote', processor: 'none', attempts: 1, removeOnComplete: true });
    const env = { ...credentials('client'), REDIS_URL: url, SLUICE_QUEUES };
    const sluice = await startSluice({ env: { ...env, SLUICE_RECORDS: 'on', DATABASE_URL: pg.url, SLUICE_NOTIFY_DRY_RUN: '1' } });
    const { client } = sluice;
    const ok = async (promise) => {
      const { status, json, text } = await promise;
      assert.ok(status < 300, text);
      return json;
    };
    const remote = '/api/queues/remote';
    const add = async (n, opts) => (await ok(client.post(`${remote}/jobs`, Array.from({ length: n }, (_, i) => ({ name: 'r', data: { i }, opts }))))).results.map(({ jobId }) => jobId);
    const take = async (max) => (await ok(client.post(`${remote}/lease`, { workerId: 'w', max, wait: 10 }))).jobs;
    await sluice.logged('postgres_up', {}, { timeout: 60_000 });

    // Events, as they come and again from where the listener left off.
    const listener = await listen(client, '/api/events?queue=remote');
    await add(4);
    const [one, two, three, four] = await take(4);
    const seen = await eventually(() => listener.events.find(({ type }) => type === 'active') ?? null, { what: 'an event' });
    listener.close();
    const again = await listen(client, '/api/events?queue=remote', { headers: { 'last-event-id': seen.id } });
    await ok(client.post(`${remote}/jobs/${one.id}/complete`, { token: one.token, returnvalue: 1 }));
    await eventually(() => again.events.some(({ type }) => type === 'completed'), { what: 'a later event' });
    again.close();

    // Groups of workers' calls; the records of what they have ended, also through the outbox of a job that Redis has no more.
    await ok(client.post(`${remote}/heartbeat`, { jobs: [{ id: two.id, token: two.token }, { id: three.id, token: three.token }] }));
    await ok(client.post(`${remote}/finish`, { jobs: [{ id: two.id, token: two.token, returnvalue: 2 }, { id: three.id, token: three.token, reason: 'E: no', retry: false }] }));
    await ok(client.post(`${remote}/jobs/${four.id}/release`, { token: four.token }));
    await eventually(async () => (await client.get(`/api/jobs/status/remote/${two.id}`)).json.source === 'archive', { timeout: 30_000, what: 'a record' });
    await ok(client.get('/api/records?queue=remote'));
    await ok(client.get('/api/records/errors'));
    await ok(client.post('/api/jobs/status', { jobs: [one, two, three].map(({ id }) => ({ queue: 'remote', jobId: id })) }));

    // Lines, a flow and its tree, waiting for an end, cancelling.
    assert.equal((await client.post(`${remote}/jobs`, '{"name":"l","data":{}}\n', { headers: { 'content-type': 'application/x-ndjson' } })).status, 200);
    const flow = await ok(client.post('/api/auth/workflow/document-upload', documentJob));
    await ok(client.get(`/api/queues/notifications/jobs/${flow.jobId}/flow`));
    await ok(client.get(`/api/jobs/status/notifications/${flow.jobId}`, { headers: { prefer: 'wait=1' } }));
    const [later, other] = await add(2, { delay: 600_000 });
    await ok(client.post(`${remote}/jobs/${later}/cancel`, {}));
    await ok(client.request('PATCH', `${remote}/jobs/${other}`, { body: { data: { changed: true } } }));
    await ok(client.post(`${remote}/jobs/${other}/promote`, {}));
    await ok(client.post(`${remote}/jobs/${other}/remove`, {}));
    await ok(client.get(`${remote}/jobs/${three.id}/explain`));

    // Actions on many.
    const filter = { state: 'failed' };
    await ok(client.post(`${remote}/bulk`, { action: 'retry', filter, dryRun: true }));
    const task = await ok(client.post(`${remote}/bulk`, { action: 'retry', filter, confirm: 'remote' }));
    await eventually(async () => !['queued', 'running'].includes((await client.get(`/api/tasks/${task.id}`)).json.state), { what: 'the end of the task' });
    await ok(client.post(`${remote}/clean`, { state: 'waiting', confirm: 'remote' }));
    await eventually(async () => (await client.get('/api/audit?limit=1')).json.items?.length === 1, { timeout: 30_000, what: 'the audit trail' });

    const doctor = await runSluice(['doctor', '--queues', '--fix'], { env });
    assert.equal(doctor.code, 0, doctor.text);
    await assertNothingRefused(redis);
    await sluice.stop();
    await redis.stop();
    await pg.stop();
  });

  test('that user may not do what harms others', async () => {
    const { redis, url } = await startGuarded();
    const attempts = [['FLUSHALL'], ['KEYS', '*'], ['CONFIG', 'SET', 'maxmemory', '1'], ['ACL', 'WHOAMI'], ['SHUTDOWN'], ['GET', 'other:key'], ['DEBUG', 'SLEEP', '0'], ['PUBLISH', 'x', 'y'], ['MONITOR'], ['CLIENT', 'KILL', 'ID', '1']];
    for (const command of attempts) assert.match(await redis.admin.acl('DRYRUN', 'sluice', ...command), /^This user has no permissions/, command.join(' '));
    const { code, text } = await runSluice(['doctor'], { env: { ...credentials('client'), REDIS_URL: url } });
    assert.ok([0, 1].includes(code) && !/NOPERM/.test(text), text);
    await redis.stop();
  });

  test('sentinels and the master that they name, all over TLS', async () => {
    const { redis, port } = await startGuarded();
    const at = await freePort();
    const conf = join(temporaryFolder('sluice-sentinel'), 'sentinel.conf');
    const [, rules] = /^user sluice (.*)$/m.exec(readFileSync(join(ROOT, 'examples/redis/sentinel.acl'), 'utf8'));
    writeFileSync(conf, `${[
      'port 0', `tls-port ${at}`, 'bind 127.0.0.1', 'tls-replication yes', `tls-cert-file ${file('server.pem')}`, `tls-key-file ${file('server.key')}`,
      `tls-ca-cert-file ${file('ca.pem')}`, `sentinel monitor mymaster 127.0.0.1 ${port} 1`, `user sluice ${rules}`,
    ].join('\n')}\n`);
    const sentinel = new Child('redis-server', [conf, '--sentinel']);
    const sluice = await startSluice({ env: {
      ...credentials('client'), REDIS_TLS: '1', REDIS_SENTINELS: `127.0.0.1:${at}`, REDIS_USERNAME: 'sluice', REDIS_PASSWORD: PASSWORD,
      REDIS_SENTINEL_USERNAME: 'sluice', REDIS_SENTINEL_PASSWORD: PASSWORD, SLUICE_ROLE: 'api',
    } });
    const added = await eventually(async () => {
      const answer = await sluice.client.post('/api/jobs/notifications', notification);
      return answer.status === 201 && answer;
    }, { timeout: 30_000, what: 'an accepted job' });
    assert.equal(added.status, 201);
    assert.equal((await sluice.logged('redis_up')).redis, `rediss://127.0.0.1:${port}/0`);
    await sluice.stop();
    sentinel.signal('SIGTERM');
    await sentinel.end(10_000);
    await redis.stop();
  });

  test('nobody comes in with a certificate by somebody else', async () => {
    const { redis, url } = await startGuarded();
    const sluice = await startSluice({ env: { ...credentials('stranger'), REDIS_URL: url }, allow: [/redis/] });
    const { status, json } = await sluice.client.post('/api/jobs/notifications', notification);
    assert.equal(status, 503);
    assert.equal(json.code, 'redis-unavailable');
    await sluice.stop();
    await redis.stop();
  });
});
