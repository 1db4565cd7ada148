// Creating jobs: what a submitting service sends, what it gets back, and what stands in Redis afterwards.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  analysis, declare, documentJob, eventually, notification, sendRaw, startRedis, startSluice,
} from './harness/index.mjs';

const pointers = (answer) => [...new Set(answer.json.errors.map((error) => error.pointer))].sort();

function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code, answer.text);
  return answer.json;
}

describe('creating jobs', () => {
  let redis;
  let sluice;
  let producer; // of the organization acme
  let rival; // the same role in another organization
  let operator;
  before(async () => {
    redis = await startRedis();
    sluice = await startSluice({
      args: ['--role=api'], // jobs stay where they were put
      env: {
        REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'do-it' }, { name: 'small', jobName: 'x', maxWaiting: 3 }),
      },
    });
    producer = sluice.as({ roles: ['producer'], sub: 'shop', org: 'acme' });
    rival = sluice.as({ roles: ['producer'], sub: 'shop', org: 'rival' });
    operator = sluice.as({ roles: ['operator'], sub: 'olga' });
  });
  after(async () => {
    await sluice.stop();
    await redis.stop();
  });

  const stored = (queue, id) => redis.admin.hgetall(`bull:${queue}:${id}`);
  const storedOpts = async (queue, id) => JSON.parse((await stored(queue, id)).opts);
  const notify = (query = '', body = notification, options = {}) => producer.post(`/api/jobs/notifications${query}`, body, options);
  const add = (body, { to = 'plain', as = producer, ...options } = {}) => as.post(`/api/queues/${to}/jobs`, body, options);

  describe('at the three creation endpoints', () => {
    for (const [queue, name, body, required = Object.keys(body)] of [
      ['document-processing', 'process-document', documentJob],
      ['notifications', 'send-notification', notification],
      ['compliance-analysis', 'analyze-compliance', analysis, ['documentId', 'userId']],
    ]) {
      test(`POST /api/jobs/${queue} answers 201 with the id, where to look, and nothing else`, async () => {
        const { status, headers, json } = await producer.post(`/api/jobs/${queue}`, body);
        assert.equal(status, 201);
        assert.match(json.jobId, /^\d+$/);
        const statusUrl = `/api/jobs/status/${queue}/${json.jobId}`;
        assert.deepEqual(json, { jobId: json.jobId, queue, name, state: 'waiting', created: true, statusUrl });
        assert.equal(headers.location, statusUrl);
        const { json: job } = await producer.get(statusUrl);
        assert.deepEqual(job.data, body);
        assert.equal(job.name, name);
      });

      test(`POST /api/jobs/${queue} names every missing field at once`, async () => {
        const answer = await producer.post(`/api/jobs/${queue}`, {});
        assertProblem(answer, 400, 'validation-failed');
        assert.deepEqual(pointers(answer), required.map((field) => `/${field}`).sort());
      });

      test(`POST /api/jobs/${queue} names every field of a wrong type at once, and every unknown one`, async () => {
        const wrong = Object.fromEntries(Object.keys(body).map((field) => [field, { not: 'it' }]));
        const answer = await producer.post(`/api/jobs/${queue}`, { ...wrong, surprise: 1 });
        assertProblem(answer, 400, 'validation-failed');
        assert.deepEqual(pointers(answer), [...Object.keys(body), 'surprise'].map((field) => `/${field}`).sort());
      });
    }

    test('who submitted it and for whom is written by the gateway', async () => {
      const { json } = await notify();
      assert.deepEqual((await storedOpts('notifications', json.jobId)).sluice, { org: 'acme', sub: 'shop' });
      const { json: job } = await producer.get(json.statusUrl);
      assert.equal(job.org, 'acme');
      assert.equal(job.submittedBy, 'shop');
    });

    test('delay, priority, attempts, lifo and jobId are taken from the query', async () => {
      const delayed = await notify('?delay=60000&attempts=7');
      assert.equal(delayed.json.state, 'delayed');
      assert.equal((await stored('notifications', delayed.json.jobId)).delay, '60000');
      assert.equal((await storedOpts('notifications', delayed.json.jobId)).attempts, 7);

      const prioritized = await notify('?priority=2&jobId=order-17');
      assert.deepEqual([prioritized.json.state, prioritized.json.jobId], ['prioritized', 'order-17']);
      assert.equal((await stored('notifications', 'order-17')).priority, '2');

      const first = await notify('?lifo=true');
      assert.equal(await redis.admin.lindex('bull:notifications:wait', -1), first.json.jobId, 'it is the next to be taken');
    });

    for (const [query, word] of [
      ['?delay=soon', /delay/], ['?delay=-1', /delay/], ['?priority=2097152', /priority/], ['?attempts=0', /attempts/],
      ['?attempts=1.5', /attempts/], ['?lifo=yes', /lifo/], ['?delay=', /delay/], ['?delay=1,"removeOnComplete":true', /./],
      ['?dely=60000', /"\?\/dely","detail":"is not known here"/], ['?delay=1&delay=60000', /given once/], ['?backoff=fixed', /backoff/],
    ]) {
      test(`the query ${query} is refused, with its name`, async () => {
        const problem = assertProblem(await notify(encodeURI(query)), 400, 'validation-failed');
        assert.match(JSON.stringify(problem.errors), word);
      });
    }

    test('the general endpoint takes no options from the query, and says where they stand', async () => {
      for (const body of [{ data: {} }, [{ data: {} }]]) {
        const { detail } = assertProblem(await producer.post('/api/queues/plain/jobs?delay=60000', body), 400, 'validation-failed');
        assert.match(detail, /"opts"/);
      }
      const lines = await producer.request('POST', '/api/queues/plain/jobs?delay=60000', { body: '{"data":{}}\n', headers: { 'content-type': 'application/x-ndjson' } });
      assertProblem(lines, 400, 'validation-failed');
    });

    for (const id of ['17', '0', '-3', 'a:b', 'wait', 'meta', 'id', 'stalled-check', 'marker', 'x'.repeat(256), '']) {
      test(`jobId ${JSON.stringify(id.slice(0, 20))} is refused: a number, a colon, a key of the queue, too long or empty`, async () => {
        assertProblem(await notify(`?jobId=${encodeURIComponent(id)}`), 400, 'validation-failed');
        assertProblem(await add({ data: {}, opts: { jobId: id } }), 400, 'validation-failed');
      });
    }

    test('a jobId may have any other character, and the address escapes it', async () => {
      const id = 'rechnung/2026 №7?';
      const { json, headers } = await notify(`?jobId=${encodeURIComponent(id)}`);
      assert.equal(json.jobId, id);
      assert.equal(headers.location, `/api/jobs/status/notifications/${encodeURIComponent(id)}`);
      assert.equal((await producer.get(json.statusUrl)).json.id, id);
    });
  });

  describe('at the general endpoint', () => {
    test('one job answers as the creation endpoints do', async () => {
      const { status, json, headers } = await add({ name: 'special', data: { n: 1 }, opts: { delay: 60_000 } });
      assert.equal(status, 201);
      assert.deepEqual({ ...json, jobId: 0, statusUrl: 0 }, { jobId: 0, queue: 'plain', name: 'special', state: 'delayed', created: true, statusUrl: 0 });
      assert.equal(headers.location, json.statusUrl);
    });

    test('without a name the declared one is used', async () => {
      assert.equal((await add({ data: {} })).json.name, 'do-it');
    });

    test('the queue\'s payload schema is held, with pointers into data', async () => {
      const answer = await add({ data: { userId: 7, type: 'pigeon' } }, { to: 'notifications' });
      assertProblem(answer, 400, 'validation-failed');
      assert.deepEqual(pointers(answer), ['/data/message', '/data/subject', '/data/type', '/data/userId']);
    });

    test('what is no member of a job is refused', async () => {
      assert.deepEqual(pointers(await add({ data: {}, priority: 1 })), ['/priority']);
      assert.deepEqual(pointers(await add({ data: {}, opts: { attemptsMade: 3, parent: {}, sluice: { org: 'rival' } } })),
        ['/opts/attemptsMade', '/opts/parent', '/opts/sluice']);
    });

    for (const opts of [{ removeOnComplete: true }, { removeOnFail: 3 }, { keepLogs: 5 }, { stackTraceLimit: 1 }]) {
      test(`${Object.keys(opts)[0]} is the operator's to set`, async () => {
        const refused = await add({ data: {}, opts });
        assertProblem(refused, 400, 'validation-failed');
        assert.match(refused.json.errors[0].detail, /operator/);
        assert.equal((await add({ data: {}, opts }, { as: operator })).status, 201);
      });
    }

    test('an array is answered item by item, in order, and good items are added beside bad ones', async () => {
      const { status, json } = await add([
        { name: 'a', data: { n: 0 } },
        { data: { n: 1 }, opts: { jobId: '12' } },
        { data: { n: 2 }, opts: { jobId: 'third' } },
        { data: { n: 3 }, opts: { jobId: 'third' } },
        { data: { n: 4 }, opts: { removeOnFail: true } },
      ]);
      assert.equal(status, 200);
      const { results } = json;
      assert.equal(results.length, 5);
      assert.equal(results[0].created, true);
      assert.equal(results[1].problem.code, 'validation-failed');
      assert.deepEqual(results[2], { jobId: 'third', created: true });
      assert.deepEqual(results[3], { jobId: 'third', created: false });
      assert.match(results[4].problem.errors[0].pointer, /\/opts\/removeOnFail$/);
      assert.equal((await stored('plain', 'third')).data, '{"n":2}');
    });

    test('an item that is no job is that item\'s problem alone', async () => {
      const { json: { results } } = await add([5, { data: {}, nmae: 'x' }, { data: {}, name: 7 }, { data: {}, opts: [] }, {}, { data: {} }]);
      assert.deepEqual(results.map((result) => result.problem?.code ?? result.created),
        [...Array(5).fill('validation-failed'), true]);
      assert.deepEqual(results[1].problem.errors.map(({ pointer }) => pointer), ['/nmae']);
    });

    test('1 000 jobs come in one call, in order; 1 001 are refused', async () => {
      const jobs = Array.from({ length: 1001 }, (_, n) => ({ data: { n } }));
      const { json: { results } } = await add(jobs.slice(1));
      assert.equal(results.length, 1000);
      const ids = results.map((result) => Number(result.jobId));
      assert.deepEqual(ids, ids.map((_, i) => ids[0] + i), 'the ids follow one another');
      assert.equal((await stored('plain', ids[999])).data, '{"n":1000}');
      const refused = await add(jobs);
      assert.ok([400, 413].includes(refused.status), refused.text);
    });

    test('a queue that nobody declared is unknown', async () => {
      for (const to of ['nowhere', 'no:where', 'x'.repeat(65)]) {
        assertProblem(await add({ name: 'x', data: {} }, { to: encodeURIComponent(to), as: operator }), 404, 'queue-unknown');
      }
    });

    test('a queue that only Redis knows is the operator\'s, who must name the job', async () => {
      await redis.admin.hset('bull:legacy:meta', 'version', 'bullmq:5.0.0');
      assertProblem(await add({ name: 'x', data: {} }, { to: 'legacy' }), 404, 'queue-unknown');
      assert.equal((await add({ name: 'x', data: [1] }, { to: 'legacy', as: operator })).status, 201);
      assertProblem(await add({ data: {} }, { to: 'legacy', as: operator }), 400, 'validation-failed');
    });
  });

  describe('twice', () => {
    test('the same jobId in the same organization answers 200 with the job that is there', async () => {
      assert.equal((await notify('?jobId=twice')).status, 201);
      const { status, json } = await notify('?jobId=twice', { ...notification, subject: 'Other' });
      assert.equal(status, 200);
      assert.deepEqual([json.jobId, json.created, json.state], ['twice', false, 'waiting']);
      assert.equal((await producer.get(json.statusUrl)).json.data.subject, notification.subject);
    });

    test('the same jobId of another organization is taken, and says nothing more', async () => {
      await notify('?jobId=mine');
      assertProblem(await rival.post('/api/jobs/notifications?jobId=mine', notification), 409, 'job-id-taken');
    });

    test('a deduplication id counts within its organization', async () => {
      const job = { data: {}, opts: { deduplication: { id: 'daily', ttl: 60_000 } } };
      const first = await add(job);
      const second = await add(job);
      assert.deepEqual([first.status, second.status], [201, 200]);
      assert.equal(second.json.jobId, first.json.jobId);
      const foreign = await add(job, { as: rival });
      assert.equal(foreign.status, 201);
      assert.notEqual(foreign.json.jobId, first.json.jobId);
    });
  });

  describe('with an Idempotency-Key', () => {
    const keyed = (key) => ({ headers: { 'idempotency-key': key } });
    const waiting = () => redis.admin.llen('bull:notifications:wait');

    test('the same request gives the stored answer, quoted or bare, and makes no second job', async () => {
      const before = await waiting();
      const first = await notify('', notification, keyed('k-1'));
      assert.equal(first.headers['idempotent-replayed'], undefined);
      for (const key of ['k-1', '"k-1"']) {
        const again = await notify('', notification, keyed(key));
        assert.deepEqual([again.status, again.json], [201, first.json]);
        assert.equal(again.headers['idempotent-replayed'], 'true');
        assert.equal(again.headers.location, first.headers.location);
      }
      assert.equal(await waiting(), before + 1);
    });

    test('its record is one key with a life', async () => {
      await notify('', notification, keyed('k-life'));
      const keys = await redis.admin.keys('bull:notifications:idem:*');
      assert.match(keys[0], /^bull:notifications:idem:[0-9a-f]{64}$/);
      const left = await redis.admin.pttl(keys[0]);
      assert.ok(left > 86_000_000 && left <= 86_400_000, `${left} ms`);
    });

    test('another body or another query under the same key is refused', async () => {
      await notify('', notification, keyed('k-2'));
      assertProblem(await notify('', { ...notification, subject: 'Other' }, keyed('k-2')), 422, 'idempotency-key-reused');
      assertProblem(await notify('?delay=1', notification, keyed('k-2')), 422, 'idempotency-key-reused');
    });

    test('another organization, and another operation, has keys of its own', async () => {
      const mine = await notify('', notification, keyed('k-3'));
      const theirs = await rival.post('/api/jobs/notifications', notification, keyed('k-3'));
      const elsewhere = await producer.post('/api/jobs/compliance-analysis', analysis, keyed('k-3'));
      assert.deepEqual([mine.status, theirs.status, elsewhere.status], [201, 201, 201]);
      assert.notEqual(theirs.json.jobId, mine.json.jobId);
      assert.equal(theirs.headers['idempotent-replayed'], undefined);
    });

    test('an array repeated gives the same ids', async () => {
      const jobs = [{ data: { n: 1 } }, { data: { n: 2 } }, { data: { n: 1 } }];
      const first = await add(jobs, keyed('k-4'));
      const again = await add(jobs, keyed('k-4'));
      assert.equal(new Set(first.json.results.map((result) => result.jobId)).size, 3);
      assert.deepEqual(again.json, first.json);
      const changed = await add([jobs[0], { data: { n: 3 } }, jobs[2]], keyed('k-4'));
      assert.deepEqual(changed.json.results.map((result) => result.problem?.code), [undefined, 'idempotency-key-reused', undefined]);
    });

    test('many at once make one job', async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => notify('', notification, keyed('k-5'))));
      assert.equal(new Set(answers.map((answer) => answer.json.jobId)).size, 1);
      assert.equal(answers.filter((answer) => !answer.headers['idempotent-replayed']).length, 1);
    });

    test('a key that is empty or longer than 255 is refused', async () => {
      assert.equal((await notify('', notification, keyed('k'.repeat(255)))).status, 201);
      for (const key of ['k'.repeat(256), '""']) assertProblem(await notify('', notification, keyed(key)), 400, 'bad-request');
    });
  });

  describe('data', () => {
    const raw = (body) => add(body, { headers: { 'content-type': 'application/json' } });

    test('is kept byte for byte', async () => {
      const data = '{"z": 0.10, "a":12345678901234567890.000, "é":"\\u00e9\\/","list" : [ 1e2 ,-0.0],\n\t"n":9007199254740993}';
      const { json } = await raw(`{ "data" :${data} }`);
      assert.equal((await stored('plain', json.jobId)).data, data);
      const { text } = await producer.get(json.statusUrl);
      assert.ok(text.includes(`"data":${data}`), text);
    });

    test('of a creation endpoint is the body, byte for byte', async () => {
      const body = '{"userId" : "u","type":"sms", "subject":"\\u0053","message":"m","metadata":{"price":0.10}}';
      const { json } = await notify('', body, { headers: { 'content-type': 'application/json' } });
      assert.equal((await stored('notifications', json.jobId)).data, body);
    });

    for (const [name, text] of [
      ['cut off', '{"data":{"a":1'], ['with a trailing comma', '{"data":{},}'], ['with a key twice', '{"data":{"a":1,"a":2}}'],
      ['with a key twice, once escaped', '{"data":{"a":1,"\\u0061":2}}'], ['with NaN', '{"data":{"a":NaN}}'], ['with \\u0000', '{"data":"\\u0000"}'],
      ['with a lone surrogate', '{"data":"\\ud800"}'], ['with 1e400', '{"data":1e400}'], ['with a byte order mark', '\ufeff{"data":{}}'],
      ['with something behind it', '{"data":{}} x'], ['empty', ''], ['65 deep', `{"data":${'['.repeat(64)}${']'.repeat(64)}}`],
      ['with 50 001 elements', `{"data":[${Array(49_999).fill('0')}]}`], ['of broken UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ]) {
      test(`JSON ${name} is refused`, async () => assertProblem(await raw(text), 400, 'invalid-json'));
    }

    test('may be 64 deep and have 50 000 elements', async () => {
      assert.equal((await raw(`{"data":{"a":${'['.repeat(62)}${']'.repeat(62)}}}`)).status, 201);
      assert.equal((await raw(`{"data":{"a":[${Array(49_997).fill('0')}]}}`)).status, 201);
    });

    test('of 1 MiB is taken', async () => {
      const frame = '{"data":{"a":""}}';
      const { status } = await raw(frame.replace('""', `"${'x'.repeat((1 << 20) - frame.length)}"`));
      assert.equal(status, 201);
    });

    test('of 1 MiB + 1 is refused before a byte of it is sent', async () => {
      const { responses, closed } = await sendRaw(sluice.port, `POST /api/queues/plain/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${producer.token}\r\n`
        + `Content-Type: application/json\r\nContent-Length: ${(1 << 20) + 1}\r\n\r\n`);
      assert.equal(responses[0].status, 413);
      assert.equal(responses[0].json.code, 'too-large');
      assert.equal(responses[0].headers.connection, 'close');
      assert.ok(closed);
    });

    test('must be an object where a declared queue has no schema', async () => {
      assert.deepEqual(pointers(await add({ data: [1] })), ['/data']);
      assert.deepEqual(pointers(await add({})), ['/data']);
    });
  });

  test('past maxWaiting a create answers 503 queue-full, an existing job is still answered, and one that goes makes room', async () => {
    for (const id of ['one', 'two', 'three']) assert.equal((await add({ data: {}, opts: { jobId: id } }, { to: 'small' })).status, 201);
    const full = await add({ data: {} }, { to: 'small' });
    assertProblem(full, 503, 'queue-full');
    assert.ok(Number(full.headers['retry-after']) > 0);
    assert.equal((await add({ data: {}, opts: { jobId: 'two' } }, { to: 'small' })).status, 200);
    const { json: { results } } = await add([{ data: {} }, { data: {}, opts: { jobId: 'one' } }], { to: 'small' });
    assert.deepEqual(results.map((result) => result.problem?.code ?? result.created), ['queue-full', false]);
    await redis.admin.lrem('bull:small:wait', 1, 'one');
    assert.equal((await add({ data: {} }, { to: 'small' })).status, 201);
  });
});

test('options are decided by the request, then the declaration, then BULLMQ_DEFAULT_JOB_OPTIONS', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const sluice = await startSluice({
    args: ['--role=api'],
    env: {
      REDIS_URL: redis.url,
      BULLMQ_PREFIX: 'other',
      BULLMQ_DEFAULT_JOB_OPTIONS: '{"attempts":9,"removeOnComplete":100,"removeOnFail":50,"priority":4}',
      SLUICE_QUEUES: declare({ name: 'plain', jobName: 'x', attempts: 6, removeOnFail: { count: 7 } }),
    },
  });
  t.after(() => sluice.stop());
  const { json } = await sluice.client.post('/api/queues/plain/jobs', [
    { data: {} }, { data: {}, opts: { attempts: 2, backoff: { type: 'fixed', delay: 10 }, removeOnFail: false, priority: 1 } },
  ]);
  const stored = async (id) => {
    const { attempts, backoff, priority, removeOnComplete, removeOnFail } = JSON.parse(await redis.admin.hget(`other:plain:${id}`, 'opts'));
    return { attempts, backoff, priority, removeOnComplete, removeOnFail };
  };
  const [declared, own] = json.results.map((result) => result.jobId);
  assert.deepEqual(await stored(declared), {
    attempts: 6, backoff: undefined, priority: 4, removeOnComplete: { count: 100 }, removeOnFail: { count: 7 },
  });
  const { attempts, backoff, priority, removeOnFail } = await stored(own);
  assert.deepEqual({ attempts, backoff, priority }, { attempts: 2, backoff: { type: 'fixed', delay: 10 }, priority: 1 });
  assert.ok(removeOnFail === false || removeOnFail?.count === -1 || removeOnFail === -1, JSON.stringify(removeOnFail));
});

test('above 90 % of Redis\' memory creates answer 503 queue-full, reads go on, and room is noticed', async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url } });
  t.after(() => sluice.stop());
  const create = () => sluice.client.post('/api/jobs/notifications', notification);
  const { json } = await create();
  const used = Number((await redis.admin.info('memory')).match(/used_memory:(\d+)/)[1]);
  await redis.admin.config('SET', 'maxmemory', Math.floor(used / 0.93));
  const refused = await eventually(async () => {
    const answer = await create();
    return answer.status === 503 && answer;
  }, { what: 'a refusal' });
  assert.equal(refused.json.code, 'queue-full');
  assert.match(refused.json.detail, /90 %/);
  assert.equal((await sluice.client.get(json.statusUrl)).status, 200);
  await redis.admin.config('SET', 'maxmemory', 2 * used);
  await eventually(async () => (await create()).status === 201, { what: 'room again' });
});
