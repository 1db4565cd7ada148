// The integration guide that Sluice began with, as it stands: its requests as lines for sh and curl, its Redis commands, its Go and its Python,
// against the program as `make run` starts it, with the address and the token that it prints.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { FlowProducer, Queue } from 'bullmq';
import { ROOT, SLUICE, eventually, startSluice, temporaryFolder } from './harness/index.mjs';

const QUEUES = ['document-processing', 'compliance-analysis', 'notifications'];
const WORKFLOW = '/api/auth/workflow/document-upload';
const GUIDES_URL = 'http://auth-service:3000';
// attempts, first delay of the exponential backoff, completed and failed jobs kept
const POLICIES = { 'document-processing': [3, 2000, 100, 50], notifications: [5, 1000, 100, 50], 'compliance-analysis': [3, 5000, 50, 25] };
const JOB_NAMES = { 'document-processing': 'process-document', notifications: 'send-notification', 'compliance-analysis': 'analyze-compliance' };

const textOf = (name) => readFileSync(join(ROOT, 'tests/fixtures/guide', name), 'utf8');

// The guide's requests: a comment, the method and the path, header lines, the body.
const REQUESTS = textOf('requests.txt').trim().split('\n\n').map((block) => {
  const [, method, path, headers, body] = /^# .*\n(GET|POST) (\S+)\n?((?:[\w-]+: .*\n)*)((?:\{[^]*\})?)$/.exec(block);
  return { method, path, headers: headers.split('\n').filter(Boolean), body };
});
const CREATIONS = REQUESTS.filter(({ path }) => path in { '/api/jobs/document-processing': 1, '/api/jobs/notifications': 1, '/api/jobs/compliance-analysis': 1 });
const request = (path) => REQUESTS.find((one) => one.path === path);
const DEMO = JSON.parse(request(WORKFLOW).body);

// Such a request as the line that one types, where the token and the port are the shell's variables.
function curlLine({ method, path, headers, body }) {
  const bearer = '"Authorization: Bearer $TOKEN"';
  const shown = headers.map((header) => `"${header.replace('{jwt_token}', '$TOKEN')}"`);
  const all = shown.includes(bearer) ? shown : [bearer, ...shown];
  const data = body ? ` -H 'Content-Type: application/json' -d '${body}'` : '';
  return `curl -sS -w '\\n%{http_code}' -X ${method} "http://127.0.0.1:$PORT${path}" ${all.map((header) => `-H ${header}`).join(' ')}${data}`;
}

// The snippet with some of its text replaced, each piece of which it has once.
function changed(text, changes) {
  for (const [from, to] of Object.entries(changes)) {
    assert.equal(text.split(from).length, 2, `"${from}" in\n${text}`);
    text = text.replace(from, () => to);
  }
  return text;
}

const missing = (programs) => programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);

// What `make run` starts.
const RUN = { program: ['bash', '-c', `shift; exec "${join(ROOT, 'gateway/run-dev.sh')}" "$@"`, 'run'], env: { SLUICE_BIN: SLUICE } };

describe('make run', () => {
  const started = async (env) => {
    const sluice = await startSluice({ ...RUN, env: { ...RUN.env, ...env } });
    const page = await eventually(() => sluice.child.lines.some((line) => line.includes('/api/queues/hello/jobs')) && sluice.child, { what: 'the page' });
    return { sluice, page };
  };

  test('takes the password of the embedded Redis from a file', async () => {
    const file = join(temporaryFolder(), 'password');
    writeFileSync(file, 'from-a-file\n');
    const { sluice, page } = await started({ REDIS_PASSWORD_FILE: file });
    await eventually(() => page.lines.some((line) => line.includes('REDISCLI_AUTH=from-a-file redis-cli')), { what: 'the password' });
    await sluice.stop();
  });

  test('starts no Redis, and makes up no password, where sentinels tell', async () => {
    const { sluice, page } = await started({ REDIS_SENTINELS: '127.0.0.1:1' });
    assert.equal(existsSync(join(sluice.dataDir, 'redis-password')), false);
    await sluice.stop();
    assert.doesNotMatch(page.lines.join('\n'), /REDISCLI_AUTH/);
  });
});

describe('the guide', () => {
  let sluice, client, redis, token;
  before(async () => {
    sluice = await startSluice({ ...RUN, env: { ...RUN.env } });
    const printed = await eventually(() => {
      const text = sluice.child.lines.join('\n');
      return /redis-cli .*/.test(text) ? text : null;
    }, { what: 'the page that says how to use it' });
    [, token] = /^\s+(ey[\w-]+\.[\w-]+\.[\w-]+)$/m.exec(printed);
    client = sluice.client.as(token);
    const [, password, host, port] = /REDISCLI_AUTH=(\S+) redis-cli -h (\S+) -p (\d+)/.exec(printed);
    redis = { password, host, port: Number(port) };
  });
  after(() => sluice.stop());

  // Runs a program in the surroundings of somebody who follows the guide: what it printed.
  const run = (file, args, { input = '', env = {}, cwd = temporaryFolder() } = {}) =>
    new Promise((resolve, reject) => {
      const child = execFile(file, args, {
        cwd, encoding: 'utf8', timeout: 120_000, env: { PATH: process.env.PATH, HOME: cwd, TOKEN: token, PORT: String(sluice.port), REDISCLI_AUTH: redis.password, ...env },
      }, (error, stdout, stderr) => (error ? reject(new Error(`${file} ${args.join(' ')}: ${error.message}\n${stdout}${stderr}`)) : resolve(stdout)));
      child.stdin.end(input);
    });
  const answer = (text) => {
    const [, body, status] = /^([^]*)\n(\d{3})$/.exec(text);
    return { status: Number(status), json: JSON.parse(body) };
  };
  const typed = async (one, names = {}) => {
    const path = one.path.replace(/\{(\w+)\}/g, (_, name) => names[name]);
    return answer(await run('sh', [], { input: curlLine({ ...one, path }) }));
  };
  const statusOf = async (queue, id) => (await client.get(`/api/jobs/status/${queue}/${id}`)).json;
  const ended = ({ jobs }) =>
    eventually(async () => {
      const states = await Promise.all(QUEUES.map((queue) => statusOf(queue, jobs[queue])));
      return states.every((job) => job.state === 'completed' || job.state === 'failed') ? states : null;
    }, { what: 'the end of the workflow', timeout: 60_000 });

  test('has all its requests here', () => {
    assert.deepEqual(REQUESTS.map(({ method, path }) => `${method} ${path}`), [
      ...CREATIONS.map(({ path }) => `POST ${path}`), 'GET /api/jobs/status/{queueName}/{jobId}', 'GET /api/jobs/stats/{queueName}', 'GET /api/jobs/stats', `POST ${WORKFLOW}`,
    ]);
    assert.equal(CREATIONS.length, 3);
  });

  // First, while nothing has been added to its queue.
  test('the Python service sees that a job waits', { skip: missing(['python3']).length > 0 && 'needs python3' }, async () => {
    const paused = new Queue('compliance-analysis', { connection: redis });
    const program = changed(textOf('poll.py.txt'), {
      [`"${GUIDES_URL}/api/jobs/stats/compliance-analysis"`]: `"${sluice.url}/api/jobs/stats/compliance-analysis", headers={"Authorization": "Bearer ${token}"}`,
      pass: 'print("a job waits")',
    });
    const poll = () => run('python3', ['-'], { input: `${program}\npoll_for_analysis_jobs()\n` });
    try {
      await paused.pause();
      assert.equal(await poll(), '');
      const { status, json } = await typed(request('/api/jobs/compliance-analysis'));
      assert.equal(status, 201, JSON.stringify(json));
      assert.equal(await eventually(poll, { what: 'the waiting job in the statistics' }), 'a job waits\n');
    } finally {
      await paused.resume();
      await paused.close();
    }
  });

  for (const creation of CREATIONS) {
    const queue = creation.path.split('/').at(-1);

    test(`POST ${creation.path} makes a job with the guide's retries and retention, and its status is there`, async () => {
      const { status, json } = await typed(creation);
      assert.equal(status, 201, JSON.stringify(json));
      const { status: found, json: job } = await typed(request('/api/jobs/status/{queueName}/{jobId}'), { queueName: queue, jobId: json.jobId });
      assert.equal(found, 200);
      assert.equal(job.name, JOB_NAMES[queue]);
      assert.deepEqual(job.data, JSON.parse(creation.body));
      const [attempts, delay, completed, failed] = POLICIES[queue];
      assert.equal(job.attempts, attempts);
      assert.deepEqual(job.opts.backoff, { type: 'exponential', delay });
      assert.deepEqual([job.opts.removeOnComplete.count, job.opts.removeOnFail.count], [completed, failed]);
    });

    test(`GET /api/jobs/stats/${queue} has its numbers`, async () => {
      const { status, json } = await typed(request('/api/jobs/stats/{queueName}'), { queueName: queue });
      assert.equal(status, 200);
      for (const state of ['waiting', 'active', 'completed', 'failed']) assert.equal(typeof json[state], 'number');
    });
  }

  test('GET /api/jobs/stats is for administrators', async () => {
    const { status, json } = await typed(request('/api/jobs/stats'));
    assert.equal(status, 200);
    for (const queue of QUEUES) assert.equal(typeof json.queues[queue].waiting, 'number');
    assert.equal((await sluice.as({ roles: ['producer'] }).get('/api/jobs/stats')).status, 403);
  });

  // Finished jobs are in sorted sets, in every version of BullMQ, so that the guide's LLEN of them is refused; ZCARD is what it means.
  test('the Redis commands find the queues and the job', async () => {
    await eventually(async () => (await statusOf('document-processing', '1')).state === 'failed', { what: 'the end of a job about a document that is not there', timeout: 60_000 });
    const [, connect, ...commands] = textOf('redis.txt').trim().split('\n').filter((line) => line && (!line.startsWith('#') || line === '# Connect to Redis'));
    const sets = ['completed', 'failed'].map((set) => `ZCARD bull:document-processing:${set}`);
    const outputs = [];
    for (const command of [...commands, ...sets]) outputs.push(await run('sh', ['-c', `${connect} -h ${redis.host} -p ${redis.port}`], { input: `${command}\n` }));
    const [keys, wait, active, completed, failed, job, ...cards] = outputs;
    assert.ok(keys.split('\n').includes('bull:document-processing:1'), keys);
    for (const length of [wait, active]) assert.match(length, /^\d+\n+$/);
    assert.match(failed, /^WRONGTYPE /);
    assert.match(completed, /^(WRONGTYPE |0\n)/);
    assert.ok(job.split('\n').includes('process-document'), job);
    assert.match(cards[0], /^\d+\n+$/);
    assert.match(cards[1], /^[1-9]\d*\n+$/);
  });

  // As it stands the function is no Go: nothing uses `resp`. One statement does it here.
  test('the Go service makes a job', { skip: missing(['go']).length > 0 && 'needs go' }, async () => {
    const folder = temporaryFolder('sluice-go');
    const method = changed(textOf('upload.go.txt'), { [GUIDES_URL]: sluice.url, 'return err': '_ = resp\n    return err' });
    writeFileSync(join(folder, 'service.go'), `${textOf('program.go.txt')}${method}`);
    const { status, json } = answer(await run('go', ['run', 'service.go'], { cwd: folder, env: { GOCACHE: join(folder, 'cache'), GO111MODULE: 'off' } }));
    assert.equal(status, 201, JSON.stringify(json));
    assert.deepEqual((await statusOf('document-processing', json.jobId)).data, JSON.parse(request('/api/jobs/document-processing').body));
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

  test('the workflow ends with three completed jobs and one message that says what became of the document', async () => {
    const { result, messages } = await newMessages(async () => {
      const { status, json } = await typed(request(WORKFLOW));
      assert.equal(status, 201, JSON.stringify(json));
      return ended(json);
    });
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
    const { result, messages } = await newMessages(async () => {
      const { status, json, text } = await client.post(WORKFLOW, { ...DEMO, documentId: 'broken-1', fileSize: bytes.length });
      assert.equal(status, 201, text);
      return ended(json);
    });
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
