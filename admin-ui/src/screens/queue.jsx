// One queue: how it stands, how it fared, who works on it, what it was declared to be.
import { useEffect } from 'preact/hooks';
import { Badge, Button, Card, Empty, Facts, Loaded, ProblemBox, TableFrame, Time } from '../components/basics.jsx';
import { Series } from '../components/charts.jsx';
import { Findings } from '../components/findings.jsx';
import { Json } from '../components/json.jsx';
import { QueueHead, StateLinks } from '../components/queuehead.jsx';
import { useActions } from '../lib/actions.js';
import { can } from '../lib/api.js';
import { duration, number } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { member } from '../lib/json.js';
import { perSecond } from '../lib/queues.js';
import { useResource } from '../lib/resource.js';
import { navigate, path, useLocation, withQuery } from '../lib/router.js';
import { clean, drain, pause, resume } from '../lib/verbs.js';

const CLEANABLE = ['completed', 'failed', 'delayed', 'waiting', 'prioritized'];
const SERIES = [['in', 'chart.in'], ['out', 'chart.out'], ['failedRate', 'chart.failed']];

function Chart({ queue }) {
  const { query } = useLocation();
  const fine = query.get('span') !== 'hour';
  const metrics = useResource(path`/api/queues/${queue}/metrics`, { every: 5000 });
  const choice = (value, word) => <Button kind="small" aria-pressed={fine === (value === null)} onClick={() => navigate(withQuery({ span: value }), { replace: true })}>{t(word)}</Button>;
  return (
    <Card title={t('chart.title')} actions={<div class="switch">{choice(null, 'chart.minutes')}{choice('hour', 'chart.hour')}</div>}>
      <Loaded resource={metrics} rows={4}>
        {(data) => {
          const { points } = fine ? data.fine : data.coarse;
          if (points.length < 2) return <Empty title={t('chart.none')}><p>{t('chart.none.text')}</p></Empty>;
          const series = SERIES.map(([name, word]) => ({ name, label: t(word), values: points.map((point) => point[name]) }));
          return <Series series={series} times={points.map(({ at }) => at)} label={t('chart.label', { name: queue })} />;
        }}
      </Loaded>
    </Card>
  );
}

// A worker of BullMQ or Sluice is there as long as its connection is, which is silent while it works.
const Seen = ({ worker: { kind, since, lastSeen } }) => (kind !== 'http' && since ? t('workers.connected', { duration: duration(Date.now() - since) }) : <Time at={lastSeen ?? since} />);

function Workers({ queue }) {
  const workers = useResource(path`/api/queues/${queue}/workers`, { every: 10_000 });
  return (
    <Card title={t('workers')}>
      <Loaded resource={workers} rows={2}>
        {({ items, bullmqKnown }) => (!items.length ? <Empty title={t('workers.none')}><p>{t(bullmqKnown ? 'workers.none.text' : 'workers.unknown')}</p></Empty> : (
          <TableFrame label={t('workers')}><table class="table cards single">
            <thead><tr><th scope="col">{t('workers.kind')}</th><th scope="col">{t('workers.name')}</th><th scope="col">{t('workers.where')}</th><th scope="col" class="number">{t('workers.active')}</th><th scope="col">{t('workers.seen')}</th></tr></thead>
            <tbody>
              {items.map((worker, i) => (
                <tr key={i}>
                  <th scope="row"><Badge>{t(`workers.kind.${worker.kind}`)}</Badge></th>
                  <td class="mono break" data-label={t('workers.name')}><span>{worker.name ?? '–'}{worker.sub && <span class="faint"> {worker.org}/{worker.sub}</span>}</span></td>
                  <td class="mono break" data-label={t('workers.where')}>{worker.address ?? '–'}</td>
                  <td class="number" data-label={t('workers.active')}>{worker.active ?? '–'}</td>
                  <td data-label={t('workers.seen')}><Seen worker={worker} /></td>
                </tr>
              ))}
            </tbody>
          </table></TableFrame>
        ))}
      </Loaded>
    </Card>
  );
}

function Declaration({ queue, text }) {
  const declaration = member(text, 'declaration');
  return (
    <Card title={t('declaration')}>
      {!declaration || declaration === 'null' ? <Empty title={t('declaration.none')}><p>{t('declaration.none.text')}</p></Empty> : <Json text={declaration} file={`${queue}.json`} />}
    </Card>
  );
}

const Figures = ({ detail }) => (
  <Facts items={[
    [t('column.in'), perSecond(detail.rates.in)],
    [t('column.out'), perSecond(detail.rates.out) ?? <span class="faint">{t('notreported')}</span>],
    [t('column.oldest'), detail.oldestWaitingAgeMs === null ? null : duration(detail.oldestWaitingAgeMs)],
    [t('queue.processor'), detail.processor === 'none' ? t('queue.processor.none') : detail.processor],
    [t('queue.concurrency'), detail.concurrency ? number(detail.concurrency) : null],
    detail.limiter?.max && [t('queue.limiter'), t('queue.limiter.value', { max: number(detail.limiter.max), duration: duration(detail.limiter.duration) })],
    [t('queue.added'), number(detail.added)],
    detail.nextDelayedAt && [t('queue.nextDelayed'), <Time at={detail.nextDelayedAt} />],
    detail.version && [t('queue.version'), detail.version],
  ]} />
);

function useVerbs(queue, detail) {
  const list = [
    detail && !detail.paused && can('pauseQueue') && { key: 'p', label: t('queue.pause'), run: () => pause(queue) },
    detail?.paused && can('resumeQueue') && { key: 'p', label: t('queue.resume'), run: () => resume(queue) },
    can('addJobs') && { key: 'n', label: t('queue.view.new'), run: () => navigate(path`/queues/${queue}/new`) },
    { key: 'l', label: t('queue.view.jobs'), run: () => navigate(path`/queues/${queue}/jobs`) },
    can('drainQueue') && { label: t('queue.drain'), run: () => drain(queue), danger: true },
    can('bulkJobs') && { label: t('queue.clean'), run: () => clean(queue, CLEANABLE), danger: true },
  ].filter(Boolean);
  useActions(list);
  return list;
}

export function Queue({ queue }) {
  const detail = useResource(path`/api/queues/${queue}`, { queue, every: 3000 });
  const verbs = useVerbs(queue, detail.data);
  useEffect(() => void (document.title = `${queue} · Sluice`), [queue]);
  if (detail.error?.status === 404) return <ProblemBox error={detail.error} />;
  return (
    <>
      <QueueHead queue={queue} detail={detail.data}>
        {verbs.filter(({ key }) => key !== 'n' && key !== 'l').map(({ label, run, danger }) => <Button key={label} kind={danger ? 'danger-text' : ''} onClick={run}>{label}</Button>)}
      </QueueHead>
      <StateLinks queue={queue} counts={detail.data?.counts} />
      <div class="columns">
        <div class="stack">
          {can('explainQueue') && <Findings queue={queue} />}
          <Chart queue={queue} />
          <Workers queue={queue} />
        </div>
        <div class="stack">
          <Card title={t('queue.figures')}><Loaded resource={detail} rows={4}>{(data) => <Figures detail={data} />}</Loaded></Card>
          {detail.data && <Declaration queue={queue} text={detail.text} />}
        </div>
      </div>
    </>
  );
}
