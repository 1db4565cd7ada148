// Every screen, light and dark, on a desk and on a phone: it shows what there is, axe finds nothing, stored script does nothing. The
// pictures are kept in build/ui-shots.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { checkAccess, shoot, startBrowser } from './browser.mjs';
import { NASTY, setStage, settled } from './stage.mjs';

const FORMS = [
  { form: 'light', theme: 'light' },
  { form: 'dark', theme: 'dark' },
  { form: 'phone', width: 390, height: 844 },
  { form: 'wide', width: 2200, height: 1100, theme: 'dark', only: ['overview', 'queue', 'jobs-failed', 'job-failed'] },
];

// Name, address (or how to tell it), and a text by which the screen is known to be complete.
const SCREENS = [
  ['overview', '/', 'has no worker'],
  ['queue', '/queues/orders', 'warehouse-1'],
  ['queue-paused', '/queues/invoices', 'Paused'],
  ['jobs-failed', '/queues/thumbnails/jobs?state=failed', 'cannot decode image'],
  ['jobs-empty', '/queues/thumbnails/jobs?state=delayed', 'No jobs: Delayed'],
  ['job-failed', '/jobs/orders/declined', 'Attempt 2'],
  ['job-active', '/jobs/orders/held-order', 'waiting for the warehouse'],
  ['job-delayed', '/jobs/orders/tomorrow', 'Due'],
  ['job-flow', '/jobs/nightly-reports/month-end', 'Waiting · legacy-import'],
  ['job-archived', '/jobs/notifications/sent-1', 'From the records'],
  ['job-gone', '/jobs/orders/none', 'This job is not here'],
  ['new-job', '/queues/greetings/new', 'Whom to greet.'],
  ['records', '/records?queue=notifications', 'sent-1'],
  ['errors', '/errors', 'document-processing/lost-'],
  ['audit', '/audit?action=job.create', 'job.create'],
  ['tasks', '/tasks', 'Retry: Completed'],
  ['task', ({ task }) => `/tasks/${task}`, 'Looked at'],
  ['task-lost', '/tasks/lost', 'The gateway that worked on it is gone'],
  ['status', '/status', 'documents'],
  ['not-found', '/queues/a/b/c', 'There is nothing at this address'],
];

const addressOf = (path, stage) => (path instanceof Function ? path(stage) : path);

// As a gateway leaves it that was killed in the middle of it.
async function loseTask(redis) {
  const at = Date.now() - 3_600_000;
  const task = { id: 'lost', queue: 'thumbnails', by: 'grace', name: null, error: 'cannot decode image <b>at all</b>', failure: null, olderThanMs: 0, action: 'remove', ofState: 'failed',
    state: 'running', scanned: 1200, matched: 1100, changed: 1060, skipped: 40, total: 5000, createdMs: at, startedMs: at + 20, endedMs: -1, heardMs: at + 4000 };
  await redis.multi().set('bull:sluice:task:lost', JSON.stringify(task)).zadd('bull:sluice:tasks', at, 'lost').exec();
}

describe('screens', () => {
  let stage, browser;
  before(async () => {
    browser = await startBrowser();
    stage = await setStage({ records: true });
    await settled(stage);
    const filter = { state: 'completed', name: 'none of these', olderThanMs: 90_000_000 };
    stage.task = (await stage.sluice.as({ sub: 'ops', roles: ['operator'] }).post('/api/queues/orders/bulk', { action: 'retry', filter })).json.id;
    await loseTask(stage.redis.admin);
  });
  after(async () => {
    try {
      await browser?.close();
    } finally {
      await stage?.stop();
    }
  });

  for (const { form, only, ...look } of FORMS) {
    for (const [name, path, text] of SCREENS.filter(([each]) => !only || only.includes(each))) {
      test(`${name}, ${form}`, async () => {
        const page = await browser.open(stage.sluice, addressOf(path, stage), look);
        await page.getByText(text).first().waitFor();
        await page.locator('.skeleton').first().waitFor({ state: 'detached' });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is wider than the window');
        await checkAccess(page, `${name}, ${form}`);
        await shoot(page, `${name}-${form}`);
        await page.context().close();
      });
    }
  }

  for (const { form, ...look } of FORMS.slice(0, 3)) {
    test(`signing in, ${form}`, async () => {
      const page = await browser.open(stage.sluice, '/login', { ...look, roles: null });
      await page.getByText('anybody may sign in').waitFor();
      await checkAccess(page, `signing in, ${form}`);
      await shoot(page, `sign-in-${form}`);
      await page.context().close();
    });
  }

  // 320 pixels are a window of 1280 enlarged to 400 %.
  const CRAMPED = [
    ['enlarged to 400 %', { width: 320, height: 256 }],
    ['on a tablet', { width: 768, height: 1000 }],
    ['in German on a small desk', { width: 1000, height: 760, language: 'de-DE' }],
    ['in German with a long name', { sub: 'augusta.ada.byron.lovelace@example.org', language: 'de-DE' }],
  ];
  for (const [what, look] of CRAMPED) {
    test(`nothing is cut off: ${what}`, async () => {
      const page = await browser.open(stage.sluice, '/livez', look);
      for (const [name, path] of SCREENS.filter(([each]) => !['queue-paused', 'jobs-empty', 'job-delayed', 'job-archived', 'job-gone', 'not-found'].includes(each))) {
        await page.goto(addressOf(path, stage));
        await page.locator('h1').waitFor();
        await page.locator('.skeleton').first().waitFor({ state: 'detached' });
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} is wider than the window`);
        const beyond = await page.evaluate(() => [...document.querySelectorAll('.reason, .state-name, .language')].filter((each) => each.getBoundingClientRect().right > innerWidth).map((each) => each.textContent));
        assert.deepEqual(beyond, [], `${name}: words that stand outside the window`);
        const clipped = await page.evaluate(() => [...document.querySelectorAll('.state-name')].filter((each) => each.scrollWidth > each.clientWidth).map((each) => each.textContent));
        assert.deepEqual(clipped, [], `${name}: states whose names are cut off`);
        const hidden = await page.evaluate(() => {
          const here = document.querySelector('.topbar [aria-current]')?.getBoundingClientRect();
          return here && (here.left < 0 || here.right > innerWidth);
        });
        assert.ok(!hidden, `${name}: where one is cannot be seen`);
      }
      await page.context().close();
    });
  }

  test('German', async () => {
    const page = await browser.open(stage.sluice, '/queues/invoices', { language: 'de-DE' });
    await page.getByRole('button', { name: 'Fortsetzen' }).first().waitFor();
    assert.equal(await page.locator('html').getAttribute('lang'), 'de');
    await page.goto('/');
    await page.getByText('hat keinen Worker').first().waitFor();
    await shoot(page, 'overview-german');
    for (const [path, text] of [['/queues/legacy-import', 'Kein Worker nimmt Jobs dieser Queue, und 2 warten.'], ['/jobs/orders/tomorrow', 'verzögert.'], ['/jobs/orders/held-order', 'Ein Worker hat den Job: warehouse-1.'], ['/jobs/invoices/60', 'Vor ihm sind 59 Jobs.']]) {
      await page.goto(path);
      await page.locator('.findings').getByText(text).first().waitFor();
    }
    await page.goto('/');
    await page.getByLabel('Sprache').selectOption('en');
    await page.getByText('has no worker').first().waitFor();
    await page.context().close();
  });

  test('stored script is text, wherever it stands', async () => {
    const page = await browser.open(stage.sluice, '/jobs/orders/nasty');
    const shown = NASTY.replace('\u202e', '\\u202e');
    await page.getByText(shown, { exact: true }).first().waitFor();
    await eventually(async () => await page.getByText('onerror=').count() >= 4, { timeout: 30_000, what: 'name, reason, trace and data' });
    await page.goto('/queues/orders/jobs?state=failed');
    await page.getByText(shown).first().waitFor();
    assert.equal(await page.locator('main img, main script').count(), 0);
    await page.context().close();
  });

  test('windows: palette, keys, questions', async () => {
    for (const theme of ['light', 'dark']) {
      const page = await browser.open(stage.sluice, '/queues/orders', { theme });
      await page.getByText('warehouse-1').waitFor();
      await page.keyboard.press('/');
      await page.locator('#palette-list [role=option]').first().waitFor();
      await checkAccess(page, 'palette');
      await shoot(page, `palette-${theme}`, { fullPage: false });
      await page.keyboard.press('Escape');
      await page.keyboard.press('?');
      await page.getByRole('dialog', { name: 'Keys' }).waitFor();
      await checkAccess(page, 'keys');
      await shoot(page, `keys-${theme}`, { fullPage: false });
      await page.keyboard.press('Escape');
      await page.getByRole('button', { name: 'Drain…' }).click();
      await page.getByRole('dialog').waitFor();
      await checkAccess(page, 'question');
      await shoot(page, `question-${theme}`, { fullPage: false });
      await page.context().close();
    }
  });
});
