// Pages that are kept open while jobs come and go: what they and the program need does not grow. `make test-long`: ten minutes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { RELEASE, eventually } from '../api/harness/index.mjs';
import { median } from '../bench/parts/figures.mjs';
import { LONG } from '../fault/support.mjs';
import { startBrowser } from './browser.mjs';
import { setStage } from './stage.mjs';

const SCREENS = ['/', '/queues/orders', '/queues/orders/jobs?state=completed'];
const SAMPLES = 20;
const UPDATES = 30; // of each screen between two samples; there is one a second at most
const MIB = 1024 * 1024;

let stage;
let browser;
before(async () => {
  if (!LONG) return;
  browser = await startBrowser();
  stage = await setStage({ program: [RELEASE], env: { LOG_LEVEL: 'info' } }); // a sanitizer keeps what was freed
});
after(async () => {
  await browser?.close();
  await stage?.stop();
});

// A page that counts its updates. sample(): bytes of JS heap behind a collection, and nodes and listeners of its documents.
async function watched(path) {
  const page = await browser.open(stage.sluice, path);
  const session = await page.context().newCDPSession(page);
  const seen = { path, updates: 0 };
  page.on('response', (response) => (seen.updates += response.url().includes('/api/queues')));
  await session.send('HeapProfiler.enable');
  seen.sample = async () => {
    await session.send('HeapProfiler.collectGarbage');
    const { usedSize } = await session.send('Runtime.getHeapUsage');
    const { nodes, jsEventListeners } = await session.send('Memory.getDOMCounters');
    return { heap: usedSize, nodes, listeners: jsEventListeners };
  };
  return seen;
}

// Orders and thumbnails, until it is told to stop.
function work() {
  const { orders, thumbnails } = stage.queues;
  let n = 0;
  const timer = setInterval(() => {
    n++;
    orders.add('place-order', { order: n }, { removeOnComplete: 200 }).catch(() => {});
    thumbnails.add('render', { n }, { removeOnComplete: 200, removeOnFail: 200 }).catch(() => {});
  }, 50);
  return () => clearInterval(timer);
}

const residentOf = (pid) => Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

// The last third against the third before it, in which everything has been seen once.
function assertSteady(what, values, slack) {
  const third = Math.floor(values.length / 3);
  const [before, then] = [median(values.slice(third, 2 * third)), median(values.slice(-third))];
  assert.ok(then <= before * 1.1 + slack, `${what}: ${before}, then ${then}; ${values.join(' ')}`);
}

test('ten minutes of live updates need no more memory than the first', { timeout: 3_600_000, skip: LONG ? false : 'a long test' }, async (t) => {
  const stop = work();
  t.after(stop);
  const pages = [];
  for (const path of SCREENS) pages.push(await watched(path));
  const resident = [];
  const samples = pages.map(() => []);
  for (let round = 1; round <= SAMPLES; round++) {
    await eventually(() => pages.every(({ updates }) => updates >= round * UPDATES), { timeout: 600_000, interval: 200, what: `the updates of round ${round}` });
    for (const [i, page] of pages.entries()) samples[i].push(await page.sample());
    resident.push(residentOf(stage.sluice.child.pid));
  }
  t.diagnostic(`resident MiB: ${resident.map((bytes) => (bytes / MIB).toFixed(1)).join(' ')}`);
  for (const [i, path] of SCREENS.entries()) {
    for (const [what, slack] of [['heap', MIB], ['nodes', 500], ['listeners', 50]]) {
      const values = samples[i].map((sample) => sample[what]);
      t.diagnostic(`${path} ${what}: ${values.join(' ')}`);
      assertSteady(`${what} of ${path}`, values, slack);
    }
  }
  assertSteady('resident', resident, 2 * MIB);
});
