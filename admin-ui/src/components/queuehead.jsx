// What all screens of one queue begin with: its name, its views, its counts.
import { number } from '../lib/format.js';
import { can } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { STATES } from '../lib/queues.js';
import { path, useLocation } from '../lib/router.js';
import { Badge, Time } from './basics.jsx';
import { Icon } from './icons.jsx';

export function Crumbs({ items }) {
  return (
    <nav class="crumbs" aria-label={t('crumbs')}>
      <ol>
        {items.map(([href, text]) => <li key={href}><a href={href}>{text}</a></li>)}
      </ol>
    </nav>
  );
}

export function QueueHead({ queue, detail, children }) {
  const { path: here } = useLocation();
  const base = path`/queues/${queue}`;
  const views = [[base, 'queue.view.state'], [`${base}/jobs`, 'queue.view.jobs'], can('addJobs') && [`${base}/new`, 'queue.view.new']].filter(Boolean);
  return (
    <div class="head">
      <Crumbs items={[['/', t('nav.queues')]]} />
      <div class="head-line">
        <h1>{queue}</h1>
        {detail?.paused && <Badge kind="warn" icon="paused">{t('badge.paused')}</Badge>}
        {detail && !detail.declared && <Badge title={t('badge.found.title')}>{t('badge.found')}</Badge>}
        <div class="row end grow">{children}</div>
      </div>
      {detail?.paused && (detail.pausedReason || detail.pausedBy) && <p class="faint">{t('queue.pausedBy', { by: detail.pausedBy ?? undefined, reason: detail.pausedReason ?? undefined })} {detail.pausedSince && <Time at={detail.pausedSince} />}</p>}
      <nav class="tabs" aria-label={t('queue.views')}>
        {views.map(([href, word]) => <a key={href} href={href} aria-current={here === href ? 'page' : undefined}>{t(word)}</a>)}
      </nav>
    </div>
  );
}

// The counts by state, each leading to its jobs; `chosen` is the one that is shown.
export function StateLinks({ queue, counts, chosen }) {
  return (
    <ul class="states">
      {STATES.map((state) => (
        <li key={state}>
          <a class={`state-link state-${state} ${counts?.[state] ? '' : 'none'}`} href={`${path`/queues/${queue}/jobs`}?state=${state}`} aria-current={chosen === state ? 'true' : undefined}>
            <span class="state-name"><Icon name={state} />{t(`state.${state}`)}</span>
            <span class="state-count number">{counts ? number(counts[state]) : '–'}</span>
          </a>
        </li>
      ))}
    </ul>
  );
}
