// Where one is, how fresh what one sees is, and who one is.
import { useEffect, useRef } from 'preact/hooks';
import { screens } from '../app.jsx';
import { signOut, session } from '../lib/api.js';
import { say } from '../lib/dialogs.js';
import { language, LANGUAGES, t } from '../lib/i18n.js';
import { mode, paused, refreshAll } from '../lib/live.js';
import { useLocation } from '../lib/router.js';
import { useStore } from '../lib/store.js';
import { nextTheme, theme } from '../lib/theme.js';
import { IconButton } from './basics.jsx';
import { Icon } from './icons.jsx';
import { openPalette } from './palette.jsx';

function Live() {
  const now = useStore(mode);
  const toggle = () => paused.set(paused.get() ? '' : 'yes');
  return (
    <button type="button" class={`live live-${now}`} onClick={toggle} onDblClick={refreshAll} title={t(`live.${now}.title`)} aria-pressed={now === 'paused'}>
      <span class="live-dot" aria-hidden="true" />
      {t(`live.${now}`)}
    </button>
  );
}

function Language() {
  const chosen = useStore(language);
  return (
    <select class="language" aria-label={t('language')} value={chosen} onChange={(e) => language.set(e.currentTarget.value)}>
      {Object.entries(LANGUAGES).map(([code, name]) => <option key={code} value={code}>{name}</option>)}
    </select>
  );
}

function User() {
  const { sub, roles } = useStore(session);
  const leave = () => signOut().catch((error) => say(error.message, { bad: true }));
  return (
    <span class="user">
      <span title={`${sub} (${roles.join(', ')})`}>{sub} <span class="faint">{roles.join(', ')}</span></span>
      <button type="button" class="button quiet small" onClick={leave}>{t('signout')}</button>
    </span>
  );
}

// Where one is stays in sight where the screens do not fit beside each other.
function useInSight(path) {
  const ref = useRef();
  useEffect(() => ref.current.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' }), [path]);
  return ref;
}

export function TopBar() {
  const { path } = useLocation();
  const nav = useInSight(path);
  const chosen = useStore(theme);
  const isHere = (href) => (href === '/' ? path === '/' || path.startsWith('/queues') || path.startsWith('/jobs') : path === href || path.startsWith(`${href}/`));
  return (
    <header class="topbar">
      <a class="brand" href="/">Sluice</a>
      <nav ref={nav} aria-label={t('nav')}>
        {screens().map(({ href, word }) => <a key={href} href={href} aria-current={isHere(href) ? 'page' : undefined}>{t(word)}</a>)}
      </nav>
      <button type="button" class="search" aria-label={t('palette.hint')} onClick={() => openPalette()}>
        <Icon name="search" />
        <span>{t('palette.hint')}</span>
        <kbd>/</kbd>
      </button>
      <Live />
      <IconButton icon={chosen} label={t(`theme.${chosen}`)} onClick={nextTheme} />
      <Language />
      <User />
    </header>
  );
}
