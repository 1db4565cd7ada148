// The records of jobs in PostgreSQL: that there is one for each, what it says, and that statuses are read from it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { FlowProducer, Queue, Worker } from 'bullmq';
import { declare, eventually, startPostgres, startRedis, startSluice } from './harness/index.mjs';

const NOTE = { userId: 'u1', type: 'email', subject: 's', message: 'm' };

describe('records', () => {
  let pg, redis, sluice, operator, producer, worker, early;

  before(async () => {
    [pg, redis] = await Promise.all([startPostgres(), startRedis()]);
    early = await workedOnAlone('early');
    sluice = await startSluice({
      env: {
        REDIS_URL: redis.url, SLUICE_RECORDS: 'on', DATABASE_URL: pg.url, SLUICE_NOTIFY_DRY_RUN: '1', SLUICE_RECORDS_MAX_BYTES: '4096',
        SLUICE_QUEUES: declare(
          { name: 'elsewhere', processor: 'none', attempts: 2, removeOnComplete: true, removeOnFail: true },
          { name: 'secretive', processor: 'none', removeOnComplete: true, record: { data: ['kept'], result: false, days: 3 } },
          { name: 'drained', processor: 'none' },
          { name: 'early', processor: 'none' },
          { name: 'handed', processor: 'none', attempts: 2 },
          { name: 'crowded', processor: 'none' },
          { name: 'unrecorded', processor: 'none', removeOnComplete: true, record: false },
        ),
      },
    });
    operator = sluice.as({ sub: 'olga', roles: ['operator'], org: 'acme' });
    producer = sluice.as({ sub: 'paul', roles: ['producer'], org: 'acme' });
    worker = sluice.as({ sub: 'wanda', roles: ['worker'], org: 'acme' });
    await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  });

  after(async () => {
    await sluice.stop();
    await redis.stop();
    await pg.stop();
  });

  // Jobs of a BullMQ client that a worker of its own has ended, and then gone, while nobody else was there: one that left nothing, one that stays.
  async function workedOnAlone(name) {
    const queue = new Queue(name, { connection: redis.connect() });
    const foreign = new Worker(name, async (job) => ({ did: job.data.n }), { connection: redis.connect() });
    foreign.on('error', () => {});
    const jobs = await Promise.all([true, false].map((removeOnComplete, n) => queue.add('alone', { n }, { removeOnComplete })));
    for (const [i, state] of ['unknown', 'completed'].entries()) await eventually(async () => (await queue.getJobState(jobs[i].id)) === state, { timeout: 30_000, what: `${state} ${i}` });
    await foreign.close();
    await queue.close();
    return jobs;
  }

  async function add(queue, data, opts = {}) {
    const { status, json, text } = await operator.post(`/api/queues/${queue}/jobs`, { name: 'job', data, opts });
    assert.equal(status, 201, text);
    return json.jobId;
  }

  const status = (queue, id, { as = operator, ...options } = {}) => as.get(`/api/jobs/status/${queue}/${id}`, options);

  async function lease(queue) {
    const { json } = await worker.post(`/api/queues/${queue}/lease`, { workerId: 'w1', max: 1, wait: 20 });
    assert.equal(json.jobs.length, 1);
    return json.jobs[0];
  }

  const tell = (queue, job, what, more) => worker.post(`/api/queues/${queue}/jobs/${job.id}/${what}`, { token: job.token, ...more });

  // The record's values of these columns, when it is there.
  function record(queue, id, ...columns) {
    const found = pg.rows(`SELECT ${columns.join(', ')} FROM sluice.records WHERE queue = '${queue}' AND job_id = '${id}'`);
    assert.equal(found.length, 1, `${found.length} records of ${queue} ${id}`);
    return found[0];
  }

  const recorded = (queue, id, state) => eventually(() => record(queue, id, 'state').state === state, { timeout: 20_000, what: `the record of ${queue} ${id}: ${state}` });

  test('a job whose end leaves nothing in Redis has its status from its record', async () => {
    const id = await add('notifications', NOTE, { removeOnComplete: true });
    const { status: code, json, headers } = await status('notifications', id, { headers: { prefer: 'wait=20' } });
    assert.equal(code, 200);
    assert.equal(await redis.admin.exists(`bull:notifications:${id}`), 0);
    assert.equal(json.source, 'archive');
    assert.equal(json.state, 'completed');
    assert.deepEqual(json.data, NOTE);
    assert.equal(json.returnvalue.status, 'sent');
    assert.equal(json.org, 'acme');
    assert.equal(json.submittedBy, 'olga');
    assert.equal(json.attemptsMade, 1);
    assert.equal(json.attempts, 5);
    assert.ok(json.timestamp <= json.processedOn && json.processedOn <= json.finishedOn);
    assert.equal(headers['preference-applied'] ?? 'wait=20', 'wait=20');
    assert.equal((await status('notifications', id, { headers: { 'if-none-match': (await status('notifications', id)).headers.etag } })).status, 304);
    assert.equal((await operator.get(`/api/jobs/status/notifications/${id}?data=0`)).json.returnvalue, null);
  });

  test('what Redis and the record say of a job is the same', async () => {
    const kept = await add('notifications', NOTE);
    await eventually(async () => (await status('notifications', kept)).json.state === 'completed');
    const { json: live } = await status('notifications', kept);
    assert.equal(live.source, 'redis');
    await recorded('notifications', kept, 'completed');
    const detail = () => operator.get(`/api/queues/notifications/jobs/${kept}`);
    const { json: whole } = await detail();
    await redis.admin.multi().del(`bull:notifications:${kept}`).zrem('bull:notifications:completed', kept).exec();
    assert.deepEqual((await status('notifications', kept)).json, { ...live, source: 'archive' });
    assert.deepEqual((await detail()).json, { ...whole, source: 'archive' });
  });

  test('each failed attempt and its error stand in the record, and the last lines of the log', async () => {
    const id = await add('elsewhere', { n: 1 }, { attempts: 2 });
    let job = await lease('elsewhere');
    await tell('elsewhere', job, 'log', { line: 'the first "line"' });
    assert.equal((await tell('elsewhere', job, 'fail', { reason: 'BUSY: try 1 of 2' })).status, 200);
    job = await lease('elsewhere');
    assert.equal((await tell('elsewhere', job, 'fail', { reason: 'BUSY: try 2 of 2' })).status, 200);
    const { json } = await status('elsewhere', id);
    assert.deepEqual([json.source, json.state, json.failedReason, json.attemptsMade], ['archive', 'failed', 'BUSY: try 2 of 2', 2]);
    const row = record('elsewhere', id, 'attempts', 'logs', 'fingerprint', 'worker', 'sub');
    const attempts = Object.entries(row.attempts).sort(([a], [b]) => a - b).map(([, attempt]) => attempt.error);
    assert.deepEqual(attempts, ['BUSY: try 1 of 2', 'BUSY: try 2 of 2']);
    assert.deepEqual(row.logs, ['the first "line"']);
    assert.deepEqual([row.fingerprint, row.worker, row.sub], ['BUSY: try # of #', 'lease:w1:acme:wanda', 'olga']);
  });

  test('other organizations get 404, as of a job in Redis', async () => {
    const id = await add('notifications', NOTE, { removeOnComplete: true });
    await status('notifications', id, { headers: { prefer: 'wait=20' } });
    assert.equal((await status('notifications', id, { as: producer })).status, 200);
    assert.equal((await status('notifications', id, { as: sluice.as({ roles: ['producer'], org: 'other' }) })).status, 404);
    const { json } = await sluice.as({ roles: ['producer'], org: 'other' }).post('/api/jobs/status', { jobs: [{ queue: 'notifications', jobId: id }] });
    assert.equal(json.jobs[0].state, null);
  });

  test('an id that another organization has used since does not hide the record of ours', async () => {
    const stranger = sluice.as({ sub: 'sam', roles: ['producer'], org: 'other' });
    const add = (as, jobId) => as.post('/api/queues/elsewhere/jobs', { name: 'job', data: {}, opts: { jobId } });
    const seen = async (as) => {
      const { status: code, json } = await status('elsewhere', 'again', { as });
      const { json: many } = await as.post('/api/jobs/status', { jobs: [{ queue: 'elsewhere', jobId: 'again' }] });
      return [code, json.state, json.org, many.jobs[0].state];
    };
    assert.equal((await add(producer, 'again')).status, 201);
    const job = await lease('elsewhere');
    assert.equal((await tell('elsewhere', job, 'complete', { returnvalue: job.id })).status, 200);
    assert.deepEqual(await seen(producer), [200, 'completed', 'acme', 'completed']);
    assert.deepEqual(await seen(stranger), [404, undefined, undefined, null]);
    assert.equal((await add(stranger, 'again')).status, 201);
    assert.deepEqual(await seen(producer), [200, 'completed', 'acme', 'completed']);
    assert.deepEqual(await seen(stranger), [200, 'waiting', 'other', 'waiting']);
    assert.equal((await tell('elsewhere', await lease('elsewhere'), 'fail', { reason: 'X: no', retry: false })).status, 200);
    assert.deepEqual(await seen(stranger), [200, 'failed', 'other', 'failed']);
    assert.deepEqual(await seen(producer), [200, 'completed', 'acme', 'completed']);
    assert.equal((await status('elsewhere', 'again')).json.org, 'other'); // the newest, for who sees all
  });

  test('many at once: some in Redis, some in records, some nowhere', async () => {
    const ids = [await add('notifications', NOTE, { removeOnComplete: true }), await add('elsewhere', {}, { delay: 600_000 })];
    await status('notifications', ids[0], { headers: { prefer: 'wait=20' } });
    const { json } = await operator.post('/api/jobs/status', {
      jobs: [{ queue: 'notifications', jobId: ids[0] }, { queue: 'elsewhere', jobId: ids[1] }, { queue: 'elsewhere', jobId: 'never' }],
    });
    assert.deepEqual(json.jobs.map(({ state }) => state), ['completed', 'delayed', null]);
    assert.equal(json.jobs[0].attemptsMade, 1);
  });

  test('an id that was given out and is nowhere is 410, one that never was is 404', async () => {
    const cancelled = await add('elsewhere', {}, { delay: 600_000 });
    assert.equal((await operator.post(`/api/queues/elsewhere/jobs/${cancelled}/cancel`)).json.outcome, 'removed');
    for (const id of [cancelled, await (async () => {
      const lost = await add('unrecorded', {}, { delay: 600_000 });
      await redis.admin.multi().del(`bull:unrecorded:${lost}`).zrem('bull:unrecorded:delayed', lost).exec();
      return lost;
    })()]) {
      const queue = id === cancelled ? 'elsewhere' : 'unrecorded';
      const { status: code, json } = await status(queue, id);
      assert.deepEqual([code, json.code], [410, 'job-expired']);
      assert.equal((await operator.get(`/api/queues/${queue}/jobs/${id}`)).json.code, 'job-expired');
    }
    assert.equal((await status('elsewhere', '999999')).status, 404);
    assert.equal((await status('elsewhere', 'my-own')).status, 404);
    await recorded('elsewhere', cancelled, 'removed');
  });

  test('what a drain takes out of a queue is recorded as removed, with its data', async () => {
    const ids = [await add('drained', { n: 1 }), await add('drained', { n: 2 }, { priority: 3 }), await add('drained', { n: 3 }, { delay: 600_000 })];
    const { status: code, json } = await operator.post('/api/queues/drained/drain', { delayed: true, confirm: 'drained' });
    assert.deepEqual([code, json.removed], [200, 3]);
    for (const [i, id] of ids.entries()) {
      await recorded('drained', id, 'removed');
      assert.deepEqual(record('drained', id, 'data', 'finished_ms', 'org'), { data: `{"n":${i + 1}}`, finished_ms: null, org: 'acme' });
      assert.equal((await status('drained', id)).json.code, 'job-expired');
    }
  });

  test('what a clean takes before it has ended is recorded as removed, too', async () => {
    const taken = { waiting: await add('drained', { n: 1 }), prioritized: await add('drained', { n: 2 }, { priority: 3 }), delayed: await add('drained', { n: 3 }, { delay: 600_000 }) };
    for (const [state, id] of Object.entries(taken)) {
      const { json } = await operator.post('/api/queues/drained/clean', { state, confirm: 'drained' });
      assert.equal(json.removed, 1, state);
      await recorded('drained', id, 'removed');
      assert.equal(record('drained', id, 'org').org, 'acme');
      assert.equal((await status('drained', id)).json.code, 'job-expired');
    }
  });

  test('children that go with a removed parent, each as its own queue keeps it', async () => {
    const flows = new FlowProducer({ connection: redis.connect() });
    const child = (queueName, data) => ({ name: 'child', queueName, data });
    const { job: parent, children } = await flows.add({
      name: 'parent', queueName: 'drained', data: { p: 1 },
      children: [child('drained', { c: 1 }), child('secretive', { kept: 2, secret: 'x' }), child('unrecorded', { c: 3 })],
    });
    await flows.close();
    assert.equal((await operator.post(`/api/queues/drained/jobs/${parent.id}/remove`)).status, 200);
    await recorded('drained', parent.id, 'removed');
    const kept = { drained: '{"c":1}', secretive: '{"kept":2}' };
    for (const { job } of children.filter(({ job: { queueName } }) => queueName !== 'unrecorded')) {
      await recorded(job.queueName, job.id, 'removed');
      assert.deepEqual(record(job.queueName, job.id, 'data', 'finished_ms', 'parent_id'), { data: kept[job.queueName], finished_ms: null, parent_id: parent.id });
    }
    assert.equal(await redis.admin.exists('bull:unrecorded:outbox'), 0);
  });

  test('a queue keeps what its declaration says, and nothing else leaves Redis', async () => {
    const id = await add('secretive', { kept: 1, secret: 'x' });
    await tell('secretive', await lease('secretive'), 'complete', { returnvalue: { also: 'secret' } });
    await recorded('secretive', id, 'completed');
    const row = record('secretive', id, 'data', 'fields', 'returnvalue', 'result_bytes');
    assert.deepEqual(row, { data: '{"kept":1}', fields: { kept: 1 }, returnvalue: null, result_bytes: 17 });
    const none = await add('unrecorded', { x: 1 });
    await tell('unrecorded', await lease('unrecorded'), 'complete', { returnvalue: 1 });
    assert.equal(await redis.admin.exists('bull:unrecorded:outbox'), 0);
    assert.equal((await status('unrecorded', none)).status, 410);
  });

  test('data and results that are too long are left out, and their size is told', async () => {
    const id = await add('elsewhere', { long: 'x'.repeat(5000) });
    await tell('elsewhere', await lease('elsewhere'), 'complete', { returnvalue: 'y'.repeat(4095) });
    await recorded('elsewhere', id, 'completed');
    assert.deepEqual(record('elsewhere', id, 'data', 'data_bytes', 'returnvalue', 'result_bytes'), { data: null, data_bytes: 5011, returnvalue: null, result_bytes: 4097 });
    const { json } = await status('elsewhere', id);
    assert.deepEqual([json.state, json.data, json.returnvalue], ['completed', null, null]);
  });

  test('what waits is written down as pending after a while; what has ended by then has its one record already', async () => {
    const waits = await add('drained', { n: 1 }, { delay: 600_000 });
    const ended = await add('elsewhere', { n: 2 });
    await tell('elsewhere', await lease('elsewhere'), 'complete', { returnvalue: ended });
    await recorded('elsewhere', ended, 'completed');
    await recorded('drained', waits, 'pending');
    assert.deepEqual(record('drained', waits, 'data', 'org', 'delay_ms', 'sub'), { data: '{"n":1}', org: 'acme', delay_ms: 600000, sub: 'olga' });
    for (const queue of ['drained', 'elsewhere']) {
      await eventually(async () => (await redis.admin.xlen(`bull:${queue}:outbox:adds`)) === 0, { timeout: 30_000, what: 'nothing left of the adds' });
    }
    assert.deepEqual(record('elsewhere', ended, 'state', 'data', 'returnvalue'), { state: 'completed', data: '{"n":2}', returnvalue: `"${ended}"` });
    await operator.delete(`/api/queues/drained/jobs/${waits}`);
  });

  test('an id is found among a hundred thousand adds that wait, or known not to be there, without waiting for them', { timeout: 120_000 }, async () => {
    const adds = 'bull:crowded:outbox:adds';
    const opts = JSON.stringify({ sluice: { org: 'acme', sub: 'paul' } });
    const due = Date.now() + 3_600_000; // they are written an hour from now: the test finds all of them
    const fill = (from, to) => redis.admin.eval(`for i = ARGV[1], ARGV[2] do
      redis.call('XADD', KEYS[1], string.format('%d-1', ARGV[3] + i), 'kind', 'added', 'id', i, 'at', ARGV[4], 'name', 'job', 'data', '{}', 'opts', ARGV[5])
      end redis.call('SET', KEYS[2], ARGV[2])`, 2, adds, 'bull:crowded:id', from, to, due, Date.now(), opts);
    for (let i = 0; i < 50_000; i += 10_000) await fill(i + 1, i + 10_000);
    const own = async (jobId, more = {}) => (await producer.post('/api/queues/crowded/jobs', { name: 'job', data: {}, opts: { jobId, ...more } })).json.jobId;
    const added = [await own(), await own('mine'), await own('late', { delay: 600_000 }), await own('urgent', { priority: 3 })];
    assert.deepEqual(added, ['50001', 'mine', 'late', 'urgent']);
    for (let i = 50_010; i < 100_000; i += 10_000) await fill(i + 1, Math.min(i + 10_000, 100_000));
    await redis.admin.del(...added.map((id) => `bull:crowded:${id}`)); // as if somebody had ended them and left nothing
    const stranger = sluice.as({ roles: ['producer'], org: 'other' });
    const answers = async (as, ids) => Promise.all(ids.map(async (id) => (await status('crowded', id, { as })).status));
    const there = [...added, '1', '2', '33333', '50000', '50011', '77777', '100000'];
    assert.deepEqual(await answers(producer, there), there.map(() => 410));
    assert.deepEqual(await answers(stranger, there), there.map(() => 404));
    assert.deepEqual(await answers(producer, ['never', '100001', '007']), [404, 404, 404]);
    const many = Array.from({ length: 500 }, (_, i) => ({ queue: 'crowded', jobId: String(1 + i * 150) }));
    assert.equal((await producer.post('/api/jobs/status', { jobs: many })).status, 200);
    assert.ok(await redis.admin.xlen(adds) > 99_000, 'nothing was written for it');
    assert.equal(await redis.admin.hlen(`${adds}:ids`), 3);
    await redis.admin.xtrim(adds, 'MAXLEN', 0);
    await redis.admin.del('bull:crowded:wait', 'bull:crowded:delayed', 'bull:crowded:prioritized');
  });

  test('where an add stands is forgotten when it is written', async () => {
    await add('drained', {}, { jobId: 'noted' });
    assert.equal(await redis.admin.hexists('bull:drained:outbox:adds:ids', 'noted'), 1);
    await recorded('drained', 'noted', 'pending');
    await eventually(async () => !(await redis.admin.exists('bull:drained:outbox:adds:ids')), { timeout: 30_000, what: 'no places' });
    await operator.delete('/api/queues/drained/jobs/noted');
  });

  test('ten thousand jobs behind it take nothing from the first one', { timeout: 180_000 }, async () => {
    const first = await add('notifications', { ...NOTE, subject: 'the first' }, { removeOnComplete: 1 });
    await status('notifications', first, { headers: { prefer: 'wait=20' } });
    const jobs = Array.from({ length: 1000 }, () => ({ name: 'job', data: {}, opts: { removeOnComplete: 1 } }));
    for (let i = 0; i < 10; i++) assert.equal((await operator.post('/api/queues/elsewhere/jobs', jobs)).status, 200);
    const taken = async () => (await worker.post('/api/queues/elsewhere/lease', { workerId: 'w1', max: 100, wait: 1 })).json.jobs;
    let ended = 0;
    for (let held = await taken(); held.length; held = await taken()) {
      const answers = await Promise.all(held.map((job) => tell('elsewhere', job, 'complete', { returnvalue: job.id })));
      ended += answers.filter(({ status: code }) => code === 200).length;
    }
    assert.ok(ended >= 10_000, `${ended} ended`);
    const { json } = await status('notifications', first, { headers: { prefer: 'wait=5' } });
    assert.deepEqual([json.data.subject, json.state], ['the first', 'completed']);
    await eventually(async () => (await redis.admin.xlen('bull:elsewhere:outbox')) === 0, { timeout: 60_000, what: 'an empty outbox' });
    const [{ count, ids, wrong }] = pg.rows(
      "SELECT count(*), count(DISTINCT job_id) ids, count(*) FILTER (WHERE returnvalue <> '\"' || job_id || '\"') wrong FROM sluice.records WHERE queue = 'elsewhere' AND state = 'completed'");
    assert.equal(count, ids);
    assert.ok(count >= 10_000);
    assert.equal(wrong, 0);
  });

  test('of two ends the later counts, also where clocks differ; what events tell is no other end of the same kind', () => {
    const cases = [
      // state, at, attempts of the record; of what is told; partial; is it newer?
      ['failed', 1000, 1, 'completed', 1350, null, true, true],
      ['failed', 1000, 1, 'completed', 900, null, true, false],
      ['failed', 1000, 1, 'failed', 5999, null, true, false],
      ['failed', 1000, 1, 'failed', 6000, null, true, true],
      ['failed', 1000, 1, 'completed', 900, 2, false, true],
      ['completed', 900, 2, 'failed', 1000, 1, false, true], // attempts may be counted anew
      ['completed', 900, 2, 'failed', 800, 2, false, false],
      ['completed', 900, 2, 'completed', 900, 2, false, true],
      ['pending', 900, 0, 'removed', 800, 0, false, true],
      ['completed', 900, 1, 'removed', 1000, 2, false, false],
      ['completed', 900, 1, 'pending', 1000, 2, false, false],
    ];
    for (const { wanted, ...all } of cases.map(([...values]) => ({ wanted: values.pop(), values }))) {
      const list = all.values.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(', ');
      assert.deepEqual(pg.rows(`SELECT sluice.record_is_newer(${list}) AS newer`), [{ newer: wanted }], list);
    }
  });

  test('what others had ended before any gateway looked at the queue is recorded from its events', async () => {
    for (const job of early) await recorded('early', job.id, 'completed');
    const [gone, stays] = early.map((job) => record('early', job.id, 'name', 'data', 'returnvalue', 'partial'));
    assert.deepEqual(gone, { name: 'alone', data: null, returnvalue: '{"did":0}', partial: true });
    assert.deepEqual(stays, { name: 'alone', data: '{"n":1}', returnvalue: '{"did":1}', partial: false });
    assert.match((await sluice.client.get('/metrics')).text, /^sluice_records_gap_total\{queue="early"\} 0$/m);
  });

  describe('by workers of other programs', () => {
    let queue, foreign;

    before(async () => {
      queue = new Queue('elsewhere', { connection: redis.connect() });
      foreign = new Worker('elsewhere', async (job) => {
        if (job.data.fail) throw new Error('not today');
        return { done: job.data.n };
      }, { connection: redis.connect(), concurrency: 5 });
      foreign.on('error', () => {});
      await foreign.waitUntilReady();
    });

    after(async () => {
      await foreign.close();
      await queue.close();
    });

    test('ends that leave nothing behind are recorded, with data and result', async () => {
      const id = await add('elsewhere', { n: 7 });
      await recorded('elsewhere', id, 'completed');
      const { json } = await status('elsewhere', id);
      assert.deepEqual([json.source, json.data, json.returnvalue, json.org], ['archive', { n: 7 }, { done: 7 }, 'acme']);
    });

    test('jobs of their clients too, and ends that stay in Redis', async () => {
      const job = await queue.add('theirs', { n: 8 }, { removeOnComplete: false });
      await recorded('elsewhere', job.id, 'completed');
      assert.deepEqual(record('elsewhere', job.id, 'name', 'data', 'returnvalue', 'partial', 'created_ms'),
        { name: 'theirs', data: '{"n":8}', returnvalue: '{"done":8}', partial: false, created_ms: job.timestamp });
      const failed = await queue.add('theirs', { fail: true }, { removeOnFail: true });
      await recorded('elsewhere', failed.id, 'failed');
      const row = record('elsewhere', failed.id, 'name', 'failed_reason', 'fingerprint', 'partial', 'org');
      assert.deepEqual(row, { name: 'theirs', failed_reason: 'not today', fingerprint: 'not today', partial: true, org: '' });
      assert.equal((await status('elsewhere', failed.id)).json.state, 'failed');
      assert.equal((await status('elsewhere', failed.id, { as: sluice.as({ roles: ['producer'], org: 'default' }) })).status, 404);
    });

    test('ends by a worker without a name of what one of ours had before', async (t) => {
      const id = await add('handed', { n: 9 });
      assert.equal((await tell('handed', await lease('handed'), 'fail', { reason: 'not here' })).status, 200);
      const nameless = new Worker('handed', async () => ({ by: 'another' }), { connection: redis.connect() });
      t.after(() => nameless.close());
      await recorded('handed', id, 'completed');
      assert.match(await redis.admin.hget(`bull:handed:${id}`, 'pb'), /^lease:/);
      assert.deepEqual(record('handed', id, 'returnvalue', 'attempts_made', 'partial'), { returnvalue: '{"by":"another"}', attempts_made: 2, partial: false });
    });

    test('what is too long is left out of these, too, and its size is told', async () => {
      const long = { n: 'x'.repeat(5000) };
      const stays = await queue.add('theirs', long, { removeOnComplete: false });
      await recorded('elsewhere', stays.id, 'completed');
      assert.deepEqual(record('elsewhere', stays.id, 'data', 'data_bytes', 'returnvalue', 'result_bytes', 'fields', 'partial'),
        { data: null, data_bytes: 5008, returnvalue: null, result_bytes: 5011, fields: null, partial: false });
      const gone = await queue.add('theirs', long, { removeOnComplete: true });
      await recorded('elsewhere', gone.id, 'completed');
      assert.deepEqual(record('elsewhere', gone.id, 'returnvalue', 'result_bytes', 'partial'), { returnvalue: null, result_bytes: 5011, partial: true });
    });

    test('hashes that are large together are read in pieces, none is left out', async (t) => {
      const slow = new Worker('handed', async (job) => job.data.n, { connection: redis.connect(), concurrency: 10 });
      const handed = new Queue('handed', { connection: redis.connect() });
      t.after(() => Promise.all([slow.close(), handed.close()]));
      const jobs = await handed.addBulk(Array.from({ length: 12 }, (_, n) => ({ name: 'large', data: { n, more: 'x'.repeat(1 << 20) }, opts: { removeOnComplete: n % 4 === 3 } })));
      for (const [n, job] of jobs.entries()) {
        await recorded('handed', job.id, 'completed');
        assert.deepEqual(record('handed', job.id, 'returnvalue', 'partial', 'data'), { returnvalue: String(n), partial: n % 4 === 3, data: null });
      }
    });

    test('what failed, was tried again and completed at once, leaving nothing', async (t) => {
      const handed = new Queue('handed', { connection: redis.connect() });
      t.after(() => handed.close());
      let tries = 0;
      const named = new Worker('handed', async () => {
        if (tries++ === 0) throw new Error('the first time');
        return { tries };
      }, { connection: redis.connect(), name: 'elsewhere' });
      t.after(() => named.close());
      const job = await handed.add('again', {}, { attempts: 1, removeOnComplete: true, removeOnFail: false });
      await recorded('handed', job.id, 'failed');
      await (await handed.getJob(job.id)).retry();
      await recorded('handed', job.id, 'completed');
      assert.deepEqual(record('handed', job.id, 'returnvalue', 'partial', 'failed_reason'), { returnvalue: '{"tries":2}', partial: false, failed_reason: null });
      assert.equal((await status('handed', job.id)).json.state, 'completed');
    });

    test('an end with an id that has come before, of whose add nobody knows, is not written over the record of the one before', async (t) => {
      const at = Date.now() - 3_600_000;
      pg.sql(`INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, finished_ms, state, org, returnvalue)
        VALUES ('bull', 'handed', 'daily', ${at}, ${at}, ${at}, 'completed', 'acme', '"ours"')`);
      const idle = new Worker('handed', async () => {}, { connection: redis.connect() });
      t.after(() => idle.close());
      await idle.waitUntilReady();
      await redis.admin.xadd('bull:handed:events', '*', 'event', 'completed', 'jobId', 'daily', 'returnvalue', '"theirs"', 'prev', 'active');
      const both = () => pg.rows("SELECT org, returnvalue, partial, state FROM sluice.records WHERE queue = 'handed' AND job_id = 'daily' ORDER BY created_ms");
      await eventually(() => both().some(({ returnvalue }) => returnvalue === '"theirs"'), { timeout: 20_000, what: 'the record of the end' });
      assert.deepEqual(both(), [
        { org: 'acme', returnvalue: '"ours"', partial: false, state: 'completed' },
        { org: '', returnvalue: '"theirs"', partial: true, state: 'completed' },
      ]);
    });

    test('what ends while no gateway is there is caught up on', async () => {
      await eventually(() => pg.rows("SELECT 1 FROM sluice.record_cursors WHERE queue = 'elsewhere'").length === 1, { timeout: 20_000 });
      await sluice.stop();
      const jobs = await queue.addBulk(Array.from({ length: 30 }, (_, n) => ({ name: 'alone', data: { n }, opts: { removeOnComplete: true } })));
      await eventually(async () => (await queue.getJobCounts('wait', 'active')).wait === 0);
      await sluice.start();
      for (const job of jobs) await recorded('elsewhere', job.id, 'completed');
      assert.equal(record('elsewhere', jobs[0].id, 'returnvalue').returnvalue, '{"done":0}');
    });

    test('events that were trimmed before they were read are said to be lost; what is still there is recorded', async () => {
      await sluice.stop();
      const stays = await queue.add('stays', { n: 1 }, { removeOnComplete: false });
      await eventually(async () => (await queue.getJobState(stays.id)) === 'completed');
      await redis.admin.xtrim('bull:elsewhere:events', 'MAXLEN', 0);
      const seen = await queue.add('seen', { n: 2 }, { removeOnComplete: true });
      await eventually(async () => (await queue.getJobState(seen.id)) === 'unknown');
      await sluice.start();
      await sluice.logged('records_gap', { queue: 'elsewhere' }, { timeout: 20_000 });
      await recorded('elsewhere', stays.id, 'completed');
      await recorded('elsewhere', seen.id, 'completed');
      assert.match((await sluice.client.get('/metrics')).text, /^sluice_records_gap_total\{queue="elsewhere"\} 1$/m);
    });
  });
});
