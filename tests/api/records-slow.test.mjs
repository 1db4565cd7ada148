// What PostgreSQL takes only in small parts, or not at all just now, and that it stops nobody else.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { declare, eventually, startPostgres, startRedis, startSluice } from './harness/index.mjs';

const SLOW = 60; // rows of one transaction: it never ends in time
const SOON = { timeout: 120_000 };

describe('records that PostgreSQL does not take at once', { timeout: 300_000 }, () => {
  let pg, redis, sluice, producer, worker;

  before(async () => {
    [pg, redis] = await Promise.all([startPostgres(), startRedis()]);
    const gone = { processor: 'none', removeOnComplete: true };
    sluice = await startSluice({
      env: {
        REDIS_URL: redis.url, SLUICE_RECORDS: 'on', DATABASE_URL: pg.url,
        SLUICE_QUEUES: declare({ name: 'stuck', ...gone }, { name: 'slow', ...gone }, { name: 'other', ...gone }, { name: 'foreign', ...gone }),
      },
    });
    producer = sluice.as({ sub: 'paul', roles: ['producer'], org: 'acme' });
    worker = sluice.as({ sub: 'wanda', roles: ['worker'], org: 'acme' });
    await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  });

  after(async () => {
    await sluice.stop();
    await redis.stop();
    await pg.stop();
  });

  const completed = (queue) => pg.rows(`SELECT job_id FROM sluice.records WHERE queue = '${queue}' AND state = 'completed'`).length;
  const recorded = (queue, n) => eventually(() => completed(queue) === n, { ...SOON, what: `${n} records of ${queue}` });

  // Adds jobs and takes them; what it answers ends them.
  async function take(queue, n) {
    for (let i = 0; i < n; i++) assert.equal((await producer.post(`/api/queues/${queue}/jobs`, { data: {} })).status, 201);
    const { jobs } = (await worker.post(`/api/queues/${queue}/lease`, { workerId: 'w1', max: n, wait: 20 })).json;
    assert.equal(jobs.length, n);
    return async () => {
      for (const { id, token } of jobs) assert.equal((await worker.post(`/api/queues/${queue}/jobs/${id}/complete`, { token, returnvalue: 1 })).status, 200);
    };
  }

  const trigger = (name, body) => pg.sql(`CREATE FUNCTION sluice.${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${body} RETURN new; END $$;
    CREATE TRIGGER ${name} BEFORE INSERT ON sluice.records FOR EACH ROW EXECUTE FUNCTION sluice.${name}();`);

  test('a queue whose records are refused stops neither those of others nor the events that are followed', async (t) => {
    trigger('stuck', "IF new.queue = 'stuck' THEN RAISE 'not now' USING ERRCODE = '55000'; END IF;");
    await (await take('stuck', 3))();
    await sluice.logged('records_not_written', {}, SOON);
    await (await take('other', 1))();
    await recorded('other', 1);
    const queue = new Queue('foreign', { connection: redis.connect() });
    t.after(() => queue.close());
    await queue.add('n', {}, { removeOnComplete: true });
    const bullmq = new Worker('foreign', async () => 1, { connection: redis.connect() });
    t.after(() => bullmq.close());
    await recorded('foreign', 1);
    pg.sql('DROP TRIGGER stuck ON sluice.records;');
    await recorded('stuck', 3);
  });

  test('a batch that takes too long is written in parts', async () => {
    trigger('slow', `IF new.queue = 'slow' THEN
      PERFORM set_config('test.rows', (coalesce(nullif(current_setting('test.rows', true), ''), '0')::int + 1)::text, true);
      IF current_setting('test.rows')::int >= ${SLOW} THEN PERFORM pg_sleep(600); END IF;
    END IF;`);
    const end = await take('slow', 90);
    pg.pause(); // until all are there to be written
    await end();
    pg.resume();
    await recorded('slow', 90);
    await eventually(async () => (await redis.admin.xlen('bull:slow:outbox')) === 0, { ...SOON, what: 'an empty outbox' });
  });
});
