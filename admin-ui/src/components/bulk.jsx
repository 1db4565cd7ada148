// One action over all jobs that a filter matches: first how many that are, then the doing, with its progress, until it ends or is stopped.
import { useEffect, useRef, useState } from 'preact/hooks';
import { get, post, request } from '../lib/api.js';
import { number } from '../lib/format.js';
import { t, tn } from '../lib/i18n.js';
import { refreshAll } from '../lib/live.js';
import { path } from '../lib/router.js';
import { Button, ProblemBox, Progress } from './basics.jsx';
import { Dialog } from './dialogs.jsx';

const ASK_EVERY = 500;

// The answer of an address until `done` holds for it.
function usePolling(address, done) {
  const [value, set] = useState(null);
  useEffect(() => {
    if (!address) return undefined;
    let timer;
    const look = () => get(address).then((found) => {
      set(found);
      if (!done(found)) timer = setTimeout(look, ASK_EVERY);
    }, (error) => set({ error }));
    look();
    return () => clearTimeout(timer);
  }, [address]);
  return value;
}

const ended = (task) => task.state !== 'running' && task.state !== 'waiting';

function Running({ address, close }) {
  const task = usePolling(address, ended);
  const heading = useRef();
  useEffect(() => heading.current.focus(), []);
  const over = task && (task.error || ended(task));
  useEffect(() => over && refreshAll(), [over]);
  if (task?.error) return <ProblemBox error={task.error} />;
  const done = task?.done ?? 0;
  return (
    <>
      <h2 tabIndex={-1} ref={heading}>{t(over ? `bulk.state.${task.state}` : 'bulk.running')}</h2>
      <Progress value={over && task.state === 'completed' ? 1 : task?.total ? (task.examined ?? done) / task.total : 0} label={t('bulk.progress')} />
      <p role="status">{tn('bulk.done', done, { n: number(done) })}{task?.failed ? ` · ${tn('bulk.failed', task.failed)}` : ''}</p>
      <div class="row end">
        {over ? <Button kind="primary" onClick={close}>{t('close')}</Button> : <Button onClick={() => request('DELETE', address).catch(() => {})}>{t('bulk.stop')}</Button>}
      </div>
    </>
  );
}

// about: {queue, action, filter}
export function Bulk({ about, close }) {
  const { queue, action, filter } = about;
  const address = path`/api/queues/${queue}/bulk`;
  const [count, setCount] = useState(null);
  const [error, setError] = useState(null);
  const [task, setTask] = useState(null);
  const [written, setWritten] = useState('');
  useEffect(() => void post(address, { action, filter, dryRun: true }).then(setCount, setError), []);
  const start = (event) => {
    event.preventDefault();
    request('POST', address, { body: { action, filter, dryRun: false, ...(action === 'remove' ? { confirm: queue } : {}) } }).then(({ location }) => setTask(location), setError);
  };
  const n = count?.count ?? 0;
  const ready = count && n > 0 && (action !== 'remove' || written === queue);
  return (
    <Dialog title={t(`job.${action}`)} onClose={close}>
      {task ? <Running address={task} close={close} /> : (
        <form onSubmit={start}>
          <h2>{count ? tn(`bulk.${action}.title`, n, { n: number(n) + (count.more ? '+' : '') }) : t('bulk.counting')}</h2>
          {error && <ProblemBox error={error} />}
          {!count && !error && <p role="status" class="faint">{t('loading')}</p>}
          <p>{t('bulk.text')}</p>
          {action === 'remove' && (
            <label class="field">
              <span class="field-label">{t('confirm.type', { name: queue })}</span>
              <input class="mono" value={written} onInput={(e) => setWritten(e.currentTarget.value)} autocomplete="off" spellcheck={false} />
            </label>
          )}
          <div class="row end">
            <Button onClick={close}>{t('cancel')}</Button>
            <button type="submit" class={`button ${action === 'remove' ? 'danger' : 'primary'}`} disabled={!ready}>{t(`job.${action}`)}</button>
          </div>
        </form>
      )}
    </Dialog>
  );
}
