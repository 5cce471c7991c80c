/** Everything at a glance: how fast, how far, what hangs, and the newest results. */

import { GraphView } from '../charts/GraphView';
import { Sparkline } from '../charts/Sparkline';
import { useSeen } from '../charts/hooks';
import { useState } from 'preact/hooks';
import { useRows } from '../data/ask';
import { bytes, counted, eventTimeShort, perSecond, short, span } from '../data/format';
import { points, rate, snapshot, summed } from '../data/live';
import type { Chart, Flow, Overview as All, Rows, Table, Topic } from '../data/model';
import { progress } from '../data/progress';
import { href } from '../data/route';
import { showInternal } from '../data/settings';
import { Card, Kpi } from '../parts/Bits';
import { CopyButton } from '../parts/Code';
import { Records, busiest } from '../parts/Records';
import { RowsTable } from '../parts/RowsTable';
import { TableChart } from '../parts/TableCard';
import { Troubles } from '../parts/Troubles';

/** The table that is shown large: the first one that has rows, and then that one for as long as the page is open. */
let large: string | null = null;

export function Overview({ all }: { all: All }) {
  const chosen = all.tables.find((table) => table.name === large) ?? all.tables.find((table) => table.rows_total > 0);
  large = chosen?.name ?? null;
  const first = chosen ?? all.tables[0];
  const others = all.tables.filter((table) => table !== first);
  const busy = busiest(all.topics);
  return (
    <div class="view">
      <div class="view-head">
        <h1>{all.project}</h1>
        <StatusLine all={all} />
      </div>
      <Troubles all={all} />
      <Kpis all={all} />
      {all.flows.length > 0 && (
        <Card title="Pipeline" className="pipeline">
          <GraphView overview={all} />
        </Card>
      )}
      {first && <TableBlock key={first.name} table={first} featured />}
      <div class="pair">
        <Topics topics={all.topics} />
        {busy && (
          <Card
            title="Newest records"
            aside={
              <>
                <a href={href('topics', busy.name)}>{busy.name}</a> · your local time
              </>
            }
          >
            <Records topic={busy} limit={9} compact />
          </Card>
        )}
      </div>
      {others.length > 0 && (
        <div class="pair">
          {others.map((table) => (
            <TableBlock key={table.name} table={table} />
          ))}
        </div>
      )}
    </div>
  );
}

/** One line that says where it is, how it keeps its data, and how it is. */
export function StatusLine({ all }: { all: All }) {
  const now = snapshot.value?.now_ms ?? all.started_at_ms;
  const relaxed = all.topics.filter((topic) => topic.relaxed);
  return (
    <dl class="status" aria-label="Status">
      <div>
        <dt>Kafka</dt>
        <dd class="mono">
          {all.kafka_address} <CopyButton text={all.kafka_address} label="Copy the broker's address" />
        </dd>
      </div>
      <div>
        <dt>Durability</dt>
        <dd title={relaxed.map((topic) => topic.name).join(', ')}>
          {relaxed.length === 0 ? 'synced before seen' : `relaxed in ${counted(relaxed.length, 'topic')}`}
        </dd>
      </div>
      {all.project !== null && (
        <div>
          <dt>Event times</dt>
          <dd>{all.zone}</dd>
        </div>
      )}
      <div>
        <dt>Up</dt>
        <dd>{span(now - all.started_at_ms)}</dd>
      </div>
      <div>
        <dt>Memory</dt>
        <dd>{bytes(all.memory_bytes)}</dd>
      </div>
      {all.data_bytes !== null && (
        <div>
          <dt>Log</dt>
          <dd title={all.free_bytes === null ? all.data_dir : `${all.data_dir}, ${bytes(all.free_bytes)} free`}>{bytes(all.data_bytes)}</dd>
        </div>
      )}
      <div>
        <dt>Version</dt>
        <dd>{all.version}</dd>
      </div>
    </dl>
  );
}

function Kpis({ all }: { all: All }) {
  const total = (field: (flow: Flow) => number) => all.flows.reduce((sum, flow) => sum + field(flow), 0);
  const own = all.topics.filter((topic) => !topic.internal && !topic.dead_letters);
  const inRate = own.reduce((sum, topic) => sum + rate(`topic.records/${topic.name}`), 0);
  const inBytes = own.reduce((sum, topic) => sum + rate(`topic.bytes/${topic.name}`), 0);
  // Views are computed anew: their rows do not add up.
  const streaming = all.tables.filter((table) => table.kind !== VIEW);
  const outRate = streaming.reduce((sum, table) => sum + rate(`table.rows/${table.name}`), 0);
  const marks = all.flows.map((flow) => flow.watermark_wall_ms).filter((mark): mark is number => mark !== null);
  const far = progress(all.flows);
  const rowsIn = total((flow) => flow.rows_in);
  const [late, dead, stateRows, stateBytes] = [total((f) => f.late), total((f) => f.dead), total((f) => f.state_rows), total((f) => f.state_bytes)];
  const letters = all.topics.find((topic) => topic.dead_letters);
  return (
    <div class="kpis">
      <Kpi
        label="Records in"
        value={perSecond(inRate)}
        unit="/s"
        note={`${bytes(inBytes)}/s`}
        points={summed(own.map((topic) => `topic.records/${topic.name}`))}
      />
      <Kpi
        label="Rows out"
        value={perSecond(outRate)}
        unit="/s"
        note={`${short(streaming.reduce((sum, table) => sum + table.rows_total, 0))} so far`}
        points={summed(streaming.map((table) => `table.rows/${table.name}`))}
      />
      <Kpi
        label="Watermark"
        value={marks.length > 0 ? eventTimeShort(Math.min(...marks)) : '–'}
        note={<span class={far.tone}>{far.text}</span>}
      />
      <Kpi label="State" value={short(stateRows)} unit={stateRows === 1 ? 'row' : 'rows'} note={bytes(stateBytes)} />
      <Kpi
        label={all.flows.length > 1 ? `Set aside by ${all.flows.length} flows` : 'Set aside'}
        value={short(late)}
        unit="late"
        tone={late > 0 ? 'late' : ''}
        also={{ value: short(dead), unit: 'dead', tone: dead > 0 ? 'dead' : '' }}
        note={
          <>
            of {short(rowsIn)} read
            {letters && letters.records_kept > 0 && (
              <>
                {' '}
                · <a href={href('topics', letters.name)}>dead letters</a>
              </>
            )}
          </>
        }
      />
    </div>
  );
}

function TableBlock({ table, featured = false }: { table: Table; featured?: boolean }) {
  const [ref, seen] = useSeen<HTMLDivElement>();
  const [chart, setChart] = useState<Chart | null>(null);
  const view = table.kind === VIEW;
  const lines = featured ? 8 : 5;
  const { data } = useRows(table.name, view ? VIEW_ROWS : lines, `${table.rows_total}.${table.version}`, seen);
  const rows = data && (view ? first(data, lines, chart) : data);
  return (
    <Card
      className={featured ? 'featured' : ''}
      title={<a href={href('tables', table.name)}>{table.name}</a>}
      aside={
        <>
          {counted(table.rows_total, 'row', true)}
          {rate(`table.rows/${table.name}`) > 0 && <b> · {perSecond(rate(`table.rows/${table.name}`))}/s</b>}
        </>
      }
    >
      <div class="table-block" ref={ref}>
        <TableChart table={table} height={featured ? 300 : 220} onChart={setChart} />
        {rows && rows.rows.length > 0 && <RowsTable rows={rows} label={`${view ? 'Rows' : 'Newest rows'} of ${table.name}`} />}
      </div>
    </Card>
  );
}

const VIEW = 'materialized view';
/** Rows of a view that are put in the order of its bars. */
const VIEW_ROWS = 500;

/** The first rows of a view; under bars those that the bars show, in their order. */
function first(rows: Rows, lines: number, chart: Chart | null): Rows {
  const y = chart?.kind === 'bar' && rows.rows.length < VIEW_ROWS ? rows.columns.findIndex((column) => column.name === chart.y) : -1;
  const sorted = y < 0 ? rows.rows : rows.rows.toSorted((a, b) => Number(b[y] ?? 0) - Number(a[y] ?? 0));
  return { ...rows, rows: sorted.slice(0, lines) };
}

export function Topics({ topics }: { topics: Topic[] }) {
  const shown = topics.filter((topic) => !topic.internal || showInternal.value);
  const internal = topics.some((topic) => topic.internal);
  return (
    <Card
      title="Topics"
      aside={
        internal && (
          <button type="button" class="link" aria-pressed={showInternal.value} onClick={() => (showInternal.value = !showInternal.value)}>
            {showInternal.value ? 'hide internal' : 'show internal'}
          </button>
        )
      }
    >
      <ul class="topic-list">
        {shown.map((topic) => (
          <li key={topic.name}><a class="topic-row" href={href('topics', topic.name)}>
            <span class="topic-name">
              <b class={topic.dead_letters && topic.records_kept > 0 ? 'dead' : ''}>{topic.name}</b>
              <small>
                {topic.feed ?? `${topic.partitions} ${topic.partitions === 1 ? 'partition' : 'partitions'}`}
              </small>
            </span>
            <Sparkline points={points(`topic.records/${topic.name}`)} width={96} height={26} label={`Records a second of ${topic.name}`} />
            <span class="topic-rate">
              <b>
                {perSecond(rate(`topic.records/${topic.name}`))}
                <small>/s</small>
              </b>
              <small>{bytes(rate(`topic.bytes/${topic.name}`))}/s</small>
            </span>
            <span class="topic-total" title="Records kept">
              <b>{short(topic.records_kept)}</b>
              <small>{bytes(topic.bytes_kept)}</small>
            </span>
          </a></li>
        ))}
        {shown.length === 0 && <li class="nothing">No topics yet.</li>}
      </ul>
    </Card>
  );
}
