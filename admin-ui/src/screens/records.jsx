// Searching what became of jobs, however long ago.
import { useEffect } from 'preact/hooks';
import { Badge, Empty, Loaded, Pager, State, TableFrame, Time } from '../components/basics.jsx';
import { Filters } from '../components/filters.jsx';
import { visible } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { PERIODS, useSince } from '../lib/period.js';
import { useResource } from '../lib/resource.js';
import { path, useLocation } from '../lib/router.js';
import { useRows } from '../lib/rows.js';

const STATES = ['completed', 'failed', 'removed', 'pending'];
const PLAIN = ['queue', 'name', 'id', 'org', 'state', 'error', 'fingerprint', 'cursor'];

export const periods = (fallback) => [['', t(`records.since.${fallback}`)], ...PERIODS.filter((period) => period !== fallback).map((period) => [period, t(`records.since.${period}`)])];

const fields = () => [
  { name: 'queue', label: t('records.queue') },
  { name: 'name', label: t('records.name') },
  { name: 'id', label: t('records.id') },
  { name: 'state', label: t('records.state'), options: [['', t('records.any')], ...STATES.map((state) => [state, t(`state.${state}`)])] },
  { name: 'error', label: t('records.error') },
  { name: 'data', label: t('records.data'), placeholder: 'documentId=doc-1' },
  { name: 'org', label: t('records.org') },
  { name: 'since', label: t('records.since'), options: periods('all') },
];

// The query of the API for that of the page: data=documentId=x is data.documentId=x there. Without a member the server says how it is written.
function wanted(query, from) {
  const next = new URLSearchParams({ limit: 50 });
  for (const name of PLAIN) if (query.get(name)) next.set(name, query.get(name));
  const data = query.get('data');
  const [, member = '', value = ''] = /^([^=]+)=(.*)$/.exec(data ?? '') ?? [];
  if (data) next.set(`data.${member}`, value);
  if (from) next.set('from', from);
  return next;
}

function Row({ record, row }) {
  return (
    <tr {...row}>
      <th scope="row"><a class="mono break id" href={path`/jobs/${record.queue}/${record.id}`}>{record.id}</a></th>
      <td data-label={t('records.queue')}>{record.queue}</td>
      <td data-label={t('records.name')} class="break">{visible(record.name ?? '')}</td>
      <td data-label={t('records.state')}><State name={record.state} /></td>
      <td data-label={t('records.when')} class="when"><span>{record.state === 'pending' && t('records.added')} <Time at={record.at} /></span></td>
      <td data-label={t('records.org')} class="column-org">{record.org}</td>
      <td data-label={t('jobs.outcome')} class="outcome">{record.failedReason && <span class="reason" title={visible(record.failedReason)}>{visible(record.failedReason)}</span>}</td>
    </tr>
  );
}

function Found({ items, next, query }) {
  const rows = useRows(items.map(({ queue, id }) => path`/jobs/${queue}/${id}`));
  if (!items.length) return <Empty title={t('records.none')}><p>{t('records.none.text')}</p></Empty>;
  return (
    <>
      <TableFrame label={t('nav.records')}>
        <table class="table cards single">
          <caption class="sr">{t('nav.records')}</caption>
          <thead><tr>{['records.id', 'records.queue', 'records.name', 'records.state', 'records.when', 'records.org', 'jobs.outcome'].map((word) => <th key={word} scope="col" class={`column-${word.split('.')[1]}`}>{t(word)}</th>)}</tr></thead>
          <tbody>{items.map((record, i) => <Row key={`${record.queue}/${record.id}/${record.timestamp}`} record={record} row={rows.row(i)} />)}</tbody>
        </table>
      </TableFrame>
      <Pager cursor={query.get('cursor')} next={next} />
    </>
  );
}

export function Records() {
  const { query } = useLocation();
  const from = useSince(query.get('since'));
  const records = useResource(`/api/records?${wanted(query, from)}`, { every: 0 });
  useEffect(() => void (document.title = `${t('nav.records')} · Sluice`), []);
  return (
    <>
      <h1>{t('nav.records')}</h1>
      <p class="faint">{t('records.text')}</p>
      <Filters fields={fields()} />
      {query.get('fingerprint') && <p><Badge>{t('records.group')}</Badge> <code class="break">{visible(query.get('fingerprint'))}</code></p>}
      <Loaded resource={records} rows={10}>{({ items, next }) => <Found items={items} next={next} query={query} />}</Loaded>
    </>
  );
}
