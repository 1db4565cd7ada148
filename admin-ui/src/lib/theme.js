// Light, dark, or as the system says.
import { createSetting } from './store.js';

export const THEMES = ['system', 'light', 'dark'];
export const theme = createSetting('theme', 'system');

const apply = () => {
  if (theme.get() === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.get();
};

theme.follow(apply);
apply();

export const nextTheme = () => theme.set(THEMES[(THEMES.indexOf(theme.get()) + 1) % THEMES.length]);
