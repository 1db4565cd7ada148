// What is done in the page is done in the queue: BullMQ's own client says the same afterwards.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { startBrowser } from './browser.mjs';
import { setStage, settled } from './stage.mjs';

describe('actions', () => {
  let stage, browser, queues;
  before(async () => {
    browser = await startBrowser();
    stage = await setStage();
    queues = stage.queues;
    await settled(stage);
  });
  after(async () => {
    try {
      await browser?.close();
    } finally {
      await stage?.stop();
    }
  });

  const open = (path, options) => browser.open(stage.sluice, path, options);
  const button = (page, name) => page.getByRole('button', { name, exact: true });
  const gate = () => {
    let open;
    return { opened: new Promise((resolve) => (open = resolve)), open: () => open() };
  };
  const until = (what, check) => eventually(check, { what, timeout: 20_000 });

  test('the log of a job that runs is followed, also where old lines make room for new ones', async () => {
    const page = await open('/jobs/orders/held-order');
    await page.getByText('waiting for the warehouse').waitFor();
    await page.getByText('Live', { exact: true }).waitFor();
    await queues.orders.addJobLog('held-order', 'the warehouse has answered', 1);
    await page.getByText('the warehouse has answered').waitFor();
    assert.equal(await page.getByText('waiting for the warehouse').count(), 0);
    await page.context().close();
  });

  test('pausing with a reason, and resuming', async () => {
    const page = await open('/queues/greetings');
    await button(page, 'Pause').click();
    await page.getByLabel('Reason').fill('the printer is out of ink');
    await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
    await until('the pause', () => queues.greetings.isPaused());
    await page.getByText('the printer is out of ink').first().waitFor();
    await page.goto('/');
    await page.locator('.alarm', { hasText: 'greetings' }).getByRole('button', { name: 'Resume' }).click();
    await until('the end of the pause', async () => !(await queues.greetings.isPaused()));
    await page.context().close();
  });

  test('a job that comes again under its id is shown with its own data, and edited as it is now', async () => {
    const { greetings } = queues;
    await greetings.add('greet', { first: 1 }, { jobId: 'again' });
    const page = await open('/jobs/greetings/again');
    await page.getByText('first', { exact: true }).waitFor();
    await greetings.remove('again');
    await greetings.add('greet', { second: 2 }, { jobId: 'again' });
    await page.getByText('second', { exact: true }).waitFor();
    const now = Date.now();
    await stage.redis.admin.multi().lrem(greetings.toKey('wait'), 0, 'again').zadd(greetings.toKey('failed'), now, 'again')
      .hset(greetings.toKey('again'), { finishedOn: now, failedReason: 'no' }).exec();
    await page.reload(); // no event tells of what was done to it here
    await page.getByText('second', { exact: true }).waitFor();
    await (await greetings.getJob('again')).updateData({ third: 3 });
    await button(page, 'Edit and retry…').click();
    assert.deepEqual(JSON.parse(await page.getByRole('textbox', { name: 'Data' }).inputValue()), { third: 3 });
    await greetings.remove('again');
    await page.context().close();
  });

  test('retrying one job, and with other data', async () => {
    const page = await open('/jobs/orders/declined');
    await button(page, 'Edit and retry…').click();
    await page.getByRole('textbox', { name: 'Data' }).fill('{"order": 2001, "exact": 9007199254740993');
    await page.getByRole('dialog').getByRole('button', { name: 'Edit and retry' }).click();
    await page.getByRole('dialog').getByText('At byte').waitFor();
    assert.equal(await page.getByRole('textbox', { name: 'Data' }).inputValue(), '{"order": 2001, "exact": 9007199254740993', 'a slip costs nothing');
    await page.getByRole('textbox', { name: 'Data' }).fill('{"order": 2001, "exact": 9007199254740993}');
    await page.getByRole('dialog').getByRole('button', { name: 'Edit and retry' }).click();
    await until('its success', async () => (await queues.orders.getJobState('declined')) === 'completed');
    assert.match(await stage.redis.admin.hget(queues.orders.toKey('declined'), 'data'), /9007199254740993/);
    await page.getByText('Completed').first().waitFor();
    await page.context().close();
  });

  test('promoting and changing a delayed job', async () => {
    const page = await open('/jobs/nightly-reports/1');
    await button(page, 'Change…').click();
    await page.getByLabel('Delay from now').fill('7200');
    await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click();
    await until('the change', async () => (await queues['nightly-reports'].getJob('1')).delay === 7_200_000);
    await page.locator('.head').getByRole('button', { name: 'Promote' }).click();
    await until('the promotion', async () => (await queues['nightly-reports'].getJobState('1')) === 'waiting');
    await page.context().close();
  });

  test('a priority', async () => {
    const page = await open('/jobs/greetings/hello-world');
    await button(page, 'Change…').click();
    await page.getByLabel('Priority').fill('7');
    await page.getByRole('dialog').getByRole('button', { name: 'Change' }).click();
    await until('the priority', async () => (await queues.greetings.getJob('hello-world')).priority === 7);
    await page.context().close();
  });

  test('removing a job leads back to the list', async () => {
    await queues.greetings.add('greet', {}, { jobId: 'superfluous' });
    const page = await open('/jobs/greetings/superfluous');
    await button(page, 'Remove').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    await until('the removal', async () => !(await queues.greetings.getJob('superfluous')));
    await page.waitForURL(/\/queues\/greetings\/jobs\?state=waiting/);
    await page.context().close();
  });

  test('choosing several, by mouse and by keys', async () => {
    const page = await open('/queues/invoices/jobs?state=waiting');
    await page.locator('tbody tr').first().waitFor();
    const ids = await page.locator('tbody th').allInnerTexts();
    await page.locator('tbody input').nth(0).click();
    await page.locator('tbody input').nth(4).click({ modifiers: ['Shift'] });
    await page.getByText('5 jobs chosen').waitFor();
    for (const key of ['j', 'j', 'x']) await page.keyboard.press(key); // the second row is given back
    await page.getByText('4 jobs chosen').waitFor();
    await page.keyboard.press('d');
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).click();
    const gone = [0, 2, 3, 4].map((i) => ids[i]);
    await until('the removal of four', async () => (await Promise.all(gone.map((id) => queues.invoices.getJob(id)))).every((job) => !job));
    assert.ok(await queues.invoices.getJob(ids[1]));
    await page.context().close();
  });

  test('what was done to chosen jobs is seen at once, on later pages and by keys, too', async () => {
    const { greetings } = queues;
    await greetings.addBulk(Array.from({ length: 60 }, (_, i) => ({ name: 'later', data: { i }, opts: { delay: 3_600_000 } })));
    const page = await open('/queues/greetings/jobs?state=delayed');
    const confirm = () => page.getByRole('dialog').getByRole('button', { name: 'Promote' }).click();
    const firstTwo = async () => (await page.locator('tbody th').allInnerTexts()).slice(0, 2);
    const gone = (ids) => until('the list without them', async () => (await page.locator('tbody th').allInnerTexts()).every((id) => !ids.includes(id)));
    await page.locator('tbody tr').first().waitFor();
    const ofFirst = await firstTwo();
    for (const key of ['j', 'x', 'j', 'x', 'm']) await page.keyboard.press(key);
    await confirm();
    await gone(ofFirst);
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.waitForURL(/cursor=/);
    await page.getByRole('link', { name: 'First page' }).waitFor();
    await eventually(async () => await page.locator('tbody tr').count() < 50, { what: 'the second page' });
    const ofSecond = await firstTwo();
    for (const i of [0, 1]) await page.locator('tbody input').nth(i).click();
    await page.locator('.actionbar').getByRole('button', { name: 'Promote', exact: true }).click();
    await confirm();
    await gone(ofSecond);
    for (const id of [...ofFirst, ...ofSecond]) assert.equal(await greetings.getJobState(id), 'waiting');
    for (const i of [0, 1, 2]) await page.locator('tbody input').nth(i).click();
    const [lost] = await firstTwo();
    await page.locator('.actionbar').getByRole('button', { name: 'Promote', exact: true }).click();
    await greetings.remove(lost);
    await confirm();
    await page.getByText(/^2 jobs promoted\. 1 refused: there is no job/).waitFor();
    await gone([lost]);
    await greetings.drain(true);
    await page.context().close();
  });

  test('draining asks for the name of the queue', async () => {
    const page = await open('/queues/legacy-import');
    await button(page, 'Drain…').click();
    const confirm = page.getByRole('dialog').getByRole('button', { name: 'Drain' });
    await page.getByLabel('Type legacy-import to confirm').fill('legacy');
    assert.ok(await confirm.isDisabled());
    await page.getByLabel('Type legacy-import to confirm').fill('legacy-import');
    await confirm.click();
    await until('an empty queue', async () => (await queues['legacy-import'].getWaitingCount()) === 0);
    await page.context().close();
  });

  test('filters stand in the address, and Back goes back', async () => {
    const page = await open('/queues/invoices/jobs?state=waiting');
    await page.getByPlaceholder('Name').fill('remind');
    await button(page, 'Filter').click();
    await page.waitForURL(/name=remind/);
    await eventually(async () => (await page.locator('tbody tr td[data-label="Name"]').allInnerTexts()).every((name) => name === 'remind'), { what: 'reminders only' });
    await page.getByRole('link', { name: 'Next page' }).click();
    await page.waitForURL(/cursor=/);
    await page.goBack();
    assert.ok(!page.url().includes('cursor'));
    await page.goBack();
    await page.locator('td', { hasText: /^bill$/ }).first().waitFor();
    await page.context().close();
  });

  test('one action over all that match: counted first, then done', async () => {
    const page = await open('/queues/invoices/jobs?state=waiting&name=remind');
    const before = (await queues.invoices.getWaiting()).filter(({ name }) => name === 'remind').length;
    await button(page, 'Remove all…').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText(`Remove ${before} jobs?`).waitFor();
    await dialog.getByLabel('Only older than').fill('1000');
    await dialog.getByLabel('Type invoices').click();
    await dialog.getByText('Remove 0 jobs?').waitFor();
    assert.ok(await dialog.getByRole('button', { name: 'Remove' }).isDisabled());
    await dialog.getByLabel('Only older than').fill('');
    await dialog.getByLabel('Type invoices').fill('invoices');
    await dialog.getByText(`Remove ${before} jobs?`).waitFor();
    await dialog.getByRole('button', { name: 'Remove' }).click();
    await dialog.getByText('Done', { exact: true }).waitFor();
    await dialog.getByText(`${before} jobs done`).waitFor();
    assert.deepEqual((await queues.invoices.getWaiting()).filter(({ name }) => name === 'remind'), []);
    assert.ok(await queues.invoices.getWaitingCount() > 0, 'the others are still there');
    await page.context().close();
  });

  // The window of "Retry all…", where one of ten failed jobs has the error.
  async function askForOne() {
    const page = await open('/queues/thumbnails/jobs?state=failed');
    await button(page, 'Retry all…').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Retry 10 jobs?').waitFor();
    await dialog.getByLabel('Only with this in the error').fill('image 27:');
    await dialog.getByLabel('Only older than').click();
    await dialog.getByText('Retry 1 job?').waitFor();
    return { page, dialog };
  }

  test('nothing is done to jobs that were not counted, and nothing twice', async () => {
    const { page, dialog } = await askForOne();
    const asked = [];
    const [counting, doing] = [gate(), gate()];
    await page.route('**/bulk', async (route) => {
      const body = route.request().postDataJSON();
      asked.push(body);
      await (body.dryRun ? counting : doing).opened;
      return body.dryRun ? route.continue() : route.fulfill({ status: 503, json: { status: 503, code: 'overloaded', title: 'Later', detail: 'Not now.' } });
    });
    await dialog.getByLabel('Only with this in the error').fill('');
    await page.keyboard.press('Enter');
    await until('the count of all', () => asked.some(({ dryRun, filter }) => dryRun && !filter.error));
    assert.deepEqual(asked.map(({ dryRun }) => dryRun), [true], 'counted, not done');
    assert.ok(await dialog.getByRole('button', { name: 'Retry' }).isDisabled());
    counting.open();
    await dialog.getByText('Retry 10 jobs?').waitFor();
    await dialog.getByRole('button', { name: 'Retry' }).dblclick();
    doing.open();
    await dialog.getByText('Not now.').waitFor();
    assert.equal(asked.filter(({ dryRun }) => !dryRun).length, 1, 'asked for once');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    const [{ id }] = await queues.thumbnails.getFailed(0, 0);
    await page.goto(`/queues/thumbnails/jobs?state=failed&id=${id}`);
    await page.locator('tbody input').waitFor();
    assert.equal(await button(page, 'Retry all…').count(), 0, 'a filter of one job is not passed over');
    await page.context().close();
  });

  test('retrying all that failed with one error', async () => {
    const { page, dialog } = await askForOne();
    await dialog.getByRole('button', { name: 'Retry' }).click();
    await dialog.getByText('Done', { exact: true }).waitFor();
    await until('its second failure', async () => (await queues.thumbnails.getJob('28')).attemptsMade === 2);
    await page.context().close();
  });

  test('an action on many jobs goes on without its window, and is found again at its address', async () => {
    const { greetings } = queues;
    await greetings.addBulk(Array.from({ length: 4000 }, (_, i) => ({ name: 'later', data: { i }, opts: { delay: 3_600_000 } })));
    const page = await open('/queues/greetings/jobs?state=delayed', { sub: 'grace' });
    await button(page, 'Promote all…').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Promote 4,000 jobs?').waitFor();
    await page.route('**/api/tasks/*', async (route) => { // the window is left before the task has ended
      const answer = await route.fetch();
      await route.fulfill({ response: answer, json: { ...await answer.json(), state: 'running', endedAt: null } });
    });
    await dialog.getByRole('button', { name: 'Promote' }).click();
    await dialog.getByRole('link', { name: 'Go on in the background' }).click();
    await page.waitForURL(/\/tasks\/[\w-]+$/);
    await page.getByRole('heading', { name: 'Promote: Delayed' }).waitFor();
    await page.unrouteAll({ behavior: 'wait' });
    await page.getByText('4,000 jobs done').waitFor();
    assert.equal(await greetings.getDelayedCount(), 0);
    await page.getByRole('link', { name: 'Tasks', exact: true }).first().click();
    const row = page.locator('tbody tr', { hasText: 'Promote: Delayed' });
    await row.getByText('Done', { exact: true }).waitFor();
    for (const text of ['greetings', 'grace', '4,000']) await row.getByText(text, { exact: true }).waitFor();
    await page.goto('/tasks/none');
    await page.getByText('This task is not here').waitFor();
    await greetings.drain(true);
    await page.context().close();
  });

  test('a task is stopped from the list', async () => {
    const held = { id: 'held', queue: 'invoices', action: 'remove', filter: { state: 'failed', name: null, error: 'timeout', olderThanMs: 7_200_000 }, state: 'running', by: 'ops',
      total: 200, scanned: 50, matched: 50, changed: 40, skipped: 10, createdAt: Date.now() - 5000, startedAt: Date.now() - 5000, endedAt: null, failure: null };
    let stopped = false;
    let away = true;
    const page = await open('/livez');
    await page.route('**/api/tasks', (route) => route.fulfill({ json: { items: [{ ...held, state: stopped ? 'cancelled' : 'running' }] } }));
    await page.route('**/api/tasks/held', (route) => {
      if (away) return route.fulfill({ status: 503, json: { status: 503, code: 'redis-unavailable', title: 'Away', detail: 'Redis is away.' } });
      stopped ||= route.request().method() === 'DELETE';
      return route.fulfill({ json: held });
    });
    await page.goto('/tasks');
    await page.getByText('Remove: Failed · error with “timeout” · older than 2 h').waitFor();
    assert.equal(await page.getByRole('progressbar').getAttribute('aria-valuenow'), '25');
    await button(page, 'Stop').click();
    await page.locator('.toast', { hasText: 'Redis is away.' }).waitFor();
    away = false;
    await button(page, 'Stop').click();
    await page.getByText('Stopped', { exact: true }).waitFor();
    assert.equal(await button(page, 'Stop').count(), 0);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.context().close();
  });

  test('a task is followed again when the server answers again, and no more when it is left', async () => {
    const held = { id: 'held', queue: 'invoices', action: 'remove', filter: { state: 'failed', name: null, error: null, olderThanMs: 0 }, state: 'running', by: 'ops',
      total: 200, scanned: 50, matched: 50, changed: 40, skipped: 0, createdAt: Date.now(), startedAt: Date.now(), endedAt: null, failure: null };
    const page = await open('/livez');
    const asked = { well: 0, away: 0, slow: 0 };
    let how = 'well';
    const answer = gate();
    await page.route('**/api/tasks/held', async (route) => {
      asked[how]++;
      if (how === 'away') return route.fulfill({ status: 503, json: { status: 503, code: 'redis-unavailable', title: 'Away', detail: 'Redis is away.' } });
      if (how === 'slow') await answer.opened;
      return route.fulfill({ json: held });
    });
    await page.goto('/tasks/held');
    await page.getByText('40 jobs done').waitFor();
    how = 'away';
    await page.getByText('Redis is away.').waitFor();
    how = 'well';
    held.changed = 60;
    await page.getByText('60 jobs done').waitFor();
    assert.equal(await page.getByText('Redis is away.').count(), 0);
    how = 'slow';
    await until('a question that is under way', () => asked.slow === 1);
    await page.clock.install();
    await page.getByRole('link', { name: 'Tasks', exact: true }).first().click();
    await page.waitForURL(/\/tasks$/);
    const told = page.waitForResponse('**/api/tasks/held');
    answer.open();
    await told;
    await page.clock.runFor(5000);
    assert.equal(asked.slow, 1, 'nobody asks any more');
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.context().close();
  });

  test('cleaning what failed', async () => {
    const page = await open('/queues/thumbnails');
    await page.route('**/api/tasks/*', async (route) => { // the page is told of the task when it has ended: it has two seconds of patience
      const response = await eventually(async () => {
        const answer = await route.fetch();
        return (await answer.json()).endedAt !== null && answer;
      }, { timeout: 30_000, what: 'the end of the task' });
      await route.fulfill({ response });
    });
    await button(page, 'Clean…').click();
    await page.getByLabel('State').selectOption('failed');
    await page.getByLabel('Older than').fill('');
    await page.getByLabel('Type thumbnails to confirm').fill('thumbnails');
    await page.getByRole('dialog').getByRole('button', { name: 'Clean' }).click();
    assert.equal(await page.getByLabel('Older than').evaluate((input) => input.validity.valueMissing && input === document.activeElement), true, 'no age is not every age');
    await page.getByLabel('Older than').fill('0');
    await page.getByRole('dialog').getByRole('button', { name: 'Clean' }).click();
    await page.getByText('10 jobs removed').waitFor(); // it is said for six seconds
    assert.equal(await queues.thumbnails.getFailedCount(), 0);
    assert.equal(await queues.thumbnails.getCompletedCount(), 20);
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.context().close();
  });

  test('creating a job by the form of its schema', async () => {
    const page = await open('/queues/greetings/new');
    await page.getByLabel('name *').fill('Ada');
    await page.getByLabel('times').fill('99');
    await button(page, 'Create the job').click();
    await page.getByText('Some fields are not valid').waitFor();
    await page.locator('.field.invalid', { hasText: 'times' }).waitFor();
    await page.locator('.field.invalid', { hasText: 'kind' }).waitFor();
    await page.getByLabel('kind *').selectOption('hello');
    await page.getByLabel('times').fill('3');
    await page.getByLabel('languages').fill('en\nde');
    await page.locator('fieldset', { hasText: 'card' }).getByLabel('text').fill('dear');
    await page.getByLabel('Id', { exact: true }).fill('from-the-form');
    await page.getByLabel('Priority').fill('3');
    await button(page, 'Create the job').click();
    await page.waitForURL(/\/jobs\/greetings\/from-the-form/);
    const job = await queues.greetings.getJob('from-the-form');
    assert.deepEqual(job.data, { name: 'Ada', kind: 'hello', times: 3, languages: ['en', 'de'], card: { text: 'dear' } });
    assert.equal(job.opts.priority, 3);
    await button(page, 'Duplicate…').click();
    await page.getByLabel('Data (JSON)').waitFor();
    assert.deepEqual(JSON.parse(await page.getByLabel('Data (JSON)').inputValue()), job.data);
    await page.context().close();
  });
});
