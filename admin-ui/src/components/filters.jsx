// Filters that stand in the address. fields: [{name, label, options, placeholder}]; options: [[value, word], …].
import { useState } from 'preact/hooks';
import { t } from '../lib/i18n.js';
import { navigate, useLocation, withQuery } from '../lib/router.js';
import { LinkButton } from './basics.jsx';
import { Field } from './dialogs.jsx';

function Control({ name, options, placeholder, value, set, ...about }) {
  const common = { ...about, name, value, spellcheck: false };
  if (!options) return <input {...common} type="search" placeholder={placeholder} onInput={(e) => set(name, e.currentTarget.value)} autocomplete="off" />;
  return <select {...common} onChange={(e) => set(name, e.currentTarget.value)}>{options.map(([key, word]) => <option key={key} value={key}>{word}</option>)}</select>;
}

function Form({ fields, given, path }) {
  const [values, setValues] = useState(() => Object.fromEntries(fields.map(({ name }) => [name, given.get(name) ?? ''])));
  const submit = (event) => {
    event.preventDefault();
    navigate(withQuery({ ...Object.fromEntries(Object.entries(values).map(([name, value]) => [name, value.trim()])), cursor: null }));
  };
  return (
    <form class="filters" role="search" onSubmit={submit}>
      {fields.map(({ label, ...field }) => (
        <Field key={field.name} label={label}><Control {...field} value={values[field.name]} set={(name, value) => setValues((old) => ({ ...old, [name]: value }))} /></Field>
      ))}
      <div class="row">
        <button type="submit" class="button primary">{t('records.search')}</button>
        {given.size > 0 && <LinkButton href={path} kind="quiet">{t('records.clear')}</LinkButton>}
      </div>
    </form>
  );
}

// Filled in anew when the address has other filters.
export function Filters({ fields }) {
  const { path, query } = useLocation();
  return <Form key={query.toString()} fields={fields} given={query} path={path} />;
}
