// A group of Redis servers that sentinels watch, all on free ports of loopback.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { Child, temporaryFolder } from './child.mjs';
import { eventually } from './eventually.mjs';
import { freePort, startRedis } from './redis.mjs';

const DOWN_AFTER_MS = 600;

// args: of every server; `password` is demanded by the servers, `sentinelPassword` by the sentinels.
export async function startGroup({ name = 'mymaster', servers = 2, sentinels = 3, args = [], password, sentinelPassword } = {}) {
  const group = new Group({ name, args, password, sentinelPassword });
  for (let i = 0; i < servers; i++) await group.addServer();
  for (let i = 0; i < sentinels; i++) await group.addSentinel();
  await group.whole();
  return group;
}

class Group {
  servers = [];
  sentinels = [];
  switches = []; // when one of the sentinels said that there is another master

  constructor(options) {
    Object.assign(this, options);
  }

  // What REDIS_SENTINELS is to say.
  get addresses() {
    return this.sentinels.map(({ port }) => `127.0.0.1:${port}`).join();
  }

  async addServer() {
    const [first] = this.servers;
    const follow = first ? ['--replicaof', '127.0.0.1', String(first.port)] : [];
    const secret = this.password ? ['--masterauth', this.password] : [];
    this.servers.push(await startRedis({ tcp: true, password: this.password, args: [...this.args, ...follow, ...secret] }));
  }

  async addSentinel() {
    const port = await freePort();
    const folder = temporaryFolder('sluice-sentinel');
    const file = join(folder, 'sentinel.conf');
    const lines = [`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`, `sentinel monitor ${this.name} 127.0.0.1 ${this.servers[0].port} 2`,
      `sentinel down-after-milliseconds ${this.name} ${DOWN_AFTER_MS}`, `sentinel failover-timeout ${this.name} 3000`, `sentinel parallel-syncs ${this.name} 1`];
    if (this.password) lines.push(`sentinel auth-pass ${this.name} ${this.password}`);
    if (this.sentinelPassword) lines.push(`requirepass ${this.sentinelPassword}`, `sentinel sentinel-pass ${this.sentinelPassword}`);
    writeFileSync(file, `${lines.join('\n')}\n`);
    const child = new Child('redis-server', [file, '--sentinel']);
    const admin = new Redis({ port, password: this.sentinelPassword, maxRetriesPerRequest: null, retryStrategy: () => 50 });
    const ear = admin.duplicate();
    for (const client of [admin, ear]) client.on('error', () => {});
    ear.on('message', () => this.switches.push(performance.now()));
    this.sentinels.push({ port, child, admin, ear, folder });
    await ear.subscribe('+switch-master');
  }

  // Waits until every server is there, the replicas have all the master has, and every sentinel knows all the others.
  async whole({ timeout = 60_000 } = {}) {
    await eventually(async () => {
      const master = await this.master();
      const { role, replicas } = await roleOf(master);
      if (role !== 'master' || replicas.length !== this.servers.length - 1 || replicas.some(([, , offset]) => Number(offset) === 0)) return false;
      const told = await Promise.all(this.sentinels.map(({ admin }) => admin.call('SENTINEL', 'MASTER', this.name)));
      const facts = told.map((list) => Object.fromEntries(list.flatMap((value, i) => (i % 2 ? [] : [[value, list[i + 1]]]))));
      return facts.every((fact) => fact.flags === 'master' && Number(fact.port) === master.port &&
        Number(fact['num-slaves']) === this.servers.length - 1 && Number(fact['num-other-sentinels']) === this.sentinels.length - 1);
    }, { timeout, interval: 100, what: 'a group that is whole' });
    return this.master();
  }

  // The server that most sentinels take for the master.
  async master() {
    const votes = new Map();
    for (const { admin } of this.sentinels) {
      const [, port] = await admin.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name);
      votes.set(Number(port), (votes.get(Number(port)) ?? 0) + 1);
    }
    const [port] = [...votes].sort(([, a], [, b]) => b - a)[0];
    return this.servers.find((server) => server.port === port);
  }

  // Waits for another master than this one; it.
  async successor(old, { timeout = 60_000 } = {}) {
    return eventually(async () => {
      const now = await this.master();
      return now !== old && (await roleOf(now)).role === 'master' && now;
    }, { timeout, interval: 50, what: 'another master' });
  }

  async stop() {
    for (const { child, admin, ear } of this.sentinels) {
      for (const client of [admin, ear]) client.disconnect();
      child.signal('SIGCONT');
      child.signal('SIGTERM');
      await child.end(10_000);
    }
    for (const server of this.servers) if (server.child.running) await server.stop();
  }
}

async function roleOf(server) {
  const [role, , replicas] = await server.admin.call('ROLE');
  return { role, replicas };
}
