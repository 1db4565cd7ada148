// Documents: bytes in, the same bytes out; nobody else's, nowhere else, whole or not at all.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, before, describe, test } from 'node:test';
import { eventually, sendRaw, startSluice, temporaryFolder } from './harness/index.mjs';

const LIMIT = 200_000;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');
const OCTETS = { 'content-type': 'application/octet-stream' };

// Every file and folder below the folder, hidden ones too.
function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

describe('documents', () => {
  let sluice;
  let producer;
  let rival;
  let store;
  before(async () => {
    sluice = await startSluice({ args: ['--role=api'], env: { SLUICE_DOC_MAX_BYTES: String(LIMIT) } });
    store = join(sluice.dataDir, 'documents');
    producer = sluice.as({ roles: ['producer'], sub: 'files', org: 'acme' });
    rival = sluice.as({ roles: ['producer'], sub: 'files', org: 'rival' });
  });
  after(() => sluice.stop());

  const put = (id, body, headers = {}, client = producer) => client.put(`/api/documents/${id}`, body, { headers: { ...OCTETS, ...headers } });
  const get = (id, options) => producer.get(`/api/documents/${id}`, options);

  describe('put', () => {
    test('a new one is 201, with its size, its hash and its address', async () => {
      const bytes = Buffer.from([0, 1, 2, 255, 13, 10]);
      const { status, json, headers } = await put('new', bytes);
      assert.equal(status, 201);
      assert.deepEqual(json, { documentId: 'new', bytes: 6, sha256: sha256(bytes), created: true });
      assert.equal(headers.location, '/api/documents/new');
      assert.equal(headers.etag, `"${sha256(bytes)}"`);
      assert.deepEqual((await get('new')).bytes, bytes);
    });

    test('the same bytes again are 200', async () => {
      await put('same', 'abc');
      const { status, json } = await put('same', 'abc');
      assert.deepEqual([status, json.created], [200, false]);
    });

    test('other bytes are 409, and the first ones stay', async () => {
      await put('other', 'first');
      const { status, json } = await put('other', 'second');
      assert.deepEqual([status, json.code], [409, 'document-exists']);
      assert.equal((await get('other')).text, 'first');
    });

    test('If-Match: * replaces whatever is there, and makes nothing new', async () => {
      assert.equal((await put('whatever', 'first')).status, 201);
      assert.equal((await put('whatever', 'second', { 'if-match': '*' })).status, 200);
      assert.equal((await get('whatever')).text, 'second');
      assert.equal((await put('not-yet', 'x', { 'if-match': '*' })).status, 412);
      assert.equal((await put('whatever', 'third', { 'if-match': 'no-tag' })).status, 412);
      assert.equal((await get('whatever')).text, 'second');
    });

    test('other bytes replace the ones that If-Match names, and only those', async () => {
      const { headers: { etag } } = await put('replaced', 'first');
      assert.equal((await put('replaced', 'second', { 'if-match': '"0000"' })).json.code, 'precondition-failed');
      assert.equal((await get('replaced')).text, 'first');
      assert.equal((await put('replaced', 'second', { 'if-match': etag })).status, 200);
      assert.equal((await get('replaced')).text, 'second');
      assert.equal((await put('never-there', 'x', { 'if-match': etag })).status, 412);
      assert.equal((await get('never-there')).status, 404);
    });

    test('an empty one is a document, too', async () => {
      assert.equal((await put('empty', '')).status, 201);
      const { status, bytes, headers } = await get('empty');
      assert.deepEqual([status, bytes.length, headers['content-length']], [200, 0, '0']);
    });

    test('a chunked upload is stored whole', async () => {
      const bytes = Buffer.alloc(150_000, 'chunk');
      const { status, json } = await put('chunked', Readable.from([bytes.subarray(0, 1), bytes.subarray(1, 70_000), bytes.subarray(70_000)]));
      assert.deepEqual([status, json.sha256], [201, sha256(bytes)]);
    });

    test('many of the same id at once leave one of them whole', async () => {
      const bodies = Array.from({ length: 12 }, (_, i) => Buffer.alloc(50_000, `${i}-`));
      const answers = await Promise.all(bodies.map((body) => put('race', body)));
      assert.equal(answers.filter(({ status }) => status === 201).length, 1);
      assert.equal(answers.filter(({ status }) => status === 409).length, 11);
      assert.ok(bodies.some((body) => body.equals(readFileSync(join(store, 'acme', 'race')))));
    });

    test('one of the largest size is taken', async () => {
      assert.equal((await put('largest', Buffer.alloc(LIMIT, 1))).status, 201);
    });

    test('one byte more is 413 before a byte of it is sent, and closes', async () => {
      const { responses, closed } = await sendRaw(sluice.port, `PUT /api/documents/big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${producer.token}\r\n`
        + `Content-Type: application/octet-stream\r\nExpect: 100-continue\r\nContent-Length: ${LIMIT + 1}\r\n\r\n`);
      assert.deepEqual(responses.map(({ status }) => status), [413]);
      assert.equal(responses[0].json.code, 'too-large');
      assert.ok(closed);
    });

    test('a chunked one that grows too large is 413, and nothing of it stays', async () => {
      const chunk = `10000\r\n${'x'.repeat(0x10000)}\r\n`;
      const { responses } = await sendRaw(sluice.port, [`PUT /api/documents/grows HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${producer.token}\r\n`
        + 'Transfer-Encoding: chunked\r\n\r\n', ...Array(5).fill(chunk)], { enough: (seen) => seen.length > 0 });
      assert.equal(responses[0].status, 413);
      assert.equal((await get('grows')).status, 404);
    });

    for (const [how, head, body] of [
      ['breaks off', 'Content-Length: 1000', 'only this'],
      ['breaks off in a chunk', 'Transfer-Encoding: chunked', '64\r\nonly this'],
      ['breaks off before the last chunk', 'Transfer-Encoding: chunked', '4\r\nthis\r\n'],
      ['has a chunk that is none', 'Transfer-Encoding: chunked', '4\r\nthisXX4\r\nthat\r\n0\r\n\r\n'],
    ]) {
      test(`an upload that ${how} leaves nothing`, async () => {
        const before = filesIn(store).length;
        const from = sluice.logs.length;
        const half = `PUT /api/documents/broken HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${producer.token}\r\n${head}\r\n\r\n${body}`;
        // Nothing more comes: the client is gone as soon as its bytes are read.
        const read = () => eventually(() => filesIn(store).length > before || sluice.logs.length > from, { what: 'the beginning of the request' });
        await sendRaw(sluice.port, [half, read], { timeout: 20_000, leave: true });
        await eventually(() => sluice.logs.slice(from).find((entry) => entry.event === 'http_request' && entry.status >= 400), { what: 'the end of the request' });
        assert.equal((await get('broken')).status, 404);
        await eventually(() => filesIn(store).length === before, { what: 'no part of it left' });
      });
    }

    test('a coded body is refused', async () => {
      assert.equal((await put('coded', 'x', { 'content-encoding': 'gzip' })).status, 415);
    });
  });

  describe('get', () => {
    test('the head of a HEAD is that of a GET', async () => {
      await put('head', 'twelve bytes');
      const [whole, head] = [await get('head'), await producer.request('HEAD', '/api/documents/head')];
      for (const name of ['content-length', 'content-type', 'etag', 'content-disposition']) assert.equal(head.headers[name], whole.headers[name]);
      assert.equal(head.text, '');
      assert.equal(whole.headers['content-length'], '12');
    });

    test('the ETag that is known gives 304', async () => {
      const { headers: { etag } } = await put('tagged', 'abc');
      const { status, text } = await get('tagged', { headers: { 'if-none-match': `"other", W/${etag}` } });
      assert.deepEqual([status, text], [304, '']);
    });

    test('a browser is told to save it and not to guess', async () => {
      await put('page.html', '<script>alert(1)</script>');
      const { headers } = await get('page.html');
      assert.equal(headers['content-type'], 'application/octet-stream');
      assert.match(headers['content-disposition'], /^attachment; filename="page.html"$/);
      assert.equal(headers['x-content-type-options'], 'nosniff');
      assert.match(headers['content-security-policy'], /default-src 'none'/);
    });

    test('the text of a document that was not processed is not found', async () => {
      await put('untouched', 'abc');
      assert.equal((await get('untouched/text')).status, 404);
    });
  });

  test('delete is 204, then the document is gone', async () => {
    await put('short-lived', 'abc');
    const answer = await producer.delete('/api/documents/short-lived');
    assert.deepEqual([answer.status, answer.text], [204, '']);
    for (const again of [await get('short-lived'), await producer.delete('/api/documents/short-lived')]) assert.equal(again.status, 404);
    assert.equal((await put('short-lived', 'other bytes')).status, 201);
  });

  describe('of another organization', () => {
    test('are not found, may have the same id, and are not touched by a delete', async () => {
      await put('shared-id', 'acme\'s');
      for (const method of ['GET', 'HEAD', 'DELETE']) assert.equal((await rival.request(method, '/api/documents/shared-id')).status, 404, method);
      assert.equal((await put('shared-id', 'rival\'s', {}, rival)).status, 201);
      assert.equal((await rival.delete('/api/documents/shared-id')).status, 204);
      assert.equal((await get('shared-id')).text, 'acme\'s');
    });

    test('are named by ?org= only by who sees every organization', async () => {
      await put('asked-for', 'acme\'s');
      assert.equal((await sluice.as({ roles: ['viewer'] }).get('/api/documents/asked-for?org=acme')).text, 'acme\'s');
      assert.equal((await rival.get('/api/documents/asked-for?org=acme')).status, 404);
    });

    test('are not deleted by who may only read them', async () => {
      await put('looked-at', 'acme\'s');
      const reader = sluice.as({ roles: ['viewer', 'operator', 'producer'], org: 'rival' });
      assert.equal((await reader.get('/api/documents/looked-at?org=acme')).text, 'acme\'s');
      assert.equal((await reader.delete('/api/documents/looked-at?org=acme')).status, 404);
      assert.equal((await sluice.as({ roles: ['admin'], org: 'rival' }).delete('/api/documents/looked-at?org=acme')).status, 204);
    });
  });

  for (const id of ['.hidden', '-dash', 'a b', 'a/b', '../up', '..', 'a\\b', 'ä', 'x'.repeat(129), '.part', 'a\u0001']) {
    test(`the id ${JSON.stringify(id.slice(0, 12))} is refused, and nothing is written`, async () => {
      const before = filesIn(sluice.dataDir).filter((file) => file.startsWith(store)).length;
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const { status } = await producer.request(method, `/api/documents/${encodeURIComponent(id)}`, { ...(method === 'PUT' && { body: 'x' }), headers: OCTETS });
        assert.equal(status, 400, method);
      }
      assert.equal(filesIn(store).length, before);
    });
  }

  for (const path of [
    '/api/documents/../../jwt-secret', '/api/documents/%2e%2e/%2e%2e/jwt-secret', '/api/documents/..%2f..%2fjwt-secret', '/api/documents/a%00b', '/api//documents/x',
    '/api/documents/./x', '/api/documents/x%0d%0aSet-Cookie:%20a=b', '/api/documents/%ff', '/api/documents/%zz', '/api/documents/x/text?org=..%2f..',
  ]) {
    test(`the path ${path} leads nowhere`, async () => {
      for (const client of [producer, sluice.client]) {
        const { status, headers } = await client.get(path);
        assert.ok([400, 404].includes(status), String(status));
        assert.equal(headers['set-cookie'], undefined);
      }
    });
  }
});

// A file system of one megabyte; undefined where this user may not make one.
function tinyDisk() {
  const folder = join(temporaryFolder('sluice-disk'), 'documents');
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m,mode=700', 'tmpfs', folder], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  return folder;
}

test('a full disk is 507, leaves nothing half, and a delete makes room', async (t) => {
  const folder = tinyDisk();
  if (!folder) return t.skip('only root may mount a small disk');
  t.after(() => execFileSync('umount', ['-l', folder]));
  const sluice = await startSluice({ args: ['--role=api'], env: { SLUICE_DOCUMENTS_DIR: folder } });
  t.after(() => sluice.stop());
  const put = (id, bytes) => sluice.client.put(`/api/documents/${id}`, Buffer.alloc(bytes, id), { headers: OCTETS });
  assert.equal((await put('a', 700_000)).status, 201);
  const full = await put('b', 700_000);
  assert.deepEqual([full.status, full.json.code], [507, 'storage-full']);
  assert.equal((await sluice.client.get('/api/documents/b')).status, 404);
  assert.equal((await sluice.client.delete('/api/documents/a')).status, 204);
  assert.equal((await put('b', 700_000)).status, 201);
});
