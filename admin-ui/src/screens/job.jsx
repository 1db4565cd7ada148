// One job: what it is, where it stands, what became of each attempt, and what can be done about it.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Badge, Button, Card, Copy, Empty, Facts, LinkButton, Loaded, LongText, ProblemBox, Progress, Skeleton, State, Time } from '../components/basics.jsx';
import { Findings } from '../components/findings.jsx';
import { Flow } from '../components/flow.jsx';
import { Json } from '../components/json.jsx';
import { Logs } from '../components/logs.jsx';
import { Crumbs } from '../components/queuehead.jsx';
import { Runs } from '../components/runs.jsx';
import { Timeline } from '../components/timeline.jsx';
import { useActions } from '../lib/actions.js';
import { can, canRecords } from '../lib/api.js';
import { duration, number, percent, visible } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { member } from '../lib/json.js';
import { useResource } from '../lib/resource.js';
import { navigate, path } from '../lib/router.js';
import { cancelJob, changeJob, promoteJob, removeJob, retryJob, retryWithData } from '../lib/verbs.js';

const ENDED = ['completed', 'failed'];
const EVERY = 2000;
const EDITABLE_BYTES = 200_000; // more than a text field is good for

function useVerbs(queue, id, job, payload) {
  const state = job?.source === 'redis' ? job.state : undefined;
  const list = [
    ENDED.includes(state) && can('retryJob') && { key: 'r', label: t('job.retry'), run: () => retryJob(queue, id), main: state === 'failed' },
    ENDED.includes(state) && can('retryJob') && payload?.length < EDITABLE_BYTES && { key: 'e', label: t('job.edit'), run: () => retryWithData(queue, id) },
    state === 'delayed' && can('promoteJob') && { key: 'm', label: t('job.promote'), run: () => promoteJob(queue, id) },
    ['delayed', 'waiting', 'prioritized'].includes(state) && can('editJob') && { label: t('job.change'), run: () => changeJob(queue, job) },
    state === 'active' && job.lock?.sluice !== false && can('cancelJob') && { key: 'c', label: t('job.cancel'), run: () => cancelJob(queue, id), danger: true },
    can('addJobs') && job && { label: t('job.duplicate'), run: () => navigate(`${path`/queues/${queue}/new`}?from=${encodeURIComponent(id)}`) },
    state && state !== 'active' && can('removeJob') && { key: 'd', label: t('job.remove'), run: () => removeJob(queue, id).then((done) => done && navigate(`${path`/queues/${queue}/jobs`}?state=${state}`)), danger: true },
  ].filter(Boolean);
  useActions(list);
  return list;
}

function Head({ queue, id, job, verbs }) {
  return (
    <div class="head">
      <Crumbs items={[['/', t('nav.queues')], [path`/queues/${queue}`, queue], job && [`${path`/queues/${queue}/jobs`}?state=${job.state}`, t(`state.${job.state}`)]].filter(Boolean)} />
      <div class="head-line">
        <h1 class="mono break">{id}</h1>
        <Copy text={id} label={t('job.copyid')} />
        {job && <State name={job.state} />}
        {job?.source === 'archive' && <Badge title={t('job.archive.title')}>{t('job.archive')}</Badge>}
        <div class="row end grow">{verbs.map(({ label, run, danger, main }) => <Button key={label} kind={danger ? 'danger-text' : main ? 'primary' : ''} onClick={run}>{label}</Button>)}</div>
      </div>
      {job && <p class="subtitle break">{visible(job.name)}</p>}
    </div>
  );
}

function Figures({ queue, job }) {
  return (
    <Facts items={[
      [t('job.attempts'), `${job.attemptsMade} / ${job.attempts}`],
      job.priority > 0 && [t('job.priority'), number(job.priority)],
      job.delay > 0 && [t('job.delay'), duration(job.delay)],
      job.processedBy && [t('job.worker'), <span class="mono break">{job.processedBy}</span>],
      job.lock && [t('job.lock'), t(job.lock.sluice ? 'job.lock.sluice' : 'job.lock.bullmq', { left: job.lock.endsInMs === null ? '–' : duration(job.lock.endsInMs) })],
      job.stalledCount > 0 && [t('job.stalled'), number(job.stalledCount)],
      job.pendingChildren > 0 && [t('job.pendingChildren'), number(job.pendingChildren)],
      job.parent && [t('job.parent'), <a class="mono break" href={path`/jobs/${job.parent.queue}/${job.parent.id}`}>{job.parent.queue}/{job.parent.id}</a>],
      job.scheduler && [t('job.scheduler'), <span class="mono">{job.scheduler}</span>],
      [t('job.org'), job.org],
      job.submittedBy && [t('job.submittedBy'), <span class="break">{visible(job.submittedBy)}</span>],
      [t('job.created'), <Time at={job.timestamp} bare />],
      [t('job.queue'), <a href={path`/queues/${queue}`}>{queue}</a>],
    ]} />
  );
}

// Why it failed, and the traces of the attempts that were kept, the last one open.
function Failure({ job, payload }) {
  const kept = payload.text && member(payload.text, 'stacktrace');
  const traces = kept ? [JSON.parse(kept) ?? []].flat().map(String) : []; // whatever some client has left there
  if (!job.failedReason && !traces.length) return null;
  return (
    <Card title={t(job.state === 'failed' ? 'job.error' : 'job.lasterror')} class="failure" actions={<Copy text={() => [job.failedReason, ...traces].join('\n\n')} />}>
      {job.failedReason && <LongText text={job.failedReason} mono={false} />}
      {traces.map((trace, i) => (
        <details key={i} open={i === traces.length - 1 && traces.length < 4}>
          <summary>{t('job.attempt', { n: number(i + 1) })} <span class="faint">{trace.split('\n', 1)[0].slice(0, 120)}</span></summary>
          <LongText text={trace} limit={4000} />
        </details>
      ))}
    </Card>
  );
}

// As a share of a hundred, or whatever else the worker says of it.
function Progressing({ progress, file }) {
  if (typeof progress === 'number') return <div class="row"><Progress value={progress / 100} label={t('job.progress')} /><span class="number">{percent(Math.min(1, progress / 100))}</span></div>;
  return progress && <Card title={t('job.progress')}><Json text={JSON.stringify(progress)} file={file} /></Card>;
}

function Payload({ queue, id, payload, state }) {
  const part = (name) => payload.text && member(payload.text, name);
  const parts = useMemo(() => ({ data: part('data'), result: part('returnvalue'), opts: part('opts') }), [payload.text]);
  if (!payload.data) return payload.error ? <ProblemBox error={payload.error} retry={payload.reload} /> : <Skeleton rows={6} />;
  return (
    <>
      <Card title={t('job.data')}><Json text={parts.data ?? ''} file={`${queue}-${id}-data.json`} /></Card>
      {(state === 'completed' || (parts.result && parts.result !== 'null')) && <Card title={t('job.result')}><Json text={parts.result ?? ''} file={`${queue}-${id}-result.json`} /></Card>}
      <Card title={t('job.options')}><Json text={parts.opts ?? ''} file={`${queue}-${id}-options.json`} /></Card>
    </>
  );
}

export function Job({ queue, id }) {
  const address = path`/api/queues/${queue}/jobs/${id}`;
  // Also of a job that only its record knows.
  const [settled, settle] = useState(false);
  const [runs, setRuns] = useState(false); // and may write its log, of which no event tells
  const shown = useResource(`${address}?data=0`, { queue, every: settled ? 0 : EVERY, silent: runs });
  const job = shown.data;
  useEffect(() => setRuns(job?.state === 'active'), [job?.state]);
  // What only its record knows, or nobody any more, will not change.
  useEffect(() => settle(job?.source === 'archive' || shown.error?.status === 410), [job?.source, shown.error?.status]);
  // The payload is asked for once, and again when the job has ended, was tried anew, or is another one under the same id.
  const payload = useResource(job ? address : null, { every: 0, raw: true, version: `${job?.timestamp}-${job?.attemptsMade}-${job?.finishedOn}` });
  const data = useMemo(() => payload.text && member(payload.text, 'data'), [payload.text]);
  const verbs = useVerbs(queue, id, job, data);
  useEffect(() => void (document.title = `${job ? `${t(`state.${job.state}`)} · ` : ''}${id} · ${queue} · Sluice`), [queue, id, job?.state]);
  if ([404, 410].includes(shown.error?.status)) {
    return (
      <>
        <Head queue={queue} id={id} verbs={[]} />
        <Empty title={t('job.gone')}><p>{shown.error.detail}</p><LinkButton href={path`/queues/${queue}`}>{queue}</LinkButton></Empty>
      </>
    );
  }
  return (
    <>
      <Head queue={queue} id={id} job={job} verbs={verbs} />
      <Loaded resource={shown} rows={10}>
        {() => (
          <div class="columns">
            <div class="stack">
              {job.state === 'active' && <Progressing progress={job.progress} file={`${queue}-${id}-progress.json`} />}
              <Failure job={job} payload={payload} />
              {!ENDED.includes(job.state) && can('explainJob') && <Findings queue={queue} id={id} />}
              <Flow queue={queue} id={id} every={settled ? 0 : 5000} />
              <Payload queue={queue} id={id} payload={payload} state={job.state} />
              <Logs address={`${address}/logs`} total={job.logs} every={runs ? EVERY : 0} />
            </div>
            <div class="stack">
              <Card title={t('timeline')}><Timeline job={job} /></Card>
              {canRecords('getRecord') && <Runs queue={queue} id={id} job={job} />}
              <Card title={t('job.facts')}><Figures queue={queue} job={job} /></Card>
            </div>
          </div>
        )}
      </Loaded>
    </>
  );
}
