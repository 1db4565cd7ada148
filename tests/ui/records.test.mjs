// Searching what became of jobs, groups of failures, and a job that Redis has no more.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { startBrowser } from './browser.mjs';
import { setStage } from './stage.mjs';

describe('records', () => {
  let stage, browser;
  before(async () => {
    browser = await startBrowser();
    stage = await setStage({ busy: false, records: true });
  });
  after(async () => {
    try {
      await browser?.close();
    } finally {
      await stage?.stop();
    }
  });

  const ids = (page) => page.locator('tbody th').allInnerTexts();
  const open = (path, options) => browser.open(stage.sluice, path, options);

  test('are found by state, error and data, and the address says how', async () => {
    const page = await open('/records');
    await page.getByText('sent-1').waitFor();
    await page.getByLabel('State').selectOption('failed');
    await page.getByRole('button', { name: 'Search', exact: true }).click();
    await page.waitForURL(/state=failed/);
    await eventually(async () => (await ids(page)).sort().join() === 'lost-101,lost-102,lost-103', { what: 'the failed ones' });
    await page.getByLabel('Data: member=value').fill('doc-102');
    await page.keyboard.press('Enter');
    await page.getByText('one member of data can be searched for').waitFor();
    await page.getByLabel('Data: member=value').fill('documentId=doc-102');
    await page.keyboard.press('Enter');
    await page.waitForURL(/data=documentId/);
    await eventually(async () => (await ids(page)).join() === 'lost-102', { what: 'the one' });
    await page.getByRole('link', { name: 'Clear' }).click();
    await page.getByText('sent-1').waitFor();
    await page.getByLabel('Id').fill('none');
    await page.keyboard.press('Enter');
    await page.getByText('Nothing fits these filters.').waitFor();
    await page.context().close();
  });

  test('failures that differ in their document only are one group', async () => {
    const page = await open('/errors');
    await page.locator('tbody tr').first().waitFor();
    assert.equal(await page.locator('tbody tr').count(), 1);
    await page.getByRole('link', { name: '3', exact: true }).click();
    await page.waitForURL(/fingerprint=/);
    await page.getByText('lost-103').waitFor();
    assert.equal(await page.locator('tbody tr').count(), 3);
    await page.context().close();
  });

  test('tell of a job that Redis has no more, and of its attempts', async () => {
    const page = await open('/jobs/notifications/sent-1');
    await page.getByText('From the records').waitFor();
    await page.getByText('succeeded').waitFor();
    await page.getByText('Document Processed').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Retry' }).count(), 0);
    await page.context().close();
  });

  test('are asked once for a job that Redis has no more', async () => {
    const page = await open('/livez', { clock: true });
    await page.route('**/api/events*', (route) => route.abort()); // without a stream it is time that asks again
    const seen = [];
    await page.goto('/jobs/notifications/sent-1');
    await page.getByText('From the records').waitFor();
    await page.getByText('succeeded').waitFor();
    page.on('request', (request) => seen.push(new URL(request.url()).pathname));
    await page.clock.runFor(30_000);
    await page.goto('/jobs/notifications/sent-2');
    await page.getByText('succeeded').waitFor();
    assert.ok(!seen.includes('/api/queues/notifications/jobs/sent-1'), `asked again: ${seen}`);
    seen.length = 0;
    await eventually(async () => {
      await page.clock.runFor(10_000);
      return seen.includes('/api/queues/notifications/jobs/sent-2');
    }, { timeout: 60_000, interval: 200, what: 'a look at one that Redis has' });
    await page.unrouteAll({ behavior: 'ignoreErrors' });
    await page.context().close();
  });

  test('are not spoken of where none are kept', async () => {
    const without = await setStage({ busy: false });
    const page = await browser.open(without.sluice, '/');
    await page.getByRole('link', { name: 'Status' }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'Records' }).count(), 0);
    await page.context().close();
    await without.stop();
  });
});
