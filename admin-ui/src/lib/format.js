// Numbers and times as people of the chosen language write them.
import { locale } from './i18n.js';

const cache = new Map();

function formatter(kind, options) {
  const key = `${locale()}${kind}${JSON.stringify(options)}`;
  if (!cache.has(key)) cache.set(key, new Intl[kind](locale(), options));
  return cache.get(key);
}

export const number = (n, options = {}) => formatter('NumberFormat', options).format(n);
// 1234567 → 1.2M where there is little room.
export const short = (n) => (Math.abs(n) < 10_000 ? number(n) : number(n, { notation: 'compact', maximumFractionDigits: 1 }));
export const percent = (share) => number(share, { style: 'percent', maximumFractionDigits: share < 0.1 ? 1 : 0 });

// Text of strangers as it is (none: nothing), but for characters that would turn the text around them or hide in it: those are shown as escapes.
export const visible = (text) => (text ?? '').replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const step = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(n, 1)) / 10));
  return `${number(n / 2 ** (10 * step), { maximumFractionDigits: 1 })} ${units[step]}`;
}

const UNITS = [['day', 86_400_000, 'd'], ['hour', 3_600_000, 'h'], ['minute', 60_000, 'min'], ['second', 1000, 's']];

// 93 784 000 → 1 d 2 h; two parts at most, milliseconds under a second. The units' symbols are the same in every language.
export function duration(ms) {
  if (ms < 1000) return `${number(Math.max(0, Math.round(ms)))} ms`;
  if (ms < 10_000) return `${number(ms / 1000, { maximumFractionDigits: 1 })} s`;
  const first = UNITS.findIndex(([, size]) => ms >= size);
  const [, size, symbol] = UNITS[first];
  const [, smaller, small] = UNITS[first + 1] ?? [null, 1, null];
  const rest = small ? Math.floor((ms % size) / smaller) : 0;
  return `${number(Math.floor(ms / size))} ${symbol}${rest ? ` ${rest} ${small}` : ''}`;
}

const LAST = 8_640_000_000_000_000; // what is later than the last date there is, is shown as that

const dated = (ms) => Math.max(-LAST, Math.min(LAST, ms));

export const dateTime = (ms) => formatter('DateTimeFormat', { dateStyle: 'medium', timeStyle: 'medium', hourCycle: 'h23' }).format(dated(ms));
export const timeOfDay = (ms, seconds = true) => formatter('DateTimeFormat', { hourCycle: 'h23', hour: '2-digit', minute: '2-digit', ...(seconds ? { second: '2-digit' } : {}) }).format(dated(ms));
export const utc = (ms) => new Date(dated(ms)).toISOString();

// "3 min ago", "in 2 h"
export function relative(ms, now = Date.now()) {
  const difference = ms - now;
  const [name, size] = UNITS.find(([, each]) => Math.abs(difference) >= each) ?? ['second', 1000];
  return formatter('RelativeTimeFormat', { numeric: 'auto', style: 'short' }).format(Math.trunc(difference / size), name);
}
