// Queues as an admin finds them on a working day: some busy, some failing, one paused, one that nobody works on.
import { Queue, Worker, FlowProducer } from 'bullmq';
import { declare, documentJob, eventually, notification, startPostgres, startRedis, startSluice } from '../api/harness/index.mjs';

export const NASTY = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202e{{7*7}}';

const DECLARATIONS = [
  { name: 'orders', jobName: 'place-order', processor: 'none', attempts: 3, removeOnComplete: { count: 1000 }, removeOnFail: { count: 1000 } },
  { name: 'thumbnails', jobName: 'render', processor: 'none', attempts: 1, removeOnComplete: { count: 1000 }, removeOnFail: { count: 1000 } },
  { name: 'invoices', jobName: 'bill', processor: 'none', attempts: 1 },
  { name: 'nightly-reports', jobName: 'report', processor: 'none' },
  {
    name: 'greetings', jobName: 'greet', processor: 'none',
    payload: {
      type: 'object', required: ['name', 'kind'], additionalProperties: false,
      properties: {
        name: { type: 'string', minLength: 1, maxLength: 100, description: 'Whom to greet.' },
        kind: { enum: ['hello', 'goodbye'] },
        times: { type: 'integer', minimum: 1, maximum: 10, description: 'How often.' },
        loud: { type: 'boolean' },
        languages: { type: 'array', items: { type: 'string' } },
        card: { type: 'object', required: ['text'], properties: { text: { type: 'string' }, colour: { enum: ['red', 'blue'] } } },
      },
    },
  },
];

// {redis, sluice, queues, stop()}. busy: workers that take the jobs of `orders` and `thumbnails`. records: with PostgreSQL, and
// jobs that have ended.
export async function setStage({ busy = true, records = false, tcp = false, env = {}, allow = [], program } = {}) {
  const redis = await startRedis({ tcp });
  const postgres = records ? await startPostgres() : null;
  const kept = postgres ? { SLUICE_RECORDS: 'on', DATABASE_URL: postgres.url } : {};
  const sluice = await startSluice({
    env: {
      REDIS_URL: redis.url, SLUICE_QUEUES: declare(...DECLARATIONS), DEV_LOGIN: '1', SLUICE_NOTIFY_DRY_RUN: '1', SLUICE_DOC_NOT_FOUND_GRACE: '0', ...kept, ...env,
    },
    allow, program,
  });
  const connection = redis.connect();
  const queues = Object.fromEntries([...DECLARATIONS.map(({ name }) => name), 'legacy-import'].map((name) => [name, new Queue(name, { connection })]));
  for (const queue of Object.values(queues)) queue.on('error', () => {}); // Redis is killed on purpose
  const workers = busy ? startWorkers(redis) : [];
  const stage = {
    redis, sluice, queues,
    async stop() {
      try {
        await Promise.all(workers.map((worker) => worker.close(true)));
        await Promise.all(Object.values(queues).map((queue) => queue.close()));
        await sluice.stop();
      } finally {
        await redis.stop();
        await postgres?.stop();
      }
    },
  };
  try {
    await fill(queues, redis);
    if (postgres) await leaveRecords(sluice, redis);
    return stage;
  } catch (error) {
    await stage.stop();
    throw error;
  }
}

function startWorkers(redis) {
  // Over the port where there is one: what a worker's address looks like elsewhere.
  const options = () => ({ connection: redis.connect(redis.port ? { path: undefined, port: redis.port } : {}), concurrency: 4, metrics: { maxDataPoints: 120 } });
  const orders = new Worker('orders', async (job) => {
    if (job.data.hold) {
      await job.log('waiting for the warehouse');
      await job.updateProgress(40);
      await new Promise(() => {});
    }
    if (job.data.fail) throw new Error(job.data.fail);
    return { order: job.data.order, total: 12.5, big: '9007199254740993' };
  }, { ...options(), name: 'warehouse-1' });
  const thumbnails = new Worker('thumbnails', async (job) => {
    if (job.data.n % 3 === 0) throw new Error(`cannot decode image ${job.data.n}: unexpected end of file`);
    return 'ok';
  }, options());
  for (const worker of [orders, thumbnails]) worker.on('error', () => {});
  return [orders, thumbnails];
}

async function fill({ orders, thumbnails, invoices, greetings, 'nightly-reports': reports, 'legacy-import': legacy }, redis) {
  await orders.addBulk(Array.from({ length: 40 }, (_, i) => ({ name: 'place-order', data: { order: 1000 + i, customer: `customer-${i % 7}` } })));
  await orders.add('place-order', { order: 2000, hold: true }, { jobId: 'held-order' });
  await orders.add('place-order', { order: 2001, fail: 'the card was declined' }, { jobId: 'declined', attempts: 2, backoff: 10 });
  await orders.add(NASTY, { note: NASTY, fail: NASTY }, { jobId: 'nasty', attempts: 1 });
  await orders.add('place-order', { order: 2002 }, { jobId: 'tomorrow', delay: 86_400_000 });
  await thumbnails.addBulk(Array.from({ length: 30 }, (_, i) => ({ name: 'render', data: { n: i } })));
  await invoices.addBulk(Array.from({ length: 120 }, (_, i) => ({ name: i % 2 ? 'bill' : 'remind', data: { invoice: i } })));
  await invoices.pause();
  await greetings.add('greet', { name: 'World', kind: 'hello' }, { jobId: 'hello-world' });
  await reports.addBulk(Array.from({ length: 12 }, (_, i) => ({ name: 'report', data: { n: i }, opts: { delay: 3_600_000 * (i + 1) } })));
  await legacy.add('import', { file: 'a.csv' });
  const flow = new FlowProducer({ connection: redis.connect() });
  await flow.add({
    name: 'month-end', queueName: 'nightly-reports', data: {}, opts: { jobId: 'month-end' },
    children: [
      { name: 'report', queueName: 'greetings', data: { name: 'a', kind: 'hello' }, opts: { jobId: 'part-a' } },
      { name: 'report', queueName: 'invoices', data: { part: 'b' }, opts: { jobId: 'part-b' }, children: [{ name: 'fetch', queueName: 'legacy-import', data: {}, opts: { jobId: 'fetch-b' } }] },
    ],
  });
  await flow.close();
}

// Two notifications that are sent, and three documents that nobody has stored. The first is gone from Redis when its record is there.
async function leaveRecords(sluice, redis) {
  await redis.admin.hset('bull:notify:user:ada', 'email', 'ada@example.org');
  for (const id of ['sent-1', 'sent-2']) await sluice.client.post(`/api/jobs/notifications?jobId=${id}`, { ...notification, userId: 'ada' });
  for (const n of [101, 102, 103]) await sluice.client.post(`/api/jobs/document-processing?attempts=1&jobId=lost-${n}`, { ...documentJob, documentId: `doc-${n}` });
  await eventually(async () => {
    const pages = await Promise.all(['notifications', 'document-processing'].map((queue) => sluice.client.get(`/api/records?queue=${queue}`)));
    return pages.flatMap(({ json }) => json.items ?? []).filter(({ state }) => ['completed', 'failed'].includes(state)).length === 5;
  }, { timeout: 60_000, what: 'the records' });
  await redis.admin.zrem('bull:notifications:completed', 'sent-1');
  await redis.admin.del('bull:notifications:sent-1');
}

// Until every job of `orders` and `thumbnails` that can end has ended.
export const settled = ({ queues: { orders, thumbnails } }) => eventually(async () => {
  const [a, b] = await Promise.all([orders.getJobCounts(), thumbnails.getJobCounts()]);
  return a.waiting + b.waiting === 0 && a.active === 1 && b.active === 0 && a.failed === 2;
}, { timeout: 60_000, what: 'the end of the jobs' });
