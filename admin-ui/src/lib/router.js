// Addresses: which screen, about what, with which filters. The address is the only place where filters are kept.
import { createStore, useStore } from './store.js';

const read = () => ({ path: location.pathname, query: new URLSearchParams(location.search) });
const place = createStore(read());

addEventListener('popstate', () => place.set(read()));

export const useLocation = () => useStore(place);

export function navigate(to, { replace = false } = {}) {
  if (to === location.pathname + location.search) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', to);
  place.set(read());
  if (!replace) scrollTo(0, 0);
}

// The present address with some of the query's fields changed; null, undefined and '' remove one.
export function withQuery(changes) {
  const { path, query } = read();
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === '') next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  return text ? `${path}?${text}` : path;
}

// routes: [['/queues/:queue', screen], …]. Gives {screen, params}, or null.
export function match(routes, path) {
  const segments = path.replace(/(.)\/$/, '$1').split('/');
  for (const [pattern, screen] of routes) {
    const wanted = pattern.split('/');
    if (wanted.length !== segments.length) continue;
    const params = {};
    const fits = wanted.every((part, i) => (part.startsWith(':') ? decode(params, part.slice(1), segments[i]) : part === segments[i]));
    if (fits) return { screen, params };
  }
  return null;
}

function decode(params, name, segment) {
  try {
    params[name] = decodeURIComponent(segment);
    return segment !== '';
  } catch {
    return false; // no well-formed escape
  }
}

// path`/jobs/${queue}/${id}`: an address from parts that may contain anything.
export const path = (texts, ...values) => texts.reduce((whole, text, i) => whole + text + (i < values.length ? encodeURIComponent(values[i]) : ''), '');

// Clicks on links of ours stay in this document; those with modifier keys are the browser's.
addEventListener('click', (event) => {
  const link = event.target.closest?.('a[href]');
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  if (link.target || link.hasAttribute('download') || link.origin !== location.origin || link.dataset.native !== undefined) return;
  event.preventDefault();
  navigate(link.pathname + link.search);
});
