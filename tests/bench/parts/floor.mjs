// What running a job costs Redis when nobody decides anything: the commands that BullMQ's layout asks for, as a script that knows the answers.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { inTurns } from './figures.mjs';
import { cpuSeconds } from './load.mjs';
import { startStore } from './stage.mjs';

const SCRIPT = readFileSync(join(import.meta.dirname, '../floor.lua'), 'utf8');
const BASE = 'bull:floor:';
const PER_FILL = 1000;

// As a fresh job stands there.
async function fill(admin, jobs) {
  for (let first = 1; first <= jobs; first += PER_FILL) {
    const batch = admin.pipeline();
    for (let id = first; id < first + PER_FILL; id++) {
      batch.hset(BASE + id, 'name', 'empty', 'data', '{"to":"someone@example.org","n":1}', 'opts', '{"attempts":0}', 'timestamp', Date.now(), 'delay', 0, 'priority', 0);
      batch.lpush(`${BASE}wait`, id);
    }
    await batch.exec();
  }
}

// One call at a time, each of which completes the jobs of the one before and takes as many.
async function runAll(redis, jobs, group) {
  const { admin } = redis;
  await admin.flushall();
  await fill(admin, jobs);
  const sha = await admin.script('LOAD', SCRIPT);
  const used = cpuSeconds(redis.pid), began = performance.now();
  for (let held = null; held === null || held.length;) {
    [held] = await admin.evalsha(sha, 0, BASE, Date.now(), group, ...(held ?? []));
  }
  const completed = await admin.zcard(`${BASE}completed`);
  if (completed !== jobs) throw new Error(`${completed} of ${jobs} jobs were completed`);
  return { perSecond: (jobs * 1000) / (performance.now() - began), redisMicros: ((cpuSeconds(redis.pid) - used) * 1e6) / jobs, faults: 0 };
}

export async function floors(plan) {
  const redis = await startStore('memory');
  const groups = [1, 25];
  const results = await inTurns(plan.rounds, Object.fromEntries(groups.map((group) => [group, () => runAll(redis, plan.emptyJobs, group)])), { warmUp: plan.rounds > 1 });
  await redis.admin.flushall();
  await redis.stop();
  return groups.map((group) => ({ id: `floor-${group}`, title: `Redis: the commands of jobs that run, ${group} a call, one call at a time`, ...results[group] }));
}
