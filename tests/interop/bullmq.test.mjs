// Sluice and the official BullMQ client on the same queues of the same Redis, in both directions.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { FlowProducer, QueueEvents } from 'bullmq';
import { declare, eventually, openStage, startSluice, temporaryFolder } from '../api/harness/index.mjs';
import { makeFixtures } from '../fixtures/make-fixtures.mjs';

const DOCUMENTS = 'document-processing';
const PATIENCE = 60_000;
const TEXT = 'The quick brown fox.\nIt jumps over the lazy dog.\n';

const stage = await openStage({
  redis: { tcp: true, args: ['--maxmemory-policy', 'noeviction'] },
  sluice: { env: { SLUICE_QUEUES: declare({ name: 'notifications', processor: 'none' }, { name: 'compliance-analysis', processor: 'none' }) } },
});
const { redis, sluice, keep, queue, worker } = stage;

async function putText(text = TEXT) {
  const documentId = randomUUID();
  const { status } = await sluice.client.put(`/api/documents/${documentId}`, text);
  assert.equal(status, 201);
  return { documentId, userId: randomUUID(), filename: 'fox.txt', mimeType: 'text/plain', fileSize: Buffer.byteLength(text) };
}
const finished = (queueName, id, state = 'completed') =>
  eventually(async () => {
    const { json } = await sluice.client.get(`/api/jobs/status/${queueName}/${id}`);
    return json.state === state ? json : null;
  }, { timeout: PATIENCE, what: `${queueName}/${id} ${state}` });

describe('a Node worker on a queue of Sluice', () => {
  test('runs a job that Sluice accepted, and Sluice shows the result', async () => {
    worker('notifications', async (job) => {
      await job.updateProgress(40);
      await job.log('on its way');
      return { told: job.data.userId, name: job.name };
    });
    const { json: created, status } = await sluice.client.post('/api/jobs/notifications', { userId: 'u-1', type: 'email', subject: 'Hello', message: 'World' });
    assert.equal(status, 201);
    const job = await finished('notifications', created.jobId);
    assert.deepEqual(job.returnvalue, { told: 'u-1', name: 'send-notification' });
    assert.equal(job.progress, 40);
    assert.equal(job.attempts, 5);
  });

  test('retries by the options that Sluice wrote, and its failure is shown', async () => {
    worker('compliance-analysis', async () => {
      throw new Error('the engine is cold');
    });
    const { json: created } = await sluice.client.post('/api/queues/compliance-analysis/jobs', {
      name: 'analyze-compliance', opts: { attempts: 2, backoff: { type: 'fixed', delay: 50 } },
      data: { documentId: 'd1', userId: 'u1', documentPath: '/documents/d1.pdf', mimeType: 'application/pdf', complianceFrameworks: ['GDPR'] },
    });
    const job = await finished('compliance-analysis', created.jobId, 'failed');
    assert.equal(job.failedReason, 'the engine is cold');
    assert.equal(job.attemptsMade, 2);
    assert.equal(job.stacktrace.length, 2);
  });

  test('a long poll ends when the Node worker finishes', async () => {
    let release;
    const held = new Promise((resolve) => (release = resolve));
    const name = 'held';
    const q = queue(name);
    await q.waitUntilReady();
    await q.add('first', {});
    worker(name, () => held);
    const { id } = await q.add('second', {}, { jobId: 'second' });
    const polled = sluice.client.get(`/api/jobs/status/${name}/${id}`, { headers: { prefer: 'wait=20' } });
    release('done');
    const { json, headers } = await polled;
    assert.equal(json.state, 'completed');
    assert.equal(json.returnvalue, 'done');
    assert.equal(headers['preference-applied'] ?? 'wait=20', 'wait=20');
  });
});

describe('jobs of a Node queue in Sluice', () => {
  let documents, events;
  before(async () => {
    documents = queue(DOCUMENTS);
    events = keep(new QueueEvents(DOCUMENTS, { connection: redis.connect() }));
    await events.waitUntilReady();
  });

  test('a plain job completes, as QueueEvents and the job itself say', async () => {
    const job = await documents.add('process-document', await putText());
    const result = await job.waitUntilFinished(events, PATIENCE);
    assert.equal(result.status, 'processed');
    assert.equal(result.words, 10);
    assert.equal(await job.getState(), 'completed');
    assert.ok((await documents.getJob(job.id)).processedBy.startsWith('sluice-'));
  });

  test('addBulk, delayed, prioritized and lifo jobs complete', async () => {
    const data = await putText();
    const jobs = await documents.addBulk([
      { name: 'process-document', data },
      { name: 'process-document', data, opts: { delay: 300 } },
      { name: 'process-document', data, opts: { priority: 5 } },
      { name: 'process-document', data, opts: { lifo: true } },
    ]);
    for (const job of jobs) await job.waitUntilFinished(events, PATIENCE);
    const delayed = await documents.getJob(jobs[1].id);
    assert.ok(delayed.processedOn - delayed.timestamp >= 300, `started after ${delayed.processedOn - delayed.timestamp} ms`);
  });

  test('its own attempts and backoff decide', async () => {
    const data = { ...(await putText()), fileSize: 1 }; // a wrong size is looked at twice, if the job allows it
    for (const attempts of [1, 2]) {
      const job = await documents.add('process-document', data, { attempts, backoff: { type: 'fixed', delay: 300 } });
      await assert.rejects(job.waitUntilFinished(events, PATIENCE), /^Error: SIZE_MISMATCH: /);
      const failed = await documents.getJob(job.id);
      assert.equal(failed.attemptsMade, attempts);
      assert.equal(failed.stacktrace.length, attempts);
      assert.ok(failed.finishedOn - failed.timestamp >= 300 * (attempts - 1));
    }
  });

  test('removeOnComplete of the job is kept to', async () => {
    const job = await documents.add('process-document', await putText(), { removeOnComplete: true });
    await job.waitUntilFinished(events, PATIENCE);
    assert.equal(await documents.getJob(job.id), undefined);
  });

  test('data that no gateway has checked is checked here', async () => {
    const job = await documents.add('process-document', { documentId: '../../etc/passwd' }, { attempts: 3 });
    await assert.rejects(job.waitUntilFinished(events, PATIENCE), /INVALID_PAYLOAD: /);
    assert.equal((await documents.getJob(job.id)).attemptsMade, 1);
  });

  test('counts and workers agree', async () => {
    const counts = await documents.getJobCounts();
    const { json } = await sluice.client.get(`/api/jobs/stats/${DOCUMENTS}`);
    for (const state of ['waiting', 'active', 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children']) {
      assert.equal(json[state], counts[state], state);
    }
    const workers = await eventually(async () => {
      const found = await documents.getWorkers();
      return found.length ? found : null;
    });
    assert.equal(workers.length, 1);
    assert.match(workers[0].rawname, new RegExp(`^bull:${Buffer.from(DOCUMENTS).toString('base64')}:w:sluice-`));
  });

  test('pausing by Node holds Sluice, and resuming lets it go on', async () => {
    await documents.pause();
    const job = await documents.add('process-document', await putText());
    assert.equal((await sluice.client.get(`/api/jobs/stats/${DOCUMENTS}`)).json.paused, true);
    const other = await sluice.client.post('/api/jobs/document-processing', await putText());
    assert.equal((await sluice.client.get(other.json.statusUrl)).json.state, 'waiting');
    assert.equal(await job.getState(), 'waiting');
    await documents.resume();
    await job.waitUntilFinished(events, PATIENCE);
    await finished(DOCUMENTS, other.json.jobId);
  });

  test('a flow of Node with a child here ends in its Node parent', async () => {
    const flow = keep(new FlowProducer({ connection: redis.connect() }));
    worker('report', async (job) => Object.values(await job.getChildrenValues())[0].words);
    const { job } = await flow.add({ name: 'report', queueName: 'report', data: {}, children: [{ name: 'process-document', queueName: DOCUMENTS, data: await putText() }] });
    const parent = await finished('report', job.id);
    assert.equal(parent.returnvalue, 10);
  });

  test('a scheduler of Node goes on: each job makes its successor', async () => {
    const data = await putText();
    await documents.upsertJobScheduler('often', { every: 200 }, { name: 'process-document', data });
    try {
      const ran = new Set();
      events.on('completed', ({ jobId }) => jobId.startsWith('repeat:often:') && ran.add(jobId));
      await eventually(() => ran.size >= 3, { timeout: PATIENCE, what: 'three runs of the scheduler' });
    } finally {
      await documents.removeJobScheduler('often');
    }
  });
});

test('the metrics tell what BullMQ tells of the same queues', async () => {
  const documents = queue(DOCUMENTS);
  await finished(DOCUMENTS, (await sluice.client.post('/api/jobs/document-processing', await putText())).json.jobId);
  await eventually(async () => { // what the scheduler has left, too
    const { active, waiting, delayed } = await documents.getJobCounts();
    return active + waiting + delayed === 0;
  }, { timeout: PATIENCE, what: 'the end of every job' });
  const own = (await documents.exportPrometheusMetrics()).replaceAll(', ', ',').split('\n').filter((line) => line.startsWith('bullmq_')).sort();
  const { text } = await sluice.client.get('/metrics');
  const ours = text.split('\n').filter((line) => line.startsWith('bullmq_') && line.includes(`queue="${DOCUMENTS}"`)).sort();
  assert.deepEqual(ours, own);
  for (const line of own.filter((candidate) => candidate.startsWith('bullmq_job_count'))) {
    assert.ok(text.includes(line.replace('bullmq_job_count', 'sluice_jobs')), line);
  }
  assert.match(text, new RegExp(`^sluice_queue_workers{queue="${DOCUMENTS}"} 1$`, 'm'));
  assert.match(text, /^sluice_redis_up 1$/m);
});

test('redis-cli reads a job as the guide shows it', async () => {
  const data = await putText();
  const { json } = await sluice.client.post('/api/jobs/document-processing', data);
  await finished(DOCUMENTS, json.jobId);
  assert.match(json.jobId, /^\d+$/);
  const hash = await redis.admin.hgetall(`bull:${DOCUMENTS}:${json.jobId}`);
  assert.equal(hash.name, 'process-document');
  assert.equal(hash.data, JSON.stringify(data));
  const opts = JSON.parse(hash.opts);
  assert.equal(opts.attempts, 3);
  assert.deepEqual(opts.backoff, { type: 'exponential', delay: 2000 });
  assert.equal(hash.atm, '1');
  assert.equal(JSON.parse(hash.returnvalue).status, 'processed');
  assert.ok((await redis.admin.keys('bull:*')).includes(`bull:${DOCUMENTS}:completed`));
});

// How long each of 20 jobs waited for a Node worker that is idle, in ms, the shortest first. It looks for jobs by their markers only.
async function delaysOf(of) {
  const started = new Map();
  const node = worker(of.name, async (job) => started.set(job.id, performance.now()), { drainDelay: 600 });
  await node.waitUntilReady();
  const delays = [];
  for (let i = 0; i < 20; i++) {
    const at = performance.now();
    const probe = await of.add('probe', {});
    delays.push((await eventually(() => started.get(probe.id), { timeout: PATIENCE, interval: 1, what: `probe ${i}` })) - at);
  }
  return delays.toSorted((a, b) => a - b);
}

test('a Node worker beside a busy Sluice starts jobs as soon as one that is alone', async () => {
  const folder = temporaryFolder();
  const queues = [{ name: 'shared', processor: 'document', concurrency: 1, attempts: 1, timeout: 300_000 }];
  writeFileSync(join(folder, 'queues.json'), JSON.stringify({ queues }));
  makeFixtures(folder);
  const busy = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: join(folder, 'queues.json'), SLUICE_DRAIN_GRACE: '1s' } });
  try {
    const spinning = readFileSync(join(folder, 'spin.pdf')); // holds the one slot until a limit ends it
    const documentId = randomUUID();
    assert.equal((await busy.client.put(`/api/documents/${documentId}`, spinning)).status, 201);
    const shared = queue('shared');
    const { id } = await shared.add('process-document', { documentId, userId: 'u', filename: 'spin.pdf', mimeType: 'application/pdf', fileSize: spinning.length });
    await eventually(async () => (await shared.getActiveCount()) === 1, { timeout: PATIENCE, what: 'the job that holds the slot' });
    const alone = await delaysOf(queue('unshared'));
    const delays = await delaysOf(shared);
    await eventually(async () => (await shared.getActiveCount()) === 1, { timeout: PATIENCE, what: 'the last probe done, and the slot held all the while' });
    assert.equal((await shared.getJob(id)).finishedOn, undefined, 'the job that holds the slot is not done');
    // A marker that is kept instead of given back costs the Node worker its job. A busy machine may hold up many probes, not most of them for long.
    assert.ok(delays[9] < alone[9] + 500, `half of the probes started within ${delays[9].toFixed(1)} ms, alone within ${alone[9].toFixed(1)} ms`);
  } finally {
    await busy.stop({ timeout: 60_000 });
  }
});
