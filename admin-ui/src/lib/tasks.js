// Tasks: actions on many jobs that the server does in the background.
import { useEffect, useState } from 'preact/hooks';
import { get, request } from './api.js';
import { say } from './dialogs.js';
import { duration, visible } from './format.js';
import { t } from './i18n.js';
import { refreshAll } from './live.js';
import { path } from './router.js';

const ASK_EVERY = 400;
const ASK_AGAIN = 2000;

export const isOver = ({ state }) => !['queued', 'running'].includes(state);
export const addressOf = (id) => path`/api/tasks/${id}`;
export const shareOf = ({ state, total, scanned }) => (state === 'done' ? 1 : total ? Math.min(1, scanned / total) : 0);
export const verbOf = (action) => (action === 'clean' ? t('queue.clean') : t(`job.${action}`)).replace('…', '');
// That it has ended by itself meanwhile is no refusal.
export const stopTask = (id) => request('DELETE', addressOf(id)).catch((error) => error.status === 409 || say(error.code === 'network' ? t('problem.network') : error.detail, { bad: true }));

// Why it did not come to its end.
export const failureOf = ({ state, failure }) => (state === 'lost' ? t('tasks.lost') : visible(failure));

// What it goes by, in words.
export const filterOf = ({ state, name, error, olderThanMs }) => [
  t(`state.${state}`), name && t('tasks.name', { name }), error && t('tasks.error', { error }), olderThanMs > 0 && t('tasks.older', { age: duration(olderThanMs) }),
].filter(Boolean).join(' · ');

const isGone = ({ status }) => status === 404;

// [the task, the problem]: asked for until it is over, or nobody knows it; more seldom while there is a problem.
export function useTask(id) {
  const [task, set] = useState(null);
  const [error, setError] = useState(null);
  useEffect(() => {
    let timer;
    let wanted = true;
    const again = (after) => (timer = setTimeout(look, after));
    const look = () => get(addressOf(id)).then((found) => {
      if (!wanted) return;
      set(found);
      setError(null);
      if (isOver(found)) refreshAll();
      else again(ASK_EVERY);
    }, (problem) => {
      if (!wanted) return;
      setError(problem);
      if (!isGone(problem)) again(ASK_AGAIN);
    });
    look();
    return () => {
      wanted = false;
      clearTimeout(timer);
    };
  }, [id]);
  return [task, error];
}

// The task when it is over, or as it is after about so much time.
export async function waitFor(id, patience) {
  const until = performance.now() + patience;
  for (;;) {
    const task = await get(addressOf(id)).catch(() => null);
    if ((task && isOver(task)) || performance.now() > until) return task;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY / 2));
  }
}
