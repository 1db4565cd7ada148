// What the tests of a file share: a Redis, a gateway on it, and BullMQ's own objects beside it. It is closed behind the last one.
import { after } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { startRedis } from './redis.mjs';
import { startSluice } from './sluice.mjs';

// redis: startRedis' options. sluice: startSluice's, without REDIS_URL; null: no gateway.
export async function openStage({ redis = {}, sluice = {} } = {}) {
  const stage = new Stage();
  after(() => stage.close());
  await stage.open(redis, sluice);
  return stage;
}

class Stage {
  #kept = [];

  // Another thing that is to be closed.
  keep = (thing) => {
    this.#kept.push(thing);
    return thing;
  };

  queue = (name) => this.keep(new Queue(name, { connection: this.redis.connect() }));

  worker = (name, processor, options) => this.keep(new Worker(name, processor, { connection: this.redis.connect(), ...options }));

  // A worker that takes the jobs that the test tells it to.
  hand = (name, options) => this.worker(name, null, options);

  async open(redis, sluice) {
    this.redis = await startRedis(redis);
    if (sluice) this.sluice = await startSluice({ ...sluice, env: { REDIS_URL: this.redis.url, ...sluice.env } });
  }

  async close() {
    for (const thing of this.#kept.reverse()) await thing.close();
    await this.sluice?.stop();
    await this.redis?.stop();
  }
}

// Failed jobs without the work of failing them, or of telling Redis of each.
export const failedJobs = (redis, name, n) => redis.admin.eval(`
  redis.call('HSET', KEYS[1] .. ':meta', 'opts.maxLenEvents', '10000')
  for i = 0, ARGV[1] - 1 do
    local id, at = 'f-' .. i, 1000 + i
    redis.call('HSET', KEYS[1] .. ':' .. id, 'name', 'x', 'data', '{}', 'opts', '{}', 'timestamp', at, 'finishedOn', at, 'failedReason', 'no', 'atm', 1)
    redis.call('ZADD', KEYS[1] .. ':failed', at, id)
  end`, 1, `bull:${name}`, n);
