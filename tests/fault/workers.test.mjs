// One queue, three kinds of workers: BullMQ's, an HTTP worker in Python, Sluice's own processors. Any of them is killed -9 at any time;
// every job is done, none is lost, and nobody ends a job that somebody else holds.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Child, ROOT, cleanEnvironment, eventually, freePort, temporaryFolder } from '../api/harness/index.mjs';
import { DOCUMENTS, LONG, Writers, addJob, chance, completed, durableRedis, gateway, inventory, putDocument, queueFile, saysAway } from './support.mjs';

const KILLS = LONG ? 200 : 24;
const BACKLOG = 60;
const NOBODYS = 'sluice-00000000000000000000000000000000';
const skip = spawnSync('python3', ['--version']).status !== 0 && 'needs python3';

function httpWorker(sluice, name, seconds) {
  return new Child('python3', [join(import.meta.dirname, 'http_worker.py'), join(ROOT, 'examples/clients'), DOCUMENTS, name, String(seconds)], {
    cwd: temporaryFolder(), env: cleanEnvironment({ SLUICE_URL: sluice.url, SLUICE_TOKEN: sluice.token({ sub: name, roles: ['worker'] }) }),
  });
}

const nodeWorker = (redis) => new Child(process.execPath, [join(import.meta.dirname, 'shared-worker.mjs'), redis.socket, DOCUMENTS], {
  cwd: temporaryFolder(), env: cleanEnvironment(),
});

// Three who can be killed and come back at once.
function mortals(t, sluice, redis) {
  const children = new Map();
  const births = { node: () => nodeWorker(redis), python: () => httpWorker(sluice, 'python', 0.06) };
  const born = (name) => children.set(name, births[name]());
  for (const name of Object.keys(births)) born(name);
  t.after(() => children.forEach((child) => child.killGroup('SIGKILL')));
  return {
    kill: {
      sluice: async () => {
        await sluice.kill();
        await sluice.start();
      },
      ...Object.fromEntries(Object.keys(births).map((name) => [name, async () => {
        children.get(name).killGroup('SIGKILL');
        await children.get(name).end(5_000);
        born(name);
      }])),
    },
    async stop() {
      for (const child of children.values()) {
        child.killGroup('SIGKILL');
        await child.end(5_000);
      }
    },
  };
}

// Tells, again and again, the end of jobs that others hold. Resolves with how often it was refused; anything else is an answer that must not be.
async function lie(sluice, redis, stopping) {
  const answers = new Map();
  while (!stopping()) {
    for (const id of await redis.lrange(`bull:${DOCUMENTS}:active`, 0, 3)) {
      const { status, json } = await sluice.client.post(`/api/queues/${DOCUMENTS}/jobs/${id}/complete`, { token: NOBODYS, returnvalue: { by: 'liar' } })
        .catch((error) => ({ status: 0, json: { code: error.code } }));
      const said = `${status} ${json?.code}`;
      answers.set(said, (answers.get(said) ?? 0) + 1);
    }
    await pause(20);
  }
  return answers;
}

async function whoDid(redis, ids) {
  const by = new Map();
  for (const id of ids) {
    const result = JSON.parse(await redis.hget(`bull:${DOCUMENTS}:${id}`, 'returnvalue'));
    const who = result.by ?? 'sluice';
    by.set(who, (by.get(who) ?? 0) + 1);
  }
  return Object.fromEntries(by);
}

test('any of three kinds of workers is killed, and every job is done', { skip, timeout: 15 * 60_000 }, async (t) => {
  const below = chance(t);
  const redis = await durableRedis(t);
  const sluice = await gateway(t, {
    env: { REDIS_URL: redis.url, PORT: String(await freePort()), SLUICE_QUEUES: queueFile({ concurrency: 2 }) },
  });
  const data = await putDocument(sluice);
  const { kill, stop } = mortals(t, sluice, redis);
  const done = () => redis.admin.zcard(`bull:${DOCUMENTS}:completed`);
  let finished = 0;
  let stopping = false;
  const counting = (async () => {
    while (!stopping) {
      finished = await done();
      await pause(10);
    }
  })();
  const writers = new Writers(sluice, { count: 4, data, lossy: true, mayFail: saysAway, held: (all) => all.acknowledged - finished > BACKLOG });
  const liar = lie(sluice, redis.admin, () => stopping);

  const names = Object.keys(kill);
  for (let n = 0; n < KILLS; n++) {
    const until = finished + 1 + below(30);
    await eventually(() => finished >= until, { timeout: 60_000, interval: 1, what: `the end of ${until} jobs` });
    await kill[names[n % names.length]]();
  }
  await writers.stop();
  const ids = [...writers.journal.keys()];
  await eventually(async () => (await done()) >= ids.length, { timeout: 60_000, what: `the end of ${ids.length} jobs` }).catch(() => {}); // said below
  stopping = true;
  await counting;
  const lies = Object.fromEntries(await liar);
  await stop();

  const jobs = await inventory(redis.admin);
  const again = [...jobs.values()].filter((job) => job.starts > 1).length;
  const by = await whoDid(redis.admin, jobs.keys());
  t.diagnostic(`${KILLS} kills, ${ids.length} jobs acknowledged, ${again} begun more than once, done by ${JSON.stringify(by)}, lies ${JSON.stringify(lies)}`);
  assert.deepEqual(ids.filter((id) => !jobs.has(id)), [], 'acknowledged and lost');
  assert.deepEqual([...jobs.keys()].filter((id) => !writers.journal.has(id)), [], 'made, and acknowledged to nobody');
  for (const [id, job] of jobs) {
    assert.equal(job.state, 'completed', id);
    assert.equal(job.made, 1, `${id} ended ${job.made} times`);
    assert.ok(job.starts > job.stalls, `${id} was taken ${job.starts} times and found stalled ${job.stalls} times`);
  }
  // Besides, a job comes back that was taken for a worker which was killed while it waited.
  const givenBack = [...jobs.values()].reduce((sum, job) => sum + job.starts - job.stalls - 1, 0);
  assert.ok(givenBack <= KILLS, `${givenBack} jobs were begun again without a cause`);
  assert.deepEqual(Object.keys(by).sort(), ['node', 'python', 'sluice'], 'each kind had a part, and the liar none');
  const believed = Object.keys(lies).filter((said) => !/^409 lock-lost$|^0 |^50[34] /.test(said));
  assert.deepEqual(believed, [], 'answers to somebody without the lock');
  assert.ok(lies['409 lock-lost'] > 0, 'nothing was tried without the lock');
  await sluice.stop();
});

test('an HTTP worker that slept past its lock is not believed', { skip, timeout: 60_000 }, async (t) => {
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ processor: 'none' }) } });
  const data = await putDocument(sluice);
  const began = (worker, id) => eventually(() => worker.lines.includes(`began ${id}`), { timeout: 20_000, what: `the beginning of ${id}` });

  const sleeper = httpWorker(sluice, 'sleeper', 'stop');
  t.after(() => sleeper.killGroup('SIGKILL'));
  const id = await addJob(sluice, data);
  await began(sleeper, id);
  const other = httpWorker(sluice, 'other', 0.01);
  t.after(() => other.killGroup('SIGKILL'));
  await began(other, id);
  assert.deepEqual((await completed(sluice, id)).returnvalue, { by: 'other' });
  sleeper.killGroup('SIGCONT');
  await eventually(() => sleeper.lines.includes(`${id}: not ours any more`), { what: 'the refusal' });
  assert.deepEqual((await completed(sluice, id)).returnvalue, { by: 'other' });
  for (const worker of [sleeper, other]) {
    worker.killGroup('SIGTERM');
    assert.equal((await worker.end(10_000)).code, 0);
  }
  await sluice.stop();
});
