// The jobs of a queue in one state, page by page, and what can be done with many of them.
import { useEffect, useState } from 'preact/hooks';
import { Button, Empty, LinkButton, Loaded, Pager, Progress, TableFrame, Time } from '../components/basics.jsx';
import { Bulk } from '../components/bulk.jsx';
import { QueueHead, StateLinks } from '../components/queuehead.jsx';
import { useActions } from '../lib/actions.js';
import { can } from '../lib/api.js';
import { number, visible } from '../lib/format.js';
import { t, tn } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { navigate, path, useLocation, withQuery } from '../lib/router.js';
import { useRows } from '../lib/rows.js';
import { useSelection } from '../lib/selection.js';
import { eachJob } from '../lib/verbs.js';

const LIMIT = 50;
// Which actions a state allows, and the operations that they are.
const VERBS = {
  failed: ['retry', 'remove'], completed: ['retry', 'remove'], delayed: ['promote', 'remove'], waiting: ['remove'], prioritized: ['remove'], active: [], 'waiting-children': ['remove'],
};
const OPERATIONS = { retry: 'retryJob', promote: 'promoteJob', remove: 'removeJob' };
const verbsOf = (state) => (VERBS[state] ?? []).filter((verb) => can(OPERATIONS[verb]));

// The time that matters in each state.
const timeOf = (job, state) => ({ completed: job.finishedOn, failed: job.finishedOn, active: job.processedOn, delayed: job.timestamp + job.delay }[state] ?? job.timestamp);

function Filters({ query }) {
  const [text, setText] = useState({ name: query.get('name') ?? '', id: query.get('id') ?? '' });
  const apply = (event) => {
    event.preventDefault();
    navigate(withQuery({ ...text, cursor: null }));
  };
  const input = (name) => (
    <input type="search" placeholder={t(`jobs.filter.${name}`)} aria-label={t(`jobs.filter.${name}`)} value={text[name]} onInput={(e) => setText({ ...text, [name]: e.currentTarget.value })} spellcheck={false} />
  );
  const chips = ['name', 'id'].filter((name) => query.get(name));
  return (
    <form class="toolbar" role="search" onSubmit={apply}>
      {input('name')}
      {input('id')}
      <button type="submit" class="button">{t('jobs.filter')}</button>
      {chips.map((name) => (
        <LinkButton key={name} kind="chip" icon="close" href={withQuery({ [name]: null, cursor: null })} aria-label={t('jobs.filter.remove', { name: t(`jobs.filter.${name}`) })}>
          {t(`jobs.filter.${name}`)}: {query.get(name)}
        </LinkButton>
      ))}
    </form>
  );
}

function Outcome({ job, state }) {
  if (state === 'failed' || job.failedReason) return <span class="reason" title={visible(job.failedReason ?? '')}>{visible(job.failedReason ?? '')}</span>;
  if (state === 'active' && typeof job.progress === 'number') return <Progress value={job.progress / 100} label={t('job.progress')} />;
  return null;
}

const tells = (state) => (job) => Boolean(job.failedReason) || (state === 'active' && typeof job.progress === 'number');

function Row({ queue, state, job, row, outcome, chosen, toggle }) {
  return (
    <tr {...row} class={chosen ? 'chosen' : ''}>
      {toggle && <td class="check"><input type="checkbox" checked={chosen} aria-label={t('jobs.choose', { id: job.id })} onClick={(e) => toggle(job.id, e.shiftKey)} /></td>}
      <th scope="row"><a class="mono break id" href={path`/jobs/${queue}/${job.id}`}>{job.id}</a></th>
      <td data-label={t('job.name')} class="plain break">{visible(job.name)}</td>
      <td data-label={t(`jobs.time.${state}`)} class="plain when"><Time at={timeOf(job, state)} /></td>
      <td data-label={t('job.attempts')} class={job.attemptsMade > 1 ? 'tries number' : 'tries number nil'}>{job.attemptsMade}/{job.attempts}</td>
      {outcome && <td data-label={t('jobs.outcome')} class="plain outcome"><Outcome job={job} state={state} /></td>}
    </tr>
  );
}

function Table({ queue, state, items, selection, rows }) {
  const selects = verbsOf(state).length > 0;
  const outcome = items.some(tells(state)) && t(state === 'active' ? 'job.progress' : 'jobs.outcome');
  return (
    <TableFrame label={t('queue.view.jobs')}>
      <table class="table cards jobs">
        <caption class="sr">{t(`state.${state}`)}</caption>
        <thead>
          <tr>
            {selects && <th class="check"><input type="checkbox" aria-label={t('jobs.choose.all')} checked={items.length > 0 && selection.chosen.length === items.length} onChange={selection.all} /></th>}
            <th scope="col">{t('job.id')}</th><th scope="col">{t('job.name')}</th><th scope="col">{t(`jobs.time.${state}`)}</th><th scope="col" class="number">{t('job.attempts')}</th>{outcome && <th scope="col" class="column-outcome">{outcome}</th>}
          </tr>
        </thead>
        <tbody>
          {items.map((job, i) => <Row key={job.id} queue={queue} state={state} job={job} row={rows.row(i)} outcome={outcome} chosen={selection.has(job.id)} toggle={selects && selection.toggle} />)}
        </tbody>
      </table>
    </TableFrame>
  );
}

// What can be done with the chosen ones, and with all that the filter matches; filter null: it names one job, which is chosen instead.
function Many({ queue, state, selection, act, filter, setBulk }) {
  const verbs = verbsOf(state);
  const n = selection.chosen.length;
  if (!verbs.length) return null;
  return (
    <div class="actionbar">
      <span>{n ? tn('jobs.chosen', n) : t('jobs.chosen.none')}</span>
      {n > 0 && verbs.map((verb) => (
        <Button key={verb} kind={verb === 'remove' ? 'danger-text' : ''} onClick={() => act(verb)}>{t(`job.${verb}`)}</Button>
      ))}
      {filter && can('bulkJobs') && (
        <span class="row grow end">
          <span class="faint">{t('jobs.matching')}</span>
          {verbs.map((verb) => <Button key={verb} kind={verb === 'remove' ? 'danger-text' : ''} onClick={() => setBulk({ queue, action: verb, filter })}>{t(`jobs.all.${verb}`)}</Button>)}
        </span>
      )}
    </div>
  );
}

// hold(true): rows are chosen, so nothing may move under the pointer. After an action on them the list is read anew, whatever came of it.
function List({ queue, state, data, filter, hold, reload }) {
  const { items, next, scanned } = data;
  const ids = items.map(({ id }) => id);
  const selection = useSelection(ids);
  const rows = useRows(ids.map((id) => path`/jobs/${queue}/${id}`));
  const [bulk, setBulk] = useState(null);
  const here = ids[rows.at];
  const some = selection.chosen.length > 0;
  useEffect(() => hold(some), [some]);
  const act = async (verb) => {
    const done = await eachJob(queue, selection.chosen, verb);
    if (done) selection.none();
    if (done !== null) reload();
  };
  const leaveBulk = () => {
    setBulk(null);
    if (!some) reload();
  };
  useActions([
    here && verbsOf(state).length && { key: 'x', label: t('keys.choose'), run: () => selection.toggle(here) },
    here && verbsOf(state).length && { key: 'X', label: t('keys.choose.range'), run: () => selection.toggle(here, true) },
    ...verbsOf(state).map((verb) => some && { key: { retry: 'r', remove: 'd', promote: 'm' }[verb], label: tn(`bulk.${verb}.title`, selection.chosen.length), run: () => act(verb) }),
  ]);
  return (
    <>
      {items.length > 0 && <Table queue={queue} state={state} items={items} selection={selection} rows={rows} />}
      {!items.length && <Empty title={t('jobs.none', { state: t(`state.${state}`) })}><p>{scanned ? tn('jobs.none.scanned', scanned) : t('jobs.none.text')}</p></Empty>}
      <Pager cursor={filter.cursor} next={next}>
        <span class="faint">{scanned > items.length && tn('jobs.scanned', scanned, { n: number(scanned) })}</span>
      </Pager>
      {(items.length > 0 || next || scanned > 0) && <Many queue={queue} state={state} selection={selection} act={act} filter={filter.bulk} setBulk={setBulk} />}
      {bulk && <Bulk about={bulk} close={leaveBulk} />}
    </>
  );
}

export function Jobs({ queue }) {
  const { query } = useLocation();
  const state = query.get('state') ?? 'waiting';
  const wanted = new URLSearchParams({ state, limit: LIMIT });
  for (const name of ['name', 'id', 'cursor']) if (query.get(name)) wanted.set(name, query.get(name));
  const [held, hold] = useState(false);
  const detail = useResource(path`/api/queues/${queue}`, { queue, every: 3000 });
  const jobs = useResource(`${path`/api/queues/${queue}/jobs`}?${wanted}`, { queue, every: held || query.get('cursor') ? 0 : 3000 });
  const filter = { cursor: query.get('cursor'), bulk: query.get('id') ? null : { state, ...(query.get('name') ? { name: query.get('name') } : {}) } };
  useEffect(() => void (document.title = `${t(`state.${state}`)} · ${queue} · Sluice`), [queue, state]);
  return (
    <>
      <QueueHead queue={queue} detail={detail.data} />
      <StateLinks queue={queue} counts={detail.data?.counts} chosen={state} />
      <Filters key={query.toString()} query={query} />
      <Loaded resource={jobs} rows={10}>{(data) => <List key={state} queue={queue} state={state} data={data} filter={filter} hold={hold} reload={jobs.reload} />}</Loaded>
    </>
  );
}
