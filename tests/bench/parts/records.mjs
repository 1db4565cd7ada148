// What records cost: the same load on gateways with a Redis of their own each; some keep records in a PostgreSQL, which for one of them is stopped
// during the load. A measurement ends when every record is written, so their whole cost is in it.
import { declare, eventually, processesOf, startPostgres } from '../../api/harness/index.mjs';
import { notification } from '../peers/shared.mjs';
import { inTurns } from './figures.mjs';
import { cpuSeconds, fill, wrk, bodyFile } from './load.mjs';
import { startStage } from './stage.mjs';

const QUEUE = 'notifications';
const ELSEWHERE = 'elsewhere'; // its jobs are written down when they are added, too
const QUEUES = declare({ name: QUEUE }, { name: ELSEWHERE, processor: 'none' });
const small = JSON.stringify(notification(200));
const named = JSON.stringify({ name: 'job', data: notification(200) });

const cpuOfAll = (pids) => pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);

// Processor time per item of the gateway, of its Redis and of PostgreSQL, until nothing waits to be written.
async function whole({ stage, pg }, measure) {
  const parts = { serverMicros: () => cpuSeconds(stage.targets.sluice.pid), redisMicros: () => cpuSeconds(stage.redis.pid), pgMicros: () => (pg ? cpuOfAll(processesOf(pg.folder)) : 0) };
  const before = Object.values(parts).map((read) => read());
  const { items, ...sample } = await measure();
  const streams = [QUEUE, ELSEWHERE].flatMap((queue) => [`bull:${queue}:outbox`, `bull:${queue}:outbox:adds`]);
  const waiting = async () => (await Promise.all(streams.map((key) => stage.redis.admin.xlen(key)))).some((length) => length > 0);
  await eventually(async () => !(await waiting()), { timeout: 600_000, interval: 50, what: 'an empty outbox' });
  Object.entries(parts).forEach(([name, read], i) => (sample[name] = ((read() - before[i]) * 1e6) / items));
  return sample;
}

const posts = (path, body) => async (side, plan) => {
  await side.stage.empty();
  const { sluice } = side.stage.targets;
  return whole(side, async () => {
    if (side.stopped) await side.pg.pause();
    try {
      const sample = await wrk(sluice, side.stage.redis, { script: 'load.lua', path, args: ['POST', sluice.token, bodyFile(body), '0'], connections: 50, seconds: plan.seconds });
      return { ...sample, items: sample.perSecond * plan.seconds };
    } finally {
      if (side.stopped) await side.pg.resume();
    }
  });
};

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

// pg: where its records go; stopped: not while the load lasts.
async function startSide({ pg, stopped = false } = {}) {
  const stage = await startStage({ env: { SLUICE_QUEUES: QUEUES, ...(pg && { SLUICE_RECORDS: 'on', DATABASE_URL: pg.url }) } });
  if (pg) await eventually(() => pg.rows('SELECT 1 FROM sluice.records LIMIT 1'), { timeout: 30_000, what: 'the tables of the records' });
  return { stage, pg, stopped };
}

export async function records(plan) {
  const sides = { sluice: await startSide(), records: await startSide({ pg: await startPostgres() }), stopped: await startSide({ pg: await startPostgres(), stopped: true }) };
  const { stopped, ...running } = sides;
  const out = [];
  const loads = {
    own: ['POST one job, 50 connections', posts(`/api/jobs/${QUEUE}`, small), sides],
    elsewhere: ['the same for workers elsewhere, whose jobs are written down when they are added', posts(`/api/queues/${ELSEWHERE}/jobs`, named), sides],
    ends: ['HTTP workers that lease 100 at a time and complete', ends, running],
  };
  for (const [title, measure, contenders] of plan.recorded.map((name) => loads[name])) {
    out.push({ title, results: await inTurns(plan.rounds, Object.fromEntries(Object.entries(contenders).map(([name, side]) => [name, () => measure(side, plan)]))) });
  }
  for (const { stage, pg } of Object.values(sides)) {
    await stage.stop();
    await pg?.stop();
  }
  return out;
}
