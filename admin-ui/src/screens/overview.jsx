// All queues at a glance, what is wrong with them first.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Badge, Button, Duration, Empty, LinkButton, Loaded, TableFrame } from '../components/basics.jsx';
import { Sparkline } from '../components/charts.jsx';
import { Icon } from '../components/icons.jsx';
import { can } from '../lib/api.js';
import { useSeries } from '../lib/series.js';
import { duration, number, percent, short } from '../lib/format.js';
import { useGrowing } from '../lib/growing.js';
import { t, tn } from '../lib/i18n.js';
import { alarmsOf, failureShare, ORDERS, perSecond, waitingOf, workersOf } from '../lib/queues.js';
import { useResource } from '../lib/resource.js';
import { navigate, path, useLocation, withQuery } from '../lib/router.js';
import { useRows } from '../lib/rows.js';
import { resume } from '../lib/verbs.js';

const COLUMNS = ['name', 'waiting', 'active', 'delayed', 'failed', 'completed', 'in', 'out', 'oldest'];

const ALARMS = 8; // the others stand first in the table all the same

function Alarms({ queues, complete }) {
  const [whole, setWhole] = useState(false);
  const list = [...queues].sort(ORDERS.attention).flatMap((queue) => queue.alarms.filter(({ severity }) => severity !== 'info').map((alarm) => ({ ...alarm, queue })));
  if (!list.length && !complete) return null; // nobody knows
  if (!list.length) return <p class="calm"><Icon name="completed" />{tn('alarm.none', queues.length)}</p>;
  return (
    <section class="alarms" aria-label={t('alarms')}>
      <h2 class="sr">{t('alarms')}</h2>
      <ul>
        {(whole ? list : list.slice(0, ALARMS)).map(({ severity, text, action, queue }) => (
          <li key={queue.name + text} class={`alarm ${severity}`}>
            <Icon name={severity} />
            <span class="sr">{t(`severity.${severity}`)}</span>
            <a href={path`/queues/${queue.name}`}>{queue.name}</a>
            <span class="grow">{text}</span>
            {action === 'resume' && can('resumeQueue') && <Button kind="small" onClick={() => resume(queue.name)}>{t('queue.resume')}</Button>}
            {action === 'failed' && <LinkButton kind="small" href={`${path`/queues/${queue.name}/jobs`}?state=failed`}>{t('alarm.look')}</LinkButton>}
          </li>
        ))}
      </ul>
      {!whole && list.length > ALARMS && <Button kind="small" onClick={() => setWhole(true)}>{tn('alarm.more', list.length - ALARMS)}</Button>}
    </section>
  );
}

function Head({ order }) {
  return (
    <tr>
      {COLUMNS.map((name) => (
        <th key={name} scope="col" class={name === 'name' ? '' : `number column-${name}`} aria-sort={order === name ? (name === 'name' ? 'ascending' : 'descending') : undefined}>
          <button type="button" class="sort" onClick={() => navigate(withQuery({ sort: order === name ? null : name }), { replace: true })}>{t(`column.${name}`)}</button>
        </th>
      ))}
      <th scope="col" class="number column-failing">{t('column.failing')}</th>
      <th scope="col" class="spark-column">{t('column.hour')}</th>
    </tr>
  );
}

// A count that leads to its jobs; nothing is faint.
function Count({ queue, state, n }) {
  if (!n) return <span class="faint">0</span>;
  return <a href={`${path`/queues/${queue}/jobs`}?state=${state}`} title={number(n)}>{short(n)}</a>;
}

const Rate = ({ value }) => (value ? perSecond(value) : <span class="faint" title={value === null ? t('notreported') : undefined}>{value === null ? '–' : '0'}</span>);

function Name({ queue }) {
  const workers = workersOf(queue);
  return (
    <span class="name">
      <a class="strong" href={path`/queues/${queue.name}`}>{queue.name}</a>
      {queue.paused && <Badge kind="warn" icon="paused" title={queue.pausedReason}>{t('badge.paused')}</Badge>}
      {workers === 0 && <Badge kind={waitingOf(queue) ? 'bad' : ''}>{t('badge.noworkers')}</Badge>}
      {!queue.declared && <Badge title={t('badge.found.title')}>{t('badge.found')}</Badge>}
    </span>
  );
}

function Hour({ name }) {
  const [ref, values] = useSeries(name);
  return <span ref={ref} class="spark-cell">{values && <Sparkline values={values} label={t('column.hour.label', { name, now: perSecond(values.at(-1) ?? 0) })} />}</span>;
}

// Drawn anew when what it shows or its mark has changed, not whenever another row has.
function Row({ queue, row }) {
  const shown = JSON.stringify({ ...queue, oldestWaitingAgeMs: queue.oldestWaitingAgeMs === null ? null : duration(queue.oldestWaitingAgeMs) });
  const here = row['data-at'];
  return useMemo(() => <Cells queue={queue} row={row} />, [shown, here]);
}

function Cells({ queue, row }) {
  const { name, counts, rates } = queue;
  const share = failureShare(queue);
  // What is nothing has no place on a phone.
  const cell = (column, content, n = 1) => <td class={`number column-${column}${n ? '' : ' nil'}`} data-label={t(`column.${column}`)}>{content ?? <span class="faint">–</span>}</td>;
  return (
    <tr {...row} class={queue.alarms[0] ? `attention ${queue.alarms[0].severity}` : ''}>
      <th scope="row"><Name queue={queue} /></th>
      {cell('waiting', <Count queue={name} state={counts.waiting || !counts.prioritized ? 'waiting' : 'prioritized'} n={waitingOf(queue)} />, waitingOf(queue))}
      {cell('active', <Count queue={name} state="active" n={counts.active} />, counts.active)}
      {cell('delayed', <Count queue={name} state="delayed" n={counts.delayed} />, counts.delayed)}
      {cell('failed', <Count queue={name} state="failed" n={counts.failed} />, counts.failed)}
      {cell('completed', <Count queue={name} state="completed" n={counts.completed} />, counts.completed)}
      {cell('in', <Rate value={rates.in} />, rates.in)}
      {cell('out', <Rate value={rates.out} />, rates.out)}
      {cell('oldest', <Duration ms={queue.oldestWaitingAgeMs} />, queue.oldestWaitingAgeMs)}
      {cell('failing', share === null ? null : share === 0 ? <span class="faint">0</span> : percent(share), share)}
      <td class="spark-column"><Hour name={name} /></td>
    </tr>
  );
}

// complete: these are all there are.
function Queues({ items, complete }) {
  const { query } = useLocation();
  const order = query.get('sort') ?? 'attention';
  const filter = (query.get('q') ?? '').toLowerCase();
  const judged = useMemo(() => items.map((item) => ({ ...item, alarms: alarmsOf(item) })), [items]);
  const queues = useMemo(() => judged.filter(({ name }) => name.toLowerCase().includes(filter)).sort(ORDERS[order] ?? ORDERS.attention), [judged, filter, order]);
  const rows = useRows(queues.map(({ name }) => path`/queues/${name}`));
  const drawn = useGrowing(queues.length);
  const alarmed = queues.filter(({ alarms }) => alarms.some(({ severity }) => severity !== 'info')).length;
  useEffect(() => {
    document.title = `${alarmed ? `(${alarmed}) ` : ''}Sluice`;
  }, [alarmed]);
  return (
    <>
      {!filter && <Alarms queues={queues} complete={complete} />}
      <div class="toolbar">
        <input type="search" placeholder={t('queues.filter')} aria-label={t('queues.filter')} value={query.get('q') ?? ''}
          onInput={(e) => navigate(withQuery({ q: e.currentTarget.value }), { replace: true })} />
        <span class="faint">{tn('queues.count', queues.length)}{!complete && ` · ${t('queues.incomplete')}`}</span>
      </div>
      <TableFrame label={t('nav.queues')}>
        <table class="table cards">
          <caption class="sr">{t('nav.queues')}</caption>
          <thead><Head order={order} /></thead>
          <tbody>{queues.slice(0, drawn).map((queue, i) => <Row key={queue.name} queue={queue} row={rows.row(i)} />)}</tbody>
        </table>
      </TableFrame>
      {!queues.length && <Empty title={t('queues.none')}><p>{t(filter ? 'queues.none.filter' : 'queues.none.text')}</p></Empty>}
    </>
  );
}

export function Overview() {
  const queues = useResource('/api/queues', { every: 5000 });
  return (
    <>
      <h1>{t('nav.queues')}</h1>
      <Loaded resource={queues} rows={8}>{({ items, complete }) => <Queues items={items} complete={complete} />}</Loaded>
    </>
  );
}
