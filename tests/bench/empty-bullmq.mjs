// Jobs that do nothing: the embedded runtime and BullMQ's own worker, in turns, on the same Redis (no AOF, Unix socket), from a queue
// that was filled before. Prints the median of the rounds for each concurrency, and how many times as fast the runtime is.
//
//     node tests/bench/empty-bullmq.mjs [rounds] [jobs] [concurrency,...]        SLUICE_BUILD names the folder of the program (build by default)
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Queue, Worker } from 'bullmq';
import { cleanEnvironment, startRedis } from '../api/harness/index.mjs';

const [rounds = 3, jobs = 100_000] = process.argv.slice(2, 4).map(Number);
const concurrencies = (process.argv[4] ?? '1,10,100').split(',').map(Number);
const program = join(process.env.SLUICE_BUILD ?? 'build', 'tests/bench/empty');
const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

const micros = (jobs, seconds) => (seconds * 1e6) / jobs;

async function ours(redis, concurrency) {
  const { stdout } = await promisify(execFile)(program, [redis.socket, String(concurrency), String(jobs)], { env: cleanEnvironment() });
  const { perSecond, cpuSeconds, redisCpuSeconds } = JSON.parse(stdout);
  return { perSecond, serverMicros: micros(jobs, cpuSeconds), redisMicros: micros(jobs, redisCpuSeconds), faults: 0 };
}

async function redisCpu(connection) {
  const info = await connection.info('cpu');
  return Number(/used_cpu_sys:([\d.]+)/.exec(info)[1]) + Number(/used_cpu_user:([\d.]+)/.exec(info)[1]);
}

async function theirs(redis, concurrency) {
  const connection = redis.connect();
  await connection.flushdb();
  const queue = new Queue('empty', { connection });
  for (let n = 0; n < jobs; n += 1000) {
    await queue.addBulk(Array.from({ length: 1000 }, () => ({ name: 'empty', data: { to: 'someone@example.org', n: 1 } })));
  }
  let done = 0;
  const worker = new Worker('empty', async () => {}, { connection, concurrency, autorun: false });
  const all = new Promise((resolve) => worker.on('completed', () => ++done === jobs && resolve()));
  const before = await redisCpu(connection);
  const used = process.cpuUsage();
  const began = performance.now();
  worker.run();
  await all;
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(used);
  const redisMicros = micros(jobs, (await redisCpu(connection)) - before);
  await worker.close();
  await queue.close();
  return { perSecond: jobs / seconds, serverMicros: micros(jobs, (user + system) / 1e6), redisMicros, faults: 0 };
}

const redis = await startRedis();
for (const concurrency of concurrencies) {
  const seen = { sluice: [], bullmq: [] };
  for (let round = 0; round < rounds; round++) {
    seen.sluice.push(await ours(redis, concurrency));
    seen.bullmq.push(await theirs(redis, concurrency));
  }
  const [sluice, bullmq] = [seen.sluice, seen.bullmq].map((samples) => Math.round(median(samples.map(({ perSecond }) => perSecond))));
  console.log(JSON.stringify({ concurrency, sluice, bullmq, ratio: Number((sluice / bullmq).toFixed(2)), seen }));
}
await redis.stop();
