// A BullMQ worker as a program of its own, so that it can be killed: node shared-worker.mjs SOCKET QUEUE
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'bullmq';

const [path, queue] = process.argv.slice(2);
const worker = new Worker(queue, async () => {
  await pause(Math.random() * 60);
  return { by: 'node' };
}, { connection: { path, maxRetriesPerRequest: null }, concurrency: 3, lockDuration: 2000, stalledInterval: 1000, maxStalledCount: 100 });
worker.on('error', () => {});
console.log('ready');
