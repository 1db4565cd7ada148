// Why something does not move: what the server found out about a queue or a job.
import { can } from '../lib/api.js';
import { useNow } from '../lib/clock.js';
import { sentenceOf } from '../lib/findings.js';
import { dateTime, duration, timeOfDay, utc } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { path } from '../lib/router.js';
import { promoteJob, resume } from '../lib/verbs.js';
import { Button, Card, Loaded } from './basics.jsx';
import { Icon } from './icons.jsx';

// What the server says would help, where it can be done from here: {operation, word, run(queue, id)}.
const HELP = {
  resume: { operation: 'resumeQueue', word: 'queue.resume', run: resume },
  promote: { operation: 'promoteJob', word: 'job.promote', run: promoteJob },
};

const SOON = 12 * 3_600_000; // sooner than this the time of the day says enough

// Since when, and until when.
function When({ since, until }) {
  const now = useNow();
  return (
    <>
      {since !== null && <time class="faint" dateTime={utc(since)} title={dateTime(since)}> {t('finding.since', { duration: duration(Math.max(0, now - since)) })}</time>}
      {until !== null && <time class="faint" dateTime={utc(until)} title={dateTime(until)}> {t('finding.until', { at: until - now < SOON ? timeOfDay(until) : dateTime(until) })}</time>}
    </>
  );
}

function Finding({ finding, queue, id }) {
  const { code, severity, since, until, action } = finding;
  const help = HELP[action];
  const helps = help && can(help.operation) && (action === 'resume' || id);
  return (
    <li class={`finding ${severity}`} data-code={code}>
      <Icon name={severity} />
      <span class="sr">{t(`severity.${severity}`)}</span>
      <span class="grow break">
        {sentenceOf(finding)}
        <When since={since} until={until} />
      </span>
      {helps && <Button kind="small" onClick={() => help.run(queue, id)}>{t(help.word)}</Button>}
    </li>
  );
}

// id: of a job; without one the queue's own.
export function Findings({ queue, id }) {
  const address = id === undefined ? path`/api/queues/${queue}/explain` : path`/api/queues/${queue}/jobs/${id}/explain`;
  const findings = useResource(address, { queue, every: 5000 });
  return (
    <Card title={t('explain')} class="explain">
      <Loaded resource={findings} rows={2}>
        {({ findings: list }) => <ul class="findings">{list.map((finding) => <Finding key={finding.code} finding={finding} queue={queue} id={id} />)}</ul>}
      </Loaded>
    </Card>
  );
}
