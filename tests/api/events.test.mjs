// Events as they happen: what a listener is told, each once, whatever happens to it, to the stream in Redis, to Redis, or to the gateway.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import { declare, eventually, listen, makeToken, startRedis, startSluice } from './harness/index.mjs';

const SLOW = { timeout: 60_000 };
const QUEUES = declare(...['orders', 'mails', 'busy', 'short', 'own', 'gone', 'slow', 'fresh', 'burst', 'large', 'mixed', 'small'].map((name) => ({ name, processor: 'none' })));
const key = (queue) => `bull:${queue}:events`;

let redis;
let sluice;
let viewer;

before(async () => {
  redis = await startRedis();
  sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: QUEUES } });
  viewer = sluice.as({ sub: 'eve', roles: ['viewer'] });
});
after(async () => {
  await sluice.stop();
  await redis.stop();
});

// Entries as BullMQ's scripts write them, numbered from `from`.
async function happen(queue, n, from = 0, text = '') {
  const pipeline = redis.admin.pipeline();
  for (let i = from; i < from + n; i++) pipeline.xadd(key(queue), '*', 'event', 'progress', 'jobId', String(i), 'data', JSON.stringify({ i, text }));
  await pipeline.exec();
}
// Entries that bring what a job returned, as large as it may be; all at once.
async function finish(queue, n, from = 0) {
  const transaction = redis.admin.multi();
  for (let i = from; i < from + n; i++) transaction.xadd(key(queue), '*', 'event', 'completed', 'jobId', String(i), 'returnvalue', JSON.stringify('x'.repeat(1_000_000)));
  await transaction.exec();
}
const ids = (listener) => listener.of('completed').map((event) => Number(event.data.jobId));
// How many entries of the queue's stream Redis was asked for with that command, by each of its calls since noteCalls(); the first one first.
async function noteCalls(t) {
  const settings = ['slowlog-log-slower-than', 'slowlog-max-len'];
  const before = await Promise.all(settings.map(async (name) => (await redis.admin.config('GET', name))[1]));
  t.after(() => Promise.all(settings.map((name, i) => redis.admin.config('SET', name, before[i]))));
  await redis.admin.config('SET', 'slowlog-log-slower-than', '0', 'slowlog-max-len', '100000');
  await redis.admin.slowlog('RESET');
}
async function counts(command, queue) {
  const calls = (await redis.admin.slowlog('GET', -1)).map(([, , , args]) => args).reverse();
  return calls.filter((args) => args[0] === command && args.includes(key(queue)) && args.includes('COUNT')).map((args) => Number(args[args.indexOf('COUNT') + 1]));
}
const numbers = (listener) => listener.of('progress').map((event) => event.data.progress.i);
const upTo = (n, from = 0) => Array.from({ length: n }, (_, i) => from + i);
const all = (listener, n) => eventually(() => listener.of('progress').length >= n, { ...SLOW, what: `${n} events` })
  .catch((error) => assert.fail(`${error.message}: there are ${numbers(listener)}; ${listener.of('resync').length} resyncs; at ${listener.lastId}; ended ${listener.ended}`));
const streams = async () => Number(/^sluice_http_streams\{kind="sse"\} (\d+)/m.exec((await sluice.client.get('/metrics')).text)[1]);
const readersOf = async () => (await redis.admin.client('LIST')).split('\n').filter((line) => line.includes('name=sluice:events')).length;

describe('a listener', () => {
  test('hears what BullMQ tells of a job, under its words, with an id to go on from', async (t) => {
    const listener = await listen(viewer, '/api/events?queue=orders');
    t.after(() => listener.close());
    const queue = new Queue('orders', { connection: redis.connect() });
    t.after(() => queue.close());
    const job = await queue.add('pay', { secret: 'not to be told' });
    await job.updateProgress({ percent: 40 });
    await job.remove();
    await listener.when((event) => event.type === 'removed', SLOW);
    assert.equal(listener.headers['content-type'], 'text/event-stream');
    assert.equal(listener.headers['content-length'], undefined);
    const added = listener.of('added')[0];
    assert.equal(added.data.queue, 'orders');
    assert.equal(added.data.event, 'added');
    assert.equal(added.data.jobId, job.id);
    assert.equal(added.data.name, 'pay');
    assert.match(added.id, /^\d+-\d+$/);
    assert.equal(added.id.startsWith(String(added.data.at)), true);
    assert.deepEqual(listener.of('progress')[0].data.progress, { percent: 40 });
    assert.equal(JSON.stringify(listener.events).includes('secret'), false);
  });

  test('is told of the queues, the job and the types that it asks for', async (t) => {
    const everything = await listen(viewer, '/api/events');
    const typed = await listen(viewer, '/api/events?queue=mails,orders&types=completed,paused');
    const one = await listen(viewer, '/api/events?job=mails/7');
    t.after(() => [everything, typed, one].forEach((listener) => listener.close()));
    for (const [event, jobId] of [['active', '7'], ['completed', '7'], ['completed', '8'], ['paused', '']]) {
      await redis.admin.xadd(key('mails'), '*', 'event', event, ...(jobId ? ['jobId', jobId] : []));
    }
    await redis.admin.xadd(key('mails'), '*', 'event', 'my own', 'jobId', '7', 'name', 'a\nb');
    await everything.when((event) => event.type === 'other', SLOW);
    await one.when((event) => event.type === 'other', SLOW);
    await typed.when((event) => event.type === 'paused', SLOW);
    assert.deepEqual(everything.events.map((event) => event.type), ['active', 'completed', 'completed', 'paused', 'other']);
    assert.equal(everything.events[3].data.jobId, null);
    assert.deepEqual([everything.events[4].data.event, everything.events[4].data.name], ['my own', 'a\nb']);
    assert.deepEqual(typed.events.map((event) => event.type), ['completed', 'completed', 'paused']);
    assert.deepEqual(one.events.map((event) => event.type), ['active', 'completed', 'other']);
  });

  test('is refused what makes no sense', async () => {
    for (const [path, status, code] of [
      ['/api/events?types=nonsense', 400, 'validation-failed'], ['/api/events?job=orders', 400, 'validation-failed'],
      ['/api/events?queue=nobody', 404, 'queue-unknown'], ['/api/events?queue=orders&job=orders/1', 400, 'validation-failed'],
    ]) {
      const answer = await listen(viewer, path);
      assert.deepEqual([answer.status, answer.json.code], [status, code], path);
    }
    assert.equal((await listen(viewer.as(null), '/api/events')).status, 401);
    const head = await viewer.request('HEAD', '/api/events');
    assert.equal(head.status, 200);
  });
});

describe('going on', () => {
  test('10 000 events while the connection breaks again and again: none is lost, none comes twice', async () => {
    const seen = [];
    await redis.admin.xadd(key('busy'), '*', 'event', 'drained');
    let listener = await listen(viewer, '/api/events?queue=busy,orders');
    let last = await eventually(() => listener.lastId || false, SLOW);
    listener.close();
    const load = (async () => {
      for (let i = 0; i < 10_000; i += 200) await happen('busy', 200, i);
    })();
    while (seen.at(-1) !== 9_999) {
      listener = await listen(viewer, '/api/events?queue=busy,orders', { headers: { 'last-event-id': last } });
      await eventually(() => listener.of('progress').length >= 300 || numbers(listener).at(-1) === 9_999, { ...SLOW, interval: 1 });
      listener.close();
      assert.equal(listener.of('resync').length, 0);
      seen.push(...numbers(listener));
      last = listener.lastId;
    }
    await load;
    assert.deepEqual(seen, upTo(10_000));
  });

  test('behind what the stream has kept there is a resync, and then what happens', async (t) => {
    const earlier = await listen(viewer, '/api/events?queue=short,mails');
    await happen('short', 10);
    await all(earlier, 10); // else the gateway might still be reading, and have it all to tell
    earlier.close();
    await eventually(async () => (await streams()) === 0, SLOW); // or it might hear these as well, and who comes next from it
    await happen('short', 50, 10);
    await redis.admin.xtrim(key('short'), 'MAXLEN', 5);
    const listener = await listen(viewer, '/api/events?queue=short,mails', { headers: { 'last-event-id': earlier.lastId } });
    t.after(() => listener.close());
    await listener.when((event) => event.type === 'resync', SLOW);
    await happen('short', 1, 60);
    await all(listener, 1);
    assert.deepEqual(listener.of('resync').map((event) => event.data), [{ queue: 'short' }]);
    assert.deepEqual(numbers(listener), [60]);
  });

  test('what was trimmed before it could be read is a resync for who listens, too', async (t) => {
    const listener = await listen(viewer, '/api/events?queue=burst');
    t.after(() => listener.close());
    for (const from of [0, 60]) { // into the empty stream, and behind what was read of it
      const burst = redis.admin.multi();
      for (let i = from; i < from + 60; i++) burst.xadd(key('burst'), '*', 'event', 'progress', 'jobId', String(i), 'data', JSON.stringify({ i }));
      await burst.xtrim(key('burst'), 'MAXLEN', 5).exec();
      await all(listener, (from / 60 + 1) * 5);
    }
    await redis.admin.del(key('burst'));
    await eventually(() => listener.of('resync').length === 3, SLOW);
    await happen('burst', 1, 120);
    await all(listener, 11);
    const told = listener.events.map(({ type, data }) => (type === 'resync' ? type : data.progress.i));
    assert.deepEqual(told, ['resync', 55, 56, 57, 58, 59, 'resync', 115, 116, 117, 118, 119, 'resync', 120]);
  });

  test('a queue in which nothing had happened yet is gone on with from its beginning', async (t) => {
    const earlier = await listen(viewer, '/api/events?queue=fresh,mails');
    await eventually(() => earlier.lastId !== '', SLOW);
    earlier.close();
    await happen('fresh', 3);
    const listener = await listen(viewer, '/api/events?queue=fresh,mails', { headers: { 'last-event-id': earlier.lastId } });
    t.after(() => listener.close());
    await all(listener, 3);
    assert.deepEqual(numbers(listener), [0, 1, 2]);
    assert.equal(listener.of('resync').length, 0);
    await redis.admin.xtrim(key('fresh'), 'MAXLEN', 1);
    const late = await listen(viewer, '/api/events?queue=fresh,mails', { headers: { 'last-event-id': earlier.lastId } });
    t.after(() => late.close());
    await late.when((event) => event.type === 'resync', SLOW);
    assert.deepEqual(numbers(late), []);
  });

  test('a cursor of other queues, or none at all, is a resync of each', async (t) => {
    for (const cursor of ['1-1', 'nonsense', '00000000~1-1~2-2']) {
      const listener = await listen(viewer, '/api/events?queue=short,mails', { headers: { 'last-event-id': cursor } });
      t.after(() => listener.close());
      await eventually(() => listener.of('resync').length === 2, SLOW);
      assert.deepEqual(listener.of('resync').map((event) => event.data.queue), ['short', 'mails']);
    }
  });

  test('Redis away and back with its data: the stream goes on, each event once', async (t) => {
    const own = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] });
    const gateway = await startSluice({ env: { REDIS_URL: own.url, SLUICE_QUEUES: QUEUES } });
    t.after(async () => {
      await gateway.stop();
      await own.stop();
    });
    const listener = await listen(gateway.client, '/api/events?queue=gone');
    await own.admin.xadd(key('gone'), '*', 'event', 'active', 'jobId', '1');
    await listener.when((event) => event.data.jobId === '1', SLOW);
    await own.kill();
    await own.start();
    await own.admin.xadd(key('gone'), '*', 'event', 'active', 'jobId', '2');
    await listener.when((event) => event.data.jobId === '2', SLOW);
    assert.deepEqual(listener.events.map((event) => [event.type, event.data.jobId]), [['active', '1'], ['active', '2']]);
  });

  test('Redis back without its data: a resync first', async (t) => {
    const own = await startRedis();
    const gateway = await startSluice({ env: { REDIS_URL: own.url, SLUICE_QUEUES: QUEUES }, allow: ['redis_data_lost'] });
    t.after(async () => {
      await gateway.stop();
      await own.stop();
    });
    const listener = await listen(gateway.client, '/api/events?queue=gone');
    await own.admin.xadd(key('gone'), '*', 'event', 'active', 'jobId', '1');
    await listener.when((event) => event.data.jobId === '1', SLOW);
    await own.kill();
    await own.start();
    await listener.when((event) => event.type === 'resync', SLOW);
    await own.admin.xadd(key('gone'), '*', 'event', 'active', 'jobId', '2');
    await listener.when((event) => event.data.jobId === '2', SLOW);
  });
});

describe('what jobs return', () => {
  test('is large: who resumes has it read in parts', async (t) => {
    const earlier = await listen(viewer, '/api/events?queue=large');
    await eventually(() => earlier.lastId !== '', SLOW);
    await finish('large', 1);
    await eventually(() => ids(earlier).length === 1, SLOW);
    earlier.close();
    await eventually(async () => (await streams()) === 0, SLOW); // none of these comes from the log of its view
    for (let i = 1; i <= 40; i += 10) await finish('large', 10, i);
    await noteCalls(t);
    const listener = await listen(viewer, '/api/events?queue=large', { headers: { 'last-event-id': earlier.lastId } });
    t.after(() => listener.close());
    await eventually(() => ids(listener).length === 40, SLOW);
    assert.deepEqual(ids(listener), upTo(40, 1));
    assert.equal(listener.of('resync').length, 0);
    const [first, ...others] = await counts('XRANGE', 'large');
    assert.ok(first <= 5, `${first} entries at first`);
    assert.ok(others.length >= 35 && others.every((count) => count <= 2), `then ${others}: one, and the one before it`);
  });

  test('is large behind many small ones: no reading runs into all of it', async (t) => {
    const earlier = await listen(viewer, '/api/events?queue=mixed');
    await happen('mixed', 1);
    await all(earlier, 1);
    earlier.close();
    await eventually(async () => (await streams()) === 0, SLOW);
    await happen('mixed', 300, 1);
    for (let i = 0; i < 20; i += 10) await finish('mixed', 10, i);
    await noteCalls(t);
    const listener = await listen(viewer, '/api/events?queue=mixed', { headers: { 'last-event-id': earlier.lastId } });
    t.after(() => listener.close());
    await eventually(() => ids(listener).length === 20, SLOW);
    assert.deepEqual(numbers(listener), upTo(300, 1));
    assert.deepEqual(ids(listener), upTo(20));
    const calls = await counts('XRANGE', 'mixed');
    assert.ok(Math.max(...calls) <= 17, `${calls} entries at a time`);
    await redis.admin.del(key('mixed'));
  });

  test('is large: who listens has it read in parts as well', async (t) => {
    const listener = await listen(viewer, '/api/events?queue=large');
    t.after(() => listener.close());
    await eventually(() => listener.lastId !== '', SLOW);
    await finish('large', 1, 100);
    await eventually(() => ids(listener).length === 1, SLOW);
    await noteCalls(t);
    await finish('large', 20, 101);
    await eventually(() => ids(listener).length === 21, SLOW);
    assert.deepEqual(ids(listener), upTo(21, 100));
    const calls = await counts('XREAD', 'large');
    assert.ok(calls.length >= 20 && calls.every((count) => count === 1), `${calls} entries at a time`);
    await redis.admin.del(key('large'));
  });

  test('is small: a thousand events take few readings', async (t) => {
    const earlier = await listen(viewer, '/api/events?queue=small');
    await happen('small', 1);
    await all(earlier, 1);
    earlier.close();
    await eventually(async () => (await streams()) === 0, SLOW);
    await happen('small', 1000, 1);
    await noteCalls(t);
    const listener = await listen(viewer, '/api/events?queue=small', { headers: { 'last-event-id': earlier.lastId } });
    t.after(() => listener.close());
    await all(listener, 1000);
    assert.deepEqual(numbers(listener), upTo(1000, 1));
    const calls = await counts('XRANGE', 'small');
    assert.ok(calls.length <= 9, `${calls} entries at a time`);
  });
});

describe('who may', () => {
  test('a producer follows a job of their own organization, to the end of its life', async () => {
    const producer = sluice.as({ sub: 'p', roles: ['producer'], org: 'acme' });
    const stranger = sluice.as({ sub: 'q', roles: ['producer'], org: 'other' });
    const { json: created } = await producer.post('/api/queues/own/jobs', { name: 'x', data: {}, opts: { jobId: 'mine' } });
    assert.equal((await listen(producer, '/api/events')).status, 403);
    assert.equal((await listen(producer, '/api/events?queue=own')).status, 403);
    const path = `/api/events?job=own/${created.jobId}`;
    assert.equal((await listen(stranger, path)).status, 404);
    assert.equal((await listen(producer, '/api/events?job=own/nobody')).status, 404);
    const listener = await listen(producer, path);
    await sluice.client.post('/api/queues/own/jobs/mine/remove');
    const end = await listener.when((event) => event.type === 'end', SLOW);
    assert.deepEqual(end.data, { reason: 'changed' });
    assert.ok(listener.of('removed').length === 1);
    await eventually(() => listener.ended, SLOW);
    assert.equal((await listen(producer, path)).status, 404);
  });

  for (const [how, remove] of [
    ['drained', () => sluice.client.post('/api/queues/own/drain', { confirm: 'own' })],
    ['forgotten', () => redis.admin.multi().del('bull:own:again').lrem('bull:own:wait', 0, 'again').exec()],
  ]) {
    test(`a producer does not follow another organization's job that gets the id of theirs, which was ${how}`, async () => {
      const add = (org) => sluice.as({ roles: ['producer'], org }).post('/api/queues/own/jobs', { name: org, data: {}, opts: { jobId: 'again' } });
      assert.equal((await add('acme')).json.created, true);
      const others = await listen(viewer, '/api/events?job=own/again'); // the hub knows the queue
      const listener = await listen(sluice.as({ sub: 'p', roles: ['producer'], org: 'acme' }), '/api/events?job=own/again');
      await redis.admin.xadd(key('own'), '*', 'event', 'progress', 'jobId', 'again', 'data', '1');
      await listener.when((event) => event.type === 'progress', SLOW);
      await remove();
      assert.equal((await add('other')).json.created, true);
      await redis.admin.xadd(key('own'), '*', 'event', 'progress', 'jobId', 'again', 'data', '2');
      assert.deepEqual((await listener.when((event) => event.type === 'end', SLOW)).data, { reason: 'changed' });
      assert.equal(listener.of('added').some((event) => event.data.name === 'other'), false);
      assert.deepEqual(listener.of('progress').map((event) => event.data.progress), [1]);
      others.close();
      await sluice.client.post('/api/queues/own/jobs/again/remove');
    });
  }

  test('with the token the stream ends', async () => {
    const brief = viewer.as(makeToken(sluice.secret, { sub: 'brief', roles: ['viewer'], ttl: 4 }));
    const listener = await listen(brief, '/api/events');
    const end = await listener.when((event) => event.type === 'end', SLOW);
    assert.deepEqual(end.data, { reason: 'token-expired' });
    await eventually(() => listener.ended, SLOW);
  });
});

describe('many', () => {
  test('300 listeners are one connection to Redis and no thread more', async (t) => {
    const threads = async () => Number(/Threads:\s+(\d+)/.exec(await readFile(`/proc/${sluice.child.pid}/status`, 'utf8'))[1]);
    const earlier = { threads: await threads(), clients: (await redis.admin.client('LIST')).split('\n').length };
    const listeners = [];
    for (let i = 0; i < 300; i++) listeners.push(await listen(viewer, '/api/events?queue=mails'));
    t.after(() => listeners.forEach((listener) => listener.close()));
    await happen('mails', 100);
    for (const listener of listeners) await all(listener, 100);
    for (const listener of listeners) assert.deepEqual(numbers(listener), upTo(100));
    assert.equal(await readersOf(), 1);
    assert.ok((await redis.admin.client('LIST')).split('\n').length <= earlier.clients + 1);
    assert.equal(await threads(), earlier.threads);
    assert.ok((await streams()) >= 300);
  });

  test('a burst comes in few pieces, each event once; the first word of a quiet stream is not held back for it', async (t) => {
    const listeners = await Promise.all(upTo(20).map((i) => listen(viewer, `/api/events?queue=${i % 2 ? 'mails' : 'mails,orders'}`)));
    t.after(() => listeners.forEach((listener) => listener.close()));
    for (const listener of listeners) await eventually(() => listener.lastId !== '', SLOW);
    const pieces = listeners.map(() => 0);
    let bytes = 0; // that the first was told; more than 64 KiB go out before the tenth is over, and are read in parts
    listeners.forEach((listener, i) => listener.response.on('data', () => pieces[i]++));
    listeners[0].response.on('data', (text) => (bytes += text.length));
    const began = performance.now();
    let n = 0;
    for (; n < 200 || performance.now() - began < 1000; n++) await happen('mails', 1, n);
    for (const listener of listeners) await all(listener, n);
    const tenths = (performance.now() - began) / 100; // one piece each, and the first
    const most = tenths + 5 + bytes / 16_384;
    assert.ok(most < n / 2, 'few');
    for (const [i, listener] of listeners.entries()) {
      assert.deepEqual(numbers(listener), upTo(n));
      assert.ok(pieces[i] <= most, `${pieces[i]} pieces in ${tenths.toFixed(1)} tenths of a second, of ${n} events and ${bytes} bytes`);
    }
  });

  test('who does not read is dropped, and the others hear everything', async (t) => {
    const good = await listen(viewer, '/api/events?queue=slow');
    t.after(() => good.close());
    const deaf = connect({ host: '127.0.0.1', port: sluice.port });
    t.after(() => deaf.destroy());
    deaf.on('error', () => {}).pause();
    deaf.write(`GET /api/events?queue=slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${viewer.token}\r\n\r\n`);
    const text = 'x'.repeat(3000);
    let sent = 0;
    await eventually(async () => {
      await happen('slow', 100, sent, text);
      sent += 100;
      await all(good, sent);
      return sluice.logs.find((entry) => entry.event === 'stream_ended' && entry.reason === 'too-slow');
    }, { ...SLOW, interval: 1 });
    assert.deepEqual(numbers(good), upTo(sent));
  });

  test('three quarters of the threads may listen; the next gets 503 and others their answers', async (t) => {
    const small = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: QUEUES, SLUICE_HTTP_THREADS: '16' } });
    const listeners = [];
    t.after(async () => {
      listeners.forEach((listener) => listener.close());
      await small.stop();
    });
    for (let i = 0; i < 12; i++) listeners.push(await listen(small.client, '/api/events'));
    assert.deepEqual(listeners.map((listener) => listener.status), Array(12).fill(200));
    const refused = await listen(small.client, '/api/events');
    assert.deepEqual([refused.status, refused.json.code, refused.headers['retry-after']], [503, 'overloaded', '1']);
    assert.equal((await small.client.get('/api/jobs/stats')).status, 200);
    listeners.pop().close();
    await eventually(async () => {
      const again = await listen(small.client, '/api/events');
      if (again.status === 200) listeners.push(again);
      return again.status === 200;
    }, SLOW);
  });

  test('when the gateway goes it says so and when to come again, and is not held up', async () => {
    const leaving = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: QUEUES } });
    const listeners = await Promise.all(upTo(20).map(() => listen(leaving.client, '/api/events')));
    const since = performance.now();
    await leaving.stop();
    for (const listener of listeners) {
      assert.deepEqual(listener.of('end').map((event) => event.data), [{ reason: 'shutting-down' }]);
      assert.equal(listener.retry, 1000);
    }
    assert.ok(performance.now() - since < 20_000);
  });
});
