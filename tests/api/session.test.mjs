// A browser's session, and how the web page is served.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { Client, makeToken, startSluice } from './harness/index.mjs';

const OURS = { 'sec-fetch-site': 'same-origin' };
const notification = { userId: 'u', type: 'email', subject: 's', message: 'm' };
const cookieOf = ({ headers }) => headers['set-cookie'][0].split(';')[0];

describe('a session', () => {
  let sluice, nobody;
  before(async () => {
    sluice = await startSluice({ env: { DEV_LOGIN: '1' } });
    nobody = sluice.client.as(null);
  });
  after(() => sluice.stop());

  const signIn = async (claims) => cookieOf(await nobody.post('/api/session', { token: sluice.token(claims) }, { headers: OURS }));

  test('counts as the bearer token that it was begun with', async () => {
    const { status, json, headers } = await nobody.post('/api/session', { token: sluice.token({ sub: 'ada', roles: ['viewer'], org: 'acme' }) }, { headers: OURS });
    assert.equal(status, 200);
    assert.equal(json.sub, 'ada');
    assert.deepEqual(json.roles, ['viewer']);
    assert.match(headers['set-cookie'][0], /^sluice-session=[^;]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/);
    const cookie = cookieOf({ headers });
    assert.equal((await nobody.get('/api/jobs/stats', { headers: { cookie } })).status, 200);
    assert.equal((await nobody.get('/api/jobs/stats', { headers: { cookie: `a=b; ${cookie}; c=d` } })).status, 200);
    assert.equal((await nobody.get('/api/jobs/stats')).status, 401);
    assert.equal((await nobody.post('/api/jobs/notifications', notification, { headers: { cookie, ...OURS } })).status, 403, 'a viewer creates nothing');
    assert.equal((await nobody.get('/api/session', { headers: { cookie } })).json.org, 'acme');
    await sluice.logged('audit', { action: 'session.begin', target: 'ada', sub: 'ada' });
  });

  test('says which operations its roles allow', async () => {
    const may = async (roles) => (await nobody.get('/api/session', { headers: { cookie: await signIn({ roles }) } })).json.may;
    assert.deepEqual((await nobody.get('/api/session')).json.may, []);
    assert.ok((await may(['admin'])).includes('addJobs'));
    assert.ok((await may(['viewer'])).includes('getAllStats'));
    assert.ok(!(await may(['viewer'])).includes('addJobs'));
  });

  test('changes something only for a page of this server', async () => {
    const cookie = await signIn({ roles: ['producer'] });
    const host = `127.0.0.1:${sluice.port}`;
    const cases = [
      [{ 'sec-fetch-site': 'same-origin' }, 201],
      [{ origin: `http://${host}` }, 201],
      [{ 'sec-fetch-site': 'same-site', origin: `http://${host}` }, 403],
      [{ 'sec-fetch-site': 'cross-site' }, 403],
      [{ 'sec-fetch-site': 'none' }, 403],
      [{ origin: 'http://evil.example' }, 403],
      [{ origin: `http://evil.example/${host}` }, 403],
      [{ origin: 'null' }, 403],
      [{}, 403],
    ];
    for (const [headers, expected] of cases) {
      const { status } = await nobody.post('/api/jobs/notifications', notification, { headers: { cookie, ...headers } });
      assert.equal(status, expected, JSON.stringify(headers));
    }
    const bearer = sluice.as({ roles: ['producer'] });
    assert.equal((await bearer.post('/api/jobs/notifications', notification, { headers: { 'sec-fetch-site': 'cross-site' } })).status, 201, 'a bearer token is sent by nobody but its owner');
  });

  test('is refused to a bad token and to other sites', async () => {
    assert.equal((await nobody.post('/api/session', { token: 'x.y.z' }, { headers: OURS })).status, 401);
    assert.equal((await nobody.post('/api/session', { token: makeToken(sluice.secret, { ttl: -10 }) }, { headers: OURS })).status, 401);
    assert.equal((await nobody.post('/api/session', { token: sluice.token() }, { headers: { 'sec-fetch-site': 'cross-site' } })).status, 403);
  });

  test('ends', async () => {
    const cookie = await signIn();
    const { status, headers } = await nobody.delete('/api/session', { headers: { cookie, ...OURS } });
    assert.equal(status, 204);
    assert.match(headers['set-cookie'][0], /^sluice-session=; Path=\/; Max-Age=0;/);
    assert.equal((await nobody.delete('/api/session', { headers: { cookie, 'sec-fetch-site': 'cross-site' } })).status, 403);
  });

  test('is begun by the link of the log, once', async () => {
    const { login } = await sluice.logged('listening');
    const path = login.slice(new URL(login).origin.length);
    assert.equal((await nobody.request('HEAD', path)).status, 200, 'a preview does not use it up');
    const first = await nobody.get(path);
    assert.equal(first.status, 303);
    assert.equal(first.headers.location, '/');
    assert.deepEqual((await nobody.get('/api/session', { headers: { cookie: cookieOf(first) } })).json.roles, ['admin']);
    const second = await nobody.get(path);
    assert.equal(second.headers.location, '/login?used');
    assert.equal(second.headers['set-cookie'], undefined);
    assert.equal((await nobody.get('/login?code=0')).headers.location, '/login?used');
  });
});

describe('the web page', () => {
  let sluice, nobody;
  before(async () => {
    sluice = await startSluice({ env: { SLUICE_PUBLIC_URL: 'https://jobs.example.org/' } });
    nobody = new Client({ port: sluice.port }); // the pages are no operations of the contract
  });
  after(() => {
    nobody.close();
    return sluice.stop();
  });

  const assets = (html) => [...html.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)].map((m) => m[1]);

  test('is one document at each of its addresses', async () => {
    const { headers, text } = await nobody.get('/');
    assert.match(headers['content-type'], /^text\/html/);
    for (const path of ['/queues', '/queues/notifications?state=failed', '/jobs/notifications/a%2Fb', '/login', '/login?used']) {
      assert.equal((await nobody.get(path)).text, text, path);
    }
    for (const path of ['/queue', '/assets/none.js', '/api/queues-of-nobody']) assert.equal((await nobody.get(path)).status, 404, path);
    assert.equal((await nobody.post('/queues', {})).status, 404, 'a page is only got');
  });

  test('allows nothing but its own files', async () => {
    const { headers } = await nobody.get('/queues');
    assert.match(headers['content-security-policy'], /^default-src 'none'; script-src 'self';/);
    assert.doesNotMatch(headers['content-security-policy'], /unsafe|\*|data:/);
    assert.equal(headers['cache-control'], 'private, no-cache');
    assert.equal((await nobody.get('/', { headers: { 'if-none-match': headers.etag } })).status, 304);
    assert.equal((await nobody.request('HEAD', '/')).bytes.length, 0);
  });

  test('has files that may be kept for ever, in the coding that is asked for', async () => {
    const files = assets((await nobody.get('/')).text);
    assert.ok(files.length >= 3, files.join());
    const forms = [['br', 'br', brotliDecompressSync], ['gzip, br;q=0', 'gzip', gunzipSync], ['gzip;q=0.5, deflate', 'gzip', gunzipSync], ['identity', undefined, (bytes) => bytes], ['', undefined, (bytes) => bytes]];
    for (const file of files) {
      const plain = (await nobody.get(file)).bytes;
      for (const [asked, coding, decode] of forms) {
        const { headers, bytes } = await nobody.get(file, { headers: asked ? { 'accept-encoding': asked } : {} });
        assert.equal(headers['content-encoding'], coding, `${file} as ${asked}`);
        assert.ok(decode(bytes).equals(plain), file);
        assert.equal(headers['cache-control'], 'public, max-age=31536000, immutable');
        assert.equal(headers.vary, 'Accept-Encoding');
      }
    }
  });

  test('behind https has a cookie for https only', async () => {
    const { headers } = await nobody.post('/api/session', { token: sluice.token() }, { headers: { origin: 'https://jobs.example.org' } });
    assert.match(headers['set-cookie'][0], /^__Host-sluice-session=[^;]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Strict; Secure$/);
    const { status } = await nobody.get('/api/jobs/stats', { headers: { cookie: cookieOf({ headers }).replace('__Host-', '') } });
    assert.equal(status, 401, 'the name that http pages could set is not looked at');
  });

  test('without DEV_LOGIN no link is logged', async () => {
    assert.equal((await sluice.logged('listening')).login, undefined);
  });
});

test('role worker serves no page', async () => {
  const sluice = await startSluice({ env: { SLUICE_ROLE: 'worker' } });
  const nobody = new Client({ port: sluice.port });
  assert.equal((await nobody.get('/')).status, 404);
  nobody.close();
  await sluice.stop();
});
