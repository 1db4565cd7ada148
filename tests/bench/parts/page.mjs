// The web page with many queues and jobs: what Debian's Chromium says of its first paint, and how long it takes from a click to the frame that
// shows the answer.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from '../../api/harness/index.mjs';
import { startBrowser } from '../../ui/browser.mjs';
import { crowd } from './crowd.mjs';
import { median } from './figures.mjs';
import { startStage } from './stage.mjs';

const STATES = ['waiting', 'completed', 'failed', 'delayed'];
const BUILT_IN = 3;

// Half of the queues are declared, half are only found. One of them has half of the jobs.
async function fill(redis, { queues, jobs }) {
  const each = Math.floor(jobs / 2 / STATES.length / (queues - BUILT_IN - 1));
  for (const state of STATES) {
    await crowd(redis, 'crowded', state, Math.floor(jobs / 2 / STATES.length));
    for (let i = 1; i < queues - BUILT_IN; i++) await crowd(redis, `queue-${i}`, state, each);
  }
}

function declareSome(queues) {
  const file = join(temporaryFolder(), 'queues.json');
  writeFileSync(file, JSON.stringify({ queues: Array.from({ length: Math.floor(queues / 2) }, (_, i) => ({ name: `queue-${i + 1}`, jobName: 'often', processor: 'none' })) }));
  return file;
}

// In the page: does something, and resolves with the ms until what it leads to has been painted.
function timed(act, shown) {
  return new Promise((resolve, reject) => {
    const began = performance.now();
    setTimeout(() => reject(new Error(`not shown after a minute: ${shown}`)), 60_000);
    const observer = new MutationObserver(look);
    function look() {
      if (!shown()) return;
      observer.disconnect();
      requestAnimationFrame(() => {
        const { port1, port2 } = new MessageChannel();
        port1.onmessage = () => resolve(performance.now() - began);
        port2.postMessage(0);
      });
    }
    observer.observe(document, { childList: true, subtree: true, characterData: true, attributes: true });
    act();
    look();
  });
}

// What somebody does, one after the other: [what, do it, what is there then]; these functions run in the page. A fourth prepares it.
const STEPS = [
  ['open a queue', () => document.querySelector('tbody a[href="/queues/crowded"]').click(),
    () => document.querySelector('h1')?.textContent === 'crowded' && !document.querySelector('.skeleton') && /\d/.test(document.querySelector('.state-count')?.textContent)],
  ['open its jobs', () => document.querySelector('.tabs a[href$="/jobs"]').click(),
    () => document.querySelectorAll('.jobs tbody tr').length === 50],
  ['switch the state', () => document.querySelector('.states a[href$="state=failed"]').click(),
    () => document.querySelectorAll('.jobs tbody tr').length === 50 && /ETIMEDOUT/.test(document.querySelector('.jobs .reason')?.textContent)],
  ['filter by name', () => document.querySelector('form.toolbar').requestSubmit(),
    () => document.querySelectorAll('.jobs tbody tr').length === 50 && [...document.querySelectorAll('.jobs td[data-label="Name"]')].every((cell) => cell.textContent === 'seldom'),
    (page) => page.getByPlaceholder('Name').fill('seldom')],
  ['turn the page', () => {
    globalThis.was = document.querySelector('.jobs tbody th a').textContent;
    document.querySelector('a[href*="cursor="]').click();
  }, () => document.querySelectorAll('.jobs tbody tr').length === 50 && document.querySelector('.jobs tbody th a').textContent !== globalThis.was],
  ['open a job', () => document.querySelector('.jobs tbody th a').click(),
    () => /^\d+$/.test(document.querySelector('h1')?.textContent) && document.querySelector('.timeline') && !document.querySelector('.skeleton')],
  ['back to all queues', () => document.querySelector('a[href="/"]').click(),
    () => document.querySelectorAll('tbody a[href^="/queues/queue-"].strong').length > 1],
];

const painted = () => performance.getEntriesByName('first-contentful-paint')[0]?.startTime;

// A page whose thread's own processor time can be asked for: what else the machine does is not in it. It has nothing of ours in its cache.
async function openPage(browser, sluice) {
  const page = await browser.open(sluice, '/livez');
  const session = await page.context().newCDPSession(page);
  await session.send('Performance.enable', { timeDomain: 'threadTicks' });
  const cpu = async () => (await session.send('Performance.getMetrics')).metrics.find(({ name }) => name === 'TaskDuration').value * 1000;
  return { page, cpu };
}

async function visit(browser, sluice, queues) {
  const { page, cpu } = await openPage(browser, sluice);
  const sample = {};
  const note = async (what, work) => {
    const before = await cpu();
    sample[what] = { ms: await work(), cpuMs: (await cpu()) - before };
  };
  await note('first paint', async () => {
    await page.goto('/');
    await page.evaluate(`(${timed})(() => {}, () => document.querySelectorAll('tbody a.strong').length >= ${queues})`);
    return page.evaluate(`(${painted})()`);
  });
  for (const [what, act, shown, prepare] of STEPS) {
    await prepare?.(page);
    await note(what, () => page.evaluate(`(${timed})(${act}, ${shown})`));
  }
  await page.context().close();
  return sample;
}

// [{title, ms, worstMs, cpuMs}]; the processor time of the first is that until all queues are listed.
export async function page(plan) {
  const { queues, visits } = plan;
  const stage = await startStage({ env: { SLUICE_QUEUES: declareSome(queues) } });
  await fill(stage.redis, plan);
  const { sluice } = stage.targets;
  const browser = await startBrowser();
  const samples = [];
  for (let i = -1; i < visits; i++) {
    const sample = await visit(browser, { url: sluice.url, token: sluice.as }, queues);
    if (i >= 0) samples.push(sample);
  }
  await browser.close();
  await stage.stop();
  return Object.keys(samples[0]).map((title) => {
    const values = samples.map((sample) => sample[title].ms);
    return { title, ms: median(values), worstMs: Math.max(...values), cpuMs: median(samples.map((sample) => sample[title].cpuMs)) };
  });
}
