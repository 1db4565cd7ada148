// What keeps the page up to date: one stream of events for the whole browser, or asking again where there is none.
//
//     const stop = watch({ queue: 'notifications', every: 5000 }, refresh);
//
// refresh is called when something of that queue (or of any, without one) has happened, at most once a second; without a stream, every
// `every` ms; with `silent` then too, since no event tells of it. Nothing is called while the page is hidden or paused; whoever comes back is called at once. Of several windows of one
// browser the one that holds the lock has the stream, and tells the others.
import { session } from './api.js';
import { createSetting, createStore } from './store.js';

const EVENTS = '/api/events';
const OPERATION = 'streamEvents';
const CALM = 1000; // between two calls for one watcher
const GATHER = 200; // events come by thousands a second: which queues they are of is told together
const SAFETY = 30_000; // while the stream works: for what no event tells, such as ages
const RETRY = 60_000; // until a stream that was refused is tried again
const TYPES = [
  'added', 'waiting', 'prioritized', 'active', 'completed', 'failed', 'delayed', 'progress', 'removed', 'paused', 'resumed', 'drained', 'stalled', 'cleaned',
  'waiting-children', 'retries-exhausted', 'deduplicated', 'duplicated', 'resync',
];

export const paused = createSetting('paused', '');
// 'live' (a stream), 'polling', 'paused', 'offline'
export const mode = createStore('polling');

const watchers = new Set();
let reachable = true;

// Whoever asks the server says how it went; the page shows it.
export function heard(ok) {
  reachable = ok;
  show();
}

export function watch({ queue, every = 5000, silent = false }, refresh) {
  const watcher = { queue, every, silent, refresh, last: performance.now(), due: false };
  watchers.add(watcher);
  return () => watchers.delete(watcher);
}

const resting = () => document.hidden || paused.get() !== '';

function call(watcher, now) {
  watcher.last = now;
  watcher.due = false;
  watcher.refresh();
}

function tick() {
  const now = performance.now();
  if (resting()) return;
  for (const watcher of [...watchers]) {
    const wait = watcher.due ? CALM : stream.open && !watcher.silent ? SAFETY : watcher.every;
    if (now - watcher.last >= wait) call(watcher, now);
  }
}

function happened(queue) {
  for (const watcher of watchers) if (!queue || !watcher.queue || watcher.queue === queue) watcher.due = true;
}

// Everything at once: after an action, or when the page is looked at again.
export function refreshAll() {
  if (document.hidden) return;
  for (const watcher of [...watchers]) call(watcher, performance.now());
}

// ---- the stream ------------------------------------------------------------------------------------------------------------------------

const channel = 'BroadcastChannel' in window ? new BroadcastChannel('sluice-live') : null;
const stream = { source: null, open: false, giveUp: null, retryAt: 0 };

function tell(message) {
  channel?.postMessage(message);
  take(message);
}

function take({ queue, open }) {
  if (open !== undefined) stream.open = open;
  else happened(queue);
  show();
}

channel?.addEventListener('message', ({ data }) => take(data));

const changed = new Set();
let telling = 0;

function onEvent({ data }) {
  let queue = null;
  try {
    queue = JSON.parse(data).queue;
  } catch {
    // an event that says nothing of a queue is about all of them
  }
  changed.add(queue);
  telling ||= setTimeout(() => {
    telling = 0;
    for (const each of changed) tell({ queue: each });
    changed.clear();
  }, GATHER);
}

function connect() {
  const source = new EventSource(EVENTS);
  stream.source = source;
  source.onopen = () => {
    tell({ open: true });
    happened(null);
  };
  source.onerror = () => {
    tell({ open: false });
    if (source.readyState === EventSource.CLOSED) stream.retryAt = performance.now() + RETRY;
  };
  source.onmessage = onEvent;
  for (const type of TYPES) source.addEventListener(type, onEvent);
}

function disconnect() {
  stream.giveUp?.();
  stream.giveUp = null;
  if (!stream.source) return;
  stream.source.close();
  stream.source = null;
  tell({ open: false });
}

// Holds the lock for as long as the page is looked at; without locks (plain http on another machine) every window has its own stream.
function lead() {
  if (!navigator.locks) return connect();
  const abort = new AbortController();
  const released = new Promise((resolve) => {
    stream.giveUp = () => {
      abort.abort();
      resolve();
    };
  });
  navigator.locks.request('sluice-live', { signal: abort.signal }, () => {
    connect();
    return released;
  }).catch(() => {}); // given up while waiting
  return undefined;
}

function tend() {
  const may = session.get()?.may.includes(OPERATION) && !resting() && performance.now() >= stream.retryAt;
  const held = stream.source || stream.giveUp;
  if (held && (!may || stream.source?.readyState === EventSource.CLOSED)) disconnect();
  else if (!held && may) lead();
}

function show() {
  mode.set(paused.get() !== '' ? 'paused' : !reachable ? 'offline' : stream.open ? 'live' : 'polling');
}

export function startLive() {
  setInterval(() => {
    tend();
    tick();
  }, 250);
  document.addEventListener('visibilitychange', () => {
    tend();
    refreshAll();
  });
  paused.follow(() => {
    show();
    if (!resting()) refreshAll();
  });
}
