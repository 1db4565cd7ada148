// The question that is open, and the messages at the corner.
import { cloneElement } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import { answer, question, toasts, unsay } from '../lib/dialogs.js';
import { t } from '../lib/i18n.js';
import { useStore } from '../lib/store.js';
import { Button, IconButton } from './basics.jsx';

// A modal window. The browser keeps the focus inside; it goes back to where it was (by us: the window is gone from the page before it is
// closed, and the browser forgets), or, where that is gone, to the screen.
export function Dialog({ title, onClose, class: name = '', children }) {
  const element = useRef();
  useEffect(() => {
    const before = document.activeElement;
    element.current.showModal();
    return () => (before.isConnected ? before : document.getElementById('main'))?.focus({ preventScroll: true });
  }, []);
  const outside = (event) => event.target === element.current && onClose();
  return (
    <dialog ref={element} class={name} aria-label={title} onCancel={(event) => (event.preventDefault(), onClose())} onMouseDown={outside}>
      <div class="dialog-body">{children}</div>
    </dialog>
  );
}

// One control with its name; what is said about it besides is its description. The control is the only child.
export function Field({ label, hint, error, children }) {
  const id = useId();
  const about = hint || error ? { 'aria-describedby': id, 'aria-invalid': error ? 'true' : undefined } : {};
  return (
    <div class={`field ${error ? 'invalid' : ''}`}>
      <label>
        <span class="field-label">{label}</span>
        {cloneElement(children, about)}
      </label>
      <div id={id}>
        {error && <p class="field-error" role="alert">{error}</p>}
        {hint && <p class="field-hint">{hint}</p>}
      </div>
    </div>
  );
}

function Input({ field, value, set, ...about }) {
  const { name, type = 'text', options, ...own } = field;
  const rest = { ...own, ...about, label: undefined, hint: undefined };
  if (options) return <select {...about} value={value} onChange={(e) => set(name, e.currentTarget.value)}>{options.map(([v, text]) => <option key={v} value={v}>{text}</option>)}</select>;
  if (type === 'checkbox') return <input {...about} type="checkbox" checked={value} onChange={(e) => set(name, e.currentTarget.checked)} />;
  if (type === 'textarea') return <textarea {...rest} value={value} onInput={(e) => set(name, e.currentTarget.value)} rows={8} class="mono" spellcheck={false} />;
  return <input {...rest} type={type} value={value} onInput={(e) => set(name, e.currentTarget.value)} autocomplete="off" />;
}

function Question({ title, text, confirm, danger, typed, fields = [] }) {
  const [values, setValues] = useState(() => Object.fromEntries(fields.map(({ name, value = '' }) => [name, value])));
  const [written, setWritten] = useState('');
  const set = (name, value) => setValues((old) => ({ ...old, [name]: value }));
  const submit = (event) => {
    event.preventDefault();
    if (!typed || written === typed) answer(values);
  };
  return (
    <Dialog title={title} onClose={() => answer(null)}>
      <form onSubmit={submit}>
        <h2>{title}</h2>
        {text && <p>{text}</p>}
        {fields.map((field) => <Field key={field.name} label={field.label} hint={field.hint}><Input field={field} value={values[field.name]} set={set} /></Field>)}
        {typed && (
          <Field label={t('confirm.type', { name: typed })}>
            <input value={written} onInput={(e) => setWritten(e.currentTarget.value)} autocomplete="off" spellcheck={false} class="mono" />
          </Field>
        )}
        <div class="row end">
          <Button onClick={() => answer(null)}>{t('cancel')}</Button>
          <button type="submit" class={`button ${danger ? 'danger' : 'primary'}`} disabled={Boolean(typed) && written !== typed}>{confirm.replace('…', '')}</button>
        </div>
      </form>
    </Dialog>
  );
}

export function Questions() {
  const asked = useStore(question);
  return asked && <Question key={asked.id} {...asked} />;
}

export function Toasts() {
  const list = useStore(toasts);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {list.map(({ id, text, href, link, bad }) => (
        <div key={id} class={`toast ${bad ? 'bad' : ''}`}>
          <span>{text} {href && <a href={href}>{link}</a>}</span>
          <IconButton icon="close" label={t('close')} onClick={() => unsay(id)} />
        </div>
      ))}
    </div>
  );
}
