// BullMQ's own addBulk without a server around it: calls of SIZE jobs, one at a time, for SECONDS.
//
//     node bulk.mjs REDIS_SOCKET SIZE SECONDS        prints {jobs, seconds, cpuSeconds}
import { Queue } from 'bullmq';
import { Redis } from 'ioredis';
import { OPTIONS, notification } from './shared.mjs';

const [socket, size, seconds] = process.argv.slice(2);
const connection = new Redis({ path: socket, maxRetriesPerRequest: null });
const queue = new Queue('notifications', { connection });
const batch = () => Array.from({ length: Number(size) }, () => ({ name: 'send-notification', data: notification(200), opts: OPTIONS }));
await queue.addBulk(batch());

const used = process.cpuUsage();
const began = performance.now();
const end = began + Number(seconds) * 1000;
let jobs = 0;
while (performance.now() < end) jobs += (await queue.addBulk(batch())).length;
const { user, system } = process.cpuUsage(used);
console.log(JSON.stringify({ jobs, seconds: (performance.now() - began) / 1000, cpuSeconds: (user + system) / 1e6 }));
await queue.close();
connection.disconnect();
