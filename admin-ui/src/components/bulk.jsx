// One action over all jobs that a filter matches: first how many that are, then the doing, with its progress, until it ends or is stopped.
import { useEffect, useRef, useState } from 'preact/hooks';
import { can, post, request } from '../lib/api.js';
import { number } from '../lib/format.js';
import { t, tn } from '../lib/i18n.js';
import { path } from '../lib/router.js';
import { failureOf, isOver, shareOf, stopTask, useTask } from '../lib/tasks.js';
import { Button, LinkButton, ProblemBox, Progress } from './basics.jsx';
import { Dialog, Field } from './dialogs.jsx';

const HOUR = 3_600_000;

function Running({ id, close }) {
  const [task, error] = useTask(id);
  const over = task && isOver(task);
  const changed = task?.changed ?? 0;
  return (
    <div class="form">
      <h2>{over ? t(`bulk.state.${task.state}`) : t('bulk.running')}</h2>
      {error && <ProblemBox error={error} />}
      <Progress value={task ? shareOf(task) : 0} label={t('bulk.progress')} />
      <p role="status">{tn('bulk.done', changed)}</p>
      {task?.skipped > 0 && <p class="faint">{tn('bulk.skipped', task.skipped)}</p>}
      {task?.failure && <p class="field-error break">{failureOf(task)}</p>}
      <div class="row end">
        {!over && !error && can('cancelTask') && <Button onClick={() => stopTask(id)}>{t('bulk.stop')}</Button>}
        {!over && !error && <LinkButton kind="primary" href={path`/tasks/${id}`}>{t('bulk.leave')}</LinkButton>}
        {(over || error) && <Button kind="primary" onClick={close}>{t('close')}</Button>}
      </div>
    </div>
  );
}

// {matched, complete} of the filter, counted anew when it changes; null while it is counted: what was counted for another filter is nothing.
function useCount(address, action, filter) {
  const [counted, set] = useState({});
  const key = JSON.stringify(filter);
  useEffect(() => {
    let wanted = true;
    post(address, { action, filter, dryRun: true }).then((count) => wanted && set({ key, count }), (error) => wanted && set({ key, error }));
    return () => (wanted = false);
  }, [address, action, key]);
  return counted.key === key ? [counted.count, counted.error] : [null, null];
}

// What narrows the filter further; taken when the field is left.
function Narrow({ state, change }) {
  return (
    <>
      {state === 'failed' && <Field label={t('bulk.error')}><input onChange={(e) => change({ error: e.currentTarget.value || undefined })} maxLength={1000} autocomplete="off" /></Field>}
      <Field label={t('bulk.older')}><input type="number" min={0} step="any" onChange={(e) => change({ olderThanMs: e.currentTarget.value ? Math.round(Number(e.currentTarget.value) * HOUR) : undefined })} /></Field>
    </>
  );
}

// about: {queue, action, filter}
export function Bulk({ about: { queue, action, filter: given }, close }) {
  const address = path`/api/queues/${queue}/bulk`;
  const [filter, setFilter] = useState(given);
  const [count, uncounted] = useCount(address, action, filter);
  const [refused, setRefused] = useState(null);
  const [task, setTask] = useState(null);
  const [written, setWritten] = useState('');
  const asked = useRef(false);
  const removes = action === 'remove';
  const error = refused ?? uncounted;
  const some = count && (count.matched > 0 || !count.complete);
  const start = (event) => {
    event.preventDefault();
    if (!some || asked.current) return;
    asked.current = true;
    const body = { action, filter, dryRun: false, ...(removes ? { confirm: queue } : {}) };
    request('POST', address, { body }).then(({ json }) => setTask(json.id), setRefused).finally(() => (asked.current = false));
  };
  if (task) return <Dialog title={t(`job.${action}`)} onClose={close}><Running id={task} close={close} /></Dialog>;
  return (
    <Dialog title={t(`job.${action}`)} onClose={close}>
      <form onSubmit={start}>
        <h2 aria-live="polite">{count ? tn(`bulk.${action}.title`, count.matched, { n: number(count.matched) + (count.complete ? '' : '+') }) : t('bulk.counting')}</h2>
        {error && <ProblemBox error={error} />}
        {count && !count.complete && <p class="faint">{t('bulk.atleast')}</p>}
        <Narrow state={given.state} change={(more) => setFilter({ ...filter, ...more })} />
        <p>{t('bulk.text')}</p>
        {removes && <Field label={t('confirm.type', { name: queue })}><input class="mono" value={written} onInput={(e) => setWritten(e.currentTarget.value)} autocomplete="off" spellcheck={false} /></Field>}
        <div class="row end">
          <Button onClick={close}>{t('cancel')}</Button>
          <button type="submit" class={`button ${removes ? 'danger' : 'primary'}`} disabled={!some || (removes && written !== queue)}>{t(`job.${action}`)}</button>
        </div>
      </form>
    </Dialog>
  );
}
