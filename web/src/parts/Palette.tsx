/** `/` finds topics, tables and flows by name; `?` says what the keyboard can do. */

import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import { overview } from '../data/live';
import { href } from '../data/route';
import { showInternal, toggleTheme } from '../data/settings';
import { Icon, type IconName } from './Icon';

/** Which dialog is open. */
export const dialog = signal<'search' | 'help' | null>(null);

interface Found {
  icon: IconName;
  name: string;
  kind: string;
  go: () => void;
}

function everything(): Found[] {
  const all = overview.value;
  const to = (hash: string) => () => {
    location.hash = hash;
  };
  return [
    { icon: 'home', name: 'Overview', kind: 'page', go: to(href('overview')) },
    ...(all?.tables ?? []).map((table): Found => ({ icon: 'table', name: table.name, kind: table.kind, go: to(href('tables', table.name)) })),
    ...(all?.topics ?? [])
      .filter((topic) => !topic.internal || showInternal.value)
      .map((topic): Found => ({ icon: 'topic', name: topic.name, kind: 'topic', go: to(href('topics', topic.name)) })),
    ...(all?.flows ?? []).map((flow): Found => ({ icon: 'flow', name: flow.name, kind: 'flow', go: to(href('flows', flow.name)) })),
    { icon: 'moon', name: 'Switch between light and dark', kind: 'action', go: toggleTheme },
    {
      icon: 'topic',
      name: showInternal.value ? 'Hide internal topics' : 'Show internal topics',
      kind: 'action',
      go: () => (showInternal.value = !showInternal.value),
    },
    { icon: 'help', name: 'Keyboard shortcuts', kind: 'help', go: () => (dialog.value = 'help') },
  ];
}

function useDialog() {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const before = document.activeElement as HTMLElement | null;
    ref.current?.showModal();
    return () => before?.focus?.({ preventScroll: true });
  }, []);
  return ref;
}

const close = () => (dialog.value = null);

export function Dialogs() {
  if (dialog.value === 'search') return <Search />;
  if (dialog.value === 'help') return <Help />;
  return null;
}

function Search() {
  const ref = useDialog();
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = everything().filter((one) => words.every((word) => `${one.name} ${one.kind}`.toLowerCase().includes(word)));
  const chosen = Math.min(at, found.length - 1);
  const go = (one: Found | undefined) => {
    if (!one) return;
    close();
    one.go();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'ArrowDown') setAt((chosen + 1) % Math.max(1, found.length));
    else if (event.key === 'ArrowUp') setAt((chosen - 1 + found.length) % Math.max(1, found.length));
    else if (event.key === 'Enter') go(found[chosen]);
    else return;
    event.preventDefault();
  };
  useEffect(() => {
    ref.current?.querySelector('[aria-selected=true]')?.scrollIntoView({ block: 'nearest' });
  }, [chosen]);
  return (
    <dialog class="palette" ref={ref} aria-label="Search" onClose={close} onClick={(event) => event.target === ref.current && close()}>
      <label class="palette-field">
        <Icon name="search" />
        <input
          autofocus
          placeholder="Find a table, topic or flow"
          role="combobox"
          aria-expanded="true"
          aria-controls="found"
          aria-activedescendant={found[chosen] ? `found-${chosen}` : undefined}
          aria-label="Find a table, topic or flow"
          value={text}
          onInput={(event) => {
            setText(event.currentTarget.value);
            setAt(0);
          }}
          onKeyDown={onKey}
        />
        <kbd>esc</kbd>
      </label>
      <div id="found" role="listbox" aria-label="Found">
        {found.map((one, i) => (
          <div
            key={`${one.kind}/${one.name}`}
            id={`found-${i}`}
            role="option"
            aria-selected={i === chosen}
            onPointerMove={() => setAt(i)}
            onClick={() => go(one)}
          >
            <Icon name={one.icon} />
            <span>{one.name}</span>
            <small>{one.kind}</small>
          </div>
        ))}
        {found.length === 0 && <p class="nothing">Nothing by that name.</p>}
      </div>
    </dialog>
  );
}

const KEYS: [string[], string][] = [
  [['/'], 'find a table, topic or flow'],
  [['o'], 'overview'],
  [['t'], 'light or dark'],
  [['?'], 'this list'],
  [['Tab'], 'from one thing to the next'],
  [['↑', '↓'], 'walk through lists'],
  [['Enter'], 'open what is chosen'],
  [['←', '→'], 'read a chart point by point'],
  [['Esc'], 'close'],
];

function Help() {
  const ref = useDialog();
  return (
    <dialog class="help" ref={ref} aria-label="Keyboard shortcuts" onClose={close} onClick={(event) => event.target === ref.current && close()}>
      <h2>Keyboard</h2>
      <dl>
        {KEYS.map(([keys, what]) => (
          <div key={what}>
            <dt>
              {keys.map((key) => (
                <kbd key={key}>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </div>
        ))}
      </dl>
      <button type="button" class="button" autofocus onClick={close}>
        Close
      </button>
    </dialog>
  );
}

/** Keys that work everywhere but in fields. */
export function listenToKeys() {
  addEventListener('keydown', (event) => {
    const target = event.target as HTMLElement;
    if (event.key === 'k' && (event.metaKey || event.ctrlKey)) {
      event.preventDefault();
      dialog.value = 'search';
      return;
    }
    if (event.metaKey || event.ctrlKey || event.altKey || dialog.value !== null || target.closest('input, textarea, select')) return;
    if (event.key === '/') dialog.value = 'search';
    else if (event.key === '?') dialog.value = 'help';
    else if (event.key === 't') toggleTheme();
    else if (event.key === 'o') location.hash = href('overview');
    else return;
    event.preventDefault();
  });
}
