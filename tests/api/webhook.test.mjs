// Jobs delivered to a URL: what is sent, and what each answer makes of the job.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Webhook } from 'standardwebhooks';
import { declare, eventually, runSluice, startSluice, temporaryFolder } from './harness/index.mjs';
import { startReceiver } from './harness/standins.mjs';

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const OLD_SECRET = `whsec_${randomBytes(24).toString('base64')}`;
const FAST = { attempts: 2, backoff: { type: 'fixed', delay: 20 }, removeOnFail: { count: 1000 } };

let receiver;
let forbidden;
let sluice;
let queueNumber = 0;

before(async () => {
  receiver = await startReceiver();
  forbidden = await startReceiver();
  const secretFile = join(temporaryFolder(), 'secret');
  writeFileSync(secretFile, `${SECRET}\n${OLD_SECRET}\n`);
  const hook = (name, webhook, more = {}) => ({ name, processor: 'webhook', ...FAST, ...more, webhook: { url: `${receiver.url}/${name}`, ...webhook } });
  sluice = await startSluice({
    env: {
      SLUICE_FETCH_ALLOW: receiver.allow,
      SLUICE_QUEUES: declare(
        hook('hook', { secretFile }), hook('plain', {}), hook('slow', { timeout: 200 }, { attempts: 1 }), hook('gone', { url: 'http://127.0.0.1:9/' }),
        hook('inside', { url: `${forbidden.url}/` }), hook('long', { secret: SECRET }, { concurrency: 1 }), hook('brief', { secret: SECRET }, { lockDuration: 800, stalledInterval: 300, maxStalledCount: 100 }),
      ),
    },
  });
});
after(async () => {
  await sluice.stop();
  await receiver.close();
  await forbidden.close();
});

async function add(data = { n: 1 }, name = 'hook') {
  const { status, json, text } = await sluice.client.post(`/api/queues/${name}/jobs`, { name: 'deliver', data, opts: { jobId: `j${queueNumber++}` } });
  assert.equal(status, 201, text);
  return json.jobId;
}

const status = async (id, name = 'hook') => (await sluice.client.get(`/api/jobs/status/${name}/${id}`)).json;
const ended = (id, name = 'hook') => eventually(async () => {
  const job = await status(id, name);
  return ['completed', 'failed'].includes(job.state) ? job : null;
}, { what: `the end of ${id}` });

// Adds a job and answers its deliveries so; the job at its end, and the deliveries.
async function deliver(answer, { name = 'hook', data } = {}) {
  receiver.answer = typeof answer === 'function' ? answer : () => answer;
  const from = receiver.requests.length;
  const job = await ended(await add(data, name), name);
  return { job, deliveries: receiver.requests.slice(from) };
}

describe('a delivery', () => {
  test('is the job as JSON, signed under every secret', async () => {
    const { job, deliveries: [seen] } = await deliver({ status: 200, body: '{"ok":1}' }, { data: { a: [], big: 0.1, s: 'ü' } });
    assert.equal(seen.method, 'POST');
    assert.equal(seen.path, '/hook');
    assert.equal(seen.headers['content-type'], 'application/json');
    const { type, data } = JSON.parse(seen.text);
    assert.equal(type, 'job');
    assert.deepEqual(data, {
      id: job.id, queue: 'hook', name: 'deliver', data: { a: [], big: 0.1, s: 'ü' }, attempt: 1, attempts: 2, timestamp: job.timestamp, org: 'default',
    });
    for (const secret of [SECRET, OLD_SECRET]) assert.doesNotThrow(() => new Webhook(secret).verify(seen.text, seen.headers));
    assert.throws(() => new Webhook(`whsec_${randomBytes(32).toString('base64')}`).verify(seen.text, seen.headers));
    assert.throws(() => new Webhook(SECRET).verify(`${seen.text} `, seen.headers));
    assert.match(seen.headers['webhook-id'], /^msg_[0-9a-f]{32}$/);
    assert.ok(Number(seen.headers['sluice-lock-expires-at']) > Date.now());
  });

  test('without a secret is not signed', async () => {
    const { deliveries: [seen] } = await deliver({ status: 200 }, { name: 'plain' });
    assert.equal(seen.headers['webhook-signature'], undefined);
    assert.match(seen.headers['webhook-id'], /^msg_/);
  });

  test('keeps its id when it is repeated', async () => {
    let failures = 1;
    const { job, deliveries } = await deliver(() => ({ status: failures-- > 0 ? 500 : 200 }));
    assert.equal(job.state, 'completed');
    assert.equal(deliveries.length, 2);
    assert.equal(new Set(deliveries.map(({ headers }) => headers['webhook-id'])).size, 1);
  });
});

describe('the answer', () => {
  for (const [what, body, returned] of [['JSON', '{"width":10}', { width: 10 }], ['text', 'done, thanks', 'done, thanks'], ['nothing', '', null]]) {
    test(`2xx with ${what} completes the job`, async () => {
      const { job } = await deliver({ status: 200, body });
      assert.equal(job.state, 'completed');
      assert.deepEqual(job.returnvalue, returned);
    });
  }

  for (const code of [400, 404, 410, 422]) {
    test(`${code} fails it at once`, async () => {
      const { job, deliveries } = await deliver({ status: code });
      assert.deepEqual([job.state, job.failedReason], ['failed', `WEBHOOK_REFUSED: the receiver answered ${code}`]);
      assert.equal(deliveries.length, 1);
    });
  }

  for (const code of [302, 408, 429, 500, 503]) {
    test(`${code} is tried again by the job's policy`, async () => {
      const { job, deliveries } = await deliver({ status: code, headers: { location: `${forbidden.url}/` } });
      assert.deepEqual([job.state, job.failedReason, job.attemptsMade], ['failed', `WEBHOOK_FAILED: the receiver answered ${code}`, 2]);
      assert.equal(deliveries.length, 2);
      assert.deepEqual(deliveries.map(({ text }) => JSON.parse(text).data.attempt), [1, 2]);
    });
  }

  for (const code of [408, 429, 503]) {
    test(`${code} with Retry-After waits so long and spares the attempt`, async () => {
      let first = 0;
      const { job, deliveries } = await deliver(() => {
        if (first) return { status: 200, body: String(Date.now() - first) };
        first = Date.now();
        return { status: code, headers: { 'retry-after': '1' } };
      });
      assert.equal(job.state, 'completed');
      assert.ok(job.returnvalue >= 950, `tried again after ${job.returnvalue} ms`);
      assert.equal(job.attemptsMade, 1);
      assert.deepEqual(deliveries.map(({ text }) => JSON.parse(text).data.attempt), [1, 1]);
    });
  }

  test('too large is not kept', async () => {
    const { job } = await deliver({ status: 200, body: 'x'.repeat(70_000) });
    assert.match(job.failedReason, /^RESULT_TOO_LARGE: /);
  });

  test('none in the time fails the attempt, as does a broken connection', async () => {
    assert.match((await deliver('hang', { name: 'slow' })).job.failedReason, /^WEBHOOK_UNREACHABLE: /);
    const { job, deliveries } = await deliver('drop');
    assert.match(job.failedReason, /^WEBHOOK_UNREACHABLE: /);
    assert.equal(deliveries.length, 2);
  });
});

test('an address inside is refused when it is connected to, and so is a redirect to it', async () => {
  for (const name of ['inside', 'gone']) {
    const job = await ended(await add({}, name), name);
    assert.match(job.failedReason, /^WEBHOOK_DENIED: /);
    assert.equal(job.attemptsMade, 1);
  }
  assert.equal(forbidden.requests.length, 0);
});

describe('202', () => {
  const worker = () => sluice.as({ sub: 'receiver', roles: ['worker'] });
  const tell = (job, what, body) => worker().post(`/api/queues/${job.name}/jobs/${job.id}/${what}`, { token: job.token, ...body });

  async function accepted(name = 'long') {
    receiver.answer = () => ({ status: 202 });
    const from = receiver.requests.length;
    const id = await add({}, name);
    await sluice.logged('job_handed_over', { jobId: id });
    return { id, name, token: receiver.requests[from].headers['sluice-job-token'] };
  }

  test('hands the job over: the slot is free, the token ends the job', async () => {
    const first = await accepted();
    const second = await accepted();
    assert.deepEqual([(await status(first.id, 'long')).state, (await status(second.id, 'long')).state], ['active', 'active']);
    assert.equal((await tell(first, 'heartbeat')).json.cancel, false);
    assert.equal((await tell(second, 'progress', { progress: 50 })).status, 200);
    assert.equal((await tell(first, 'complete', { returnvalue: 'late' })).json.state, 'completed');
    assert.equal((await tell(second, 'fail', { reason: 'NO: thanks', retry: false })).json.state, 'failed');
    assert.equal((await status(first.id, 'long')).returnvalue, 'late');
    assert.equal((await tell(first, 'complete', { returnvalue: 'later' })).status, 200);
    assert.equal((await status(first.id, 'long')).returnvalue, 'late');
    assert.equal((await tell(second, 'complete')).status, 409);
  });

  test('and no heartbeat: it is delivered once more', async () => {
    const job = await accepted('brief');
    const from = receiver.requests.length;
    receiver.answer = () => ({ status: 200, body: '"second"' });
    assert.equal((await ended(job.id, 'brief')).returnvalue, 'second');
    assert.equal(receiver.requests.length, from + 1);
    assert.equal((await tell(job, 'complete')).status, 409);
  });

  test('cancelling reaches whoever took it over', async () => {
    const job = await accepted();
    assert.equal((await sluice.client.post(`/api/queues/long/jobs/${job.id}/cancel`)).json.outcome, 'signalled');
    assert.equal((await tell(job, 'heartbeat')).json.cancel, true);
    assert.equal((await tell(job, 'release')).json.state, 'failed');
    assert.match((await status(job.id, 'long')).failedReason, /^CANCELLED: /);
  });

  test('its token and the secrets are in no log line', () => {
    const tokens = receiver.requests.map(({ headers }) => headers['sluice-job-token']);
    for (const secret of [...tokens, SECRET, OLD_SECRET]) assert.equal(sluice.child.lines.some((line) => line.includes(secret)), false);
  });
});

test('a declaration that cannot be used says what is wrong, and not the secret', async () => {
  const rows = [
    [{ name: 'a', processor: 'webhook' }, /"webhook"/],
    [{ name: 'a', processor: 'webhook', webhook: { url: 'ftp://example.org/' } }, /http:\/\//],
    [{ name: 'a', processor: 'webhook', webhook: { url: 'http://example.org/', secret: 'hunter2-hunter2' } }, /whsec_/],
    [{ name: 'a', processor: 'webhook', webhook: { url: 'http://example.org/', secretFile: '/nowhere/secret' } }, /\/nowhere\/secret/],
    [{ name: 'a', processor: 'webhook', webhook: { url: 'http://example.org/', method: 'PUT' } }, /webhook/],
  ];
  for (const [queue, says] of rows) {
    const { code, text } = await runSluice(['serve'], { env: { SLUICE_QUEUES: declare(queue), PORT: '0', DATA_DIR: temporaryFolder() } });
    assert.notEqual(code, 0);
    assert.match(text, says);
    assert.doesNotMatch(text, /hunter2/);
  }
});
