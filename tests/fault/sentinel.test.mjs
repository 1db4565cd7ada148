// Redis watched by sentinels: the master changes under load, by order, by death and by silence, and Sluice follows.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually, runSluice, startGroup } from '../api/harness/index.mjs';
import { DOCUMENTS, DURABLE, Executions, LONG, Writers, addJob, balance, completed, gateway, inventory, putDocument, queueFile, saysAway } from './support.mjs';

// A master without a replica takes no writes: one that is cut off, or was replaced and has not heard of it, does not go on alone.
const CAUTIOUS = [...DURABLE, '--min-replicas-to-write', '1', '--min-replicas-max-lag', '10', '--repl-diskless-sync-delay', '0'];
const WRITERS = 4;

async function world(t, options) {
  const group = await startGroup({ args: CAUTIOUS, ...options });
  t.after(() => group.stop());
  const sluice = await gateway(t, {
    env: {
      REDIS_SENTINELS: group.addresses, REDIS_SENTINEL_MASTER: group.name, SLUICE_QUEUES: queueFile(), SLUICE_REDIS_CONNECT_TIMEOUT: '1s', SLUICE_REDIS_TIMEOUT: '2s',
    },
    allow: ['redis_data_lost', 'job_finish_failed'],
  });
  const executions = new Executions(sluice.logs, { forgetful: true });
  let over = false;
  let backlog = 0; // as Redis has it: of what was acknowledged, some may be lost
  const measuring = (async () => {
    for (; !over; await pause(50)) {
      const { status, json } = await sluice.client.get(`/api/jobs/stats/${DOCUMENTS}`).catch(() => ({}));
      if (status === 200) backlog = json.waiting + json.active;
    }
  })();
  const end = async () => {
    over = true;
    await measuring;
  };
  t.after(end);
  const writers = new Writers(sluice, { data: await putDocument(sluice), count: WRITERS, mayFail: saysAway, held: () => backlog > 40 });
  const more = (n) => {
    const goal = writers.acknowledged + n;
    return eventually(() => writers.acknowledged >= goal, { timeout: 120_000, interval: 5, what: `${n} further acknowledgements` });
  };
  const stop = async () => {
    await end();
    await sluice.stop();
  };
  return { group, sluice, executions, writers, more, stop };
}

const rounds = (n) => Array.from({ length: n }, (_, i) => i);

// The old master answers until its replicas have gone, or until Sluice has heard of the new one, which it asks for once a second. What it had answered
// for since is lost: that much asynchronous replication can lose.
test('failovers by order under load: service goes on', { timeout: 1_800_000, skip: LONG ? false : 'a long test' }, async (t) => {
  const { group, writers, more, stop } = await world(t, { servers: 3 });
  const gaps = [];
  const began = performance.now();
  for (const round of rounds(30)) {
    await more(20);
    const old = await group.whole();
    const since = performance.now();
    await group.sentinels[round % group.sentinels.length].admin.call('SENTINEL', 'FAILOVER', group.name);
    await group.successor(old);
    await more(WRITERS + 1); // what the old master had begun to answer is out
    gaps.push(Math.round(performance.now() - since));
  }
  const perSecond = writers.acknowledged / ((performance.now() - began) / 1000);
  await writers.stop();
  const master = await group.whole();
  const settled = async () => [...(await inventory(master.admin)).values()].every(({ state }) => state === 'completed');
  await eventually(settled, { timeout: 60_000, interval: 200, what: `the end of ${writers.acknowledged} jobs` });
  const jobs = await inventory(master.admin);
  const lost = [...writers.journal.keys()].filter((id) => !jobs.has(id));
  t.diagnostic(`${writers.acknowledged} acknowledged, ${lost.length} lost, which were on their way to the replica; ms to service: ${gaps.join(' ')}`);
  assert.ok(lost.length <= gaps.length * (WRITERS + perSecond), `${lost.length} acknowledged jobs are lost`);
  assert.deepEqual([...jobs.keys()].filter((id) => !writers.journal.has(id)), [], 'made, and acknowledged to nobody');
  await stop();
});

// A master answers its clients and tells its replicas in the same turn, one after the other: what it was stopped between is lost.
test('masters that die or fall silent under load: no job is lost but what was on its way to a replica', { timeout: LONG ? 3_000_000 : 240_000 }, async (t) => {
  const { group, executions, writers, more, stop } = await world(t, { servers: 3 });
  const gaps = [];
  const faults = [];
  let master;
  for (const round of rounds(LONG ? 20 : 1)) {
    await more(20);
    const old = await group.whole({ timeout: 120_000 });
    const since = performance.now();
    faults.push(since);
    if (round % 2) old.pause();
    else await old.kill();
    master = await group.successor(old);
    await more(WRITERS + 1);
    gaps.push(Math.round(performance.now() - since));
    if (round % 2) old.resume();
    else await old.launch();
  }
  await writers.stop();
  t.diagnostic(`ms from the fault to service: ${gaps.join(' ')}; sentinels spoke of another master ${group.switches.length} times`);
  // On a busy machine the sentinels may take a master for dead that is not.
  await balance(t, { redis: master.admin, writers, executions, inFlight: executions.running, failovers: [...faults, ...group.switches] });
  await stop();
});

test('sentinels with a password, some of them gone, and a name that nobody knows', { timeout: 120_000 }, async (t) => {
  const group = await startGroup({ name: 'jobs', args: DURABLE, servers: 1, sentinels: 2, password: 'servers', sentinelPassword: 'sentinels' });
  t.after(() => group.stop());
  const env = {
    REDIS_SENTINELS: `127.0.0.1:1,${group.addresses}`, REDIS_SENTINEL_MASTER: 'jobs', REDIS_PASSWORD: 'servers', REDIS_SENTINEL_PASSWORD: 'sentinels', SLUICE_QUEUES: queueFile(),
  };
  const sluice = await gateway(t, { env: { ...env } });
  const data = await putDocument(sluice);
  await completed(sluice, await addJob(sluice, data));
  assert.equal((await sluice.logged('redis_up')).redis, `redis://127.0.0.1:${group.servers[0].port}/0`);
  const [first] = group.sentinels;
  first.child.signal('SIGKILL');
  await first.child.end(5000);
  await completed(sluice, await addJob(sluice, data));
  await sluice.stop();

  const doctor = (changes) => runSluice(['doctor'], { env: { ...env, ...changes } });
  assert.match((await doctor({})).text, /redis:\/\/127\.0\.0\.1:\d+\/0 answers|redis:\/\/jobs\/0 answers/);
  assert.match((await doctor({ REDIS_SENTINEL_MASTER: 'nobody' })).text, /no sentinel tells where the master nobody is/);
  assert.match((await doctor({ REDIS_SENTINEL_PASSWORD: 'wrong' })).text, /no sentinel tells where the master jobs is.*(WRONGPASS|refused)/);
  assert.match((await doctor({ REDIS_URL: 'redis://localhost' })).text, /set neither REDIS_URL nor REDIS_HOST beside them/);
  assert.match((await doctor({ REDIS_SENTINELS: 'redis://x' })).text, /is no host:port/);

  const lost = await gateway(t, { env: { ...env, REDIS_SENTINEL_MASTER: 'nobody' } });
  const refused = await lost.client.post(`/api/jobs/${DOCUMENTS}`, data);
  assert.ok(saysAway(refused), refused.text);
  assert.match((await lost.logged('redis_sentinels_silent')).error, /nobody/);
  await lost.stop();
});
