// Sluice and the peers on the same work: each case resolves with {id, title, results of inTurns}.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { notification } from '../peers/shared.mjs';
import { inTurns } from './figures.mjs';
import { cpuSeconds, fill, hammer, lines, sendLines, watch } from './load.mjs';
import { PEERS, startStage } from './stage.mjs';

const run = promisify(execFile);
const QUEUE = 'notifications';
const SUBMIT = { sluice: `/api/jobs/${QUEUE}`, fastify: '/jobs', jwt: '/jobs', nest: '/jobs' };
const STATUS = { sluice: `/api/jobs/status/${QUEUE}/ID`, fastify: '/status/ID' };
const STATES = { sluice: '/api/jobs/status', fastify: '/status' };
const STATS = { sluice: `/api/jobs/stats/${QUEUE}`, fastify: '/stats' };
const payload = JSON.stringify(notification(200));

// The same load on each target, one after the other; `before` prepares the store for each.
function versus(stage, plan, paths, load, before = async () => {}) {
  const contenders = {};
  for (const [name, path] of Object.entries(paths).filter(([name]) => stage.targets[name])) {
    contenders[name] = async () => {
      await before(name);
      return hammer(stage.targets[name], stage.redis, { ...load, body: load.body?.[name] ?? load.body, path, seconds: plan.seconds });
    };
  }
  return inTurns(plan.rounds, contenders);
}

export async function submit(plan, mode, title) {
  const stage = await startStage({ mode, peers: mode === 'memory' ? plan.peers : ['fastify'] });
  const out = [];
  for (const connections of mode === 'memory' ? plan.connections : [50]) {
    const results = await versus(stage, plan, SUBMIT, { body: payload, connections }, stage.empty);
    out.push({ id: `submit-${mode}-${connections}`, title: `POST one job, ${connections} connection${connections > 1 ? 's' : ''}${title}`, results });
  }
  await stage.empty();
  await stage.stop();
  return out;
}

// One call at a time: with four at a time addBulk is half as fast.
async function bulk(stage, size, seconds) {
  await stage.empty();
  const before = cpuSeconds(stage.redis.pid);
  const { stdout } = await run(process.execPath, [join(PEERS, 'bulk.mjs'), stage.redis.socket, String(size), String(seconds)]);
  const { jobs, seconds: took, cpuSeconds: used } = JSON.parse(stdout);
  return { perSecond: jobs / took, serverMicros: (used * 1e6) / jobs, redisMicros: ((cpuSeconds(stage.redis.pid) - before) * 1e6) / jobs, faults: 0 };
}

export async function arrays(plan) {
  const stage = await startStage();
  const out = [];
  for (const size of plan.arrays) {
    const body = JSON.stringify(Array.from({ length: size }, () => ({ data: notification(200) })));
    const load = { path: `/api/queues/${QUEUE}/jobs`, body, connections: 1, seconds: plan.seconds, perRequest: size };
    const results = await inTurns(plan.rounds, {
      sluice: async () => {
        await stage.empty();
        return hammer(stage.targets.sluice, stage.redis, load);
      },
      addBulk: () => bulk(stage, size, plan.seconds),
    });
    out.push({ id: `array-${size}`, title: `jobs by arrays of ${size.toLocaleString('en')}, one call at a time`, results });
  }
  await stage.empty();
  await stage.stop();
  return out;
}

// All lines of a call of their own, beside addBulk in calls of 1 000.
export async function byLines(plan) {
  const stage = await startStage();
  const { sluice } = stage.targets;
  const text = lines(plan.lines);
  const results = await inTurns(plan.rounds, {
    sluice: async () => {
      await stage.empty();
      const measured = watch(sluice, stage.redis);
      return { ...measured(plan.lines, await sendLines(sluice, QUEUE, text)), faults: 0 };
    },
    addBulk: () => bulk(stage, 1000, plan.seconds),
  });
  await stage.empty();
  await stage.stop();
  return [{ id: 'lines', title: `jobs by lines, ${plan.lines.toLocaleString('en')} in one call; addBulk by 1,000`, results }];
}

export async function reading(plan) {
  const stage = await startStage({ peers: ['fastify'] });
  const out = [];
  for (const waiting of plan.backlogs) {
    await stage.empty();
    await fill(stage.targets.sluice, QUEUE, waiting);
    const jobs = waiting.toLocaleString('en');
    const results = await versus(stage, plan, STATUS, { method: 'GET', ids: waiting, connections: 50 });
    out.push({ id: `status-${waiting}`, title: `status of one job, ${jobs} waiting`, results });
    if (waiting !== 1000) continue;
    const ids = Array.from({ length: 100 }, (_, i) => String(i * 10 + 1));
    const body = { sluice: JSON.stringify({ jobs: ids.map((id) => ({ queue: QUEUE, jobId: id })) }), fastify: JSON.stringify({ ids }) };
    const states = await versus(stage, plan, STATES, { body, connections: 10, perRequest: 100 });
    out.push({ id: 'states-100', title: `states, asked for 100 at a time, ${jobs} waiting`, results: states });
    const stats = await versus(stage, plan, STATS, { method: 'GET', connections: 50 });
    out.push({ id: 'stats', title: `counts of a queue, ${jobs} waiting`, results: stats });
  }
  await stage.empty();
  await stage.stop();
  return out;
}
