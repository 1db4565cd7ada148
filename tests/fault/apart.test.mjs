// Several api and several worker processes on one Redis, behind the proxy of compose.yaml: any of them may die at any time, and all of them can be
// replaced while clients go on.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, freePort, makeToken, temporaryFolder } from '../api/harness/index.mjs';
import { Client } from '../api/harness/http.mjs';
import { startEdge } from './edge.mjs';
import { DOCUMENTS, LONG, Writers, balance, chance, durableRedis, executionsOf, gateway, putDocument, queueFile } from './support.mjs';

const EACH = 2; // processes of each role
const LOCK_MS = 2000; // of support.mjs' queue
const INTERVAL_MS = 1000;
const ELSE_MS = LONG ? 20_000 : 6000; // until it has run again, behind what waits, while killed processes come back on a machine that is busy with all of this

async function startAll(t) {
  const redis = await durableRedis(t, { tcp: true });
  const secret = randomBytes(32).toString('hex');
  const env = { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile(), SLUICE_DOCUMENTS_DIR: join(temporaryFolder(), 'documents'), SLUICE_RECORDS: 'off' };
  const ports = [];
  for (let i = 0; i < EACH; i++) ports.push(await freePort());
  const start = (role, PORT) => gateway(t, { secret, env: { ...env, PORT: String(PORT) }, args: [`--role=${role}`], allow: [/./] });
  const apis = [];
  const workers = [];
  for (const port of ports) apis.push(await start('api', port));
  for (let i = 0; i < EACH; i++) workers.push(await start('worker', 0));
  const edge = await startEdge(t, ports);
  const client = new Client({ port: edge.port, token: makeToken(secret) });
  t.after(() => client.close());
  await eventually(async () => (await client.get('/readyz').catch(() => ({}))).status === 200, { timeout: 30_000, what: 'an answer through the proxy' });
  const executions = executionsOf(workers.map(({ logs }) => logs));
  return { redis, apis, workers, edge, client, executions };
}

const backlogOf = (redis) => async (writers) => writers.acknowledged - await redis.zcard(`bull:${DOCUMENTS}:completed`);

test('any process may die under load: no acknowledged job is lost', { timeout: LONG ? 1_800_000 : 300_000 }, async (t) => {
  const { redis, apis, workers, client, executions } = await startAll(t);
  const below = chance(t);
  const data = await putDocument({ client });
  let backlog = 0;
  const writers = new Writers({ client }, {
    data, count: 4, lossy: true, held: () => backlog > 60, mayFail: ({ status }) => [502, 503, 504].includes(status),
  });
  const measure = backlogOf(redis.admin);
  const inFlight = [];
  const recoveries = [];
  const until = Date.now() + (LONG ? 600_000 : 20_000);
  let kills = 0;
  while (Date.now() < until || kills < 4) {
    const n = below(2 * EACH);
    const victim = [...apis, ...workers][n];
    await pause(below(500));
    await victim.kill();
    kills++;
    if (n >= EACH) {
      const held = executions.all[n - EACH].died();
      inFlight.push(...held);
      const since = Date.now();
      const ended = async (id) => (await redis.admin.zscore(`bull:${DOCUMENTS}:completed`, id)) !== null;
      recoveries.push(...held.map((id) => eventually(() => ended(id), { timeout: 60_000, interval: 20, what: `the recovery of ${id}` }).then(() => Date.now() - since)));
    }
    await victim.start();
    backlog = await measure(writers);
  }
  backlog = 0;
  await writers.stop();
  const slowest = Math.max(0, ...await Promise.all(recoveries));
  t.diagnostic(`${kills} kills; jobs of dead workers ended within ${slowest} ms; lock and interval are ${LOCK_MS + INTERVAL_MS} ms`);
  assert.ok(writers.acknowledged > kills, 'there was hardly any load');
  assert.ok(slowest < LOCK_MS + INTERVAL_MS + ELSE_MS, `a dead worker's job was recovered after ${slowest} ms`);
  await balance(t, { redis: redis.admin, writers, executions, inFlight });
  for (const sluice of [...apis, ...workers]) await sluice.stop();
});

test('all processes are replaced one by one without a failed request', { timeout: 300_000 }, async (t) => {
  const { redis, apis, workers, edge, client, executions } = await startAll(t);
  const data = await putDocument({ client });
  let backlog = 0;
  const writers = new Writers({ client }, { data, count: 4, held: () => backlog > 60 });
  const measure = backlogOf(redis.admin);
  const under = async (number) => {
    const goal = writers.acknowledged + number;
    await eventually(async () => {
      backlog = await measure(writers);
      return writers.acknowledged >= goal;
    }, { timeout: 60_000, what: 'more load' });
  };
  for (const [i, api] of apis.entries()) {
    await under(20);
    await edge.drain(`s${i}`);
    await api.stop();
    await api.start();
    await edge.restore(`s${i}`);
  }
  for (const worker of workers) {
    await under(20);
    await worker.stop();
    await worker.start();
  }
  await under(20);
  backlog = 0;
  await writers.stop();
  assert.deepEqual([...writers.answers.keys()].sort(), [201]);
  await balance(t, { redis: redis.admin, writers, executions, inFlight: [] });
  for (const sluice of [...apis, ...workers]) await sluice.stop();
});
