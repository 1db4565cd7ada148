#!/usr/bin/env node
// Submit, poll and work with Node 18's own fetch.
//
//     SLUICE_URL=http://127.0.0.1:3000 SLUICE_TOKEN=... node client.mjs submit hello '{"name": "World"}'
//     node client.mjs poll hello 1
//     node client.mjs work hello
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';

const url = process.env.SLUICE_URL ?? 'http://127.0.0.1:3000';
const token = process.env.SLUICE_TOKEN;
const stopping = new AbortController();

// {status, answer, retryMs}; the status is 0 where no answer came.
async function call(method, path, body, headers = {}) {
  try {
    const response = await fetch(url + path, {
      method, body: body && JSON.stringify(body), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...headers },
    });
    return { status: response.status, answer: await response.json(), retryMs: 1000 * Number(response.headers.get('retry-after') ?? 1) };
  } catch (error) {
    return { status: 0, answer: { detail: error.message }, retryMs: 1000 };
  }
}

// The same call until it is answered: for what may safely be repeated.
async function persist(...request) {
  for (;;) {
    const { status, answer, retryMs } = await call(...request);
    if (![0, 429, 503, 504].includes(status)) return { status, answer };
    await pause(retryMs);
  }
}

async function submit(queue, data) {
  // With its key the request may be repeated: it makes one job.
  const { status, answer } = await persist('POST', `/api/queues/${queue}/jobs`, { data: JSON.parse(data) }, { 'idempotency-key': randomUUID() });
  if (status !== 200 && status !== 201) throw new Error(JSON.stringify(answer));
  console.log(answer.jobId);
}

async function poll(queue, id) {
  for (;;) {
    const { status, answer } = await persist('GET', `/api/jobs/status/${queue}/${encodeURIComponent(id)}`, undefined, { prefer: 'wait=20' });
    if (status !== 200) throw new Error(JSON.stringify(answer));
    if (answer.state === 'completed') return console.log(JSON.stringify(answer.returnvalue));
    if (answer.state === 'failed') throw new Error(answer.failedReason);
  }
}

// The work: replace it by yours, and look at signal.aborted now and then.
async function handle(job, signal) {
  if (typeof job.data.name !== 'string') throw new TypeError('the name is missing');
  return `Hello ${job.data.name}`;
}

// A timer keeps the lock while the work goes on; the signal tells when it must stop.
async function run(job) {
  const path = `/api/queues/${job.queue}/jobs/${encodeURIComponent(job.id)}/`;
  const cancelled = new AbortController();
  const keeper = setInterval(async () => {
    const { status, answer } = await call('POST', `${path}heartbeat`, { token: job.token });
    if (status === 409 || answer.cancel) cancelled.abort();
  }, Math.max(50, (job.lockExpiresAt - Date.now()) / 3));
  const [how, more] = await handle(job, cancelled.signal).then(
    (returnvalue) => ['complete', { returnvalue }],
    (error) => ['fail', { reason: `${error.name.toUpperCase()}: ${error.message}` }],
  );
  const { status, answer } = await persist('POST', path + how, { token: job.token, ...more });
  clearInterval(keeper);
  if (status !== 200) console.error(`${job.id}: ${status === 409 ? 'not ours any more' : JSON.stringify(answer)}`);
}

async function work(queue, workerId = `node-${process.pid}`) {
  for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => stopping.abort());
  while (!stopping.signal.aborted) {
    const { status, answer, retryMs } = await call('POST', `/api/queues/${queue}/lease`, { workerId, max: 4, wait: 2 });
    if (status === 200) {
      await Promise.all(answer.jobs.map(run));
    } else {
      console.error(answer.detail);
      await pause(retryMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }
}

const command = { submit, poll, work }[process.argv[2]];
if (!command || process.argv.length < 4) {
  console.error('usage: client.mjs submit QUEUE JSON | poll QUEUE ID | work QUEUE [WORKER]');
  process.exit(2);
}
command(...process.argv.slice(3)).catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});
