// Actions on many jobs: what runs, what ran, who began it, and how far it is. One of them has an address of its own.
import { useEffect } from 'preact/hooks';
import { Button, Card, Duration, Empty, Facts, LinkButton, Loaded, ProblemBox, Progress, Skeleton, TableFrame, TaskState, Time } from '../components/basics.jsx';
import { Crumbs } from '../components/queuehead.jsx';
import { useActions } from '../lib/actions.js';
import { can } from '../lib/api.js';
import { number, visible } from '../lib/format.js';
import { t, tn } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { path } from '../lib/router.js';
import { useRows } from '../lib/rows.js';
import { failureOf, filterOf, isOver, shareOf, stopTask, useTask, verbOf } from '../lib/tasks.js';

const titleOf = ({ action, filter }) => `${verbOf(action)}: ${visible(filterOf(filter))}`;

function Row({ task, row, reload }) {
  const over = isOver(task);
  return (
    <tr {...row}>
      <th scope="row"><a href={path`/tasks/${task.id}`}>{titleOf(task)}</a></th>
      <td data-label={t('job.queue')}><a class="break" href={path`/queues/${task.queue}`}>{task.queue}</a></td>
      <td data-label={t('tasks.by')} class="break">{visible(task.by ?? '–')}</td>
      <td data-label={t('tasks.began')}><Time at={task.createdAt} /></td>
      <td data-label={t('records.state')}><TaskState name={task.state} /></td>
      <td data-label={t('tasks.jobs')} class="number">{number(task.changed)}</td>
      <td>{!over && <span class="row"><Progress value={shareOf(task)} label={t('bulk.progress')} />{can('cancelTask') && <Button kind="small" onClick={() => stopTask(task.id).then(reload)}>{t('bulk.stop')}</Button>}</span>}</td>
    </tr>
  );
}

function Rows({ items, reload }) {
  const rows = useRows(items.map(({ id }) => path`/tasks/${id}`));
  if (!items.length) return <Empty title={t('tasks.none')}><p>{t('tasks.none.text')}</p></Empty>;
  return (
    <TableFrame label={t('nav.tasks')}>
      <table class="table cards single">
        <caption class="sr">{t('nav.tasks')}</caption>
        <thead>
          <tr>
            {['tasks.what', 'job.queue', 'tasks.by', 'tasks.began', 'records.state'].map((word) => <th key={word} scope="col">{t(word)}</th>)}
            <th scope="col" class="number">{t('tasks.jobs')}</th>
            <th scope="col">{t('bulk.progress')}</th>
          </tr>
        </thead>
        <tbody>{items.map((task, i) => <Row key={task.id} task={task} row={rows.row(i)} reload={reload} />)}</tbody>
      </table>
    </TableFrame>
  );
}

export function Tasks() {
  const tasks = useResource('/api/tasks', { every: 1000 });
  useEffect(() => void (document.title = `${t('nav.tasks')} · Sluice`), []);
  return (
    <>
      <h1>{t('nav.tasks')}</h1>
      <p class="faint">{t('tasks.text')}</p>
      <Loaded resource={tasks} rows={4}>{({ items }) => <Rows items={items} reload={tasks.reload} />}</Loaded>
    </>
  );
}

function Details({ task }) {
  return (
    <Facts items={[
      [t('job.queue'), <a href={path`/queues/${task.queue}`}>{task.queue}</a>],
      [t('tasks.by'), visible(task.by ?? '–')],
      task.skipped > 0 && [t('tasks.skipped'), number(task.skipped)],
      [t('tasks.scanned'), task.total === null ? null : t('tasks.of', { n: number(task.scanned), total: number(task.total) })],
      [t('tasks.began'), <Time at={task.createdAt} bare />],
      task.state === 'lost' && [t('tasks.heard'), <Time at={task.endedAt} bare />],
      task.endedAt !== null && task.state !== 'lost' && [t('tasks.took'), <Duration ms={task.endedAt - (task.startedAt ?? task.createdAt)} />],
    ]} />
  );
}

export function Task({ id }) {
  const [task, error] = useTask(id);
  const over = task && isOver(task);
  const stop = task && !over && can('cancelTask') && { key: 'c', label: t('bulk.stop'), run: () => stopTask(id) };
  useActions([stop]);
  useEffect(() => void (document.title = `${task ? `${titleOf(task)} · ` : ''}Sluice`), [task?.id]);
  return (
    <>
      <div class="head">
        <Crumbs items={[['/tasks', t('nav.tasks')]]} />
        <div class="head-line">
          <h1 class="break">{task ? titleOf(task) : id}</h1>
          {task && <TaskState name={task.state} />}
          <div class="row end grow">{stop && <Button onClick={stop.run}>{stop.label}</Button>}</div>
        </div>
      </div>
      {error && (error.status === 404 ? <Empty title={t('tasks.gone')}><p>{t('tasks.gone.text')}</p><LinkButton href="/tasks">{t('nav.tasks')}</LinkButton></Empty> : <ProblemBox error={error} />)}
      {!task && !error && <Skeleton rows={4} />}
      {task && (
        <Card title={t('job.facts')}>
          <div class="stack">
            {!over && <Progress value={shareOf(task)} label={t('bulk.progress')} />}
            <p role="status">{tn('bulk.done', task.changed)}</p>
            {task.failure && <p class="field-error break">{failureOf(task)}</p>}
            <Details task={task} />
          </div>
        </Card>
      )}
    </>
  );
}
