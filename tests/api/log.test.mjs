// What is written into the log, and what never is.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { describe, test } from 'node:test';
import {
  analysis, Child, cleanEnvironment, documentJob, eventually, makeToken, notification, SLUICE, startRedis, startSluice, temporaryFolder,
} from './harness/index.mjs';

const OCTETS = { 'content-type': 'application/octet-stream' };

async function start(t, options) {
  const sluice = await startSluice(options);
  t.after(() => sluice.child.running && sluice.kill());
  return sluice;
}

describe('the log', () => {
  test('has one audit line for every change: who, what, before, after, and with which outcome', async (t) => {
    const sluice = await start(t, { args: ['--role=api'] });
    const client = sluice.as({ roles: ['producer'], sub: 'shop', org: 'acme' });
    const put = (body, headers = {}) => client.put('/api/documents/doc', body, { headers: { ...OCTETS, ...headers } });
    const sha256 = /^[0-9a-f]{64}$/;
    const { etag } = (await put('first')).headers;
    const created = (target, state) => ({ action: 'job.create', target, after: { state, created: true } });
    const added = (body) => client.post('/api/queues/notifications/jobs', body);
    for (const [change, expected] of [
      [() => client.post('/api/jobs/document-processing?jobId=a', documentJob), created('document-processing/a', 'waiting')],
      [() => client.post('/api/jobs/notifications?jobId=a&delay=60000', notification), created('notifications/a', 'delayed')],
      [() => client.post('/api/jobs/compliance-analysis?jobId=a', analysis), created('compliance-analysis/a', 'waiting')],
      [() => added({ data: notification, opts: { jobId: 'b' } }), created('notifications/b', 'waiting')],
      [() => added([{ data: notification }, { data: 1 }]), { action: 'job.create', target: 'notifications', after: { items: 2, created: 1 } }],
      [() => put('second', { 'if-match': etag }), { action: 'document.put', target: 'acme/doc', before: { sha256 }, after: { sha256, bytes: 6 } }],
      [() => client.delete('/api/documents/doc'), { action: 'document.delete', target: 'acme/doc', before: { sha256 } }],
    ]) {
      const { status, headers } = await change();
      const line = await sluice.logged('audit', { requestId: headers['x-request-id'] });
      assert.deepEqual([line.sub, line.org, line.status, line.ip], ['shop', 'acme', status, '127.0.0.1']);
      const { action, target, ...states } = expected;
      assert.deepEqual([line.action, line.target], [action, target]);
      for (const [when, fields] of Object.entries(states)) {
        for (const [name, value] of Object.entries(fields)) {
          if (value instanceof RegExp) assert.match(line[when][name], value);
          else assert.equal(line[when][name], value);
        }
      }
      assert.equal(sluice.logs.filter((entry) => entry.event === 'audit' && entry.requestId === line.requestId).length, 1);
    }
    const { headers } = await client.get('/api/jobs/status/notifications/a');
    await sluice.logged('http_request', { requestId: headers['x-request-id'] });
    assert.ok(!sluice.logs.some((entry) => entry.event === 'audit' && entry.requestId === headers['x-request-id']), 'reading is no change');
    await sluice.stop();
  });

  test('never has a secret: no key, no password, no token, no job\'s data, at any level', async (t) => {
    const password = randomBytes(16).toString('hex');
    const redis = await startRedis({ password });
    t.after(() => redis.stop());
    const sluice = await start(t, { env: { REDIS_URL: redis.url, LOG_LEVEL: 'debug' } });
    const [token, forged] = [sluice.client.token, makeToken('x'.repeat(40))];
    await sluice.client.post('/api/jobs/notifications', { ...notification, message: 'PRIVATE-MESSAGE', metadata: { password: 'PRIVATE-PASSWORD' } });
    await sluice.client.post('/api/jobs/notifications', { ...notification, type: 'PRIVATE-TYPE' });
    await sluice.client.as(forged).get('/api/jobs/stats');
    await sluice.client.get(`/api/jobs/stats?access_token=${token}`);
    await sluice.client.put('/api/documents/doc', 'PRIVATE-BYTES', { headers: OCTETS });
    await sluice.client.get('/readyz?verbose');
    await sluice.stop();
    const text = sluice.child.lines.join('\n');
    for (const secret of [sluice.secret, password, token.split('.')[2], forged.split('.')[2], 'PRIVATE-']) assert.ok(!text.includes(secret));
  });

  test('in text form is one line for each event, the first with the address', async (t) => {
    const child = new Child(SLUICE, ['serve', '--role=api'], {
      cwd: temporaryFolder(), env: cleanEnvironment({ PORT: '0', DATA_DIR: temporaryFolder(), LOG_FORMAT: 'text' }),
    });
    t.after(() => child.running && child.killGroup('SIGKILL'));
    const [, url] = await eventually(() => /listening url=(http:\/\/\S+)/.exec(child.lines[0] ?? ''), { timeout: 20_000, what: 'the address' });
    const status = await new Promise((resolve, reject) => request(`${url}/livez`, (answer) => resolve(answer.resume().statusCode)).on('error', reject).end());
    assert.equal(status, 200);
    child.signal('SIGTERM');
    assert.equal((await child.end(20_000)).code, 0);
    for (const line of child.lines) assert.match(line, /^\d\d:\d\d:\d\d\.\d{3} (DEBUG|INFO |WARN |ERROR) \w+/);
  });
});
