// The commands beside `serve`: what they print, where, and their exit codes.
import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { runSluice, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

const SECRET = 'Zq7pX2mWk9Lr4TdVb8NsYc3HgFj6Ea5Uq1Rt';
const parts = (token) => token.split('.').slice(0, 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));

describe('token', () => {
  test('prints one token and nothing else', async () => {
    const { code, text } = await runSluice(['token', '--sub', 'shop', '--role', 'producer,worker', '--org', 'acme', '--ttl', '15m'], { env: { JWT_SECRET: SECRET } });
    assert.equal(code, 0);
    const [head, body, signature] = text.split('.');
    assert.equal(signature, createHmac('sha256', SECRET).update(`${head}.${body}`).digest('base64url'));
    const [header, claims] = parts(text);
    assert.deepEqual(header, { alg: 'HS256', typ: 'JWT' });
    assert.deepEqual({ sub: claims.sub, org: claims.org, roles: claims.roles }, { sub: 'shop', org: 'acme', roles: ['producer', 'worker'] });
    assert.equal(claims.exp - claims.iat, 900);
  });

  test('takes the secret of the folder that the gateway has made, and the gateway takes the token', async () => {
    const sluice = await startSluice({ env: { JWT_SECRET: '', SLUICE_METRICS_AUTH: '1' } });
    const secretFile = join(sluice.dataDir, 'jwt-secret');
    assert.equal(statSync(secretFile).mode & 0o777, 0o600);
    const { code, text } = await runSluice(['token', '--sub', 'ann', '--role', 'viewer'], { env: { DATA_DIR: sluice.dataDir } });
    assert.equal(code, 0);
    const metrics = (token) => sluice.client.as(token).get('/metrics');
    assert.equal((await metrics(text)).status, 200);
    assert.equal((await metrics(null)).status, 401);
    await sluice.stop();
  });

  for (const [what, args, env, exit, said] of [
    ['no secret yet', ['--sub', 'a', '--role', 'admin'], { DATA_DIR: '/nonexistent' }, 1, /start the gateway once, or set JWT_SECRET/],
    ['an unknown role', ['--sub', 'a', '--role', 'root'], { JWT_SECRET: SECRET }, 2, /no role root/],
    ['no role', ['--sub', 'a'], { JWT_SECRET: SECRET }, 2, /--role/],
    ['a life that is none', ['--sub', 'a', '--role', 'admin', '--ttl', 'soon'], { JWT_SECRET: SECRET }, 2, /JWT_EXPIRES_IN/],
    ['a weak secret', ['--sub', 'a', '--role', 'admin'], { JWT_SECRET: 'secret' }, 1, /JWT_SECRET is shorter than 32 bytes/],
    ['an org that leads elsewhere', ['--sub', 'a', '--role', 'admin', '--org', '../x'], { JWT_SECRET: SECRET }, 1, /org must be/],
  ]) {
    test(`refuses: ${what}`, async () => {
      const { code, text } = await runSluice(['token', ...args], { env });
      assert.equal(code, exit, text);
      assert.match(text, said);
      assert.doesNotMatch(text, /eyJ/);
    });
  }
});

describe('doctor', () => {
  const findings = async (env) => {
    const { code, text } = await runSluice(['doctor', '--json'], { env: { DATA_DIR: temporaryFolder(), ...env } });
    return { code, found: JSON.parse(text), of: (check) => JSON.parse(text).filter((finding) => finding.check === check) };
  };

  test('finds nothing wrong where the embedded stores are used, and changes nothing', async () => {
    const folder = join(temporaryFolder(), 'var');
    const { code, found } = await findings({ DATA_DIR: folder });
    assert.equal(code, 0, JSON.stringify(found));
    assert.throws(() => statSync(folder), { code: 'ENOENT' });
  });

  test('finds the embedded Redis of a folder whose path is too long for a socket', async () => {
    const dataDir = join(temporaryFolder(), 'x'.repeat(100));
    const env = { DATA_DIR: dataDir, XDG_RUNTIME_DIR: temporaryFolder('run') };
    const sluice = await startSluice({ env });
    assert.match((await findings(env)).of('redis')[0].text, /^the embedded Redis answers/);
    const { code, text } = await runSluice(['doctor', '--queues'], { env });
    assert.equal(code, 0, text);
    await sluice.stop();
  });

  test('fails where Redis may throw jobs away, and tells what its settings keep', async () => {
    const redis = await startRedis({ args: ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru', '--appendonly', 'yes', '--appendfsync', 'everysec'] });
    const before = await findings({ REDIS_URL: redis.url });
    assert.equal(before.code, 1);
    assert.ok(before.of('redis').some((f) => f.level === 'fail' && /noeviction/.test(f.text)));
    assert.ok(before.of('redis').some((f) => f.level === 'warn' && /everysec/.test(f.text)));
    await redis.admin.config('SET', 'maxmemory-policy', 'noeviction', 'appendfsync', 'always');
    const after = await findings({ REDIS_URL: redis.url });
    assert.equal(after.code, 0, JSON.stringify(after.found));
    assert.ok(after.of('redis').every((f) => f.level === 'ok'), JSON.stringify(after.found));
    await redis.stop();
  });

  test('fails where Redis is not there, without its password in the text', async () => {
    const { code, of } = await findings({ REDIS_URL: 'redis://u:hunter2hunter2@127.0.0.1:1' });
    assert.equal(code, 1);
    assert.equal(of('redis')[0].level, 'fail');
    assert.doesNotMatch(JSON.stringify(of('redis')), /hunter2/);
  });

  test('fails on a secret that others may read, a weak one, and a wrong queue file', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'jwt-secret'), `${SECRET}\n`, { mode: 0o644 });
    writeFileSync(join(folder, 'queues.json'), '{"queues":[{"name":"a","concurency":1}]}');
    const open = await findings({ DATA_DIR: folder, SLUICE_QUEUES: join(folder, 'queues.json') });
    assert.equal(open.code, 1);
    assert.ok(open.of('keys').some((f) => f.level === 'fail'));
    assert.equal(open.of('queues')[0].level, 'fail');
    assert.equal((await findings({ JWT_SECRET: 'changeme' })).of('keys')[0].level, 'fail');
  });
});

describe('healthcheck', () => {
  test('0 and "ready" for a gateway that is, 1 and why for one that is not', async () => {
    const sluice = await startSluice();
    const env = { PORT: String(sluice.port) };
    assert.deepEqual(await runSluice(['healthcheck'], { env }), { code: 0, signal: null, text: 'ready' });
    await sluice.stop();
    const gone = await runSluice(['healthcheck'], { env });
    assert.equal(gone.code, 1);
    assert.match(gone.text, /^not ready: .+$/);
  });
});

describe('the rest', () => {
  test('version names every part, with licences the text of the embedded one', async () => {
    const { text } = await runSluice(['version']);
    assert.match(text, /^sluice \d+\.\d+\.\d+ \(\S+\)\n/);
    for (const part of ['BullMQ', 'civetweb', 'hiredis', 'libjwt', 'libpq']) assert.match(text, new RegExp(part));
    const licences = (await runSluice(['version', '--licenses'])).text;
    assert.match(licences, /MIT License|The MIT License/i);
    assert.match(licences, /Permission is hereby granted/);
  });

  test('every command has a help text', async () => {
    for (const command of ['serve', 'token', 'doctor', 'migrate', 'audit', 'dump', 'healthcheck', 'queues', 'jobs', 'top', 'completion', 'version']) {
      const { code, text } = await runSluice([command, '--help']);
      assert.equal(code, 0);
      assert.match(text, new RegExp(`sluice ${command}`));
      assert.equal((await runSluice(['help', command])).text, text);
    }
    assert.match((await runSluice(['serve', '--help'])).text, /SLUICE_HTTP_THREADS/);
    assert.match((await runSluice(['--help'])).text, /Commands:/);
  });

  test('serve --help explains every setting', async () => {
    const { text } = await runSluice(['serve', '--help']);
    for (const { name } of JSON.parse((await runSluice(['dump', 'config'])).text)) assert.match(text, new RegExp(`^ +${name} `, 'm'));
  });

  test('dump openapi prints what the server serves', async (t) => {
    const sluice = await startSluice({ args: ['--role=api'] });
    t.after(() => sluice.stop());
    assert.deepEqual(JSON.parse((await runSluice(['dump', 'openapi'])).text), (await sluice.client.get('/openapi.json')).json);
  });

  test('settings come from .env; the environment is stronger, the command line the strongest', async () => {
    const cwd = temporaryFolder();
    writeFileSync(join(cwd, '.env'), `# settings\nJWT_SECRET="${SECRET}"\nexport JWT_EXPIRES_IN=1h\n`);
    const lifeOf = async (env, ...args) => {
      const { text } = await runSluice(['token', '--sub', 'x', '--role', 'viewer', ...args], { cwd, env });
      const [signed, signature] = [text.slice(0, text.lastIndexOf('.')), text.slice(text.lastIndexOf('.') + 1)];
      assert.equal(createHmac('sha256', SECRET).update(signed).digest('base64url'), signature, text);
      const [, { iat, exp }] = parts(text);
      return exp - iat;
    };
    assert.equal(await lifeOf({}), 3600);
    assert.equal(await lifeOf({ JWT_EXPIRES_IN: '2h' }), 7200);
    assert.equal(await lifeOf({ JWT_EXPIRES_IN: '2h' }, '--ttl', '3h'), 10_800);
  });

  test('a command or option that is none is told with the nearest one, exit 2', async () => {
    const command = await runSluice(['doktor']);
    assert.equal(command.code, 2);
    assert.match(command.text, /doctor/);
    const option = await runSluice(['token', '--rolle', 'admin']);
    assert.equal(option.code, 2);
    assert.match(option.text, /role/);
    assert.equal((await runSluice(['dump', 'everything'])).code, 2);
  });

  test('what dump queues prints is taken back as a queue file', async () => {
    const folder = temporaryFolder();
    const first = await runSluice(['dump', 'queues']);
    assert.equal(first.code, 0, first.text);
    writeFileSync(join(folder, 'queues.json'), first.text);
    const second = await runSluice(['dump', 'queues'], { env: { SLUICE_QUEUES: join(folder, 'queues.json') } });
    assert.deepEqual(JSON.parse(second.text), JSON.parse(first.text));
    assert.deepEqual(JSON.parse(first.text).queues.map((queue) => queue.name).slice(0, 3), ['document-processing', 'notifications', 'compliance-analysis']);
  });

  test('dump settings tells what is in force and by what, and no secret', async () => {
    const { code, text } = await runSluice(['dump', 'settings'], { env: { SLUICE_ROLE: 'api', REDIS_URL: 'redis://:hunter2@127.0.0.1:6390' } });
    assert.equal(code, 0, text);
    const now = (wanted) => JSON.parse(text).find(({ name }) => name === wanted);
    assert.deepEqual(now('SLUICE_ROLE'), { name: 'SLUICE_ROLE', value: 'api', origin: 'environment' });
    assert.equal(now('REDIS_URL').value, '***');
    assert.equal(now('SLUICE_CORS_ORIGINS').origin, 'default');
    assert.doesNotMatch(text, /hunter2/);
  });

  test('all wrong settings are told at once, exit 2, and no secret with them', async () => {
    const { code, text } = await runSluice(['serve'], { env: { PORT: 'x', SLUICE_ROLE: 'boss', SLUICE_PROT: '1', REDIS_PASSWORD: 'hunter2hunter2' } });
    assert.equal(code, 2);
    for (const name of ['PORT', 'SLUICE_ROLE', 'SLUICE_PROT']) assert.match(text, new RegExp(name));
    assert.doesNotMatch(text, /hunter2/);
  });
});
