// How the page behaves: who may what, signing in and out, keys, being hidden, large payloads, stores that go away.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { checkAccess, shoot, startBrowser } from './browser.mjs';
import { setStage } from './stage.mjs';

describe('behaviour', () => {
  let stage, browser;
  before(async () => {
    browser = await startBrowser();
    stage = await setStage({ busy: false, allow: [/redis/] });
  });
  after(async () => {
    try {
      await browser?.close();
    } finally {
      await stage?.stop();
    }
  });

  const open = (path, options) => browser.open(stage.sluice, path, options);
  // Lets its time pass until that is so, in steps shorter than what a request may take: with a stream of events it looks each half minute.
  const passes = (page, check, what) => eventually(async () => {
    await page.clock.runFor(8000);
    return check();
  }, { timeout: 60_000, interval: 300, what });
  const requests = (page) => {
    const seen = [];
    page.on('request', (request) => seen.push(new URL(request.url()).pathname));
    return seen;
  };

  test('a viewer sees no action', async () => {
    const page = await open('/queues/invoices', { roles: ['viewer'] });
    await page.getByText('Paused').first().waitFor();
    await page.getByText('Declaration').waitFor();
    for (const name of ['Resume', 'Drain…', 'Clean…']) assert.equal(await page.getByRole('button', { name }).count(), 0, name);
    assert.equal(await page.getByRole('link', { name: 'New job' }).count(), 0);
    await page.goto('/queues/invoices/jobs');
    await page.locator('tbody tr').first().waitFor();
    assert.equal(await page.locator('input[type=checkbox]').count(), 0);
    await page.goto('/jobs/greetings/hello-world');
    await page.getByText('Timeline').waitFor();
    assert.equal(await page.locator('.head button').count(), 1, 'only copying the id');
    await page.goto('/queues/greetings/new');
    await page.getByText('Your roles are not enough').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Create the job' }).count(), 0, 'nor at its address');
    const refused = await page.evaluate(() => fetch('/api/queues/invoices/resume', { method: 'POST' }).then(({ status }) => status));
    assert.equal(refused, 403, 'and the server refuses it all the same');
    await page.context().close();
  });

  test('signing in with a token, and out', async () => {
    const page = await open('/queues/greetings', { roles: null });
    await page.getByLabel('Token').fill('nonsense');
    await page.getByRole('button', { name: 'Sign in', exact: true }).click();
    await page.getByText('This token is not valid').waitFor();
    await page.getByLabel('Token').fill(stage.sluice.token({ sub: 'grace', roles: ['operator'] }));
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { name: 'greetings' }).waitFor();
    assert.match(page.url(), /\/queues\/greetings$/, 'one stays where one wanted to go');
    assert.equal(await page.evaluate(() => document.cookie), '', 'no script can read the cookie');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    await page.getByText('Your session has ended.').waitFor({ state: 'detached' });
    await page.context().close();
  });

  test('signing in by the link of the log, and without a token in development', async () => {
    const { login } = await stage.sluice.logged('listening');
    const page = await open(login, { roles: null });
    await page.getByRole('heading', { name: 'Queues' }).waitFor();
    assert.equal(new URL(page.url()).pathname, '/');
    await page.context().clearCookies();
    await page.goto(login);
    await page.getByText('This link has been used').waitFor();
    await page.getByLabel('Role').selectOption('viewer');
    await page.getByRole('button', { name: 'Sign in without a token' }).click();
    await page.getByRole('heading', { name: 'Queues' }).waitFor();
    await page.context().close();
  });

  test('a session that ends leads to signing in', async () => {
    const page = await open('/');
    await page.getByRole('heading', { name: 'Queues' }).waitFor();
    await page.context().clearCookies();
    await eventually(async () => { // nothing happens on these queues: left alone, the page asks again in half a minute
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      return page.getByLabel('Token').isVisible();
    }, { timeout: 60_000, interval: 250, what: 'the question for a token' });
    await page.getByText('Your session has ended.').waitFor();
    await page.context().close();
  });

  test('whoever signs in next sees nothing of what was shown before', async () => {
    const page = await open('/jobs/greetings/hello-world');
    await page.getByText('"World"').waitFor();
    await page.context().clearCookies();
    await eventually(async () => {
      await page.evaluate(() => document.dispatchEvent(new Event('visibilitychange')));
      return page.getByLabel('Token').isVisible();
    }, { timeout: 60_000, interval: 250, what: 'the question for a token' });
    await page.route('**/api/queues/**', () => {}); // no answer: all that is shown was known before
    await page.getByLabel('Token').fill(stage.sluice.token({ sub: 'grace', roles: ['producer'] }));
    await page.keyboard.press('Enter');
    await page.getByTitle('grace (producer)').waitFor();
    assert.equal(await page.getByText('"World"').count(), 0);
    assert.match(page.url(), /\/jobs\/greetings\/hello-world$/);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.context().close();
  });

  test('everything by keys', async () => {
    const page = await open('/');
    await page.locator('tbody tr').first().waitFor();
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
    for (const key of ['j', 'j', 'o']) await page.keyboard.press(key);
    await page.waitForURL(/\/queues\//);
    await Promise.all([page.keyboard.press('g'), page.keyboard.press('s')]); // the second counts for a moment only
    await page.waitForURL(/\/status$/);
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: 'Search' }).fill('invo');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/queues\/invoices$/);
    await page.keyboard.press('/');
    await page.getByRole('combobox', { name: 'Search' }).fill('greetings/hello-world');
    await page.keyboard.press('Enter');
    await page.waitForURL(/\/jobs\/greetings\/hello-world$/);
    await page.keyboard.press('t');
    assert.equal(await page.locator('html').getAttribute('data-theme'), 'light');
    await page.context().close();
  });

  test('what changes appears by itself, without a jump', async () => {
    const page = await open('/queues/greetings');
    const count = page.locator('.state-link.state-waiting .state-count');
    await count.getByText(/\d/).waitFor();
    const before = Number(await count.innerText());
    await stage.queues.greetings.add('greet', { name: 'x', kind: 'hello' });
    await count.getByText(String(before + 1), { exact: true }).waitFor();
    await page.context().close();
  });

  test('nothing is asked while paused or hidden', async () => {
    const page = await open('/queues/greetings', { clock: true });
    await page.getByText('Declaration').waitFor();
    const seen = requests(page);
    await passes(page, () => seen.length > 0, 'a look as time passes');
    const press = () => page.locator('.live').dispatchEvent('click'); // a real click waits for frames, which stand still with the clock
    await press();
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await page.waitForLoadState('networkidle');
    seen.length = 0;
    await page.clock.runFor(60_000);
    assert.deepEqual(seen, [], 'paused');
    await page.evaluate(() => Object.defineProperty(document, 'hidden', { get: () => true, configurable: true }));
    await press();
    await page.clock.runFor(60_000);
    assert.deepEqual(seen, [], 'hidden');
    await page.evaluate(() => {
      delete document.hidden;
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await eventually(() => seen.length > 0, { what: 'a look at once when the page is seen again' });
    await page.context().close();
  });

  test('one stream of events for all windows of a browser', async () => {
    const first = await open('/livez'); // no page of ours yet: it would have a real stream
    const context = first.context();
    let streams = 0;
    let asked = [];
    await context.route('**/api/events*', (route) => {
      streams++;
      asked.length = 0; // what is asked from now on may be because of the event
      return route.fulfill({ contentType: 'text/event-stream', body: 'retry: 3600000\nevent: added\ndata: {"queue":"greetings"}\n\n' });
    });
    await first.goto('/queues/greetings');
    await eventually(() => streams === 1, { timeout: 30_000, what: 'the stream' });
    const second = await context.newPage();
    asked = requests(second);
    await second.goto('/queues/greetings');
    await second.getByText('Declaration').waitFor();
    assert.equal(streams, 1, 'the second window has none');
    await first.close();
    await eventually(() => streams === 2, { timeout: 30_000, what: 'a stream of the window that is left' });
    await eventually(() => asked.includes('/api/queues/greetings'), { timeout: 20_000, what: 'a look because of the event' });
    await context.close();
  });

  test('memory is steady while it is kept open', async () => {
    const page = await open('/', { clock: true });
    await page.locator('tbody tr').first().waitFor();
    const devtools = await page.context().newCDPSession(page);
    let answers = 0;
    page.on('response', (response) => (answers += response.url().endsWith('/api/queues')));
    const live = async (minutes) => {
      for (let i = 0; i < minutes * 2; i++) {
        const before = answers;
        await passes(page, () => answers > before, 'the next answer');
      }
      await devtools.send('HeapProfiler.collectGarbage');
      return (await devtools.send('Runtime.getHeapUsage')).usedSize;
    };
    const before = await live(1);
    const after = await live(process.env.SLUICE_TEST_LONG ? 30 : 4);
    assert.ok(after - before < 2_000_000, `${before} bytes became ${after}`);
    await page.context().close();
  });

  test('the worst stand first, and a queue without workers is one alarm however long its jobs wait', async () => {
    const real = (await stage.sluice.client.get('/api/queues')).json;
    const like = ({ workers, counts, ...facts }, name, { waiting = 0, bullmq = 0, age = null }) =>
      ({ ...facts, name, paused: false, counts: { ...counts, waiting, prioritized: 0 }, workers: { ...workers, own: 0, http: 0, bullmq }, oldestWaitingAgeMs: age });
    const kept = real.items.find(({ name }) => name === 'greetings');
    const items = [
      like(kept, 'idle', { bullmq: 1 }),
      like(kept, 'few', { waiting: 12, age: 600_000 }),
      like(kept, 'late', { waiting: 1_000_000, bullmq: 1, age: 600_000 }),
      like(kept, 'many', { waiting: 300_000, age: 1000 }),
      like(kept, 'some', { waiting: 95, age: 1000 }),
    ];
    const page = await open('/livez');
    await page.route('**/api/queues', (route) => route.fulfill({ json: { ...real, items } }));
    await page.goto('/');
    await page.locator('tbody tr').nth(items.length - 1).waitFor();
    assert.deepEqual(await page.locator('tbody th a').allInnerTexts(), ['many', 'few', 'some', 'late', 'idle'], 'a few jobs more or less move nothing');
    const alarms = (await page.locator('.alarm').allInnerTexts()).map((text) => text.replace(/\s+/g, ' '));
    assert.equal(alarms.length, 4, alarms.join('\n'));
    assert.match(alarms[1], /few has no worker; 12 jobs wait, the next one for 10 min/);
    assert.match(alarms[3], /late the next job has waited for 10 min/);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.route('**/api/queues', (route) => route.fulfill({ json: { ...real, items: items.slice(0, 1), complete: false } }));
    await page.reload();
    await page.getByText('1 queue · not all: Redis is still being searched, or has more than 1,000').waitFor();
    assert.equal(await page.locator('.calm').count(), 0, 'nothing is said of those that are not known');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.context().close();
  });

  test('rows stay where they are while some are chosen', async () => {
    const page = await open('/queues/invoices/jobs?state=waiting', { clock: true });
    await page.locator('tbody input').first().click();
    await page.getByText('1 job chosen').waitFor();
    const seen = requests(page);
    await passes(page, () => seen.includes('/api/queues/invoices'), 'the counts');
    assert.ok(!seen.includes('/api/queues/invoices/jobs'));
    await page.context().close();
  });

  test('a payload of megabytes does not freeze it', async () => {
    const list = Array.from({ length: 12_000 }, (_, i) => ({ i, text: `row ${i} of many` }));
    await stage.queues.greetings.add('huge', { list, long: 'x'.repeat(3_000_000), exact: 1 }, { jobId: 'huge' });
    const page = await open('/jobs/greetings/huge');
    await page.getByText('exact').waitFor();
    const nodes = await page.evaluate(() => document.querySelectorAll('*').length);
    assert.ok(nodes < 2000, `${nodes} elements`);
    const devtools = await page.context().newCDPSession(page);
    await devtools.send('Performance.enable', { timeDomain: 'threadTicks' }); // its processor time: who else needs the machine does not count
    const worked = async () => (await devtools.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value;
    const before = await worked();
    await page.locator('.json-toggle').first().click();
    await page.getByText('row 99 of many').waitFor();
    const seconds = await worked() - before;
    assert.ok(seconds < 1, `opening it took ${seconds} s`);
    assert.equal(await page.getByText('row 100 of many').count(), 0);
    await page.getByRole('button', { name: '100 more' }).click();
    await page.getByText('row 100 of many').waitFor();
    await page.context().close();
  });

  test('jobs that are due when there are no dates any more, or are half written, harm no screen', async () => {
    const key = (id) => `bull:nightly-reports:${id}`;
    const { admin } = stage.redis;
    await stage.queues['nightly-reports'].add('report', {}, { jobId: 'never', delay: 9e15 });
    await admin.hset(key('nameless'), { data: '{}', opts: '{}', timestamp: Date.now() });
    await admin.lpush(key('wait'), 'nameless');
    await admin.hset(key('strange'), { name: 'x', data: '{}', opts: '{}', timestamp: '99999999999999999', finishedOn: Date.now(), failedReason: 'no', stacktrace: '[null, {"a": 1}]' });
    await admin.zadd(key('failed'), Date.now(), 'strange');
    const page = await open('/queues/nightly-reports/jobs?state=delayed');
    await page.getByRole('link', { name: 'never', exact: true }).waitFor();
    for (const [state, id] of [['waiting', 'nameless'], ['failed', 'strange']]) {
      await page.goto(`/queues/nightly-reports/jobs?state=${state}`);
      await page.getByRole('link', { name: id, exact: true }).waitFor();
    }
    for (const id of ['never', 'nameless', 'strange']) {
      await page.goto(`/jobs/nightly-reports/${id}`);
      await page.getByText('Timeline').waitFor();
      await page.getByText('Facts').waitFor();
    }
    await page.locator('.failure summary', { hasText: 'null' }).waitFor();
    await stage.queues['nightly-reports'].drain(true); // of all others, so that the queue's next one is that
    await stage.queues['nightly-reports'].add('report', {}, { jobId: 'never-ever', delay: 9e15 });
    await page.goto('/queues/nightly-reports');
    await page.getByText('Next delayed').waitFor();
    await page.context().close();
  });

  test('Redis away: what was shown stays, the page says why, and recovers by itself', async () => {
    const page = await open('/');
    await page.locator('tbody tr').first().waitFor();
    await stage.redis.kill();
    await page.getByText('A store is away').waitFor();
    assert.ok(await page.locator('tbody tr').count() > 3, 'the last figures stay');
    await checkAccess(page, 'Redis away');
    await shoot(page, 'redis-away-overview');
    await page.getByRole('link', { name: 'Look at the status' }).click();
    await page.getByText('Look at the log of Redis').waitFor();
    await checkAccess(page, 'status with Redis away');
    await shoot(page, 'redis-away-status');
    await stage.redis.start();
    await page.getByText('Ready', { exact: true }).waitFor();
    await page.locator('.banner').waitFor({ state: 'detached' });
    await page.goto('/');
    await page.locator('tbody tr').first().waitFor();
    assert.equal(await page.locator('.banner').count(), 0);
    await page.context().close();
  });
});
