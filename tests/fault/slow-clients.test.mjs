// Clients that are slow on purpose, in every way and by the thousand: the rest is served, health and metrics answer, and nothing is held for long.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, eventually, parseResponses } from '../api/harness/index.mjs';
import { DOCUMENTS, LONG, addJob, gateway, putDocument, queueFile } from './support.mjs';

const THREADS = 64;
const TIMEOUT_MS = 20_000; // for which each of them would hold a thread, were they given one
const BOUND_MS = 10_000; // of everybody else's requests, on a machine that does other things too, such as being all these clients

const settings = (more = {}) => ({
  env: { SLUICE_HTTP_THREADS: String(THREADS), SLUICE_REQUEST_TIMEOUT: `${TIMEOUT_MS}ms`, SLUICE_QUEUES: queueFile(), LOG_LEVEL: 'info', ...more },
});

// A connection that sends a byte of `rest` every so often, for ever, and begins with `head`; what comes back, and how long it lasted.
class Trickle {
  received = '';

  constructor(port, head, { every = 300, byte = 'x', reads = true } = {}) {
    this.since = performance.now();
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true }).on('error', () => {});
    if (reads) this.socket.on('data', (chunk) => (this.received += chunk.toString('latin1')));
    else this.socket.pause();
    this.ended = once(this.socket, 'close').then(() => (this.ms = performance.now() - this.since));
    this.socket.once('connect', () => {
      this.socket.write(head);
      this.timer = setInterval(() => this.socket.write(byte), every);
      this.timer.unref();
    });
  }

  end() {
    clearInterval(this.timer);
    this.socket.destroy();
  }
}

// Keeps so many of them: one that was sent away comes back at once.
class Siege {
  everybody = [];
  #over = false;

  constructor(t, count, make) {
    t.after(() => this.lift());
    for (let i = 0; i < count; i++) this.#keep(i, make);
  }

  async #keep(i, make) {
    while (!this.#over) {
      const one = make(i);
      this.everybody[i] = one;
      await one.ended;
      clearInterval(one.timer);
    }
  }

  lift() {
    this.#over = true;
    for (const one of this.everybody) one.end();
  }
}

const HEAD = 'GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ';
const post = (sluice, length) => `POST /api/jobs/${DOCUMENTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${sluice.token()}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n`;

const waiting = async (sluice) => Number(/^sluice_http_connections_waiting (\d+)/m.exec((await sluice.client.as(null).get('/metrics')).text)[1]);

// Jobs, health and metrics for a while: how many answers, and how long the slowest took.
async function others(sluice, data, ms) {
  const until = performance.now() + ms;
  const fresh = () => new Client({ port: sluice.port, token: sluice.token() }); // a new connection each time, as those who come now have
  const measured = { jobs: 0, asked: 0, slowest: 0 };
  const timed = async (what, request) => {
    const since = performance.now();
    await request();
    measured.slowest = Math.max(measured.slowest, performance.now() - since);
    measured[what]++;
  };
  const loop = async (what, request) => {
    while (performance.now() < until) await timed(what, request);
  };
  const ask = async (path) => {
    const client = fresh();
    assert.equal((await client.get(path)).status, 200, path);
    client.close();
  };
  const submit = async () => {
    const client = fresh();
    const { status, text } = await client.post(`/api/jobs/${DOCUMENTS}`, data);
    assert.equal(status, 201, text);
    client.close();
  };
  await Promise.all([loop('jobs', submit), loop('jobs', submit), loop('asked', () => ask('/health/ready')), loop('asked', () => ask('/metrics'))]);
  return measured;
}

test('2 000 slow clients beside the others', { timeout: 180_000 }, async (t) => {
  const sluice = await gateway(t, settings());
  const data = await putDocument(sluice);
  const calm = await others(sluice, data, 1500);
  const body = `${post(sluice, 500)}{`;
  const siege = new Siege(t, 2000, (i) => new Trickle(sluice.port, i % 2 ? body : HEAD, { every: 3000 }));
  await eventually(async () => (await waiting(sluice)) > 1500, { timeout: 60_000, what: 'a siege' });
  const measured = await others(sluice, data, LONG ? 120_000 : 6000);
  t.diagnostic(`calm: ${calm.jobs} jobs, slowest answer ${Math.round(calm.slowest)} ms; beside 2 000 slow clients: ${measured.jobs} jobs, ${Math.round(measured.slowest)} ms`);
  assert.ok(measured.jobs > 3 && measured.asked > 3, JSON.stringify(measured));
  assert.ok(measured.slowest < BOUND_MS, `somebody waited for ${measured.slowest} ms`);
  siege.lift();
  await eventually(async () => (await waiting(sluice)) === 0, { timeout: 30_000, what: 'the end of the siege' });
  sluice.client.close();
  await addJob(sluice, data);
  await sluice.stop();
});

test('who is too slow is told so, in time', { timeout: 60_000 }, async (t) => {
  const sluice = await gateway(t, settings({ SLUICE_REQUEST_TIMEOUT: '1s' }));
  const heads = [HEAD, 'G', `${post(sluice, 500)}{`, `${post(sluice, 32_768)}${' '.repeat(32_000)}`];
  const slow = heads.map((head) => new Trickle(sluice.port, head, { every: 200, byte: ' ' }));
  const silent = new Trickle(sluice.port, '', { every: 60_000 });
  t.after(() => [...slow, silent].forEach((one) => one.end()));
  for (const one of slow) {
    await one.ended;
    const [answer] = parseResponses(Buffer.from(one.received, 'latin1'));
    assert.deepEqual([answer.status, answer.json.code, answer.headers.connection], [408, 'request-timeout', 'close']);
    assert.match(answer.headers['x-request-id'], /^[0-9a-f-]{36}$/);
    assert.ok(one.ms < 15_000, `it held on for ${one.ms} ms`);
  }
  await silent.ended;
  assert.equal(silent.received, '', 'who said nothing is told nothing');
  await sluice.stop();
});

// After a first request that was quick: each thread is theirs until the timeout, but no longer than others wait for it.
test('threads that are all taken: health answers at once, the others in turn, and nobody waits for ever', { timeout: 90_000 }, async (t) => {
  const sluice = await gateway(t, settings({ SLUICE_HTTP_THREADS: '16', SLUICE_REQUEST_TIMEOUT: '3s', SLUICE_KEEP_ALIVE_TIMEOUT: '20s' }));
  const data = await putDocument(sluice);
  sluice.client.close();
  const quickThenSlow = `GET /problems/overloaded HTTP/1.1\r\nHost: x\r\n\r\n${HEAD}`;
  const siege = new Siege(t, 40, () => new Trickle(sluice.port, quickThenSlow, { every: 100 }));
  const client = new Client({ port: sluice.port });
  t.after(() => client.close());
  const busy = async () => Number(/^sluice_http_threads\{state="busy"\} (\d+)/m.exec((await client.get('/metrics')).text)[1]);
  await eventually(async () => (await busy()) >= 8, { timeout: 20_000, what: 'threads that are taken' });
  for (const path of ['/livez', '/health', '/health/ready', '/metrics']) assert.equal((await client.get(path)).status, 200);
  await eventually(() => addJob(sluice, data), { timeout: 20_000, what: 'a thread' });
  siege.lift();
  await eventually(() => addJob(sluice, data), { timeout: 20_000, what: 'service afterwards' });
  await sluice.stop();
});

test('where no thread becomes free, the answer is 503 with Retry-After', { timeout: 90_000 }, async (t) => {
  const sluice = await gateway(t, settings({ SLUICE_HTTP_THREADS: '8', SLUICE_REQUEST_TIMEOUT: '1s', SLUICE_KEEP_ALIVE_TIMEOUT: '20s' }));
  sluice.client.close();
  const idle = Array.from({ length: 7 }, () => new Trickle(sluice.port, 'GET /problems/overloaded HTTP/1.1\r\nHost: x\r\n\r\n', { every: 60_000 }));
  t.after(() => idle.forEach((one) => one.end()));
  await eventually(() => idle.every(({ received }) => / 200 /.test(received)), { what: 'seven connections with a thread' });
  const refused = await new Client({ port: sluice.port, token: sluice.token() }).get('/api/jobs/stats');
  assert.deepEqual([refused.status, refused.json.code, refused.headers['retry-after']], [503, 'overloaded', '1']);
  assert.equal((await new Client({ port: sluice.port }).get('/livez')).status, 200);
  await sluice.logged('http_crowded', { reason: 'crowded' });
  idle.forEach((one) => one.end());
  await sluice.stop();
});

// Answers of eight megabytes that nobody takes. At the slowest rate that is allowed they would last for minutes.
test('clients that never read do not keep their threads', { timeout: 120_000, skip: LONG ? false : 'a long test' }, async (t) => {
  const sluice = await gateway(t, settings());
  const data = await putDocument(sluice);
  const large = await sluice.client.put('/api/documents/large', Buffer.alloc(8 << 20, 'a'), { headers: { 'content-type': 'application/octet-stream' } });
  assert.equal(large.status, 201);
  const get = `GET /api/documents/large HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${sluice.token()}\r\n\r\n`;
  const deaf = Array.from({ length: THREADS - 16 }, () => new Trickle(sluice.port, get, { every: 60_000, reads: false }));
  t.after(() => deaf.forEach((one) => one.end()));
  const busy = async () => Number(/^sluice_http_threads\{state="busy"\} (\d+)/m.exec((await sluice.client.get('/metrics')).text)[1]);
  await eventually(async () => (await busy()) >= THREADS - 16, { timeout: 20_000, what: 'threads that write' });
  const measured = await others(sluice, data, 2000);
  assert.ok(measured.slowest < BOUND_MS, `somebody waited for ${measured.slowest} ms`);
  await eventually(async () => (await busy()) < 8, { timeout: 60_000, what: 'the end of their threads' });
  await sluice.stop();
});
