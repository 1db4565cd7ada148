// kill -9 around the moment at which a mail is accepted: what the ledger has recorded is never sent again, and what it could not record is
// repeated once and says so.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { declare, eventually, temporaryFolder } from '../api/harness/index.mjs';
import { settled, startMailServer } from '../api/harness/standins.mjs';
import { LONG, durableRedis, gateway, startMonitor } from './support.mjs';

const ROUNDS = LONG ? 200 : 50;

async function world(t, policy = 'retry') {
  const mail = await startMailServer();
  t.after(() => mail.close());
  const redis = await durableRedis(t);
  const book = join(temporaryFolder(), 'users.json');
  writeFileSync(book, JSON.stringify({ users: { u1: { email: 'u1@example.org' } } }));
  const sluice = await gateway(t, { env: {
    REDIS_URL: redis.url, SLUICE_SMTP_URL: mail.url, SLUICE_SMTP_STARTTLS: 'off', SLUICE_SMTP_FROM: 'sluice@example.com',
    SLUICE_NOTIFY_DIRECTORY: `file:${book}`, SLUICE_NOTIFY_AMBIGUOUS_EMAIL: policy,
    SLUICE_QUEUES: declare({ name: 'notifications', lockDuration: 1000, stalledInterval: 300, maxStalledCount: 10, attempts: 3, backoff: { type: 'fixed', delay: 50 } }),
  } });
  return { mail, redis, sluice };
}

async function notify(sluice) {
  const { status, json } = await sluice.client.post('/api/jobs/notifications', { userId: 'u1', type: 'email', subject: 's', message: 'm' });
  assert.equal(status, 201);
  return json;
}

// The ledger's words about the job.
async function entries(redis, jobId) {
  const keys = await redis.admin.keys(`bull:notify:notifications:${jobId}:*`);
  return (await Promise.all(keys.map((key) => redis.admin.hvals(key)))).flat().map((text) => text.split('|')[0]);
}

const messageIds = (mail, jobId) => mail.arrived.map(({ parsed }) => parsed.messageId).filter((id) => id.includes(`.notifications.${jobId}.`));

test('killed at the instant of the record: no second mail', async (t) => {
  const { mail, redis, sluice } = await world(t);
  let before = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const monitor = await startMonitor(t, redis);
    const job = await notify(sluice);
    await monitor.until(/"HSET" "[^"]*" "[^"]*" "sent\|/i);
    await sluice.kill();
    monitor.close();
    assert.deepEqual(await entries(redis, job.jobId), ['sent']);
    const unfinished = !(await redis.admin.zscore('bull:notifications:completed', job.jobId));
    before += unfinished;
    await sluice.start();
    const { state, failedReason, returnvalue } = await settled(sluice, job);
    assert.equal(state, 'completed', failedReason);
    assert.equal(returnvalue.possibleDuplicate, false);
    assert.equal(messageIds(mail, job.jobId).length, 1);
    assert.equal(returnvalue.targets[0].providerId, messageIds(mail, job.jobId)[0]);
  }
  t.diagnostic(`${before} of ${ROUNDS} kills came before the job was finished`);
  assert.ok(before > 0, 'no kill came between the record and the end of the job');
  await sluice.stop();
});

// The mail has arrived whole, and the server has not answered yet.
async function killUnanswered({ mail, redis, sluice }) {
  let arrived;
  const whole = new Promise((resolve) => (arrived = resolve));
  mail.onMessage = () => (arrived(), 'hang');
  const job = await notify(sluice);
  await whole;
  assert.deepEqual(await entries(redis, job.jobId), ['sending']);
  await sluice.kill();
  mail.onMessage = () => {};
  await sluice.start();
  return { job, ended: await settled(sluice, job) };
}

test('killed before the record: the mail is sent once more, under the same id, and the result says so', async (t) => {
  const all = await world(t);
  const { job, ended } = await killUnanswered(all);
  assert.equal(ended.state, 'completed', ended.failedReason);
  assert.equal(ended.returnvalue.possibleDuplicate, true);
  const ids = messageIds(all.mail, job.jobId);
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
  await all.sluice.stop();
});

test('killed before the record, under the policy "fail": it is not sent again', async (t) => {
  const all = await world(t, 'fail');
  const { job, ended } = await killUnanswered(all);
  assert.equal(ended.state, 'failed');
  assert.match(ended.failedReason, /^AMBIGUOUS: /);
  assert.equal(messageIds(all.mail, job.jobId).length, 1);
  await all.sluice.stop();
});

test('a job whose lock is being held while Redis is silent records its mail when Redis is back', async (t) => {
  const { mail, redis, sluice } = await world(t);
  mail.onMessage = () => redis.pause();
  const job = await notify(sluice);
  await eventually(() => mail.mails.length === 1, { what: 'the mail' });
  mail.onMessage = () => {};
  redis.resume();
  const { state, failedReason } = await settled(sluice, job);
  assert.equal(state, 'completed', failedReason);
  assert.deepEqual(await entries(redis, job.jobId), ['sent']);
  assert.equal(messageIds(mail, job.jobId).length, 1);
  await sluice.stop();
});
