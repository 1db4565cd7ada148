// kill -9 of the gateway, at moments that its own log lines choose: no acknowledged job is lost, and none runs twice without a cause.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { Executions, LONG, Writers, balance, chance, durableRedis, embeddedStore, gateway, putDocument, queueFile, saysAway } from './support.mjs';

const LINES = 160; // a kill comes at a line below this

// Kills at the n-th line that it logs, on the very line, and starts it again at once.
async function killAndRestart(sluice, executions, below) {
  const at = sluice.logs.length + below(LINES);
  await eventually(() => sluice.logs.length > at, { timeout: 60_000, interval: 1, what: `log line ${at}` });
  await sluice.kill();
  const caught = executions.died();
  const since = performance.now();
  await sluice.start();
  return { caught, away: performance.now() - since };
}

async function killRepeatedly(t, { kills, sluice, redis }) {
  const below = chance(t);
  const executions = new Executions(sluice.logs);
  const data = await putDocument(sluice);
  const writers = new Writers(sluice, {
    data, lossy: true,
    mayFail: saysAway, // just started
    held: (writers) => writers.acknowledged - executions.read().began.size > 40,
  });
  const inFlight = [];
  let away = 0;
  for (let n = 0; n < kills; n++) {
    const kill = await killAndRestart(sluice, executions, below);
    inFlight.push(...kill.caught);
    away = Math.max(away, kill.away);
  }
  await writers.stop();
  t.diagnostic(`${kills} kills, at most ${Math.round(away)} ms from a start to its "listening"`);
  assert.ok(writers.acknowledged >= kills, 'there was hardly any load');
  assert.ok(inFlight.length > 0, 'no kill met a running job');
  await balance(t, { redis, writers, executions, inFlight });
}

test('50 kills beside a Redis that lives on', { timeout: 15 * 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile() } });
  await killRepeatedly(t, { kills: LONG ? 500 : 50, sluice, redis: redis.admin });
  await sluice.stop();
});

test('kills that take the embedded Redis along', { timeout: 10 * 60_000 }, async (t) => {
  const sluice = await gateway(t, { env: { SLUICE_QUEUES: queueFile() } });
  await killRepeatedly(t, { kills: LONG ? 100 : 12, sluice, redis: embeddedStore(t, sluice) });
  await sluice.stop();
});
