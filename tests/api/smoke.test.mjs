// The program starts, answers, says what it serves, and ends cleanly.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { runSluice, startSluice } from './harness/index.mjs';

describe('a server on its embedded store', () => {
  let sluice;
  before(async () => (sluice = await startSluice()));
  after(() => sluice.stop());

  test('its first log line names the real address', () => {
    const [first] = sluice.logs;
    assert.equal(first.event, 'listening');
    assert.notEqual(new URL(first.url).port, '0');
  });

  test('it is alive, ready and healthy', async () => {
    for (const path of ['/livez', '/readyz', '/health', '/health/ready']) {
      assert.equal((await sluice.client.as(null).get(path)).status, 200, path);
    }
  });

  test('it serves its own description', async () => {
    const { status, headers, json } = await sluice.client.as(null).get('/openapi.json');
    assert.equal(status, 200);
    assert.match(json.openapi, /^3\.1\./);
    assert.ok(json.paths['/livez'].get);
    const again = await sluice.client.as(null).get('/openapi.json', { headers: { 'if-none-match': headers.etag } });
    assert.equal(again.status, 304);
  });

  test('every answer carries a request id, the caller\'s own where it is well-formed', async () => {
    assert.match((await sluice.client.get('/livez')).headers['x-request-id'], /^[0-9a-f-]{36}$/);
    assert.equal((await sluice.client.get('/livez', { headers: { 'x-request-id': 'my.id-1' } })).headers['x-request-id'], 'my.id-1');
  });

  test('an unknown path is a problem document', async () => {
    const { status, headers, json } = await sluice.client.get('/nowhere');
    assert.equal(status, 404);
    assert.equal(headers['content-type'], 'application/problem+json');
    assert.equal(json.code, 'not-found');
    assert.equal(json.type, '/problems/not-found');
  });
});

test('a server killed -9 comes back on its data, and its store goes with it', async () => {
  const sluice = await startSluice();
  await sluice.kill();
  await sluice.start();
  assert.equal((await sluice.client.get('/readyz')).status, 200);
  await sluice.stop();
  assert.equal((await sluice.logged('redis_child_ended')).level, 'info', 'an end that was asked for is no trouble');
});

test('the documents that the program prints are JSON', async () => {
  for (const what of ['openapi', 'config', 'roles', 'errors', 'metrics']) {
    const { code, text } = await runSluice(['dump', what]);
    assert.equal(code, 0, text);
    assert.doesNotThrow(() => JSON.parse(text), what);
  }
});
