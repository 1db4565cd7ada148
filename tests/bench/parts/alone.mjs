// What is measured of Sluice alone, or beside a peer but not as a rate: latency, many idle connections, what a job costs by what it is.
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { temporaryFolder } from '../../api/harness/index.mjs';
import { notification } from '../peers/shared.mjs';
import { inTurns } from './figures.mjs';
import { fill, hammer, residentMiB, startWorker, steady } from './load.mjs';
import { startStage } from './stage.mjs';

const SUBMIT = { sluice: '/api/jobs/notifications', fastify: '/jobs' };
const small = JSON.stringify(notification(200));

// From sending the request to the end of the job in a BullMQ worker (the same for both) at a steady rate: half of what the worker ends a second
// while Fastify is submitted to as fast as it goes.
export async function latency(plan) {
  const stage = await startStage({ peers: ['fastify'] });
  const perSecond = Math.floor((await chainRate(stage, plan)) / 2);
  const contenders = {};
  for (const [name, path] of Object.entries(SUBMIT)) {
    contenders[name] = async () => {
      await stage.empty();
      return endToEnd(stage, name, { path, perSecond, seconds: plan.seconds });
    };
  }
  const results = await inTurns(plan.rounds, contenders);
  await stage.empty();
  await stage.stop();
  return { perSecond, results };
}

const WORKER = { queue: 'notifications', concurrency: 50 };

async function chainRate(stage, plan) {
  await stage.empty();
  const worker = await startWorker(stage.redis, { ...WORKER, jobs: 0 });
  await hammer(stage.targets.fastify, stage.redis, { path: SUBMIT.fastify, body: small, connections: 50, seconds: plan.seconds });
  const { jobs, seconds } = await worker.end({ after: 0 });
  return jobs / seconds;
}

async function endToEnd(stage, name, { path, perSecond, seconds }) {
  const jobs = Math.floor(perSecond * seconds);
  const worker = await startWorker(stage.redis, { ...WORKER, jobs });
  const next = () => JSON.stringify({ ...notification(200), subject: String(process.hrtime.bigint()) });
  await steady(stage.targets[name], { path, next, jobs, perSecond });
  const { p50Ms, p99Ms } = await worker.end();
  return { perSecond, p50Ms, p99Ms };
}

// The load of 50 connections alone, and beside so many that say nothing.
export async function idle(plan) {
  const stage = await startStage({ env: { SLUICE_HTTP_THREADS: '2500', SLUICE_KEEP_ALIVE_TIMEOUT: '10m' } });
  const { sluice } = stage.targets;
  const load = { path: SUBMIT.sluice, body: small, connections: 50, seconds: plan.seconds };
  const out = [];
  for (const connections of [0, 2000]) {
    const sockets = await open(sluice, connections);
    const results = await inTurns(plan.rounds, {
      sluice: async () => {
        await stage.empty();
        return hammer(sluice, stage.redis, load);
      },
    });
    out.push({ connections, ...results.sluice, residentMiB: residentMiB(sluice.pid) });
    for (const socket of sockets) socket.destroy();
  }
  await stage.empty();
  await stage.stop();
  return out;
}

// So many connections, each of which has had one answer and is kept.
function open({ url }, n) {
  const { hostname, port } = new URL(url);
  return Promise.all(Array.from({ length: n }, () => new Promise((resolve, reject) => {
    const socket = connect({ host: hostname, port: Number(port) }, () => socket.write(`GET /livez HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`));
    socket.once('data', () => resolve(socket)).once('error', reject);
  })));
}

const BUILT_IN = 3;

// n queues in all; the load goes to those that are declared here, alike but for their names.
async function withQueues(plan, n) {
  const file = join(temporaryFolder(), 'queues.json');
  const queues = Array.from({ length: Math.max(1, n - BUILT_IN) }, (_, i) => ({ name: `queue-${i + 1}`, jobName: 'work', processor: 'none' }));
  writeFileSync(file, JSON.stringify({ queues }));
  const stage = await startStage({ env: { SLUICE_QUEUES: file } });
  const body = JSON.stringify({ data: notification(200) });
  const load = { path: '/api/queues/queue-ID/jobs', ids: queues.length, body, connections: 50, seconds: plan.seconds };
  const results = await inTurns(plan.rounds, { sluice: () => hammer(stage.targets.sluice, stage.redis, load) });
  await stage.stop();
  return { title: `${n.toLocaleString('en')} queues`, ...results.sluice };
}

async function withBacklog(stage, plan, waiting) {
  await stage.empty();
  await fill(stage.targets.sluice, 'notifications', waiting);
  return { title: `${waiting.toLocaleString('en')} jobs waiting before`, ...(await submitOf(stage, plan, 200, false)) };
}

async function submitOf(stage, plan, bytes, empty = true) {
  const load = { path: SUBMIT.sluice, body: JSON.stringify(notification(bytes)), connections: 50, seconds: plan.seconds };
  const results = await inTurns(plan.rounds, {
    sluice: async () => {
      if (empty) await stage.empty();
      return hammer(stage.targets.sluice, stage.redis, load);
    },
  });
  return results.sluice;
}

export async function costs(plan) {
  const stage = await startStage();
  const out = [];
  for (const waiting of plan.lengths) out.push(await withBacklog(stage, plan, waiting));
  for (const bytes of plan.sizes) {
    const shorter = { ...plan, seconds: bytes > 100_000 ? 1 : plan.seconds }; // Redis keeps it all in memory
    out.push({ title: `${bytes.toLocaleString('en')} bytes of payload`, ...(await submitOf(stage, shorter, bytes)) });
  }
  await stage.empty();
  await stage.stop();
  for (const n of plan.queues) out.push(await withQueues(plan, n));
  return out;
}
