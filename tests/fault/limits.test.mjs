// Too few descriptors, too little memory and too slow clients: neither makes the program spin, stop, or starve the others.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readdirSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Child, RELEASE, SLUICE, cleanEnvironment, declare, eventually, temporaryFolder } from '../api/harness/index.mjs';
import { DOCUMENTS, addJob, completed, gateway, putDocument, queueFile } from './support.mjs';

const limited = (descriptors) => ['prlimit', `--nofile=${descriptors}:${descriptors}`, '--', SLUICE];

// Processor time of the process, in ms.
function spent(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10; // USER_HZ is 100
}

async function openConnections(t, port, count) {
  const sockets = Array.from({ length: count }, () => connect({ host: '127.0.0.1', port }).on('error', () => {}));
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

test('with fewer descriptors than its threads need it does not start, and says why', async (t) => {
  const [file, ...args] = limited(200);
  const child = new Child(file, [...args, 'serve'], {
    cwd: temporaryFolder(), env: cleanEnvironment({ PORT: '0', DATA_DIR: temporaryFolder(), SLUICE_HTTP_THREADS: '512' }),
  });
  t.after(() => child.killGroup('SIGKILL'));
  const { code } = await child.end(20_000);
  assert.notEqual(code, 0);
  // Which of the threads is the first without memory is chance; one that has begun, and has none for itself, ends the process at once.
  assert.match(child.tail(), /SLUICE_HTTP_THREADS=512 needs \d+ file descriptors, the limit is 200 \(ulimit -n\)/);
});

test('with just enough of them, more connections than it can hold do not make it spin', { timeout: 60_000 }, async (t) => {
  const sluice = await gateway(t, { program: limited(144), env: { SLUICE_HTTP_THREADS: '8', SLUICE_KEEP_ALIVE_TIMEOUT: '500ms', SLUICE_REQUEST_TIMEOUT: '3s', SLUICE_QUEUES: queueFile() } });
  const data = await putDocument(sluice);
  await completed(sluice, await addJob(sluice, data));
  sluice.client.close();
  const since = performance.now();
  const before = spent(sluice.child.pid);
  const sockets = await openConnections(t, sluice.port, 400);
  await eventually(() => performance.now() - since > 2000, { what: 'two seconds' });
  const share = (spent(sluice.child.pid) - before) / (performance.now() - since);
  t.diagnostic(`${Math.round(share * 100)} % of a processor while ${sockets.length} connections wait`);
  assert.ok(share < 0.5, `it takes ${share} of a processor for nothing`);
  sockets.forEach((socket) => socket.destroy());
  await completed(sluice, await eventually(() => addJob(sluice, data), { timeout: 20_000, what: 'service afterwards' }));
  await sluice.stop();
});

const bound = (pid, limit) => execFileSync('prlimit', ['--pid', String(pid), limit]);

test('descriptors that run out while it works: no spinning, few words, and service afterwards', { timeout: 60_000 }, async (t) => {
  const sluice = await gateway(t, { env: { SLUICE_HTTP_THREADS: '16', SLUICE_KEEP_ALIVE_TIMEOUT: '60s', SLUICE_QUEUES: queueFile() } });
  const { pid } = sluice.child;
  const data = await putDocument(sluice);
  await completed(sluice, await addJob(sluice, data));
  const taken = new Set(readdirSync(`/proc/${pid}/fd`).map(Number));
  const free = [...taken].map((fd) => fd + 1).filter((fd) => !taken.has(fd));
  bound(pid, `--nofile=${Math.min(...free) + 2}:`);
  await openConnections(t, sluice.port, 100);
  await sluice.logged('http_crowded', { reason: 'descriptors' });
  const since = performance.now();
  const before = spent(pid);
  await eventually(() => performance.now() - since > 2000, { what: 'two seconds' });
  const share = (spent(pid) - before) / (performance.now() - since);
  t.diagnostic(`${Math.round(share * 100)} % of a processor without descriptors`);
  assert.ok(share < 0.5, `it takes ${share} of a processor for nothing`);
  assert.equal((await sluice.client.get('/livez')).status, 200, 'connections that stand are served');
  assert.ok(sluice.logs.filter(({ event }) => event === 'http_crowded').length <= 2, 'it says so every time');
  bound(pid, '--nofile=1024:');
  sluice.client.close();
  await completed(sluice, await eventually(() => addJob(sluice, data), { timeout: 20_000, what: 'service for those who come now' }));
  await sluice.stop();
});

// Which part has to do without one depends on the limit, and on when the threads before it reserve room for what they allocate.
test('threads that cannot be started: it does not start with fewer, and says so', async (t) => {
  for (const mebibytes of [76, 124, 180, 212, 300]) {
    const child = new Child('prlimit', [`--as=${mebibytes << 20}`, '--', RELEASE, 'serve'], {
      cwd: temporaryFolder(), env: cleanEnvironment({ PORT: '0', DATA_DIR: temporaryFolder(), SLUICE_HTTP_THREADS: '2000' }),
    });
    t.after(() => child.killGroup('SIGKILL'));
    const { code, signal } = await child.end(20_000);
    assert.ok(code > 0 || signal === 'SIGABRT', `${mebibytes} MiB: ended by ${signal}`);
    assert.match(child.tail(), /^sluice: .+: .+/m, `${mebibytes} MiB`);
  }
});

// The release: sanitizers need more address space than any limit.
test('memory that runs out: requests fail, the process does not', { timeout: 120_000 }, async (t) => {
  const sluice = await gateway(t, {
    program: [RELEASE], allow: [/./], env: { SLUICE_HTTP_THREADS: '32', SLUICE_MAX_BODY_BYTES: '64MiB', SLUICE_QUEUES: declare({ name: 'elsewhere', processor: 'none' }), SLUICE_ROLE: 'api' },
  });
  const { pid } = sluice.child;
  const path = '/api/queues/elsewhere/jobs';
  const statuses = new Map();
  const ids = [];
  const push = async (fill) => {
    const { status, json } = await sluice.client.post(path, { name: 'n', data: { fill } }).catch(({ code }) => ({ status: code }));
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 201) ids.push(json.jobId);
  };
  await push('');
  bound(pid, '--as=1:'); // from now on it has what it has
  for (const size of [1e5, 12e6, 1e5]) {
    const fill = 'x'.repeat(size);
    await Promise.all(Array.from({ length: 8 }, () => push(fill)));
    assert.equal((await sluice.client.get('/livez')).status, 200);
  }
  t.diagnostic(`answers ${JSON.stringify([...statuses])}`);
  assert.ok([...statuses.keys()].some((status) => status !== 201), 'memory was never short');
  // Without memory, nobody reads to its end what was refused at its beginning: the connection closes on who goes on sending.
  for (const status of statuses.keys()) assert.ok([201, 500, 503, 504, 'ECONNRESET', 'EPIPE'].includes(status), `status ${status}`);
  bound(pid, '--as=unlimited:');
  await eventually(async () => (await sluice.client.post(path, { name: 'n', data: {} })).status === 201, { timeout: 20_000, what: 'service afterwards' });
  for (const id of ids) assert.equal((await sluice.client.get(`/api/jobs/status/elsewhere/${id}?data=0`)).status, 200, 'acknowledged and lost');
  assert.equal(sluice.child.pid, pid);
  await sluice.stop();
});

// Sends the head, then one byte after another until the server has enough; what the server said, and after how long.
async function trickle(port, head, every) {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true }).on('error', () => {});
  const since = performance.now();
  let received = '';
  socket.on('data', (chunk) => (received += chunk));
  await once(socket, 'connect');
  socket.write(head);
  const timer = setInterval(() => socket.write('x'), every);
  await once(socket, 'close');
  clearInterval(timer);
  return { received, ms: performance.now() - since };
}

const SLOW_MS = 5000; // after which they are cut off; who had to wait for one would wait as long

test('slow clients are cut off in time and do not slow the others down', { timeout: 60_000 }, async (t) => {
  const sluice = await gateway(t, { env: { SLUICE_HTTP_THREADS: '64', SLUICE_REQUEST_TIMEOUT: `${SLOW_MS}ms`, SLUICE_QUEUES: queueFile() } });
  const data = await putDocument(sluice);
  const token = sluice.token();
  const body = `POST /api/jobs/${DOCUMENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/json\r\nContent-Length: 500\r\n\r\n{`;
  let over = false;
  const slow = Promise.all([
    ...Array.from({ length: 24 }, () => trickle(sluice.port, 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ', 200)),
    ...Array.from({ length: 24 }, () => trickle(sluice.port, body, 200)),
  ]).finally(() => (over = true));
  const ids = [];
  let worst = 0;
  while (!over) {
    const since = performance.now();
    ids.push(await addJob(sluice, data));
    worst = Math.max(worst, performance.now() - since);
  }
  const answers = await slow;
  const longest = Math.max(...answers.map(({ ms }) => ms));
  t.diagnostic(`${ids.length} jobs meanwhile, the slowest answer after ${Math.round(worst)} ms; the last slow client cut off after ${Math.round(longest)} ms`);
  assert.ok(ids.length > 10 && worst < SLOW_MS, `others waited ${worst} ms`);
  assert.ok(longest < 3 * SLOW_MS, `a slow client held its thread for ${longest} ms`);
  assert.equal(answers.slice(24).filter(({ received }) => / 408 /.test(received)).length, 24, 'a slow body is told so');
  await sluice.stop();
});
