// Reading jobs: every state, changes without polling in vain, many at once, counts; and all of it flat under a backlog.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FlowProducer, Queue, Worker } from 'bullmq';
import { declare, eventually, notification, startRedis, startSluice } from './harness/index.mjs';

const FIELDS = ['id', 'queue', 'name', 'state', 'data', 'opts', 'progress', 'returnvalue', 'failedReason', 'stacktrace', 'attemptsMade', 'attempts',
  'timestamp', 'processedOn', 'finishedOn', 'delay', 'priority', 'parent', 'org', 'submittedBy', 'source'].sort();
const COUNTS = ['waiting', 'active', 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children', 'paused'].sort();
const statusOf = (queue, id) => `/api/jobs/status/${queue}/${encodeURIComponent(id)}`;
const ended = async (promise) => {
  const from = performance.now();
  const answer = await promise;
  return { answer, ms: performance.now() - from };
};

describe('reading jobs', () => {
  let redis;
  let sluice;
  let producer; // of the organization that jobs of other BullMQ clients belong to
  let queue; // the official client on the queue "plain"
  let worker; // takes jobs only when told to
  const closing = [];
  before(async () => {
    redis = await startRedis();
    sluice = await startSluice({
      args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'do-it' }) },
    });
    producer = sluice.as({ roles: ['producer'], sub: 'shop' });
    queue = new Queue('plain', { connection: redis.connect() });
    worker = new Worker('plain', null, { connection: redis.connect() });
    closing.push(queue, worker);
  });
  after(async () => {
    for (const client of closing) await client.close();
    await sluice.stop();
    await redis.stop();
  });

  const create = async (opts = {}, data = {}) => {
    const { status, json } = await producer.post('/api/queues/plain/jobs', { data, opts });
    assert.equal(status, 201);
    return json;
  };
  // Adds a job and takes it, so that it is active.
  const createActive = async (opts) => {
    const { jobId, statusUrl } = await create({ lifo: true, ...opts });
    const job = await worker.getNextJob(`token-${jobId}`);
    assert.equal(job.id, jobId);
    return { job, token: `token-${jobId}`, statusUrl };
  };
  const read = async (url, options) => {
    const answer = await producer.get(url, options);
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  };

  describe('one by one', () => {
    test('every field is always there, null where nothing is known', async () => {
      const { jobId, statusUrl } = await create({}, { a: [1, null] });
      const job = await read(statusUrl);
      assert.deepEqual(Object.keys(job).sort(), FIELDS);
      const { timestamp, opts, ...rest } = job;
      assert.ok(Math.abs(Date.now() - timestamp) < 60_000);
      assert.deepEqual(rest, {
        id: jobId, queue: 'plain', name: 'do-it', state: 'waiting', data: { a: [1, null] }, progress: null, returnvalue: null, failedReason: null,
        stacktrace: [], attemptsMade: 0, attempts: 1, processedOn: null, finishedOn: null, delay: 0, priority: 0, parent: null, org: 'default',
        submittedBy: 'shop', source: 'redis',
      });
      assert.equal(typeof opts, 'object');
    });

    test('a delayed and a prioritized job say so', async () => {
      const delayed = await read((await create({ delay: 60_000 })).statusUrl);
      assert.deepEqual([delayed.state, delayed.delay], ['delayed', 60_000]);
      const prioritized = await read((await create({ priority: 3 })).statusUrl);
      assert.deepEqual([prioritized.state, prioritized.priority], ['prioritized', 3]);
    });

    test('an active job shows when it was taken and how far it is', async () => {
      const { job, token, statusUrl } = await createActive();
      await job.updateProgress({ pct: 40 });
      const seen = await read(statusUrl);
      assert.equal(seen.state, 'active');
      assert.deepEqual(seen.progress, { pct: 40 });
      assert.ok(seen.processedOn >= seen.timestamp);
      await job.moveToCompleted('x', token, false);
    });

    test('a completed job has its result', async () => {
      const { job, token, statusUrl } = await createActive();
      await job.moveToCompleted({ sum: 0.1 }, token, false);
      const seen = await read(statusUrl);
      assert.equal(seen.state, 'completed');
      assert.deepEqual(seen.returnvalue, { sum: 0.1 });
      assert.equal(seen.attemptsMade, 1);
      assert.ok(seen.finishedOn >= seen.processedOn);
    });

    test('a failed job has its reason and its traces', async () => {
      const { job, token, statusUrl } = await createActive();
      await job.moveToFailed(new Error('no luck'), token, false);
      const seen = await read(statusUrl);
      assert.deepEqual([seen.state, seen.failedReason, seen.stacktrace.length], ['failed', 'no luck', 1]);
    });

    test('a parent waits for its children, and a child names its parent', async () => {
      const flow = new FlowProducer({ connection: redis.connect() });
      closing.push(flow);
      const tree = await flow.add({ name: 'p', queueName: 'plain', data: {}, children: [{ name: 'c', queueName: 'plain', data: {}, opts: { delay: 60_000 } }] });
      assert.equal((await read(statusOf('plain', tree.job.id))).state, 'waiting-children');
      assert.deepEqual((await read(statusOf('plain', tree.children[0].job.id))).parent, { id: tree.job.id, queue: 'plain' });
    });

    test('what another client stored as text that is no JSON is a string', async () => {
      await redis.admin.hset('bull:plain:odd', 'name', 'n', 'data', 'not json', 'opts', '{}', 'timestamp', '1', 'returnvalue', '{broken');
      const job = await read(statusOf('plain', 'odd'));
      assert.deepEqual([job.data, job.returnvalue, job.state], ['not json', '{broken', 'waiting']);
    });

    test('?data=0 leaves out data and returnvalue, and nothing else', async () => {
      const { statusUrl } = await create({}, { big: 'x' });
      const whole = await read(statusUrl);
      assert.deepEqual(await read(`${statusUrl}?data=0`), { ...whole, data: null });
    });

    test('nothing tells another organization\'s job from none', async () => {
      const { jobId } = await create();
      const rival = sluice.as({ roles: ['producer'], org: 'rival' });
      const details = async (id) => [
        (await rival.get(`/api/jobs/status/plain/${id}`)).json.detail, (await rival.post(`/api/queues/plain/jobs/${id}/cancel`)).json.detail,
      ].map((detail) => detail.replace(id, 'ID'));
      assert.deepEqual(await details(jobId), await details('never-was'));
    });

    test('another organization\'s job, an unknown job and an unknown queue are all not found', async () => {
      const { statusUrl } = await create();
      const rival = sluice.as({ roles: ['producer'], org: 'rival' });
      const [foreign, unknown] = [await rival.get(statusUrl), await rival.get(statusOf('plain', 'never-was'))];
      assert.deepEqual([foreign.status, unknown.status], [404, 404]);
      assert.equal(foreign.json.code, unknown.json.code);
      assert.equal((await rival.get(statusOf('nowhere', '1'))).status, 404);
      for (const role of ['admin', 'operator', 'viewer']) {
        assert.equal((await sluice.as({ roles: [role], org: 'rival' }).get(statusUrl)).status, 200, role);
      }
    });

    test('a key of the queue is no job', async () => {
      for (const key of ['meta', 'wait', 'events', 'id']) assert.equal((await sluice.client.get(statusOf('plain', key))).status, 404, key);
    });

    test('an ETag gives 304 until the job changes, and HEAD gives the same head', async () => {
      const { job, token, statusUrl } = await createActive();
      const { headers } = await producer.get(statusUrl);
      const unchanged = await producer.get(statusUrl, { headers: { 'if-none-match': headers.etag } });
      assert.deepEqual([unchanged.status, unchanged.text, unchanged.headers.etag], [304, '', headers.etag]);
      const head = await producer.request('HEAD', statusUrl);
      assert.deepEqual([head.headers.etag, head.headers['content-length'], head.text], [headers.etag, headers['content-length'], '']);
      for (const change of [() => job.updateProgress(10), () => job.moveToCompleted('x', token, false)]) {
        const { headers: { etag } } = await producer.get(statusUrl);
        await change();
        assert.equal((await producer.get(statusUrl, { headers: { 'if-none-match': etag } })).status, 200);
      }
    });
  });

  describe('with Prefer: wait', () => {
    const prefer = (value) => ({ headers: { prefer: value } });

    test('the answer comes when the job ends', async () => {
      const { job, token, statusUrl } = await createActive();
      const waiting = ended(producer.get(statusUrl, prefer('respond-async, wait=20')));
      await eventually(async () => (await redis.admin.client('LIST')).includes('cmd=xread'), { what: 'a reader of the events' });
      await job.moveToCompleted('done', token, false);
      const { answer, ms } = await waiting;
      assert.equal(answer.json.returnvalue, 'done');
      assert.equal(answer.headers['preference-applied'], 'wait=20');
      assert.ok(ms < 10_000, `${ms} ms`);
    });

    test('many may wait for one job, and all hear of a failure', async () => {
      const { job, token, statusUrl } = await createActive();
      const waiting = Array.from({ length: 10 }, () => producer.get(statusUrl, prefer('wait=20')));
      await job.moveToFailed(new Error('no luck'), token, false);
      for (const answer of await Promise.all(waiting)) assert.equal(answer.json.state, 'failed');
    });

    test('the answer comes when the time is over', async () => {
      const { statusUrl } = await create();
      const { answer, ms } = await ended(producer.get(statusUrl, prefer('wait=1')));
      assert.equal(answer.json.state, 'waiting');
      assert.ok(ms >= 950 && ms < 5_000, `${ms} ms`);
    });

    test('a wish beyond 30 seconds is cut to 30', async () => {
      const { job, token, statusUrl } = await createActive();
      const waiting = producer.get(statusUrl, prefer('wait=86400'));
      await job.moveToCompleted('x', token, false);
      const { headers } = await waiting;
      assert.ok([undefined, 'wait=30'].includes(headers['preference-applied']), headers['preference-applied']);
    });

    test('a job that has ended, and one that is not there, are answered at once', async () => {
      const { job, token, statusUrl } = await createActive();
      await job.moveToCompleted('x', token, false);
      for (const [url, status] of [[statusUrl, 200], [statusOf('plain', 'never-was'), 404]]) {
        const { answer, ms } = await ended(producer.get(url, prefer('wait=20')));
        assert.equal(answer.status, status);
        assert.ok(ms < 5_000, `${ms} ms`);
      }
    });
  });

  describe('many at once', () => {
    const batch = (jobs, client = producer) => client.post('/api/jobs/status', { jobs });

    test('states come in the order asked, null for what is unknown or another organization\'s', async () => {
      const mine = await create();
      const delayed = await create({ delay: 60_000 });
      const { json: foreign } = await sluice.as({ roles: ['producer'], org: 'rival' }).post('/api/jobs/notifications', notification);
      const wanted = [
        { queue: 'plain', jobId: delayed.jobId }, { queue: 'nowhere', jobId: '1' }, { queue: 'notifications', jobId: foreign.jobId },
        { queue: 'plain', jobId: 'never-was' }, { queue: 'plain', jobId: mine.jobId }, { queue: 'plain', jobId: delayed.jobId },
      ];
      const { status, json: { jobs } } = await batch(wanted);
      assert.equal(status, 200);
      assert.deepEqual(jobs.map(({ queue: name, jobId }) => ({ queue: name, jobId })), wanted);
      assert.deepEqual(jobs.map(({ state }) => state), ['delayed', null, null, null, 'waiting', 'delayed']);
      const { json: { jobs: all } } = await batch(wanted, sluice.client);
      assert.equal(all[2].state, 'waiting', 'an admin sees every organization');
    });

    test('the names of the queue\'s own keys are no jobs', async () => {
      await create();
      const { json: { jobs } } = await batch(['wait', 'meta', 'events', 'id'].map((jobId) => ({ queue: 'plain', jobId })), sluice.client);
      for (const job of jobs) assert.deepEqual(job, { queue: 'plain', jobId: job.jobId, state: null, attemptsMade: 0, finishedOn: null, failedReason: null });
    });

    test('500 are taken; none and 501 are refused', async () => {
      const ids = Array.from({ length: 501 }, (_, i) => ({ queue: 'plain', jobId: `no-${i}` }));
      assert.equal((await batch(ids.slice(1))).json.jobs.length, 500);
      for (const jobs of [[], ids]) assert.equal((await batch(jobs)).status, 400);
    });
  });

  describe('counts', () => {
    test('of a queue are those of the official client', async () => {
      const { json } = await producer.get('/api/jobs/stats/plain');
      const counts = await queue.getJobCounts('waiting', 'active', 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children');
      assert.deepEqual(json, { queue: 'plain', ...counts, paused: false });
    });

    test('a paused queue says so, and its jobs still wait', async () => {
      // Counts are shared for some milliseconds by those who ask at the same time.
      const stats = async () => (await producer.get('/api/jobs/stats/plain')).json;
      const { waiting } = await stats();
      await queue.pause();
      assert.equal((await eventually(async () => (await stats()).paused && stats())).waiting, waiting);
      await queue.resume();
      await eventually(async () => !(await stats()).paused);
    });

    test('of all queues come with totals', async () => {
      const { json } = await sluice.as({ roles: ['viewer'] }).get('/api/jobs/stats');
      assert.deepEqual(Object.keys(json.queues).sort(), ['compliance-analysis', 'document-processing', 'notifications', 'plain']);
      for (const counts of [...Object.values(json.queues), json.totals]) assert.deepEqual(Object.keys(counts).sort(), COUNTS);
      assert.equal(json.totals.waiting, Object.values(json.queues).reduce((sum, counts) => sum + counts.waiting, 0));
    });

    test('of an unknown queue are not found', async () => {
      assert.equal((await producer.get('/api/jobs/stats/nowhere')).json.code, 'queue-unknown');
    });
  });
});

test('at most 75 % of the threads wait; who comes after is answered at once', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_HTTP_THREADS: '8' } });
  t.after(() => sluice.stop());
  const once = { headers: { connection: 'close' } };
  const { json: { statusUrl } } = await sluice.client.post('/api/jobs/notifications', notification, once);
  let answered = 0;
  const waits = Array.from({ length: 8 }, () => sluice.client.get(statusUrl, { headers: { ...once.headers, prefer: 'wait=30' } })
    .finally(() => answered++));
  await eventually(() => answered === 2, { what: 'two answers at once' });
  assert.equal((await sluice.client.get('/api/jobs/stats', once)).status, 200);
  assert.equal(answered, 2, 'six still wait');
  const worker = new Worker('notifications', null, { connection: redis.connect() });
  await (await worker.getNextJob('t')).moveToCompleted('it is over', 't', false);
  await worker.close();
  const applied = (await Promise.all(waits)).map((answer) => answer.headers['preference-applied']);
  assert.deepEqual(applied.filter(Boolean), Array(6).fill('wait=30'));
});

describe('under a backlog of 500 000 jobs', () => {
  const BACKLOG = 500_000;
  let redis;
  let sluice;
  before(async () => {
    redis = await startRedis();
    // BullMQ's stalled check reads the active list; with a long interval it runs once, at the start.
    const queues = declare(...['document-processing', 'notifications', 'compliance-analysis'].map((name) => ({ name, stalledInterval: 86_400_000 })));
    sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: queues } });
    const add = `for i = ARGV[1], ARGV[2] do
      redis.call('HSET', 'bull:notifications:b' .. i, 'name', 'send-notification', 'data', '{}', 'opts', '{}', 'timestamp', '1')
      redis.call('LPUSH', 'bull:notifications:wait', 'b' .. i)
    end`;
    for (let from = 0; from < BACKLOG; from += 10_000) await redis.admin.eval(add, 0, from, from + 9_999);
  });
  after(async () => {
    await sluice.stop();
    await redis.stop();
  });

  test('status, batches, waits and counts answer, and no list is ever searched', async () => {
    const seen = [];
    await redis.admin.config('RESETSTAT');
    const monitor = await redis.connect().monitor();
    monitor.on('monitor', (_, [command, ...args]) => seen.push(`${command} ${args[0]}`.toLowerCase()));
    const ids = [0, BACKLOG / 2, BACKLOG - 1].map((i) => `b${i}`);
    for (const id of ids) assert.equal((await sluice.client.get(statusOf('notifications', id))).json.state, 'waiting');
    const { json: { jobs } } = await sluice.client.post('/api/jobs/status', { jobs: ids.map((jobId) => ({ queue: 'notifications', jobId })) });
    assert.deepEqual(jobs.map(({ state }) => state), ['waiting', 'waiting', 'waiting']);
    assert.equal((await sluice.client.get(statusOf('notifications', ids[1]), { headers: { prefer: 'wait=1' } })).status, 200);
    assert.equal((await sluice.client.get('/api/jobs/stats/notifications')).json.waiting, BACKLOG);
    assert.equal((await sluice.client.get('/api/jobs/stats')).json.totals.waiting, BACKLOG);
    assert.equal((await sluice.client.post('/api/jobs/notifications', notification)).status, 201);
    await redis.admin.echo('the end');
    await eventually(() => seen.includes('echo the end'), { what: 'the last command in the monitor' });
    monitor.disconnect();
    assert.ok(seen.some((line) => line.startsWith('hmget') || line.startsWith('hgetall')), 'the monitor sees what scripts do');
    const commands = [...(await redis.admin.info('commandstats')).matchAll(/^cmdstat_(\S+?):/gm)].map(([, name]) => name);
    assert.ok(commands.includes('hmget') && commands.includes('llen'), `the statistics see what was done: ${commands}`);
    assert.deepEqual(commands.filter((name) => ['lrange', 'lpos', 'lindex'].includes(name)), []);
    assert.deepEqual(seen.filter((line) => /^(lrange|lpos|lindex|linsert|lrem) bull:notifications:wait/.test(line)), []);
  });
});
