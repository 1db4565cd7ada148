// Who may do what: tokens in every form that has fooled somebody, each operation against each role, keys, and limits.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, listen, makeToken, notification, runSluice, signToken, startSluice, temporaryFolder } from './harness/index.mjs';

const ROLES = ['admin', 'operator', 'viewer', 'producer', 'worker'];
const ASKED = '/api/jobs/stats/notifications'; // any role may
const secret = () => randomBytes(32).toString('hex');
const FOLLOWS = { streamEvents: '?job=notifications/none', openEvents: '?job=notifications/none' }; // a producer may follow a job only
const inHour = () => Math.floor(Date.now() / 1000) + 3600;
const pem = (key) => key.export({ type: 'spki', format: 'pem' });
const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 });
const ec = (namedCurve) => generateKeyPairSync('ec', { namedCurve });

function fileOf(name, content) {
  const file = join(temporaryFolder('sluice-keys'), name);
  writeFileSync(file, content, { mode: 0o600 });
  return file;
}

const ask = (sluice, token, path = ASKED) => sluice.client.as(token).get(path);

describe('tokens', () => {
  const ours = rsa();
  let sluice;
  before(async () => {
    sluice = await startSluice({ args: ['--role=api'], env: { JWT_PUBLIC_KEY_FILE: fileOf('public.pem', pem(ours.publicKey)) } });
  });
  after(() => sluice.stop());

  const good = { sub: 'tester', roles: ['viewer'], exp: inHour() };
  const hs = (header, claims, key = sluice.secret, alg = 'HS256') => signToken(key, header, claims, alg);
  const withClaims = (claims) => () => hs({ alg: 'HS256' }, { ...good, ...claims });
  const withHeader = (header) => () => hs({ alg: 'HS256', typ: 'JWT', ...header }, good);
  const spoilt = (change) => () => change(makeToken(sluice.secret));
  const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

  test('a good one is taken, of either key, whatever the case of "Bearer"', async () => {
    assert.equal((await ask(sluice, makeToken(sluice.secret))).status, 200);
    assert.equal((await ask(sluice, makeToken(ours.privateKey, { alg: 'RS256' }))).status, 200);
    assert.equal((await sluice.client.as(null).get(ASKED, { headers: { authorization: `bearer ${makeToken(sluice.secret)}` } })).status, 200);
  });

  const bad = {
    'alg none': () => `${signToken('x', { alg: 'none' }, good, 'HS256').split('.').slice(0, 2).join('.')}.`,
    'alg none with a signature': () => hs({ alg: 'none' }, good),
    'alg NONE': () => hs({ alg: 'NONE' }, good),
    'no alg': () => hs({ typ: 'JWT' }, good),
    'an alg that is no string': () => hs({ alg: ['HS256'] }, good),
    'an empty key': () => hs({ alg: 'HS256' }, good, ''),
    'another key': () => hs({ alg: 'HS256' }, good, secret()),
    'HS512 for HS256': () => hs({ alg: 'HS512' }, good, sluice.secret, 'HS512'),
    'HS384 for HS256': () => hs({ alg: 'HS384' }, good, sluice.secret, 'HS384'),
    'the public key as HMAC secret': () => hs({ alg: 'HS256' }, good, pem(ours.publicKey)),
    'RS256 of another key': () => makeToken(rsa().privateKey, { alg: 'RS256' }),
    'ES256 where no such key is': () => makeToken(ec('P-256').privateKey, { alg: 'ES256' }),
    expired: withClaims({ exp: inHour() - 7200 }),
    'no exp': withClaims({ exp: undefined }),
    'exp as text': withClaims({ exp: String(inHour()) }),
    'exp as fraction': withClaims({ exp: inHour() + 0.5 }),
    'negative exp': withClaims({ exp: -1 }),
    'exp beyond all years': withClaims({ exp: 9e18 }),
    'nbf ahead': withClaims({ nbf: inHour() }),
    'iat ahead': withClaims({ iat: inHour() }),
    'no sub': withClaims({ sub: undefined }),
    'an empty sub': withClaims({ sub: '' }),
    'a sub of 129': withClaims({ sub: 'x'.repeat(129) }),
    'a sub with a line end': withClaims({ sub: 'a\r\nb' }),
    'an org with a path': withClaims({ org: '../other' }),
    'an org that is no text': withClaims({ org: 7 }),
    'no roles': withClaims({ roles: undefined }),
    'roles as text': withClaims({ roles: 'admin' }),
    'an empty list of roles': withClaims({ roles: [] }),
    'an unknown role beside a known one': withClaims({ roles: ['viewer', 'root'] }),
    'a role that is no text': withClaims({ roles: [['admin']] }),
    'a claim twice': () => hs({ alg: 'HS256' }, `{"sub":"a","roles":["viewer"],"roles":["admin"],"exp":${inHour()}}`),
    'a header field twice': () => hs('{"alg":"HS256","alg":"none"}', good),
    'deep claims': () => hs({ alg: 'HS256' }, `{"sub":"a","roles":["admin"],"exp":${inHour()},"x":${'['.repeat(900)}${']'.repeat(900)}}`),
    'claims that are no object': () => hs({ alg: 'HS256' }, '[]'),
    'claims that are no JSON': () => hs({ alg: 'HS256' }, 'x'),
    'an unknown kid': withHeader({ kid: 'nobody' }),
    'a path as kid': withHeader({ kid: '../../../../dev/null' }),
    'a query as kid': withHeader({ kid: "' UNION SELECT 'x" }),
    'a critical extension': withHeader({ crit: ['exp'] }),
    'another type': withHeader({ typ: 'at+jwt' }),
    'more than 4 096 bytes': withClaims({ pad: 'x'.repeat(4096) }),
    'only two dots': () => '..',
    'an empty header and signature': () => '.e30.',
    'two parts': spoilt((token) => token.split('.').slice(0, 2).join('.')),
    'four parts': spoilt((token) => `${token}.${token.split('.')[2]}`),
    'padding': spoilt((token) => `${token}=`),
    'a character that is no base64url': spoilt((token) => token.replace('.', '+.')),
    'a blank inside': spoilt((token) => token.replace('.', ' .')),
    'a signature cut short': spoilt((token) => token.slice(0, -4)),
    'other spare bits at its end': spoilt((token) => token.slice(0, -1) + ALPHABET[ALPHABET.indexOf(token.at(-1)) ^ 1]),
    'claims exchanged': spoilt((token) => token.replace(/\.(.*)\./, `.${Buffer.from(JSON.stringify({ ...good, roles: ['admin'] })).toString('base64url')}.`)),
  };

  for (const [name, make] of Object.entries(bad)) {
    test(`with ${name}: 401`, async () => {
      const token = make();
      const { status, json, headers, text } = await ask(sluice, token);
      assert.equal(status, 401, text);
      assert.deepEqual([json.code, json.title], ['unauthorized', 'Authentication required']);
      assert.match(headers['www-authenticate'], /^Bearer realm="sluice"/);
      assert.ok(!text.includes(token.split('.')[2] || '~'), 'it does not repeat the token');
    });
  }

  for (const [name, authorization] of [
    ['no Authorization', undefined], ['another scheme', 'Basic dXNlcjpwYXNz'], ['"Bearer" alone', 'Bearer'], ['an empty token', 'Bearer '],
  ]) {
    test(`${name}: 401 without error, as RFC 6750 wants it`, async () => {
      const { status, headers } = await sluice.client.as(null).get(ASKED, authorization === undefined ? {} : { headers: { authorization } });
      assert.deepEqual([status, headers['www-authenticate']], [401, 'Bearer realm="sluice"']);
    });
  }

  test('in the address they count for nothing', async () => {
    assert.equal((await ask(sluice, null, `${ASKED}?access_token=${makeToken(sluice.secret)}`)).status, 401);
  });

  test('what is wrong with the claims is told only to who holds the key', async () => {
    const answers = await Promise.all([good, { ...good, exp: 1 }, { ...good, roles: ['root'] }, {}].map((claims) =>
      ask(sluice, hs({ alg: 'HS256' }, claims, secret()))));
    assert.equal(new Set(answers.map(({ json }) => json.detail)).size, 1);
  });

  test('one that was good is refused from the second it expires', async () => {
    const token = makeToken(sluice.secret, { ttl: 3 });
    assert.equal((await ask(sluice, token)).status, 200);
    await eventually(async () => (await ask(sluice, token)).status === 401, { timeout: 10_000, what: 'the end of the token' });
  });
});

test('JWT_ISSUER and JWT_AUDIENCE are demanded where they are set', async (t) => {
  const sluice = await startSluice({ args: ['--role=api'], env: { JWT_ISSUER: 'https://id.example', JWT_AUDIENCE: 'sluice' } });
  t.after(() => sluice.stop());
  const status = async (claims) => (await ask(sluice, makeToken(sluice.secret, claims))).status;
  assert.equal(await status({ iss: 'https://id.example', aud: 'sluice' }), 200);
  assert.equal(await status({ iss: 'https://id.example', aud: ['other', 'sluice'] }), 200);
  for (const claims of [{}, { iss: 'https://id.example' }, { aud: 'sluice' }, { iss: 'https://id.example/', aud: 'sluice' }, { iss: 'https://id.example', aud: ['other'] }]) {
    assert.equal(await status(claims), 401, JSON.stringify(claims));
  }
});

describe('keys of services', () => {
  const shop = secret();
  const [rs, es] = [rsa(), ec('P-256')];
  let sluice;
  before(async () => {
    const file = fileOf('keys.json', JSON.stringify([
      { kid: 'shop', alg: 'HS256', key: shop, roles: ['producer'], orgs: ['acme', 'acme-test'] },
      { kid: 'idp', alg: 'RS256', key: pem(rs.publicKey), iss: 'https://id.example', aud: 'sluice', roles: ROLES, orgs: '*' },
      { kid: 'fleet', alg: 'ES256', key: pem(es.publicKey), roles: ['worker'], orgs: '*' },
    ]));
    sluice = await startSluice({ args: ['--role=api'], env: { JWT_KEYS_FILE: file } });
  });
  after(() => sluice.stop());

  const status = async (key, kid, claims) => (await ask(sluice, makeToken(key, { header: { kid }, ...claims }))).status;

  test('open with their own kid, algorithm, issuer and audience', async () => {
    assert.equal(await status(shop, 'shop', { roles: ['producer'], org: 'acme' }), 200);
    assert.equal(await status(rs.privateKey, 'idp', { alg: 'RS256', iss: 'https://id.example', aud: 'sluice' }), 200);
    assert.equal(await status(es.privateKey, 'fleet', { alg: 'ES256', roles: ['worker'] }), 200);
    assert.equal((await ask(sluice, makeToken(sluice.secret))).status, 200, 'and the common secret still does');
  });

  test('claim no more than their entry says', async () => {
    assert.equal(await status(shop, 'shop', { roles: ['producer'], org: 'rival' }), 401);
    assert.equal(await status(shop, 'shop', { roles: ['producer'] }), 401, 'nor for the organization "default"');
    assert.equal(await status(shop, 'shop', { roles: ['producer', 'admin'], org: 'acme' }), 401);
    assert.equal(await status(es.privateKey, 'fleet', { alg: 'ES256', roles: ['producer'] }), 401);
    assert.equal(await status(rs.privateKey, 'idp', { alg: 'RS256', aud: 'sluice' }), 401);
  });

  test('do not open each other\'s doors', async () => {
    assert.equal(await status(shop, undefined, { roles: ['producer'], org: 'acme' }), 401, 'without its kid');
    assert.equal(await status(sluice.secret, 'shop', { roles: ['producer'], org: 'acme' }), 401, 'the common secret under its kid');
    assert.equal(await status(pem(rs.publicKey), 'idp', { iss: 'https://id.example', aud: 'sluice' }), 401, 'the public key as secret');
    assert.equal(await status(es.privateKey, 'shop', { alg: 'ES256', roles: ['producer'], org: 'acme' }), 401, 'another algorithm');
    assert.equal(await status(ec('P-384').privateKey, 'fleet', { alg: 'ES256', roles: ['worker'] }), 401, 'another curve');
  });
});

describe('each operation against each role', async () => {
  let sluice;
  const { text } = await runSluice(['dump', 'openapi']);
  const operations = Object.entries(JSON.parse(text).paths).flatMap(([path, item]) =>
    Object.entries(item).filter(([, operation]) => operation.operationId).map(([verb, operation]) => ({
      method: verb.toUpperCase(), path: path.replace(/\{\w+\}/g, 'notifications') + (FOLLOWS[operation.operationId] ?? ''), id: operation.operationId,
      open: !operation.security?.length || operation.security.some((way) => !Object.keys(way).length),
      roles: operation.security?.flatMap((way) => Object.values(way).flat()) ?? [],
      streams: 'text/event-stream' in (operation.responses['2XX']?.content ?? {}),
    })));
  before(async () => (sluice = await startSluice({ args: ['--role=api'] })));
  after(() => sluice.stop());

  const openStream = async (path, client) => {
    const listener = await listen(client, path);
    listener.close?.();
    return listener;
  };
  const call = ({ method, path, streams }, client) => streams ? openStream(path, client) : client.request(method, path, {
    ...(['POST', 'PUT', 'PATCH'].includes(method) && { body: '{"surprise":1}', headers: { 'content-type': 'application/json' } }),
  });

  for (const operation of operations) {
    test(`${operation.method} ${operation.path} (${operation.id}) is for ${operation.open ? 'everybody' : operation.roles.join(', ')}`, async () => {
      const { status } = await call(operation, sluice.client.as(null));
      assert.equal(status === 401, !operation.open, `without a token: ${status}`);
      for (const role of ROLES) {
        const answer = await call(operation, sluice.as({ roles: [role], sub: `a-${role}` }));
        assert.equal(answer.status === 403, !operation.open && !operation.roles.includes(role), `${role}: ${answer.status}`);
        if (answer.status === 403) assert.equal(answer.json.code, 'forbidden');
      }
    });
  }

  test('the table keeps the promises of the roles', () => {
    const may = (role, filter) => operations.filter((operation) => !operation.open && operation.roles.includes(role) && filter(operation)).map(({ id }) => id);
    assert.deepEqual(may('viewer', ({ method, id }) => method !== 'GET' && id !== 'getJobStates'), [], 'a viewer changes nothing');
    assert.deepEqual(operations.filter(({ open, roles }) => !open && !roles.includes('admin')).map(({ id }) => id), [], 'an admin may everything');
    assert.deepEqual(may('worker', ({ id }) => /^create|Document/.test(id)), [], 'a worker creates no jobs and reads no documents');
    assert.deepEqual(may('producer', ({ path }) => path === '/api/jobs/stats' || path === '/metrics'), []);
    assert.deepEqual(operations.filter(({ open, method }) => open && method !== 'GET').map(({ id }) => id).filter((id) => !/session|token/i.test(id)), [],
      'nobody changes anything without a token');
  });

  test('two roles may what either may', async () => {
    const both = sluice.as({ roles: ['worker', 'producer'] });
    assert.equal((await both.post('/api/jobs/notifications', notification)).status, 201);
  });
});

test('/metrics is for everybody, with SLUICE_METRICS_AUTH=1 for who may read everything', async (t) => {
  const sluice = await startSluice({ args: ['--role=api'] });
  t.after(() => sluice.stop());
  const statuses = () => Promise.all([null, ...['viewer', 'producer'].map((role) => sluice.token({ roles: [role] }))]
    .map(async (token) => (await ask(sluice, token, '/metrics')).status));
  assert.deepEqual(await statuses(), [200, 200, 200]);
  await sluice.stop();
  await sluice.start({ env: { SLUICE_METRICS_AUTH: '1' } });
  assert.deepEqual(await statuses(), [401, 200, 403]);
});

describe('the secret', () => {
  for (const [name, weak] of [
    ['short', 'Zk3vQ9xT1bL7mN5pR8sW2yU6aD4fG0h'], ['one letter over and over', 'a'.repeat(64)], ['a short piece over and over', 'k3v9Qx'.repeat(8)],
    ['a sample from a tutorial', 'your-256-bit-secret-your-256-bit-secret'], ['changeme, made longer', 'changeme-Zk3vQ9xT1bL7mN5pR8sW2yU6aD4'],
  ]) {
    test(`that is ${name} refuses to start, without being repeated`, async () => {
      const folder = temporaryFolder();
      const { code, text } = await runSluice(['serve'], { env: { DATA_DIR: folder, PORT: '0', JWT_SECRET: weak } });
      assert.notEqual(code, 0);
      assert.match(text, /JWT_SECRET/);
      assert.ok(!text.includes(weak));
    });
  }

  test('may stand in a file', async (t) => {
    const ours = secret();
    const sluice = await startSluice({ args: ['--role=api'], secret: '', env: { JWT_SECRET_FILE: fileOf('secret', `${ours}\n`) } });
    t.after(() => sluice.stop());
    assert.equal((await ask(sluice, makeToken(ours))).status, 200);
  });

  test('is made at the first start where none is given, for its owner only, and stays the same', async () => {
    const sluice = await startSluice({ args: ['--role=api'], secret: '' });
    const token = async (...args) => runSluice(['token', '--sub', 'ops', '--role', 'viewer', ...args], { env: { DATA_DIR: sluice.dataDir } });
    const { code, text } = await token();
    assert.equal(code, 0, text);
    assert.match(text, /^[\w-]+\.[\w-]+\.[\w-]+$/, 'one token and nothing else');
    assert.equal((await ask(sluice, text)).status, 200);
    assert.equal(statSync(join(sluice.dataDir, 'jwt-secret')).mode & 0o777, 0o600);
    await sluice.stop();
    await sluice.start();
    assert.equal((await ask(sluice, text)).status, 200);
    await sluice.stop();
  });
});

test('a caller past SLUICE_RATE_LIMIT waits as long as Retry-After says; others, and probes, do not', async (t) => {
  const sluice = await startSluice({ args: ['--role=api'], env: { SLUICE_RATE_LIMIT: '4/s' } });
  t.after(() => sluice.stop());
  const greedy = sluice.as({ roles: ['viewer'], sub: 'greedy' });
  const answers = await Promise.all(Array.from({ length: 12 }, () => greedy.get(ASKED)));
  const refused = answers.filter(({ status }) => status === 429);
  assert.ok(refused.length >= 4 && refused.length <= 8, `${refused.length} refused`);
  for (const { json, headers } of refused) {
    assert.equal(json.code, 'rate-limited');
    assert.ok(Number(headers['retry-after']) >= 1);
    assert.match(headers['ratelimit-policy'], /q=4;w=1/);
  }
  assert.equal((await sluice.as({ roles: ['viewer'], sub: 'modest' }).get(ASKED)).status, 200);
  for (let i = 0; i < 12; i++) assert.equal((await greedy.get('/livez')).status, 200);
  await eventually(async () => (await greedy.get(ASKED)).status === 200, { timeout: 5_000, what: 'a new allowance' });
});
