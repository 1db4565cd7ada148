// Many jobs ended, or kept, by one request: each answered as the request about it alone would be, and none at another's cost.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FlowProducer, Queue, QueueEvents, Worker } from 'bullmq';
import { declare, eventually, openStage } from './harness/index.mjs';

const QUEUE = 'resize';
const FOREIGN_TOKEN = 'sluice-00000000000000000000000000000000';

const kinds = { processor: 'none', attempts: 3, backoff: { type: 'fixed', delay: 60_000 }, lockDuration: 30_000 };
const stage = await openStage({
  sluice: {
    env: {
      SLUICE_MAX_BODY_BYTES: '65536',
      SLUICE_QUEUES: declare(
        { name: QUEUE, ...kinds }, { name: 'counted', ...kinds, removeOnComplete: { count: 3 } }, { name: 'parents', ...kinds }, { name: 'broken', ...kinds },
        { name: 'quick', processor: 'none', lockDuration: 30_000, stalledInterval: 200, maxStalledCount: 5 },
      ),
    },
    allow: ['request_failed'],
  },
});
const { redis, sluice } = stage;
const worker = sluice.as({ sub: 'svc-resize', roles: ['worker'] });
const producer = sluice.as({ sub: 'shop', roles: ['producer'], org: 'acme' });
const operator = sluice.as({ sub: 'ops', roles: ['operator'] });
const queue = stage.queue(QUEUE);

async function add(count = 1, { name = QUEUE, opts } = {}) {
  const { status, json, text } = await producer.post(`/api/queues/${name}/jobs`, Array.from({ length: count }, (_, n) => ({ name: 'work', data: { n }, opts })));
  assert.equal(status, 200, text);
  return json.results.map(({ jobId }) => jobId);
}

async function lease(max = 1, name = QUEUE) {
  const { status, json, text } = await worker.post(`/api/queues/${name}/lease`, { workerId: 'w1', max, wait: 20 });
  assert.equal(status, 200, text);
  return json.jobs;
}

async function leased(count, options) {
  const ids = await add(count, options);
  const jobs = await lease(count, options?.name);
  assert.deepEqual(jobs.map(({ id }) => id), ids);
  return jobs;
}

const held = ({ id, token }) => ({ id, token });
const done = (job, returnvalue = null) => ({ ...held(job), returnvalue });
const failed = (job, more = {}) => ({ ...held(job), reason: 'UPSTREAM: is away', ...more });

async function tell(what, jobs, name = QUEUE) {
  const { status, json, text } = await worker.post(`/api/queues/${name}/${what}`, { jobs });
  assert.equal(status, 200, text);
  assert.deepEqual(json.results.map(({ id }) => id), jobs.map((job) => (typeof job?.id === 'string' ? job.id : null)));
  return json.results;
}
const finish = (jobs, name) => tell('finish', jobs, name);
const heartbeat = (jobs, name) => tell('heartbeat', jobs, name);

const status = async (id, name = QUEUE) => (await operator.get(`/api/jobs/status/${name}/${id}`)).json;
const words = (results) => results.map((result) => result.problem?.code ?? result.state);
const metric = async (pattern) => Number(pattern.exec((await sluice.client.get('/metrics')).text)?.[1] ?? 0);

describe('many ends in one request', () => {
  test('a hundred are done, each with its own result and event', async () => {
    const events = new QueueEvents(QUEUE, { connection: redis.connect() });
    await events.waitUntilReady();
    const heard = new Map();
    events.on('completed', ({ jobId, returnvalue }) => heard.set(jobId, returnvalue));
    const jobs = await leased(100);
    const before = await metric(/^sluice_jobs_finished_total\{queue="resize",outcome="completed"\} (\d+)/m);

    const results = await finish(jobs.map((job, n) => done(job, { n })));
    for (const [n, job] of jobs.entries()) {
      assert.deepEqual(results[n], { id: job.id, lockExpiresAt: null, cancel: false, state: 'completed' });
    }
    assert.deepEqual(await Promise.all(jobs.map(async ({ id }) => (await status(id)).returnvalue)), jobs.map((_, n) => ({ n })));
    await eventually(() => heard.size >= jobs.length, { what: 'an event of each', timeout: 20_000 });
    assert.deepEqual(jobs.map(({ id }) => heard.get(id)), jobs.map((_, n) => ({ n })));
    assert.equal(await metric(/^sluice_jobs_finished_total\{queue="resize",outcome="completed"\} (\d+)/m), before + 100);
    assert.equal(await redis.admin.llen(`bull:${QUEUE}:active`), 0);
    assert.deepEqual(await redis.admin.keys(`bull:${QUEUE}:*:lock`), []);
    await events.close();
  });

  test('failures keep to each job\'s policy, and say when to try again', async () => {
    const [retried, final, later, good] = await leased(4);
    const results = await finish([failed(retried), failed(final, { retry: false }), failed(later, { retryAfterMs: 3_600_000 }), done(good, 1)]);
    assert.deepEqual(words(results), ['delayed', 'failed', 'delayed', 'completed']);
    const { state, failedReason, attemptsMade, stacktrace } = await status(final.id);
    assert.deepEqual({ state, failedReason, attemptsMade, stacktrace }, { state: 'failed', failedReason: 'UPSTREAM: is away', attemptsMade: 1, stacktrace: ['UPSTREAM: is away'] });
    const due = async ({ id }) => Number(await redis.admin.zscore(`bull:${QUEUE}:delayed`, id)) / 4096 - Date.now();
    assert.ok(Math.abs((await due(later)) - 3_600_000) < 50_000);
    assert.ok((await due(retried)) <= 60_000);
    assert.equal((await status(retried.id)).attemptsMade, 1);

    await queue.remove(later.id);
    for (const expected of ['delayed', 'failed']) {
      assert.equal((await operator.post(`/api/queues/${QUEUE}/jobs/${retried.id}/promote`)).status, 200);
      assert.deepEqual(words(await finish((await lease()).map((job) => failed(job)))), [expected]);
    }
    assert.equal((await status(retried.id)).stacktrace.length, 3);
  });

  test('what is wrong with one touches no other', async () => {
    const [first, second, third, fourth, fifth, last] = await leased(6);
    const entries = [
      done(first, 'first'), { ...done(second), token: FOREIGN_TOKEN }, { ...done(second), token: '0' }, { id: third.id, returnvalue: 1 }, { ...failed(fourth), returnvalue: 1 },
      { ...failed(fifth), reason: '' }, { ...held(fifth), surprise: true }, { ...done(first), id: 'never-was' }, { ...done(first), id: 'meta' },
      null, { id: 7 }, done(last, 'last'),
    ];
    const results = await finish(entries);
    const invalid = 'validation-failed';
    assert.deepEqual(words(results), ['completed', 'lock-lost', 'lock-lost', invalid, invalid, invalid, invalid, 'lock-lost', 'lock-lost', invalid, invalid, 'completed']);
    assert.deepEqual(results[3].problem.errors.map(({ pointer }) => pointer), ['/token']);
    assert.deepEqual(results[4].problem.errors.map(({ pointer }) => pointer), ['/returnvalue']);
    for (const { problem } of results.filter((each) => each.problem)) assert.equal(problem.status, problem.code === invalid ? 400 : 409);
    for (const job of [second, third, fourth, fifth]) {
      const { state, returnvalue, failedReason } = await status(job.id);
      assert.deepEqual({ state, returnvalue, failedReason }, { state: 'active', returnvalue: null, failedReason: null });
    }
    assert.deepEqual(words(await finish([second, third, fourth, fifth].map((job) => done(job)))), Array(4).fill('completed'));
  });

  test('a late token is refused, whoever has the job by then', async () => {
    const [lost] = await leased(1, { name: 'quick' });
    await redis.admin.pexpire(`bull:quick:${lost.id}:lock`, 200); // as if its worker had been silent for almost as long as it lasts
    const [again] = await lease(1, 'quick');
    assert.equal(again.id, lost.id);
    const [other] = await leased(1);
    assert.deepEqual(words(await finish([failed(lost, { retry: false }), done(again, 'in time')], 'quick')), ['lock-lost', 'completed']);
    assert.equal((await status(lost.id, 'quick')).returnvalue, 'in time');
    assert.deepEqual(words(await finish([done(other)], 'quick')), ['lock-lost'], 'the token is of another queue');
    assert.deepEqual(words(await finish([done(other)])), ['completed']);
  });

  test('the whole may be said again, as after an answer that was not heard', async () => {
    const [good, bad, removed] = await leased(3);
    const entries = [done(good, 'once'), failed(bad, { retry: false }), done(removed)];
    assert.deepEqual(words(await finish(entries)), ['completed', 'failed', 'completed']);
    await redis.admin.del(`bull:${QUEUE}:${removed.id}`); // as retention removes it
    const results = await finish([{ ...entries[0], returnvalue: 'again' }, entries[1], entries[2], { ...entries[0], token: FOREIGN_TOKEN }]);
    assert.deepEqual(words(results), ['completed', 'lock-lost', 'completed', 'lock-lost']);
    const { returnvalue, attemptsMade } = await status(good.id);
    assert.deepEqual({ returnvalue, attemptsMade }, { returnvalue: 'once', attemptsMade: 1 });
  });

  test('of a job that is named twice the first end counts', async () => {
    const [one, two] = await leased(2);
    assert.deepEqual(words(await finish([done(one, 1), done(one, 2), failed(two, { retry: false }), done(two)])), ['completed', 'completed', 'failed', 'lock-lost']);
    assert.equal((await status(one.id)).returnvalue, 1);
    assert.equal((await status(two.id)).state, 'failed');
  });

  test('a wish to cancel is heeded by what fails, and too late for what is done', async () => {
    const [failing, finished, other] = await leased(3);
    for (const { id } of [failing, finished]) assert.equal((await operator.post(`/api/queues/${QUEUE}/jobs/${id}/cancel`)).json.outcome, 'signalled');
    assert.deepEqual((await heartbeat([failing, finished, other].map(held))).map(({ cancel }) => cancel), [true, true, false]);
    const results = await finish([failed(failing), done(finished, 'done already'), failed(other, { retry: false })]);
    assert.deepEqual(results.map(({ state, cancel }) => [state, cancel]), [['failed', true], ['completed', false], ['failed', false]]);
    assert.match((await status(failing.id)).failedReason, /^CANCELLED: /);
    assert.equal(await redis.admin.exists(`bull:${QUEUE}:${failing.id}:cancel`), 0);
  });

  test('parents go on when the last of their children has ended', async () => {
    const flows = new FlowProducer({ connection: redis.connect() });
    const child = (opts) => ({ name: 'work', queueName: QUEUE, data: {}, opts });
    const good = await flows.add({ name: 'sum', queueName: 'parents', data: {}, children: [child(), child(), child({ ignoreDependencyOnFailure: true })] });
    const bad = await flows.add({ name: 'sum', queueName: 'parents', data: {}, children: [child(), child({ failParentOnFailure: true })] });
    const jobs = await lease(5);
    assert.equal(jobs.length, 5);
    const ofBad = new Set(bad.children.map(({ job }) => job.id));
    const fails = ({ opts }) => opts.failParentOnFailure || opts.ignoreDependencyOnFailure;
    await finish(jobs.map((job) => (fails(job) ? failed(job, { retry: false }) : done(job, job.id))));
    const parents = await lease(2, 'parents');
    assert.deepEqual(parents.map(({ id }) => id), [good.job.id], 'the other failed with its child');
    const values = Object.values(await good.job.getChildrenValues());
    assert.deepEqual(values.sort(), jobs.filter((job) => !fails(job) && !ofBad.has(job.id)).map(({ id }) => id).sort());
    assert.match((await status(bad.job.id, 'parents')).failedReason, /failed/);
    await finish(parents.map((job) => done(job)), 'parents');
    await flows.close();
  });

  test('retention keeps as many as it should', async () => {
    const jobs = await leased(8, { name: 'counted' });
    await finish(jobs.map((job) => done(job)), 'counted');
    assert.equal(await redis.admin.zcard('bull:counted:completed'), 3);
    const own = new Queue('counted', { connection: redis.connect() });
    await own.addBulk([{ name: 'work', data: {}, opts: { removeOnComplete: true } }, { name: 'work', data: {} }]);
    const [gone, kept] = await lease(2, 'counted');
    await finish([done(gone), done(kept)], 'counted');
    assert.equal(await own.getJob(gone.id), undefined);
    assert.equal((await own.getJob(kept.id)).returnvalue, null);
    await own.close();
  });

  test('a job whose end cannot be recorded is set aside alone', async () => {
    const [first, broken, last] = await leased(3, { name: 'broken' });
    await redis.admin.hset(`bull:broken:${broken.id}`, 'parent', 'x');
    assert.deepEqual(words(await finish([first, broken, last].map((job) => done(job)), 'broken')), ['completed', 'lock-lost', 'completed']);
    assert.match((await status(broken.id, 'broken')).failedReason, /^BROKEN_JOB: /);
  });

  test('leaves one line in the audit that names every job, and no token in any', async () => {
    const jobs = await leased(3);
    await finish([done(jobs[0]), failed(jobs[1], { retry: false }), failed(jobs[2]), { ...done(jobs[0]), token: FOREIGN_TOKEN }]);
    const [completed, ended, delayed] = jobs.map(({ id }) => [id]);
    const find = () => sluice.logs.find(({ event, action, after: states }) => event === 'audit' && action === 'job.finish' && states.completed[0] === completed[0]);
    await eventually(() => Boolean(find()), { what: 'the line' });
    const { target, sub, after: states } = find();
    assert.deepEqual([target, sub, states], [QUEUE, 'svc-resize', { completed, failed: ended, delayed, waiting: [] }]);
    assert.equal(sluice.child.lines.some((line) => jobs.some(({ token }) => line.includes(token))), false);
    await queue.remove(jobs[2].id);
  });

  test('a Node worker and HTTP workers that finish together share a queue', async () => {
    const seen = new Map();
    const count = (id, who) => seen.set(id, [...(seen.get(id) ?? []), who]);
    const native = new Worker(QUEUE, async (job) => count(job.id, 'node'), { connection: redis.connect(), concurrency: 2 });
    let stopping = false;
    const loop = (async () => {
      while (!stopping) {
        const { json } = await worker.post(`/api/queues/${QUEUE}/lease`, { workerId: 'together', max: 10, wait: 1 });
        if (!json.jobs.length) continue;
        for (const job of json.jobs) count(job.id, 'http');
        assert.ok(words(await finish(json.jobs.map((job) => done(job)))).every((word) => word === 'completed'));
      }
    })();
    const ids = [];
    for (let n = 0; n < 20; n++) ids.push(...(await add(15)));
    await eventually(() => seen.size >= ids.length, { timeout: 60_000, what: 'the end of all' });
    stopping = true;
    await loop;
    await native.close();
    for (const id of ids) assert.equal(seen.get(id)?.length, 1, `${id} was run by ${seen.get(id)}`);
    assert.ok([...seen.values()].flat().includes('http'));
    assert.equal((await queue.getJobCounts('active')).active, 0);
  });
});

describe('many heartbeats in one request', () => {
  test('keep every job that is held, and say of each what became of it', async () => {
    const [kept, stopped, other] = await leased(3);
    await operator.post(`/api/queues/${QUEUE}/jobs/${stopped.id}/cancel`);
    for (const { id } of [kept, stopped, other]) await redis.admin.pexpire(`bull:${QUEUE}:${id}:lock`, 20_000);
    await redis.admin.sadd(`bull:${QUEUE}:stalled`, kept.id);
    const results = await heartbeat([held(kept), held(stopped), { ...held(other), token: FOREIGN_TOKEN }, { id: other.id }, { ...held(kept), id: 'never-was' }, held(kept)]);
    assert.deepEqual(words(results), ['active', 'active', 'lock-lost', 'validation-failed', 'lock-lost', 'active']);
    assert.deepEqual(results.map(({ cancel }) => cancel), [false, true, undefined, undefined, undefined, false]);
    for (const { lockExpiresAt } of [results[0], results[1]]) assert.ok(lockExpiresAt > kept.lockExpiresAt - 1 && lockExpiresAt <= Date.now() + 30_000);
    const left = await Promise.all([kept, stopped, other].map(({ id }) => redis.admin.pttl(`bull:${QUEUE}:${id}:lock`)));
    assert.deepEqual(left.map((ms) => ms > 20_000), [true, true, false]);
    assert.equal(await redis.admin.sismember(`bull:${QUEUE}:stalled`, kept.id), 0);
    await finish([kept, stopped, other].map((job) => done(job)));
  });

  test('a lock that is no text speaks against its own job only', async () => {
    const [good, odd] = await leased(2);
    await redis.admin.del(`bull:${QUEUE}:${odd.id}:lock`);
    await redis.admin.hset(`bull:${QUEUE}:${odd.id}:lock`, 'a', 1);
    assert.deepEqual(words(await heartbeat([held(odd), held(good)])), ['lock-lost', 'active']);
    await redis.admin.del(`bull:${QUEUE}:${odd.id}:lock`);
    await finish([done(good)]);
    await redis.admin.lrem(`bull:${QUEUE}:active`, 1, odd.id);
  });
});

for (const what of ['finish', 'heartbeat']) {
  test(`${what}: is for workers, of queues that exist, for 1 to 100 jobs`, async () => {
    const entry = { id: 'a', token: FOREIGN_TOKEN };
    const refused = async (client, body, code, expected, name = QUEUE) => {
      const { status: got, json } = await client.post(`/api/queues/${name}/${what}`, body);
      assert.deepEqual([got, json.code], [expected, code]);
    };
    await refused(producer, { jobs: [entry] }, 'forbidden', 403);
    await refused(worker, { jobs: [entry] }, 'queue-unknown', 404, 'nowhere');
    for (const body of [{}, { jobs: [] }, { jobs: entry }, { jobs: [entry], more: 1 }, { jobs: Array(101).fill(entry) }, [entry]]) {
      await refused(worker, body, 'validation-failed', 400);
    }
    await refused(worker, { jobs: [{ ...entry, returnvalue: 'x'.repeat(70_000) }] }, 'too-large', 413);
    assert.equal((await worker.post(`/api/queues/${QUEUE}/${what}`, { jobs: Array(100).fill(entry) })).status, 200);
  });
}
