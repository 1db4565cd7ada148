// Why something does not move: what the server found out about a queue or a job.
import { dateTime } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { Card, Loaded, Time } from './basics.jsx';
import { Icon } from './icons.jsx';

const ICONS = { critical: 'critical', error: 'critical', warning: 'warning', info: 'info', ok: 'completed' };

function Finding({ code, severity, sentence, since, until }) {
  return (
    <li class={`finding ${severity}`} data-code={code}>
      <Icon name={ICONS[severity] ?? 'info'} />
      <span class="sr">{t(`severity.${severity}`)}</span>
      <span>
        {sentence}
        {since && <span class="faint"> {t('finding.since')} <Time at={since} /></span>}
        {until && <span class="faint"> {t('finding.until', { at: dateTime(until) })}</span>}
      </span>
    </li>
  );
}

export function Findings({ address, queue }) {
  const findings = useResource(address, { queue, every: 5000 });
  return (
    <Card title={t('explain')} class="explain">
      <Loaded resource={findings} rows={2}>
        {({ findings: list }) => (list.length
          ? <ul class="findings">{list.map((finding) => <Finding key={finding.code + finding.sentence} {...finding} />)}</ul>
          : <p class="calm"><Icon name="completed" />{t('explain.none')}</p>)}
      </Loaded>
    </Card>
  );
}
