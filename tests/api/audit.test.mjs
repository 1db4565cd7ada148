// The audit trail in PostgreSQL: a row for every change, a chain that nobody changes unnoticed, and what happens while a store is away.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { analysis, declare, documentJob, eventually, failedJobs, notification, ROOT, runSluice, startPostgres, startRedis, startSluice } from './harness/index.mjs';

const SOON = { timeout: 120_000 };

const QUEUES = declare({ name: 'elsewhere', processor: 'none', jobName: 'work' }, { name: 'other', processor: 'none', jobName: 'work' }, { name: 'together', processor: 'none', jobName: 'work' });

let postgres, redis, sluice;

const env = () => ({ SLUICE_RECORDS: 'on', DATABASE_URL: postgres.url, REDIS_URL: redis.url, SLUICE_QUEUES: QUEUES, DEV_LOGIN: '1' });
const admin = () => sluice.as({ sub: 'ada', roles: ['admin'] });
const rows = () => postgres.rows('SELECT * FROM sluice.audit ORDER BY seq');

async function up(of = sluice) {
  const { json } = await of.client.as(null).get('/readyz?verbose');
  return json.checks.find(({ name }) => name === 'records')?.ok;
}

// Every audit line of the log is in the table, each once; folded ones by their number.
async function allWritten(of = sluice) {
  const logged = of.logs.filter(({ event }) => event === 'audit').length;
  const written = () => rows().filter(({ action }) => action !== 'audit.gap').reduce((sum, { count }) => sum + count, 0);
  await eventually(() => written() >= logged, { ...SOON, what: `${logged} audit lines in PostgreSQL` });
  assert.equal(written(), logged);
}

async function verify(...args) {
  const { code, text } = await runSluice(['audit', 'verify', ...args], { env: env() });
  return { code, text: text.trim() };
}

// Changes the table as only who owns the database can.
const tamper = (sql) => postgres.sql(`SET session_replication_role = replica; ${sql}`);

before(async () => {
  postgres = await startPostgres();
  redis = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
  sluice = await startSluice({ env: env() });
  await eventually(() => up(), { ...SOON, what: 'PostgreSQL to be up' });
});

after(async () => {
  await sluice.stop();
  await postgres.stop();
  await redis.stop();
});

// One successful call of each changing operation.
async function changeEverything() {
  const client = admin();
  const base = '/api/queues/elsewhere';
  const ok = (answer) => {
    assert.ok(answer.status >= 200 && answer.status < 300, `${answer.status} ${answer.text}`);
    return answer.json;
  };
  const post = async (path, body) => ok(await client.post(path, body));
  const add = async (opts = {}) => (await post(`${base}/jobs`, { data: { n: 1 }, opts })).jobId;
  const end = async (how, body = {}) => {
    const [{ id, token }] = (await post(`${base}/lease`, { workerId: 'w', wait: 10 })).jobs;
    await post(`${base}/jobs/${id}/${how}`, { token, ...body });
    return id;
  };
  ok(await client.put('/api/documents/doc-1', Buffer.from('hello'), { headers: { 'content-type': 'application/octet-stream' } }));
  await post('/api/jobs/notifications', notification);
  await post('/api/jobs/document-processing', documentJob);
  await post('/api/jobs/compliance-analysis', analysis);
  await post('/api/auth/workflow/document-upload', { documentId: 'doc-1', filename: 'a.txt', mimeType: 'text/plain', fileSize: 5 });
  const { results } = await post(`${base}/jobs`, [{ data: { n: 1 } }, { data: { n: 2 } }]);
  assert.ok(results.every(({ created }) => created), JSON.stringify(results));
  await end('complete', { returnvalue: {} });
  const failed = await end('fail', { reason: 'NO: not today', retry: false });
  await post(`${base}/jobs/${failed}/retry`, {});
  await end('release');
  const both = (await post(`${base}/lease`, { workerId: 'w', max: 2, wait: 10 })).jobs;
  await post(`${base}/finish`, { jobs: both.map(({ id, token }) => ({ id, token })) });
  const delayed = await add({ delay: 600_000 });
  ok(await client.request('PATCH', `${base}/jobs/${delayed}`, { body: { delay: 700_000 } }));
  await post(`${base}/jobs/${delayed}/promote`);
  await post(`${base}/jobs/${delayed}/remove`);
  await post(`${base}/jobs/${await add()}/cancel`);
  await post(`${base}/pause`, { reason: 'a test' });
  await post(`${base}/resume`);
  await failedJobs(redis, 'elsewhere', 50_000); // so many that the task has not ended when it is told to stop
  const { id } = await post(`${base}/bulk`, { action: 'remove', filter: { state: 'failed' }, confirm: 'elsewhere' });
  ok(await client.delete(`/api/tasks/${id}`));
  await post(`${base}/drain`, { confirm: 'elsewhere' });
  await post(`${base}/clean`, { state: 'completed', confirm: 'elsewhere' });
  const { token } = await post('/api/auth/dev-token', { sub: 'eve', roles: ['viewer'] });
  await post('/api/session', { token });
  ok(await client.delete('/api/session'));
  ok(await client.delete('/api/documents/doc-1'));
  ok(await client.delete('/api/records?org=default&userId=nobody'));
  return failed;
}

describe('the trail', () => {
  test('has a row for every change that the routes can make', async () => {
    const failed = await changeEverything();
    await allWritten();
    const table = rows();
    assert.deepEqual(table.map(({ seq }) => seq), table.map((_, i) => i + 1));
    const by = (action) => table.find((row) => row.action === action);
    assert.equal(by('job.retry').target, `elsewhere/${failed}`);
    assert.equal(by('job.retry').sub, 'ada');
    assert.equal(by('queue.pause').status, 200);
    for (const { action, requestId } of sluice.logs.filter(({ event }) => event === 'audit')) {
      assert.ok(table.some((row) => row.request_id === requestId || (row.action === action && row.ids)), `${action} ${requestId}`);
    }
    assert.equal((await verify()).code, 0);
  });

  test('has seen every operation that is said to change something', () => {
    const changing = [...readFileSync(join(ROOT, 'gateway/routes/routes.def'), 'utf8').matchAll(/^ROUTE\(\w+, (\w+), "([^"]+)".*\bROUTE_CHANGES\b/gm)];
    const requests = sluice.logs.filter(({ event, status }) => event === 'http_request' && status < 300);
    const audited = new Set(sluice.logs.filter(({ event }) => event === 'audit').map(({ requestId }) => requestId));
    const seen = new Set(requests.filter(({ requestId }) => audited.has(requestId)).map(({ method, route }) => `${method} ${route}`));
    assert.ok(changing.length > 20);
    assert.deepEqual(changing.map(([, method, path]) => `${method} ${path}`).filter((operation) => !seen.has(operation)), []);
  });

  test('folds what one subject creates on one queue meanwhile', async () => {
    await allWritten();
    const before = rows().length;
    const created = await Promise.all(Array.from({ length: 200 }, () => admin().post('/api/queues/other/jobs', { data: {} })));
    const ids = created.map(({ json }) => json.jobId);
    await allWritten();
    const added = rows().slice(before);
    assert.ok(added.length < ids.length, 'nothing was folded');
    const told = added.flatMap(({ target, ids: several }) => (several ? JSON.parse(several) : [target.split('/')[1]]));
    assert.deepEqual(told.sort(), ids.sort());
    for (const row of added) assert.equal(row.count, row.ids ? JSON.parse(row.ids).length : 1);
    const { json } = await admin().get(`/api/audit?target=other/${ids[100]}`);
    assert.ok(json.items.length >= 1);
    assert.ok(json.items.every((row) => row.target === `other/${ids[100]}` || row.ids.includes(ids[100])));
  });

  test('has one row for the jobs that one request ends, found by each of them', async () => {
    const { results } = (await admin().post('/api/queues/together/jobs', Array.from({ length: 5 }, () => ({ data: {} })))).json;
    const { jobs } = (await admin().post('/api/queues/together/lease', { workerId: 'w', max: 5, wait: 10 })).json;
    const ids = results.map(({ jobId }) => jobId);
    await admin().post('/api/queues/together/finish', { jobs: jobs.map(({ id, token }, n) => ({ id, token, ...(n === 4 && { reason: 'NO: it is', retry: false }) })) });
    await allWritten();
    const { items } = (await admin().get(`/api/audit?action=job.finish&target=together/${ids[4]}`)).json;
    assert.deepEqual(items.map(({ target, count, ids: several, after: states }) => ({ target, count, several, states })), [
      { target: 'together', count: 1, several: ids, states: { completed: ids.slice(0, 4), failed: [ids[4]], delayed: [], waiting: [] } },
    ]);
    assert.equal((await verify()).code, 0);
  });

  test('is searched by administrators, in pages and in lines', async () => {
    await allWritten();
    const all = rows();
    const list = async (query) => {
      const { status, json, text } = await admin().get(`/api/audit${query}`);
      assert.equal(status, 200, text);
      return json.items;
    };
    assert.deepEqual((await list('?action=queue.pause')).map(({ action }) => action), ['queue.pause']);
    assert.equal((await list('?sub=ada&limit=200')).length, Math.min(200, all.filter(({ sub }) => sub === 'ada').length));
    assert.deepEqual(await list('?sub=nobody'), []);
    assert.deepEqual(await list('?org=elsewhere'), []);
    assert.equal((await list('?target=other&limit=200')).length, all.filter(({ target }) => target?.split('/')[0] === 'other').length);
    assert.deepEqual(await list(`?to=${all[0].at_ms}`), []);
    assert.equal((await list(`?from=${all[0].at_ms}&to=${all.at(-1).at_ms + 1}&limit=200`)).length, Math.min(200, all.length));
    const seen = [];
    for (let path = '/api/audit?limit=7'; path;) {
      const { headers, json } = await admin().get(path);
      seen.push(...json.items.map(({ seq }) => seq));
      path = headers.link?.match(/^<(.*)>; rel="next"$/)?.[1];
    }
    assert.deepEqual(seen, all.map(({ seq }) => seq).reverse());
    const lines = await admin().get('/api/audit', { headers: { accept: 'application/x-ndjson' } });
    assert.equal(lines.headers['content-type'], 'application/x-ndjson');
    assert.deepEqual(lines.text.trimEnd().split('\n').map((line) => JSON.parse(line).seq), seen);
    for (const role of ['operator', 'viewer', 'producer', 'worker']) assert.equal((await sluice.as({ roles: [role] }).get('/api/audit')).status, 403);
    for (const query of ['?what=1', '?cursor=x', '?limit=201', '?from=now']) assert.equal((await admin().get(`/api/audit${query}`)).status, 400, query);
    for (const evil of [`' OR 1=1 --`, `'; DROP TABLE sluice.audit; --`, '%', '$1', '\\', '/']) {
      for (const name of ['action', 'sub', 'org', 'target']) assert.deepEqual(await list(`?${name}=${encodeURIComponent(evil)}`), [], `${name}=${evil}`);
    }
  });

  test('refuses to be changed', () => {
    for (const sql of [`UPDATE sluice.audit SET sub = 'nobody'`, 'DELETE FROM sluice.audit', 'TRUNCATE sluice.audit', 'DELETE FROM sluice.audit WHERE false']) {
      assert.throws(() => postgres.sql(sql), /only ever added/, sql);
    }
  });
});

describe('the chain names the first row that', () => {
  const copy = 'CREATE TABLE IF NOT EXISTS public.kept AS SELECT * FROM sluice.audit; CREATE TABLE IF NOT EXISTS public.heads AS SELECT * FROM sluice.audit_heads';
  before(async () => {
    await allWritten();
    postgres.sql(copy);
    assert.equal((await verify()).code, 0);
  });
  afterEach(() => tamper(`TRUNCATE sluice.audit; INSERT INTO sluice.audit SELECT * FROM public.kept;
    DELETE FROM sluice.audit_heads; INSERT INTO sluice.audit_heads SELECT * FROM public.heads`));

  for (const [what, sql, row] of [
    ['was changed', `UPDATE sluice.audit SET sub = 'somebody' WHERE seq = 5`, 5],
    ['lost a value', `UPDATE sluice.audit SET after = NULL WHERE seq = (SELECT min(seq) FROM sluice.audit WHERE after IS NOT NULL)`, null],
    ['was removed', 'DELETE FROM sluice.audit WHERE seq = 7', 7],
    ['was removed with a new numbering', 'DELETE FROM sluice.audit WHERE seq = 7; UPDATE sluice.audit SET seq = -seq WHERE seq > 7; UPDATE sluice.audit SET seq = -seq - 1 WHERE seq < 0', 7],
    ['changed places', 'UPDATE sluice.audit SET seq = -1 WHERE seq = 3; UPDATE sluice.audit SET seq = 3 WHERE seq = 4; UPDATE sluice.audit SET seq = 4 WHERE seq = -1', 3],
    ['was put in', `UPDATE sluice.audit SET seq = -seq WHERE seq >= 9; UPDATE sluice.audit SET seq = 1 - seq WHERE seq < 0;
      INSERT INTO sluice.audit SELECT prefix, 9, at_ms, 'job.forged', target, sub, org, request_id, ip, status, count, ids, before, after, source, hash FROM sluice.audit WHERE seq = 8`, 9],
    ['is missing at the end', 'DELETE FROM sluice.audit WHERE seq > 10', 11],
  ]) {
    test(what, async () => {
      const [{ seq }] = row === null ? postgres.rows('SELECT min(seq) AS seq FROM sluice.audit WHERE after IS NOT NULL') : [{ seq: row }];
      tamper(sql);
      const { code, text } = await verify();
      assert.equal(code, 3, text);
      assert.match(text, new RegExp(`row ${seq}: `));
    });
  }

  test('no longer fits the end that was known', async () => {
    const [, end] = /its end is (\S+)$/.exec((await verify()).text);
    assert.equal((await verify('--since', end)).code, 0);
    const other = end.replace(/.$/, (digit) => (digit === '0' ? '1' : '0'));
    assert.equal((await verify('--since', other)).code, 3);
    assert.equal((await verify('--since', 'nonsense')).code, 2);
    assert.equal((await runSluice(['audit', 'look'], { env: env() })).code, 2);
  });
});

describe('when a store is away', () => {
  test('lines wait in Redis for PostgreSQL', async () => {
    await postgres.kill();
    for (let i = 0; i < 5; i++) assert.equal((await admin().post('/api/queues/elsewhere/resume')).status, 200);
    await eventually(async () => (await redis.admin.xlen('bull:sluice:audit')) > 0, { what: 'entries in the stream' });
    await postgres.start();
    await allWritten();
    assert.equal((await verify()).code, 0);
    await eventually(async () => (await redis.admin.xlen('bull:sluice:audit')) === 0, { what: 'an empty stream' });
  });

  test('lines wait in the process for Redis', async () => {
    sluice.allow.push('redis_data_lost');
    await allWritten();
    await redis.kill();
    for (let i = 0; i < 5; i++) assert.equal((await admin().delete('/api/session')).status, 204);
    await redis.start();
    await allWritten();
    assert.equal((await verify()).code, 0);
  });

  test('an entry that came to Redis twice is written once', async () => {
    await postgres.kill();
    assert.equal((await admin().delete('/api/session')).status, 204);
    const [, fields] = await eventually(async () => (await redis.admin.xrange('bull:sluice:audit', '-', '+'))[0], { what: 'an entry of the stream' });
    await redis.admin.xadd('bull:sluice:audit', '*', ...fields);
    await postgres.start();
    await eventually(async () => (await redis.admin.xlen('bull:sluice:audit')) === 0, { ...SOON, what: 'an empty stream' });
    await allWritten();
    assert.equal((await verify()).code, 0);
  });

  test('what was lost there leaves a row that says how much', async () => {
    await postgres.kill();
    assert.equal((await admin().post('/api/queues/elsewhere/resume')).status, 200);
    assert.equal((await admin().post('/api/queues/elsewhere/resume')).status, 200);
    const lines = async () => (await redis.admin.xrange('bull:sluice:audit', '-', '+')).reduce((sum, [, fields]) => sum + Number(fields[5]), 0);
    await eventually(async () => (await lines()) >= 2, { what: 'entries in the stream' });
    await redis.admin.del('bull:sluice:audit');
    assert.equal((await admin().post('/api/queues/elsewhere/resume')).status, 200);
    sluice.allow.push('audit_lost');
    await postgres.start();
    const gap = await eventually(() => rows().find(({ action }) => action === 'audit.gap'), { ...SOON, what: 'the row that tells of the gap' });
    assert.equal(gap.count, 2);
    assert.equal((await verify()).code, 0);
    assert.match((await sluice.client.as(null).get('/metrics')).text, /^sluice_audit_lost_total 2$/m);
  });

  test('what somebody else writes among the lines stops none of them, and leaves the chain whole', async () => {
    const row = (changes) => JSON.stringify(Object.values({
      at_ms: '1', action: 'job.forged', target: null, sub: null, org: null, request_id: null, ip: null, status: '200', count: '1', ids: null, before: null, after: null, source: 's', ...changes,
    }));
    const put = (...fields) => redis.admin.xadd('bull:sluice:audit', '*', ...fields);
    const entry = (source, rows, { first = '1', lines = '1' } = {}) => put('source', source, 'first', first, 'lines', lines, 'rows', `${rows}\n`);
    const refused = [
      { at_ms: 'yesterday' }, { at_ms: null }, { at_ms: '01' }, { at_ms: '-1' }, { status: '2e2' }, { status: '9'.repeat(30) }, { count: null }, { action: null },
      { target: 'a\0b' }, { sub: 'x'.repeat(100_000) }, { source: null },
    ];
    for (const [n, changes] of refused.entries()) await entry(`forger-${n}`, row(changes));
    await entry('forger-of-rows', Buffer.from([0xff, 0xfe]));
    const most = String(2n ** 63n - 1n);
    for (const [source, numbers] of [['s\0'], ['x'.repeat(5000)], ['forger-of-numbers', { first: most, lines: most }], ['forger-of-numbers', { first: '1', lines: most }]]) {
      await entry(source, row({}), numbers);
    }
    await put('what', 'is this?');
    sluice.allow.push('audit_lost');
    assert.equal((await admin().post('/api/queues/elsewhere/pause', { reason: 'behind the forgeries' })).status, 200);
    await eventually(() => rows().some(({ after }) => after?.includes('behind the forgeries')), { ...SOON, what: 'the line behind the forgeries' });
    assert.equal((await admin().post('/api/queues/elsewhere/resume')).status, 200);
    const gaps = rows().filter(({ action, source }) => action === 'audit.gap' && source.startsWith('forger'));
    assert.deepEqual(gaps.map(({ count }) => count), [...refused, 'rows'].map(() => 1));
    assert.deepEqual(rows().filter(({ action }) => action === 'job.forged'), []);
    assert.equal((await verify()).code, 0);
  });

  test('of two gateways one writes at a time, and nothing twice', async () => {
    const other = await startSluice({ env: env(), secret: sluice.secret });
    await eventually(() => up(other), { ...SOON, what: 'PostgreSQL to be up' });
    const resumed = () => rows().filter(({ action }) => action === 'queue.resume').reduce((sum, { count }) => sum + count, 0);
    const before = resumed();
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 2 ? other.as({ sub: 'bob', roles: ['admin'] }) : admin()).post('/api/queues/elsewhere/resume')));
    assert.deepEqual(answers.filter(({ status }) => status !== 200).map(({ text }) => text), []);
    await eventually(() => resumed() >= before + 100, { ...SOON, what: `100 rows more than ${before}` });
    assert.equal(resumed(), before + 100);
    await other.stop();
    assert.equal((await verify()).code, 0);
  });
});
