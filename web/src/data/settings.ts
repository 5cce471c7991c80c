/** What a person has chosen, remembered in the browser. */

import { effect, signal } from '@preact/signals';

function remembered(name: string): string | null {
  try {
    return localStorage.getItem(`millstream.${name}`);
  } catch {
    return null;
  }
}

function remember(name: string, value: string | null) {
  try {
    if (value === null) localStorage.removeItem(`millstream.${name}`);
    else localStorage.setItem(`millstream.${name}`, value);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
}

export type Theme = 'system' | 'light' | 'dark';

const first = remembered('theme');
/** Light, dark, or as the system says. */
export const theme = signal<Theme>(first === 'light' || first === 'dark' ? first : 'system');
/** Are internal topics shown? */
export const showInternal = signal(remembered('internal') === 'yes');

effect(() => {
  if (theme.value === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme.value;
  remember('theme', theme.value === 'system' ? null : theme.value);
});
effect(() => remember('internal', showInternal.value ? 'yes' : null));

/** Light to dark and back, starting from what is seen now. */
export function toggleTheme() {
  const dark = theme.value === 'dark' || (theme.value === 'system' && matchMedia('(prefers-color-scheme: dark)').matches);
  theme.value = dark ? 'light' : 'dark';
}

const stillness = matchMedia('(prefers-reduced-motion: reduce)');
/** Does the person want things to stand still? */
export const still = signal(stillness.matches);
stillness.addEventListener('change', () => (still.value = stillness.matches));
