// Makes the README's pictures of the web page: `make pictures`. Takes four minutes, so that the charts have something to show.
import { setTimeout as pause } from 'node:timers/promises';
import { join } from 'node:path';
import { ROOT } from '../api/harness/index.mjs';
import { shoot, startBrowser } from './browser.mjs';
import { setStage } from './stage.mjs';

const FOLDER = join(ROOT, 'docs/img');
const MINUTES = 4;

const stage = await setStage({ records: true, tcp: true });
const browser = await startBrowser();
const { orders, thumbnails } = stage.queues;

// Somebody watches meanwhile: only then is anything measured.
const watching = await browser.open(stage.sluice, '/');
const started = Date.now();
for (let n = 0; Date.now() - started < MINUTES * 60_000; n++) {
  const wave = 1 + Math.sin(n / 25) + Math.random();
  await orders.addBulk(Array.from({ length: Math.round(6 * wave) }, (_, i) => ({ name: 'place-order', data: { order: 5000 + n * 20 + i, customer: `customer-${i}` } })));
  await thumbnails.addBulk(Array.from({ length: Math.round(3 * wave) }, (_, i) => ({ name: 'render', data: { n: n + i } })));
  await pause(400);
}
await watching.context().close();

const SCREENS = [['overview', '/', 'of the jobs that ended lately'], ['queue', '/queues/orders', 'warehouse-1']];
for (const theme of ['light', 'dark']) {
  for (const [name, path, text] of SCREENS) {
    const page = await browser.open(stage.sluice, path, { theme, width: 1200, height: 720 });
    await page.getByText(text).first().waitFor();
    await page.locator('.skeleton').first().waitFor({ state: 'detached' });
    await shoot(page, `ui-${name}-${theme}`, { folder: FOLDER, fullPage: false });
    await page.context().close();
  }
}
await browser.close();
await stage.stop();
