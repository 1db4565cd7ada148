// What PostgreSQL does not take must not stop the records of everybody else.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { Queue, Worker } from 'bullmq';
import { declare, eventually, startPostgres, startRedis, startSluice } from './harness/index.mjs';

const LONG = () => randomBytes(6000).toString('base64url'); // past what an index takes, and not to be compressed

describe('records that PostgreSQL refuses', () => {
  let pg, redis, sluice, producer, queue;

  before(async () => {
    [pg, redis] = await Promise.all([startPostgres(), startRedis()]);
    sluice = await startSluice({
      env: { REDIS_URL: redis.url, SLUICE_RECORDS: 'on', DATABASE_URL: pg.url, SLUICE_QUEUES: declare({ name: 'q', processor: 'none', removeOnComplete: true, removeOnFail: true }) },
    });
    producer = sluice.as({ sub: 'paul', roles: ['producer'], org: 'acme' });
    queue = new Queue('q', { connection: redis.connect() });
    await sluice.logged('postgres_up', {}, { timeout: 60_000 });
  });

  after(async () => {
    await queue.close();
    await sluice.stop();
    await redis.stop();
    await pg.stop();
  });

  const states = (where) => pg.rows(`SELECT job_id, state, name, org, fields FROM sluice.records WHERE ${where}`);

  async function add(data) {
    const { status, json, text } = await producer.post('/api/queues/q/jobs', { data });
    assert.equal(status, 201, text);
    return json.jobId;
  }

  // Ids may be longer than what is documented: no contract is looked at.
  const sender = (role) => (method, path, body) => fetch(`${sluice.url}/api/queues/q/${path}`, {
    method, headers: { authorization: `Bearer ${sluice.token({ sub: role, roles: [role] })}`, 'content-type': 'application/json' }, body: body && JSON.stringify(body),
  });

  // Ends so many of the queue's jobs over HTTP, one after the other.
  async function complete(n) {
    const post = sender('worker').bind(null, 'POST');
    for (let left = n; left > 0;) {
      const { jobs } = await (await post('lease', { workerId: 'w1', max: left, wait: 20 })).json();
      left -= jobs.length;
      for (const job of jobs) assert.equal((await post(`jobs/${encodeURIComponent(job.id)}/complete`, { token: job.token, returnvalue: 1 })).status, 200);
    }
  }

  const recorded = (id) => eventually(() => states(`job_id = '${id}' AND state = 'completed'`).length === 1, { timeout: 30_000, what: `the record of ${id}` });
  const emptied = () => eventually(async () => (await redis.admin.xlen('bull:q:outbox')) === 0, { timeout: 30_000, what: 'an empty outbox' });

  test('a number with more digits behind the point than a numeric has', async () => {
    const plain = await add({ tiny: 1e-7 });
    const { status, json } = await producer.request('POST', '/api/queues/q/jobs', { body: '{"data":{"tiny":1e-20000,"zero":0e-99999,"small":1e-300,"word":"w"}}', headers: { 'content-type': 'application/json' } });
    assert.equal(status, 201);
    await complete(2);
    await recorded(plain);
    await recorded(json.jobId);
    assert.deepEqual(Object.keys(states(`job_id = '${json.jobId}'`)[0].fields).sort(), ['small', 'word']);
    assert.equal((await producer.get('/api/records?data.tiny=1e-20000')).status, 200);
  });

  test('names, organizations and ids of a BullMQ client that no index takes', async () => {
    const org = LONG();
    await queue.add(LONG(), {});
    await queue.add('x', {}, { sluice: { org } });
    await queue.add('x', {}, { jobId: LONG() });
    const { id: removed } = await queue.add('x', {}, { jobId: LONG() });
    assert.equal((await sender('operator')('POST', `jobs/${removed}/remove`)).status, 200); // has a line of its own; those of completed jobs may stand in one
    const id = await add({});
    await complete(4);
    await recorded(id);
    await emptied();
    assert.deepEqual(states('length(name) > 100').map(({ name }) => name.length), [512]);
    assert.ok(org.startsWith(states('length(org) > 100')[0].org));
    const long = () => pg.rows("SELECT length(target) AS n FROM sluice.audit WHERE action = 'job.remove'");
    await eventually(() => long().length > 0, { timeout: 30_000, what: 'the line of the trail' });
    assert.deepEqual(long(), [{ n: 1024 }]);
    assert.ok(sluice.logs.some((line) => line.event === 'records_entry_unread' && line.error === 'its id is too long'));
  });

  test('whatever else it may be: the one entry is left out, those around it are written', async () => {
    pg.sql(`CREATE FUNCTION sluice.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF new.name = 'refused' THEN RAISE 'no' USING ERRCODE = '22023'; END IF; RETURN new; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON sluice.records FOR EACH ROW EXECUTE FUNCTION sluice.refuse();`);
    const ids = [await add({}), (await queue.add('refused', {})).id, await add({}), (await queue.add('refused', {})).id, await add({})];
    await complete(5);
    for (const at of [0, 2, 4]) await recorded(ids[at]);
    await emptied();
    assert.equal(states("name = 'refused'").length, 0);
    pg.sql('DROP TRIGGER refuse ON sluice.records;');
  });

  test('events of jobs whose ids no text can hold, or no index, ended by a BullMQ worker', async (t) => {
    const bullmq = new Worker('q', async () => 1, { connection: redis.connect() });
    t.after(() => bullmq.close());
    await bullmq.waitUntilReady();
    await eventually(async () => {
      const probe = await queue.add('x', {});
      return eventually(() => states(`job_id = '${probe.id}' AND state = 'completed'`).length === 1, { timeout: 3_000, what: 'its record' }).catch(() => false);
    }, { timeout: 60_000, what: 'the worker to be followed' });
    await queue.add('x', {}, { jobId: 'a\0b' });
    await queue.add('x', {}, { jobId: LONG() });
    await queue.add(LONG(), {});
    const last = await queue.add('x', {});
    await recorded(last.id);
  });
});
