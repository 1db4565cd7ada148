// Words. messages.js has every one of them in each language.
import messages from '../messages.js';
import { createSetting } from './store.js';

export const LANGUAGES = { en: 'English', de: 'Deutsch' };
const order = Object.keys(LANGUAGES);
const wanted = navigator.languages?.map((tag) => tag.slice(0, 2)).find((tag) => tag in LANGUAGES) ?? 'en';

export const language = createSetting('language', wanted);
if (!(language.get() in LANGUAGES)) language.set('en');

const textOf = (name) => messages[name]?.[order.indexOf(language.get())] ?? name;
// A part in [brackets] is left out when one of its {words} is not known.
function fill(text, values) {
  const kept = text.replace(/\[([^\]]*)\]/g, (_, part) => ([...part.matchAll(/\{(\w+)\}/g)].every(([, name]) => values[name] !== undefined) ? part : ''));
  return kept.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? '');
}

// The text of that name; {words} in it are filled in. A name that is not there is shown as it is.
export const t = (name, values = {}) => fill(textOf(name), values);

const rules = {};
const rulesOf = (code) => (rules[code] ??= { plural: new Intl.PluralRules(code), number: new Intl.NumberFormat(code) }); // slow to make

// By number: the texts "one | other", or "none | one | other".
export function tn(name, n, values = {}) {
  const forms = textOf(name).split(' | ');
  const [none, one, other = one] = forms.length > 2 ? forms : [null, ...forms];
  const { plural, number } = rulesOf(language.get());
  return fill(n === 0 && none !== null ? none : plural.select(n) === 'one' ? one : other, { n: number.format(n), ...values });
}

// The browser's own kind of the language: British dates for British English.
export const locale = () => navigator.languages?.find((tag) => tag.startsWith(language.get())) ?? language.get();

export const known = (name) => name in messages;
