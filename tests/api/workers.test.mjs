// Workers over HTTP: taking jobs, keeping them, ending them, and every refusal.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { Client, declare, eventually, openStage, startSluice } from './harness/index.mjs';

const QUEUE = 'resize';
const WORKER = { sub: 'svc-resize', roles: ['worker'] };
const FOREIGN_TOKEN = 'sluice-00000000000000000000000000000000';
const LOCK_MS = 30_000; // longer than any test holds a job; who is to lose one is forsaken

const stage = await openStage({
  sluice: {
    env: {
      SLUICE_HTTP_THREADS: '320',
      SLUICE_QUEUES: declare(
        { name: QUEUE, processor: 'none', attempts: 3, backoff: { type: 'fixed', delay: 50 }, lockDuration: LOCK_MS, stalledInterval: 1000 },
        { name: 'quick', processor: 'none', lockDuration: LOCK_MS, stalledInterval: 200, maxStalledCount: 1 },
        { name: 'limited', processor: 'none', limiter: { max: 1, duration: 700 } },
        { name: 'crowd', processor: 'none' },
        { name: 'documents-too', processor: 'document', lockDuration: 2000, concurrency: 1 },
      ),
    },
  },
});
const { redis, sluice } = stage;
const worker = sluice.as(WORKER);
const producer = sluice.as({ sub: 'shop', roles: ['producer'], org: 'acme' });
const operator = sluice.as({ sub: 'ops', roles: ['operator'] });
const queue = stage.queue(QUEUE);

async function add(data = { n: 1 }, { name = QUEUE, opts } = {}) {
  const { status, json, text } = await producer.post(`/api/queues/${name}/jobs`, { name: 'work', data, opts });
  assert.equal(status, 201, text);
  return json.jobId;
}

async function lease({ name = QUEUE, client = worker, max = 1, wait = 5, workerId = 'w1' } = {}) {
  const { status, json, text } = await client.post(`/api/queues/${name}/lease`, { workerId, max, wait });
  assert.equal(status, 200, text);
  return json.jobs;
}

// As if the worker had been silent for almost as long as its lock lasts.
const forsake = (job) => redis.admin.pexpire(`bull:${job.queue}:${job.id}:lock`, 200);
const tell = (job, what, body = {}, client = worker) => client.post(`/api/queues/${job.queue}/jobs/${job.id}/${what}`, { token: job.token, ...body });
// Requests being answered, this one among them.
const inFlight = async (server) => Number(/^sluice_http_requests_in_flight (\d+)/m.exec((await server.client.get('/metrics')).text)?.[1] ?? 0);
const status = async (id, name = QUEUE) => (await operator.get(`/api/jobs/status/${name}/${id}`)).json;

function refused(answer, code, status = 409) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code);
}

describe('a lease', () => {
  test('hands out a job with its token and the end of its lock', async () => {
    const id = await add({ file: 'a.png', big: 0.1 });
    const before = Date.now();
    const [job, ...rest] = await lease();
    assert.equal(rest.length, 0);
    assert.equal(job.id, id);
    assert.equal(job.state, 'active');
    assert.deepEqual(job.data, { file: 'a.png', big: 0.1 });
    assert.equal(job.org, 'acme');
    assert.ok(job.token.length >= 39);
    assert.ok(job.lockExpiresAt > before + LOCK_MS - 1000 && job.lockExpiresAt <= Date.now() + LOCK_MS);
    assert.equal(await redis.admin.get(`bull:${QUEUE}:${id}:lock`), job.token);
    assert.equal((await tell(job, 'complete', { returnvalue: { width: 10 } })).status, 200);
    assert.deepEqual((await status(id)).returnvalue, { width: 10 });
  });

  test('takes as many as there are, up to max, each under a token of its own', async () => {
    const ids = await Promise.all(Array.from({ length: 25 }, (_, n) => add({ n })));
    const jobs = await lease({ max: 20 });
    assert.equal(jobs.length, 20);
    assert.equal(new Set(jobs.map((job) => job.token)).size, 20);
    const rest = await lease({ max: 100 });
    assert.equal(rest.length, 5);
    assert.deepEqual(new Set([...jobs, ...rest].map((job) => job.id)), new Set(ids));
    for (const job of [...jobs, ...rest]) assert.equal((await tell(job, 'complete')).status, 200);
  });

  test('is empty when nothing comes in the time', async () => {
    assert.deepEqual(await lease({ wait: 0 }), []);
    const began = performance.now();
    assert.deepEqual(await lease({ wait: 1 }), []);
    assert.ok(performance.now() - began >= 900);
  });

  test('waits for a job that comes, for one that becomes due, and for one that is freed by a rate limit', async () => {
    const waiting = lease({ wait: 20 });
    const id = await add();
    const [job] = await waiting;
    assert.equal(job.id, id);
    await tell(job, 'complete');

    const due = lease({ wait: 20 });
    const delayed = await add({}, { opts: { delay: 300 } });
    const [dueJob] = await due;
    assert.equal(dueJob.id, delayed);
    await tell(dueJob, 'complete');

    await add({}, { name: 'limited' });
    await add({}, { name: 'limited' });
    assert.equal((await lease({ name: 'limited', max: 2 })).length, 1);
    assert.equal((await lease({ name: 'limited', wait: 20 })).length, 1);
  });

  test('is for workers, of queues that exist, with a worker id', async () => {
    refused(await producer.post(`/api/queues/${QUEUE}/lease`, { workerId: 'w' }), 'forbidden', 403);
    refused(await worker.post('/api/queues/nowhere/lease', { workerId: 'w' }), 'queue-unknown', 404);
    refused(await worker.post(`/api/queues/${QUEUE}/lease`, {}), 'validation-failed', 400);
    refused(await worker.post(`/api/queues/${QUEUE}/lease`, { workerId: 'a:b' }), 'validation-failed', 400);
    refused(await worker.post(`/api/queues/${QUEUE}/lease`, { workerId: 'w', max: 101 }), 'validation-failed', 400);
    refused(await worker.post(`/api/queues/${QUEUE}/lease`, { workerId: 'w', wait: 31 }), 'validation-failed', 400);
  });

  test('reaches a queue that only BullMQ knows, and recovers what was lost there', async () => {
    const wild = new Queue('wild', { connection: redis.connect() });
    const { id } = await wild.add('work', { n: 1 });
    const [job] = await lease({ name: 'wild' });
    assert.equal(job.id, id);
    assert.equal((await tell(job, 'complete', { returnvalue: 7 })).status, 200);
    assert.equal((await wild.getJob(id)).returnvalue, 7);
    await wild.close();
  });

  test('fails a job with a deferred failure at once, and hands out the next', async () => {
    const doomed = await add();
    await redis.admin.hset(`bull:${QUEUE}:${doomed}`, 'defa', 'child of it failed');
    const next = await add();
    const [job] = await lease();
    assert.equal(job.id, next);
    const { state, failedReason } = await status(doomed);
    assert.deepEqual({ state, failedReason }, { state: 'failed', failedReason: 'child of it failed' });
    await tell(job, 'complete');
  });

  test('makes the successor of a schedule\'s job', async () => {
    await queue.upsertJobScheduler('tick', { every: 200 }, { name: 'tick', data: {} });
    const [first] = await lease({ wait: 10 });
    const [second] = await lease({ wait: 10 });
    assert.ok(first.id.startsWith('repeat:tick:') && second.id.startsWith('repeat:tick:') && first.id !== second.id);
    await queue.removeJobScheduler('tick');
    for (const job of [first, second]) assert.equal((await tell(job, 'complete')).status, 200);
    await queue.drain(true);
  });

  test('holds back a schedule\'s job while its successor cannot be made, since the schedule would end with it', async () => {
    sluice.allow.push('schedule_next_failed');
    const crowd = stage.queue('crowd');
    await crowd.upsertJobScheduler('beat', { every: 500 }, { name: 'beat', data: {} });
    const [first] = await lease({ name: 'crowd', max: 5, wait: 10 });
    assert.equal((await tell(first, 'complete')).status, 200);
    await redis.admin.config('SET', 'maxmemory', '1');
    await eventually(async () => {
      const { json } = await worker.post('/api/queues/crowd/lease', { workerId: 'w1', max: 5, wait: 1 });
      assert.deepEqual(json.jobs ?? [], []);
      return sluice.logs.some((line) => line.event === 'schedule_next_failed');
    });
    await redis.admin.config('SET', 'maxmemory', '0');
    const [second] = await lease({ name: 'crowd', max: 5, wait: 20 });
    assert.notEqual(second.id, first.id);
    const [third] = await lease({ name: 'crowd', max: 5, wait: 20 });
    assert.notEqual(third.id, second.id);
    await crowd.removeJobScheduler('beat');
    for (const job of [second, third]) assert.equal((await tell(job, 'complete')).status, 200);
    await crowd.drain(true);
  });
});

describe('a job that is held', () => {
  test('is kept by heartbeats, progress and log lines', async () => {
    const id = await add();
    const [job] = await lease();
    const lock = `bull:${QUEUE}:${id}:lock`;
    const before = await redis.admin.pexpiretime(lock);
    await eventually(async () => (await redis.admin.pttl(lock)) < LOCK_MS - 100);
    for (const [what, body] of [['heartbeat', {}], ['progress', { progress: { pct: 40 } }], ['log', { line: 'resized half' }]]) {
      const { status, json } = await tell(job, what, body);
      assert.equal(status, 200, what);
      assert.ok(json.lockExpiresAt > job.lockExpiresAt, what);
      assert.equal(json.cancel, false);
    }
    assert.ok((await redis.admin.pexpiretime(lock)) > before + 50);
    assert.deepEqual((await status(id)).progress, { pct: 40 });
    assert.deepEqual((await queue.getJobLogs(id)).logs, ['resized half']);
    const done = await tell(job, 'complete', { returnvalue: [1, 'a', null] });
    assert.deepEqual(done.json, { lockExpiresAt: null, cancel: false, state: 'completed' });
  });

  test('is seen by who holds it, and by no other worker', async () => {
    const id = await add();
    const [job] = await lease();
    assert.equal((await worker.get(`/api/jobs/status/${QUEUE}/${id}`)).status, 200);
    refused(await sluice.as({ sub: 'other', roles: ['worker'] }).get(`/api/jobs/status/${QUEUE}/${id}`), 'not-found', 404);
    refused(await sluice.as({ ...WORKER, org: 'acme' }).get(`/api/jobs/status/${QUEUE}/${id}`), 'not-found', 404);
    await tell(job, 'complete');
    refused(await worker.get(`/api/jobs/status/${QUEUE}/${id}`), 'not-found', 404);
  });

  test('answers a foreign or late token with lock-lost, and stays as it is', async () => {
    const id = await add();
    const [job] = await lease();
    const all = [['heartbeat'], ['progress', { progress: 1 }], ['log', { line: 'x' }], ['complete', { returnvalue: 1 }], ['fail', { reason: 'X: y' }], ['release']];
    for (const token of [FOREIGN_TOKEN, '0']) { // "0" is BullMQ's own word for "no lock needed"
      for (const [what, body] of all) refused(await tell({ ...job, token }, what, body), 'lock-lost');
    }
    const held = await status(id);
    assert.equal(held.state, 'active');
    assert.equal(held.progress, null);
    assert.equal(await redis.admin.llen(`bull:${QUEUE}:${id}:logs`), 0);
    assert.equal((await tell(job, 'complete', { returnvalue: 'mine' })).status, 200);
    for (const [what, body] of all) if (what !== 'complete') refused(await tell(job, what, body), 'lock-lost');
    assert.equal((await status(id)).returnvalue, 'mine');
    refused(await tell({ ...job, id: 'never-was' }, 'complete'), 'lock-lost');
    refused(await worker.post(`/api/queues/${QUEUE}/jobs/${id}/complete`, {}), 'validation-failed', 400);
    refused(await tell(job, 'complete', {}, producer), 'forbidden', 403);
  });

  test('may be completed again under the token that completed it, as after an unknown outcome, and nobody else may', async () => {
    const id = await add();
    const [job] = await lease();
    for (const returnvalue of ['once', 'again']) {
      const { status: code, json } = await tell(job, 'complete', { returnvalue });
      assert.deepEqual([code, json.state, json.lockExpiresAt], [200, 'completed', null]);
    }
    const ended = await status(id);
    assert.equal(ended.returnvalue, 'once');
    assert.equal(ended.attemptsMade, 1);
    refused(await tell({ ...job, token: FOREIGN_TOKEN }, 'complete'), 'lock-lost');
    await redis.admin.del(`bull:${QUEUE}:${id}`); // as retention removes it
    assert.equal((await tell(job, 'complete')).status, 200);
    assert.ok((await redis.admin.pttl(`bull:${QUEUE}:${id}:ended`)) > 0);
  });

  test('of a vanished worker goes to the next one, and the late result is dropped', async () => {
    const id = await add({}, { name: 'quick' });
    const [lost] = await lease({ name: 'quick' });
    await forsake(lost);
    const [again] = await lease({ name: 'quick', wait: 20, workerId: 'w2' });
    assert.equal(again.id, id);
    refused(await tell(lost, 'complete', { returnvalue: 'late' }), 'lock-lost');
    assert.equal((await tell(again, 'complete', { returnvalue: 'in time' })).status, 200);
    assert.equal((await status(id, 'quick')).returnvalue, 'in time');
  });

  test('its token is in no log line', async () => {
    await add();
    const [job] = await lease();
    await tell(job, 'complete');
    await sluice.logged('audit', { action: 'job.complete', target: `${QUEUE}/${job.id}` });
    assert.equal(sluice.child.lines.some((line) => line.includes(job.token)), false);
  });
});

describe('an end', () => {
  test('failure is tried again by the job\'s policy, then final', async () => {
    const id = await add();
    for (const expected of ['delayed', 'delayed', 'failed']) {
      const [job] = await lease({ wait: 10 });
      assert.equal(job.id, id);
      const { json } = await tell(job, 'fail', { reason: 'UPSTREAM: is away' });
      assert.equal(json.state, expected);
    }
    const { state, failedReason, attemptsMade, stacktrace } = await status(id);
    assert.deepEqual({ state, failedReason, attemptsMade }, { state: 'failed', failedReason: 'UPSTREAM: is away', attemptsMade: 3 });
    assert.equal(stacktrace.length, 3);
  });

  test('failure is final with retry false, and waits as long as its worker says', async () => {
    await add();
    const [job] = await lease();
    assert.equal((await tell(job, 'fail', { reason: 'BAD: input', retry: false })).json.state, 'failed');
    const later = await add();
    const [postponed] = await lease();
    assert.equal((await tell(postponed, 'fail', { reason: 'BUSY: later', retryAfterMs: 3_600_000 })).json.state, 'delayed');
    const score = Number(await redis.admin.zscore(`bull:${QUEUE}:delayed`, later)) / 4096;
    assert.ok(Math.abs(score - Date.now() - 3_600_000) < 10_000);
    await queue.remove(later);
  });

  test('release puts it back at the front without using up an attempt', async () => {
    const first = await add();
    const second = await add();
    const [job] = await lease();
    assert.equal((await tell(job, 'release')).json.state, 'waiting');
    const [again, other] = await lease({ max: 2 });
    assert.deepEqual([again.id, other.id], [first, second]);
    assert.equal(again.attemptsMade, 0);
    for (const held of [again, other]) await tell(held, 'complete');
  });

  test('each leaves a line in the audit', async () => {
    const id = await add();
    const [job] = await lease();
    await tell(job, 'release');
    const [again] = await lease();
    await tell(again, 'fail', { reason: 'X: y', retry: false });
    const target = `${QUEUE}/${id}`;
    await sluice.logged('audit', { action: 'job.release', target, sub: WORKER.sub });
    await sluice.logged('audit', { action: 'job.fail', target });
    assert.ok(sluice.logs.some((entry) => entry.event === 'audit' && entry.action === 'job.lease' && entry.after.jobIds.includes(id) && entry.after.holder === `lease:w1:default:${WORKER.sub}`));
  });
});

describe('cancelling', () => {
  const cancel = (id, client = operator, name = QUEUE) => client.post(`/api/queues/${name}/jobs/${id}/cancel`);

  test('removes what nobody has begun', async () => {
    for (const opts of [{}, { delay: 60_000 }, { priority: 3 }]) {
      const id = await add({}, { opts });
      const { status: code, json } = await cancel(id, producer);
      assert.equal(code, 200);
      assert.deepEqual(json, { jobId: id, queue: QUEUE, outcome: 'removed' });
      assert.equal(await redis.admin.exists(`bull:${QUEUE}:${id}`), 0);
    }
    assert.deepEqual(await lease({ wait: 0 }), []);
  });

  test('tells who has leased the job, and it ends CANCELLED whatever its worker says', async () => {
    for (const [what, body] of [['fail', { reason: 'X: retry me' }], ['release', {}]]) {
      const id = await add();
      const [job] = await lease();
      assert.equal((await cancel(id, producer)).json.outcome, 'signalled');
      assert.equal((await tell(job, 'heartbeat')).json.cancel, true);
      assert.deepEqual((await tell(job, what, body)).json, { lockExpiresAt: null, cancel: true, state: 'failed' });
      assert.match((await status(id)).failedReason, /^CANCELLED: /);
      assert.equal(await redis.admin.exists(`bull:${QUEUE}:${id}:cancel`), 0);
      refused(await cancel(id), 'conflict');
    }
  });

  test('reaches a job whose worker vanished before it heard', async () => {
    const id = await add({}, { name: 'quick' });
    const [lost] = await lease({ name: 'quick' });
    assert.equal((await cancel(id, operator, 'quick')).json.outcome, 'signalled');
    await forsake(lost);
    const waiting = lease({ name: 'quick', wait: 3 });
    await eventually(async () => (await status(id, 'quick')).state === 'failed');
    assert.match((await status(id, 'quick')).failedReason, /^CANCELLED: /);
    assert.deepEqual(await waiting, []);
    await eventually(async () => (await redis.admin.exists(`bull:quick:${id}:cancel`)) === 0);
  });

  test('is not meant for a start that is asked for later', async () => {
    const id = await add();
    const [job] = await lease();
    assert.equal((await cancel(id)).json.outcome, 'signalled');
    assert.equal((await tell(job, 'complete', { returnvalue: 'x' })).json.state, 'completed');
    assert.equal((await operator.post(`/api/queues/${QUEUE}/jobs/${id}/retry`, {})).status, 200);
    const [again] = await lease();
    assert.equal(again?.id, id);
    assert.equal((await tell(again, 'complete')).json.state, 'completed');
  });

  test('cannot reach a BullMQ worker, and says so', async () => {
    let finish;
    const native = new Worker('native', () => new Promise((resolve) => (finish = resolve)), { connection: redis.connect(), name: 'node-1' });
    const other = new Queue('native', { connection: redis.connect() });
    const { id } = await other.add('work', {});
    await eventually(() => finish);
    const answer = await cancel(id, operator, 'native');
    refused(answer, 'held-elsewhere');
    assert.match(answer.json.detail, /node-1/);
    finish('done');
    await eventually(async () => (await other.getJob(id)).returnvalue === 'done');
    await native.close();
    await other.close();
  });

  test('is not for another organization, nor for what does not exist', async () => {
    const id = await add();
    refused(await cancel(id, sluice.as({ roles: ['producer'], org: 'rival' })), 'not-found', 404);
    refused(await cancel(id, sluice.as({ roles: ['producer', 'viewer'], org: 'rival' })), 'not-found', 404);
    refused(await cancel('never-was'), 'not-found', 404);
    refused(await cancel(id, worker), 'forbidden', 403);
    assert.equal((await cancel(id)).json.outcome, 'removed');
  });

  test('reaches a job that another process of ours has: the wish is in Redis', async () => {
    const second = await startSluice({ env: { REDIS_URL: redis.url }, secret: sluice.secret }); // first: a lock does not last for ever
    const id = await add();
    const [job] = await lease();
    assert.equal((await second.client.post(`/api/queues/${QUEUE}/jobs/${id}/cancel`)).json.outcome, 'signalled');
    assert.equal((await tell(job, 'heartbeat')).json.cancel, true);
    assert.equal((await tell(job, 'complete', { returnvalue: 'was done already' })).json.state, 'completed');
    await second.stop();
  });
});

describe('many who wait', () => {
  test('one job wakes one of 200, the others go on waiting', async () => {
    const clients = Array.from({ length: 200 }, (_, n) => new Client({ port: sluice.port, token: sluice.token({ sub: `crowd-${n}`, roles: ['worker'] }) }));
    const served = [];
    const answers = clients.map((client, n) => client.post('/api/queues/crowd/lease', { workerId: `c${n}`, wait: 30 }, { timeout: 60_000 }).then((answer) => {
      served.push(...answer.json.jobs);
      return answer;
    }));
    await eventually(async () => (await inFlight(sluice)) > 200, { timeout: 20_000, what: '200 waiting workers' });

    const id = await add({ n: 0 }, { name: 'crowd' });
    await eventually(() => served.length === 1, { what: 'the one that is woken' });
    assert.equal(served[0].id, id);
    assert.ok((await inFlight(sluice)) > 199, 'others were sent away');

    const more = await Promise.all(Array.from({ length: 199 }, (_, n) => add({ n }, { name: 'crowd' })));
    await eventually(() => served.length === 200, { timeout: 30_000, what: 'a job for each' });
    assert.deepEqual(new Set(served.map((job) => job.id)), new Set([id, ...more]));
    await Promise.all(answers);
    for (const client of clients) client.close();
    const connections = (await redis.admin.client('LIST')).split('\n').filter((line) => / name=sluice/.test(line));
    assert.ok(connections.length < 10, `${connections.length} connections`);
    await stage.queue('crowd').obliterate({ force: true }); // nobody ends those jobs, and they would come back
  });

  test('a worker that went away while it waited swallows no jobs, and changes nothing of their order', async () => {
    const gone = new AbortController();
    const request = fetch(`${sluice.url}/api/queues/crowd/lease`, {
      method: 'POST', signal: gone.signal, body: JSON.stringify({ workerId: 'gone', max: 3, wait: 30 }),
      headers: { authorization: `Bearer ${sluice.token(WORKER)}`, 'content-type': 'application/json' },
    }).catch(() => {});
    await eventually(async () => (await redis.admin.client('LIST')).split('\n').some((line) => /name=sluice:leases .*cmd=bzpopmin/.test(line)));
    gone.abort();
    await request;
    const { json } = await producer.post('/api/queues/crowd/jobs', [0, 1, 2].map((n) => ({ name: 'work', data: { n } })));
    const ids = json.results.map(({ jobId }) => jobId);
    await eventually(async () => (await inFlight(sluice)) === 1, { timeout: 20_000, what: 'the end of that request' });
    const jobs = await lease({ name: 'crowd', max: 3, wait: 20 });
    assert.deepEqual(jobs.map(({ id }) => id), ids);
    for (const job of jobs) await tell(job, 'complete');
  });
});

test('a Node worker and HTTP workers share a queue', async () => {
  const seen = new Map();
  const count = (id, who) => seen.set(id, [...(seen.get(id) ?? []), who]);
  const native = new Worker(QUEUE, async (job) => count(job.id, 'node'), { connection: redis.connect(), concurrency: 2 });
  let stopping = false;
  const loops = [1, 2].map(async (n) => {
    while (!stopping) {
      for (const job of await lease({ wait: 1, max: 2, workerId: `shared-${n}` })) {
        count(job.id, 'http');
        assert.equal((await tell(job, 'complete', { returnvalue: n })).status, 200);
      }
    }
  });
  const ids = [];
  for (let n = 0; n < 200; n++) ids.push(await add({ n }));
  await eventually(() => seen.size >= ids.length, { timeout: 20_000 });
  stopping = true;
  await Promise.all(loops);
  await native.close();
  for (const id of ids) assert.equal(seen.get(id)?.length, 1, `${id} was run by ${seen.get(id)}`);
  const by = [...seen.values()].flat();
  assert.ok(by.includes('node') && by.includes('http'), 'both had a part');
});

test('a drain answers workers that wait, at once', async () => {
  const own = await startSluice({ env: { SLUICE_QUEUES: declare({ name: QUEUE, processor: 'none' }) } });
  const client = new Client({ port: own.port, token: own.token(WORKER) });
  const waiting = client.post(`/api/queues/${QUEUE}/lease`, { workerId: 'w', wait: 30 });
  await eventually(async () => (await inFlight(own)) >= 2);
  const began = performance.now();
  const stopped = own.stop();
  assert.deepEqual((await waiting).json.jobs, []);
  client.close();
  await stopped;
  assert.ok(performance.now() - began < 10_000);
});
