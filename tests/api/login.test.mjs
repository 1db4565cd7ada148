// Making oneself a token in development.
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { eventually, sendRaw, startSluice } from './harness/index.mjs';

const head = (length) => `POST /api/auth/dev-token HTTP/1.1\r\nHost: sluice\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

describe('with DEV_LOGIN=1', () => {
  let sluice, nobody;
  before(async () => {
    sluice = await startSluice({ env: { DEV_LOGIN: '1', JWT_EXPIRES_IN: '1h' } });
    nobody = sluice.client.as(null);
  });
  after(() => sluice.stop());

  test('anybody may make a token, and it is worth what was asked for', async () => {
    const asked = Date.now();
    const { status, json } = await nobody.post('/api/auth/dev-token', { sub: 'ada', roles: ['viewer'], org: 'acme' });
    assert.equal(status, 201);
    assert.ok(Math.abs(json.expiresAt - asked - 3_600_000) < 10_000);
    const ada = sluice.client.as(json.token);
    assert.equal((await ada.get('/api/jobs/stats')).status, 200);
    assert.equal((await ada.post('/api/jobs/notifications', { userId: 'u', type: 'email', subject: 's', message: 'm' })).status, 403);
  });

  test('its issue is audited, the token itself is in no log line', async () => {
    const { json } = await nobody.post('/api/auth/dev-token', { sub: 'bob', roles: ['producer'] });
    await sluice.logged('audit', { action: 'token.issue', target: 'bob' });
    assert.ok(!sluice.logs.some((entry) => JSON.stringify(entry).includes(json.token)));
  });

  test('unknown roles and missing fields are named', async () => {
    const { status, json } = await nobody.post('/api/auth/dev-token', { roles: ['king'] });
    assert.equal(status, 400);
    assert.deepEqual(json.errors.map((e) => e.pointer).sort(), ['/roles/0', '/sub']);
  });

  test('slow bodies without a token hold a few threads at most', async () => {
    const ask = () => nobody.post('/api/auth/dev-token', { sub: 'eve', roles: ['viewer'] });
    const slow = Array.from({ length: 40 }, () => connect(sluice.port, '127.0.0.1').on('error', () => {}));
    for (const socket of slow) socket.write(`${head(100)}{"sub":`);
    const refused = await eventually(async () => {
      const answer = await ask();
      return answer.status === 503 && answer;
    }, { what: 'no room for another body' });
    assert.equal(refused.json.code, 'overloaded');
    assert.equal(refused.headers['retry-after'], '1');
    assert.equal((await sluice.client.get('/api/jobs/stats')).status, 200, 'who has a token is served');
    for (const socket of slow) socket.destroy();
    await eventually(async () => (await ask()).status === 201, { what: 'room again' });
  });
});

test('without DEV_LOGIN there is no such thing', async () => {
  const sluice = await startSluice();
  const { status, json } = await sluice.client.as(null).post('/api/auth/dev-token', { sub: 'ada', roles: ['admin'] });
  assert.equal(status, 404);
  assert.equal(json.code, 'not-found');
  const { responses } = await sendRaw(sluice.port, head(100), { enough: (all) => all.length > 0 });
  assert.deepEqual(responses.map((one) => one.status), [404], 'it is refused before its body has come');
  await sluice.stop();
});
