// Creating a job: by the fields of the queue's schema, or as JSON.
import { useEffect, useMemo, useState } from 'preact/hooks';
import { Button, Card, Loaded, ProblemBox } from '../components/basics.jsx';
import { Field } from '../components/dialogs.jsx';
import { QueueHead } from '../components/queuehead.jsx';
import { SchemaFields } from '../components/schemafields.jsx';
import { can, request } from '../lib/api.js';
import { say } from '../lib/dialogs.js';
import { t } from '../lib/i18n.js';
import { member } from '../lib/json.js';
import { useResource } from '../lib/resource.js';
import { navigate, path, useLocation } from '../lib/router.js';
import { fieldOf, toJson } from '../lib/schemaform.js';

// A key of its own for each filling of the form: sending it twice makes no second job.
const newKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

const OPTIONS = [
  { name: 'name', type: 'text', maxLength: 255 },
  { name: 'jobId', type: 'text', maxLength: 255 },
  { name: 'delay', type: 'number', min: 0, scale: 1000 },
  { name: 'priority', type: 'number', min: 0, max: 2_097_151 },
  { name: 'attempts', type: 'number', min: 1, max: 1_000_000 },
];

function optionsOf(values) {
  const given = OPTIONS.filter(({ name }) => name !== 'name' && (values[name] ?? '') !== '');
  return Object.fromEntries(given.map(({ name, type, scale = 1 }) => [name, type === 'number' ? Math.round(Number(values[name]) * scale) : values[name]]));
}

function Options({ values, set }) {
  return (
    <Card title={t('newjob.options')}>
      <div class="form">
        {OPTIONS.map(({ name, scale, ...rest }) => (
          <Field key={name} label={t(`newjob.${name}`)} hint={t(`newjob.${name}.hint`)}>
            <input {...rest} step={scale ? 'any' : undefined} value={values[name] ?? ''} onInput={(e) => set(name, e.currentTarget.value)} autocomplete="off" />
          </Field>
        ))}
      </div>
    </Card>
  );
}

// What the server said, by where it belongs: "/data/subject" is the field "/subject".
function errorsOf(error) {
  const byField = {};
  for (const { pointer, detail } of error?.errors ?? []) if (pointer.startsWith('/data')) byField[pointer.slice('/data'.length)] = detail;
  return byField;
}

const bare = (text) => text.replace(/\s/g, '');

// With line breaks, unless that would change a number.
function pretty(text) {
  try {
    const value = JSON.parse(text);
    return bare(JSON.stringify(value)) === bare(text) ? JSON.stringify(value, null, 2) : text;
  } catch {
    return text;
  }
}

function Form({ queue, field, jobName, start }) {
  const [values, setValues] = useState({});
  const [json, setJson] = useState(start !== undefined || field.kind !== 'group' ? pretty(start ?? '{}') : null);
  const [options, setOptions] = useState({ name: jobName ?? '' });
  const [key, setKey] = useState(newKey);
  const [error, setError] = useState(null);
  const errors = errorsOf(error);
  const changed = (setter) => (which, value) => {
    setter((old) => ({ ...old, [which]: value }));
    setKey(newKey());
  };
  const submit = (event) => {
    event.preventDefault();
    const body = `{${options.name ? `"name":${JSON.stringify(options.name)},` : ''}"data":${json ?? toJson(field, values)},"opts":${JSON.stringify(optionsOf(options))}}`;
    request('POST', path`/api/queues/${queue}/jobs`, { body, headers: { 'Idempotency-Key': key } }).then(({ json: made }) => {
      say(t(made.created ? 'newjob.created' : 'newjob.existed', { id: made.jobId }));
      navigate(path`/jobs/${queue}/${made.jobId}`);
    }, setError);
  };
  const change = changed(setValues);
  return (
    <form onSubmit={submit} noValidate class="stack">
      {error && <ProblemBox error={error} />}
      <div class="columns">
        <Card title={t('job.data')} actions={field.kind === 'group' && (
          <Button kind="small" onClick={() => setJson(json === null ? pretty(toJson(field, values)) : null)} aria-pressed={json !== null}>{t('newjob.json')}</Button>
        )}>
          <div class="form">
            {json === null
              ? <SchemaFields fields={field.fields} values={values} errors={errors} set={change} />
              : <Field label={t('newjob.data')}><textarea class="mono" rows={18} value={json} onInput={(e) => (setJson(e.currentTarget.value), setKey(newKey()))} spellcheck={false} /></Field>}
          </div>
        </Card>
        <div class="stack">
          <Options values={options} set={changed(setOptions)} />
          <button type="submit" class="button primary wide">{t('newjob.create')}</button>
        </div>
      </div>
    </form>
  );
}

export function NewJob({ queue }) {
  return can('addJobs') ? <Creation queue={queue} /> : <ProblemBox error={{ code: 'forbidden' }} />;
}

function Creation({ queue }) {
  const { query } = useLocation();
  const from = query.get('from');
  const detail = useResource(path`/api/queues/${queue}`, { every: 0 });
  const document_ = useResource('/openapi.json', { every: 0 });
  const source = useResource(from ? path`/api/jobs/status/${queue}/${from}` : null, { every: 0, raw: true });
  const schemas = document_.data?.components.schemas;
  const field = useMemo(() => schemas && fieldOf(schemas[`payload-${queue}`] ?? {}, document_.data), [schemas, queue]);
  useEffect(() => void (document.title = `${t('queue.view.new')} · ${queue} · Sluice`), [queue]);
  const waiting = from && !source.data ? source : !field ? document_ : detail;
  return (
    <>
      <QueueHead queue={queue} detail={detail.data} />
      <Loaded resource={waiting} rows={6}>
        {() => (
          <Form queue={queue} field={field} jobName={source.text ? JSON.parse(member(source.text, 'name')) : detail.data?.declaration?.jobName} start={source.text ? member(source.text, 'data') : undefined} />
        )}
      </Loaded>
    </>
  );
}
