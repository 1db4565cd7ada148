// The times that lib/bullmq finds for random patterns, zones and starts are those that cron-parser finds, which BullMQ uses.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CronExpressionParser } from 'cron-parser';
import { startRedis } from '../api/harness/index.mjs';
import { Driver, Random, SEED, SEQUENCES } from './support.mjs';

// Zones whose rules have been settled for years: Node and the system bring their own data.
const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'America/Havana', 'America/Sao_Paulo', 'America/St_Johns', 'Australia/Lord_Howe',
  'Africa/Cairo', 'Asia/Kathmandu', 'Asia/Beirut', 'Asia/Tehran', 'Europe/Dublin', 'Pacific/Apia', 'Pacific/Chatham', 'Antarctica/Troll', 'UTC+3', 'utc-03:30', 'No/Where'];
const RANGES = [[0, 59], [0, 59], [0, 23], [1, 31], [1, 12], [0, 7]];

function cronField(r, i) {
  const [min, max] = RANGES[i];
  const value = () => min + r.below(max - min + 1 + (r.chance(0.02) ? 3 : 0));
  const range = () => [value(), value()].sort((a, b) => (r.chance(0.02) ? b - a : a - b)).join('-');
  const names = ['jan', 'Jul', 'DEC', 'mon', 'Fri', 'sun', 'xyz'];
  const forms = [
    () => '*', () => '*', () => `${value()}`, () => `${value()}`, range, () => `${range()}/${1 + r.below(9)}`, () => `*/${1 + r.below(20)}`, () => `${value()}/${r.below(9)}`,
    () => `${value()},${value()}`, () => `${range()},${value()}`, () => '?',
    () => (i === 3 ? r.pick(['L', '1,L', '31L']) : i === 5 ? r.pick([`${value()}L`, `${value()}#${1 + r.below(5)}`, 'L', 'fri#2', '1,5L']) : `${value()}`),
    () => (i > 3 && r.chance(0.5) ? r.pick(names) : `${value()}`),
  ];
  return r.pick(forms)();
}

function cronPattern(r) {
  if (r.chance(0.05)) return r.pick(['@daily', '@weekly', '@monthly', '@yearly', '@hourly', '@weekdays', '@weekends', '@minutely', '@never', '']);
  // Mostly patterns that run rarely: those meet the changes of clocks.
  if (r.chance(0.5)) return `${r.pick(['', '0 ', '30 '])}${r.below(60)} ${r.pick(['0', '1', '2', '3', '1,2', '1-3', '23', '0,2', '*/2', '*', '0-22'])} * * *`;
  const from = r.pick([0, 1, 1, 1, 2]);
  return RANGES.slice(from).map((_, i) => cronField(r, i + from)).join(' ');
}

// Around the nights when clocks change in 2026 and far from now.
function cronStart(r) {
  const nights = [[2026, 2, 8], [2026, 2, 29], [2026, 9, 25], [2026, 10, 1], [2026, 3, 5], [2026, 8, 27], [2011, 11, 29], [2026, 2, 22], [2040, 9, 28]];
  const [y, m, d] = r.pick(nights);
  return r.chance(0.7) ? Date.UTC(y, m, d - 1, 12) + r.below(36 * 3600) * 1000 + r.pick([0, 0, 1, 999]) : Date.UTC(1990, 0, 1) + r.below(2 ** 31) * 900;
}

// Each time from a fresh expression, as BullMQ asks: one that goes on remembers changes of clocks it came across.
function officialCron({ pattern, tz, after, end, count }) {
  const times = [];
  const parse = () => CronExpressionParser.parse(pattern, { currentDate: new Date(times.at(-1) ?? after), tz, ...(end && { endDate: new Date(end) }) });
  try {
    parse();
  } catch {
    return { rc: 'INVALID', times };
  }
  try {
    while (times.length < count) times.push(parse().next().getTime());
  } catch (error) {
    // It turns in circles where clocks go back by half an hour; ours goes on, so only what came before is compared.
    if (/loop limit/.test(error.message)) return { rc: 'OK', times, gaveUp: true };
  }
  return { rc: 'OK', times };
}

test(`agree on ${SEQUENCES * 20} cron patterns`, { timeout: 60_000 + SEQUENCES * 1_000 }, async (t) => {
  const redis = await startRedis();
  t.after(() => redis.stop());
  const driver = new Driver(redis.socket, 0);
  const r = new Random(SEED);
  for (let i = 0; i < SEQUENCES * 20; i++) {
    const after = cronStart(r);
    const query = { pattern: cronPattern(r), tz: r.pick(ZONES), after, count: 3, ...(r.chance(0.2) && { end: after + r.below(2 ** 30) }) };
    const { gaveUp, ...theirs } = officialCron(query);
    const { rc, times: found, error } = await driver.call('cron', query);
    const times = gaveUp ? found.slice(0, theirs.times.length) : found;
    assert.deepEqual({ rc, times }, theirs, `${JSON.stringify(query)} ${error} ours ${times.map((t) => new Date(t).toISOString())} theirs ${theirs.times.map((t) => new Date(t).toISOString())}`);
  }
  assert.equal(await driver.end(), 0);
});
