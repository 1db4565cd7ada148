// The fields of a JSON Schema. values: by JSON Pointer; errors: what the server said of them, by the same.
import { t } from '../lib/i18n.js';
import { Field } from './dialogs.jsx';

const LONG = 200;

function Choices({ field, value = [], set }) {
  const toggle = (i) => set(field.pointer, value.includes(i) ? value.filter((one) => one !== i) : [...value, i].sort((a, b) => a - b));
  return (
    <span class="row wrap">
      {field.options.map((option, i) => (
        <label key={i} class="check-label"><input type="checkbox" checked={value.includes(i)} onChange={() => toggle(i)} />{String(option)}</label>
      ))}
    </span>
  );
}

function Control({ field, value = '', set, ...about }) {
  const { kind, schema, pointer, required } = field;
  const common = { ...about, value, name: pointer, required, onInput: (e) => set(pointer, e.currentTarget.value) };
  if (kind === 'choice') {
    return (
      <select {...common}>
        <option value="">{t('form.none')}</option>
        {field.options.map((option, i) => <option key={i} value={String(i)}>{String(option)}</option>)}
      </select>
    );
  }
  if (kind === 'boolean') return <select {...common}><option value="">{t('form.none')}</option><option value="yes">true</option><option value="no">false</option></select>;
  if (kind === 'lines' || kind === 'json') return <textarea {...common} rows={3} class="mono" spellcheck={false} placeholder={t(`form.${kind}`)} />;
  if (kind === 'string' && schema.maxLength > LONG) return <textarea {...common} rows={3} maxLength={schema.maxLength} />;
  if (kind === 'string') return <input {...common} type="text" maxLength={schema.maxLength} placeholder={schema.examples?.[0] ?? ''} autocomplete="off" />;
  return <input {...common} type="text" inputMode="decimal" pattern="-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?" placeholder={String(schema.examples?.[0] ?? schema.default ?? '')} autocomplete="off" />;
}

function One({ field, values, errors, set }) {
  const label = <>{field.name}{field.required && <span class="needed" aria-hidden="true"> *</span>}</>;
  const about = { label, hint: field.schema.description, error: errors[field.pointer] };
  if (field.kind === 'group') {
    return (
      <fieldset>
        <legend>{label}</legend>
        {field.schema.description && <p class="field-hint">{field.schema.description}</p>}
        <SchemaFields fields={field.fields} values={values} errors={errors} set={set} />
      </fieldset>
    );
  }
  if (field.kind === 'choices') {
    return (
      <fieldset class={`plain ${about.error ? 'invalid' : ''}`}>
        <legend class="field-label">{label}</legend>
        <Choices field={field} value={values[field.pointer]} set={set} />
        {about.hint && <p class="field-hint">{about.hint}</p>}
        {about.error && <p class="field-error" role="alert">{about.error}</p>}
      </fieldset>
    );
  }
  return <Field {...about}><Control field={field} value={values[field.pointer]} set={set} /></Field>;
}

export function SchemaFields({ fields, ...rest }) {
  return fields.map((field) => <One key={field.pointer} field={field} {...rest} />);
}
