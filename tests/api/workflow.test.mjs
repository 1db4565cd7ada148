// The document workflow: three jobs that wait for one another. Processing runs here; the other two steps are BullMQ's own workers, so
// that what they see is what any neighbour sees.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { FlowProducer, UnrecoverableError, Worker } from 'bullmq';
import { declare, eventually, startRedis, startSluice } from './harness/index.mjs';

const ROUTE = '/api/auth/workflow/document-upload';
const QUEUES = ['document-processing', 'compliance-analysis', 'notifications'];
const TEXT = 'The quick brown fox.\nIt jumps over the lazy dog.\n';
const request = { documentId: 'demo-doc-123', filename: 'sample.pdf', mimeType: 'application/pdf', fileSize: 1_024_000 };

function assertProblem(answer, status, code) {
  assert.equal(answer.status, status, answer.text);
  assert.equal(answer.json.code, code, answer.text);
}

describe('a document workflow that nobody works on', () => {
  let redis, sluice, producer, rival;
  const payload = { type: 'object', properties: { complianceFrameworks: { type: 'array', items: { enum: ['GDPR', 'SOX'] } } } };
  before(async () => {
    redis = await startRedis();
    sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare({ name: 'compliance-analysis', maxWaiting: 1, payload }) } });
    producer = sluice.as({ roles: ['producer'], sub: 'ada', org: 'acme' });
    rival = sluice.as({ roles: ['producer'], sub: 'ada', org: 'rival' });
  });
  after(async () => {
    await sluice.stop();
    await redis.stop();
  });
  const post = (more = {}, { as = producer, ...options } = {}) => as.post(ROUTE, { ...request, ...more }, options);
  const jobsOf = async ({ jobs }, as = producer) =>
    Promise.all(QUEUES.map(async (queue) => (await as.get(`/api/jobs/status/${queue}/${jobs[queue]}`)).json));

  test('is answered with its last job and the id of each', async () => {
    const { status, json, headers } = await post();
    assert.equal(status, 201);
    assert.deepEqual(Object.keys(json.jobs), QUEUES);
    const statusUrl = `/api/jobs/status/notifications/${json.jobId}`;
    assert.deepEqual(json, { jobId: json.jobs.notifications, queue: 'notifications', statusUrl, jobs: json.jobs });
    assert.equal(headers.location, statusUrl);
    await sluice.logged('audit', { action: 'workflow.create', target: `notifications/${json.jobId}` });
  });

  test('waits from end to beginning, each job for the one before', async () => {
    const { json } = await post();
    const [document, analysis, notification] = await jobsOf(json);
    assert.deepEqual([document.state, analysis.state, notification.state], ['waiting', 'waiting-children', 'waiting-children']);
    assert.deepEqual(document.parent, { id: analysis.id, queue: 'compliance-analysis' });
    assert.deepEqual(analysis.parent, { id: notification.id, queue: 'notifications' });
    assert.equal(notification.parent, null);
    assert.equal(document.opts.failParentOnFailure, true);
    assert.equal(analysis.opts.continueParentOnFailure, true);
    assert.deepEqual([document, analysis, notification].map((job) => [job.name, job.attempts, job.org, job.submittedBy]), [
      ['process-document', 3, 'acme', 'ada'], ['analyze-compliance', 3, 'acme', 'ada'], ['send-notification', 5, 'acme', 'ada'],
    ]);
  });

  test('fills in what the request leaves out: the caller, all frameworks, an e-mail', async () => {
    const [document, analysis, notification] = await jobsOf((await post()).json);
    assert.deepEqual(document.data, { ...request, userId: 'ada' });
    assert.deepEqual(analysis.data, { documentId: 'demo-doc-123', userId: 'ada', mimeType: 'application/pdf', documentPath: '/documents/demo-doc-123', complianceFrameworks: [] });
    assert.deepEqual(
      { ...notification.data, subject: null, message: null }, { userId: 'ada', type: 'email', subject: null, message: null });
    assert.match(notification.data.message, /sample\.pdf.*demo-doc-123/);
    assert.ok(notification.data.subject.length > 0);
  });

  test('takes each of them from the request', async () => {
    const own = { userId: 'u-7', complianceFrameworks: ['GDPR'], type: 'slack', subject: 'Größe "XL"', message: 'Ready.', metadata: { case: 7 } };
    const [document, analysis, notification] = await jobsOf((await post(own)).json);
    assert.deepEqual(document.data, { ...request, userId: 'u-7', metadata: own.metadata });
    assert.deepEqual([analysis.data.userId, analysis.data.complianceFrameworks, analysis.data.metadata], ['u-7', ['GDPR'], own.metadata]);
    assert.deepEqual(notification.data, { userId: 'u-7', type: 'slack', subject: own.subject, message: own.message, metadata: own.metadata });
  });

  test('says every fault at once, also what only a queue knows', async () => {
    const wrong = await producer.post(ROUTE, { documentId: '../x', filename: 'a/b', fileSize: -1, surprise: 1 });
    assertProblem(wrong, 400, 'validation-failed');
    assert.deepEqual(wrong.json.errors.map((e) => e.pointer).sort(), ['/documentId', '/fileSize', '/filename', '/mimeType', '/surprise']);
    const unknown = await post({ type: 'pigeon' });
    assertProblem(unknown, 400, 'validation-failed');
    assert.deepEqual(unknown.json.errors.map((e) => e.pointer), ['/type']);
    const foreign = await post({ complianceFrameworks: ['GDPR', 'HOUSE-RULES'] });
    assertProblem(foreign, 400, 'validation-failed');
    assertProblem(await producer.post(`${ROUTE}?delay=60000`, request), 400, 'validation-failed');
    assert.deepEqual(foreign.json.errors.map((e) => e.pointer), ['/complianceFrameworks/1']);
  });

  test('is for producers of the organization', async () => {
    assertProblem(await post({}, { as: sluice.as({ roles: ['viewer'] }) }), 403, 'forbidden');
    assertProblem(await post({}, { as: sluice.client.as(null) }), 401, 'unauthorized');
    const { json } = await post();
    for (const job of await jobsOf(json, rival)) assert.equal(job.code, 'not-found');
  });

  test('is made once under an Idempotency-Key', async () => {
    const keyed = { headers: { 'idempotency-key': 'upload-1' } };
    const first = await post({}, keyed);
    const before = await redis.admin.dbsize();
    const answers = await Promise.all(Array.from({ length: 8 }, () => post({}, keyed)));
    for (const again of answers) {
      assert.equal(again.status, 201);
      assert.equal(again.headers['idempotent-replayed'], 'true');
      assert.deepEqual(again.json, first.json);
    }
    assertProblem(await post({ fileSize: 1 }, keyed), 422, 'idempotency-key-reused');
    assert.equal(await redis.admin.dbsize(), before);
    const theirs = await post({}, { as: rival, ...keyed });
    assert.equal(theirs.headers['idempotent-replayed'], undefined);
    assert.notEqual(theirs.json.jobId, first.json.jobId);
  });

  test('is refused as a whole when one of its queues is full', async () => {
    await sluice.client.post('/api/jobs/compliance-analysis', { documentId: 'd', userId: 'u', documentPath: '/documents/d', mimeType: 'text/plain', complianceFrameworks: ['GDPR'] });
    const before = await redis.admin.dbsize();
    assertProblem(await post(), 503, 'queue-full');
    assert.equal(await redis.admin.dbsize(), before);
  });
});

describe('a document workflow beside BullMQ workers', () => {
  let redis, sluice, analyst;
  const told = []; // what the notifying worker saw
  const workers = [];
  before(async () => {
    redis = await startRedis({ tcp: true, args: ['--maxmemory-policy', 'noeviction'] });
    const elsewhere = ['compliance-analysis', 'notifications'].map((name) => ({ name, processor: 'none' }));
    sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare(...elsewhere) } });
    analyst = async (job) => ({ controls: 4, words: Object.values(await job.getChildrenValues())[0].words });
    const work = (name, run) => workers.push(new Worker(name, run, { connection: redis.connect() }));
    work('compliance-analysis', (job) => analyst(job));
    work('notifications', async (job) => {
      told.push({ id: job.id, values: Object.values(await job.getChildrenValues()), failures: Object.values(await job.getIgnoredChildrenFailures()) });
      return 'told';
    });
  });
  after(async () => {
    for (const worker of workers) await worker.close();
    await sluice.stop();
    await redis.stop();
  });

  const upload = async (bytes, mimeType) => {
    const documentId = randomUUID();
    assert.equal((await sluice.client.put(`/api/documents/${documentId}`, bytes)).status, 201);
    return { documentId, filename: 'fox.txt', mimeType, fileSize: Buffer.byteLength(bytes) };
  };
  const start = async (body) => {
    const { status, json, text } = await sluice.client.post(ROUTE, body);
    assert.equal(status, 201, text);
    return json;
  };
  const ended = ({ jobs }) =>
    eventually(async () => {
      const states = await Promise.all(QUEUES.map(async (queue) => (await sluice.client.get(`/api/jobs/status/${queue}/${jobs[queue]}`)).json));
      return states.every((job) => job.state === 'completed' || job.state === 'failed') ? states : null;
    }, { what: 'the end of the workflow' });
  const toldOf = ({ jobId }) => told.filter((each) => each.id === jobId);

  test('ends with three completed jobs, and each knew the result before it', async () => {
    const workflow = await start(await upload(TEXT, 'text/plain'));
    const [document, analysis, notification] = await ended(workflow);
    assert.deepEqual([document.state, analysis.state, notification.state], ['completed', 'completed', 'completed']);
    assert.deepEqual(analysis.returnvalue, { controls: 4, words: 10 });
    assert.deepEqual(toldOf(workflow), [{ id: workflow.jobId, values: [analysis.returnvalue], failures: [] }]);
  });

  test('whose document is broken fails before the analysis, and the notification knows', async () => {
    const workflow = await start(await upload('%PDF-1.7\nthis is no document\n', 'application/pdf'));
    const [document, analysis, notification] = await ended(workflow);
    assert.deepEqual([document.state, analysis.state, notification.state], ['failed', 'failed', 'completed']);
    assert.match(document.failedReason, /^[A-Z_]+: /);
    assert.equal(analysis.failedReason, `child bull:document-processing:${document.id} failed`);
    assert.deepEqual(toldOf(workflow), [{ id: workflow.jobId, values: [], failures: [analysis.failedReason] }]);
  });

  test('whose analysis fails is announced, too', async () => {
    const reliable = analyst;
    analyst = async () => {
      throw new UnrecoverableError('RULES_UNREADABLE: the rules are gone');
    };
    const workflow = await start(await upload(TEXT, 'text/plain'));
    const [document, analysis, notification] = await ended(workflow);
    analyst = reliable;
    assert.deepEqual([document.state, analysis.state, notification.state], ['completed', 'failed', 'completed']);
    assert.deepEqual(toldOf(workflow)[0].failures, ['RULES_UNREADABLE: the rules are gone']);
  });

  test('is a flow to FlowProducer', async () => {
    const workflow = await start(await upload(TEXT, 'text/plain'));
    const producer = new FlowProducer({ connection: redis.connect() });
    const seen = [];
    for (let node = await producer.getFlow({ id: workflow.jobId, queueName: 'notifications' }); node; [node] = node.children ?? []) seen.push([node.job.queueName, node.job.id]);
    await ended(workflow);
    await producer.close();
    assert.deepEqual(seen.reverse(), QUEUES.map((queue) => [queue, workflow.jobs[queue]]));
  });
});
