// What can be done here: each screen says its actions; keyboard, command palette and the list of keys read them from one place.
//
//     useActions([{ key: 'p', label: t('queue.pause'), run: pause }, { key: 'g q', … }]);
//
// An action without a key is in the palette only; `hidden` keeps one out of the palette. rank: the smaller, the earlier in both.
import { useLayoutEffect } from 'preact/hooks';
import { createStore } from './store.js';

export const actions = createStore([]);
const layers = [];

// Those of the screen come before those of the frame, in the palette and for the keys.
const publish = () => actions.set([...layers].sort((a, b) => a.rank - b.rank).flatMap((layer) => layer.list));

// The newest list of the component, in force before the next key; nothing is drawn again for it.
export function useActions(list, { rank = 0 } = {}) {
  const kept = list.filter(Boolean);
  useLayoutEffect(() => {
    const layer = { list: kept, rank };
    layers.push(layer);
    publish();
    return () => {
      layers.splice(layers.indexOf(layer), 1);
      publish();
    };
  });
}

const isTyping = (target) => target.closest?.('input:not([type=checkbox]), textarea, select, [contenteditable]');
let prefix = '';
let prefixTimer;

function onKey(event) {
  if (event.defaultPrevented || event.altKey || (event.ctrlKey && event.metaKey)) return;
  const modified = event.ctrlKey || event.metaKey;
  if (modified ? event.key !== 'k' : isTyping(event.target) || document.querySelector('dialog[open]')) return;
  const pressed = modified ? 'mod k' : prefix + event.key;
  const list = actions.get();
  const action = list.find(({ key }) => key === pressed);
  clearTimeout(prefixTimer);
  prefix = '';
  if (action) {
    event.preventDefault();
    action.run(event);
  } else if (!modified && list.some(({ key }) => key?.startsWith(`${event.key} `))) {
    prefix = `${event.key} `;
    prefixTimer = setTimeout(() => (prefix = ''), 1500);
  }
}

addEventListener('keydown', onKey);
