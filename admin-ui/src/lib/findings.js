// What the server found out, in the words of the page's language. The server says the same as an English sentence.
import { duration, number, percent, visible } from './format.js';
import { known, tn } from './i18n.js';

function written(name, value) {
  if (typeof value === 'string') return visible(value);
  if (name.endsWith('Ms')) return duration(value);
  return name === 'share' ? percent(value) : number(value, { maximumFractionDigits: 1 });
}

export function sentenceOf({ code, sentence, values }) {
  const name = `finding.${code}`;
  if (!known(name)) return visible(sentence);
  return tn(name, values.jobs ?? values.moreThan ?? 0, Object.fromEntries(Object.entries(values).map(([key, value]) => [key, written(key, value)])));
}
