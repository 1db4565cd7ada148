// Notifications, from the HTTP call to the provider: every channel against a stand-in that answers in every way that providers do.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FlowProducer, Worker } from 'bullmq';
import { simpleParser } from 'mailparser';
import { Webhook } from 'standardwebhooks';
import { startRedis, startSluice, temporaryFolder } from './harness/index.mjs';
import { settled, startMailServer, startReceiver } from './harness/standins.mjs';

const SECRET = `whsec_${randomBytes(32).toString('base64')}`;
const folder = temporaryFolder();
const queues = join(folder, 'queues.json');
writeFileSync(queues, JSON.stringify({ queues: [{ name: 'notifications', attempts: 3, backoff: { type: 'fixed', delay: 50 }, removeOnFail: { count: 1000 }, removeOnComplete: { count: 1000 } }] }));

function addressBook(users, orgs = {}) {
  const path = join(temporaryFolder(), 'users.json');
  writeFileSync(path, JSON.stringify({ users, orgs }));
  return path;
}

async function notify(sluice, fields) {
  const { status, json } = await sluice.client.post('/api/jobs/notifications', { userId: 'u1', type: 'email', subject: 'Subject', message: 'Message', ...fields });
  assert.equal(status, 201);
  return json;
}

const notified = async (sluice, fields, options) => settled(sluice, await notify(sluice, fields), options);

function assertFailed(job, code, attempts) {
  assert.equal(job.state, 'failed');
  assert.match(job.failedReason, new RegExp(`^${code}: `));
  if (attempts) assert.equal(job.attemptsMade, attempts, job.failedReason);
}

describe('mail', () => {
  let sluice;
  let mail;
  const replies = new Map(); // address -> what RCPT answers, once per entry
  const users = {};
  const user = (name, ...answers) => {
    users[name] = { email: `${name}@example.org` };
    writeFileSync(book, JSON.stringify({ users }));
    replies.set(`${name}@example.org`, answers);
    return name;
  };
  const book = addressBook({});

  before(async () => {
    mail = await startMailServer({ onRecipient: (address) => replies.get(address)?.shift() });
    sluice = await startSluice({ env: {
      SLUICE_QUEUES: queues, SLUICE_SMTP_URL: mail.url, SLUICE_SMTP_STARTTLS: 'off', SLUICE_SMTP_FROM: 'Grüße von Sluice <sluice@example.com>',
      SLUICE_SMTP_HELO: 'gateway.example.com', SLUICE_NOTIFY_DIRECTORY: `file:${book}`, SLUICE_NOTIFY_TIMEOUT: '3s',
    } });
  });
  after(async () => {
    await sluice.stop();
    await mail.close();
  });

  test('arrives as it was written', async () => {
    const job = await notified(sluice, { userId: user('plain') });
    assert.equal(job.state, 'completed', job.failedReason);
    const { targets, sentAt, ...rest } = job.returnvalue;
    assert.deepEqual(rest, { schema: 1, userId: 'plain', type: 'email', status: 'sent', provider: 'smtp', accepted: 1, rejected: 0, possibleDuplicate: false });
    assert.ok(Math.abs(Date.parse(sentAt) - Date.now()) < 60_000);
    const [mailed] = mail.to('plain@example.org');
    assert.equal(targets.length, 1);
    assert.match(targets[0].target, /^hmac:[0-9a-f]{32}$/);
    assert.deepEqual({ state: targets[0].state, code: targets[0].code, providerId: targets[0].providerId }, { state: 'accepted', code: '250', providerId: mailed.parsed.messageId });
    assert.equal(mailed.from, 'sluice@example.com');
    assert.equal(mailed.helo, 'gateway.example.com');
    assert.deepEqual(mailed.parsed.from.value, [{ address: 'sluice@example.com', name: 'Grüße von Sluice' }]);
    assert.equal(mailed.parsed.to.text, 'plain@example.org');
    assert.equal(mailed.parsed.subject, 'Subject');
    assert.equal(mailed.parsed.text.trimEnd(), 'Message');
    assert.equal(mailed.parsed.headers.get('auto-submitted'), 'auto-generated');
    assert.match(mailed.parsed.messageId, /^<sluice\.notifications\.\d+\.\d+@example\.com>$/);
  });

  test('carries every text unharmed', async () => {
    const texts = [
      ['Grüße aus Köln: 日本語 😀', 'Ä\n\nö ü ß — “quoted” 😀\n'],
      ['.', '.\n..\n.\r\n.hidden\nFrom here\n--boundary\n'],
      ['x'.repeat(255), 'y'.repeat(20_000)],
      ['ü'.repeat(255), '€'.repeat(9_000)],
      ['=?utf-8?Q?no?=', 'a=b =3D = \t\nend \n'],
      [' spaces ', `${'word '.repeat(400)}\n\n\nend`],
    ];
    for (const [i, [subject, message]] of texts.entries()) {
      const name = user(`text${i}`);
      const job = await notified(sluice, { userId: name, subject, message });
      assert.equal(job.state, 'completed', job.failedReason);
      const [{ parsed, raw }] = mail.to(`${name}@example.org`);
      assert.equal(parsed.subject, subject.trim() === subject ? subject : parsed.subject);
      assert.equal(parsed.subject.trim(), subject.trim());
      assert.equal(parsed.text.replace(/\n+$/, ''), message.replace(/\r\n?/g, '\n').replace(/\n+$/, ''));
      assert.ok(raw.toString('latin1').split('\r\n').every((line) => line.length <= 78 && !/[\r\n]/.test(line)));
      assert.ok(raw.every((byte) => byte < 128));
    }
  });

  test('cannot be given further headers, recipients or messages', async () => {
    const message = 'a\r\n.\r\nMAIL FROM:<evil@example.net>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\n\n.\n\r.\rQUIT\r\n';
    const name = user('careful');
    const job = await notified(sluice, { userId: name, subject: 'x =?utf-8?B?DQpCY2M6IHY=?= Bcc: victim@example.net', message });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(mail.to(`${name}@example.org`).length, 1);
    const [{ parsed }] = mail.to(`${name}@example.org`);
    assert.deepEqual([...parsed.headers.keys()].sort(), ['auto-submitted', 'content-transfer-encoding', 'content-type', 'date', 'from', 'message-id', 'mime-version', 'subject', 'to']);
    assert.equal(parsed.text.trimEnd(), message.replace(/\r\n?/g, '\n').trimEnd());
    assert.ok(!mail.recipients.includes('victim@example.net'));
  });

  test('to an address that is none fails at once, and nothing is sent', async () => {
    const seen = mail.recipients.length;
    for (const email of ['a@b\r\nRCPT TO:<evil@x>', 'a b@c', 'a@b, c@d', '"a"@b', 'ü@example.org', '', 7, { a: 1 }, ['a@b', 'evil']]) {
      users.wrong = { email };
      writeFileSync(book, JSON.stringify({ users }));
      assertFailed(await notified(sluice, { userId: 'wrong' }), 'INVALID_ADDRESS', 1);
    }
    assert.equal(mail.recipients.length, seen);
  });

  test('to nobody says which of both is missing', async () => {
    users.silent = { phone: '+4915112345678' };
    writeFileSync(book, JSON.stringify({ users }));
    assertFailed(await notified(sluice, { userId: 'nobody' }), 'RECIPIENT_NOT_FOUND', 1);
    assertFailed(await notified(sluice, { userId: 'silent' }), 'NO_ADDRESS', 1);
  });

  test('that is refused for now is tried again, under the same Message-ID', async () => {
    for (const code of [421, 450, 451, 452, 500, 454]) {
      const name = user(`later${code}`, { code, text: 'later' });
      const job = await notified(sluice, { userId: name });
      assert.equal(job.state, 'completed', `${code}: ${job.failedReason}`);
      assert.equal(job.attemptsMade, 2, `after ${code}`);
      assert.equal(job.returnvalue.possibleDuplicate, false);
      assert.equal(mail.to(`${name}@example.org`).length, 1);
    }
    const name = user('never', ...Array(3).fill({ code: 450, text: '4.2.2 full' }));
    const job = await notified(sluice, { userId: name });
    assertFailed(job, 'REJECTED_TRANSIENT', 3);
    assert.match(job.failedReason, /450 4\.2\.2/);
  });

  test('that is refused for good is not', async () => {
    for (const [code, expected] of [[550, 'REJECTED_PERMANENT'], [551, 'REJECTED_PERMANENT'], [553, 'REJECTED_PERMANENT'], [552, 'REJECTED_PERMANENT'], [523, 'MESSAGE_TOO_LARGE']]) {
      const name = user(`never${code}`, { code, text: '5.1.1 no such user' }, { code });
      assertFailed(await notified(sluice, { userId: name }), expected, 1);
      assert.equal(mail.recipients.filter((address) => address === `${name}@example.org`).length, 1);
    }
  });

  test('that is greylisted waits without using up an attempt', async () => {
    const name = user('grey', { code: 451, text: '4.7.1 greylisted' });
    const job = await notified(sluice, { userId: name }, { until: ({ state }) => state === 'delayed' });
    assert.equal(job.attemptsMade, 0);
    assert.ok(job.delay > 50_000 && job.delay <= 60_000, `delay ${job.delay}`);
  });

  test('to several addresses is one transaction each, and only the rest is tried again', async () => {
    users.several = { email: ['one@example.org', 'two@example.org', 'three@example.org'] };
    writeFileSync(book, JSON.stringify({ users }));
    replies.set('two@example.org', [{ code: 450, text: 'later' }]);
    replies.set('three@example.org', [{ code: 550, text: '5.1.1 none' }, { code: 550 }]);
    const { returnvalue, attemptsMade } = await notified(sluice, { userId: 'several' });
    assert.equal(attemptsMade, 2);
    assert.deepEqual(returnvalue.targets.map(({ state, code, error }) => [state, code, error]), [
      ['accepted', '250', undefined], ['accepted', '250', undefined], ['rejected', '550', 'REJECTED_PERMANENT'],
    ]);
    assert.deepEqual([returnvalue.status, returnvalue.accepted, returnvalue.rejected], ['partial', 2, 1]);
    assert.deepEqual(['one', 'two', 'three'].map((name) => mail.recipients.filter((address) => address === `${name}@example.org`).length), [1, 2, 1]);
    assert.ok(mail.mails.every(({ to }) => to.length === 1));
  });

  test('whose fate is unknown is sent once more, then given up', async () => {
    mail.onMessage = ({ to }) => (to[0].startsWith('lost-once') && mail.arrived.filter((one) => one.to[0] === to[0]).length === 1) || to[0].startsWith('lost-twice') ? 'drop' : undefined;
    const once = await notified(sluice, { userId: user('lost-once') });
    assert.equal(once.state, 'completed', once.failedReason);
    assert.equal(once.returnvalue.possibleDuplicate, true);
    const [first, second] = mail.arrived.filter(({ to }) => to[0] === 'lost-once@example.org');
    assert.equal(first.parsed.messageId, second.parsed.messageId);
    assertFailed(await notified(sluice, { userId: user('lost-twice') }), 'AMBIGUOUS', 2);
    assert.equal(mail.arrived.filter(({ to }) => to[0] === 'lost-twice@example.org').length, 2);
    mail.onMessage = () => {};
  });

  test('to a server that does not answer ends within its time', async () => {
    const name = user('slow', 'hang');
    const job = await notified(sluice, { userId: name });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(job.attemptsMade, 2);
    assert.equal(job.returnvalue.possibleDuplicate, false); // no word of the message had left
  });

  test('neither log nor result names an address or the message', async () => {
    const name = user('private');
    const job = await notified(sluice, { userId: name, subject: 'Very-Secret-Subject', message: 'Very-Secret-Message' });
    const told = JSON.stringify(job.returnvalue) + JSON.stringify(job.stacktrace) + sluice.child.lines.join('\n');
    assert.doesNotMatch(told, /private@example\.org|Very-Secret/);
  });
});

describe('mail under encryption', () => {
  const key = join(folder, 'key.pem');
  const cert = join(folder, 'cert.pem');
  let tls;
  let env;

  before(() => {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', cert, '-days', '2', '-subj', '/CN=localhost',
      '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'], { stdio: 'ignore' });
    tls = { key: readFileSync(key), cert: readFileSync(cert) };
    env = { SLUICE_QUEUES: queues, SLUICE_SMTP_FROM: 'sluice@example.com', SLUICE_NOTIFY_DIRECTORY: `file:${addressBook({ u1: { email: 'u1@example.org' } })}` };
  });

  async function exchange(mail, settings) {
    const sluice = await startSluice({ env: { ...env, SLUICE_SMTP_URL: mail.url, ...settings } });
    const job = await notified(sluice, {});
    await sluice.stop();
    await mail.close();
    return job;
  }
  const onAuth = (auth, session, callback) => (auth.username === 'sluice' && auth.password === 'right' ? callback(null, { user: 'sluice' }) : callback(Object.assign(new Error('no'), { responseCode: 535 })));

  test('STARTTLS and AUTH', async () => {
    const mail = await startMailServer({ ...tls, onAuth, authOptional: false });
    const job = await exchange(mail, { SLUICE_FETCH_CA_FILE: cert, SLUICE_SMTP_USER: 'sluice', SLUICE_SMTP_PASSWORD: 'right' });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.deepEqual([mail.mails[0].user, mail.mails[0].secure], ['sluice', true]);
  });

  test('TLS from the first byte', async () => {
    const mail = await startMailServer({ ...tls, secure: true });
    mail.url = mail.url.replace('smtp:', 'smtps:');
    const job = await exchange(mail, { SLUICE_FETCH_CA_FILE: cert });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(mail.mails[0].secure, true);
  });

  test('wrong credentials are the channel\'s fault and are tried again', async () => {
    const mail = await startMailServer({ ...tls, onAuth, authOptional: false });
    assertFailed(await exchange(mail, { SLUICE_FETCH_CA_FILE: cert, SLUICE_SMTP_USER: 'sluice', SLUICE_SMTP_PASSWORD: 'wrong' }), 'AUTH_FAILED', 3);
    assert.equal(mail.mails.length, 0);
  });

  test('what must be encrypted is not sent without, nor to a stranger', async () => {
    const plain = await startMailServer();
    assertFailed(await exchange(plain, {}), 'CONNECT_FAILED', 3);
    assert.equal(plain.mails.length, 0);
    const stranger = await startMailServer(tls);
    assertFailed(await exchange(stranger, {}), 'CONNECT_FAILED', 3);
    assert.equal(stranger.mails.length, 0);
  });

  test('opportunistic takes what there is', async () => {
    for (const options of [{}, tls]) {
      const mail = await startMailServer(options);
      const job = await exchange(mail, { SLUICE_FETCH_CA_FILE: cert, SLUICE_SMTP_STARTTLS: 'opportunistic' });
      assert.equal(job.state, 'completed', job.failedReason);
      assert.equal(mail.mails[0].secure, Boolean(options.key));
    }
  });
});

describe('messages over HTTP', () => {
  let sluice;
  let redis;
  let receiver;
  const answers = new Map(); // path -> what is answered, in order; the last one stays
  const paths = (path) => receiver.requests.filter((request) => request.path === path);

  before(async () => {
    receiver = await startReceiver(({ path }) => {
      const list = answers.get(path) ?? [{ status: 200, body: 'ok' }];
      return list.length > 1 ? list.shift() : list[0];
    });
    redis = await startRedis();
    sluice = await startSluice({ env: {
      REDIS_URL: redis.url, SLUICE_QUEUES: queues, SLUICE_FETCH_ALLOW: receiver.allow, SLUICE_NOTIFY_TIMEOUT: '3s',
      SLUICE_SLACK_WEBHOOK_URL: `${receiver.url}/slack`, SLUICE_NOTIFY_WEBHOOK_SECRET: SECRET, SLUICE_PUSH_WEBHOOK_URL: `${receiver.url}/push`,
      SLUICE_SMS_API_BASE: receiver.url, SLUICE_SMS_ACCOUNT_SID: 'AC1', SLUICE_SMS_AUTH_TOKEN: 'token', SLUICE_SMS_FROM: '+15005550006',
    } });
  });
  after(async () => {
    await sluice.stop();
    await redis.stop();
    await receiver.close();
  });

  const user = (name, fields, org) => redis.admin.hset(org ? `bull:notify:org:${org}:user:${name}` : `bull:notify:user:${name}`, fields);
  let count = 0;
  // A user whose webhook answers with the list, one after the other.
  async function webhookUser(...list) {
    const name = `hook${++count}`;
    answers.set(`/${name}`, list);
    await user(name, { webhook: `${receiver.url}/${name}` });
    return name;
  }

  test('Slack gets text whose control characters are escaped', async () => {
    const job = await notified(sluice, { type: 'slack', userId: 'unknown', subject: 'a < b', message: '<!channel> & "x"' });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(job.returnvalue.provider, 'slack-webhook');
    assert.deepEqual(JSON.parse(paths('/slack')[0].text), { text: '*a &lt; b*\n&lt;!channel&gt; &amp; "x"' });
    await user('own', { slack: `${receiver.url}/slack-own` });
    assert.equal((await notified(sluice, { type: 'slack', userId: 'own' })).state, 'completed');
    assert.equal(paths('/slack-own').length, 1);
  });

  test('a short message is a form with the account\'s credentials', async () => {
    const path = '/2010-04-01/Accounts/AC1/Messages.json';
    await user('phone', { phone: '+4915112345678' });
    answers.set(path, [{ status: 201, headers: { 'content-type': 'application/json' }, body: JSON.stringify({ sid: 'SM123', status: 'queued' }) }]);
    const job = await notified(sluice, { type: 'sms', userId: 'phone', subject: 'Ünder', message: 'a&b=c' });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.deepEqual([job.returnvalue.status, job.returnvalue.targets[0].providerId, job.returnvalue.targets[0].code], ['queued', 'SM123', '201']);
    const [request] = paths(path);
    assert.equal(request.headers.authorization, `Basic ${Buffer.from('AC1:token').toString('base64')}`);
    assert.deepEqual(Object.fromEntries(new URLSearchParams(request.text)), { To: '+4915112345678', From: '+15005550006', Body: 'Ünder\na&b=c' });
    for (const [status, code, expected, attempts] of [[400, 21211, 'INVALID_ADDRESS', 1], [400, 21610, 'REJECTED_PERMANENT', 1], [401, 20003, 'AUTH_FAILED', 3], [500, 0, 'PROVIDER_ERROR', 3]]) {
      answers.set(path, [{ status, body: JSON.stringify({ code, message: 'no' }) }]);
      assertFailed(await notified(sluice, { type: 'sms', userId: 'phone' }), expected, attempts);
    }
    answers.set(path, ['drop']);
    const before = paths(path).length;
    assertFailed(await notified(sluice, { type: 'sms', userId: 'phone' }), 'AMBIGUOUS', 1);
    assert.equal(paths(path).length, before + 1, 'a message that costs money is not sent twice');
    await user('phone', { phone: '0151 123' });
    assertFailed(await notified(sluice, { type: 'sms', userId: 'phone' }), 'INVALID_ADDRESS', 1);
  });

  test('a webhook is signed by the standard', async () => {
    const name = await webhookUser({ status: 204 });
    const job = await notified(sluice, { type: 'webhook', userId: name, metadata: { case: 7, text: 'ü' } });
    assert.equal(job.state, 'completed', job.failedReason);
    const [{ text, headers }] = paths(`/${name}`);
    const payload = new Webhook(SECRET).verify(text, headers);
    assert.equal(payload.type, 'notification.webhook');
    assert.deepEqual(payload.data, { userId: name, subject: 'Subject', message: 'Message', metadata: { case: 7, text: 'ü' } });
    assert.equal(job.returnvalue.targets[0].providerId, headers['webhook-id']);
    assert.throws(() => new Webhook(SECRET).verify(text.replace('Message', 'Massage'), headers));
  });

  test('push goes to the one webhook', async () => {
    const job = await notified(sluice, { type: 'push', userId: 'anybody' });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(new Webhook(SECRET).verify(paths('/push')[0].text, paths('/push')[0].headers).type, 'notification.push');
  });

  test('answers decide what follows', async () => {
    const cases = [
      [[{ status: 400 }], 'REJECTED_PERMANENT', 1], [[{ status: 403 }], 'REJECTED_PERMANENT', 1], [[{ status: 404 }], 'TARGET_GONE', 1],
      [[{ status: 410 }], 'TARGET_GONE', 1], [[{ status: 413 }], 'MESSAGE_TOO_LARGE', 1], [[{ status: 302, headers: { location: '/slack' } }], 'REJECTED_PERMANENT', 1],
      [[{ status: 401 }], 'AUTH_FAILED', 3], [[{ status: 500 }], 'PROVIDER_ERROR', 3], [[{ status: 503 }], 'PROVIDER_ERROR', 3], [[{ status: 429 }], 'REJECTED_TRANSIENT', 3],
      [['drop'], 'UNKNOWN_OUTCOME', 3], [['hang'], 'UNKNOWN_OUTCOME', 3],
    ];
    await Promise.all(cases.map(async ([list, code, attempts]) => {
      const name = await webhookUser(...list);
      assertFailed(await notified(sluice, { type: 'webhook', userId: name }), code, attempts);
      assert.equal(paths(`/${name}`).length, attempts, `${code} after ${JSON.stringify(list)}`);
    }));
  });

  test('a webhook that was lost is repeated under the same id', async () => {
    const name = await webhookUser('drop', { status: 200 });
    const job = await notified(sluice, { type: 'webhook', userId: name });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(job.returnvalue.possibleDuplicate, true);
    const [first, second] = paths(`/${name}`);
    assert.equal(first.headers['webhook-id'], second.headers['webhook-id']);
  });

  test('Retry-After is kept to and uses up no attempt', async () => {
    for (const status of [429, 503]) {
      const name = await webhookUser({ status, headers: { 'retry-after': '2' } }, { status: 200 });
      const begin = performance.now();
      const job = await notified(sluice, { type: 'webhook', userId: name });
      assert.equal(job.state, 'completed', job.failedReason);
      assert.equal(job.attemptsMade, 1);
      assert.ok(performance.now() - begin >= 2000);
    }
    const name = await webhookUser({ status: 429, headers: { 'retry-after': '120' } });
    const job = await notified(sluice, { type: 'webhook', userId: name }, { until: ({ state }) => state === 'delayed' });
    assert.equal(job.delay, 120_000);
  });

  test('an address that may not be reached is refused', async () => {
    await user('inside', { webhook: `http://127.0.0.1:${receiver.port + 1}/` });
    await user('metadata', { webhook: 'http://169.254.169.254/latest/meta-data/' });
    await user('file', { webhook: 'file:///etc/passwd' });
    assertFailed(await notified(sluice, { type: 'webhook', userId: 'inside' }), 'ADDRESS_DENIED', 1);
    assertFailed(await notified(sluice, { type: 'webhook', userId: 'metadata' }), 'ADDRESS_DENIED', 1);
    assertFailed(await notified(sluice, { type: 'webhook', userId: 'file' }), 'INVALID_ADDRESS', 1);
  });

  test('an organization has an address book of its own', async () => {
    await user('shared', { webhook: `${receiver.url}/default` });
    await user('shared', { webhook: `${receiver.url}/acme` }, 'acme');
    const { json } = await sluice.as({ roles: ['producer'], org: 'acme' }).post('/api/jobs/notifications', { userId: 'shared', type: 'webhook', subject: 's', message: 'm' });
    assert.equal((await settled(sluice, json)).state, 'completed');
    assert.deepEqual([paths('/acme').length, paths('/default').length], [1, 0]);
  });

  test('a notification that waited for other jobs tells what became of them', async () => {
    const name = await webhookUser({ status: 200 });
    assert.equal((await sluice.client.put('/api/documents/told-1', 'One page.')).status, 201);
    const flow = new FlowProducer({ connection: redis.connect() });
    const worker = new Worker('elsewhere', () => {
      throw new Error('NO_LUCK: the ünfortunate end\nwith a second line');
    }, { connection: redis.connect() });
    const { job } = await flow.add({
      name: 'send-notification', queueName: 'notifications', data: { userId: name, type: 'webhook', subject: 's', message: 'Ready.' },
      children: [
        { name: 'process-document', queueName: 'document-processing', data: { documentId: 'told-1', userId: 'u', filename: 'a.txt', mimeType: 'text/plain', fileSize: 9 } },
        { name: 'try', queueName: 'elsewhere', data: {}, opts: { ignoreDependencyOnFailure: true } },
      ],
    });
    const ended = await settled(sluice, { jobId: job.id, statusUrl: `/api/jobs/status/notifications/${job.id}` });
    await Promise.all([worker.close(), flow.close()]);
    assert.equal(ended.state, 'completed', ended.failedReason);
    const [first, ...lines] = JSON.parse(paths(`/${name}`)[0].text).data.message.split('\n');
    assert.equal(first, 'Ready.');
    assert.deepEqual(lines.sort(), ['', 'Document processed: 1 page', 'elsewhere: failed: NO_LUCK: the ünfortunate end']);
  });

  test('a channel that is not configured says what to set', async () => {
    const job = await notified(sluice, { type: 'email', userId: 'phone' });
    assertFailed(job, 'CHANNEL_NOT_CONFIGURED', 1);
    assert.match(job.failedReason, /SLUICE_SMTP_URL and SLUICE_SMTP_FROM/);
  });
});

test('a dry run writes what it would send', async () => {
  const sluice = await startSluice({ env: { SLUICE_NOTIFY_DRY_RUN: '1', SLUICE_NOTIFY_WEBHOOK_SECRET: SECRET } });
  const outbox = join(sluice.dataDir, 'outbox');
  for (const [type, extension] of [['email', 'eml'], ['slack', 'json'], ['sms', 'form'], ['push', 'json'], ['webhook', 'json']]) {
    const job = await notified(sluice, { type, subject: 'Grüße', userId: 'nobody in particular' });
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(job.returnvalue.provider, 'outbox');
    const file = job.returnvalue.targets[0].providerId;
    assert.match(file, new RegExp(`^${type}-[0-9a-f]{32}\\.${extension}$`));
    const text = readFileSync(join(outbox, file), 'utf8');
    if (type === 'email') assert.equal((await simpleParser(text)).subject, 'Grüße');
    else assert.match(decodeURIComponent(text), /Grüße/);
  }
  assert.equal(readdirSync(outbox).length, 5);
  await sluice.stop();
});

test('settings that cannot work refuse to start', async () => {
  for (const [env, complaint] of [
    [{ SLUICE_SMTP_URL: 'smtp://mail' }, /SLUICE_SMTP_FROM/],
    [{ SLUICE_SMTP_URL: 'http://mail', SLUICE_SMTP_FROM: 'a@b' }, /SLUICE_SMTP_URL/],
    [{ SLUICE_SMTP_URL: 'smtp://mail', SLUICE_SMTP_FROM: 'nobody' }, /SLUICE_SMTP_FROM/],
    [{ SLUICE_NOTIFY_WEBHOOK_SECRET: 'short' }, /SLUICE_NOTIFY_WEBHOOK_SECRET/],
    [{ SLUICE_NOTIFY_DIRECTORY: 'ldap:x' }, /SLUICE_NOTIFY_DIRECTORY/],
    [{ SLUICE_SLACK_WEBHOOK_URL: 'hooks.slack.com/x' }, /SLUICE_SLACK_WEBHOOK_URL/],
    [{ SLUICE_FETCH_ALLOW: '10.0.0.0/33' }, /SLUICE_FETCH_ALLOW/],
    [{ SLUICE_FETCH_CA_FILE: '/nowhere/ca.pem' }, /SLUICE_FETCH_CA_FILE/],
    [{ SLUICE_FETCH_CA_FILE: '/dev/null' }, /SLUICE_FETCH_CA_FILE/],
  ]) {
    await assert.rejects(startSluice({ env, allow: [/./] }), complaint);
  }
});
