// Failures in groups: what fails most, since when, and an example of each.
import { useEffect } from 'preact/hooks';
import { Empty, Loaded, TableFrame, Time } from '../components/basics.jsx';
import { Filters } from '../components/filters.jsx';
import { number, visible } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useSince } from '../lib/period.js';
import { useResource } from '../lib/resource.js';
import { path, useLocation } from '../lib/router.js';
import { periods } from './records.jsx';

const fields = () => [
  { name: 'queue', label: t('records.queue') },
  { name: 'org', label: t('records.org') },
  { name: 'since', label: t('records.since'), options: periods('7d') },
];

// Where the jobs of the group are listed.
function listOf(fingerprint, query) {
  const next = new URLSearchParams({ state: 'failed', fingerprint, since: query.get('since') ?? '7d' });
  for (const name of ['queue', 'org']) if (query.get(name)) next.set(name, query.get(name));
  return `/records?${next}`;
}

function Row({ group: { fingerprint, count, firstSeen, lastSeen, example }, query }) {
  return (
    <tr>
      <td class="number" data-label={t('errors.count')}><a href={listOf(fingerprint, query)}>{number(count)}</a></td>
      <th scope="row"><span class="message break">{visible(fingerprint)}</span></th>
      <td data-label={t('errors.first')}><Time at={firstSeen} /></td>
      <td data-label={t('errors.last')}><Time at={lastSeen} /></td>
      <td data-label={t('errors.example')}><a class="mono break" href={path`/jobs/${example.queue}/${example.id}`} title={visible(example.failedReason ?? '')}>{example.queue}/{example.id}</a></td>
    </tr>
  );
}

function Groups({ items, query }) {
  if (!items.length) return <Empty title={t('errors.none')}><p>{t('errors.none.text')}</p></Empty>;
  return (
    <TableFrame label={t('nav.errors')}>
      <table class="table cards single">
        <caption class="sr">{t('nav.errors')}</caption>
        <thead>
          <tr>
            <th scope="col" class="number">{t('errors.count')}</th>
            {['errors.message', 'errors.first', 'errors.last', 'errors.example'].map((word) => <th key={word} scope="col">{t(word)}</th>)}
          </tr>
        </thead>
        <tbody>{items.map((group) => <Row key={group.fingerprint} group={group} query={query} />)}</tbody>
      </table>
    </TableFrame>
  );
}

export function Errors() {
  const { query } = useLocation();
  const from = useSince(query.get('since') ?? '7d');
  const wanted = new URLSearchParams({ from });
  for (const name of ['queue', 'org']) if (query.get(name)) wanted.set(name, query.get(name));
  const errors = useResource(`/api/records/errors?${wanted}`, { every: 60_000 });
  useEffect(() => void (document.title = `${t('nav.errors')} · Sluice`), []);
  return (
    <>
      <h1>{t('nav.errors')}</h1>
      <p class="faint">{t('errors.text')}</p>
      <Filters fields={fields()} />
      <Loaded resource={errors} rows={8}>{({ items }) => <Groups items={items} query={query} />}</Loaded>
    </>
  );
}
