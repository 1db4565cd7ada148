// `sluice queues` and `sluice jobs` against a running gateway, held against what the official client sees.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Worker } from 'bullmq';
import { Child, SLUICE, Terminal, cleanEnvironment, declare, eventually, freePort, openStage, runSluice, temporaryFolder } from './harness/index.mjs';

const stage = await openStage({ sluice: { args: ['--role=api'], env: { SLUICE_QUEUES: declare({ name: 'orders', processor: 'none', attempts: 2 }) } } });
const { redis, sluice, queue: open_ } = stage;

const as = (role) => ({ SLUICE_URL: sluice.url, SLUICE_TOKEN: sluice.token({ sub: 'ops', roles: [role] }) });
const run = (args, env = as('operator')) => runSluice(args, { env, timeout: 60_000 });
async function ok(...args) {
  const { code, text } = await run(args);
  assert.equal(code, 0, text);
  return text;
}
const read = async (...args) => JSON.parse(await ok(...args, '--json'));
async function refused(exit, said, args, env) {
  const { code, text } = await run(args, env);
  assert.equal(code, exit, text);
  assert.match(text, said);
}
// Ends jobs as a worker would: `how(job)` returns the result or throws.
async function work(queue, how) {
  const worker = new Worker(queue.name, how, { connection: redis.connect() });
  await eventually(async () => {
    const { waiting, active, prioritized } = await queue.getJobCounts();
    return waiting + active + prioritized === 0;
  }, { timeout: 30_000, what: 'the end of all jobs' });
  await worker.close();
}
const fail = (reason) => () => { throw new Error(reason); };

describe('queues', () => {
  test('are listed, declared ones and those found in Redis, as a table and as JSON', async () => {
    const queue = open_('found.here');
    await queue.addBulk([{ name: 'a', data: {} }, { name: 'b', data: {}, opts: { delay: 3_600_000 } }]);
    await queue.pause();
    const listed = await eventually(async () => {
      const { items, complete } = await read('queues');
      return complete && items.find((item) => item.name === 'found.here' && item.paused);
    }, { timeout: 30_000, what: 'the queue in the list' });
    assert.deepEqual([listed.counts.waiting, listed.counts.delayed], [1, 1]);
    const rows = (await ok('queues')).split('\n').map((line) => line.trim().split(/ +/));
    assert.deepEqual(rows[0].slice(0, 5), ['QUEUE', 'STATE', 'WAIT', 'ACTIVE', 'DELAY']);
    assert.deepEqual(rows.find(([name]) => name === 'found.here').slice(0, 5), ['found.here', 'paused', '1', '0', '1']);
    assert.ok(rows.some(([name, state]) => name === 'orders' && state === 'ok'));
  });

  test('are paused with a reason, explained and resumed', async () => {
    const queue = open_('pausing');
    await queue.add('x', {});
    assert.match(await ok('queues', 'pausing', 'pause', '--reason', 'mail is down'), /^queue +pausing\nstate +paused$/);
    assert.equal(await queue.isPaused(), true);
    const shown = await ok('queues', 'pausing');
    assert.match(shown, /^paused because +mail is down$/m);
    assert.match(shown, /^paused by +ops$/m);
    assert.match(shown, /^waiting +1$/m);
    assert.match(await ok('queues', 'pausing', 'explain'), /mail is down[^]*what helps +sluice queues QUEUE resume/);
    assert.equal((await read('queues', 'pausing', 'resume')).paused, false);
    assert.equal(await queue.isPaused(), false);
  });

  test('are drained, but not without being asked', async () => {
    const queue = open_('draining');
    const jobs = Array.from({ length: 450 }, (_, i) => ({ name: 'x', data: { i } }));
    await queue.addBulk([...jobs, { name: 'later', data: {}, opts: { delay: 3_600_000 } }]);
    await refused(2, /cannot be undone: add --yes/, ['queues', 'draining', 'drain']);
    assert.equal(await queue.getWaitingCount(), 450);
    assert.match(await ok('queues', 'draining', 'drain', '--yes'), /^removed +450$/m);
    assert.deepEqual([await queue.getWaitingCount(), await queue.getDelayedCount()], [0, 1]);
    assert.deepEqual(await read('queues', 'draining', 'drain', '--yes', '--delayed'), { queue: 'draining', removed: 1, more: false });
    assert.equal(await queue.getDelayedCount(), 0);
  });

  test('on a terminal the name of the queue is asked for', async () => {
    const queue = open_('asking');
    await queue.add('x', {});
    const answer = async (name) => {
      const terminal = new Terminal([SLUICE, 'queues', 'asking', 'drain'], { env: cleanEnvironment(as('operator')), cwd: temporaryFolder() });
      await eventually(() => /go on: $/.test(terminal.output), { timeout: 30_000, what: 'the question' });
      terminal.type(`${name}\n`);
      return (await terminal.ended).code;
    };
    assert.equal(await answer('askin'), 1);
    assert.equal(await queue.getWaitingCount(), 1);
    assert.equal(await answer('asking'), 0);
    assert.equal(await queue.getWaitingCount(), 0);
  });

  test('are cleaned by state, age and number', async () => {
    const queue = open_('cleaning');
    await queue.addBulk(Array.from({ length: 30 }, () => ({ name: 'x', data: {} })));
    await work(queue, async () => 'done');
    const clean = (...args) => read('queues', 'cleaning', 'clean', '--yes', '--state', 'completed', ...args);
    assert.equal((await clean('--older-than', '7d')).removed, 0);
    assert.equal((await clean('--limit', '7')).removed, 7);
    assert.equal(await queue.getCompletedCount(), 23);
    assert.equal((await clean('--older-than', '1ms')).removed, 23);
  });
});

describe('jobs', () => {
  test('are listed by state and name, over the pages of the gateway', async () => {
    const queue = open_('listing');
    await queue.addBulk(Array.from({ length: 450 }, (_, i) => ({ name: i % 10 ? 'often' : 'seldom', data: { i } })));
    const all = await read('jobs', 'listing', '--limit', '1000');
    assert.deepEqual([new Set(all.items.map((job) => job.id)).size, all.next], [450, null]);
    const seldom = await read('jobs', 'listing', '--name', 'seldom', '--limit', '100');
    assert.deepEqual([seldom.items.length, new Set(seldom.items.map((job) => job.name))], [45, new Set(['seldom'])]);
    const first = await read('jobs', 'listing', '--limit', '300');
    const second = await read('jobs', 'listing', '--limit', '300', '--cursor', first.next);
    assert.deepEqual([...first.items, ...second.items].map((job) => job.id), all.items.map((job) => job.id));
    assert.deepEqual((await read('jobs', 'listing', '--limit', '1000', '--asc')).items.map((job) => job.id), all.items.map((job) => job.id).reverse());
    const lines = (await ok('jobs', 'listing', '--limit', '2')).split('\n');
    assert.match(lines[0], /^ID +NAME +STATE +AGE +TRIES +ORG +REASON$/);
    assert.equal(lines.filter((line) => /^\d+ +(often|seldom) +waiting /.test(line)).length, 2);
    assert.match(lines.join('\n'), /--cursor \S+/);
    assert.deepEqual((await read('jobs', 'listing', '--state', 'failed')).items, []);
  });

  test('are shown, with their log, tried again with other data, and removed', async () => {
    const queue = open_('mending');
    const job = await queue.add('resize', { size: 1 }, { jobId: 'img-1', attempts: 1 });
    for (let i = 0; i < 1200; i++) await job.log(`line ${i}`);
    await work(queue, fail('no such picture'));
    const shown = await ok('jobs', 'mending', 'img-1');
    for (const line of [/^id +img-1$/m, /^state +failed$/m, /^failedReason +no such picture$/m, /^data +\{"size":1\}$/m, /^failed with +Error: no such picture$/m]) assert.match(shown, line);
    assert.match(await ok('jobs', 'mending', '--state', 'failed'), /^img-1 +resize +failed +\d+s +1\/1 +default +no such picture$/m);
    assert.deepEqual((await ok('jobs', 'mending', 'img-1', 'logs')).split('\n'), Array.from({ length: 1200 }, (_, i) => `line ${i}`));
    assert.equal((await read('jobs', 'mending', 'img-1', 'logs')).lines.length, 1200);
    assert.equal((await read('jobs', 'mending', 'img-1', 'retry', '--data', '{"size":2}', '--reset-attempts')).state, 'waiting');
    assert.deepEqual((await queue.getJob('img-1')).data, { size: 2 });
    assert.match(await ok('jobs', 'mending', 'img-1', 'explain'), /^job +img-1\nstate +waiting$/m);
    assert.match(await ok('jobs', 'mending', 'img-1', 'remove'), /^state +removed$/m);
    assert.equal(await queue.getJob('img-1'), undefined);
  });

  test('wait no longer, or are cancelled', async () => {
    const queue = open_('waiting.long');
    await queue.addBulk(['p', 'c'].map((jobId) => ({ name: 'x', data: {}, opts: { jobId, delay: 3_600_000 } })));
    assert.equal((await read('jobs', 'waiting.long', 'p', 'promote')).state, 'waiting');
    await refused(1, /the job is waiting, not delayed \(HTTP 409 /, ['jobs', 'waiting.long', 'p', 'promote']);
    assert.equal((await read('jobs', 'waiting.long', 'c', 'cancel')).outcome, 'removed');
  });

  test('are counted, tried again, promoted and removed, all that fit', async () => {
    const queue = open_('many');
    await queue.addBulk(Array.from({ length: 60 }, (_, i) => ({ name: i % 3 ? 'often' : 'seldom', data: { i }, opts: { attempts: 1 } })));
    await work(queue, (job) => { throw new Error(job.data.i % 2 ? 'timeout: slow' : 'refused'); });
    const all = (verb, ...args) => ['jobs', verb, '--queue', 'many', ...args];
    assert.match(await ok(...all('retry', '--name', 'often', '--error', 'timeout', '--dry-run')), /^matched +20\nlooked at +60\nof +60$/);
    assert.deepEqual(await read(...all('retry', '--dry-run', '--older-than', '1h')), { matched: 0, scanned: 60, total: 60, complete: true });
    assert.match(await ok(...all('retry', '--name', 'often', '--error', 'timeout')), /^queue +many\naction +retry\nstate +done\ndone +20\npassed over +0$/);
    assert.deepEqual([await queue.getWaitingCount(), await queue.getFailedCount()], [20, 40]);
    await queue.addBulk(Array.from({ length: 5 }, () => ({ name: 'later', data: {}, opts: { delay: 3_600_000 } })));
    const promoted = await read(...all('promote'));
    assert.deepEqual([promoted.state, promoted.changed, promoted.by], ['done', 5, 'ops']);
    await refused(2, /cannot be undone: add --yes/, all('remove', '--state', 'failed'));
    assert.match(await ok(...all('remove', '--state', 'failed', '--name', 'seldom', '--yes')), /^done +20$/m);
    assert.deepEqual([await queue.getWaitingCount(), await queue.getFailedCount(), await queue.getDelayedCount()], [25, 20, 0]);
  });

  test('on a terminal their progress is seen, and Ctrl-C stops it', async () => {
    const queue = open_('lengthy');
    const pipeline = redis.admin.pipeline();
    await queue.waitUntilReady();
    for (let i = 0; i < 30_000; i++) {
      pipeline.hset(`bull:lengthy:f-${i}`, { name: 'x', data: '{}', opts: '{}', timestamp: i, finishedOn: i, failedReason: 'no', atm: 1 });
      pipeline.zadd('bull:lengthy:failed', i, `f-${i}`);
    }
    await pipeline.exec();
    const terminal = new Terminal([SLUICE, 'jobs', 'retry', '--queue', 'lengthy'], { env: cleanEnvironment(as('operator')), cwd: temporaryFolder() });
    await eventually(() => /\d+ of 30000 looked at, \d+ done/.test(terminal.output), { timeout: 60_000, what: 'the progress' });
    terminal.type('\x03');
    const { code } = await terminal.ended;
    assert.equal(code, 1);
    assert.match(terminal.output, /state +cancelled/);
    const done = Number(/done +(\d+)\r?\n/.exec(terminal.output)[1]);
    assert.ok(done < 30_000);
    assert.deepEqual([await queue.getWaitingCount(), await queue.getFailedCount()], [done, 30_000 - done]);
    await queue.obliterate({ force: true });
  });

  test('of whatever name are that job and no other path', async () => {
    const queue = open_('odd');
    for (const jobId of ['a/b', 'a b%2Fc', '...x', '?x=1', 'ä€😀', '--flag']) {
      await queue.add('x', {}, { jobId });
      assert.equal(JSON.parse(await ok('jobs', 'odd', '--json', '--', jobId)).id, jobId);
    }
    await refused(1, /404/, ['jobs', 'odd', '../drain', 'remove']);
    await refused(1, /dots/, ['jobs', 'odd', '..', 'remove']);
    assert.equal(await queue.getWaitingCount(), 6);
  });
});

describe('exit codes', () => {
  test('1: refused', async () => {
    await refused(1, /\(HTTP 403 /, ['queues', 'orders', 'pause'], as('viewer'));
    await refused(1, /\(HTTP 401 /, ['queues'], { ...as('viewer'), SLUICE_TOKEN: 'nonsense' });
    await refused(1, /\(HTTP 404 /, ['queues', 'nowhere']);
    await refused(1, /HTTP 404 .*/, ['jobs', 'orders', 'nobody']);
    await refused(1, /state/, ['queues', 'orders', 'clean', '--yes', '--state', 'lost']);
    await refused(1, /cannot be asked to promote/, ['jobs', 'promote', '--queue', 'orders', '--state', 'failed']);
    await refused(1, /\(HTTP 403 /, ['jobs', 'retry', '--queue', 'orders'], as('viewer'));
    const server = createServer((_, response) => response.end('<h1>hello</h1>')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    await refused(1, /no gateway/, ['queues', '--url', `http://127.0.0.1:${server.address().port}`]);
    server.close();
  });

  test('2: said wrongly', async () => {
    await refused(2, /a token is needed/, ['queues'], { SLUICE_URL: sluice.url });
    await refused(2, /did you mean pause\?/, ['queues', 'orders', 'pauze']);
    await refused(2, /did you mean pause\?\); these are: show, pause, resume, explain, drain, clean/, ['queues', 'orders', 'pasue']);
    await refused(2, /--reason does not go with resume, but with: pause/, ['queues', 'orders', 'resume', '--reason', 'x']);
    await refused(2, /--state does not go with show/, ['jobs', 'orders', '1', '--state', 'failed']);
    await refused(2, /clean needs --state/, ['queues', 'orders', 'clean', '--yes']);
    await refused(2, /--older-than is a time/, ['queues', 'orders', 'clean', '--yes', '--state', 'failed', '--older-than', 'long']);
    await refused(2, /--data is no JSON/, ['jobs', 'orders', '1', 'retry', '--data', '{']);
    await refused(2, /which queue\?/, ['jobs']);
    await refused(2, /--dry-run is for all jobs that fit: name the queue by --queue/, ['jobs', 'orders', '--dry-run']);
    await refused(2, /did you mean retry\?/, ['jobs', 'retri', '--queue', 'orders']);
    await refused(2, /with --queue:/, ['jobs', 'orders', '1', 'retry', '--queue', 'orders']);
    await refused(2, /remove needs --state/, ['jobs', 'remove', '--queue', 'orders']);
    await refused(2, /--limit does not go with retry/, ['jobs', 'retry', '--queue', 'orders', '--limit', '3']);
    await refused(2, /--data is for one job/, ['jobs', 'retry', '--queue', 'orders', '--data', '{}']);
    await refused(2, /--older-than is a time/, ['jobs', 'retry', '--queue', 'orders', '--older-than', 'long']);
    await refused(2, /address of the gateway/, ['queues', '--url', 'ftp://x']);
    await refused(2, /address of the gateway/, ['queues', '--url', 'http://127.0.0.1/?a']);
    await refused(2, /no option --states; did you mean --state/, ['jobs', 'orders', '--states', 'failed']);
    await refused(2, /--token-file/, ['queues', '--token-file', '/nonexistent']);
  });

  test('3: no gateway there', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    for (const command of [['queues'], ['jobs', 'orders'], ['top']]) await refused(3, /127\.0\.0\.1/, [...command, '--url', url]);
  });
});

describe('where and who', () => {
  test('the token comes from a file, the option is stronger; no address means HOST and PORT', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'good'), `${as('viewer').SLUICE_TOKEN}\n`);
    writeFileSync(join(folder, 'bad'), 'nonsense\n');
    const local = { HOST: '0.0.0.0', PORT: String(sluice.port) };
    assert.equal((await run(['queues'], { ...local, SLUICE_TOKEN_FILE: join(folder, 'good') })).code, 0);
    assert.equal((await run(['queues'], { ...local, SLUICE_TOKEN_FILE: join(folder, 'bad') })).code, 1);
    assert.equal((await run(['queues', '--token-file', join(folder, 'good')], { ...local, SLUICE_TOKEN: 'nonsense' })).code, 0);
    assert.equal((await run(['queues', '--url', `${sluice.url}///`], { ...as('viewer'), SLUICE_URL: 'http://127.0.0.1:1' })).code, 0);
  });
});

describe('output', () => {
  test('says when the gateway does not know all queues', async () => {
    let complete = false;
    const server = createServer((_, response) => response.end(JSON.stringify({ items: [], complete, at: 0 }))).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const url = `http://127.0.0.1:${server.address().port}`;
    assert.match(await ok('queues', '--url', url), /These are not all queues/);
    assert.match(await ok('top', '--url', url), /0 queues \(not all\)/);
    complete = true;
    assert.doesNotMatch(await ok('queues', '--url', url), /not all/);
    server.close();
  });

  test('that nobody takes is a failure, not written into whatever was opened next', async () => {
    const child = new Child('sh', ['-c', 'exec "$0" queues >&-', SLUICE], { env: cleanEnvironment(as('operator')) });
    assert.deepEqual(await child.end(60_000), { code: 1, signal: null });
    assert.match(child.lines.join('\n'), /the output could not be written/);
  });
});

describe('what jobs hold', () => {
  test('does nothing to the terminal, and is the same value in JSON', async () => {
    const evil = '\x1b[2J\x1b]0;owned\x07\x9b31m\x7f\r\n\u202egnp.exe\u2028\u200b\u{e0041}end';
    const queue = open_('evil');
    const id = 'j1';
    const job = await queue.add(evil, { [evil]: evil }, { jobId: id, attempts: 1 });
    await queue.add('x', {}, { jobId: `j${evil}`, attempts: 1 }); // an id that no request can have, but a list
    await job.log(evil);
    await job.updateProgress({ evil });
    await work(queue, fail(evil));
    for (const args of [['evil', '--state', 'failed'], ['evil', id], ['evil', id, 'logs'], ['evil', id, 'explain']]) {
      for (const more of [[], ['--json']]) {
        const text = await ok('jobs', ...args, ...more);
        assert.doesNotMatch(text, /[\0-\t\v-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u);
        assert.match(text, /\\u001b\[2J/);
      }
    }
    const shown = await read('jobs', 'evil', id);
    assert.deepEqual([shown.id, shown.name, shown.data, shown.progress, shown.failedReason], [id, evil, { [evil]: evil }, { evil }, evil]);
    assert.deepEqual((await read('jobs', 'evil', id, 'logs')).lines, [evil]);
    assert.equal((await ok('jobs', 'evil', id, 'logs')).split('\n').length, 1);
  });
});
