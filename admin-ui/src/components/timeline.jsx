// A job's life, step by step, with how long each took.
import { duration } from '../lib/format.js';
import { useNow } from '../lib/clock.js';
import { t } from '../lib/i18n.js';
import { Time } from './basics.jsx';
import { Icon } from './icons.jsx';

// [{icon, word, at, tookMs, took}] in order; at null: not yet.
function stepsOf(job, now) {
  const { timestamp, processedOn, finishedOn, delay, state } = job;
  const due = job.dueAt ?? (delay ? timestamp + delay : null);
  const steps = [{ icon: 'add', word: 'timeline.created', at: timestamp }];
  if (due && due > timestamp) steps.push({ icon: 'delayed', word: due > now ? 'timeline.due' : 'timeline.wasdue', at: due, tookMs: due - timestamp, took: 'timeline.delayed' });
  const ready = due && due <= now ? due : timestamp;
  if (processedOn) steps.push({ icon: 'active', word: job.attemptsMade > 1 || job.attemptsStarted > 1 ? 'timeline.lasttaken' : 'timeline.taken', at: processedOn, tookMs: processedOn - ready, took: 'timeline.waited' });
  if (finishedOn) steps.push({ icon: state === 'failed' ? 'failed' : 'completed', word: `timeline.${state === 'failed' ? 'failed' : 'completed'}`, at: finishedOn, tookMs: finishedOn - processedOn, took: 'timeline.ran' });
  else if (state === 'active') steps.push({ icon: 'active', word: 'timeline.running', at: null, tookMs: now - processedOn, took: 'timeline.runs' });
  else if (state !== 'delayed') steps.push({ icon: state, word: `timeline.now.${state}`, at: null, tookMs: now - Math.max(ready, processedOn ?? 0), took: 'timeline.since' });
  return steps;
}

export function Timeline({ job }) {
  const now = useNow();
  return (
    <ol class="timeline">
      {stepsOf(job, now).map(({ icon, word, at, tookMs, took }) => (
        <li key={word} class={`step step-${icon}`}>
          {tookMs !== undefined && <span class="took">{t(took, { duration: duration(Math.max(0, tookMs)) })}</span>}
          <span class="step-line">
            <Icon name={icon} />
            <span class="grow">{t(word)}</span>
            {at && <Time at={at} />}
          </span>
        </li>
      ))}
    </ol>
  );
}
