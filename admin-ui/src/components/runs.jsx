// The attempts of a job as the records tell of them: when, by whom, for how long, and what went wrong.
import { duration, number, visible } from '../lib/format.js';
import { t } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { path } from '../lib/router.js';
import { Card, Time } from './basics.jsx';
import { Icon } from './icons.jsx';

function Run({ run: { start, end, worker, error }, n }) {
  return (
    <li class={`step step-${error ? 'failed' : end ? 'completed' : 'active'}`}>
      <span class="step-line">
        <Icon name={error ? 'failed' : end ? 'completed' : 'active'} />
        <span class="grow">{t('job.attempt', { n: number(n) })} <span class="faint mono break">{worker}</span></span>
        <Time at={start} />
      </span>
      <span class="took break">
        {error ? visible(error) : end ? t('runs.ok') : t('runs.open')}{end ? ` · ${t('runs.took', { duration: duration(end - start) })}` : ''}
      </span>
    </li>
  );
}

export function Runs({ queue, id, job }) {
  const { data } = useResource(path`/api/records/${queue}/${id}`, { every: 0, version: `${job.attemptsMade}-${job.finishedOn}` });
  const runs = data?.items[0]?.runs ?? [];
  if (!runs.length) return null;
  const before = Math.max(0, job.attemptsMade - runs.length); // attempts that nobody has recorded
  return (
    <Card title={t('runs')}>
      <ol class="timeline">{runs.map((run, i) => <Run key={run.start} run={run} n={before + i + 1} />)}</ol>
    </Card>
  );
}
