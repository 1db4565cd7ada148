// Making oneself a token in development.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startSluice } from './harness/index.mjs';

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
});

test('without DEV_LOGIN there is no such thing', async () => {
  const sluice = await startSluice();
  const { status, json } = await sluice.client.as(null).post('/api/auth/dev-token', { sub: 'ada', roles: ['admin'] });
  assert.equal(status, 404);
  assert.equal(json.code, 'not-found');
  await sluice.stop();
});
