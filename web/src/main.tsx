/** The page of the Millstream console: follows the server's events and shows them. */

import { render } from 'preact';
import { useEffect } from 'preact/hooks';
import { connection, follow, overview } from './data/live';
import type { Overview as All } from './data/model';
import { route } from './data/route';
import './data/settings';
import { Gone } from './parts/Bits';
import { Dialogs, listenToKeys } from './parts/Palette';
import { Shell } from './parts/Shell';
import { FlowList, FlowView, TableList, TableView, TopicList, TopicView } from './views/Details';
import { Overview } from './views/Overview';
import { Welcome } from './views/Welcome';
import './styles/base.css';
import './styles/shell.css';
import './styles/parts.css';
import './styles/charts.css';

function View({ all }: { all: All }) {
  const { section, name } = route.value;
  if (section === 'tables') {
    if (name === null) return <TableList all={all} />;
    const table = all.tables.find((one) => one.name === name);
    return table ? <TableView key={name} table={table} all={all} /> : <Gone what="table" name={name} section={section} />;
  }
  if (section === 'topics') {
    if (name === null) return <TopicList all={all} />;
    const topic = all.topics.find((one) => one.name === name);
    return topic ? <TopicView key={name} topic={topic} all={all} /> : <Gone what="topic" name={name} section={section} />;
  }
  if (section === 'flows') {
    if (name === null) return <FlowList all={all} />;
    const flow = all.flows.find((one) => one.name === name);
    return flow ? <FlowView key={name} flow={flow} all={all} /> : <Gone what="flow" name={name} section={section} />;
  }
  return all.project === null && all.flows.length === 0 ? <Welcome all={all} /> : <Overview all={all} />;
}

function App() {
  const all = overview.value;
  const { section, name } = route.value;
  useEffect(() => {
    document.title = [name ?? (section === 'overview' ? all?.project : section), 'Millstream'].filter(Boolean).join(' · ');
  }, [section, name, all?.project]);
  return (
    <>
      <Shell>
        {connection.value === 'lost' && (
          <div class="away" role="alert">
            Millstream is not reachable. This page comes back by itself as soon as it is.
          </div>
        )}
        {all ? <View all={all} /> : <div class="loading" aria-busy="true" />}
      </Shell>
      <Dialogs />
    </>
  );
}

listenToKeys();
void follow();
render(<App />, document.getElementById('app')!);
