/** Everything at a glance: how fast, how far, what hangs, and the newest results. */

import { GraphView } from '../charts/GraphView';
import { Sparkline } from '../charts/Sparkline';
import { useSeen } from '../charts/hooks';
import { useRows } from '../data/ask';
import { bytes, count, eventTimeShort, perSecond, short, span } from '../data/format';
import { points, rate, snapshot, summed } from '../data/live';
import type { Flow, Overview as All, Table, Topic } from '../data/model';
import { href } from '../data/route';
import { showInternal } from '../data/settings';
import { Card, Kpi, Notice } from '../parts/Bits';
import { CopyButton } from '../parts/Code';
import { Records, busiest } from '../parts/Records';
import { RowsTable } from '../parts/RowsTable';
import { TableChart } from '../parts/TableCard';

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
          <Card title="Newest records" aside={<a href={href('topics', busy.name)}>{busy.name}</a>}>
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
        <dd>{all.durable ? 'synced before seen' : 'relaxed'}</dd>
      </div>
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

export function Troubles({ all }: { all: All }) {
  const hang = all.flows.filter((flow) => flow.status === 'waiting' || flow.status === 'failed');
  const behind = all.tables.filter((table) => table.waiting !== null);
  return (
    <>
      {all.problem && <Notice tone="bad">{all.problem}</Notice>}
      {hang.map((flow) => (
        <Notice key={flow.name} tone={flow.status === 'failed' ? 'bad' : 'waits'}>
          <a href={href('flows', flow.name)}>{flow.name}</a> {flow.status === 'failed' ? 'has stopped' : 'waits'}: {flow.waiting ?? 'no reason given'}
        </Notice>
      ))}
      {behind.map((table) => (
        <Notice key={table.name}>
          Files of <a href={href('tables', table.name)}>{table.name}</a> wait: {table.waiting}
        </Notice>
      ))}
    </>
  );
}

function Kpis({ all }: { all: All }) {
  const total = (field: (flow: Flow) => number) => all.flows.reduce((sum, flow) => sum + field(flow), 0);
  const own = all.topics.filter((topic) => !topic.internal && !topic.dead_letters);
  const inRate = own.reduce((sum, topic) => sum + rate(`topic.records/${topic.name}`), 0);
  const inBytes = own.reduce((sum, topic) => sum + rate(`topic.bytes/${topic.name}`), 0);
  const outRate = all.tables.reduce((sum, table) => sum + rate(`table.rows/${table.name}`), 0);
  const marks = all.flows.map((flow) => flow.watermark_us).filter((mark): mark is number => mark !== null);
  const lag = total((flow) => flow.lag ?? 0);
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
        note={`${short(all.tables.reduce((sum, table) => sum + table.rows_total, 0))} so far`}
        points={summed(all.tables.map((table) => `table.rows/${table.name}`))}
      />
      <Kpi
        label="Watermark"
        value={marks.length > 0 ? eventTimeShort(Math.min(...marks) / 1000) : '–'}
        note={lag > 200 ? `${short(lag)} records to read` : 'caught up'}
      />
      <Kpi label="State" value={short(stateRows)} unit="rows" note={bytes(stateBytes)} />
      <Kpi
        label="Set aside"
        value={short(late)}
        unit="late"
        tone={late > 0 ? 'late' : ''}
        also={{ value: short(dead), unit: 'dead', tone: dead > 0 ? 'dead' : '' }}
        note={letters && dead > 0 ? <a href={href('topics', letters.name)}>read the dead letters</a> : 'nothing lost'}
      />
    </div>
  );
}

function TableBlock({ table, featured = false }: { table: Table; featured?: boolean }) {
  const [ref, seen] = useSeen<HTMLDivElement>();
  const { data } = useRows(table.name, featured ? 8 : 5, `${table.rows_total}.${table.version}`, seen);
  return (
    <Card
      className={featured ? 'featured' : ''}
      title={<a href={href('tables', table.name)}>{table.name}</a>}
      aside={
        <>
          {count(table.rows_total)} rows
          {rate(`table.rows/${table.name}`) > 0 && <b> · {perSecond(rate(`table.rows/${table.name}`))}/s</b>}
        </>
      }
    >
      <div class="table-block" ref={ref}>
        <TableChart table={table} height={featured ? 300 : 220} />
        {data && data.rows.length > 0 && <RowsTable rows={data} label={`Newest rows of ${table.name}`} />}
      </div>
    </Card>
  );
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
              <b class={topic.dead_letters && topic.records_total > 0 ? 'dead' : ''}>{topic.name}</b>
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
            <span class="topic-total">
              <b>{short(topic.records_total)}</b>
              <small>{bytes(topic.bytes_total)}</small>
            </span>
          </a></li>
        ))}
        {shown.length === 0 && <li class="nothing">No topics yet.</li>}
      </ul>
    </Card>
  );
}
