// A Redis of the test's own, on a Unix socket and, if wanted, on a free port of loopback.
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { Child, temporaryFolder } from './child.mjs';
import { eventually } from './eventually.mjs';

// A port of loopback that is free, and below those that the kernel gives to whoever asks for any: nobody gets it by chance before it is used,
// or while its server is away.
export async function freePort() {
  const [first] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8').split(/\s+/).map(Number);
  for (;;) {
    const port = randomInt(10_000, Math.max(first, 20_000));
    const server = createServer().listen(port, '127.0.0.1');
    const free = await once(server, 'listening').then(() => true, () => false);
    if (!free) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

// startRedis({tcp: true}) also listens on a port. `password` is demanded of everybody; `args` are further redis-server options, `program` what runs
// them. Without `appendonly yes` nothing is kept.
export async function startRedis(options = {}) {
  const redis = new TestRedis(options);
  await redis.start();
  return redis;
}

class TestRedis {
  #clients = [];

  constructor({ tcp = false, password, args = [], folder = temporaryFolder('sluice-redis'), program = ['redis-server'] }) {
    if (password) args = ['--requirepass', password, ...args];
    Object.assign(this, { tcp, password, args, folder, program, socket: join(folder, 'redis.sock') });
  }

  async start() {
    await this.launch();
    await this.ready();
  }

  // Starts it without waiting for an answer; `args` are options for this time only.
  async launch(args = []) {
    this.port ??= this.tcp ? await freePort() : 0;
    const [file, ...before] = this.program;
    this.child = new Child(file, [
      ...before, '--port', String(this.port), '--bind', '127.0.0.1', '--unixsocket', this.socket, '--dir', this.folder, '--save', '', ...this.args, ...args,
    ]);
    this.admin ??= this.connect();
  }

  async ready(options = {}) {
    await eventually(async () => (await this.admin.ping()) === 'PONG', { what: 'an answer of redis-server', ...options });
  }

  get url() {
    const user = this.password ? `:${this.password}@` : '';
    return this.port ? `redis://${user}127.0.0.1:${this.port}` : `unix://${user}${this.socket}`;
  }

  // A connection as ioredis and BullMQ take it; closed by stop().
  connect(options = {}) {
    const client = new Redis({ path: this.socket, password: this.password, maxRetriesPerRequest: null, retryStrategy: () => 50, ...options });
    client.on('error', () => {}); // the server is stopped and killed on purpose
    this.#clients.push(client);
    return client;
  }

  pause() {
    this.child.signal('SIGSTOP');
  }

  resume() {
    this.child.signal('SIGCONT');
  }

  async kill() {
    this.child.signal('SIGKILL');
    await this.child.end(5_000);
    this.#cutUnfinished();
  }

  // Killed while it wrote what a script did, Redis 7.0 leaves a transaction without an end, and runs its beginning when it is started twice: as if
  // jobs had ended that nobody was told of. Whoever runs a Redis of their own has to do the same (docs/operations.md).
  #cutUnfinished() {
    const manifest = join(this.folder, 'appendonlydir/appendonly.aof.manifest');
    // Through a pipe of the shell's: it asks only where something is to be cut, and what writes the answer must not mind that nobody reads it.
    if (existsSync(manifest)) execFileSync('sh', ['-c', 'echo y | redis-check-aof --fix "$1"', 'sh', manifest], { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  async stop() {
    for (const client of this.#clients) client.disconnect();
    this.resume();
    this.child.signal('SIGTERM');
    await this.child.end(10_000);
  }
}
