// kill -9 of Redis under load: with `appendfsync always` what was acknowledged is there when it comes back, and the gateway goes on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { Executions, LONG, Writers, balance, chance, durableRedis, embeddedStore, gateway, putDocument, queueFile, saysAway } from './support.mjs';

const LINES = 120;

// What runs just now may run again, if its lock expires before Redis is back.
async function killRepeatedly(t, { kills, sluice, kill }) {
  const below = chance(t);
  const executions = new Executions(sluice.logs);
  const writers = new Writers(sluice, {
    data: await putDocument(sluice), mayFail: saysAway, held: (writers) => writers.acknowledged - executions.read().began.size > 40,
  });
  const inFlight = [];
  for (let n = 0; n < kills; n++) {
    const at = sluice.logs.length + below(LINES);
    await eventually(() => sluice.logs.length > at, { timeout: 60_000, interval: 1, what: `log line ${at}` });
    inFlight.push(...executions.running);
    await kill();
  }
  await writers.stop();
  return { writers, executions, inFlight };
}

test('Redis killed again and again', { timeout: 10 * 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile() } });
  const pid = sluice.child.pid;
  const books = await killRepeatedly(t, {
    kills: LONG ? 200 : 50, sluice,
    kill: async () => {
      await redis.kill();
      await redis.start();
    },
  });
  await balance(t, { redis: redis.admin, ...books });
  assert.equal(sluice.child.pid, pid);
  await sluice.stop();
});

test('the embedded Redis killed alone: it is started again, and service goes on', { timeout: 5 * 60_000 }, async (t) => {
  const sluice = await gateway(t, { env: { SLUICE_QUEUES: queueFile() } });
  const children = () => sluice.logs.filter(({ event }) => event === 'redis_child_ready');
  await sluice.logged('redis_child_ready'); // it may come behind the line that says that the gateway listens
  const books = await killRepeatedly(t, {
    kills: 3, sluice,
    kill: async () => {
      const before = children().length;
      process.kill(children().at(-1).pid, 'SIGKILL');
      await eventually(() => children().length > before, { timeout: 20_000, what: 'another redis-server' });
    },
  });
  await balance(t, { redis: embeddedStore(t, sluice), ...books });
  await sluice.stop();
});
