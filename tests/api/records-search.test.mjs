// Searching records: filters, organizations, pages, groups of failures, and that none of it runs through all rows.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { eventually, startPostgres, startRedis, startSluice } from './harness/index.mjs';

const DAY = 86_400_000;
const WEEK = 7 * DAY;
const NOW = Date.now();
const MANY = 60_000; // enough for an index to be the better way
const SOON = { timeout: 120_000 };

let postgres, redis, sluice;

// Finished jobs of three weeks, every fiftieth failed; `sql` expressions in i, the newest has i = 0.
const ROWS = `
  INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, name, org, sub, processed_ms, finished_ms, attempts_made,
                              failed_reason, fingerprint, data, opts, fields)
  SELECT 'bull', CASE WHEN i % 10 = 0 THEN 'notifications' ELSE 'document-processing' END, 'job-' || i,
         ${NOW} - i * 25000::bigint - 5000, ${NOW} - i * 25000::bigint,
         CASE WHEN i % 50 = 7 THEN 'failed' ELSE 'completed' END, CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'usual' END,
         CASE WHEN i % 3 = 0 THEN 'acme' ELSE 'globex' END, 'shop', ${NOW} - i * 25000::bigint - 100, ${NOW} - i * 25000::bigint, 1,
         CASE WHEN i % 50 = 7 THEN 'SMTP_DOWN: no answer from host ' || i END, CASE WHEN i % 50 = 7 THEN 'SMTP_DOWN: no answer from host #' END,
         '{"documentId":"doc-' || i || '","pages":' || i % 900 || '}', '{"attempts":3}', jsonb_build_object('documentId', 'doc-' || i, 'pages', i % 900)
  FROM generate_series(0, ${MANY - 1}) AS i`;

async function up() {
  const { json } = await sluice.client.as(null).get('/readyz?verbose');
  return json.checks.find(({ name }) => name === 'records')?.ok;
}

before(async () => {
  postgres = await startPostgres();
  // Every plan into the server's log, from the next session on.
  postgres.sql(`ALTER DATABASE postgres SET session_preload_libraries = 'auto_explain'; ALTER DATABASE postgres SET auto_explain.log_min_duration = 0`);
  redis = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
  sluice = await startSluice({ env: { SLUICE_RECORDS: 'on', DATABASE_URL: postgres.url, REDIS_URL: redis.url } });
  await eventually(up, { ...SOON, what: 'PostgreSQL to be up' });
  for (let week = 0; week <= 3; week++) postgres.sql(`SELECT sluice.records_partition(${NOW - week * WEEK})`);
  postgres.sql(`${ROWS}; ANALYZE sluice.records`);
  sluice.client.close(); // its connections were idle for too long meanwhile
});

after(async () => {
  await sluice.stop();
  await postgres.stop();
  await redis.stop();
});

const viewer = () => sluice.as({ roles: ['viewer'] });
const producer = (org) => sluice.as({ roles: ['producer'], org });

async function found(query, client = viewer()) {
  const answer = await client.get(`/api/records${query}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json.items;
}
const ids = (items) => items.map(({ id }) => id);

describe('a search', () => {
  test('lists the newest first, 50 when nothing is said', async () => {
    assert.deepEqual(ids(await found('')), Array.from({ length: 50 }, (_, i) => `job-${i}`));
  });

  for (const [query, expected] of [
    ['?queue=notifications&limit=3', ['job-0', 'job-10', 'job-20']],
    ['?id=job-7', ['job-7']],
    ['?id=job-7&queue=notifications', []],
    ['?name=rare&limit=2', ['job-0', 'job-1000']],
    ['?org=acme&limit=3', ['job-0', 'job-3', 'job-6']],
    ['?state=failed&limit=2', ['job-7', 'job-57']],
    ['?error=ANSWER+from+host+4757', ['job-4757']],
    [`?from=${NOW - 50_000}`, ['job-0', 'job-1', 'job-2']],
    [`?to=${NOW - 50_000}&limit=2`, ['job-3', 'job-4']],
    [`?by=created&from=${NOW - 30_000}`, ['job-0', 'job-1']],
    ['?data.documentId=doc-4711', ['job-4711']],
    ['?data.pages=899&limit=2', ['job-899', 'job-1799']],
    ['?data.documentId=doc-4711&org=globex', ['job-4711']],
    ['?data.documentId=doc-4711&org=acme', []],
    ['?fingerprint=SMTP_DOWN%3A+no+answer+from+host+%23&limit=1', ['job-7']],
  ]) {
    test(query, async () => {
      assert.deepEqual(ids(await found(query)), expected);
    });
  }

  test('follows cursors to the end, each record once, while others arrive', async () => {
    const seen = [];
    let path = `/api/records?queue=notifications&from=${NOW - 100 * 25_000}&limit=3`;
    for (let page = 0; path; page++) {
      postgres.sql(`INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, org) VALUES ('bull', 'notifications', 'late-${page}', ${NOW + page}, ${NOW + page}, 'completed', 'acme')`);
      const { headers, json } = await viewer().get(path);
      seen.push(...ids(json.items));
      path = headers.link?.match(/^<(.*)>; rel="next"$/)?.[1];
      assert.equal(Boolean(path), json.next !== null);
    }
    postgres.sql(`DELETE FROM sluice.records WHERE job_id LIKE 'late-%'`);
    assert.deepEqual(seen, ['late-0', ...Array.from({ length: 11 }, (_, i) => `job-${i * 10}`)]);
  });

  test('of records of one moment loses none between two pages', async () => {
    postgres.sql(`INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, name, org) SELECT 'bull', 'q', 'same-' || i, 5, 6, 'completed', 'same', 'acme' FROM generate_series(1, 20) AS i`);
    const seen = new Set();
    for (let cursor = ''; cursor !== null;) {
      const { json } = await viewer().get(`/api/records?name=same&limit=7${cursor && `&cursor=${cursor}`}`);
      for (const { id } of json.items) seen.add(id);
      cursor = json.next;
    }
    assert.equal(seen.size, 20);
    postgres.sql(`DELETE FROM sluice.records WHERE name = 'same'`);
  });

  test('refuses what it does not know', async () => {
    for (const query of ['?quueue=a', '?state=waiting', '?limit=0', '?limit=201', '?from=yesterday', '?queue=', '?queue=a&queue=b', '?cursor=xx', '?cursor=MTox',
      '?data.=1', '?data.a=1&data.b=2', '?by=start', `?name=${'x'.repeat(1025)}`]) {
      const { status, json } = await viewer().get(`/api/records${query}`);
      assert.equal(status, 400, query);
      assert.equal(json.code, 'validation-failed', query);
    }
  });

  test('takes every text for a value, never for SQL', async () => {
    const evil = [`'`, `' OR '1'='1`, `'; DROP TABLE sluice.records; --`, `$1`, `\\`, `\\'; SELECT pg_sleep(9); --`, `%ans%`, `a_swer`, `{"a":1}`, `{}`, `NULL`, `'||pg_sleep(9)||'`,
      `"`, `") OR true --`, `/*`, `😀`, `') UNION SELECT * FROM sluice.audit --`];
    for (const text of evil) {
      const value = encodeURIComponent(text);
      for (const name of ['queue', 'id', 'name', 'org', 'error', 'fingerprint', 'data.documentId', `data.${value}`]) {
        assert.deepEqual(await found(`?${name}=${value}`), [], `${name}=${text}`);
      }
      for (const name of ['state', 'from', 'to', 'by', 'limit', 'cursor']) {
        assert.equal((await viewer().get(`/api/records?${name}=${value}`)).status, 400, `${name}=${text}`);
      }
      for (const name of ['queue', 'org']) assert.deepEqual((await viewer().get(`/api/records/errors?${name}=${value}`)).json.items, [], text);
      assert.equal((await viewer().get(`/api/records/${value}/${value}`)).status, 404, text);
    }
    assert.equal(postgres.rows('SELECT count(*) AS n FROM sluice.records')[0].n, MANY);
  });

  test('shows producers their own organization only', async () => {
    const own = await found('?limit=200', producer('acme'));
    assert.equal(own.length, 200);
    assert.ok(own.every(({ org }) => org === 'acme'));
    assert.deepEqual(await found('?id=job-1', producer('acme')), []);
    assert.equal((await producer('acme').get('/api/records?org=globex')).status, 403);
    assert.equal((await producer('acme').get('/api/records/errors?org=globex')).status, 403);
    assert.equal((await producer('acme').get('/api/records/document-processing/job-1')).status, 404);
    assert.equal((await producer('acme').get('/api/records/document-processing/job-3')).status, 200);
    assert.equal((await sluice.as({ roles: ['worker'] }).get('/api/records')).status, 403);
    const groups = (await producer('acme').get(`/api/records/errors?from=0`)).json.items;
    assert.deepEqual(groups.map(({ count }) => count), [MANY / 50 / 3]);
  });
});

test('a whole record', async () => {
  const { status, json } = await viewer().get('/api/records/document-processing/job-7');
  assert.equal(status, 200);
  const [record] = json.items;
  assert.deepEqual(record.data, { documentId: 'doc-7', pages: 7 });
  assert.equal(record.opts.attempts, 3);
  assert.equal(record.failedReason, 'SMTP_DOWN: no answer from host 7');
  assert.deepEqual(record.runs, []);
  assert.equal((await viewer().get('/api/records/document-processing/nobody')).status, 404);
});

test('failures are grouped', async () => {
  const { json } = await viewer().get(`/api/records/errors?from=${NOW - 100 * DAY}&queue=document-processing`);
  assert.deepEqual(json.items.map(({ fingerprint, count, example }) => ({ fingerprint, count, example })), [{
    fingerprint: 'SMTP_DOWN: no answer from host #', count: MANY / 50,
    example: { queue: 'document-processing', id: 'job-7', failedReason: 'SMTP_DOWN: no answer from host 7' },
  }]);
  assert.equal(json.items[0].lastSeen, NOW - 7 * 25_000);
  const lately = (await viewer().get('/api/records/errors')).json;
  assert.equal(lately.to - lately.from, WEEK);
  assert.ok(lately.items[0].count < MANY / 50);
});

test('no filter runs through all rows', async () => {
  const weeks = postgres.rows(`SELECT tableoid::regclass::text AS name FROM sluice.records GROUP BY 1 HAVING count(*) > 1000`).map(({ name }) => name.replace('sluice.', ''));
  assert.ok(weeks.length >= 2);
  const plansFrom = (at) => postgres.child.lines.slice(at).join('\n').split(/^(?=\S.*LOG: )/m).filter((entry) => entry.includes('sluice.records WHERE prefix = $1'));
  for (const query of ['', '?queue=notifications', '?id=job-77', '?id=job-77&queue=document-processing', '?name=rare', '?org=acme', '?state=failed', '?error=host+107',
    `?from=${NOW - DAY}&to=${NOW - DAY / 2}`, '?data.documentId=doc-4711', '?fingerprint=nothing', '?queue=notifications&org=acme&state=failed', '/document-processing/job-9']) {
    const at = postgres.child.lines.length;
    const { json } = await viewer().get(`/api/records${query}`);
    if (json.next) await viewer().get(`/api/records${query}${query ? '&' : '?'}cursor=${json.next}`);
    const plans = await eventually(() => plansFrom(at).length >= (json.next ? 2 : 1) && plansFrom(at).join(''), { what: 'the plans in the log' });
    for (const week of weeks) assert.ok(!plans.includes(`Seq Scan on ${week}`), `${query}\n${plans}`);
  }
});

test('nor does any of the audit', async () => {
  postgres.sql(`INSERT INTO sluice.audit (prefix, seq, at_ms, action, target, sub, org, count, source, hash)
    SELECT 'bull', 1000000 + i, ${NOW} - 60000 + i, CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'usual' END, CASE WHEN i % 1000 = 0 THEN 'rare/1' ELSE 'usual/1' END,
           CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'usual' END, CASE WHEN i % 1000 = 0 THEN 'rare' ELSE 'usual' END, 1, 'test', sha256(i::text::bytea)
    FROM generate_series(1, 60000) AS i; ANALYZE sluice.audit`);
  const plansFrom = (at) => postgres.child.lines.slice(at).join('\n').split(/^(?=\S.*LOG: )/m).filter((entry) => entry.includes('sluice.audit WHERE prefix = $1'));
  for (const [query, index] of [['', 'audit_pkey'], ['?org=rare', 'audit_org'], ['?sub=rare', 'audit_sub'], ['?action=rare', 'audit_action'], [`?from=${NOW - 10}&to=${NOW}`, '']]) {
    const at = postgres.child.lines.length;
    const { status, json } = await sluice.as({ roles: ['admin'] }).get(`/api/audit${query}`);
    assert.deepEqual([status, json.items.length > 0], [200, true], query);
    const plans = await eventually(() => plansFrom(at).length >= 1 && plansFrom(at).join(''), { what: 'the plan in the log' });
    assert.ok(!plans.includes('Seq Scan on') && plans.includes(index), `${query}\n${plans}`);
  }
});

// As long as this is held, no search of records is answered.
async function lockRecords() {
  const holder = spawn('psql', ['-X', '-d', postgres.url], { stdio: ['pipe', 'ignore', 'inherit'] });
  holder.stdin.write('BEGIN; LOCK TABLE sluice.records;\n');
  await eventually(() => postgres.rows(`SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'sluice.records'::regclass`).length > 0, { what: 'the lock' });
  return async () => {
    holder.stdin.end('COMMIT;\n');
    await once(holder, 'exit');
  };
}

test('a search that takes too long is refused in clear words', async () => {
  const unlock = await lockRecords();
  const { status, json } = await viewer().get('/api/records');
  assert.equal(status, 504);
  assert.equal(json.code, 'search-too-slow');
  await unlock();
});

test('one who searches a lot at once takes turns with themselves, and leaves a connection to the others', async () => {
  const unlock = await lockRecords();
  const greedy = sluice.as({ sub: 'greedy', roles: ['producer'], org: 'acme' });
  const refused = [];
  const answers = Promise.all(Array.from({ length: 12 }, async () => {
    const answer = await greedy.get('/api/records?error=host');
    if (answer.status === 429) refused.push(answer);
    return answer.status;
  }));
  await eventually(() => refused.length >= 3, { ...SOON, what: 'searches that are refused' });
  assert.equal((await sluice.as({ sub: 'another', roles: ['admin'] }).get('/api/audit?limit=1')).status, 200);
  assert.equal(refused[0].json.code, 'too-many-searches');
  assert.equal(refused[0].headers['retry-after'], '2');
  await unlock();
  for (const status of await answers) assert.ok([200, 429, 504].includes(status), status);
  await eventually(async () => (await greedy.get('/api/records?error=host')).status === 200, { ...SOON, what: 'a turn again' });
});

test('without PostgreSQL the answer is 503, and 404 where none is kept', async () => {
  await postgres.kill();
  await eventually(async () => !(await up()), { ...SOON, what: 'the loss to be noticed' });
  const { status, json } = await viewer().get('/api/records');
  assert.equal(status, 503);
  assert.equal(json.code, 'records-unavailable');
  await postgres.start();
  await eventually(async () => (await viewer().get('/api/records')).status === 200, { ...SOON, what: 'PostgreSQL to be back' });
  const without = await startSluice({ env: { REDIS_URL: redis.url } });
  assert.equal((await without.as({ roles: ['viewer'] }).get('/api/records')).status, 404);
  assert.equal((await without.as({ roles: ['admin'] }).get('/api/audit')).status, 404);
  await without.stop();
});
