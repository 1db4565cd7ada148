// Signing in: with a token, with a link from the log, or, in development, as whoever one likes.
import { useState } from 'preact/hooks';
import { ProblemBox } from '../components/basics.jsx';
import { Field } from '../components/dialogs.jsx';
import { post, signIn } from '../lib/api.js';
import { t } from '../lib/i18n.js';
import { useLocation } from '../lib/router.js';

const ROLES = ['admin', 'operator', 'viewer'];

function useAttempt() {
  const [error, setError] = useState(null);
  const [busy, setBusy] = useState(false);
  const attempt = (work) => (event) => {
    event.preventDefault();
    setBusy(true);
    work().then(() => setError(null), setError).finally(() => setBusy(false));
  };
  return { error, busy, attempt };
}

function WithToken({ busy, attempt }) {
  const [token, setToken] = useState('');
  return (
    <form onSubmit={attempt(() => signIn(token.trim()))}>
      <Field label={t('signin.token')} hint={t('signin.token.hint')}>
        <input type="password" class="mono" name="token" value={token} onInput={(e) => setToken(e.currentTarget.value)} autocomplete="off" required autofocus />
      </Field>
      <button type="submit" class="button primary wide" disabled={busy}>{t('signin')}</button>
    </form>
  );
}

function InDevelopment({ busy, attempt }) {
  const [sub, setSub] = useState('developer');
  const [role, setRole] = useState('admin');
  const enter = async () => signIn((await post('/api/auth/dev-token', { sub, roles: [role] })).token);
  return (
    <form class="signin-dev" onSubmit={attempt(enter)}>
      <h2>{t('signin.dev')}</h2>
      <p class="faint">{t('signin.dev.text')}</p>
      <div class="row fill">
        <Field label={t('signin.sub')}><input name="sub" value={sub} onInput={(e) => setSub(e.currentTarget.value)} required maxLength={128} /></Field>
        <Field label={t('signin.role')}>
          <select name="role" value={role} onChange={(e) => setRole(e.currentTarget.value)}>{ROLES.map((name) => <option key={name}>{name}</option>)}</select>
        </Field>
      </div>
      <button type="submit" class="button wide" disabled={busy}>{t('signin.dev.enter')}</button>
    </form>
  );
}

export function SignIn({ who }) {
  const { error, busy, attempt } = useAttempt();
  const { query } = useLocation();
  if (who.error) return <main class="signin"><ProblemBox error={who.error} retry={() => location.reload()} /></main>;
  return (
    <main class="signin">
      <h1><span class="brand">Sluice</span></h1>
      {query.has('used') && <p class="notice" role="status">{t('signin.used')}</p>}
      {who.ended && <p class="notice" role="status">{t('signin.ended')}</p>}
      {error && <ProblemBox error={error} />}
      <WithToken busy={busy} attempt={attempt} />
      {who.devLogin && <InDevelopment busy={busy} attempt={attempt} />}
    </main>
  );
}
