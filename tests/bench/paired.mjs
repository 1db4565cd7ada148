// Two builds of Sluice under the same load, in turns, on one Redis: what a change does to the rate and to the processor time of a job.
//
//     node tests/bench/paired.mjs BEFORE AFTER [rounds] [seconds] [connections] [submit|array|stats]
//
// Two programs; NAME=value in the environment reaches both.
import { resolve } from 'node:path';
import { notification } from './peers/shared.mjs';
import { inTurns } from './parts/figures.mjs';
import { hammer } from './parts/load.mjs';
import { startGateway, startStore } from './parts/stage.mjs';

const [before, after] = process.argv.slice(2, 4).map((program) => resolve(program));
const [rounds = '7', seconds = '2', connections = '50', work = 'submit'] = process.argv.slice(4);
const redis = await startStore('memory');
const LOADS = {
  submit: { path: '/api/jobs/notifications', body: JSON.stringify(notification(200)) },
  array: { path: '/api/queues/notifications/jobs', body: JSON.stringify(Array.from({ length: 100 }, () => ({ data: notification(200) }))), perRequest: 100 },
  stats: { method: 'GET', path: '/api/jobs/stats/notifications' },
};
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('SLUICE_') || name === 'LOG_LEVEL'));
const targets = { before: await startGateway(redis, env, before), after: await startGateway(redis, env, after) };
const measure = async (name) => {
  await redis.admin.flushall();
  return hammer(targets[name], redis, { ...LOADS[work], connections: Number(connections), seconds: Number(seconds) });
};
const results = await inTurns(Number(rounds), { after: () => measure('after'), before: () => measure('before') });
for (const name of ['before', 'after']) {
  const { perSecond, serverMicros, redisMicros, p99Ms, residentMiB, spread } = results[name];
  console.log(`${name.padEnd(7)} ${Math.round(perSecond)}/s ±${Math.round(spread * 50)} %   CPU ${serverMicros.toFixed(2)} µs + Redis ${redisMicros.toFixed(2)} µs   p99 ${p99Ms.toFixed(1)} ms   ${residentMiB.toFixed(1)} MiB`);
}
const cpu = results.after.samples.map((sample, i) => sample.serverMicros / results.before.samples[i].serverMicros).toSorted((a, b) => a - b);
console.log(`after/before, round by round: rate ${results.before.ratio.toFixed(3)}, CPU ${cpu[cpu.length >> 1].toFixed(3)} (${cpu[0].toFixed(3)} to ${cpu.at(-1).toFixed(3)})`);
await targets.before.stop();
await targets.after.stop();
await redis.stop();
