// What can be done to queues and jobs, each with its question where there is one to ask. Resolves with true when it was done.
import { Problem, request } from './api.js';
import { ask, say } from './dialogs.js';
import { number } from './format.js';
import { t, tn } from './i18n.js';
import { member } from './json.js';
import { refreshAll } from './live.js';
import { path } from './router.js';
import { waitFor } from './tasks.js';

const reasonOf = (error) => (error.code === 'network' ? t('problem.network') : error.detail ?? error.message);

async function act(work, done) {
  try {
    const { json } = await work();
    say(typeof done === 'function' ? done(json) : done);
    return true;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    say(reasonOf(error), { bad: true });
    return false;
  } finally {
    refreshAll();
  }
}

const send = (method, address, body) => request(method, address, body === undefined ? {} : { body });
const ofQueue = (queue, verb) => `${path`/api/queues/${queue}`}/${verb}`;
const ofJob = (queue, id, verb = '') => `${path`/api/queues/${queue}/jobs/${id}`}${verb && `/${verb}`}`;

// ---- queues -------------------------------------------------------------------------------------------------------------------------

export async function pause(queue) {
  const given = await ask({
    title: t('queue.pause.title', { name: queue }), text: t('queue.pause.text'), confirm: t('queue.pause'),
    fields: [{ name: 'reason', label: t('queue.pause.reason'), maxLength: 200, autofocus: true }],
  });
  return given && act(() => send('POST', ofQueue(queue, 'pause'), given.reason ? { reason: given.reason } : {}), t('queue.paused', { name: queue }));
}

export const resume = (queue) => act(() => send('POST', ofQueue(queue, 'resume')), t('queue.resumed', { name: queue }));

const HOUR = 3_600_000;
const PATIENCE = 2000; // until a task is left to itself

// The server removes some jobs in each request; asked again until none is left.
async function drainAll(queue, body) {
  let removed = 0;
  for (let more = true; more; ) {
    const { json } = await send('POST', ofQueue(queue, 'drain'), { ...body, confirm: queue });
    removed += json.removed;
    more = json.more && json.removed > 0;
    if (more) say(tn('queue.cleaning', removed));
  }
  return { json: { removed } };
}

// A task, of which the end is told when it comes soon, and otherwise where it can be watched.
async function cleanAway(queue, filter) {
  const { json: { id } } = await send('POST', ofQueue(queue, 'bulk'), { action: 'clean', filter, confirm: queue });
  const task = await waitFor(id, PATIENCE);
  return { json: { id, removed: task?.state === 'done' ? task.changed : null } };
}

export async function drain(queue) {
  const given = await ask({
    title: t('queue.drain.title', { name: queue }), text: t('queue.drain.text'), confirm: t('queue.drain'), danger: true, typed: queue,
    fields: [{ name: 'delayed', label: t('queue.drain.delayed'), type: 'checkbox', value: false }],
  });
  return given && act(() => drainAll(queue, { delayed: given.delayed }), ({ removed }) => `${t('queue.drained', { name: queue })}. ${tn('queue.cleaned', removed)}`);
}

export async function clean(queue, states) {
  const given = await ask({
    title: t('queue.clean.title', { name: queue }), text: t('queue.clean.text'), confirm: t('queue.clean'), danger: true, typed: queue,
    fields: [
      { name: 'state', label: t('queue.clean.state'), value: states[0], options: states.map((name) => [name, t(`state.${name}`)]) },
      { name: 'hours', label: t('queue.clean.hours'), type: 'number', min: 0, step: 'any', value: '24', required: true },
    ],
  });
  const filter = given && { state: given.state, olderThanMs: Math.round(Number(given.hours) * HOUR) };
  return given && act(() => cleanAway(queue, filter), ({ id, removed }) => (removed === null ? { text: t('queue.cleans', { name: queue }), href: path`/tasks/${id}`, link: t('tasks.watch') } : tn('queue.cleaned', removed)));
}

// ---- one job ------------------------------------------------------------------------------------------------------------------------

export const retryJob = (queue, id) => act(() => send('POST', ofJob(queue, id, 'retry'), {}), t('job.retried', { id }));
export const promoteJob = (queue, id) => act(() => send('POST', ofJob(queue, id, 'promote')), t('job.promoted', { id }));
export const cancelJob = (queue, id) => act(() => send('POST', ofJob(queue, id, 'cancel')), t('job.cancelled', { id }));

export async function removeJob(queue, id) {
  const given = await ask({ title: t('job.remove.title', { id }), text: t('job.remove.text'), confirm: t('job.remove'), danger: true });
  return given && act(() => send('POST', ofJob(queue, id, 'remove')), t('job.removed', { id }));
}

// As it is now: what was shown may have been changed since.
const dataOf = (queue, id) => request('GET', ofJob(queue, id), { raw: true }).then(({ text }) => member(text, 'data'), (error) => {
  say(reasonOf(error), { bad: true });
});

// What was written is asked about again, with the reason, as long as the server does not take it.
export async function retryWithData(queue, id, written, refusal) {
  const data = written ?? await dataOf(queue, id);
  if (data === undefined) return false;
  const given = await ask({
    title: t('job.edit.title', { id }), text: refusal ?? t('job.edit.text'), confirm: t('job.edit'),
    fields: [{ name: 'data', label: t('job.data'), type: 'textarea', value: data, required: true }],
  });
  if (!given) return false;
  let why;
  const retry = () => send('POST', ofJob(queue, id, 'retry'), `{"data":${given.data}}`).catch((error) => {
    why = reasonOf(error);
    throw error;
  });
  return await act(retry, t('job.retried', { id })) || retryWithData(queue, id, given.data, why);
}

export async function changeJob(queue, job) {
  const isDelayed = job.state === 'delayed';
  const given = await ask({
    title: t('job.change.title', { id: job.id }), confirm: t('job.change'),
    fields: [
      isDelayed
        ? { name: 'delay', label: t('job.change.delay'), hint: t('job.change.delay.hint'), type: 'number', min: 0, step: 'any', value: String(Math.round(job.delay / 1000)), required: true }
        : { name: 'priority', label: t('job.change.priority'), hint: t('job.change.priority.hint'), type: 'number', min: 0, max: 2_097_151, value: String(job.priority), required: true },
    ],
  });
  if (!given) return false;
  const body = isDelayed ? { delay: Math.round(Number(given.delay) * 1000) } : { priority: Number(given.priority) };
  return act(() => send('PATCH', ofJob(queue, job.id), body), t('job.changed', { id: job.id }));
}

// ---- many jobs ----------------------------------------------------------------------------------------------------------------------

const BODIES = { retry: {} };
const QUIET = { retry: retryJob, promote: promoteJob };

// The chosen ones, one after the other; it tells how many it did, whatever became of the others. null: it was not confirmed.
export async function eachJob(queue, ids, action) {
  if (ids.length === 1 && action in QUIET) return QUIET[action](queue, ids[0]);
  const given = await ask({
    title: tn(`bulk.${action}.title`, ids.length), text: action === 'remove' ? t('job.remove.text') : '', confirm: t(`job.${action}`), danger: action === 'remove',
  });
  if (!given) return null;
  const failures = [];
  return act(async () => {
    for (const id of ids) await send('POST', ofJob(queue, id, action), BODIES[action]).catch((error) => failures.push(error));
    const done = ids.length - failures.length;
    const told = tn(`bulk.${action}.done`, done, { n: number(done) });
    if (failures.length) throw new Problem(0, { detail: `${told}. ${tn('bulk.refused', failures.length, { why: reasonOf(failures[0]) })}` });
    return { json: told };
  }, (told) => told);
}
