/** Where we are: `#/`, `#/tables/NAME`, `#/topics/NAME`, `#/flows/NAME`. In the hash, so that the server needs to know none of it. */

import { signal } from '@preact/signals';

export type Section = 'overview' | 'tables' | 'topics' | 'flows';

export interface Route {
  section: Section;
  name: string | null;
}

function read(): Route {
  const [section, name] = location.hash.replace(/^#\/?/, '').split('/', 2);
  if (section === 'tables' || section === 'topics' || section === 'flows') {
    try {
      return { section, name: name ? decodeURIComponent(name) : null };
    } catch {
      return { section, name: null };
    }
  }
  return { section: 'overview', name: null };
}

/** The present route. */
export const route = signal<Route>(read());

addEventListener('hashchange', () => {
  const before = route.value;
  route.value = read();
  if (before.section !== route.value.section || before.name !== route.value.name) {
    scrollTo({ top: 0 });
    document.getElementById('main')?.focus({ preventScroll: true });
  }
});

/** Address of a thing. */
export function href(section: Section, name?: string): string {
  return section === 'overview' ? '#/' : name === undefined ? `#/${section}` : `#/${section}/${encodeURIComponent(name)}`;
}
