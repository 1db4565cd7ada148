// Everything by typing: queues, jobs by id, screens, and what can be done here. The same list, with its keys, is the help.
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { actions } from '../lib/actions.js';
import { can } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { navigate, path } from '../lib/router.js';
import { createStore, useStore } from '../lib/store.js';
import { IconButton } from './basics.jsx';
import { Dialog } from './dialogs.jsx';

const SHOWN = 12;
const open = createStore(null); // null, 'all' or 'keys'

export const openPalette = (which) => open.set(which === 'keys' ? 'keys' : 'all');

const keyNames = (key) => key.split(' ').map((part) => (part === 'mod' ? 'Ctrl' : part));

const Keys = ({ of }) => of && <span class="keys">{keyNames(of).map((name, i) => <kbd key={i}>{name}</kbd>)}</span>;

// All words of what was typed stand in the label.
const fits = (label, words) => words.every((word) => label.toLowerCase().includes(word));

// "queue/id" is a job's address.
function jobOf(text) {
  const [, queue, id] = /^([\w.-]{1,64})\/(\S.*)$/.exec(text) ?? [];
  return queue ? [{ label: t('palette.job', { id, queue }), run: () => navigate(path`/jobs/${queue}/${id}`) }] : [];
}

function useChoices(text) {
  const list = useStore(actions);
  const { data } = useResource(can('listQueues') ? '/api/queues' : null, { every: 0 });
  return useMemo(() => {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    const queues = (data?.items ?? []).map(({ name }) => ({ label: t('palette.queue', { name }), run: () => navigate(path`/queues/${name}`) }));
    const doable = list.filter(({ hidden }) => !hidden);
    return [...jobOf(text.trim()), ...[...doable, ...queues].filter(({ label }) => fits(label, words))].slice(0, SHOWN);
  }, [text, list, data]);
}

function Choices({ close }) {
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const choices = useChoices(text);
  const chosen = Math.min(at, choices.length - 1);
  const list = useRef();
  useEffect(() => list.current?.children[chosen]?.scrollIntoView({ block: 'nearest' }), [chosen]);
  const run = (choice) => {
    close();
    choice?.run();
  };
  const key = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) setAt((chosen + step + choices.length) % Math.max(1, choices.length));
    else if (event.key === 'Enter') run(choices[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <>
      <input class="palette-input" type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-autocomplete="list" aria-label={t('palette.hint')}
        aria-activedescendant={choices.length ? `choice-${chosen}` : undefined} placeholder={t('palette.placeholder')} value={text} onKeyDown={key}
        onInput={(e) => (setText(e.currentTarget.value), setAt(0))} autocomplete="off" spellcheck={false} />
      <ul id="palette-list" role="listbox" aria-label={t('palette.choices')} ref={list}>
        {choices.map((choice, i) => (
          <li key={choice.label + i} id={`choice-${i}`} role="option" aria-selected={i === chosen} onPointerMove={() => setAt(i)} onClick={() => run(choice)}>
            <span>{choice.label}</span>
            <Keys of={choice.key} />
          </li>
        ))}
      </ul>
      {!choices.length && <p class="faint pad">{t('palette.none')}</p>}
    </>
  );
}

function KeyList({ close }) {
  const list = useStore(actions).filter(({ key }) => key);
  return (
    <div class="pad">
      <div class="row">
        <h2 class="grow">{t('keys.title')}</h2>
        <IconButton icon="close" label={t('close')} onClick={close} />
      </div>
      <dl class="key-list">
        {list.map(({ key, label }) => (
          <div key={key}>
            <dt><Keys of={key} /></dt>
            <dd>{label}</dd>
          </div>
        ))}
      </dl>
    </div>
  );
}

export function Palette() {
  const which = useStore(open);
  const close = () => open.set(null);
  if (!which) return null;
  return (
    <Dialog class="palette" title={t(which === 'keys' ? 'keys.title' : 'palette.hint')} onClose={close}>
      {which === 'keys' ? <KeyList close={close} /> : <Choices close={close} />}
    </Dialog>
  );
}
