// The goals that were set, each with what was measured for it and, where it was missed, the limit that was measured beside it.
const count = (n) => Math.round(n).toLocaleString('en');
const times = (n) => `${n.toFixed(2)} ×`;

// Redis runs scripts on one core.
function redisBound(sluice, other, alone) {
  const most = ({ redisMicros }) => `${redisMicros.toFixed(1)} µs of Redis a job, so ${count(1e6 / redisMicros)} a second at most`;
  return `Sluice: ${most(sluice)}; the other: ${most(other)}${alone ? `; the commands that a job needs, alone: ${most(alone)}` : ''}`;
}

// A goal: {title, measured, reached, limit}; null where the figures for it were not taken.
function goal(title, reached, measured, limit) {
  return { title, reached, measured, limit: reached ? '' : limit };
}

// A row for each goal whose cases were measured.
export function goals({ versus = [], limits = [], search = [], admin }) {
  const results = (id) => versus.find((row) => row.id === id)?.results;
  const limit = (id) => limits.find((row) => row.id === id);
  const rows = [];
  const add = (...args) => rows.push(goal(...args));
  const posts = versus.filter(({ id }) => id.startsWith('submit-memory-'));
  const at50 = posts.find(({ id }) => id === 'submit-memory-50');

  const script = (id) => (limit(id) ? `the script call alone: ${count(limit(id).perSecond)} jobs a second, ${limit(id).redisMicros.toFixed(1)} µs of Redis each` : '');
  const cpu = ({ serverMicros, redisMicros }) => `${(serverMicros + redisMicros).toFixed(1)} µs`;
  const against = (id, what, peer) => limit(id) && `${what}: ${count(limit(id).perSecond)} a second, ${times(limit(id).perSecond / peer.perSecond)}`;
  const NOTHING_ELSE = 'with nothing but HTTP and Redis';
  const beside = ({ sluice, ...peers }, name, ...limits) => [...limits, `CPU with Redis: Sluice ${cpu(sluice)}, the other ${cpu(peers[name])}`].filter(Boolean).join('; ');
  const posting = ({ id, results }, name) => beside(results, name, against(id.replace('submit-memory', 'bare'), NOTHING_ELSE, results[name]), script('adds-memory-25'));
  const reading = (id, results) => beside(results, 'fastify', against(id, id === 'civetweb' ? 'civetweb with an empty handler' : NOTHING_ELSE, results.fastify));

  const ahead = (peer, name, wanted, least) => {
    const seen = posts.filter((row) => row.results[peer]);
    if (!at50?.results[peer]) return;
    const { ratio } = at50.results[peer];
    add(`POST one job, 50 connections: ${wanted} × ${name}`, ratio >= wanted, times(ratio), posting(at50, peer));
    const worst = seen.toSorted((a, b) => a.results[peer].ratio - b.results[peer].ratio)[0];
    add(`POST one job: never under ${least} × ${name}`, worst.results[peer].ratio >= least, `${times(worst.results[peer].ratio)} (${worst.title})`, posting(worst, peer));
  };
  ahead('fastify', 'Fastify + BullMQ', 3, 2.2);
  ahead('nest', 'NestJS + @nestjs/bullmq', 12, 9);
  for (const post of posts) {
    const { title, results: { sluice, fastify, nest } } = post;
    const theirs = Math.min(fastify?.p99Ms ?? Infinity, nest?.p99Ms ?? Infinity);
    if (theirs < Infinity) add(`${title}: p99 below theirs`, sluice.p99Ms < theirs, `${sluice.p99Ms.toFixed(1)} ms, theirs ${theirs.toFixed(1)} ms`, posting(post, 'fastify'));
  }
  const durable = results('submit-always-50');
  if (durable && at50) {
    const ratio = durable.sluice.perSecond / at50.results.fastify.perSecond;
    add('POST one job, AOF at every write: above Fastify + BullMQ without AOF', ratio > 1, times(ratio), script('adds-always-25'));
  }
  for (const [id, title] of [['array-100', 'Arrays of 100'], ['array-1000', 'Arrays of 1,000']]) {
    const bulk = results(id)?.addBulk;
    if (bulk) add(`${title}: 4 × \`addBulk\``, bulk.ratio >= 4, times(bulk.ratio), against('adds-memory-100-alone', 'the script call alone, one at a time', bulk) ?? '');
  }
  for (const [concurrency, wanted, group] of [[100, 2.5, 25], [1, 2, 1]]) {
    const { sluice, Worker } = results(`run-${concurrency}`) ?? {};
    if (Worker) add(`Empty processor, concurrency ${concurrency}: ${wanted} × BullMQ's Worker`, Worker.ratio >= wanted, times(Worker.ratio), redisBound(sluice, Worker, limit(`floor-${group}`)));
  }
  addReading(add, results, versus, reading);
  const leased = results('lease-100-together');
  if (leased) {
    const { sluice, Worker100: other } = leased;
    add("HTTP workers, 100 at a time: above BullMQ's Worker at concurrency 100", other.ratio > 1, times(other.ratio), redisBound(sluice, other));
  }
  if (search.length) {
    const slowest = search.toSorted((a, b) => b.p50Ms - a.p50Ms)[0];
    add('Searching records by indexed fields: under 200 ms', slowest.p50Ms < 200, `${slowest.p50Ms.toFixed(1)} ms (${slowest.title})`, 'PostgreSQL with 16 MB of shared buffers');
  }
  if (admin) addAdmin(add, admin);
  const largest = versus.filter((row) => row.results.sluice.residentMiB).toSorted((a, b) => b.results.sluice.residentMiB - a.results.sluice.residentMiB)[0];
  if (largest) {
    const megabytes = largest.results.sluice.residentMiB * 1.048576;
    add('Resident under load, 512 threads: at most 48 MB', megabytes <= 48, `${megabytes.toFixed(1)} MB (${largest.title})`, 'what its requests in flight need');
  }
  return rows;
}

function addReading(add, results, versus, reading) {
  const status = versus.filter(({ id }) => id.startsWith('status-'));
  const long = results('status-100000');
  if (long) add("Status, 100,000 waiting: 100 × BullMQ's", long.fastify.ratio >= 100, times(long.fastify.ratio), reading('bare-status', long));
  if (status.length > 1) {
    const [first, last] = [status[0], status.at(-1)];
    const ratio = last.results.sluice.perSecond / first.results.sluice.perSecond;
    const used = ({ serverMicros, redisMicros }) => `${(serverMicros + redisMicros).toFixed(1)} µs`;
    const measured = `${times(ratio)} (CPU with Redis ${used(first.results.sluice)} and ${used(last.results.sluice)})`;
    add(`Status: the last backlog's rate (${last.title.split(', ')[1]}) within 20 % of the first's`, ratio >= 0.8, measured, 'the same commands, in a larger Redis');
  }
  const stats = results('stats');
  if (stats) add('Stats: 2 × Fastify', stats.fastify.ratio >= 2, times(stats.fastify.ratio), reading('civetweb', stats));
}

function addAdmin(add, { page, meanwhile, listening }) {
  const ms = (n) => `${n.toFixed(1)} ms`;
  const [first, ...steps] = page;
  const slowest = steps.toSorted((a, b) => b.ms - a.ms)[0];
  const thread = ({ cpuMs }) => `the page's thread: ${ms(cpuMs)} of CPU`;
  add('The page: first paint under 300 ms', first.ms < 300, ms(first.ms), thread(first));
  add('The page: every interaction under 100 ms', slowest.ms < 100, `${ms(slowest.ms)} (${slowest.title})`, thread(slowest));
  const alone = meanwhile.find(({ id }) => id === 'alone');
  for (const [id, title] of [['clean', 'Cleaning'], ['bulk', 'Acting by a filter']]) {
    const worst = meanwhile.filter((row) => row.id === id).toSorted((a, b) => b.p99Ms - a.p99Ms)[0];
    add(`${title}: p99 of other requests under 20 ms`, worst.p99Ms < 20, `${ms(worst.p99Ms)} (${worst.title})`, `with nothing else: ${ms(alone.p99Ms)}`);
  }
  const [none, many] = listening;
  add(`${many.listeners} listeners: one connection to Redis`, many.readers === 1, String(many.readers), '');
  add(`${many.listeners} listeners: p99 of other requests within 2 ms of that without`, many.p99Ms - none.p99Ms <= 2, `${ms(many.p99Ms)}, without ${ms(none.p99Ms)}`,
    `CPU a request: ${many.serverMicros.toFixed(0)} µs, without ${none.serverMicros.toFixed(0)}; the listeners themselves run on the same cores`);
}
