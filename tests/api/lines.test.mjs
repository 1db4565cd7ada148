// Adding jobs by lines (NDJSON): as they come, as many as there are, each answered by a line of its own.
import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { PassThrough } from 'node:stream';
import { connect } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { Client, declare, eventually, notification, sendRaw, startRedis, startSluice } from './harness/index.mjs';

const LINES = { headers: { 'content-type': 'application/x-ndjson' }, timeout: 240_000 };
const PATH = '/api/queues/plain/jobs';
const read = (text) => text.trimEnd().split('\n').map((line) => JSON.parse(line));
const job = (n, more = {}) => JSON.stringify({ data: { n }, ...more });
const jobs = (count, from = 1) => Array.from({ length: count }, (_, i) => `${job(from + i)}\n`).join('');

describe('jobs by lines', () => {
  let redis;
  let sluice;
  let producer;
  before(async () => {
    redis = await startRedis();
    sluice = await startSluice({
      args: ['--role=api'], allow: ['request_failed'],
      env: {
        REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'do-it' }, { name: 'small', jobName: 'x', maxWaiting: 3 }),
        SLUICE_REQUEST_TIMEOUT: '4s', LOG_LEVEL: 'info',
      },
    });
    producer = sluice.as({ roles: ['producer'], sub: 'shop', org: 'acme' });
  });
  beforeEach(() => redis.admin.flushall());
  after(async () => {
    await sluice.stop();
    await redis.stop();
  });

  const add = (body, { path = PATH, as = producer, headers = {} } = {}) => as.post(path, body, { ...LINES, headers: { ...LINES.headers, ...headers } });
  const waiting = (queue = 'plain') => redis.admin.llen(`bull:${queue}:wait`);

  // The head of a request on a socket of the test's own.
  const head = (framing) => `POST ${PATH} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer ${producer.token}\r\nContent-Type: application/x-ndjson\r\n${framing}\r\n\r\n`;
  const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
  const CHUNKED = 'Transfer-Encoding: chunked';
  const answered = (raw) => read(raw.responses.at(-1).bytes.toString('utf8'));

  test('every line is answered in its order, the last line counts them', async () => {
    const { status, headers, text } = await add(jobs(3));
    assert.equal(status, 200);
    assert.equal(headers['content-type'], 'application/x-ndjson');
    assert.deepEqual(read(text), [
      { line: 1, jobId: '1', created: true }, { line: 2, jobId: '2', created: true }, { line: 3, jobId: '3', created: true }, { accepted: 3, rejected: 0 },
    ]);
    const stored = await redis.admin.hgetall('bull:plain:2');
    assert.equal(stored.name, 'do-it');
    assert.equal(stored.data, '{"n":2}');
    assert.deepEqual(JSON.parse(stored.opts).sluice, { org: 'acme', sub: 'shop' });
  });

  test('empty lines are passed over but counted; CR LF ends a line; the last one needs no end', async () => {
    const { text } = await add(`\n${job(1)}\r\n\r\n  \n\t\r\n${job(2)}\n\n${job(3)}`);
    assert.deepEqual(read(text).map(({ line }) => line), [2, 6, 8, undefined]);
    assert.deepEqual(read(text).at(-1), { accepted: 3, rejected: 0 });
  });

  test('no line at all is no fault', async () => {
    assert.deepEqual(read((await add('')).text), [{ accepted: 0, rejected: 0 }]);
    assert.deepEqual(read((await add('\n\r\n')).text), [{ accepted: 0, rejected: 0 }]);
  });

  test('a line that is wrong is refused with its reason, and fails no other', async () => {
    const wrong = [
      ['{"data":', 'invalid-json'], ['[]', 'validation-failed'], ['{"data":{},"priority":1}', 'validation-failed'], ['{}', 'validation-failed'],
      [Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'invalid-json'], ['{"data":{}} {}', 'invalid-json'], ['\u{feff}{"data":{}}', 'invalid-json'],
      [job(1, { opts: { removeOnComplete: true } }), 'validation-failed'], [job(1, { opts: { jobId: '17' } }), 'validation-failed'],
      [`{"data":${'['.repeat(100)}${']'.repeat(100)}}`, 'invalid-json'],
    ];
    const body = Buffer.concat(wrong.flatMap(([line]) => [Buffer.from(line), Buffer.from(`\n${job(0)}\n`)]));
    const { status, text } = await add(body);
    assert.equal(status, 200);
    const lines = read(text);
    assert.deepEqual(lines.at(-1), { accepted: wrong.length, rejected: wrong.length });
    wrong.forEach(([, code], i) => {
      assert.equal(lines[2 * i].problem.code, code, JSON.stringify(lines[2 * i]));
      assert.equal(lines[2 * i + 1].line, 2 * i + 2);
      assert.equal(lines[2 * i + 1].created, true);
    });
    assert.equal(await waiting(), wrong.length);
  });

  test("a queue's payload schema is held, with pointers into the line", async () => {
    const lines = read((await add(`${JSON.stringify({ data: notification })}\n{"data":{"userId":7}}\n`, { path: '/api/queues/notifications/jobs' })).text);
    assert.equal(lines[0].created, true);
    assert.deepEqual(lines[1].problem.errors.map(({ pointer }) => pointer).sort(), ['/data/message', '/data/subject', '/data/type', '/data/userId']);
  });

  test('a line that is too long is passed over, however long; one that is just not is taken', async () => {
    const room = 1_048_576 - job('').length;
    const longest = job('x'.repeat(room));
    const body = `${job(1)}\n${longest}\r\n${job('x'.repeat(room + 1))}\n${job('x'.repeat(5_000_000))}\n${job(2)}\n${job('x'.repeat(2_000_000))}`;
    assert.equal(longest.length, 1_048_576);
    const lines = read((await add(body)).text);
    assert.deepEqual(lines.map(({ problem, jobId }) => problem?.code ?? jobId), ['1', '2', 'too-large', 'too-large', '3', 'too-large', undefined]);
    assert.deepEqual(lines.at(-1), { accepted: 3, rejected: 3 });
    assert.equal((await redis.admin.hget('bull:plain:2', 'data')).length, 'x'.repeat(room).length + '{"n":""}'.length);
  });

  test('a maximum of waiting jobs is held line by line', async () => {
    const lines = read((await add(jobs(5), { path: '/api/queues/small/jobs' })).text);
    assert.deepEqual(lines.map(({ problem }) => problem?.code), [undefined, undefined, undefined, 'queue-full', 'queue-full', undefined]);
  });

  test('an id that is there is told; one of another organization is refused', async () => {
    await add(job(1, { opts: { jobId: 'mine' } }));
    await add(job(1, { opts: { jobId: 'theirs' } }), { as: sluice.as({ roles: ['producer'], org: 'rival' }) });
    const lines = read((await add(['mine', 'theirs', 'new', 'new'].map((jobId) => job(2, { opts: { jobId } })).join('\n'))).text);
    assert.deepEqual(lines.map(({ created, problem }) => problem?.code ?? created), [false, 'job-id-taken', true, false, undefined]);
    assert.deepEqual(lines.at(-1), { accepted: 3, rejected: 1 });
  });

  test('an undeclared queue is for operators, and must be there', async () => {
    await redis.admin.hset('bull:theirs:meta', 'version', 'bullmq:6.7.0');
    assert.equal((await add(job(1), { path: '/api/queues/theirs/jobs' })).json.code, 'queue-unknown');
    const operator = sluice.as({ roles: ['operator'] });
    assert.equal((await add(job(1), { path: '/api/queues/nowhere/jobs', as: operator })).json.code, 'queue-unknown');
    const lines = read((await add(`${job(1, { name: 'x' })}\n${job(2)}`, { path: '/api/queues/theirs/jobs', as: operator })).text);
    assert.deepEqual(lines.map(({ problem, created }) => problem?.code ?? created), [true, 'validation-failed', undefined]);
  });

  test('under an Idempotency-Key each line is known again by its number', async () => {
    const headers = { 'idempotency-key': 'import-7' };
    const first = read((await add(jobs(3), { headers })).text);
    const again = read((await add(`${jobs(2)}${job(99)}\n${job(4)}`, { headers })).text);
    assert.deepEqual(again.slice(0, 2).map(({ jobId }) => jobId), first.slice(0, 2).map(({ jobId }) => jobId));
    assert.equal(again[2].problem.code, 'idempotency-key-reused');
    assert.deepEqual(again[3], { line: 4, jobId: '4', created: true });
    assert.equal(await waiting(), 4);
    assert.equal((await add(job(1), { headers: { 'idempotency-key': '' } })).json.code, 'bad-request');
  });

  test('one audit line tells how many', async () => {
    const { headers } = await add(`${jobs(2)}{}\n`);
    const entry = await sluice.logged('audit', { requestId: headers['x-request-id'] });
    assert.deepEqual([entry.action, entry.target, entry.after, entry.status], ['job.create', 'plain', { items: 3, created: 2 }, 200]);
  });

  test('other routes take no lines, and this one no other type', async () => {
    assert.equal((await add(JSON.stringify(notification), { path: '/api/jobs/notifications' })).json.code, 'unsupported-media-type');
    assert.match((await add(job(1), { headers: { 'content-type': 'text/plain' } })).json.detail, /application\/x-ndjson/);
    assert.equal((await add(job(1), { headers: { 'content-type': 'application/x-ndjson; charset=utf-8' } })).status, 200);
  });

  describe('as they come', () => {
    test('a slow sender\'s lines are added one by one, and it may take longer than a whole body might', async () => {
      const raw = await sendRaw(sluice.port, [
        head(CHUNKED), ...Array.from({ length: 6 }, (_, i) => [
          chunk(`${job(i)}\n{"data"`), () => eventually(async () => (await waiting()) === i + 1, { what: `job ${i + 1}` }),
          () => new Promise((done) => setTimeout(done, 750)), // a pause of the sender: four and a half seconds in all, where a line may take four
          chunk(':0}\n'),
        ]).flat(),
        '0\r\n\r\n',
      ], { timeout: 60_000, enough: (responses) => responses.length === 1 });
      assert.deepEqual(answered(raw).at(-1), { accepted: 6, rejected: 6 }, 'data must be an object here');
    });

    test('of an announced length, too', async () => {
      const [first, second] = [`${job(1)}\n`, `${job(2)}\n`];
      const raw = await sendRaw(sluice.port, [
        head(`Content-Length: ${first.length + second.length}`), first, () => eventually(async () => (await waiting()) === 1, { what: 'the first job' }), second,
      ], { timeout: 20_000, enough: (responses) => responses.length === 1 });
      assert.deepEqual(answered(raw).at(-1), { accepted: 2, rejected: 0 });
      assert.equal(raw.responses[0].headers.connection, 'close');
    });

    test('a line that does not arrive whole ends the request; what came before stays and is answered', async () => {
      const raw = await sendRaw(sluice.port, [head(CHUNKED), chunk(`${jobs(3)}{"data":`)], { timeout: 20_000 });
      const lines = answered(raw);
      assert.equal(raw.closed, true);
      assert.deepEqual(lines.slice(0, 3).map(({ jobId }) => jobId), ['1', '2', '3']);
      assert.deepEqual([lines[3].accepted, lines[3].rejected, lines[3].problem.code], [3, 0, 'request-timeout']);
    });

    test('when nothing has come, the problem is the answer', async () => {
      const raw = await sendRaw(sluice.port, [head('Content-Length: 10')], { timeout: 20_000 });
      assert.equal(raw.responses[0].status, 408);
    });

    for (const [what, pieces] of [
      ['a wrong chunk size', ['x\r\n']], ['a chunk without its end', ['3\r\n{}\n!']], ['a bare LF', ['3\n']], ['a size past every limit', ['1234567890abcdef0\r\n']],
    ]) {
      test(`${what} ends the request`, async () => {
        const raw = await sendRaw(sluice.port, [head(CHUNKED), chunk(jobs(2)), ...pieces], { timeout: 20_000 });
        assert.deepEqual([answered(raw).at(-1).accepted, answered(raw).at(-1).problem.code], [2, 'bad-request'], raw.bytes.toString());
      });
    }

    test('chunks may be cut anywhere, and have extensions and trailers', async () => {
      const text = jobs(20);
      const pieces = [...text].map((byte) => `1;x=y\r\n${byte}\r\n`).join('');
      const bytes = `${pieces}0;last\r\nTrailer: of no use\r\n\r\n`;
      const some = Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.slice(i * 7, i * 7 + 7));
      const raw = await sendRaw(sluice.port, [head(CHUNKED), ...some], { timeout: 20_000, enough: (responses) => responses.length === 1 });
      assert.deepEqual(answered(raw).at(-1), { accepted: 20, rejected: 0 });
    });

    test('a connection that is cut leaves what was accepted', async () => {
      const socket = connect({ port: sluice.port, host: '127.0.0.1' });
      socket.on('error', () => {});
      socket.write(`${head(CHUNKED)}${chunk(jobs(1000))}${chunk('{"data":{"half":')}`);
      await eventually(async () => (await waiting()) === 1000, { what: '1000 jobs' });
      socket.resetAndDestroy();
      await eventually(() => sluice.logs.some((line) => line.event === 'audit' && line.after?.items === 1000), { what: 'the audit line' });
      assert.equal(await waiting(), 1000);
    });

    test('an end before its time, heard by one who still listens, is said', async () => {
      const raw = await new Promise((resolve) => {
        const socket = connect({ port: sluice.port, host: '127.0.0.1', allowHalfOpen: true });
        const seen = [];
        socket.on('data', (bytes) => seen.push(bytes)).on('end', () => resolve(Buffer.concat(seen).toString()));
        socket.end(`${head('Content-Length: 100000')}${jobs(2)}`);
      });
      const lines = read(raw.slice(raw.indexOf('\r\n\r\n') + 4));
      assert.deepEqual([lines.at(-1).accepted, lines.at(-1).problem.code], [2, 'bad-request']);
    });

    test('lines sent before the answer to the request before them are refused: where they begin is not known', async () => {
      const raw = await sendRaw(sluice.port, `GET /livez HTTP/1.1\r\nHost: h\r\n\r\n${head('Content-Length: 10')}${job(1).slice(0, 10)}`, { timeout: 20_000 });
      assert.deepEqual(raw.responses.map(({ status }) => status), [200, 400]);
    });

    test('what is sent behind the body is no request', async () => {
      const body = `${job(1)}\n`;
      const raw = await sendRaw(sluice.port, `${head(`Content-Length: ${body.length}`)}${body}GET /livez HTTP/1.1\r\nHost: h\r\n\r\n`, { timeout: 20_000 });
      assert.deepEqual([raw.closed, raw.responses.length], [true, 1]);
      assert.deepEqual(answered(raw).at(-1), { accepted: 1, rejected: 0 });
    });

    test('a client that waits for 100 Continue gets it', async () => {
      const body = `${job(1)}\n`;
      const raw = await sendRaw(sluice.port, [
        head(`Content-Length: ${body.length}\r\nExpect: 100-continue`), () => {}, body,
      ], { timeout: 20_000, enough: (responses) => responses.length === 2 });
      assert.deepEqual(raw.responses.map(({ status }) => status), [100, 200]);
    });
  });

  describe('many', () => {
    const resident = ({ child }) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8'))[1]) / 1024;

    // A body of so many lines that is made while it is sent.
    function stream(count, line) {
      const out = new PassThrough();
      (async () => {
        for (let n = 1; n <= count; n += 1000) {
          const text = Array.from({ length: Math.min(1000, count - n + 1) }, (_, i) => line(n + i)).join('');
          if (!out.write(text)) await new Promise((done) => out.once('drain', done));
        }
        out.end();
      })();
      return out;
    }

    test('100 000 lines are added in order, and memory does not grow with them', { timeout: 300_000 }, async () => {
      const ASAN_OPTIONS = 'quarantine_size_mb=1:thread_local_quarantine_size_kb=64'; // AddressSanitizer keeps what was freed
      const own = await startSluice({ args: ['--role=api'], env: { ...sluice.env, ASAN_OPTIONS } });
      await add(stream(10_000, (n) => `${job(n)}\n`), { as: own.client });
      await redis.admin.flushall();
      const atFirst = resident(own);
      const { text } = await add(stream(100_000, (n) => (n === 50_000 ? '{"data":\n' : `${job(n)}\n`)), { as: own.client });
      const grown = resident(own) - atFirst;
      await own.stop();
      const lines = read(text);
      assert.deepEqual(lines.at(-1), { accepted: 99_999, rejected: 1 });
      assert.equal(lines.length, 100_001);
      assert.ok(lines.slice(0, -1).every(({ line }, i) => line === i + 1));
      assert.equal(lines[49_999].problem.code, 'invalid-json');
      assert.equal(lines[99_999].jobId, '99999');
      assert.equal(await waiting(), 99_999);
      assert.equal(await redis.admin.hget('bull:plain:77777', 'data'), '{"n":77778}');
      assert.ok(grown < 16, `it has ${grown.toFixed(1)} MiB more than before`); // the answers alone are 4 MiB, the lines 10
    });

    test('a million lines and no more', { timeout: 300_000 }, async () => {
      const { text } = await add(stream(1_000_001, () => '\n'));
      const last = read(text).at(-1);
      assert.deepEqual([last.accepted, last.rejected, last.problem.code], [0, 0, 'too-large']);
      assert.deepEqual(read((await add(stream(1_000_000, (n) => (n === 1_000_000 ? `${job(n)}\n` : '\n')))).text), [
        { line: 1_000_000, jobId: '1', created: true }, { accepted: 1, rejected: 0 },
      ]);
    });
  });
});

test('Redis killed in the middle: each line has its own answer, and every accepted job is there', { timeout: 180_000 }, async () => {
  const redis = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
  const sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'x' }), LOG_LEVEL: 'info' } });
  const body = new PassThrough();
  const answer = sluice.client.post(PATH, body, LINES);
  const send = async (from, to) => {
    body.write(Array.from({ length: to - from }, (_, i) => `${job(from + i)}\n`).join(''));
  };
  await send(0, 2000);
  await eventually(async () => (await redis.admin.llen('bull:plain:wait')) === 2000, { what: '2000 jobs', timeout: 60_000 });
  await send(2000, 3000);
  await redis.kill();
  for (let n = 3000, refused = 0; n < 4000 || refused < 20; n += n < 4000 ? 10 : 0) { // the same process refuses others for as long
    if (n < 4000) await send(n, n + 10);
    refused += (await sluice.client.post(PATH, { data: {} })).status === 503;
  }
  await redis.start();
  await eventually(async () => (await sluice.client.as(null).get('/readyz')).status === 200, { timeout: 30_000, what: 'readiness' });
  await send(4000, 5000);
  body.end();
  const { text } = await answer;
  const lines = read(text);
  const summary = lines.pop();
  assert.equal(lines.length, 5000);
  assert.equal(summary.accepted + summary.rejected, 5000);
  assert.ok(lines.slice(4000).every(({ jobId }) => jobId), 'service goes on');
  const problems = new Set(lines.filter(({ problem }) => problem).map(({ problem }) => problem.code));
  for (const code of problems) assert.ok(['redis-unavailable', 'outcome-unknown'].includes(code), code);
  assert.ok(summary.rejected >= 1, 'some were refused');
  const stored = new Set(await redis.admin.lrange('bull:plain:wait', 0, -1));
  for (const { jobId } of lines.filter((line) => line.jobId)) assert.ok(stored.has(jobId), `job ${jobId} was accepted and is not there`);
  await sluice.stop();
  await redis.stop();
});

test('a process that shuts down stops reading, and says where', { timeout: 120_000 }, async () => {
  const redis = await startRedis();
  const sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'x' }) } });
  const client = new Client({ port: sluice.port, token: sluice.token() });
  const body = new PassThrough();
  const answer = client.post(PATH, body, LINES);
  body.write(jobs(10));
  await eventually(async () => (await redis.admin.llen('bull:plain:wait')) === 10, { what: '10 jobs' });
  const stopped = sluice.stop();
  const lines = read((await answer).text);
  assert.deepEqual([lines.length, lines.at(-1).accepted, lines.at(-1).problem.code], [11, 10, 'shutting-down']);
  body.end();
  client.close();
  await stopped;
  await redis.stop();
});

test('senders that take their time hold at most three quarters of the threads', { timeout: 120_000 }, async () => {
  const redis = await startRedis();
  const sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'x' }), SLUICE_HTTP_THREADS: '8' } });
  const open = Array.from({ length: 6 }, () => {
    const body = new PassThrough();
    body.write(job(1) + '\n');
    return { body, answer: sluice.client.post(PATH, body, LINES) };
  });
  await eventually(async () => (await redis.admin.llen('bull:plain:wait')) === 6, { what: 'a line of each' });
  const refused = await sluice.client.post(PATH, job(1), LINES);
  assert.deepEqual([refused.status, refused.json.code, refused.headers['retry-after']], [503, 'overloaded', '1']);
  assert.equal((await sluice.client.post(PATH, { data: {} })).status, 201, 'others are served');
  for (const { body, answer } of open) {
    body.end();
    assert.deepEqual(read((await answer).text).at(-1), { accepted: 1, rejected: 0 });
  }
  assert.equal((await sluice.client.post(PATH, job(1), LINES)).status, 200);
  await sluice.stop();
  await redis.stop();
});

test('when there is no room for the answers, it is said how many lines were accepted, and those are', { timeout: 120_000 }, async () => {
  const redis = await startRedis();
  const sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'plain', jobName: 'x' }) } });
  rmSync(sluice.dataDir, { recursive: true });
  const { status, json } = await sluice.client.post(PATH, jobs(20_000), LINES);
  assert.deepEqual([status, json.code], [507, 'storage-full']);
  const accepted = Number(/^(\d+) lines were accepted/.exec(json.detail)[1]);
  assert.ok(accepted > 1000 && accepted < 20_000, json.detail);
  assert.equal(await redis.admin.llen('bull:plain:wait'), accepted);
  await sluice.stop();
  await redis.stop();
});
