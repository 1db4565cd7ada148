// Debian's Chromium, looking at the real program.
//
//     const browser = await startBrowser();
//     const page = await browser.open(sluice, '/queues/hello', { roles: ['admin'], theme: 'dark', width: 390 });
//     ... page is Playwright's ...
//     await browser.close();       // fails when a page broke its own Content-Security-Policy or threw
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { ROOT, eventually } from '../api/harness/index.mjs';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SHOTS = join(ROOT, 'build/ui-shots');
const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const SLOW = 30_000; // what a page may take on a busy machine
const EXECUTABLE = process.env.SLUICE_CHROMIUM ?? '/usr/bin/chromium';

export async function startBrowser() {
  const browser = new Browser();
  browser.chromium = await chromium.launch({ executablePath: EXECUTABLE, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'], timeout: 60_000 });
  return browser;
}

const underWay = new WeakMap(); // page → what it has asked for and not yet got

class Browser {
  complaints = [];

  // A window of its own, signed in (roles null: not). expect: expressions of console errors that the test provokes.
  async open(sluice, path = '/', { roles = ['admin'], sub = 'ada', theme = 'light', width = 1280, height = 800, language = 'en-GB', expect = [], scale = 1, clock = false } = {}) {
    const context = await this.chromium.newContext({
      baseURL: sluice.url, viewport: { width, height }, colorScheme: theme, locale: language, timezoneId: 'UTC', deviceScaleFactor: scale, reducedMotion: 'reduce',
      permissions: ['clipboard-read', 'clipboard-write'],
    });
    context.setDefaultTimeout(SLOW);
    if (roles) await context.addCookies([{ name: 'sluice-session', value: sluice.token({ roles, sub }), url: sluice.url, httpOnly: true, sameSite: 'Strict' }]);
    if (clock) await context.clock.install(); // its timers can be made to run ahead
    const page = await context.newPage();
    this.#listen(page, [/the server responded with a status of (4\d\d|50[34])|net::ERR_/, ...expect]);
    await page.goto(path);
    return page;
  }

  // Everything that the page says is wrong. Refused requests are part of many tests; a broken policy never is.
  #listen(page, expected) {
    const asked = new Set();
    underWay.set(page, asked);
    page.on('request', (request) => asked.add(request));
    for (const end of ['requestfinished', 'requestfailed']) page.on(end, (request) => asked.delete(request));
    page.on('pageerror', (error) => this.complaints.push(`${page.url()}: ${error.stack}`));
    page.on('console', (message) => {
      const text = message.text();
      const policy = /Content.Security.Policy|TrustedHTML|Trusted Type/i.test(text);
      if (policy || (message.type() === 'error' && !expected.some((rule) => rule.test(text)))) this.complaints.push(`${page.url()}: ${text}`);
    });
    page.on('dialog', (dialog) => {
      this.complaints.push(`${page.url()}: a script of somebody else's opened "${dialog.message()}"`);
      dialog.dismiss();
    });
  }

  async close() {
    await this.chromium.close();
    assert.deepEqual(this.complaints, []);
  }
}

// A picture of the whole page, kept under build/ui-shots.
// Waits until the page, its live events paused, has all its answers and has drawn them.
export async function rest(page) {
  await eventually(() => underWay.get(page).size === 0, { timeout: SLOW, what: 'all answers' });
  await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
}

export async function shoot(page, name, { folder = SHOTS, fullPage = true } = {}) {
  mkdirSync(folder, { recursive: true });
  await page.mouse.move(0, 0);
  await page.screenshot({ path: join(folder, `${name}.png`), fullPage, animations: 'disabled' });
}

// Fails with what axe finds against WCAG 2.2 AA. (It is put in from outside the page, which its policy does not concern.)
export async function checkAccess(page, what) {
  const session = await page.context().newCDPSession(page);
  await session.send('Runtime.evaluate', { expression: AXE });
  const { result } = await session.send('Runtime.evaluate', {
    expression: `axe.run(document, { runOnly: ${JSON.stringify(RULES)} }).then(({ violations }) => JSON.stringify(violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ target, failureSummary }) => target.join(' ') + ': ' + failureSummary) }))))`,
    awaitPromise: true, returnByValue: true,
  });
  await session.detach();
  assert.deepEqual(JSON.parse(result.value), [], `${what}: what axe finds`);
}
