// BullMQ's own Worker with a processor that does nothing.
//
//     node worker.mjs REDIS_SOCKET QUEUE CONCURRENCY JOBS
//
// Prints "ready" and begins; after JOBS jobs, or at SIGTERM, {jobs, seconds, cpuSeconds, p50Ms, p99Ms}. The latter two are from the time that
// stands in a job's subject (process.hrtime, which all programs of a machine share) to its end; null when no job has one.
import { Worker } from 'bullmq';
import { Redis } from 'ioredis';

const [socket, queue, concurrency, wanted] = process.argv.slice(2);
const connection = new Redis({ path: socket, maxRetriesPerRequest: null });
const worker = new Worker(queue, async () => {}, { connection, concurrency: Number(concurrency), autorun: false });
const took = [];
let jobs = 0;
let over;
const end = new Promise((resolve) => (over = resolve));

worker.on('completed', ({ data }) => {
  jobs++;
  if (/^\d+$/.test(data?.subject)) took.push(Number(process.hrtime.bigint() - BigInt(data.subject)) / 1e6);
  if (jobs === Number(wanted)) over();
});
process.once('SIGTERM', () => over());
await worker.waitUntilReady();
console.log('ready');
const used = process.cpuUsage();
const began = performance.now();
worker.run();
await end;
const seconds = (performance.now() - began) / 1000;
const { user, system } = process.cpuUsage(used);
const quantile = (q) => took[Math.min(took.length - 1, Math.floor(took.length * q))] ?? null;
took.sort((a, b) => a - b);
console.log(JSON.stringify({ jobs, seconds, cpuSeconds: (user + system) / 1e6, p50Ms: quantile(0.5), p99Ms: quantile(0.99) }));
await worker.close(true);
connection.disconnect();
process.exit();
