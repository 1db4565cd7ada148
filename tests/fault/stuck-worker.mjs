// A BullMQ worker that takes a job and never ends it: node stuck-worker.mjs <socket> <queue> <lock in ms>. It is there to be killed.
import { Worker } from 'bullmq';

const [path, queue, lockDuration] = process.argv.slice(2);
new Worker(queue, (job) => {
  console.log(`took ${job.id}`);
  return new Promise(() => setInterval(() => {}, 60_000));
}, { connection: { path, maxRetriesPerRequest: null }, lockDuration: Number(lockDuration), skipStalledCheck: true });
