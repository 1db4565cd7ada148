// What a queue's figures mean.
import { duration, number, percent } from './format.js';
import { t, tn } from './i18n.js';

export const STATES = ['waiting', 'prioritized', 'active', 'delayed', 'waiting-children', 'completed', 'failed'];

const LATE_MS = 300_000; // a job that waits longer than this is worth a word
const FAILING = 0.2; // of those that ended lately
export const SEVERITIES = ['critical', 'warning', 'info'];

export const waitingOf = ({ counts }) => counts.waiting + counts.prioritized;

// Of the jobs that ended lately, how many failed; null where nobody counts.
export function failureShare({ rates }) {
  if (rates.out === null || rates.failed === null) return null;
  return rates.out > 0 ? Math.min(1, rates.failed / rates.out) : 0;
}

export const workersOf = ({ workers: { own, http, bullmq } }) => (bullmq === null && own + http === 0 ? null : own + http + (bullmq ?? 0));

// [{severity, text, action}] of one queue, the worst first. That jobs wait for long is no news of its own where nobody takes any.
export function alarmsOf(queue) {
  const alarms = [];
  const waiting = waitingOf(queue);
  const late = !queue.paused && queue.oldestWaitingAgeMs > LATE_MS ? { age: duration(queue.oldestWaitingAgeMs) } : null;
  const add = (severity, text, action) => alarms.push({ severity, text, action });
  const share = failureShare(queue);
  if (queue.paused) {
    const reason = queue.pausedReason ? t('alarm.reason', { reason: queue.pausedReason }) : '';
    add(waiting ? 'warning' : 'info', `${tn('alarm.paused', waiting)}${reason}`, 'resume');
  } else if (waiting && workersOf(queue) === 0) {
    add('critical', `${tn('alarm.noworkers', waiting)}${late ? t('alarm.since', late) : ''}`);
  } else if (late) {
    add('warning', t('alarm.late', late));
  }
  if (queue.rateLimited) add('info', t('alarm.limited'));
  if (share !== null && share >= FAILING) add('warning', t('alarm.failing', { share: percent(share) }), 'failed');
  return alarms.sort((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity));
}

const worst = (queue) => (queue.alarms.length ? SEVERITIES.indexOf(queue.alarms[0].severity) : SEVERITIES.length);

// How much waits, in steps of ten: what is worst stands first, and rows do not change places with each job.
const backlog = (queue) => (queue.alarms.length ? String(waitingOf(queue)).length : 0);

export const ORDERS = {
  attention: (a, b) => worst(a) - worst(b) || backlog(b) - backlog(a) || a.name.localeCompare(b.name),
  name: (a, b) => a.name.localeCompare(b.name),
  waiting: (a, b) => waitingOf(b) - waitingOf(a),
  active: (a, b) => b.counts.active - a.counts.active,
  delayed: (a, b) => b.counts.delayed - a.counts.delayed,
  failed: (a, b) => b.counts.failed - a.counts.failed,
  completed: (a, b) => b.counts.completed - a.counts.completed,
  in: (a, b) => (b.rates.in ?? -1) - (a.rates.in ?? -1),
  out: (a, b) => (b.rates.out ?? -1) - (a.rates.out ?? -1),
  oldest: (a, b) => (b.oldestWaitingAgeMs ?? -1) - (a.oldestWaitingAgeMs ?? -1),
};

export const perSecond = (value) => (value === null || value === undefined ? null : number(value, { maximumFractionDigits: value < 10 ? 1 : 0 }));
