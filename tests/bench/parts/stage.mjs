// Everything that a measurement needs, started here and ended with this program: Redis in its three modes, Sluice, the peers.
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { BUILD, Child, SLUICE, cleanEnvironment, eventually, freePort, makeToken, startRedis, temporaryFolder } from '../../api/harness/index.mjs';

const REDIS_MODES = {
  memory: [],
  everysec: ['--appendonly', 'yes', '--appendfsync', 'everysec'],
  always: ['--appendonly', 'yes', '--appendfsync', 'always'],
};

export const PEERS = join(import.meta.dirname, '../peers');
export const SLUICE_BUILD = BUILD;

// {redis, targets: {sluice, ...peers}, empty(), stop()}; a target is {url, pid, token}, and sluice's as(claims) makes other tokens.
export async function startStage({ mode = 'memory', peers = [], env = {} } = {}) {
  const redis = await startStore(mode);
  const targets = { sluice: await startGateway(redis, env) };
  for (const peer of peers) targets[peer] = await startPeer(peer, redis);
  const stop = async () => {
    for (const target of Object.values(targets)) await target.stop();
    await redis.stop();
  };
  return { redis, targets, stop, empty: () => redis.admin.flushall() };
}

export async function startStore(mode) {
  const redis = await startRedis({ args: ['--maxmemory-policy', 'noeviction', '--auto-aof-rewrite-percentage', '0', ...REDIS_MODES[mode]] });
  redis.pid = redis.child.pid;
  return redis;
}

// It runs no jobs and logs warnings only, as the peers do; so the line "listening" cannot be waited for.
export async function startGateway(redis, env, program = SLUICE) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const secret = randomBytes(32).toString('hex');
  const folder = temporaryFolder();
  const child = new Child(program, ['serve'], {
    cwd: folder,
    env: cleanEnvironment({
      HOST: '127.0.0.1', PORT: port, DATA_DIR: folder, JWT_SECRET: secret, REDIS_URL: redis.url, SLUICE_ROLE: 'api', LOG_LEVEL: 'warn', ...env,
    }),
  });
  await eventually(async () => (await fetch(`${url}/readyz`)).ok, { what: `${program} being ready` });
  const as = (claims) => makeToken(secret, claims);
  return { url, pid: child.pid, token: as({ roles: ['producer', 'operator'] }), as, stop: () => end(child) };
}

// The peer "jwt" is the one in Fastify, which then verifies a token of each request.
async function startPeer(name, redis) {
  const secret = name === 'jwt' ? randomBytes(32).toString('hex') : '';
  const file = join(PEERS, `${name === 'jwt' ? 'fastify' : name}.mjs`);
  const target = await startServer(process.execPath, [file, redis.socket, secret], name);
  return { ...target, token: secret && makeToken(secret, { roles: ['producer'] }) };
}

// A program that prints "listening PORT".
export async function startServer(program, args, name = program) {
  const child = new Child(program, args, { env: cleanEnvironment({ NODE_ENV: 'production' }) });
  const line = await eventually(() => child.lines.find((text) => text.startsWith('listening ')) ?? (child.running ? null : 'ended'), {
    timeout: 30_000, what: `${name} listening`,
  });
  if (line === 'ended') throw new Error(`${name} ended:\n${child.tail()}`);
  return { url: `http://127.0.0.1:${line.split(' ')[1]}`, pid: child.pid, token: '', stop: () => end(child) };
}

async function end(child) {
  child.signal('SIGTERM');
  await child.end(30_000);
}
