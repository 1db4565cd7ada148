// PostgreSQL beside the gateway: the embedded one's life, an own one's coming and going, migrations, the doctor.
import assert from 'node:assert/strict';
import { chmodSync, chownSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { eventually, processesOf, runSluice, SLUICE, startPostgres, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

const SOON = { timeout: 120_000 };
const isRoot = process.getuid() === 0;

async function recordsCheck(sluice) {
  const { json } = await sluice.client.as(null).get('/readyz?verbose');
  return json.checks.find(({ name }) => name === 'records');
}

const whenUp = (sluice) => eventually(async () => (await recordsCheck(sluice)).ok, { ...SOON, what: 'PostgreSQL to be up' });

const postgresOf = (sluice) => sluice.logs.filter(({ event }) => event === 'postgres_child_ready').at(-1)?.pid;

describe('the embedded PostgreSQL', () => {
  test('comes up behind a gateway that is ready without it, and goes with it', async () => {
    const sluice = await startSluice({ env: { SLUICE_RECORDS: 'on' } });
    await eventually(async () => (await sluice.client.as(null).get('/readyz')).status === 200, { what: 'readiness' });
    assert.equal(sluice.logs.some(({ event }) => event === 'postgres_up'), false, 'readiness waited for PostgreSQL');
    await whenUp(sluice);
    assert.equal(statSync(join(sluice.dataDir, 'postgres')).mode & 0o777, 0o700);
    assert.equal(sluice.logs.some(({ level }) => level === 'warn'), false, 'a first start is no reason to warn');
    assert.match((await sluice.client.as(null).get('/metrics')).text, /^sluice_pg_up 1$/m);
    await sluice.stop();
    assert.equal((await sluice.logged('postgres_child_ended')).level, 'info');
  });

  test('is gone with a gateway that is killed, and taken over by the next', async () => {
    const sluice = await startSluice({ env: { SLUICE_RECORDS: 'on' } });
    await whenUp(sluice);
    const first = postgresOf(sluice);
    await sluice.kill(); // asserts that no process of the folder is left
    await sluice.start();
    await whenUp(sluice);
    assert.notEqual(postgresOf(sluice), first);
    assert.equal(sluice.logs.filter(({ event }) => event === 'postgres_data_made').length, 1);
    await sluice.stop();
  });

  test('is started again when it dies', async () => {
    const sluice = await startSluice({ env: { SLUICE_RECORDS: 'on' } });
    await whenUp(sluice);
    const first = postgresOf(sluice);
    process.kill(first, 'SIGKILL');
    await eventually(() => postgresOf(sluice) !== first, { ...SOON, what: 'another postgres' });
    await whenUp(sluice);
    assert.equal((await sluice.client.as(null).get('/readyz')).status, 200);
    await sluice.stop();
  });

  test('is not disturbed by a second gateway on the same folder', async () => {
    const redis = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
    const dataDir = temporaryFolder();
    const one = await startSluice({ dataDir, env: { SLUICE_RECORDS: 'on', REDIS_URL: redis.url } });
    await whenUp(one);
    const two = await startSluice({ dataDir, secret: one.secret, env: { SLUICE_RECORDS: 'on', REDIS_URL: redis.url } });
    await whenUp(two); // through the server of the first
    assert.equal((await two.client.as(null).get('/readyz')).status, 200);
    assert.equal(processesOf(dataDir).includes(postgresOf(one)), true);
    two.child.signal('SIGTERM');
    await two.child.end(30_000);
    two.assertClean();
    assert.equal((await recordsCheck(one)).ok, true);
    await one.stop();
    await redis.stop();
  });

  test('runs as the user postgres where that may enter', { skip: !isRoot }, async () => {
    const sluice = await startSluice({ env: { SLUICE_RECORDS: 'on' }, dataDir: openFolder() });
    await whenUp(sluice);
    assert.notEqual(statSync(join(sluice.dataDir, 'postgres/data')).uid, 0);
    await sluice.kill();
    chmodSync(sluice.dataDir, 0o711);
    await sluice.start();
    await whenUp(sluice);
    await sluice.stop();
  });

  test('runs for an ordinary user', { skip: !isRoot }, async () => {
    const dataDir = temporaryFolder();
    chownSync(dataDir, 65534, 65534);
    const program = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--pdeathsig', 'KILL', '--', SLUICE];
    const sluice = await startSluice({ program, dataDir, env: { SLUICE_RECORDS: 'on' } });
    await whenUp(sluice);
    assert.equal(statSync(join(dataDir, 'postgres/data')).uid, 65534);
    await sluice.kill();
    await sluice.start();
    await whenUp(sluice);
    await sluice.stop();
  });
});

function openFolder() {
  const folder = temporaryFolder();
  chmodSync(folder, 0o755);
  return folder;
}

describe('a PostgreSQL of one\'s own', () => {
  test('may be away at any time', async () => {
    const postgres = await startPostgres();
    await postgres.kill();
    const sluice = await startSluice({ env: { SLUICE_RECORDS: 'auto', DATABASE_URL: postgres.url } });
    await sluice.logged('postgres_unavailable');
    assert.equal((await sluice.client.as(null).get('/readyz')).status, 200);
    const away = await recordsCheck(sluice);
    assert.equal(away.ok, false);
    assert.match(away.detail, /PostgreSQL/);
    await postgres.start();
    await whenUp(sluice);
    assert.ok(postgres.rows('SELECT version FROM sluice.migrations').length > 0);
    await postgres.kill();
    await eventually(async () => !(await recordsCheck(sluice)).ok, { ...SOON, what: 'the loss to be noticed' });
    assert.equal((await sluice.client.as(null).get('/readyz')).status, 200);
    assert.match((await sluice.client.as(null).get('/metrics')).text, /^sluice_pg_up 0$/m);
    await postgres.start();
    await whenUp(sluice);
    postgres.pause(); // an end does not wait for one that is silent
    await sluice.stop();
    await postgres.stop();
  });

  test('is brought up to date by hand where the gateway may not', async () => {
    const postgres = await startPostgres();
    const env = { SLUICE_RECORDS: 'auto', DATABASE_URL: postgres.url, SLUICE_MIGRATE: '0' };
    const sluice = await startSluice({ env });
    await eventually(async () => /sluice migrate/.test((await recordsCheck(sluice)).detail), { ...SOON, what: 'the advice' });
    const dry = await runSluice(['migrate', '--dry-run'], { env });
    assert.match(dry.text, /^0001 +migrations +pending$/m);
    assert.deepEqual(postgres.rows("SELECT nspname FROM pg_namespace WHERE nspname = 'sluice'"), []);
    const done = await runSluice(['migrate'], { env });
    assert.equal(done.code, 0, done.text);
    assert.match(done.text, /^0001 +migrations +applied now$/m);
    assert.match((await runSluice(['migrate'], { env })).text, /up to date/);
    assert.match((await runSluice(['migrate', '--status'], { env })).text, /^0001 +migrations +applied \d{4}-\d\d-\d\dT/m);
    await whenUp(sluice);
    postgres.sql("INSERT INTO sluice.migrations (version, name, sha256) SELECT max(version) + 1, 'later', '' FROM sluice.migrations");
    const newer = await runSluice(['migrate'], { env });
    assert.equal(newer.code, 1);
    assert.match(newer.text, /newer program/);
    await sluice.stop();
    await postgres.stop();
  });
});

describe('settings', () => {
  test('an address that is none is refused, and not shown', async () => {
    const { code, text } = await runSluice(['serve'], {
      env: { DATA_DIR: temporaryFolder(), PORT: '0', SLUICE_RECORDS: 'on', DATABASE_URL: 'postgresql://me:swordfish@host/db?nonsense=1' },
    });
    assert.equal(code, 1);
    assert.match(text, /^sluice: postgresql connection: .*address/m);
    assert.doesNotMatch(text, /swordfish/);
  });

  test('SLUICE_RECORDS=off speaks with no PostgreSQL', async () => {
    const sluice = await startSluice({ env: { DATABASE_URL: 'postgresql://nobody@/nothing?host=/nowhere' } });
    await sluice.logged('records_off');
    assert.equal(await recordsCheck(sluice), undefined);
    await sluice.stop();
  });

  test('the doctor looks at server and schema', async () => {
    const postgres = await startPostgres();
    const doctor = async (env) => {
      const { text } = await runSluice(['doctor', '--json'], { env: { DATA_DIR: temporaryFolder(), ...env } });
      return JSON.parse(text).filter(({ check }) => check === 'records');
    };
    const env = { SLUICE_RECORDS: 'auto', DATABASE_URL: postgres.url };
    const [answers, schema] = await doctor(env);
    assert.match(answers.text, /^the PostgreSQL \d+ answers$/);
    assert.equal(schema.level, 'ok');
    assert.match(schema.text, /pending/);
    assert.equal((await doctor({ ...env, SLUICE_MIGRATE: '0' }))[1].level, 'fail');
    assert.equal((await doctor({ SLUICE_RECORDS: 'off' }))[0].level, 'ok');
    assert.match((await doctor({ SLUICE_RECORDS: 'on' }))[0].text, /starts with the gateway/);
    await postgres.kill();
    assert.equal((await doctor(env))[0].level, 'fail');
    await postgres.stop();
  });
});
