// What the server says, kept by address, shared by everybody who shows it, and asked for again when it may have changed. The last good
// answer stays on the screen while the next one is on its way, and when it fails.
import { useEffect, useState } from 'preact/hooks';
import { request, session } from './api.js';
import { heard, watch } from './live.js';
import { createStore } from './store.js';

const KEPT = 60; // answers of screens that were left
const entries = new Map();
const STORES = ['network', 'redis-unavailable', 'records-unavailable'];
const EMPTY = { data: undefined, text: '', error: null, at: 0 };

export const isAway = ({ code }) => STORES.includes(code);

// The last answer said that a store, or the server itself, is away: that problem; else null.
export const trouble = createStore(null);

function entryOf(address, raw = false) {
  let entry = entries.get(address);
  if (!entry) {
    entry = { address, raw, value: EMPTY, etag: null, followers: new Set(), flight: null };
    entries.set(address, entry);
    for (const [key, old] of entries) {
      if (entries.size <= KEPT) break;
      if (!old.followers.size && old !== entry) entries.delete(key);
    }
  }
  return entry;
}

function publish(entry, change) {
  entry.value = { ...entry.value, ...change };
  for (const follower of [...entry.followers]) follower(entry.value);
}

async function load(entry) {
  try {
    const { unchanged, json, text, etag } = await request('GET', entry.address, { etag: entry.etag, raw: entry.raw });
    heard(true);
    trouble.set(null);
    if (unchanged) return publish(entry, { error: null, at: Date.now() });
    entry.etag = etag;
    // The same answer is kept as the same object: nothing is drawn again, and nothing moves.
    publish(entry, text === entry.value.text && entry.value.at ? { error: null, at: Date.now() } : { data: entry.raw || json, text, error: null, at: Date.now() });
  } catch (error) {
    heard(error.code !== 'network');
    if (isAway(error)) trouble.set(error);
    publish(entry, { error });
  }
  return undefined;
}

export function refresh(address) {
  const entry = entryOf(address);
  entry.flight ??= load(entry).finally(() => (entry.flight = null));
  return entry.flight;
}

// {data, text, error, at, reload}. address null: nothing is asked. queue: whose events call for it again; every: ms without events, 0: once;
// silent: no event tells of its changes; raw: the text alone, unparsed, `data` is true when it is there; version: asked for again when it changes.
export function useResource(address, { queue, every = 5000, silent = false, raw = false, version = '' } = {}) {
  const [value, set] = useState(address ? entryOf(address, raw).value : EMPTY);
  useEffect(() => {
    if (!address) {
      set(EMPTY);
      return undefined;
    }
    const entry = entryOf(address, raw);
    const follower = (next) => set(next);
    entry.followers.add(follower);
    set(entry.value);
    if (every || !entry.value.at || entry.version !== version) refresh(address);
    entry.version = version;
    const stop = every ? watch({ queue, every, silent }, () => refresh(address)) : () => {};
    return () => {
      stop();
      entry.followers.delete(follower);
    };
  }, [address, queue, every, silent, raw, version]);
  return { ...value, reload: () => address && refresh(address) };
}

// Nobody is signed in any more; the next one may be somebody else, who is not to see what this one did, nor that his session had ended.
session.follow((who) => who.sub || entries.clear());
