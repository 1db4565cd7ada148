// How the server itself is, also when its stores are away: this screen needs none of them.
import { useEffect, useState } from 'preact/hooks';
import { Badge, Button, Card, Facts, Skeleton, TableFrame, Time } from '../components/basics.jsx';
import { request, session } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { heard, watch } from '../lib/live.js';
import { trouble } from '../lib/resource.js';
import { useStore } from '../lib/store.js';

const EVERY = 2000;

async function look() {
  try {
    const { json } = await request('GET', '/health/ready?verbose=1');
    heard(true);
    trouble.set(null); // nobody else may be asking here
    return { ready: true, checks: json.checks ?? [] };
  } catch (error) {
    heard(error.code !== 'network');
    if (error.checks) return { ready: false, checks: error.checks };
    return { ready: false, unreachable: error.code === 'network', checks: [{ name: t('status.server'), ok: false, detail: error.detail ?? error.message }] };
  }
}

function useReadiness() {
  const [state, set] = useState(null);
  const again = () => look().then((found) => set({ ...found, at: Date.now() }));
  useEffect(() => {
    again();
    return watch({ every: EVERY }, again);
  }, []);
  return [state, again];
}

function Check({ name, ok, detail }) {
  const advice = `status.advice.${name}`;
  return (
    <tr>
      <th scope="row">{name}</th>
      <td>{ok ? <Badge kind="good" icon="completed">{t('status.ok')}</Badge> : <Badge kind="bad" icon="failed">{t('status.bad')}</Badge>}</td>
      <td>
        {detail}
        {!ok && t(advice) !== advice && <p class="faint">{t(advice)}</p>}
      </td>
    </tr>
  );
}

export function Status() {
  const [state, again] = useReadiness();
  const { version } = useStore(session);
  return (
    <>
      <h1>{t('nav.status')}</h1>
      {!state ? <Skeleton rows={3} /> : (
        <Card title={t(state.ready ? 'status.ready' : state.unreachable ? 'status.unreachable' : 'status.notready')} actions={<Button onClick={again}>{t('status.again')}</Button>}>
          <TableFrame label={t('status.check')}><table class="table">
            <thead><tr><th>{t('status.check')}</th><th>{t('status.state')}</th><th>{t('status.detail')}</th></tr></thead>
            <tbody>{state.checks.map((check) => <Check key={check.name} {...check} />)}</tbody>
          </table></TableFrame>
          <Facts items={[[t('status.asked'), <Time at={state.at} />], [t('status.version'), version], ['', <a href="/metrics" target="_blank" rel="noreferrer">/metrics</a>]]} />
        </Card>
      )}
    </>
  );
}
