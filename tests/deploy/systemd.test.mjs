// What systemd hears from the program, and the unit that goes with it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Child, ROOT, eventually, makeToken, runSluice, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';

const FILE = join(ROOT, 'examples/systemd/sluice.service');
const entries = readFileSync(FILE, 'utf8').split('\n').filter((line) => /^\w+=/.test(line)).map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]);
const all = (name) => entries.filter(([key]) => key === name).map(([, value]) => value);
const [settings] = [Object.fromEntries(all('Environment').map((text) => text.split('=')))];

// A supervisor's socket; what it receives comes as lines.
const LISTENER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print("listening", flush=True)
while True:
    print(s.recv(4096).decode(), flush=True)
`;

test('it says when it is ready, that it runs, and that it ends', async () => {
  const NOTIFY_SOCKET = join(temporaryFolder(), 'notify');
  const supervisor = new Child('python3', ['-c', LISTENER, NOTIFY_SOCKET]);
  await eventually(() => supervisor.lines.includes('listening'), { what: 'the supervisor' });
  const redis = await startRedis();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, NOTIFY_SOCKET, WATCHDOG_USEC: '400000' } });
  await eventually(() => supervisor.lines.includes('READY=1'), { what: 'READY=1' });
  await eventually(() => supervisor.lines.filter((line) => line === 'WATCHDOG=1').length >= 3, { timeout: 30_000, what: 'three signs of life' });
  await sluice.stop();
  await eventually(() => supervisor.lines.includes('STOPPING=1'), { what: 'STOPPING=1' });
  const said = supervisor.lines.filter((line) => line !== 'WATCHDOG=1');
  assert.deepEqual(said, ['listening', 'READY=1', 'STOPPING=1']);
  supervisor.signal('SIGKILL');
  await supervisor.end(5_000);
  await redis.stop();
});

test('a supervisor that does not listen is no reason to fail', async () => {
  const redis = await startRedis();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, NOTIFY_SOCKET: join(temporaryFolder(), 'nobody') } });
  await sluice.logged('supervisor_not_told', { state: 'READY=1' });
  assert.equal((await sluice.client.get('/readyz')).status, 200);
  await sluice.stop();
  await redis.stop();
});

test('SIGHUP takes new keys, and keeps the old ones where the new are not right', async () => {
  const JWT_KEYS_FILE = join(temporaryFolder(), 'keys.json');
  const key = (kid) => ({ kid, alg: 'HS256', key: Buffer.from(randomBytes(32)).toString('hex'), roles: ['viewer'], orgs: '*' });
  const [old, fresh] = [key('old'), key('new')];
  const keys = (...list) => writeFileSync(JWT_KEYS_FILE, JSON.stringify(list), { mode: 0o600 });
  keys(old);
  const redis = await startRedis();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, JWT_KEYS_FILE }, allow: ['keys_not_reloaded'] });
  const statusOf = async ({ key: secret, kid }) => (await sluice.client.as(makeToken(secret, { roles: ['viewer'], header: { kid } })).get('/api/jobs/stats')).status;
  const reloads = (event) => sluice.logs.filter((entry) => entry.event === event).length;
  const reload = async (event) => {
    const before = reloads(event);
    sluice.child.signal('SIGHUP');
    await eventually(() => reloads(event) > before, { what: event });
  };
  assert.deepEqual([await statusOf(old), await statusOf(fresh)], [200, 401]);
  keys(old, fresh);
  await reload('keys_reloaded');
  assert.deepEqual([await statusOf(old), await statusOf(fresh)], [200, 200]);
  writeFileSync(JWT_KEYS_FILE, '[{"kid": "old"');
  await reload('keys_not_reloaded');
  assert.deepEqual([await statusOf(old), await statusOf(fresh)], [200, 200]);
  keys(fresh);
  await reload('keys_reloaded');
  assert.deepEqual([await statusOf(old), await statusOf(fresh)], [401, 200], 'a remembered token ends with its key');
  await sluice.stop();
  await redis.stop();
});

test('the unit names settings that exist, and gives the end its time', async () => {
  const keys = JSON.parse((await runSluice(['dump', 'config'])).text);
  const names = new Map(keys.map((key) => [key.name, key]));
  for (const [name, value] of Object.entries(settings)) {
    const secret = name.endsWith('_FILE') && names.get(name.slice(0, -'_FILE'.length))?.secret;
    assert.ok(secret || names.has(name), `there is no setting ${name}`);
    if (secret) assert.ok(all('LoadCredential').some((text) => value === `%d/${text.split(':')[0]}`), name);
  }
  const stores = ['REDIS_URL', 'DATABASE_URL']; // embedded
  assert.deepEqual(keys.filter(({ name, deploy }) => deploy && !stores.includes(name) && !(name in settings) && !(`${name}_FILE` in settings)), []);
  const longestRequest = 10;
  assert.ok(Number(all('TimeoutStopSec')) >= parseInt(settings.SLUICE_DRAIN_GRACE, 10) + longestRequest + 5);
  assert.deepEqual(all('KillMode'), ['mixed'], 'the embedded stores must outlive the drain');
  assert.equal(settings.DATA_DIR, `/var/lib/${all('StateDirectory')}`);
});

test('the unit is hardened', { skip: spawnSync('systemd-analyze', ['--version']).error && 'systemd is not installed' }, () => {
  const { stdout, stderr } = spawnSync('systemd-analyze', ['security', '--offline=true', '--threshold=25', '--no-pager', FILE], { encoding: 'utf8' });
  assert.match(stdout, /Overall exposure level for sluice\.service: [0-2]\.\d/, stdout + stderr);
});
