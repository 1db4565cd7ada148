// An hour of everything at once, or SLUICE_SOAK_MINUTES of it: the process neither grows nor gathers threads and descriptors.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { RELEASE, declare, eventually, startPostgres } from '../api/harness/index.mjs';
import { DOCUMENTS, LONG, chance, durableRedis, gateway, putDocument, saysAway } from './support.mjs';

const MINUTES = Number(process.env.SLUICE_SOAK_MINUTES ?? (LONG ? 60 : 0));
const WARM_UP_PART = 0.5; // of each size below 1 KiB the allocator keeps some freed blocks for each thread, and each thread has to meet every size
const GROWTH_BYTES = 2 << 20; // or one part in a hundred
const REST_MS = 5; // of each client between two requests: this is about time, not about load

const KEEP = { removeOnComplete: { count: 500 }, removeOnFail: { count: 500 }, record: { days: 1 } };
const QUEUES = [
  { name: DOCUMENTS, concurrency: 2, ...KEEP }, { name: 'notifications', concurrency: 4, ...KEEP }, { name: 'elsewhere', processor: 'none', lockDuration: 2000, stalledInterval: 1000, attempts: 2, ...KEEP },
];
const NOTE = { userId: 'u1', type: 'email', subject: 's', message: 'm' };

function sample(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const field = (name) => Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(status)[1]);
  return { at: performance.now(), rss: field('VmRSS') * 1024, threads: field('Threads'), descriptors: readdirSync(`/proc/${pid}/fd`).length };
}

// How much the value grew over all samples, by the straight line that fits best.
function growth(samples, name) {
  const mean = (of) => samples.reduce((sum, one) => sum + of(one), 0) / samples.length;
  const [x, y] = [mean((one) => one.at), mean((one) => one[name])];
  const spread = samples.reduce((sum, one) => sum + (one.at - x) ** 2, 0);
  const slope = samples.reduce((sum, one) => sum + (one.at - x) * (one[name] - y), 0) / spread;
  return slope * (samples.at(-1).at - samples[0].at);
}

const median = (values) => [...values].sort((a, b) => a - b)[values.length >> 1];

// What clients do, one after the other and again.
function deeds({ sluice, data, below, redis }) {
  const { client } = sluice;
  const producer = sluice.as({ roles: ['producer'] });
  const worker = sluice.as({ roles: ['worker'] });
  const raw = (bytes) => new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port: sluice.port }).on('error', resolve).on('close', resolve);
    socket.write(bytes);
    setTimeout(() => socket.destroy(), below(300));
  });
  const listen = () => raw(`GET /api/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${sluice.token()}\r\n\r\n`);
  return [
    () => producer.post(`/api/jobs/${DOCUMENTS}`, data, { headers: { 'idempotency-key': randomUUID() } }),
    () => producer.post('/api/jobs/notifications', NOTE),
    () => client.post('/api/queues/elsewhere/jobs', Array.from({ length: 1 + below(50) }, (_, n) => ({ name: 'n', data: { n, fill: 'x'.repeat(below(2000)) } }))),
    async () => {
      const { json } = await worker.post('/api/queues/elsewhere/lease', { workerId: 'w', max: 1 + below(60), wait: 0 });
      for (const { id, token } of json.jobs ?? []) {
        const end = below(20) ? { way: 'complete', body: { token, returnvalue: { id } } } : { way: 'fail', body: { token, reason: 'E: no' } };
        if (below(50)) await worker.post(`/api/queues/elsewhere/jobs/${id}/${end.way}`, end.body); // else its lock runs out
      }
    },
    () => client.get('/api/jobs/stats'),
    () => client.get(`/api/queues/elsewhere/jobs?state=completed&limit=${1 + below(100)}`),
    () => client.get(`/api/jobs/status/elsewhere/${1 + below(1000)}`),
    () => client.get('/metrics'),
    () => client.post(`/api/jobs/${DOCUMENTS}`, { no: 'document' }),
    () => sluice.as({ roles: ['viewer'] }).get('/api/queues'),
    async () => client.delete(`/api/documents/${(await putDocument(sluice)).documentId}`),
    () => raw('GET /\x00'),
    () => raw('POST /api/jobs/notifications HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{'),
    listen,
    async () => below(500) || redis.client('KILL', 'TYPE', 'normal', 'SKIPME', 'yes'),
  ];
}

test('time goes by', { timeout: MINUTES * 90_000 + 120_000, skip: MINUTES ? false : 'a long test' }, async (t) => {
  const redis = await durableRedis(t);
  const pg = await startPostgres();
  t.after(() => pg.stop());
  const sluice = await gateway(t, {
    program: [process.env.SLUICE_BIN ?? RELEASE], allow: [/./],
    env: { REDIS_URL: redis.url, DATABASE_URL: pg.url, SLUICE_RECORDS: 'on', SLUICE_NOTIFY_DRY_RUN: '1', SLUICE_QUEUES: declare(...QUEUES), LOG_LEVEL: 'info', SLUICE_HTTP_THREADS: '64', SLUICE_DOC_MAX_AGE: '1h' },
  });
  const below = chance(t);
  const todo = deeds({ sluice, data: await putDocument(sluice), below, redis: redis.admin });
  const until = performance.now() + MINUTES * 60_000;
  const statuses = new Map();
  const wrong = [];
  const client = async () => {
    while (performance.now() < until) {
      const answer = await todo[below(todo.length)]().catch((error) => ({ status: error.code ?? error.message }));
      if (answer?.status) statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
      if (answer?.status >= 500 && !saysAway(answer) && answer.json?.code !== 'queue-full') wrong.push(answer.text);
      sluice.logs.length = 0; // the tester is not to grow either
      sluice.child.lines.length = 0;
      await pause(REST_MS);
    }
  };
  const samples = [];
  const watch = async () => {
    for (; performance.now() < until; await pause(1000)) samples.push(sample(sluice.child.pid));
  };
  await Promise.all([watch(), ...Array.from({ length: 8 }, client)]);
  const steady = samples.slice(Math.floor(samples.length * WARM_UP_PART));
  const tenth = Math.max(1, Math.floor(steady.length / 10));
  const [first, last] = [steady.slice(0, tenth), steady.slice(-tenth)];
  const grown = growth(steady, 'rss');
  const level = median(steady.map(({ rss }) => rss));
  const eighths = Array.from({ length: 8 }, (_, i) => samples.slice(Math.floor((samples.length * i) / 8), Math.floor((samples.length * (i + 1)) / 8)));
  const of = (part, name) => median(part.map((one) => one[name]));
  t.diagnostic(`${MINUTES} min, ${[...statuses.values()].reduce((sum, n) => sum + n, 0)} requests ${JSON.stringify([...statuses])}; ` +
    `resident ${(level / 2 ** 20).toFixed(1)} MiB, by the fitted line ${(grown / 1024).toFixed(0)} KiB more at the end, by eighths of the time ${eighths.map((part) => (of(part, 'rss') / 2 ** 20).toFixed(1)).join(' ')}; ` +
    `threads ${of(first, 'threads')} → ${of(last, 'threads')}, descriptors ${of(first, 'descriptors')} → ${of(last, 'descriptors')}`);
  assert.deepEqual(wrong.slice(0, 3), [], `${wrong.length} answers that nothing explains`);
  assert.ok(grown < Math.max(GROWTH_BYTES, level / 100), `it has grown by ${grown} bytes`);
  assert.ok(of(last, 'threads') <= of(first, 'threads') + 2, 'threads gather');
  assert.ok(of(last, 'descriptors') <= of(first, 'descriptors') + 12, 'descriptors gather');
  await eventually(async () => (await sluice.client.get('/readyz')).status === 200, { what: 'readiness' });
  await sluice.stop();
});
