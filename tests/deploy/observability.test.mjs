// What the program exports, and what is made of it: the exposition, the alerts, the dashboards.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Queue } from 'bullmq';
import { parse, stringify } from 'yaml';
import { ROOT, declare, eventually, notification, runSluice, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';
import { startReceiver } from '../api/harness/standins.mjs';
import { ALERTS } from './alerts.mjs';

const COMPONENT = join(ROOT, 'k8s/components/observability');
const { groups } = parse(readFileSync(join(COMPONENT, 'prometheusrule.yaml'), 'utf8')).spec;
const rules = groups.flatMap((group) => group.rules);
const dashboards = readdirSync(join(COMPONENT, 'dashboards')).map((file) => ({ file, ...JSON.parse(readFileSync(join(COMPONENT, 'dashboards', file), 'utf8')) }));

// {code, text} of promtool; `input` goes to its standard input.
function promtool(args, { input = '', cwd } = {}) {
  return new Promise((resolve) => {
    const child = execFile('promtool', args, { cwd, timeout: 120_000 }, (error, out, err) => resolve({ code: error?.code ?? 0, text: out + err }));
    child.stdin.end(input);
  });
}

test('promtool finds nothing wrong with /metrics but the names that are BullMQ\'s', async () => {
  const redis = await startRedis();
  const receiver = await startReceiver();
  const sluice = await startSluice({
    env: {
      REDIS_URL: redis.url, SLUICE_FETCH_ALLOW: receiver.allow, SLUICE_QUEUES: declare({ name: 'hook', processor: 'webhook', webhook: { url: receiver.url } }),
    },
  });
  const scheduled = new Queue('hook', { connection: redis.connect() });
  await scheduled.upsertJobScheduler('every "day"', { every: 86_400_000 }, { name: 'n', data: {} });
  await sluice.as({ roles: ['producer'] }).post('/api/jobs/notifications', notification);
  const { status, text } = await eventually(async () => {
    const answer = await sluice.client.get('/metrics');
    return answer.text.includes('sluice_schedule_last_success_timestamp_seconds{') ? answer : null;
  }, { what: 'the scheduled job' });
  assert.equal(status, 200);
  const { text: complaints } = await promtool(['check', 'metrics'], { input: text });
  assert.deepEqual(complaints.split('\n').filter((line) => line && !line.startsWith('bullmq_')), []);
  await scheduled.close();
  await sluice.stop();
  await receiver.close();
  await redis.stop();
});

test('the gauges of a queue say how old its next job is, and how long its first delayed job has been due', async () => {
  const redis = await startRedis();
  const SLUICE_QUEUES = declare({ name: 'left', processor: 'none' });
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES } });
  const gauge = async (name) => {
    const { text } = await sluice.client.get('/metrics');
    return Number(text.split('\n').find((line) => line.startsWith(`${name}{queue="left"}`))?.split(' ').at(-1));
  };
  assert.equal(await gauge('sluice_queue_latency_seconds'), 0);
  assert.equal(await gauge('sluice_queue_delayed_overdue_seconds'), 0);
  const { json } = await sluice.as({ roles: ['operator'] }).post('/api/queues/left/jobs', { name: 'n', data: {} });
  await redis.admin.hset(`bull:left:${json.jobId}`, 'timestamp', Date.now() - 600_000);
  const age = await gauge('sluice_queue_latency_seconds');
  assert.ok(age >= 600 && age < 700, `${age}`);
  await sluice.stop();
  await redis.stop();
});

test('what has no label is there from the start, and a running job and a failed reload are seen', async () => {
  const redis = await startRedis();
  const file = declare({ name: 'slow', processor: 'notification', concurrency: 1 });
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: file }, allow: ['queues_not_reloaded'] });
  const series = async (name) => {
    const { text } = await sluice.client.get('/metrics');
    return Number(text.split('\n').find((line) => line.startsWith(`${name} `))?.split(' ').at(-1));
  };
  await eventually(async () => (await series('sluice_redis_round_trip_seconds_count')) > 1, { what: 'two calls to Redis' });
  assert.ok(await series('sluice_redis_round_trip_seconds_sum') < 60);
  assert.equal(await series('sluice_oldest_active_seconds{queue="slow"}'), 0);
  assert.equal(await series('sluice_config_last_reload_successful'), 1);
  const since = await series('sluice_config_last_reload_success_timestamp_seconds');
  assert.ok(Math.abs(Date.now() / 1000 - since) < 600);
  writeFileSync(file, '{');
  sluice.child.signal('SIGHUP');
  await eventually(async () => (await series('sluice_config_last_reload_successful')) === 0, { what: 'the failure' });
  assert.equal(await series('sluice_config_last_reload_success_timestamp_seconds'), since);
  writeFileSync(file, '{"queues":[]}');
  sluice.child.signal('SIGHUP');
  await eventually(async () => (await series('sluice_config_last_reload_successful')) === 1, { what: 'the success' });
  await sluice.stop();
  await redis.stop();
});

// The value of each series, by its text: name{labels}.
const read = (text) => new Map(text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => {
  const at = line.lastIndexOf(' ');
  return [line.slice(0, at), Number(line.slice(at + 1))];
}));

test('sizes, attempts, deliveries and schedules are counted where they happen', async (t) => {
  const redis = await startRedis();
  const receiver = await startReceiver();
  const sluice = await startSluice({
    env: {
      REDIS_URL: redis.url, SLUICE_FETCH_ALLOW: receiver.allow,
      SLUICE_QUEUES: declare(
        { name: 'hook', processor: 'webhook', attempts: 3, backoff: { type: 'fixed', delay: 10 }, webhook: { url: receiver.url } },
        { name: 'inside', processor: 'webhook', attempts: 1, webhook: { url: 'http://10.255.255.1/' } }, { name: 'leased', processor: 'none' },
      ),
    },
  });
  t.after(() => sluice.client.close());
  const schedules = new Queue('leased', { connection: redis.connect() });
  const operator = sluice.as({ roles: ['operator'] });
  const worker = sluice.as({ roles: ['worker'] });
  const add = async (queue, data, headers = {}) => operator.post(`/api/queues/${queue}/jobs`, { name: 'n', data }, { headers });
  const look = async () => read((await sluice.client.get('/metrics')).text);
  const reaches = (series, value) => eventually(async () => (await look()).get(series) === value, { timeout: 60_000, what: `${series} ${value}` });

  const answers = [{ status: 500 }, { status: 200, body: 'null' }];
  receiver.answer = () => answers.shift();
  const before = await look();
  await add('hook', { text: 'x'.repeat(2000) }, { 'idempotency-key': 'k' });
  await add('hook', { text: 'x'.repeat(2000) }, { 'idempotency-key': 'k' });
  await add('hook', { text: 'y' }, { 'idempotency-key': 'k' });
  await add('inside', {});
  await reaches('sluice_jobs_finished_total{queue="hook",outcome="completed"}', 1);
  await reaches('sluice_job_attempts_made_count{queue="hook"}', 1); // counted last
  await reaches('sluice_jobs_finished_total{queue="inside",outcome="failed"}', 1);
  const after = await look();
  const counted = {
    'sluice_webhook_deliveries_total{queue="hook",outcome="5xx"}': 1, 'sluice_webhook_deliveries_total{queue="hook",outcome="2xx"}': 1,
    'sluice_webhook_deliveries_total{queue="inside",outcome="blocked"}': 1, 'sluice_webhook_duration_seconds_count{queue="hook"}': 2,
    'sluice_job_attempts_made_sum{queue="hook"}': 2, 'sluice_job_attempts_made_count{queue="hook"}': 1,
    'sluice_job_attempts_total{queue="hook",outcome="retried"}': 1, 'sluice_job_wait_seconds_count{queue="hook"}': 1,
    'sluice_job_payload_bytes_count{queue="hook"}': 1, 'sluice_job_payload_bytes_bucket{queue="hook",le="1024"}': 0,
    'sluice_job_payload_bytes_bucket{queue="hook",le="4096"}': 1, 'sluice_jobs_enqueued_total{queue="hook"}': 1,
    'sluice_idempotency_replays_total{result="replayed"}': 1, 'sluice_idempotency_replays_total{result="mismatch"}': 1,
    'sluice_processor_run_seconds_count{processor="webhook"}': 3, 'sluice_processor_available{processor="webhook"}': 1,
    'sluice_http_streams{kind="sse"}': 0, 'sluice_http_streams{kind="longpoll"}': 0,
  };
  for (const [series, value] of Object.entries(counted)) assert.equal(after.get(series), value, series);
  assert.ok(after.get('sluice_http_streams_max') > 0);
  assert.ok(after.get('sluice_http_request_size_bytes_sum') - (before.get('sluice_http_request_size_bytes_sum') ?? 0) > 4000);
  assert.ok(after.get('sluice_http_response_size_bytes_sum') > before.get('sluice_http_response_size_bytes_sum'));

  // A job over HTTP, due now, that was to be delayed for an hour: the hour is not waiting.
  const tick = await schedules.upsertJobScheduler('tick', { every: 3_600_000 }, { name: 'n', data: {} });
  await redis.admin.hset(`bull:leased:${tick.id}`, 'timestamp', Date.now() - 3_600_000);
  const opts = JSON.parse(await redis.admin.hget(`bull:leased:${tick.id}`, 'opts'));
  await redis.admin.hset(`bull:leased:${tick.id}`, 'opts', JSON.stringify({ ...opts, delay: 3_600_000, prevMillis: Date.now() - 3 * 3_600_000 - 60_000 }));
  const { jobs: [job] } = (await worker.post('/api/queues/leased/lease', { workerId: 'w', max: 1, wait: 20 })).json;
  assert.equal((await worker.post(`/api/queues/leased/jobs/${encodeURIComponent(job.id)}/complete`, { token: job.token, returnvalue: 1 })).status, 200);
  const last = await look();
  assert.equal(last.get('sluice_job_wait_seconds_count{queue="leased"}'), 1);
  assert.ok(last.get('sluice_job_wait_seconds_sum{queue="leased"}') < 600);
  assert.equal(last.get('sluice_job_attempts_made_count{queue="leased"}'), 1);
  assert.equal(last.get('sluice_schedule_missed_total{queue="leased",schedule="tick"}'), 3);
  assert.ok(Math.abs(last.get('sluice_schedule_last_success_timestamp_seconds{queue="leased",schedule="tick"}') - Date.now() / 1000) < 600);
  await schedules.close();
  await sluice.stop();
  await receiver.close();
  await redis.stop();
});

test('schedules are a label a hundred times, and no more', async () => {
  const redis = await startRedis();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'left', processor: 'none' }) } });
  const queue = new Queue('left', { connection: redis.connect() });
  for (let i = 0; i < 103; i++) await queue.upsertJobScheduler(`s${i}`, { every: 3_600_000 }, { name: 'n' });
  const worker = sluice.as({ roles: ['worker'] });
  let taken = 0;
  await eventually(async () => {
    taken += (await worker.post('/api/queues/left/lease', { workerId: 'w', max: 100 })).json.jobs.length;
    return taken === 103;
  }, { timeout: 60_000, what: 'all jobs' });
  const series = [...read((await sluice.client.get('/metrics')).text).keys()].filter((name) => name.startsWith('sluice_schedule_missed_total'));
  assert.equal(series.length, 100);
  await queue.close();
  await sluice.stop();
  await redis.stop();
});

test('every rule is well-formed', async () => {
  const file = join(temporaryFolder(), 'rules.yaml');
  writeFileSync(file, stringify({ groups }));
  const { code, text } = await promtool(['check', 'rules', file]);
  assert.equal(code, 0, text);
});

test('every alert fires when it should, and not when it should not', async () => {
  const alerts = rules.filter(({ alert }) => alert).map(({ alert }) => alert);
  assert.deepEqual(Object.keys(ALERTS).sort(), alerts.toSorted(), 'each alert has a case');
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'rules.yaml'), stringify({ groups }));
  const cases = Object.entries(ALERTS).flatMap(([alert, { fires, quiet, at = 40 }]) => [[fires, true], [quiet, false]].map(([series, expected]) => ({
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [{
      expr: `max(ALERTS{alertname="${alert}",alertstate="firing"})`, eval_time: `${at}m`, exp_samples: expected ? [{ labels: '{}', value: 1 }] : [],
    }],
  })));
  writeFileSync(join(folder, 'test.yaml'), stringify({ rule_files: ['rules.yaml'], evaluation_interval: '1m', tests: cases }));
  const { code, text } = await promtool(['test', 'rules', 'test.yaml'], { cwd: folder });
  assert.equal(code, 0, text);
});

test('every alert says what it means and what to do', () => {
  const sections = new Set(readFileSync(join(ROOT, 'docs/operations.md'), 'utf8').split('\n').filter((line) => line.startsWith('#')).map((line) => line.replace(/^#+ /, '')));
  for (const { alert, labels, annotations } of rules.filter((rule) => rule.alert)) {
    assert.match(labels.severity, /^(critical|warning)$/, alert);
    assert.ok(annotations.summary && annotations.description, alert);
    assert.equal(annotations.runbook, `docs/operations.md#${alert.toLowerCase()}`);
    assert.ok(sections.has(alert), `docs/operations.md has no section ${alert}`);
  }
});

test('rules and dashboards ask for series that exist', async () => {
  const metrics = JSON.parse((await runSluice(['dump', 'metrics'])).text);
  const known = new Set(metrics.flatMap(({ name, kind }) => (kind === 'histogram' ? ['_bucket', '_sum', '_count'].map((end) => name + end) : [name])));
  const recorded = new Set(rules.map(({ record }) => record).filter(Boolean));
  const expressions = [
    ...rules.map(({ alert, record, expr }) => [alert ?? record, expr]),
    ...dashboards.flatMap(({ file, panels, annotations }) => [
      ...panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => [`${file}: ${title}`, expr])),
      ...annotations.list.map(({ name, expr }) => [`${file}: ${name}`, expr]),
    ]),
  ];
  for (const [where, expr] of expressions) {
    for (const [name] of expr.matchAll(/\b(sluice|process|bullmq)[_:][a-z0-9_:]+/g)) {
      assert.ok(known.has(name) || recorded.has(name), `${where} asks for ${name}, which nothing exports`);
    }
  }
});

test('dashboards read from any data source, and every panel explains itself', async () => {
  const folder = temporaryFolder();
  for (const { file, uid, panels, templating } of dashboards) {
    assert.equal(file, `${uid}.json`);
    assert.ok(templating.list.some(({ type }) => type === 'datasource'), file);
    const shown = panels.filter(({ type }) => type !== 'row');
    for (const { title, description, datasource, targets } of shown) {
      assert.ok(description, `${file}: ${title}`);
      assert.ok([datasource, ...targets.map((target) => target.datasource)].every((source) => source.uid === '${datasource}'), `${file}: ${title}`);
    }
    const expressions = shown.flatMap(({ targets }) => targets.map(({ expr }) => expr.replaceAll('$queue', '.+')));
    writeFileSync(join(folder, file), stringify({ groups: [{ name: uid, rules: expressions.map((expr, i) => ({ record: `panel:${i}`, expr })) }] }));
    const { code, text } = await promtool(['check', 'rules', '--lint=none', join(folder, file)]);
    assert.equal(code, 0, text);
  }
});
