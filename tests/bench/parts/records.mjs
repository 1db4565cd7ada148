// What records cost: the same load on two gateways, each with a Redis of its own; one keeps records in a PostgreSQL. A measurement ends when every
// record is written, so their whole cost is in it.
import { eventually, processesOf, startPostgres } from '../../api/harness/index.mjs';
import { notification } from '../peers/shared.mjs';
import { inTurns } from './figures.mjs';
import { cpuSeconds, fill, wrk, bodyFile } from './load.mjs';
import { startStage } from './stage.mjs';

const QUEUE = 'notifications';
const small = JSON.stringify(notification(200));

const cpuOfAll = (pids) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);

// Processor time per item of the gateway, of its Redis and of PostgreSQL, until nothing waits to be written.
async function whole({ stage, pg }, measure) {
  const parts = { serverMicros: () => cpuSeconds(stage.targets.sluice.pid), redisMicros: () => cpuSeconds(stage.redis.pid), pgMicros: () => (pg ? cpuOfAll(processesOf(pg.folder)) : 0) };
  const before = Object.values(parts).map((read) => read());
  const { items, ...sample } = await measure();
  await eventually(async () => (await stage.redis.admin.xlen(`bull:${QUEUE}:outbox`)) === 0, { timeout: 600_000, interval: 50, what: 'an empty outbox' });
  Object.entries(parts).forEach(([name, read], i) => (sample[name] = ((read() - before[i]) * 1e6) / items));
  return sample;
}

async function posts(side, plan) {
  await side.stage.empty();
  const { sluice } = side.stage.targets;
  return whole(side, async () => {
    const sample = await wrk(sluice, side.stage.redis, { script: 'load.lua', path: '/api/jobs/notifications', args: ['POST', sluice.token, bodyFile(small), '0'], connections: 50, seconds: plan.seconds });
    return { ...sample, items: sample.perSecond * plan.seconds };
  });
}

// Jobs that are leased, completed and not kept: as much as can happen to a record in so little time.
async function ends(side, plan) {
  await side.stage.empty();
  const { sluice } = side.stage.targets;
  await fill(sluice, QUEUE, plan.leased);
  return whole(side, async () => {
    const sample = await wrk(sluice, side.stage.redis, { script: 'workers.lua', connections: 50, seconds: plan.seconds, args: [sluice.token, QUEUE, '100'] });
    return { ...sample, items: sample.perSecond * plan.seconds };
  });
}

export async function records(plan) {
  const pg = await startPostgres();
  const sides = {
    sluice: { stage: await startStage() },
    records: { stage: await startStage({ env: { SLUICE_RECORDS: 'on', DATABASE_URL: pg.url } }), pg },
  };
  await eventually(() => pg.rows('SELECT 1 FROM sluice.records LIMIT 1'), { timeout: 30_000, what: 'the tables of the records' });
  const out = [];
  for (const [title, measure] of [['POST one job, 50 connections', posts], ['HTTP workers that lease 100 at a time and complete', ends]]) {
    out.push({ title, results: await inTurns(plan.rounds, Object.fromEntries(Object.entries(sides).map(([name, side]) => [name, () => measure(side, plan)]))) });
  }
  for (const { stage } of Object.values(sides)) await stage.stop();
  await pg.stop();
  return out;
}
