// Documents from upload to text, over HTTP: honest ones, late ones, and those that must come to a named end without hurting anybody.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Redis } from 'ioredis';
import { makeFixtures } from '../fixtures/make-fixtures.mjs';
import { eventually, startSluice, temporaryFolder } from './harness/index.mjs';

const folder = temporaryFolder('fixtures');
const bytesOf = (name) => readFileSync(join(folder, name));

// Is this process the helper of that server?
function isReader(pid, server) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0').includes(`--parent=${server}`);
  } catch {
    return false; // it has just ended
  }
}

describe('document processing', () => {
  let sluice;
  let producer;
  before(async () => {
    makeFixtures(folder);
    sluice = await startSluice();
    producer = sluice.as({ roles: ['producer'], sub: 'files', org: 'acme' });
  });
  after(() => sluice.stop());

  const upload = (id, bytes) => producer.put(`/api/documents/${id}`, bytes, { headers: { 'content-type': 'application/octet-stream' } });

  async function submit(id, name, bytes, mimeType) {
    const answer = await producer.post('/api/jobs/document-processing', {
      documentId: id, userId: 'u1', filename: name, mimeType, fileSize: bytes.length,
    });
    assert.equal(answer.status, 201, answer.text);
    return answer.json.statusUrl;
  }

  const finished = (url) =>
    eventually(async () => {
      const { json } = await producer.get(url);
      return ['completed', 'failed'].includes(json.state) && json;
    }, { timeout: 60_000, what: `the end of ${url}` });

  async function processed(name, mimeType) {
    const bytes = bytesOf(name);
    assert.equal((await upload(name, bytes)).status, 201);
    return finished(await submit(name, name, bytes, mimeType));
  }

  test('a PDF becomes text, counts and metadata', async () => {
    const { state, returnvalue: found, progress } = await processed('sample.pdf', 'application/pdf');
    assert.equal(state, 'completed');
    assert.deepEqual(progress, { pct: 100, step: 'done' });
    assert.equal(found.size, 1024000);
    assert.equal(found.pages, 12);
    assert.equal(found.mime.verdict, 'match');
    assert.equal(found.metadata.title, 'Sample');
    assert.match(found.sha256, /^[0-9a-f]{64}$/);
    assert.match(found.sandbox, /seccomp/);
    const text = await producer.get(found.text.href);
    assert.equal(text.status, 200);
    assert.equal(text.bytes.length, found.text.bytes);
    assert.match(text.text, /^Page 12, line 40: the harbour/m);
  });

  test('its text is its organization\'s own', async () => {
    const other = sluice.as({ roles: ['producer'], org: 'rival' });
    assert.equal((await other.get('/api/documents/sample.pdf/text')).status, 404);
  });

  test('text in any encoding becomes UTF-8', async () => {
    const { returnvalue: found } = await processed('utf16le.txt', 'text/plain; charset=utf-16');
    assert.equal(found.text.source, 'UTF-16LE');
    assert.match((await producer.get(found.text.href)).text, /^Zürich, 5 März: the café/);
  });

  for (const [name, code] of [
    ['encrypted.pdf', 'ENCRYPTED'], ['truncated.pdf', 'CORRUPT'], ['elf.pdf', 'FORBIDDEN_TYPE'], ['memory.pdf', 'PARSE_RESOURCE_LIMIT'],
    ['utf8.txt', 'MIME_MISMATCH'],
  ]) {
    test(`${name} ends as ${code}, at once`, async () => {
      const job = await processed(name, 'application/pdf');
      assert.equal(job.state, 'failed');
      assert.equal(job.failedReason.split(':')[0], code);
      assert.equal(job.attemptsMade, 1);
      assert.ok(!job.failedReason.includes(sluice.dataDir));
    });
  }

  test('a job whose document comes late is tried at about 0, 2 and 6 seconds, and completes', async () => {
    const bytes = bytesOf('small.pdf');
    const url = await submit('late', 'small.pdf', bytes, 'application/pdf');
    await eventually(async () => (await producer.get(url)).json.attemptsMade === 2, { what: 'two failed attempts' });
    assert.equal((await upload('late', bytes)).status, 201);
    const job = await finished(url);
    assert.equal(job.state, 'completed');
    assert.equal(job.attemptsMade, 3);
    const ran = sluice.logs.filter((entry) => entry.event === 'job_active' && entry.jobId === job.id).map((entry) => Date.parse(entry.ts));
    assert.equal(ran.length, 3);
    const store = new Redis({ path: join(sluice.dataDir, 'redis.sock') });
    const delays = (await store.xrange('bull:document-processing:events', '-', '+')).flatMap(([id, fields]) => {
      const { event, jobId, delay } = Object.fromEntries(fields.flatMap((value, i) => (i % 2 ? [] : [[value, fields[i + 1]]])));
      return event === 'delayed' && jobId === job.id ? [{ at: Number(id.split('-')[0]), due: Number(delay) }] : [];
    });
    store.disconnect();
    assert.equal(delays.length, 2);
    for (const [i, backoff] of [2000, 4000].entries()) {
      const { at, due } = delays[i]; // it was reckoned between the attempt's beginning and its end
      assert.ok(due >= ran[i] + backoff - 5 && due <= at + backoff, `attempt ${i + 2} is due ${due - ran[i]} ms after the one before`);
      assert.ok(ran[i + 1] >= due - 5 && ran[i + 1] < due + 10_000, `attempt ${i + 2} ran ${ran[i + 1] - due} ms after it was due`);
    }
  });
});

test('a server that stops takes along the reader of a document that would never end', async () => {
  makeFixtures(folder);
  const sluice = await startSluice({ env: { SLUICE_DOC_TOOL_TIMEOUT: '10m', SLUICE_DOC_TOOL_CPU: '10m', SLUICE_DRAIN_GRACE: '200ms' } });
  const bytes = bytesOf('spin.pdf');
  await sluice.client.put('/api/documents/spin', bytes, { headers: { 'content-type': 'application/octet-stream' } });
  await sluice.client.post('/api/jobs/document-processing', {
    documentId: 'spin', userId: 'u1', filename: 'spin.pdf', mimeType: 'application/pdf', fileSize: bytes.length,
  });
  const reading = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && isReader(pid, sluice.child.pid));
  await eventually(() => reading().length > 0, { what: 'a running helper' });
  await sluice.stop();
  await eventually(() => reading().length === 0, { what: 'the end of the helper' });
});
