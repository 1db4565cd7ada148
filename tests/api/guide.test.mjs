// The integration guide that Sluice began with, request by request, against the program as `make run` starts it and with the token that it prints.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FlowProducer } from 'bullmq';
import { ROOT, SLUICE, eventually, startSluice } from './harness/index.mjs';

const QUEUES = ['document-processing', 'compliance-analysis', 'notifications'];
const WORKFLOW = '/api/auth/workflow/document-upload';

// The bodies are the guide's own.
const CREATIONS = [
  ['/api/jobs/document-processing', 'process-document', { documentId: 'uuid', userId: 'uuid', filename: 'document.pdf', mimeType: 'application/pdf', fileSize: 1024000 }],
  ['/api/jobs/notifications', 'send-notification', { userId: 'uuid', type: 'email', subject: 'Document Processed', message: 'Your document has been processed' }],
  ['/api/jobs/compliance-analysis', 'analyze-compliance', {
    documentId: 'uuid', userId: 'uuid', documentPath: '/documents/doc.pdf', mimeType: 'application/pdf', complianceFrameworks: ['GDPR', 'SOX'],
  }],
];
const DEMO = { documentId: 'demo-doc-123', filename: 'sample.pdf', mimeType: 'application/pdf', fileSize: 1024000 };
// attempts, first delay of the exponential backoff, completed and failed jobs kept
const POLICIES = { 'document-processing': [3, 2000, 100, 50], notifications: [5, 1000, 100, 50], 'compliance-analysis': [3, 5000, 50, 25] };

describe('the guide', () => {
  let sluice, client, redis, printed;
  before(async () => {
    sluice = await startSluice({ program: ['bash', '-c', `shift; exec "${join(ROOT, 'gateway/run-dev.sh')}" "$@"`, 'run'], env: { SLUICE_BIN: SLUICE } });
    printed = await eventually(() => {
      const text = sluice.child.lines.join('\n');
      return /redis-cli .*/.test(text) ? text : null;
    }, { what: 'the page that says how to use it' });
    client = sluice.client.as(/^\s+(ey[\w-]+\.[\w-]+\.[\w-]+)$/m.exec(printed)[1]);
    const [, password, host, port] = /REDISCLI_AUTH=(\S+) redis-cli -h (\S+) -p (\d+)/.exec(printed);
    redis = { password, host, port: Number(port) };
  });
  after(() => sluice.stop());

  const cli = (...words) => execFileSync('redis-cli', ['-h', redis.host, '-p', String(redis.port), ...words], { env: { ...process.env, REDISCLI_AUTH: redis.password }, encoding: 'utf8' }).trim().split('\n');
  const statusOf = async (queue, id) => (await client.get(`/api/jobs/status/${queue}/${id}`)).json;
  const ended = ({ jobs }) =>
    eventually(async () => {
      const states = await Promise.all(QUEUES.map((queue) => statusOf(queue, jobs[queue])));
      return states.every((job) => job.state === 'completed' || job.state === 'failed') ? states : null;
    }, { what: 'the end of the workflow', timeout: 30_000 });

  for (const [path, name, body] of CREATIONS) {
    test(`POST ${path} makes a job with the guide's retries and retention, and its status is there`, async () => {
      const queue = path.split('/').at(-1);
      const { status, json } = await client.post(path, body);
      assert.equal(status, 201, JSON.stringify(json));
      const job = await statusOf(queue, json.jobId);
      assert.equal(job.name, name);
      assert.deepEqual(job.data, body);
      const [attempts, delay, completed, failed] = POLICIES[queue];
      assert.equal(job.attempts, attempts);
      assert.deepEqual(job.opts.backoff, { type: 'exponential', delay });
      assert.deepEqual([job.opts.removeOnComplete.count, job.opts.removeOnFail.count], [completed, failed]);
    });

    test(`GET /api/jobs/stats/${path.split('/').at(-1)} has the number that the guide's Python service reads`, async () => {
      const { status, json } = await client.get(`/api/jobs/stats/${path.split('/').at(-1)}`);
      assert.equal(status, 200);
      assert.equal(typeof json.waiting, 'number');
    });
  }

  test('GET /api/jobs/stats is for administrators', async () => {
    const { status, json } = await client.get('/api/jobs/stats');
    assert.equal(status, 200);
    for (const queue of QUEUES) assert.equal(typeof json.queues[queue].waiting, 'number');
    assert.equal((await sluice.as({ roles: ['producer'] }).get('/api/jobs/stats')).status, 403);
  });

  test('the Redis commands find the queues and the job', async () => {
    const { json } = await client.post(...CREATIONS[0].filter((_, i) => i !== 1));
    assert.ok(cli('KEYS', 'bull:*').includes(`bull:document-processing:${json.jobId}`));
    for (const list of ['wait', 'active']) assert.match(cli('LLEN', `bull:document-processing:${list}`)[0], /^\d+$/);
    for (const set of ['completed', 'failed']) assert.match(cli('ZCARD', `bull:document-processing:${set}`)[0], /^\d+$/);
    assert.ok(cli('HGETALL', `bull:document-processing:${json.jobId}`).includes('process-document'));
  });

  test('the demo document is there', async () => {
    const { status, headers } = await client.get(`/api/documents/${DEMO.documentId}`);
    assert.equal(status, 200);
    assert.equal(headers['content-length'], '1024000');
  });

  // The messages of the dry run that a test's own steps wrote.
  const outbox = () => readdirSync(join(sluice.dataDir, 'outbox'));
  const newMessages = async (steps) => {
    const before = new Set(outbox());
    const result = await steps();
    const added = outbox().filter((name) => !before.has(name));
    return { result, messages: added.map((name) => readFileSync(join(sluice.dataDir, 'outbox', name), 'utf8')) };
  };
  const run = async (body) => {
    const { status, json, text } = await client.post(WORKFLOW, body);
    assert.equal(status, 201, text);
    return ended(json);
  };

  test('the workflow ends with three completed jobs and one message that says what became of the document', async () => {
    const { result, messages } = await newMessages(() => run(DEMO));
    assert.deepEqual(result.map((job) => [job.state, job.failedReason]), QUEUES.map(() => ['completed', null]));
    const [document, analysis] = result;
    assert.equal(document.returnvalue.pages, 2);
    assert.ok(analysis.returnvalue.frameworks.length >= 4, 'all frameworks were asked');
    assert.equal(messages.length, 1);
    assert.match(messages[0], /sample\.pdf/);
    assert.match(messages[0], /Document processed: 2 pages/);
    assert.match(messages[0], /Compliance analysed/);
  });

  test('the workflow of a broken document ends with one message that says so', async () => {
    const bytes = '%PDF-1.7\nthis is no document\n';
    assert.equal((await client.put('/api/documents/broken-1', bytes)).status, 201);
    const { result, messages } = await newMessages(() => run({ ...DEMO, documentId: 'broken-1', fileSize: bytes.length }));
    assert.deepEqual(result.map((job) => job.state), ['failed', 'failed', 'completed']);
    assert.equal(messages.length, 1);
    const said = messages[0].replaceAll(/=\r?\n/g, '');
    assert.match(said, /Document not processed: [A-Z_]+: /);
    assert.match(said, /Compliance not analysed/);
    assert.doesNotMatch(said, /bull:/, 'keys of Redis are not for users');
  });

  test('the same workflow, made by a BullMQ program on the Redis that is printed, runs here, too', async () => {
    const producer = new FlowProducer({ connection: redis });
    const document = { ...DEMO, userId: 'node' };
    const { result, messages } = await newMessages(async () => {
      const node = await producer.add({
        name: 'send-notification', queueName: 'notifications', data: { userId: 'node', type: 'email', subject: 'Done', message: 'Made in Node.' },
        children: [{
          name: 'analyze-compliance', queueName: 'compliance-analysis', opts: { continueParentOnFailure: true },
          data: { documentId: DEMO.documentId, userId: 'node', documentPath: '/documents/demo-doc-123', mimeType: DEMO.mimeType, complianceFrameworks: ['GDPR'] },
          children: [{ name: 'process-document', queueName: 'document-processing', data: document, opts: { failParentOnFailure: true } }],
        }],
      });
      const [analysis] = node.children;
      return ended({ jobs: { notifications: node.job.id, 'compliance-analysis': analysis.job.id, 'document-processing': analysis.children[0].job.id } });
    });
    await producer.close();
    assert.deepEqual(result.map((job) => [job.state, job.failedReason]), QUEUES.map(() => ['completed', null]));
    assert.deepEqual(result.map((job) => job.parent?.queue ?? null), ['compliance-analysis', 'notifications', null]);
    assert.equal(messages.length, 1);
    assert.match(messages[0], /Made in Node\.[^]*Document processed: 2 pages/);
  });
});
