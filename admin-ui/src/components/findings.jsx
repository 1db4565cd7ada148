// Why something does not move: what the server found out about a queue or a job.
import { can } from '../lib/api.js';
import { dateTime } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { path } from '../lib/router.js';
import { promoteJob, resume } from '../lib/verbs.js';
import { Button, Card, Loaded, Time } from './basics.jsx';
import { Icon } from './icons.jsx';

// What the server says would help, where it can be done from here: {operation, word, run(queue, id)}.
const HELP = {
  resume: { operation: 'resumeQueue', word: 'queue.resume', run: resume },
  promote: { operation: 'promoteJob', word: 'job.promote', run: promoteJob },
};

function Finding({ finding: { code, severity, sentence, since, until, action }, queue, id }) {
  const help = HELP[action];
  const helps = help && can(help.operation) && (action === 'resume' || id);
  return (
    <li class={`finding ${severity}`} data-code={code}>
      <Icon name={severity} />
      <span class="sr">{t(`severity.${severity}`)}</span>
      <span class="grow">
        {sentence}
        {since && <span class="faint"> {t('finding.since')} <Time at={since} /></span>}
        {until && <span class="faint"> {t('finding.until', { at: dateTime(until) })}</span>}
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
