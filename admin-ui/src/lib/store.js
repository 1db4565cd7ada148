// A value that components follow.
import { useEffect, useState } from 'preact/hooks';

export function createStore(value) {
  const followers = new Set();
  return {
    get: () => value,
    set(next) {
      if (Object.is(next, value)) return;
      value = next;
      for (const follower of [...followers]) follower(value);
    },
    follow(follower) {
      followers.add(follower);
      return () => followers.delete(follower);
    },
  };
}

export function useStore(store) {
  const [value, set] = useState(store.get());
  useEffect(() => {
    set(() => store.get());
    return store.follow((next) => set(() => next));
  }, [store]);
  return value;
}

// What the browser remembers between visits; where it may not (private windows), only this visit does.
export function createSetting(name, fallback) {
  const key = `sluice.${name}`;
  let saved = null;
  try {
    saved = localStorage.getItem(key);
  } catch {
    // no storage
  }
  const store = createStore(saved ?? fallback);
  store.follow((value) => {
    try {
      localStorage.setItem(key, value);
    } catch {
      // no storage
    }
  });
  return store;
}
