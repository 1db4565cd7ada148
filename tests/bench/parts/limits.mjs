// What this machine allows whoever does the work: the same load on a server that does nothing, and the same script call with nobody between.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { notification } from '../peers/shared.mjs';
import { inTurns } from './figures.mjs';
import { floors } from './floor.mjs';
import { bodyFile, cpuSeconds, wrk } from './load.mjs';
import { SLUICE_BUILD, startServer, startStore } from './stage.mjs';

const run = promisify(execFile);
const programs = join(SLUICE_BUILD, 'tests/bench');

async function adding(redis, group, calls, seconds) {
  await redis.admin.flushall();
  const before = cpuSeconds(redis.pid);
  const { stdout } = await run(join(programs, 'adds'), [redis.socket, group, calls, seconds].map(String));
  const { jobs, seconds: took, cpuSeconds: used } = JSON.parse(stdout);
  return { perSecond: jobs / took, serverMicros: (used * 1e6) / jobs, redisMicros: ((cpuSeconds(redis.pid) - before) * 1e6) / jobs, faults: 0 };
}

// cases: [jobs in a call, calls under way].
async function scripts(plan, mode, cases) {
  const redis = await startStore(mode);
  const id = ([group, calls]) => `adds-${mode}-${group}${calls > 1 ? '' : '-alone'}`;
  const results = await inTurns(plan.rounds, Object.fromEntries(cases.map((each) => [id(each), () => adding(redis, ...each, plan.seconds)])), { warmUp: plan.rounds > 1 });
  await redis.admin.flushall();
  await redis.stop();
  return cases.map((each) => ({
    id: id(each), ...results[id(each)],
    title: `Redis: the add script, ${each[0]} a call, ${each[1] > 1 ? '' : 'one call at a time, '}from a loop in C${mode === 'memory' ? '' : ', AOF at every write'}`,
  }));
}

async function emptyServer(plan) {
  const server = await startServer(join(programs, 'civetweb'), ['512']);
  const body = bodyFile(JSON.stringify(notification(200)));
  const load = { script: 'load.lua', path: '/', args: ['POST', '', body, '0'], connections: 50, seconds: plan.seconds };
  const { empty } = await inTurns(plan.rounds, { empty: () => wrk(server, null, load) }, { warmUp: plan.rounds > 1 });
  await server.stop();
  return { id: 'civetweb', title: 'civetweb: the same POST, 50 connections, a handler that does nothing', ...empty };
}

// HTTP and Redis with nothing of a gateway between: what one could be that checks nothing.
async function bareGateway(plan) {
  const redis = await startStore('memory');
  const server = await startServer(join(programs, 'bare'), ['512', redis.socket]);
  const body = bodyFile(JSON.stringify(notification(200)));
  const load = (connections, args, path = '/') => () => wrk(server, redis, { script: 'load.lua', path, args, connections, seconds: plan.seconds });
  const cases = plan.connections.map((n) => ({ id: `bare-${n}`, title: `civetweb and lib/bullmq: one job, nothing checked, ${n} connection${n === 1 ? '' : 's'}`, run: load(n, ['POST', '', body, '0']) }));
  cases.push({ id: 'bare-status', title: 'civetweb and lib/bullmq: status of one job, nothing checked, 50 connections', run: load(50, ['GET', '', '', '1000'], '/ID') });
  const results = await inTurns(plan.rounds, Object.fromEntries(cases.map(({ id, run }) => [id, run])), { warmUp: plan.rounds > 1 });
  await server.stop();
  await redis.stop();
  return cases.map(({ id, title }) => ({ id, title, ...results[id] }));
}

export async function limits(plan) {
  return [await emptyServer(plan), ...(await bareGateway(plan)), ...(await scripts(plan, 'memory', plan.scripts)), ...(await scripts(plan, 'always', [[25, 16]])), ...(await floors(plan))];
}
