// The small parts that every screen is made of. Whatever comes from jobs goes through them as text.
import { useState } from 'preact/hooks';
import { useNow } from '../lib/clock.js';
import { say } from '../lib/dialogs.js';
import { dateTime, duration, relative, utc, visible } from '../lib/format.js';
import { known, t } from '../lib/i18n.js';
import { isAway } from '../lib/resource.js';
import { withQuery } from '../lib/router.js';
import { Icon } from './icons.jsx';

export function Button({ kind = '', icon, children, ...rest }) {
  return (
    <button type="button" class={`button ${kind}`} {...rest}>
      {icon && <Icon name={icon} />}
      {children && <span>{children}</span>}
    </button>
  );
}

export function IconButton({ icon, label, ...rest }) {
  return (
    <button type="button" class="button quiet square" aria-label={label} title={label} {...rest}>
      <Icon name={icon} />
    </button>
  );
}

export function LinkButton({ href, icon, kind = '', children, ...rest }) {
  return (
    <a class={`button ${kind}`} href={href} {...rest}>
      {icon && <Icon name={icon} />}
      <span>{children}</span>
    </a>
  );
}

// From page to page of a list whose cursor stands in the address; what is given stands before it.
export function Pager({ cursor, next, children = <span /> }) {
  return (
    <div class="pager">
      {children}
      {cursor && <LinkButton href={withQuery({ cursor: null })}>{t('pager.first')}</LinkButton>}
      {next && <LinkButton href={withQuery({ cursor: next })} icon="right">{t('pager.next')}</LinkButton>}
    </div>
  );
}

// A job's state: a shape and a word; the colour only repeats them.
export function State({ name }) {
  return (
    <span class={`state state-${name}`}>
      <Icon name={name} />
      {t(`state.${name}`)}
    </span>
  );
}

const TASK_ICONS = { queued: 'waiting', running: 'active', done: 'completed', cancelled: 'removed', failed: 'failed', lost: 'failed' };

// The same of a task.
export function TaskState({ name }) {
  return (
    <span class={`state state-${TASK_ICONS[name]}`}>
      <Icon name={TASK_ICONS[name]} />
      {t(`bulk.state.${name}`)}
    </span>
  );
}

export function Badge({ kind = '', icon, title, children }) {
  return (
    <span class={`badge ${kind}`} title={title}>
      {icon && <Icon name={icon} />}
      {children}
    </span>
  );
}

// Relative to now; the tooltip has the whole date and UTC.
export function Time({ at, bare = false }) {
  const now = useNow();
  if (at === null || at === undefined || at < 0) return <span class="faint">–</span>;
  return (
    <time dateTime={utc(at)} title={`${dateTime(at)}\n${utc(at)}`}>
      {bare ? dateTime(at) : relative(at, now)}
    </time>
  );
}

export const Duration = ({ ms }) => (ms === null || ms === undefined ? <span class="faint">–</span> : <span class="number">{duration(ms)}</span>);

async function copyText(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement('textarea'), { value: text }); // plain http has no clipboard
  document.body.append(area);
  area.select();
  document.execCommand('copy');
  area.remove();
  return undefined;
}

export function Copy({ text, label = t('copy') }) {
  const copy = () => copyText(typeof text === 'function' ? text() : text).then(() => say(t('copied')), () => say(t('copy.failed'), { bad: true }));
  return <IconButton icon="copy" label={label} onClick={copy} />;
}

// What went wrong, why, and what can be done about it.
export function ProblemBox({ error, retry }) {
  const key = `problem.${error.code}`;
  return (
    <div class="notice bad" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{known(key) ? t(key) : error.title ?? t('problem.other')}</strong>
        <p>{error.code === 'network' ? t('problem.network.text') : error.detail}</p>
        {error.errors?.length > 0 && <ul>{error.errors.map(({ pointer, detail }) => <li key={pointer}><code>{pointer}</code> {detail}</li>)}</ul>}
        {error.instance && <p class="faint">{t('problem.request', { id: error.instance })}</p>}
      </div>
      {retry && <Button onClick={retry}>{t('retry.load')}</Button>}
    </div>
  );
}

export function Empty({ title, children }) {
  return (
    <div class="empty">
      <p class="empty-title">{title}</p>
      {children}
    </div>
  );
}

// Stands where rows will be; it shows itself only when they take long.
export function Skeleton({ rows = 5 }) {
  return (
    <div class="skeleton" role="status" aria-label={t('loading')}>
      {Array.from({ length: rows }, (_, i) => <span key={i} />)}
    </div>
  );
}

// A resource's three faces: not there yet, not to be had, there (perhaps of some time ago, when asking again failed; that a store is away
// the frame says once for all).
export function Loaded({ resource, rows, children }) {
  const { data, error, reload } = resource;
  if (data === undefined || data === null) return error ? <ProblemBox error={error} retry={reload} /> : <Skeleton rows={rows} />;
  return (
    <>
      {error && !isAway(error) && <ProblemBox error={error} retry={reload} />}
      {children(data)}
    </>
  );
}

export function Card({ title, actions, class: name = '', children, ...rest }) {
  return (
    <section class={`card ${name}`} {...rest}>
      {title && (
        <header class="card-head">
          <h2>{title}</h2>
          {actions && <div class="row">{actions}</div>}
        </header>
      )}
      {children}
    </section>
  );
}

// Term and value, in two columns. items: [[term, value] | false, …]
export function Facts({ items }) {
  return (
    <dl class="facts">
      {items.filter(Boolean).map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value ?? <span class="faint">–</span>}</dd>
        </div>
      ))}
    </dl>
  );
}

// A wide table scrolls inside its frame, by keyboard too.
export function TableFrame({ label, children }) {
  return (
    <div class="table-frame" role="region" aria-label={label} tabIndex={0}>
      {children}
    </div>
  );
}

// Long text, cut until it is asked for.
export function LongText({ text, limit = 600, mono = true }) {
  const [all, setAll] = useState(false);
  const long = text.length > limit;
  return (
    <>
      <pre class={mono ? 'text mono' : 'text'}>{visible(long && !all ? `${text.slice(0, limit)}…` : text)}</pre>
      {long && <Button kind="quiet small" onClick={() => setAll(!all)}>{all ? t('show.less') : t('show.all')}</Button>}
    </>
  );
}

export function Progress({ value, label }) {
  const share = Math.max(0, Math.min(1, value));
  return (
    <span class="progress" role="progressbar" aria-valuemin={0} aria-valuemax={100} aria-valuenow={Math.round(share * 100)} aria-label={label}>
      <span style={{ width: `${share * 100}%` }} />
    </span>
  );
}
