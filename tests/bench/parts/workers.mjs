// Running jobs: the embedded runtime and workers over HTTP, each beside BullMQ's Worker.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { compare, inTurns } from './figures.mjs';
import { cpuSeconds, fill, startWorker, wrk } from './load.mjs';
import { SLUICE_BUILD, startStage } from './stage.mjs';

const run = promisify(execFile);
const QUEUE = 'notifications';

// A program of its own measures them in turns.
export async function running(plan) {
  const program = join(import.meta.dirname, '../empty-bullmq.mjs');
  const { stdout } = await run(process.execPath, [program, String(plan.rounds), String(plan.emptyJobs), plan.concurrencies.join()], {
    env: { ...process.env, SLUICE_BUILD },
  });
  return stdout.trim().split('\n').map((line) => JSON.parse(line)).map(({ concurrency, seen }) => {
    const results = compare({ sluice: seen.sluice, Worker: seen.bullmq });
    return { id: `run-${concurrency}`, title: `running jobs that do nothing, concurrency ${concurrency}`, results };
  });
}

async function overHttp(stage, plan, { max, connections = 50, more = [] }) {
  const { sluice } = stage.targets;
  await stage.empty();
  await fill(sluice, QUEUE, plan.leased);
  return wrk(sluice, stage.redis, { script: 'workers.lua', connections, seconds: plan.seconds, args: [sluice.token, QUEUE, String(max), ...more] });
}

async function official(stage, plan) {
  await stage.empty();
  await fill(stage.targets.sluice, QUEUE, plan.leased);
  const before = cpuSeconds(stage.redis.pid);
  const worker = await startWorker(stage.redis, { queue: QUEUE, concurrency: 100, jobs: plan.leased });
  const { jobs, seconds, cpuSeconds: used } = await worker.end({ after: plan.seconds });
  const redisMicros = ((cpuSeconds(stage.redis.pid) - before) * 1e6) / jobs;
  return { perSecond: jobs / seconds, serverMicros: (used * 1e6) / jobs, redisMicros, faults: 0 };
}

export async function workers(plan) {
  const stage = await startStage();
  const out = [];
  const measure = async (id, how, workers) => {
    const results = await inTurns(plan.rounds, { sluice: () => overHttp(stage, plan, workers), Worker100: () => official(stage, plan) });
    out.push({ id, title: `HTTP workers that lease ${workers.max} at a time, ${how}`, results });
  };
  for (const max of plan.leases) await measure(`lease-${max}`, '50 connections, a request for each completion', { max });
  await measure('lease-100-together', '8 connections, completed together', { max: 100, connections: 8, more: ['together'] });
  await stage.empty();
  await stage.stop();
  return out;
}
