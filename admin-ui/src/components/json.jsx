// A JSON text as a tree. Only what is open is read, only a hundred members at a time, and every value is shown as it was written.
import { useMemo, useState } from 'preact/hooks';
import { bytes, visible } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { children, kindOf } from '../lib/json.js';
import { Button, Copy, IconButton } from './basics.jsx';

const STRING_SHOWN = 400;
const STRING_STEP = 25; // so many times more at each wish for more
const OPEN_BYTES = 1500; // containers smaller than this are open at first
const OPEN_DEPTH = 3;

function Text({ text, start, end }) {
  const [shown, setShown] = useState(STRING_SHOWN);
  const left = end - start - shown;
  return (
    <>
      <span class="json-string">{visible(text.slice(start, Math.min(end, start + shown)))}{left > 0 && '…'}</span>
      {left > 0 && <Button kind="quiet small" onClick={() => setShown(shown * STRING_STEP)}>{t('json.rest', { bytes: bytes(left) })}</Button>}
    </>
  );
}

function Members({ text, start, depth }) {
  const [pages, setPages] = useState(1);
  const { items, next } = useMemo(() => {
    let read = { items: [], next: start + 1 };
    for (let i = 0; i < pages && read.next !== null; i++) {
      const page = children(text, start, { from: read.next });
      read = { items: [...read.items, ...page.items], next: page.next };
    }
    return read;
  }, [text, start, pages]);
  if (!items.length) return <span class="faint">{t('json.empty')}</span>;
  return (
    <ul>
      {items.map((item, i) => <Node key={item.start} name={item.key ?? i} isIndex={item.key === undefined} text={text} start={item.start} end={item.end} depth={depth + 1} />)}
      {next !== null && <li><Button kind="quiet small" onClick={() => setPages(pages + 1)}>{t('json.more')}</Button></li>}
    </ul>
  );
}

const EMPTY = /[{[]\s*[}\]]/y;

function isEmpty(text, start) {
  EMPTY.lastIndex = start;
  return EMPTY.test(text);
}

function Node({ name, isIndex, text, start, end, depth }) {
  const kind = kindOf(text, start);
  const isTree = (kind === 'object' || kind === 'array') && !isEmpty(text, start);
  const [open, setOpen] = useState(isTree && end - start < OPEN_BYTES && depth < OPEN_DEPTH);
  const label = name !== undefined && <span class={isIndex ? 'json-index' : 'json-key'}>{isIndex ? name : visible(name)}</span>;
  if (!isTree) {
    return <li>{label}{kind === 'string' ? <Text text={text} start={start} end={end} /> : <span class={`json-${kind}`}>{text.slice(start, end)}</span>}</li>;
  }
  return (
    <li>
      <button type="button" class="json-toggle" aria-expanded={open} onClick={() => setOpen(!open)}>
        <span class="json-arrow" aria-hidden="true">{open ? '▾' : '▸'}</span>
        {label}
        <span class="faint">{kind === 'object' ? '{…}' : '[…]'} {bytes(end - start)}</span>
      </button>
      {open && <Members text={text} start={start} depth={depth} />}
    </li>
  );
}

function save(text, file) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }));
  Object.assign(document.createElement('a'), { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

// text: JSON. file: the name under which it is saved.
export function Json({ text, file }) {
  const start = text.search(/\S/);
  if (start < 0) return <span class="faint">–</span>;
  const kind = kindOf(text, start);
  return (
    <div class="json">
      <div class="json-tools">
        <span class="faint">{bytes(new Blob([text]).size)}</span>
        <Copy text={text} />
        <IconButton icon="download" label={t('download')} onClick={() => save(text, file)} />
      </div>
      <div class="json-tree mono">
        {kind === 'object' || kind === 'array' ? <Members text={text} start={start} depth={0} /> : <ul><Node text={text} start={start} end={text.trimEnd().length} depth={0} /></ul>}
      </div>
    </div>
  );
}
