// The proxy of compose.yaml before processes of a test.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Child, ROOT, eventually, freePort, temporaryFolder } from '../api/harness/index.mjs';

// The shipped configuration with these servers, on a free port, with a socket to steer it by.
export async function startEdge(t, ports) {
  const folder = temporaryFolder('sluice-edge');
  const port = await freePort();
  const steering = join(folder, 'steering');
  // A machine that is busy may answer a check late; a process that is gone refuses it at once.
  const servers = ['    timeout check 10s', ...ports.map((at, i) => `    server s${i} 127.0.0.1:${at} check inter 100ms`)].join('\n');
  const shipped = readFileSync(join(ROOT, 'examples/compose/haproxy.cfg'), 'utf8');
  const config = shipped.replace(/^ +bind .*$/m, `    bind 127.0.0.1:${port}`).replace(/^ +server-template .*$/m, servers)
    .replace(/^global$/m, `global\n    stats socket ${steering} level admin`);
  assert.ok(config.includes(servers) && config.includes(`:${port}`), 'the configuration has changed its form');
  writeFileSync(join(folder, 'haproxy.cfg'), config);
  const edge = new Child('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { env: process.env });
  t.after(() => edge.killGroup('SIGKILL'));
  const command = (text) => new Promise((resolve, reject) => {
    let answer = '';
    connect(steering, function begin() { this.write(`${text}\n`); }).on('data', (data) => (answer += data)).on('error', reject).on('close', () => resolve(answer));
  });
  // A server's row of statistics: {status: 'UP', scur: '0', …}.
  const row = async (server) => {
    const [head, ...rows] = (await command('show stat api 4 -1')).trim().split('\n').map((line) => line.replace(/^# /, '').split(','));
    const found = rows.find((cells) => cells[1] === server);
    return Object.fromEntries(head.map((name, i) => [name, found[i]]));
  };
  // Takes a server out, and waits until nobody is on it any more.
  const drain = async (server) => {
    await command(`set server api/${server} state drain`);
    await eventually(async () => (await row(server)).scur === '0', { timeout: 30_000, what: 'the last request of a process' });
  };
  const restore = async (server) => {
    await command(`set server api/${server} state ready`);
    await eventually(async () => (await row(server)).status === 'UP', { timeout: 30_000, what: 'the new process behind the proxy' });
  };
  return { port, drain, restore };
}
