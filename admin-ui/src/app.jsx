// The frame around the screens: who is signed in, where one is, and what is wrong with the server itself.
import { useEffect, useRef } from 'preact/hooks';
import { Questions, Toasts } from './components/dialogs.jsx';
import { Icon } from './components/icons.jsx';
import { openPalette, Palette } from './components/palette.jsx';
import { TopBar } from './components/topbar.jsx';
import { useActions } from './lib/actions.js';
import { can, canRecords, session } from './lib/api.js';
import { language, LANGUAGES, t } from './lib/i18n.js';
import { match, navigate, useLocation } from './lib/router.js';
import { trouble } from './lib/resource.js';
import { useStore } from './lib/store.js';
import { nextTheme } from './lib/theme.js';
import { Audit } from './screens/audit.jsx';
import { Errors } from './screens/errors.jsx';
import { Job } from './screens/job.jsx';
import { Jobs } from './screens/jobs.jsx';
import { NewJob } from './screens/newjob.jsx';
import { Overview } from './screens/overview.jsx';
import { Queue } from './screens/queue.jsx';
import { Records } from './screens/records.jsx';
import { SignIn } from './screens/signin.jsx';
import { Status } from './screens/status.jsx';
import { Task, Tasks } from './screens/tasks.jsx';

const ROUTES = [
  ['/', Overview],
  ['/queues', Overview],
  ['/queues/:queue', Queue],
  ['/queues/:queue/jobs', Jobs],
  ['/queues/:queue/new', NewJob],
  ['/jobs/:queue/:id', Job],
  ['/records', Records],
  ['/errors', Errors],
  ['/audit', Audit],
  ['/tasks', Tasks],
  ['/tasks/:id', Task],
  ['/status', Status],
];

// The screens of the navigation: address, word, key, and whether there is anything to see there.
export const SCREENS = [
  { href: '/', word: 'nav.queues', key: 'g q', may: () => can('listQueues') },
  { href: '/records', word: 'nav.records', key: 'g r', may: () => canRecords('searchRecords') },
  { href: '/errors', word: 'nav.errors', key: 'g e', may: () => canRecords('groupErrors') },
  { href: '/audit', word: 'nav.audit', key: 'g a', may: () => canRecords('listAudit') },
  { href: '/tasks', word: 'nav.tasks', key: 'g t', may: () => can('listTasks') },
  { href: '/status', word: 'nav.status', key: 'g s' },
];

export const screens = () => SCREENS.filter(({ may }) => !may || may());

// The server cannot reach a store: what is shown is of some time ago.
function Trouble() {
  const problem = useStore(trouble);
  if (!problem) return null;
  return (
    <div class="banner" role="alert">
      <Icon name="warning" />
      <span>{t(problem.code === 'network' ? 'trouble.network' : 'trouble.store', { detail: problem.detail })}</span>
      <a href="/status">{t('trouble.look')}</a>
    </div>
  );
}

function NotFound() {
  return (
    <div class="empty">
      <h1>{t('notfound')}</h1>
      <a href="/">{t('notfound.back')}</a>
    </div>
  );
}

function Signed() {
  const { path } = useLocation();
  const found = match(ROUTES, path);
  const Screen = found?.screen ?? NotFound;
  const came = useRef(path);
  useEffect(() => {
    if (path === '/login') navigate('/', { replace: true });
    // Another screen: whoever reads by ear or by keys begins at its top.
    if (came.current !== path) document.getElementById('main').focus({ preventScroll: true });
    came.current = path;
  }, [path]);
  useActions([
    { key: 'mod k', label: t('palette.open'), run: openPalette, hidden: true },
    { key: '/', label: t('palette.open'), run: openPalette, hidden: true },
    { key: '?', label: t('keys.title'), run: () => openPalette('keys') },
    { key: 't', label: t('theme.next'), run: nextTheme },
    ...Object.entries(LANGUAGES).filter(([code]) => code !== language.get()).map(([code, name]) => ({ label: `${t('language')}: ${name}`, run: () => language.set(code) })),
    ...screens().map(({ href, word, key }) => ({ key, label: t('go', { to: t(word) }), run: () => navigate(href) })),
  ], { rank: 1 });
  return (
    <>
      <a class="skip" href="#main" data-native>{t('skip')}</a>
      <TopBar />
      <Trouble />
      <main id="main" tabIndex={-1}>
        <Screen key={path} {...found?.params} />
      </main>
      <Palette />
    </>
  );
}

export function App() {
  const who = useStore(session);
  const lang = useStore(language);
  useEffect(() => void (document.documentElement.lang = lang), [lang]);
  if (!who) return null;
  return (
    <div class="frame" key={lang}>
      {who.sub ? <Signed /> : <SignIn who={who} />}
      <Questions />
      <Toasts />
    </div>
  );
}
