// Documents through a Redis that others share: what the official client sees of them, and bad ones beside good ones.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Queue, QueueEvents } from 'bullmq';
import { makeFixtures } from '../fixtures/make-fixtures.mjs';
import { documentJob, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

const PDF = 'application/pdf';

describe('documents through an external Redis', () => {
  const folder = temporaryFolder('fixtures');
  let redis;
  let sluice;
  let producer;
  let events;
  const progress = new Map(); // job id -> what was reported, in order
  before(async () => {
    makeFixtures(folder);
    redis = await startRedis({ tcp: true });
    sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_DOC_TOOL_TIMEOUT: '3s' } });
    producer = sluice.as({ roles: ['producer'], sub: 'files', org: 'acme' });
    events = new QueueEvents('document-processing', { connection: redis.connect() });
    events.on('progress', ({ jobId, data }) => progress.set(jobId, [...(progress.get(jobId) ?? []), data]));
    await events.waitUntilReady();
  });
  after(async () => {
    await events.close();
    await sluice.stop();
    await redis.stop();
  });

  // Uploads the fixture and submits a job for it; gives the address of its status.
  async function submit(name, { id = name, mimeType = PDF, fileSize } = {}) {
    const bytes = readFileSync(join(folder, name));
    const stored = await producer.put(`/api/documents/${id}`, bytes, { headers: { 'content-type': 'application/octet-stream' } });
    assert.ok([200, 201].includes(stored.status), stored.text);
    const created = await producer.post('/api/jobs/document-processing', {
      ...documentJob, documentId: id, filename: name, mimeType, fileSize: fileSize ?? bytes.length,
    });
    assert.equal(created.status, 201, created.text);
    return created.json.statusUrl;
  }

  async function ended(url) {
    const { json } = await producer.get(url, { headers: { prefer: 'wait=30' } });
    assert.ok(['completed', 'failed'].includes(json.state), JSON.stringify(json));
    return json;
  }

  test('a PDF of twelve pages is polled once, and its result says where the text is', async () => {
    const job = await ended(await submit('sample.pdf', { id: documentJob.documentId, fileSize: documentJob.fileSize }));
    assert.equal(job.state, 'completed', job.failedReason);
    assert.equal(job.returnvalue.pages, 12);
    assert.equal(job.returnvalue.text.href, `/api/documents/${documentJob.documentId}/text`);
    assert.match((await producer.get(job.returnvalue.text.href)).text, /^Page 1, line 1: the harbour/m);
  });

  test('the official client sees the same job, and every step of its progress in order', async () => {
    const url = await submit('small.pdf');
    const { id, returnvalue } = await ended(url);
    const queue = new Queue('document-processing', { connection: redis.connect() });
    const job = await queue.getJob(id);
    assert.equal(await job.getState(), 'completed');
    assert.deepEqual(job.returnvalue, returnvalue);
    assert.equal(job.name, 'process-document');
    await queue.close();
    const steps = progress.get(id);
    assert.deepEqual(steps[0], { pct: 0, step: 'received' });
    assert.deepEqual(steps.at(-1), { pct: 100, step: 'done' });
    assert.deepEqual(steps.map(({ pct }) => pct), steps.map(({ pct }) => pct).sort((a, b) => a - b), 'it never goes back');
  });

  for (const [what, name, options, code, attempts] of [
    ['an empty one', 'empty.pdf', {}, 'EMPTY_FILE', 1],
    ['one that is smaller than declared', 'small.pdf', { id: 'lie', fileSize: 1_000_000 }, 'SIZE_MISMATCH', 2],
    ['one with a billion pages', 'page-count.pdf', {}, 'CORRUPT', 1],
    ['one that is a web page', 'page.pdf', {}, 'FORBIDDEN_TYPE', 1],
    ['one that is noise', 'noise.pdf', {}, 'MIME_MISMATCH', 1],
    ['an archive that bursts', 'burst.docx', { mimeType: 'application/vnd.openxmlformats-officedocument.wordprocessingml.document' }, 'ARCHIVE_BOMB', 1],
  ]) {
    test(`${what} ends as ${code} after ${attempts} attempt(s)`, async () => {
      const job = await ended(await submit(name, options));
        assert.equal(job.state, 'failed');
      assert.match(job.failedReason, new RegExp(`^${code}: `));
      assert.equal(job.attemptsMade, attempts);
    });
  }

  test('one whose references run in a circle is repaired, and says so', async () => {
    const job = await ended(await submit('xref-loop.pdf'));
    assert.equal(job.state, 'completed');
    assert.ok(JSON.stringify(job.returnvalue.warnings).includes('REPAIRED'), JSON.stringify(job.returnvalue.warnings));
  });

  test('one that would never end is cut off, while the good ones beside it go on', async () => {
    const spinning = await submit('spin.pdf');
    const good = await Promise.all([0, 1, 2].map((i) => submit('utf8.txt', { id: `good-${i}`, mimeType: 'text/plain' })));
    for (const url of good) assert.equal((await ended(url)).state, 'completed');
    assert.notEqual((await producer.get(spinning)).json.state, 'completed');
    const job = await ended(spinning);
    assert.match(job.failedReason, /^PARSE_(TIMEOUT|RESOURCE_LIMIT): /);
    assert.ok(progress.get(job.id).some(({ step }) => step === 'extracting-text'), 'its progress said where it hung');
  });
});
