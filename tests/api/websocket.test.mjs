// The same events on a WebSocket: who may, what goes over it, and what no client should send.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { declare, eventually, makeToken, startRedis, startSluice } from './harness/index.mjs';

const SLOW = { timeout: 60_000 };
const QUEUES = declare(...['orders', 'mails', 'slow', 'past'].map((name) => ({ name, processor: 'none' })));
const key = (queue) => `bull:${queue}:events`;

let redis;
let sluice;
let token;

before(async () => {
  redis = await startRedis();
  sluice = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: QUEUES } });
  token = sluice.token({ sub: 'eve', roles: ['viewer'] });
});
after(async () => {
  await sluice.stop();
  await redis.stop();
});

// Node's own client. Resolves when it is open, or with {refused} when it never is.
function open(path, { headers = { authorization: `Bearer ${token}` }, protocols, port = sluice.port } = {}) {
  return new Promise((resolve) => {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers, protocols });
    socket.messages = [];
    socket.onmessage = ({ data }) => socket.messages.push(JSON.parse(data));
    socket.onclose = ({ code, reason }) => (socket.ended = { code, reason });
    socket.onerror = () => resolve({ refused: true });
    socket.onopen = async () => {
      await sluice.client.check({ method: 'GET', path, status: 101, headers: {} });
      resolve(socket);
    };
  });
}
const events = (socket) => socket.messages.filter((message) => message.type !== 'cursor');
const when = (socket, fits) => eventually(() => socket.messages.find(fits), { ...SLOW, what: 'the message' });
const ended = (socket) => eventually(() => socket.ended, { ...SLOW, what: 'the end' });
const happen = (queue, jobId, text) =>
  redis.admin.xadd(key(queue), '*', 'event', 'progress', 'jobId', String(jobId), 'data', JSON.stringify({ i: jobId, text }));

// The handshake by hand: {status, socket, frames()}; frames are {opcode, payload}.
async function raw(headers = {}, path = '/api/ws') {
  const socket = connect({ host: '127.0.0.1', port: sluice.port, noDelay: true });
  let bytes = Buffer.alloc(0);
  const connection = { socket, closed: false };
  socket.on('data', (chunk) => (bytes = Buffer.concat([bytes, chunk]))).on('error', () => {}).on('close', () => (connection.closed = true));
  const fields = {
    Host: `127.0.0.1:${sluice.port}`, Upgrade: 'websocket', Connection: 'Upgrade', 'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': randomBytes(16).toString('base64'), Authorization: `Bearer ${token}`, ...headers,
  };
  const lines = Object.entries(fields).filter(([, value]) => value !== null).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`);
  const end = await eventually(() => (bytes.indexOf('\r\n\r\n') > 0 ? bytes.indexOf('\r\n\r\n') + 4 : null), SLOW);
  connection.head = bytes.toString('latin1', 0, end);
  connection.status = Number(/^HTTP\/1\.1 (\d+)/.exec(connection.head)[1]);
  connection.frames = () => {
    const found = [];
    for (let at = end; at + 2 <= bytes.length;) {
      const short = bytes[at + 1] & 127;
      const length = short === 126 ? bytes.readUInt16BE(at + 2) : short;
      const from = at + 2 + (short === 126 ? 2 : 0);
      if (from + length > bytes.length) break;
      found.push({ opcode: bytes[at] & 15, masked: bytes[at + 1] > 127, payload: bytes.subarray(from, from + length) });
      at = from + length;
    }
    return found;
  };
  connection.frame = (opcode) => eventually(() => connection.frames().find((frame) => frame.opcode === opcode), SLOW);
  connection.send = (opcode, payload = Buffer.alloc(0)) => {
    const mask = randomBytes(4);
    socket.write(Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | payload.length]), mask, payload.map((byte, i) => byte ^ mask[i % 4])]));
  };
  return connection;
}

describe('a WebSocket', () => {
  test('tells events as messages, and goes on from a cursor', async () => {
    const socket = await open('/api/ws?queue=orders,mails');
    await when(socket, (message) => message.type === 'cursor');
    await happen('orders', 1);
    await happen('mails', 2);
    await when(socket, (message) => message.data?.jobId === '2');
    assert.deepEqual(events(socket).map(({ type, data }) => [type, data.queue, data.progress.i]), [['progress', 'orders', 1], ['progress', 'mails', 2]]);
    const { id } = events(socket)[0];
    socket.close();
    await ended(socket);
    const again = await open(`/api/ws?queue=orders,mails&lastEventId=${encodeURIComponent(id)}`);
    await when(again, (message) => message.data?.jobId === '2');
    await happen('orders', 3);
    await when(again, (message) => message.data?.jobId === '3');
    assert.deepEqual(events(again).map(({ data }) => data.progress.i), [2, 3]);
    again.close();
    assert.equal((await ended(again)).code, 1000);
  });

  test('is told a past that is longer than what its client may say', async () => {
    const before = await open('/api/ws?queue=past');
    await when(before, (message) => message.type === 'cursor');
    const { id } = before.messages[0];
    before.close();
    await ended(before);
    for (let i = 0; i < 30; i++) await happen('past', i, 'x'.repeat(1000));
    for (let i = 0; i < 5; i++) {
      const again = await open(`/api/ws?queue=past&lastEventId=${encodeURIComponent(id)}`);
      await when(again, (message) => message.data?.jobId === '29');
      assert.deepEqual(events(again).map(({ data }) => data.progress?.i), Array.from({ length: 30 }, (_, n) => n));
      again.close();
      await ended(again);
    }
    assert.equal(sluice.logs.find(({ event }) => event === 'redis_lost'), undefined);
  });

  test('asks for a token in a header, or the cookie of a page of this server', async () => {
    const cookie = `sluice-session=${token}`;
    const origin = `http://127.0.0.1:${sluice.port}`;
    for (const [headers, path, status] of [
      [{ Authorization: null }, '/api/ws', 401],
      [{ Authorization: null }, `/api/ws?access_token=${token}`, 401],
      [{ Authorization: null, 'Sec-WebSocket-Protocol': `bearer, ${token}` }, '/api/ws', 401],
      [{ Authorization: null, Cookie: cookie }, '/api/ws', 403],
      [{ Authorization: null, Cookie: cookie, Origin: 'http://elsewhere.example' }, '/api/ws', 403],
      [{ Authorization: null, Cookie: cookie, Origin: origin }, '/api/ws', 101],
      [{ Upgrade: null, Connection: null }, '/api/ws', 426],
      [{ 'Sec-WebSocket-Version': '8' }, '/api/ws', 426],
      [{ 'Sec-WebSocket-Key': 'short' }, '/api/ws', 426],
      [{}, '/api/%77s', 404],
      [{}, '/api/ws?queue=nobody', 404],
      [{ Authorization: `Bearer ${sluice.token({ roles: ['producer'] })}` }, '/api/ws', 403],
    ]) {
      const connection = await raw(headers, path);
      assert.equal(connection.status, status, `${path} ${JSON.stringify(headers)}`);
      connection.socket.destroy();
    }
  });

  test('answers pings, and takes leave as it should', async () => {
    const connection = await raw();
    connection.send(9, Buffer.from('are you there'));
    assert.equal((await connection.frame(10)).payload.toString(), 'are you there');
    connection.send(8, Buffer.from([3, 232]));
    assert.equal((await connection.frame(8)).payload.readUInt16BE(0), 1000);
    await eventually(() => connection.closed, SLOW);
    assert.ok(connection.frames().every((frame) => !frame.masked));
  });

  test('takes nothing else', async () => {
    const talker = await raw();
    talker.send(1, Buffer.from('hello'));
    assert.equal((await talker.frame(8)).payload.readUInt16BE(0), 1003);
    await eventually(() => talker.closed, SLOW);
    // A frame that announces two gigabytes, and one that never ends.
    for (const head of [[0x82, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0, 0], [0x82, 0xfe, 0xff, 0xff]]) {
      const huge = await raw();
      huge.socket.write(Buffer.concat([Buffer.from(head), randomBytes(4), Buffer.alloc(64 << 10)]));
      await eventually(() => huge.closed, SLOW);
    }
    assert.equal((await sluice.client.get('/api/jobs/stats')).status, 200);
  });

  test('ends with the token, and when the gateway goes', async () => {
    const brief = await open('/api/ws', { headers: { authorization: `Bearer ${makeToken(sluice.secret, { roles: ['viewer'], ttl: 4 })}` } });
    assert.deepEqual(await ended(brief), { code: 4001, reason: 'token-expired' });
    const leaving = await startSluice({ env: { REDIS_URL: redis.url, SLUICE_QUEUES: QUEUES } });
    const authorization = `Bearer ${leaving.token({ roles: ['viewer'] })}`;
    const sockets = await Promise.all(Array.from({ length: 10 }, () => open('/api/ws', { headers: { authorization }, port: leaving.port })));
    await leaving.stop();
    for (const socket of sockets) {
      assert.deepEqual(await ended(socket), { code: 1001, reason: 'shutting-down' });
      assert.deepEqual(socket.messages.at(-1), { type: 'end', data: { reason: 'shutting-down' } });
    }
  });

  test('who does not read is dropped, and the others hear everything', async () => {
    const good = await open('/api/ws?queue=slow');
    const deaf = await raw({}, '/api/ws?queue=slow');
    deaf.socket.pause();
    let sent = 0;
    await eventually(async () => {
      for (let i = 0; i < 100; i++) await happen('slow', sent++, 'x'.repeat(3000));
      await eventually(() => events(good).length === sent, SLOW);
      return sluice.logs.find((entry) => entry.event === 'stream_ended' && entry.reason === 'too-slow');
    }, { ...SLOW, interval: 1 });
    assert.deepEqual(events(good).map(({ data }) => data.progress.i), Array.from({ length: sent }, (_, i) => i));
    good.close();
    deaf.socket.destroy();
  });
});
