// HTTP itself, byte by byte where no client would go: what parsers read differently is refused, the rest works as written.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { Client, eventually, notification, ROOT, sendRaw, startSluice } from './harness/index.mjs';

const BODY = JSON.stringify(notification);
const PROBLEMS = [...readFileSync(join(ROOT, 'gateway/http/problems.def'), 'utf8').matchAll(/^X\(\w+, (\d+), "([\w-]+)"/gm)]
  .map(([, status, slug]) => ({ status: Number(status), slug }));

describe('a server', () => {
  let sluice;
  before(async () => (sluice = await startSluice({ args: ['--role=api'], env: { SLUICE_REQUEST_TIMEOUT: '2s' } })));
  after(() => sluice.stop());

  const raw = (text, options) => sendRaw(sluice.port, text, options);
  const authorization = () => `Authorization: Bearer ${sluice.client.token}\r\n`;
  // A complete request that would create the job "smuggled", if anything executed it.
  const smuggled = () => `POST /api/jobs/notifications?jobId=smuggled HTTP/1.1\r\nHost: x\r\n${authorization()}Content-Type: application/json\r\n`
    + `Content-Length: ${BODY.length}\r\n\r\n${BODY}`;
  const post = (head, body = BODY) => `POST /api/jobs/notifications HTTP/1.1\r\nHost: x\r\n${authorization()}Content-Type: application/json\r\n${head}\r\n\r\n${body}`;
  const chunked = (text, extension = '') => `${text.length.toString(16)}${extension}\r\n${text}\r\n0\r\n\r\n`;
  const get = (head = '', target = '/livez') => `GET ${target} HTTP/1.1\r\nHost: x\r\n${head}\r\n`;
  const length = `Content-Length: ${BODY.length}`;

  describe('refuses, closes, and runs nothing behind', () => {
    const statusUrl = '/api/jobs/status/notifications/smuggled';
    for (const [name, status, make] of [
      ['both Transfer-Encoding and Content-Length', 400, () => post(`Transfer-Encoding: chunked\r\n${length}`, chunked(BODY))],
      ['Content-Length twice, different', 400, () => post(`${length}\r\nContent-Length: 3`)],
      ['Content-Length twice, the same', 400, () => post(`${length}\r\n${length}`)],
      ['a list in Content-Length', 400, () => post('Content-Length: 3, 3', 'abc')],
      ['letters behind Content-Length', 400, () => post(`${length}abc`)],
      ['a sign in Content-Length', 400, () => post(`Content-Length: +${BODY.length}`)],
      ['a negative Content-Length', 400, () => post('Content-Length: -1', '')],
      ['an empty Content-Length', 400, () => post('Content-Length:', '')],
      ['a hexadecimal Content-Length', 400, () => post(`Content-Length: 0x${BODY.length.toString(16)}`)],
      ['a Content-Length beyond all numbers', 413, () => post(`Content-Length: 1${'0'.repeat(30)}`)],
      ['a blank before the colon', 400, () => post('Transfer-Encoding : chunked', chunked(BODY))],
      ['a folded header', 400, () => post(`X-Long: a\r\n b\r\n${length}`)],
      ['64 headers', 431, () => post(`${Array.from({ length: 61 }, (_, i) => `X-${i}: 1\r\n`).join('')}${length}`)],
      ['an unknown transfer coding', 400, () => post('Transfer-Encoding: identity', chunked(BODY))],
      ['two transfer codings', 400, () => post('Transfer-Encoding: gzip, chunked', chunked(BODY))],
      ['Transfer-Encoding twice', 400, () => post('Transfer-Encoding: identity\r\nTransfer-Encoding: chunked', chunked(BODY))],
      ['chunks in HTTP/1.0', 400, () => post('Transfer-Encoding: chunked', chunked(BODY)).replace('HTTP/1.1', 'HTTP/1.0')],
      ['no Host', 400, () => post(length).replace('Host: x\r\n', '')],
      ['two Hosts', 400, () => post(`Host: y\r\n${length}`)],
      ['a Host that is none', 400, () => post(length).replace('Host: x', 'Host: x/y@z')],
      ['two Authorizations', 400, () => post(`${authorization()}${length}`)],
      ['a header name with a blank', 400, () => post(`X Y: 1\r\n${length}`)],
      ['a header without a colon', 400, () => post(`nonsense\r\n${length}`)],
      ['a control character in a header', 400, () => post(`X-A: \x01\r\n${length}`)],
      ['NUL in a header', 400, () => post(`X-A: a\0b\r\n${length}`)],
      ['a bare LF between headers', 400, () => post(length).replace('Host: x\r\n', 'Host: x\n')],
      ['a line before the request', 400, () => `\r\n${post(length)}`],
      ['a head beyond 16 KiB', 431, () => post(`X-Big: ${'x'.repeat(17_000)}\r\n${length}`)],
      ['a chunk that is longer than it says', 400, () => post('Transfer-Encoding: chunked', `3\r\n${BODY}\r\n0\r\n\r\n`)],
      ['a chunk size that is none', 400, () => post('Transfer-Encoding: chunked', `zz\r\n${BODY}\r\n0\r\n\r\n`)],
      ['a chunk size beyond all numbers', [400, 408, 413], () => post('Transfer-Encoding: chunked', `7fffffffffffffff\r\n${BODY}\r\n0\r\n\r\n`)],
      ['a request for another host', 400, () => post(length).replace('POST /', 'POST http://elsewhere.example/')],
      ['an absolute target without a path', 400, () => post(length).replace('Host: x', 'Host: 127.0.0.1').replace('POST /', `POST http://127.0.0.1?:${sluice.port}/`)],
      ['an HTTP version of the future', 501, () => post(length).replace('HTTP/1.1', 'HTTP/3.0')],
      ['CONNECT', [400, 501], () => 'CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n'],
      ['TRACE', 501, () => 'TRACE / HTTP/1.1\r\nHost: x\r\n\r\n'],
    ]) {
      test(name, async () => {
        const { responses, closed, bytes } = await raw([make() + smuggled()], { timeout: 10_000 });
        assert.ok([status].flat().includes(responses[0]?.status), `${responses[0]?.status}: ${bytes.toString().slice(0, 200)}`);
        assert.equal(responses.length, 1, 'one answer');
        assert.match(responses[0].headers['content-type'], /problem\+json/);
        assert.match(bytes.toString('latin1'), /^HTTP\/1\.1 /);
        assert.ok(closed, 'the connection is closed');
        assert.equal((await sluice.client.get(statusUrl)).status, 404, 'the second request was not executed');
      });
    }

    test('HTTP/2 without asking', async () => {
      const { responses, closed } = await raw('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', { timeout: 4_000 });
      assert.ok(responses.length <= 1 && closed);
      assert.ok(!responses.length || responses[0].status >= 400);
    });

    test('a body that breaks off', async () => {
      const before = (await sluice.client.get('/api/jobs/stats/notifications')).json.waiting;
      const from = sluice.logs.length;
      await raw([post(`Content-Length: ${BODY.length + 1}`)], { leave: true });
      await eventually(() => sluice.logs.slice(from).find(({ event, status }) => event === 'http_request' && status === 400), { what: 'the end of the request' });
      assert.equal((await sluice.client.get('/api/jobs/stats/notifications')).json.waiting, before);
    });
  });

  describe('takes', () => {
    for (const [name, make] of [
      ['a chunked body', () => post('Transfer-Encoding: chunked', chunked(BODY))],
      ['an absolute target of its own host', () => post(length).replace('Host: x', `Host: 127.0.0.1:${sluice.port}`).replace('POST /', `POST http://127.0.0.1:${sluice.port}/`)],
      ['names of headers in any case', () => post(length.toUpperCase())],
      ['blanks around a value', () => post(`Content-Length:   ${BODY.length}  `)],
      ['a parameter of the media type', () => post(length).replace('application/json', 'Application/JSON; charset=utf-8')],
    ]) {
      test(name, async () => {
        const { responses: [answer] } = await raw([make()], { enough: (seen) => seen.length > 0 });
        assert.equal(answer?.status, 201, answer?.text);
      });
    }

    test('63 headers', async () => {
      const { responses } = await raw([get(Array.from({ length: 62 }, (_, i) => `X-${i}: 1\r\n`).join(''))], { enough: (seen) => seen.length > 0 });
      assert.equal(responses[0].status, 200);
    });

    test('several requests on one connection, also sent ahead, and answers them in order', async () => {
      const { responses } = await raw([get('X-Request-Id: one\r\n') + post(`X-Request-Id: two\r\n${length}`) + get('X-Request-Id: three\r\n')],
        { enough: (seen) => seen.length === 3 });
      assert.deepEqual(responses.map(({ status, headers }) => [status, headers['x-request-id']]), [[200, 'one'], [201, 'two'], [200, 'three']]);
    });

    test('jobs sent ahead on one connection, and answers each with its own', async () => {
      const ids = Array.from({ length: 30 }, (_, n) => `ahead-${process.pid}-${n}`);
      const job = (id) => post(`X-Request-Id: ${id}\r\n${length}`).replace('notifications ', `notifications?jobId=${id} `);
      const bad = post('X-Request-Id: bad\r\nContent-Length: 2', '{}');
      const status = get(`X-Request-Id: read\r\n${authorization()}`, `/api/jobs/status/notifications/${ids[29]}`);
      const { responses } = await raw(ids.slice(0, 15).map(job).join('') + bad + ids.slice(15).map(job).join('') + status,
        { enough: (seen) => seen.length === 32 });
      assert.deepEqual(responses.map(({ headers }) => headers['x-request-id']), [...ids.slice(0, 15), 'bad', ...ids.slice(15), 'read']);
      for (const { status: code, json, headers } of responses)
        if (json.created) assert.deepEqual([code, json.jobId, headers.location], [201, headers['x-request-id'], json.statusUrl]);
      assert.deepEqual([responses[15].status, responses[31].status, responses[31].json.id], [400, 200, ids[29]]);
    });

    test('HTTP/1.0, and closes after it unless asked to stay', async () => {
      const { responses, closed } = await raw('GET /livez HTTP/1.0\r\n\r\n');
      assert.deepEqual([responses[0].status, closed], [200, true]);
      const kept = await raw('GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /livez HTTP/1.0\r\n\r\n');
      assert.equal(kept.responses.length, 2);
    });

    test('requests on connections that were kept while it was stopped', async (t) => {
      const kept = Array.from({ length: 8 }, () => new Client({ port: sluice.port }));
      t.after(() => kept.forEach((client) => client.close()));
      const ask = () => Promise.all(kept.map((client) => client.request('OPTIONS', '/livez'))); // which the client does not repeat
      for (let round = 0; round < 3; round++) await ask();
      sluice.child.signal('SIGSTOP');
      await eventually(() => /^State:\tT/m.test(readFileSync(`/proc/${sluice.child.pid}/status`, 'utf8')), { what: 'a program that is stopped' });
      const answers = ask();
      await turn(); // they are sent
      sluice.child.signal('SIGCONT');
      assert.deepEqual((await answers).map(({ status }) => status), kept.map(() => 204));
    });

    test('a connection that it keeps, and says for how long', async () => {
      const open = await raw([get(), (seen) => seen, get()], { enough: (seen) => seen.length === 2 });
      assert.deepEqual(open.responses.map(({ headers }) => [headers['keep-alive'], headers.connection]), [['timeout=20', undefined], ['timeout=20', undefined]]);
      const old = await raw(['GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n'], { enough: (seen) => seen.length === 1 });
      assert.deepEqual([old.responses[0].headers['keep-alive'], old.responses[0].headers.connection], ['timeout=20', 'keep-alive']);
      const last = await raw(get('Connection: close\r\n'));
      assert.equal(last.responses[0].headers['keep-alive'], undefined);
    });

    test('Connection: close, and closes', async () => {
      const { responses, closed } = await raw(get('Connection: close\r\n'));
      assert.deepEqual([responses[0].status, responses[0].headers.connection, closed], [200, 'close', true]);
    });

    test('a body only after it has said 100 Continue', async () => {
      const { responses } = await raw([post(`Expect: 100-continue\r\n${length}`, ''), (seen) => seen, BODY], { enough: (seen) => seen.some(({ status }) => status >= 200) });
      assert.deepEqual(responses.map(({ status }) => status), [100, 201]);
    });

    test('no body that it does not want: the final answer comes instead of 100', async () => {
      const { responses, closed } = await raw(post(`Expect: 100-continue\r\n${length}`, '').replace(/Bearer \S+/, 'Bearer no'));
      assert.deepEqual([responses.map(({ status }) => status), closed], [[401], true]);
    });
  });

  describe('by method and media type', () => {
    for (const [method, path, allow] of [
      ['DELETE', '/livez', 'GET, HEAD'], ['GET', '/api/jobs/notifications', 'POST'], ['POST', '/api/documents/x', 'DELETE, GET, HEAD, PUT'],
      ['PATCH', '/api/jobs/stats', 'GET, HEAD'], ['PROPFIND', '/livez', 'GET, HEAD'], ['LOCK', '/livez', 'GET, HEAD'],
    ]) {
      test(`${method} ${path} is 405 and says ${allow}`, async () => {
        const { status, headers, json } = await sluice.client.request(method, path);
        assert.deepEqual([status, headers.allow, json.code], [405, allow, 'method-not-allowed']);
      });
    }

    test('OPTIONS says what is allowed, and nothing to other origins', async () => {
      const { status, headers } = await sluice.client.as(null).request('OPTIONS', '/api/jobs/stats', {
        headers: { origin: 'https://evil.example', 'access-control-request-method': 'GET' },
      });
      assert.equal(status, 204);
      assert.equal(headers.allow, 'GET, HEAD');
      assert.deepEqual(Object.keys(headers).filter((name) => name.startsWith('access-control')), []);
    });

    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp', undefined]) {
      test(`a body of type ${type} is 415`, async () => {
        const { status, json } = await sluice.client.post('/api/jobs/notifications', BODY, { headers: type ? { 'content-type': type } : {} });
        assert.deepEqual([status, json.code], [415, 'unsupported-media-type']);
      });
    }

    test('a compressed body is 415', async () => {
      assert.equal((await sluice.client.post('/api/jobs/notifications', BODY, { headers: { 'content-type': 'application/json', 'content-encoding': 'gzip' } })).status, 415);
    });

    test('HEAD has the head of GET and no body', async () => {
      for (const path of ['/livez', '/openapi.json', '/problems/not-found', '/api/jobs/stats', '/nowhere']) {
        const [whole, head] = [await sluice.client.get(path), await sluice.client.request('HEAD', path)];
        assert.deepEqual([head.status, head.headers['content-length'], head.headers['content-type'], head.text],
          [whole.status, whole.headers['content-length'], whole.headers['content-type'], ''], path);
      }
    });
  });

  for (const [target, status] of [
    ['/livez/', 404], ['//livez', 400], ['/./livez', 400], ['/api/../livez', 400], ['/%2e%2e/livez', 400], ['/livez%00', 400], ['/livez%0d%0aX-Evil:1', 400],
    ['/%6civez', 404], ['/livez?%zz', 400], ['/livez?a=%00', 400], ['/livez#x', 400], ['livez', 400], ['/api/jobs/status/notifications/a%2Fb', 404], ['/etc/passwd', 404],
    [`/${'x'.repeat(8_000)}`, 404], ['/%ff', 400], ['/livez;x=1', 404],
  ]) {
    test(`the target ${target.slice(0, 40)} is ${status}`, async () => {
      const { responses: [answer], bytes } = await raw([`GET ${target} HTTP/1.1\r\nHost: x\r\n${authorization()}\r\n`], { enough: (seen) => seen.length > 0 });
      assert.equal(answer?.status, status, bytes.toString().slice(0, 300));
      assert.equal(answer.headers['x-evil'], undefined);
    });
  }

  describe('writes log lines that nobody else can write', () => {
    test('quotes, escapes and control characters stay inside their value', async () => {
      const path = '/nowhere/%22,%22status%22:200,%22x%22:%22%1b';
      await raw([get('User-Agent: foo" 200 9 "-" "ok\x1b[31m\r\n', path)], { timeout: 1_000, enough: (seen) => seen.length > 0 });
      await raw([get(`X-Request-Id: forged","level":"error\r\nUser-Agent: "\\"\r\n`, '/nowhere/forged')], { timeout: 1_000, enough: (seen) => seen.length > 0 });
      const line = await sluice.logged('http_request', { path: '/nowhere/forged' });
      assert.match(line.requestId, /^[0-9a-f-]{36}$/, 'an id with quotes is not taken over');
      assert.deepEqual([line.level, line.status], ['info', 404]);
      assert.ok(sluice.child.lines.every((text) => !text.startsWith('{') || JSON.parse(text)));
    });

    test('a request id of the caller\'s goes into the answer, the problem and the log', async () => {
      const { headers, json } = await sluice.client.get('/api/jobs/stats/nowhere', { headers: { 'x-request-id': 'trace-42' } });
      assert.deepEqual([headers['x-request-id'], json.instance], ['trace-42', 'trace-42']);
      await sluice.logged('http_request', { requestId: 'trace-42', status: 404, route: '/api/jobs/stats/{queue}', sub: 'tester' });
    });

    for (const id of ['x'.repeat(129), 'a b', 'ä', '']) {
      test(`the request id ${JSON.stringify(id.slice(0, 8))} is replaced`, async () => {
        const { responses: [answer] } = await raw([get(`X-Request-Id: ${id}\r\n`)], { enough: (seen) => seen.length > 0 });
        assert.match(answer.headers['x-request-id'], /^[0-9a-f-]{36}$/);
      });
    }
  });

  describe('explains itself', () => {
    for (const { slug, status } of PROBLEMS) {
      test(`/problems/${slug}`, async () => {
        const { json } = await sluice.client.as(null).get(`/problems/${slug}`);
        assert.deepEqual([json.type, json.code, json.status], [`/problems/${slug}`, slug, status]);
        const page = await sluice.client.as(null).get(`/problems/${slug}`, { headers: { accept: 'text/html,*/*;q=0.8' } });
        assert.match(page.headers['content-type'], /^text\/html/);
        assert.ok(page.text.includes(slug) && page.text.startsWith('<!doctype html>'));
        assert.equal(page.headers.vary, 'Accept');
      });
    }

    test('a problem that does not exist is not found', async () => {
      assert.equal((await sluice.client.get('/problems/never-heard-of')).json.code, 'not-found');
    });

    test('?verbose lists every check of readiness', async () => {
      const { json } = await sluice.client.as(null).get('/readyz?verbose');
      assert.ok(['redis', 'redis-settings', 'documents'].every((name) => json.checks.some((check) => check.name === name && check.ok)), JSON.stringify(json));
      assert.equal((await sluice.client.get('/readyz')).json.checks, undefined);
    });
  });

  describe('/metrics', () => {
    const scrape = async () => {
      const { text, headers } = await sluice.client.as(null).get('/metrics');
      assert.equal(headers['content-type'], 'text/plain; version=0.0.4; charset=utf-8');
      return text;
    };
    const valueOf = (text, series) => Number(text.split('\n').find((line) => line.startsWith(`${series} `))?.slice(series.length + 1) ?? NaN);

    test('is well-formed: every sample belongs to a family with HELP and TYPE, none comes twice', async () => {
      const text = await scrape();
      assert.ok(text.endsWith('\n'));
      const types = new Map();
      const seen = new Set();
      for (const line of text.trimEnd().split('\n')) {
        const type = /^# TYPE ([a-z_]+) (counter|gauge|histogram)$/.exec(line);
        if (type) {
          assert.ok(!types.has(type[1]), line);
          types.set(type[1], type[2]);
          continue;
        }
        if (/^# HELP [a-z_]+ \S/.test(line)) continue;
        const sample = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (-?[0-9.e+-]+|NaN|[+-]Inf)$/.exec(line);
        assert.ok(sample, line);
        assert.ok(!seen.has(line.slice(0, line.lastIndexOf(' '))), `twice: ${line}`);
        seen.add(line.slice(0, line.lastIndexOf(' ')));
        const family = types.has(sample[1]) ? sample[1] : sample[1].replace(/_(bucket|sum|count)$/, '');
        assert.ok(types.has(family), line);
        if (types.get(family) === 'counter') assert.match(family, /_total$/);
      }
    });

    test('a histogram\'s buckets add up', async () => {
      const text = await scrape();
      const labels = 'route="/livez",method="GET"';
      const buckets = [...text.matchAll(/^sluice_http_request_duration_seconds_bucket\{route="\/livez",method="GET",le="([^"]+)"\} (\d+)$/gm)].map(([, le, n]) => [le, Number(n)]);
      assert.equal(buckets.at(-1)[0], '+Inf');
      for (let i = 1; i < buckets.length; i++) assert.ok(buckets[i][1] >= buckets[i - 1][1]);
      assert.equal(valueOf(text, `sluice_http_request_duration_seconds_count{${labels}}`), buckets.at(-1)[1]);
    });

    test('counts requests, jobs and refusals', async () => {
      const before = await scrape();
      await sluice.client.post('/api/jobs/notifications?jobId=counted', notification);
      await sluice.client.post('/api/jobs/notifications?jobId=counted', notification);
      await sluice.client.as('no-token').get('/api/jobs/stats');
      const after = await scrape();
      const grew = (series) => valueOf(after, series) - (valueOf(before, series) || 0);
      assert.equal(grew('sluice_http_requests_total{route="/api/jobs/notifications",method="POST",code="201"}'), 1);
      assert.equal(grew('sluice_http_requests_total{route="/api/jobs/notifications",method="POST",code="200"}'), 1);
      assert.equal(grew('sluice_jobs_enqueued_total{queue="notifications"}'), 1);
      assert.equal(grew('sluice_jobs_deduplicated_total{queue="notifications"}'), 1);
      assert.equal(grew('sluice_auth_failures_total{reason="invalid"}'), 1);
      assert.equal(valueOf(after, 'sluice_redis_up'), 1);
    });

    test('never has what a stranger wrote as a label', async () => {
      await sluice.client.get('/nowhere/secret-path-1');
      await sluice.client.request('BREW', '/livez').catch(() => {});
      const text = await scrape();
      assert.ok(!/secret-path-1|BREW|smuggled/.test(text));
    });
  });
});

test('pages of a configured origin may call the API, others not', async (t) => {
  const sluice = await startSluice({ args: ['--role=api'], env: { SLUICE_CORS_ORIGINS: 'https://app.example,https://ops.example' } });
  t.after(() => sluice.stop());
  const preflight = (origin) => sluice.client.as(null).request('OPTIONS', '/api/jobs/notifications', {
    headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
  });
  const allowed = await preflight('https://ops.example');
  assert.equal(allowed.status, 204);
  assert.equal(allowed.headers['access-control-allow-origin'], 'https://ops.example');
  assert.match(allowed.headers['access-control-allow-headers'], /Authorization/);
  assert.equal(allowed.headers['access-control-allow-methods'], 'POST');
  assert.equal(allowed.headers['access-control-allow-credentials'], undefined);
  for (const origin of ['https://evil.example', 'https://app.example.evil', 'null', 'http://app.example']) {
    const { headers } = await preflight(origin);
    assert.equal(headers['access-control-allow-origin'], undefined, origin);
    assert.match(headers.vary, /Origin/);
  }
  const { headers } = await sluice.client.get('/api/jobs/stats', { headers: { origin: 'https://app.example' } });
  assert.equal(headers['access-control-allow-origin'], 'https://app.example');
  assert.match(headers['access-control-expose-headers'], /ETag/);
});
