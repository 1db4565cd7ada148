// Everything by keys alone: each control is reached, the focus is seen wherever it is, windows keep it and give it back.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { eventually } from '../api/harness/index.mjs';
import { checkAccess, rest, startBrowser } from './browser.mjs';
import { setStage } from './stage.mjs';

const SCREENS = ['/', '/queues/invoices', '/queues/nightly-reports/jobs?state=delayed', '/jobs/nightly-reports/month-end', '/queues/greetings/new'];
const MOST = 400; // controls of a screen

// What can be operated, as it stands in the document, each with a number of its own.
const number = () => {
  const all = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')];
  const usable = all.filter((element) => !element.disabled && element.checkVisibility({ visibilityProperty: true }) && !element.closest('[inert]'));
  usable.forEach((element, i) => (element.dataset.number = i));
  return usable.map((element) => element.outerHTML.slice(0, 120));
};

// What has the focus: its number, and what is wrong with how it is seen.
const focused = () => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const box = element.getBoundingClientRect();
  const { outlineStyle, outlineWidth } = getComputedStyle(element);
  const x = Math.min(innerWidth - 1, Math.max(0, box.left + Math.min(box.width, 40) / 2));
  const top = document.elementFromPoint(x, box.top + Math.min(box.height, 24) / 2);
  const wrong = [];
  if (outlineStyle === 'none' || parseFloat(outlineWidth) < 2) wrong.push('no ring');
  if (!top || !(element.contains(top) || top.contains(element) || top.closest('label')?.contains(element))) wrong.push(`behind ${top?.outerHTML.slice(0, 60)}`);
  return { number: element.dataset.number, wrong, html: element.outerHTML.slice(0, 120) };
};

describe('by keys alone', () => {
  let stage, browser;
  before(async () => {
    browser = await startBrowser();
    stage = await setStage({ busy: false });
  });
  after(async () => {
    try {
      await browser?.close();
    } finally {
      await stage?.stop();
    }
  });

  // At rest: nothing is drawn anew while the test looks.
  async function open(path, options) {
    const page = await browser.open(stage.sluice, path, options);
    await page.locator('h1').waitFor();
    await page.locator('.skeleton').first().waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Live' }).click();
    await page.getByRole('button', { name: 'Paused' }).waitFor();
    await rest(page);
    await page.evaluate(() => document.activeElement.blur());
    return page;
  }

  for (const path of SCREENS) {
    test(`every control of ${path} is reached, forwards and back`, async () => {
      const page = await open(path, { height: 600 });
      const controls = await page.evaluate(number);
      for (const key of ['Tab', 'Shift+Tab']) {
        const met = new Set();
        for (let i = 0; i < MOST; i++) {
          await page.keyboard.press(key);
          const at = await page.evaluate(focused);
          if (!at) continue; // the browser's own controls
          if (met.has(at.number)) break;
          assert.deepEqual(at.wrong, [], `${key}: ${at.html}`);
          met.add(at.number);
        }
        assert.deepEqual(controls.filter((_, i) => !met.has(String(i))), [], `not reached by ${key}`);
      }
      await page.context().close();
    });
  }

  // Where, the control that opens a window, and something by which the window is known.
  const WINDOWS = [
    ['/queues/greetings', 'Drain…', 'Type greetings to confirm'],
    ['/queues/greetings', 'Clean…', 'Older than'],
    ['/queues/invoices/jobs?state=waiting', 'Remove all…', 'Only older than'],
    ['/jobs/nightly-reports/1', 'Change…', 'Delay from now'],
    ['/jobs/nightly-reports/1', 'Remove', 'This cannot be undone'],
    ['/', 'Search and commands', 'Search'],
  ];
  for (const [path, name, known] of WINDOWS) {
    test(`the window of ${name.replace('…', '')} keeps the focus and gives it back`, async () => {
      const page = await open(path);
      const opener = page.getByRole('button', { name, exact: true });
      await opener.focus();
      await page.keyboard.press('Enter');
      const dialog = page.getByRole('dialog');
      await dialog.getByText(known).or(dialog.getByLabel(known)).first().waitFor();
      for (let i = 0; i < 12; i++) {
        const inside = await page.evaluate(() => document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement));
        assert.ok(inside, `after ${i} steps the focus is inside, or at the browser's own controls`);
        await page.keyboard.press('Tab');
      }
      for (const theme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme: theme });
        await checkAccess(page, `${name}, ${theme}`);
      }
      await page.keyboard.press('Escape');
      await dialog.waitFor({ state: 'detached' });
      await eventually(async () => opener.evaluate((element) => document.activeElement === element), { what: 'the focus where it was' });
      await page.context().close();
    });
  }

  test('a job is created, found, chosen and removed', async () => {
    const page = await open('/queues/legacy-import/new');
    const keys = async (...list) => { for (const key of list) await page.keyboard.press(key); };
    await page.getByLabel('Data (JSON)').focus();
    await keys('Control+a');
    await page.keyboard.type('{"file": "keys.csv"}');
    await keys('Tab');
    await page.keyboard.type('import');
    await keys('Tab');
    await page.keyboard.type('by-keys');
    await keys('Enter');
    await page.waitForURL(/\/jobs\/legacy-import\/by-keys$/);
    await page.getByRole('heading', { name: 'by-keys' }).waitFor();
    await keys('/');
    await page.getByRole('combobox', { name: 'Search and commands' }).waitFor();
    await page.keyboard.type('legacy');
    await page.getByRole('option', { name: /legacy-import/ }).first().waitFor();
    await keys('Enter');
    await page.waitForURL(/\/queues\/legacy-import$/);
    await page.getByRole('heading', { name: 'legacy-import' }).waitFor();
    await keys('l');
    await page.waitForURL(/\/jobs/);
    await page.getByRole('link', { name: 'by-keys' }).waitFor();
    await keys('j', 'x');
    await page.getByRole('checkbox', { checked: true }).first().waitFor();
    await keys('d');
    await page.getByRole('dialog').getByRole('button', { name: 'Remove' }).focus();
    await keys('Enter');
    await eventually(async () => !(await stage.queues['legacy-import'].getJob('by-keys')), { what: 'its removal' });
    await page.context().close();
  });

  test('nothing moves by itself', async () => {
    const page = await open('/queues/greetings');
    await page.emulateMedia({ reducedMotion: 'no-preference' });
    await page.getByRole('button', { name: 'Clean…' }).click();
    assert.deepEqual(await page.evaluate(() => document.getAnimations().map((each) => each.effect.getTiming().duration).filter(Boolean)), []);
    await page.emulateMedia({ reducedMotion: 'reduce' });
    assert.deepEqual(await page.evaluate(() => document.getAnimations().length), 0);
    await page.context().close();
  });
});
