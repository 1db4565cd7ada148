// The time, once a second while the page is looked at.
import { createStore, useStore } from './store.js';

const now = createStore(Date.now());
setInterval(() => document.hidden || now.set(Date.now()), 1000);

export const useNow = () => useStore(now);
