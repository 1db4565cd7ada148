// A job's log: its end, growing while the job runs; earlier lines when they are asked for.
import { useEffect, useRef, useState } from 'preact/hooks';
import { number, visible } from '../lib/format.js';
import { t, tn } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { Button, Card, Loaded } from './basics.jsx';

const PAGE = 100;

// every: ms between two looks, since old lines may go as new ones come; 0: it grows only.
export function Logs({ address, total, every }) {
  const [pages, setPages] = useState(1);
  const start = Math.max(0, total - PAGE * pages);
  const limit = Math.min(1000, Math.max(1, total - start));
  const lines = useResource(total ? `${address}?start=${start}&limit=${limit}` : null, { every, silent: true });
  const end = useRef();
  useEffect(() => {
    const box = end.current?.parentElement;
    if (box && pages === 1) box.scrollTop = box.scrollHeight;
  }, [lines.text]);
  if (!total) return null;
  return (
    <Card title={t('logs')} actions={<span class="faint">{tn('logs.lines', total)}</span>}>
      {start > 0 && limit < 1000 && <Button kind="quiet small" onClick={() => setPages(pages + 1)}>{t('logs.earlier')}</Button>}
      <Loaded resource={lines} rows={3}>
        {(data) => (
          <div class="log mono" role="log" aria-label={t('logs')} tabIndex={0}>
            <ol start={data.start + 1}>{data.lines.map((line, i) => <li key={data.start + i}><span class="log-number" aria-hidden="true">{number(data.start + i + 1)}</span><span class="log-line">{visible(line)}</span></li>)}</ol>
            <span ref={end} />
          </div>
        )}
      </Loaded>
    </Card>
  );
}
