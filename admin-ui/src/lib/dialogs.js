// Questions and short messages, asked for from anywhere.
import { createStore } from './store.js';

export const question = createStore(null);
export const toasts = createStore([]);
let count = 0;

// {title, text, confirm, danger, typed, fields}: resolves with the fields' values (an object), or null when it was not confirmed.
// typed: what must be written before the button works; fields: [{name, label, type, value, options, min, required}].
export const ask = (about) => new Promise((resolve) => question.set({ ...about, id: ++count, resolve }));

export function answer(value) {
  const asked = question.get();
  question.set(null);
  asked?.resolve(value);
}

const LIFE = 6000;

// what: a text, or {text, href, link} with a link behind it.
export function say(what, { bad = false } = {}) {
  const toast = { id: ++count, bad, ...(typeof what === 'string' ? { text: what } : what) };
  toasts.set([...toasts.get().slice(-3), toast]);
  setTimeout(() => unsay(toast.id), bad ? 2 * LIFE : LIFE);
}

export const unsay = (id) => toasts.set(toasts.get().filter((toast) => toast.id !== id));
