// Searching two million records, made in SQL: five queues, fifty organizations, four weeks, one in forty failed.
import { eventually, startPostgres } from '../../api/harness/index.mjs';
import { median } from './figures.mjs';
import { startStage } from './stage.mjs';

const WEEK = 604_800_000;
const AT_ONCE = 250_000; // rows of one statement

const rowsOf = (first, last, now, gap) => `
  INSERT INTO sluice.records (prefix, queue, job_id, created_ms, at_ms, state, name, org, sub, processed_ms, finished_ms, attempts_made, failed_reason, fingerprint, data, returnvalue, opts, fields)
  SELECT 'bull', 'queue-' || i % 5, 'job-' || i, ${now} - i * ${gap}::bigint - 2000, ${now} - i * ${gap}::bigint, CASE WHEN i % 40 = 7 THEN 'failed' ELSE 'completed' END,
         'name-' || i % 7, 'org-' || i % 50, 'service-' || i % 11, ${now} - i * ${gap}::bigint - 500, ${now} - i * ${gap}::bigint, 1,
         CASE WHEN i % 40 = 7 THEN 'CODE_' || i % 60 || ': no answer from host ' || i END, CASE WHEN i % 40 = 7 THEN 'CODE_' || i % 60 || ': no answer from host #' END,
         d, '{"ok":true}', '{"attempts":3}', d::jsonb
  FROM generate_series(${first}, ${last}) AS i, LATERAL (SELECT '{"documentId":"doc-' || i || '","userId":"user-' || i % 20000 || '","pages":' || i % 900 || '}' AS d) AS made`;

// [what is searched for, the query]
const searches = (now, n) => [
  ['the newest', ''],
  ['one queue', '?queue=queue-3'],
  ['one id of a queue', `?queue=queue-3&id=job-${n - 2}`],
  ['one name', '?name=name-4'],
  ['one organization', '?org=org-17'],
  ['failed jobs', '?state=failed'],
  ['a day two weeks ago', `?from=${now - 2 * WEEK}&to=${now - 2 * WEEK + WEEK / 7}`],
  ['a member of data that one job has', `?data.documentId=doc-${n / 2}`],
  ['a member of data that 100 jobs have', '?data.userId=user-4711'],
  ['one group of errors', `?fingerprint=${encodeURIComponent('CODE_7: no answer from host #')}`],
  ['failed jobs of one organization and queue', '?state=failed&org=org-7&queue=queue-2'],
  ['a text in the errors of a day', `?error=CODE_27&from=${now - WEEK / 7}`],
  ['failures of a day, grouped', `/errors?from=${now - WEEK / 7}`],
];

async function fill(pg, now, n) {
  const gap = Math.floor((4 * WEEK) / n);
  for (let week = 0; week <= 4; week++) pg.sql(`SELECT sluice.records_partition(${now - week * WEEK})`);
  for (let first = 0; first < n; first += AT_ONCE) pg.sql(rowsOf(first, Math.min(first + AT_ONCE, n) - 1, now, gap));
  pg.sql('VACUUM ANALYZE sluice.records');
}

async function times({ url, token }, path, repeats) {
  const taken = [];
  for (let i = 0; i < repeats; i++) {
    const began = performance.now();
    const answer = await fetch(url + path, { headers: { authorization: `Bearer ${token}` } });
    const { items } = await answer.json();
    if (!answer.ok || !items.length) throw new Error(`${path}: ${answer.status}, ${items?.length} found`);
    taken.push(performance.now() - began);
  }
  return taken;
}

// [{title, firstMs, p50Ms, worstMs}]
export async function searching(plan) {
  const pg = await startPostgres();
  const stage = await startStage({ env: { SLUICE_RECORDS: 'on', DATABASE_URL: pg.url } });
  const now = Date.now();
  await eventually(() => pg.rows(`SELECT 1 WHERE to_regclass('sluice.record_erasures') IS NOT NULL`).length > 0, { timeout: 60_000, what: 'the tables of the records' });
  await fill(pg, now, plan.searched);
  const out = [];
  for (const [title, query] of searches(now, plan.searched)) {
    const taken = await times(stage.targets.sluice, `/api/records${query}`, 21);
    out.push({ title, firstMs: taken[0], p50Ms: median(taken), worstMs: Math.max(...taken) });
  }
  await stage.stop();
  await pg.stop();
  return out;
}
