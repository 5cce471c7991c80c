/** The frame: what there is on the left (below, on a phone), and whether it is alive. */

import type { ComponentChildren } from 'preact';
import { counted, perSecond } from '../data/format';
import { connection, overview, rate } from '../data/live';
import { href, route, type Section } from '../data/route';
import { showInternal, theme, toggleTheme } from '../data/settings';
import { Icon, type IconName } from './Icon';
import { dialog } from './Palette';

export function Shell({ children }: { children: ComponentChildren }) {
  const all = overview.value;
  const topics = (all?.topics ?? []).filter((topic) => !topic.internal || showInternal.value);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById('main')?.focus())}>
        Skip to the content
      </a>
      <header class="side">
        <div class="side-head">
          <a class="brand" href={href('overview')}>
            <Mark />
            <span>
              <b>Millstream</b>
              {all?.project && <small>{all.project}</small>}
            </span>
          </a>
          <button type="button" class="icon-button" aria-label="Search (press /)" title="Search  /" onClick={() => (dialog.value = 'search')}>
            <Icon name="search" />
          </button>
          <button type="button" class="icon-button phone-only" aria-label="Switch between light and dark" onClick={toggleTheme}>
            <Icon name="sun" />
          </button>
        </div>
        <nav aria-label="Everything there is" onKeyDown={walk}>
          <NavItem section="overview" icon="home" label="Overview" />
          {(all?.tables.length ?? 0) > 0 && <h2>Tables</h2>}
          {all?.tables.map((table) => (
            <NavItem key={table.name} section="tables" name={table.name} icon="table" label={table.name} series={`table.rows/${table.name}`} trouble={troubleOf('tables', table.name)} />
          ))}
          {topics.length > 0 && <h2>Topics</h2>}
          {topics.map((topic) => (
            <NavItem
              key={topic.name}
              section="topics"
              name={topic.name}
              icon={topic.dead_letters ? 'alert' : 'topic'}
              label={topic.name}
              series={`topic.records/${topic.name}`}
              trouble={troubleOf('topics', topic.name)}
            />
          ))}
          {(all?.flows.length ?? 0) > 0 && <h2>Flows</h2>}
          {all?.flows.map((flow) => (
            <NavItem
              key={flow.name}
              section="flows"
              name={flow.name}
              icon="flow"
              label={flow.name}
              series={`flow.in/${flow.name}`}
              trouble={troubleOf('flows', flow.name)}
            />
          ))}
        </nav>
        <div class="side-foot">
          <Liveness />
          <button type="button" class="icon-button" aria-label="Switch between light and dark" title="Light or dark  t" onClick={toggleTheme}>
            <Icon name={theme.value === 'dark' ? 'moon' : 'sun'} />
          </button>
          <button type="button" class="icon-button" aria-label="Keyboard shortcuts" title="Keyboard  ?" onClick={() => (dialog.value = 'help')}>
            <Icon name="help" />
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1}>
        {children}
      </main>
      <nav class="tabs" aria-label="Sections">
        <Tab section="overview" icon="home" label="Overview" />
        <Tab section="tables" icon="table" label="Tables" />
        <Tab section="topics" icon="topic" label="Topics" />
        <Tab section="flows" icon="flow" label="Flows" />
      </nav>
    </>
  );
}

interface NavItemProps {
  section: Section;
  name?: string;
  icon: IconName;
  label: string;
  series?: string;
  trouble?: 'bad' | 'waits' | null;
}

function NavItem({ section, name, icon, label, series, trouble }: NavItemProps) {
  const here = route.value.section === section && route.value.name === (name ?? null);
  const per = series === undefined ? 0 : rate(series);
  return (
    <a class="nav-item" href={href(section, name)} aria-current={here ? 'page' : undefined} title={label}>
      <Icon name={icon} />
      <span>{label}</span>
      {trouble ? <i class={`dot ${trouble}`} title={trouble === 'bad' ? 'has stopped' : 'waits'} /> : per > 0 && <small>{perSecond(per)}/s</small>}
    </a>
  );
}

function troubleOf(section: Section, name: string): 'bad' | 'waits' | null {
  const problem = overview.value?.problems.find((one) => one.section === section && one.name === name);
  return problem ? (problem.bad ? 'bad' : 'waits') : null;
}

function Tab({ section, icon, label }: { section: Section; icon: IconName; label: string }) {
  return (
    <a href={href(section)} aria-current={route.value.section === section ? 'page' : undefined}>
      <Icon name={icon} />
      {label}
    </a>
  );
}

/** Arrow keys walk the list. */
function walk(event: KeyboardEvent & { currentTarget: HTMLElement }) {
  const items = [...event.currentTarget.querySelectorAll<HTMLElement>('a')];
  const at = items.indexOf(document.activeElement as HTMLElement);
  const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: items.length - 1 }[event.key];
  if (next === undefined || at < 0) return;
  event.preventDefault();
  items[Math.max(0, Math.min(items.length - 1, next))]?.focus();
}

export function Liveness() {
  const state = connection.value;
  const problems = overview.value?.problems.filter((problem) => problem.bad).length ?? 0;
  const live = problems > 0 ? counted(problems, 'problem') : 'Live';
  const text = { live, connecting: 'Connecting', lost: 'Not reachable' }[state];
  return (
    <span class={`liveness ${state}`} role="status">
      <i class={`dot ${state === 'live' ? (problems > 0 ? 'bad' : 'good') : state === 'lost' ? 'bad' : ''}`} />
      {text}
    </span>
  );
}

function Mark() {
  return (
    <svg class="mark" viewBox="0 0 32 32" width="28" height="28" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M6 11.500c3.400-3 6.600-3 10 0s6.600 3 10 0" opacity=".55" />
      <path d="M6 16.800c3.400-3 6.600-3 10 0s6.600 3 10 0" />
      <path d="M6 22.100c3.400-3 6.600-3 10 0s6.600 3 10 0" opacity=".55" />
    </svg>
  );
}
