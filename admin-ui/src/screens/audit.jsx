// Who changed what, the newest first; what it was before and after when a row is opened.
import { useEffect } from 'preact/hooks';
import { Empty, Loaded, Pager, TableFrame, Time } from '../components/basics.jsx';
import { Filters } from '../components/filters.jsx';
import { Json } from '../components/json.jsx';
import { number, visible } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useSince } from '../lib/period.js';
import { useResource } from '../lib/resource.js';
import { useLocation } from '../lib/router.js';
import { periods } from './records.jsx';

const PLAIN = ['action', 'sub', 'org', 'target', 'cursor'];
const fields = () => [
  { name: 'action', label: t('audit.action'), placeholder: 'queue.pause' },
  { name: 'sub', label: t('audit.sub') },
  { name: 'target', label: t('audit.target') },
  { name: 'org', label: t('records.org') },
  { name: 'since', label: t('records.since'), options: periods('all') },
];

function Change({ row: { seq, before, after } }) {
  if (before === null && after === null) return null;
  return (
    <details>
      <summary>{t('audit.show')}</summary>
      <Json text={JSON.stringify({ before, after })} file={`audit-${seq}.json`} />
    </details>
  );
}

function Row({ row }) {
  return (
    <tr>
      <th scope="row"><Time at={row.at} /></th>
      <td data-label={t('audit.action')} class="mono">{row.action}</td>
      <td data-label={t('audit.target')} class="mono break"><span>{visible(row.target ?? '')}{row.count > 1 && <span class="faint"> ×{number(row.count)}</span>}</span></td>
      <td data-label={t('audit.sub')} class="break"><span>{visible(row.sub ?? '')} <span class="faint">{row.org}</span></span></td>
      <td data-label={t('audit.status')} class="number">{row.status}</td>
      <td><Change row={row} /></td>
    </tr>
  );
}

function Rows({ items, next, query }) {
  if (!items.length) return <Empty title={t('audit.none')}><p>{t('records.none.text')}</p></Empty>;
  return (
    <>
      <TableFrame label={t('nav.audit')}>
        <table class="table cards single">
          <caption class="sr">{t('nav.audit')}</caption>
          <thead>
            <tr>
              {['audit.at', 'audit.action', 'audit.target', 'audit.sub'].map((word) => <th key={word} scope="col">{t(word)}</th>)}
              <th scope="col" class="number">{t('audit.status')}</th>
              <th scope="col">{t('audit.change')}</th>
            </tr>
          </thead>
          <tbody>{items.map((row) => <Row key={row.seq} row={row} />)}</tbody>
        </table>
      </TableFrame>
      <Pager cursor={query.get('cursor')} next={next} />
    </>
  );
}

export function Audit() {
  const { query } = useLocation();
  const from = useSince(query.get('since'));
  const wanted = new URLSearchParams({ limit: 50 });
  for (const name of PLAIN) if (query.get(name)) wanted.set(name, query.get(name));
  if (from) wanted.set('from', from);
  const rows = useResource(`/api/audit?${wanted}`, { every: 0 });
  useEffect(() => void (document.title = `${t('nav.audit')} · Sluice`), []);
  return (
    <>
      <h1>{t('nav.audit')}</h1>
      <p class="faint">{t('audit.text')}</p>
      <Filters fields={fields()} />
      <Loaded resource={rows} rows={10}>{({ items, next }) => <Rows items={items} next={next} query={query} />}</Loaded>
    </>
  );
}
