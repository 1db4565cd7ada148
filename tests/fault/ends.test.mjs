// Redis is killed while workers end many jobs in one request: what each of them is told of each job is true.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../api/harness/index.mjs';
import { LONG, chance, durableRedis, gateway, inventory, queueFile, saysAway } from './support.mjs';

const QUEUE = 'many';
const KILLS = LONG ? 100 : 6;
const BATCH = 150; // jobs before each kill

// Leases, and says how the jobs ended until it is heard. Keeps what it said of each job, and what it was answered.
class Ender {
  told = []; // {id, done, word, answer, unsure: it was said before, and the outcome was unknown}
  answers = new Map();
  onSend = () => {};

  constructor(sluice, below, name) {
    Object.assign(this, { sluice, below, name });
  }

  async run(stopping) {
    while (!stopping()) {
      const { status, json } = await this.#call('lease', { workerId: this.name, max: 25, wait: 1 });
      if (status !== 200) await pause(20);
      else if (json.jobs.length) await this.#end(json.jobs.map(({ id, token }) => ({ id, token, done: this.below(5) > 0, word: randomUUID(), unsure: false })));
    }
  }

  async #end(jobs) {
    for (let left = jobs; left.length;) {
      this.onSend();
      const answer = await this.#call('finish', { jobs: left.map(({ id, token, done, word }) => ({ id, token, ...(done ? { returnvalue: word } : { reason: word, retry: false }) })) });
      if (answer.status !== 200) {
        for (const job of left) job.unsure ||= answer.status === 504;
        await pause(20);
        continue;
      }
      assert.deepEqual(answer.json.results.map(({ id }) => id), left.map(({ id }) => id));
      const again = [];
      for (const [i, { state, problem }] of answer.json.results.entries()) {
        if (problem && problem.code !== 'lock-lost') again.push(left[i]);
        else this.told.push({ ...left[i], answer: state ?? problem.code });
        if (problem) assert.match(problem.code, /^(lock-lost|redis-unavailable|outcome-unknown)$/);
      }
      left = again;
    }
  }

  async #call(what, body) {
    const answer = await this.sluice.client.post(`/api/queues/${QUEUE}/${what}`, body);
    this.answers.set(answer.status, (this.answers.get(answer.status) ?? 0) + 1);
    assert.ok(answer.status === 200 || saysAway(answer), answer.text);
    return answer;
  }
}

// Is what was answered what happened? `word`: what the job has as its result or reason.
function judge({ id, done, word, answer, unsure }, state, stored) {
  const ours = stored === word;
  if (answer === 'lock-lost') return !ours || (!done && unsure) || `${id}: refused, and it is the end that the job has`;
  return (answer === (done ? 'completed' : 'failed') && state === answer && ours) || `${id}: answered ${answer}, is ${state}${ours ? '' : ' by another'}`;
}

test('Redis killed again and again while many ends are told at once', { timeout: 10 * 60_000 }, async (t) => {
  const below = chance(t);
  const redis = await durableRedis(t);
  const sluice = await gateway(t, { env: { REDIS_URL: redis.url, SLUICE_QUEUES: queueFile({ processor: 'none', attempts: 3, lockDuration: 6000 }, QUEUE) } });
  const ended = async () => (await redis.admin.zcard(`bull:${QUEUE}:completed`)) + (await redis.admin.zcard(`bull:${QUEUE}:failed`));
  let stopping = false;
  const enders = Array.from({ length: 4 }, (_, n) => new Ender(sluice, below, `ender-${n}`));
  const running = Promise.all(enders.map((ender) => ender.run(() => stopping)));
  running.catch(() => {}); // is awaited below

  const batch = Array.from({ length: BATCH }, () => ({ data: {} }));
  for (let n = 0; n < KILLS; n++) {
    const { status, text } = await sluice.client.post(`/api/queues/${QUEUE}/jobs`, batch);
    assert.equal(status, 200, text);
    await Promise.race([running, new Promise((resolve) => enders.forEach((ender) => (ender.onSend = resolve)))]);
    await pause(below(4));
    await redis.kill();
    await redis.start();
    await eventually(async () => (await sluice.client.get('/readyz')).status === 200, { timeout: 60_000, what: 'readiness' });
  }
  await eventually(async () => (await ended()) === KILLS * BATCH, { timeout: 120_000, what: 'the end of all jobs' });
  stopping = true;
  await running;

  const jobs = await inventory(redis.admin, { queue: QUEUE });
  const results = enders.flatMap((ender) => ender.told);
  const wrong = [];
  for (const each of results) {
    const { state } = jobs.get(each.id);
    const [value, reason] = await redis.admin.hmget(`bull:${QUEUE}:${each.id}`, 'returnvalue', 'failedReason');
    const verdict = judge(each, state, each.done ? JSON.parse(value ?? 'null') : reason);
    if (verdict !== true) wrong.push(verdict);
  }
  const answers = enders.flatMap((ender) => [...ender.answers]).reduce((sum, [status, count]) => ({ ...sum, [status]: (sum[status] ?? 0) + count }), {});
  const refused = results.filter(({ answer }) => answer === 'lock-lost');
  t.diagnostic(`${KILLS} kills, answers ${JSON.stringify(answers)}, ${results.length} ends told, ${refused.length} refused, ${results.filter(({ unsure }) => unsure).length} told again after an unknown outcome`);
  assert.deepEqual(wrong, []);
  assert.equal(jobs.size, KILLS * BATCH);
  for (const [id, { made }] of jobs) assert.equal(made, 1, `${id} ended ${made} times`);
  assert.ok((answers[503] ?? 0) + (answers[504] ?? 0) > 0, 'Redis was never missed');
  await sluice.stop();
});
