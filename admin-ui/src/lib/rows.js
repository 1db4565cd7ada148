// Moving through a table's rows by keys: j and k, Enter opens. Rows stand by their links; the chosen one is scrolled into view.
import { useEffect, useState } from 'preact/hooks';
import { useActions } from './actions.js';
import { t } from './i18n.js';
import { navigate } from './router.js';

// {at, row(i)}: row's attributes go on the table's rows.
export function useRows(addresses) {
  const [at, setAt] = useState(-1);
  const move = (step) => setAt((old) => Math.max(0, Math.min(addresses.length - 1, old + step)));
  useEffect(() => {
    document.querySelector('tr[data-at="here"]')?.scrollIntoView({ block: 'nearest' });
  }, [at]);
  useActions([
    { key: 'j', label: t('keys.down'), run: () => move(1), hidden: true },
    { key: 'k', label: t('keys.up'), run: () => move(-1), hidden: true },
    at >= 0 && at < addresses.length && { key: 'o', label: t('keys.open'), run: () => navigate(addresses[at]), hidden: true },
  ]);
  return { at, row: (i) => (i === at ? { 'data-at': 'here', 'aria-current': 'true' } : {}) };
}
