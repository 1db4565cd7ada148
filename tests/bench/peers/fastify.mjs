// The peer: a Fastify program that does with BullMQ what Sluice does, with schema validation; with a SECRET it also verifies each request's token
// (HS256, with the cache of verified tokens that its plugin offers), else it asks for none.
//
//     node fastify.mjs REDIS_SOCKET [SECRET]        prints "listening PORT"
import jwt from '@fastify/jwt';
import { Queue } from 'bullmq';
import Fastify from 'fastify';
import { Redis } from 'ioredis';
import { NOTIFICATION, OPTIONS } from './shared.mjs';

const [socket, secret] = process.argv.slice(2);
const connection = new Redis({ path: socket, maxRetriesPerRequest: null });
const queue = new Queue('notifications', { connection });
const app = Fastify();
if (secret) {
  app.register(jwt, { secret, verify: { algorithms: ['HS256'], cache: true } });
  app.addHook('onRequest', async (request, reply) => {
    const { roles } = await request.jwtVerify();
    if (!roles.includes('producer')) reply.code(403).send();
  });
}

async function add(data) {
  const job = await queue.add('send-notification', data, OPTIONS);
  return { jobId: job.id, queue: queue.name, name: job.name, state: 'waiting', created: true, statusUrl: `/status/${job.id}` };
}

async function stateOf(id) {
  return { id, state: await queue.getJobState(id) };
}

async function read(id) {
  const job = await queue.getJob(id);
  return { ...job.asJSON(), state: await job.getState() };
}

app.post('/jobs', { schema: { body: NOTIFICATION } }, async (request, reply) => {
  reply.code(201);
  return add(request.body);
});
app.post('/jobs/bulk', { schema: { body: { type: 'array', items: NOTIFICATION } } }, async (request) => {
  const jobs = await queue.addBulk(request.body.map((data) => ({ name: 'send-notification', data, opts: OPTIONS })));
  return { results: jobs.map((job) => ({ jobId: job.id, created: true })) };
});
app.get('/status/:id', async (request) => read(request.params.id));
app.post('/status', async (request) => Promise.all(request.body.ids.map(stateOf)));
app.get('/stats', async () => queue.getJobCounts());
await app.listen({ port: 0, host: '127.0.0.1' });
console.log(`listening ${app.server.address().port}`);
