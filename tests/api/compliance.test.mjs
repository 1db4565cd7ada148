// Documents from upload to findings: what is found, how it is judged, and that no value that was found leaves the document.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { eventually, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

// Planted in the document; each is found, and stands nowhere else afterwards.
const PLANTED = {
  PAN: '4111 1111 1111 1111', CVV: '737', IBAN: 'DE89370400440532013000', SSN: '536-90-4399', EMAIL: 'erika.mustermann@one-firm.io', PHONE: '+49 30 901820',
  NHS_NUMBER: '943 476 5919', VIN: '1M8GDM9AXKP042788', CLOUD_KEY: 'AKIAQ6WFT5XBV2ZK7MN4', GENERIC_SECRET: 'tR7kq92LmZpW4', IP_ADDRESS: '81.169.145.78',
};
const TEXT = `Report for the files of the clinic, first page.
Patient: Erika Mustermann, NHS number ${PLANTED.NHS_NUMBER}, was diagnosed with epilepsy.
\f Second page. Card ${PLANTED.PAN}, CVV ${PLANTED.CVV}. Account ${PLANTED.IBAN}.
Social security number ${PLANTED.SSN}. Write to ${PLANTED.EMAIL} or call ${PLANTED.PHONE}.
The car has the VIN ${PLANTED.VIN} and calls from ${PLANTED.IP_ADDRESS}.
aws_key ${PLANTED.CLOUD_KEY} and password = ${PLANTED.GENERIC_SECRET}
We found a material weakness.
`;
const bare = (value) => value.replace(/[ -]/g, '');

function filesUnder(folder) {
  return readdirSync(folder, { recursive: true }).map((name) => join(folder, name)).filter((path) => statSync(path).isFile());
}

// Everything that a Redis holds, as one text.
async function everythingIn(client) {
  const parts = [];
  const readers = {
    string: (key) => client.get(key), hash: (key) => client.hgetall(key), list: (key) => client.lrange(key, 0, -1), set: (key) => client.smembers(key),
    zset: (key) => client.zrange(key, 0, -1), stream: (key) => client.xrange(key, '-', '+'),
  };
  for (const key of await client.keys('*')) parts.push(key, JSON.stringify(await readers[await client.type(key)](key)));
  return parts.join('\n');
}

describe('compliance analysis', () => {
  let redis, sluice, producer, rules;
  before(async () => {
    rules = temporaryFolder('rules');
    writeFileSync(join(rules, 'house.json'), JSON.stringify({
      schema: 1, id: 'HOUSE', version: '7', title: 'Rules of the house',
      rules: [{ control: 'H1', title: 'No project names', kind: 'violation', severity: 'low', when: { term: ['material weakness'] } }],
    }));
    redis = await startRedis({ tcp: true, args: ['--maxmemory-policy', 'noeviction'] });
    sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_COMPLIANCE_RULES_DIR: rules, SLUICE_DOC_NOT_FOUND_GRACE: '3s' } });
    producer = sluice.as({ roles: ['producer'], sub: 'files', org: 'acme' });
  });
  after(async () => {
    await sluice.stop();
    await redis.stop();
  });

  const upload = async (id, bytes) => assert.equal((await producer.put(`/api/documents/${id}`, bytes)).status, 201);
  const submit = async (id, more = {}) => {
    const answer = await producer.post('/api/jobs/compliance-analysis', { documentId: id, userId: 'u1', mimeType: 'text/plain', ...more });
    assert.equal(answer.status, 201, answer.text);
    return answer.json.statusUrl;
  };
  const finished = (url) =>
    eventually(async () => {
      const { json } = await producer.get(url);
      return ['completed', 'failed'].includes(json.state) && json;
    }, { timeout: 60_000, what: `the end of ${url}` });
  const analyzed = async (id, more) => finished(await submit(id, more));

  test('a document that was never processed is processed, scanned and judged', async () => {
    await upload('report', TEXT);
    const { state, returnvalue: found, failedReason } = await analyzed('report', { documentPath: '/documents/report.txt' });
    assert.equal(state, 'completed', failedReason);
    assert.equal(found.text.source, 'extracted');
    assert.equal(found.text.pages, 2);
    const entities = new Set(found.findings.map(({ entity }) => entity));
    assert.deepEqual(Object.keys(PLANTED).filter((name) => !entities.has(name)), []);
    const card = found.findings.find(({ entity }) => entity === 'PAN');
    assert.equal(card.sample, '411111******1111');
    assert.equal(card.validated, 'luhn');
    assert.equal(card.page, 2);
    assert.equal(Buffer.from(TEXT).subarray(card.start, card.end).toString(), PLANTED.PAN);
    assert.deepEqual(found.frameworks.map(({ id }) => id), ['GDPR', 'SOX', 'HIPAA', 'PCI-DSS', 'HOUSE']);
    const status = (framework, control) => found.frameworks.find(({ id }) => id === framework).controls.find((row) => row.control === control).status;
    assert.equal(status('PCI-DSS', '3.3.1.2'), 'violation');
    assert.equal(status('GDPR', 'Art.9'), 'obligation');
    assert.equal(status('GDPR', 'Art.6'), 'not_assessable');
    assert.equal(status('GDPR', 'Art.13'), 'not_applicable');
    assert.equal(status('SOX', '404(a)'), 'needs_review');
    assert.equal(status('HOUSE', 'H1'), 'violation');
    assert.equal(found.summary.level, 'critical');
    assert.ok(found.summary.risk > 0 && found.summary.risk <= 100);
    assert.ok(!/compliant/i.test(JSON.stringify(found)));
    const { json: all, status: code } = await producer.get(found.findingsRef);
    assert.equal(code, 200);
    assert.deepEqual(all.findings, found.findings);
  });

  test('what was processed before is not processed again', async () => {
    const { returnvalue: found } = await analyzed('report', { complianceFrameworks: ['PCI-DSS'] });
    assert.equal(found.text.source, 'stored');
    assert.deepEqual(found.frameworks.map(({ id }) => id), ['PCI-DSS']);
  });

  test('the same value is known again in another document, but not in another organization', async () => {
    const hashOf = async (as, id) => {
      await as.put(`/api/documents/${id}`, `iban ${PLANTED.IBAN}`);
      const { json: created } = await as.post('/api/jobs/compliance-analysis', { documentId: id, userId: 'u', mimeType: 'text/plain' });
      const job = await eventually(async () => {
        const { json } = await as.get(created.statusUrl);
        return json.state === 'completed' && json;
      }, { what: `the analysis of ${id}` });
      return job.returnvalue.findings.find(({ entity }) => entity === 'IBAN').hmac;
    };
    const rival = sluice.as({ roles: ['producer'], sub: 'files', org: 'rival' });
    assert.equal(await hashOf(producer, 'one'), await hashOf(producer, 'two'));
    assert.notEqual(await hashOf(producer, 'one'), await hashOf(rival, 'one'));
    assert.equal((await rival.get('/api/documents/report/findings')).status, 404);
  });

  test('more findings than a result may hold are cut there and kept whole beside the document', async () => {
    const lines = Array.from({ length: 1500 }, (_, i) => `write to user${i}@one-firm.io today`).join('\n');
    await upload('long', lines);
    const { returnvalue: found } = await analyzed('long');
    assert.equal(found.findingsTruncated, true);
    assert.equal(found.summary.findings, 1500);
    assert.equal(found.summary.entities.EMAIL.distinct, 1500);
    assert.ok(found.findings.length <= 200 && found.findings.length > 50);
    assert.ok(JSON.stringify(found).length < 65536);
    assert.equal((await producer.get(found.findingsRef)).json.findings.length, 1500);
  });

  test('an unknown framework, a document without text, and one that never comes end under their names', async () => {
    await upload('blank', ' \n\f \n');
    for (const [id, more, code] of [
      ['report', { complianceFrameworks: ['GDPR', 'NOPE'] }, 'UNKNOWN_FRAMEWORK'], ['blank', {}, 'NO_TEXT'], ['never', {}, 'NOT_FOUND'],
      ['report-2', { mimeType: 'application/pdf' }, 'MIME_MISMATCH'],
    ]) {
      if (id === 'report-2') await upload(id, TEXT);
      const job = await analyzed(id, more);
      assert.equal(job.state, 'failed', id);
      assert.equal(job.failedReason.split(':')[0], code);
      assert.equal(job.attemptsMade, 1, code);
    }
  });

  test('a document that comes late is waited for without using up an attempt', async () => {
    const url = await submit('late');
    await eventually(async () => (await producer.get(url)).json.state === 'delayed', { what: 'a job that waits' });
    await upload('late', TEXT);
    const job = await finished(url);
    assert.equal(job.state, 'completed');
    assert.equal(job.attemptsMade, 1);
  });

  test('a path is a hint and no more', async () => {
    for (const documentPath of ['/etc/passwd', 'documents/x', '/documents/a\nb', 'file:///documents/x']) {
      const answer = await producer.post('/api/jobs/compliance-analysis', { documentId: 'report', userId: 'u1', documentPath });
      assert.equal(answer.status, 400, documentPath);
    }
    const { returnvalue: found } = await analyzed('report', { documentPath: '/documents/../../etc/passwd' });
    assert.equal(found.documentId, 'report');
  });

  test('no value that was found is in Redis, in a log line, in an event or in what is stored beside the document', async () => {
    const logs = sluice.logs.map((entry) => JSON.stringify(entry)).join('\n');
    const stored = await everythingIn(redis.admin);
    const beside = filesUnder(sluice.dataDir).filter((path) => path.endsWith('findings.json')).map((path) => readFileSync(path, 'latin1')).join('\n');
    assert.ok(beside.includes('"entity"') && stored.includes('findingsRef'));
    for (const [name, value] of Object.entries(PLANTED)) {
      if (name === 'CVV') continue; // three digits stand anywhere
      for (const form of [value, bare(value)]) {
        for (const [where, text] of Object.entries({ logs, stored, beside })) assert.ok(!text.includes(form), `${name} is in ${where}`);
      }
    }
    assert.ok(!/Mustermann|epilepsy/i.test(logs + stored + beside));
  });
});

test('the two engines give the same result over HTTP', async () => {
  const results = [];
  for (const engine of ['vectorscan', 'pcre2']) {
    const sluice = await startSluice({ env: { SLUICE_COMPLIANCE_ENGINE: engine, SLUICE_COMPLIANCE_HMAC_KEY: 'k'.repeat(32) } });
    await sluice.client.put('/api/documents/d', TEXT);
    const { json: created } = await sluice.client.post('/api/jobs/compliance-analysis', { documentId: 'd', userId: 'u', mimeType: 'text/plain' });
    const job = await eventually(async () => {
      const { json } = await sluice.client.get(created.statusUrl);
      return json.state === 'completed' && json;
    }, { timeout: 60_000, what: 'the analysis' });
    const { engine: name, timingsMs, ...rest } = job.returnvalue;
    assert.ok(name.startsWith(engine) && timingsMs.scan >= 0);
    results.push(rest);
    await sluice.stop();
  }
  assert.deepEqual(results[0], results[1]);
});

test('a wrong rule file stops the start and says where', async () => {
  const rules = temporaryFolder('rules');
  writeFileSync(join(rules, 'wrong.json'), '{"schema":1,"id":"X","version":"1","title":"x","rules":[{"control":"1","title":"t","kind":"violation","wehn":{}}]}');
  await assert.rejects(startSluice({ env: { SLUICE_COMPLIANCE_RULES_DIR: rules } }), /wrong\.json/);
});
