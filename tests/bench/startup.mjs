// Start-up time: from starting the program to its first 200 on /readyz, with an embedded Redis that has data, and with an external one;
// and its resident memory at rest. Prints one line for each: median, least and most of the rounds.
//
//     node tests/bench/startup.mjs [rounds]        SLUICE_BIN names the program (build/sluice by default)
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

process.env.SLUICE_BIN ??= resolve(import.meta.dirname, '../../build/sluice');
const { eventually, startRedis, startSluice } = await import('../api/harness/index.mjs');

const rounds = Number(process.argv[2] ?? 15);

function line(name, values, unit) {
  const sorted = [...values].sort((a, b) => a - b);
  const show = (v) => v.toFixed(1).padStart(7);
  console.log(`${name.padEnd(44)} median ${show(sorted[sorted.length >> 1])} ${unit}   min ${show(sorted[0])}   max ${show(sorted.at(-1))}   n=${sorted.length}`);
}

function residentMiB(pid) {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024;
}

async function measure(name, env) {
  const ready = [];
  const resident = [];
  const sluice = await startSluice({ env: { LOG_LEVEL: 'info', ...env } });
  for (let round = 0; round < rounds; round++) {
    await sluice.stop();
    const began = performance.now();
    await sluice.start();
    await eventually(async () => (await sluice.client.as(null).get('/readyz')).status === 200, { interval: 1, what: 'readiness' });
    ready.push(performance.now() - began);
    resident.push(residentMiB(sluice.child.pid));
  }
  await sluice.stop();
  line(`${name}: start to ready`, ready, 'ms ');
  line(`${name}: resident at rest, 512 threads`, resident, 'MiB');
}

const redis = await startRedis({ args: ['--maxmemory-policy', 'noeviction'] });
await measure('embedded Redis', {});
await measure('external Redis', { REDIS_URL: redis.url });
await redis.stop();
