// Redis without room: on its disk, in its memory. What it refuses is told as it is, what only reads goes on, and service comes back by itself.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { eventually, temporaryFolder } from '../api/harness/index.mjs';
import { DOCUMENTS, DURABLE, Executions, addJob, completed, durableRedis, embeddedStore, gatedProgram, gateway, inventory, putDocument, queueFile, saysAway } from './support.mjs';

const EVERYSEC = DURABLE.map((word) => (word === 'always' ? 'everysec' : word));

// A redis-server that hears of a file that may not grow by the failure of its write, as it hears of a full disk.
const BOUNDED = ['sh', '-c', 'trap "" XFSZ; exec redis-server "$@"', '-'];

// Its files may not grow any more; `grow` takes that back.
function stopGrowing(redis) {
  const folder = join(redis.folder, 'appendonlydir');
  const largest = Math.max(...readdirSync(folder).map((name) => statSync(join(folder, name)).size));
  const bound = (bytes) => execFileSync('prlimit', ['--pid', String(redis.child.pid), `--fsize=${bytes}:unlimited`]);
  bound(largest);
  return { grow: () => bound('unlimited') };
}

async function memoryShort(redis) {
  const used = Number(/^used_memory:(\d+)/m.exec(await redis.admin.info('memory'))[1]);
  await redis.admin.config('SET', 'maxmemory', String(Math.floor(used / 2)));
  return { grow: () => redis.admin.config('SET', 'maxmemory', '0') };
}

const SHORTAGES = [
  { of: 'the disk, under appendfsync everysec', begin: stopGrowing, code: 'redis-unavailable', detail: /^MISCONF /, ends: false, events: ['redis_disk_fails', 'redis_disk_works'] },
  { of: 'memory', begin: memoryShort, code: 'queue-full', detail: /OOM|MiB of memory/, ends: true, events: [] },
];

for (const { of, begin, code, detail, ends, events } of SHORTAGES) {
  test(`no room in ${of}: refused as what it is, and read as before`, { timeout: 90_000 }, async (t) => {
    const redis = await durableRedis(t, { args: EVERYSEC, program: BOUNDED });
    const gate = gatedProgram();
    // A Redis without room renews no lock: the one of the job that runs outlasts the shortage.
    const env = { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ lockDuration: 60_000 }) };
    const sluice = await gateway(t, { program: gate.program, env, allow: ['redis_disk_fails', 'job_finish_failed'] });
    const data = await putDocument(sluice);
    const executions = new Executions(sluice.logs);
    gate.shut();
    const ids = [await addJob(sluice, data)];
    await eventually(() => executions.running.length === 1, { what: 'a running job' });

    const shortage = await begin(redis);
    const submit = async () => {
      const answer = await sluice.client.post(`/api/jobs/${DOCUMENTS}`, data);
      if (answer.status === 201) ids.push(answer.json.jobId);
      return answer;
    };
    await eventually(async () => (await submit()).status === 503, { what: 'a refusal' });
    gate.open();
    for (let n = 0; n < 20; n++) {
      const { status, json, headers, text } = await submit();
      assert.deepEqual([status, json.code], [503, code], text);
      assert.match(json.detail, detail);
      assert.ok(Number(headers['retry-after']) > 0);
    }
    const [first] = ids;
    if (ends) await completed(sluice, first);
    else assert.equal((await sluice.client.get(`/api/jobs/status/${DOCUMENTS}/${first}`)).json.state, 'active');
    assert.equal((await sluice.client.get(`/api/jobs/stats/${DOCUMENTS}`)).status, 200);
    assert.equal((await sluice.client.get('/readyz')).status, 200, 'who reads is served');
    if (events.length) await sluice.logged(events[0]);
    const disk = (await sluice.client.get('/readyz?verbose')).json.checks.find(({ name }) => name === 'redis-disk');
    assert.deepEqual([disk.ok, disk.detail !== null], [true, events.length > 0]);

    await shortage.grow();
    await eventually(async () => (await submit()).status === 201, { what: 'service' });
    if (events.length) await sluice.logged(events[1]);
    for (const id of ids) await completed(sluice, id);
    for (const [id, job] of await inventory(redis.admin)) assert.deepEqual({ id, ...job }, { id, state: 'completed', starts: 1, stalls: 0, made: 1 });
    await sluice.stop();
  });
}

// A small file system; undefined where this user may not make one.
function smallDisk(t) {
  const folder = join(temporaryFolder('sluice-disk'), 'data');
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=700', 'tmpfs', folder], { stdio: 'pipe' });
  } catch {
    return undefined;
  }
  t.after(() => execFileSync('umount', ['-l', folder]));
  return folder;
}

// appendfsync always: Redis ends itself rather than answer for what is not on the disk, and is started anew until there is room.
test('no room in DATA_DIR: nothing that was acknowledged is lost, and service comes back with the room', { timeout: 120_000 }, async (t) => {
  const dataDir = smallDisk(t);
  if (!dataDir) return t.skip('only root may mount a small disk');
  const sluice = await gateway(t, { dataDir, env: { SLUICE_QUEUES: queueFile(), SLUICE_ROLE: 'api' }, allow: [/./] });
  const { pid } = sluice.child;
  const data = await putDocument(sluice);
  const ids = new Set([await addJob(sluice, data)]);
  const filler = join(dataDir, 'filler');
  const fill = () => {
    try {
      writeFileSync(filler, Buffer.alloc(8 << 20), { flag: 'a' });
    } catch (error) {
      assert.equal(error.code, 'ENOSPC');
    }
  };
  let refused = 0;
  await eventually(async () => {
    if (!existsSync(filler) || refused < 10) fill();
    const answer = await sluice.client.post(`/api/jobs/${DOCUMENTS}`, data);
    if (answer.status === 201) ids.add(answer.json.jobId);
    else assert.ok(saysAway(answer), answer.text);
    refused += answer.status !== 201;
    return refused >= 30;
  }, { timeout: 60_000, what: 'thirty refusals' });
  const put = await sluice.client.put('/api/documents/another', 'x'.repeat(100_000), { headers: { 'content-type': 'text/plain' } });
  assert.deepEqual([put.status, put.json.code], [507, 'storage-full']);
  assert.equal((await sluice.client.get('/livez')).status, 200);
  rmSync(filler);
  const id = await eventually(() => addJob(sluice, data), { timeout: 30_000, what: 'service' });
  ids.add(id);
  const jobs = await inventory(embeddedStore(t, sluice));
  assert.deepEqual([...ids].filter((one) => !jobs.has(one)), [], 'acknowledged and lost');
  assert.equal(sluice.child.pid, pid);
  await sluice.stop();
});
