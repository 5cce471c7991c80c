/** A topic, a table, a flow: each on its own page; and the lists of them that a phone shows. */

import { GraphView } from '../charts/GraphView';
import { LineChart } from '../charts/LineChart';
import { useSeen } from '../charts/hooks';
import { useRows } from '../data/ask';
import { bytes, count, counted, eventTime, eventTimeShort, perSecond, short } from '../data/format';
import { points, rate, snapshot } from '../data/live';
import type { Flow, Overview, Series, Table, Topic } from '../data/model';
import { progress } from '../data/progress';
import { href } from '../data/route';
import { Card, Crumb, Kpi } from '../parts/Bits';
import { CopyButton, Sql } from '../parts/Code';
import { Records } from '../parts/Records';
import { RowsTable } from '../parts/RowsTable';
import { TableChart } from '../parts/TableCard';
import { Troubles } from '../parts/Troubles';
import { Topics } from './Overview';

export function TopicView({ topic, all }: { topic: Topic; all: Overview }) {
  const records = `topic.records/${topic.name}`;
  const size = topic.records_kept > 0 ? topic.bytes_kept / topic.records_kept : 0;
  return (
    <div class="view">
      <Crumb section="topics" label="Topics" />
      <div class="view-head">
        <h1>{topic.name}</h1>
        <p class="lede">
          {topic.dead_letters
            ? 'What flows could not process, each with its reason. Nothing is lost: the original value is here.'
            : (topic.feed ?? (
                <span class="mono">
                  kcat -b {all.kafka_address} -t {topic.name} -C{' '}
                  <CopyButton text={`kcat -b ${all.kafka_address} -t ${topic.name} -C`} label="Copy this command" />
                </span>
              ))}
        </p>
      </div>
      <Troubles all={all} about={[['topics', topic.name]]} />
      <div class="kpis">
        <Kpi label="Records in" value={perSecond(rate(records))} unit="/s" points={points(records)} note={`${bytes(rate(`topic.bytes/${topic.name}`))}/s`} />
        <Kpi label="Records kept" value={short(topic.records_kept)} note={`${count(topic.records_total)} came since the start`} />
        <Kpi label="Bytes kept" value={bytes(topic.bytes_kept)} note={size > 0 ? `${bytes(size)} a record` : ''} />
        <Kpi label="Partitions" value={count(topic.partitions)} note={topic.relaxed ? 'relaxed: synced after it is seen' : 'synced before seen'} />
      </div>
      <Card title="Records a second" aside="last five minutes, your local time">
        <LineChart series={[minutes(records)]} height={180} measure="records/s" label={`Line chart: records a second of ${topic.name}`} />
      </Card>
      <Card title="Newest records" aside="your local time">
        <Records topic={topic} key={topic.name} />
      </Card>
    </div>
  );
}

/** Points of a series as a line over the last minutes. */
function minutes(name: string): Series {
  const now = Math.floor((snapshot.value?.now_ms ?? 0) / 1000) * 1000;
  const all = points(name);
  const local = new Date(now).getTimezoneOffset() * 60_000;
  const place = (i: number): [number, number] => {
    const recent = all.slice(Math.max(0, i - 2), i + 1);
    return [now - local - (all.length - 1 - i) * 1000, recent.reduce((sum, value) => sum + value, 0) / recent.length];
  };
  return { key: '', points: all.map((_, i) => place(i)) };
}

export function TableView({ table, all }: { table: Table; all: Overview }) {
  const [ref, seen] = useSeen<HTMLDivElement>();
  const { data, error } = useRows(table.name, 100, `${table.rows_total}.${table.version}`, seen);
  const flows = all.flows.filter((flow) => flow.target === table.name);
  const view = table.kind === 'materialized view';
  const series = `table.rows/${table.name}`;
  return (
    <div class="view">
      <Crumb section="tables" label="Tables" />
      <div class="view-head">
        <h1>{table.name}</h1>
        <p class="lede">
          {table.kind}
          {table.folder && (
            <>
              {' '}
              · <span class="mono">{table.folder}</span> <CopyButton text={table.folder} label="Copy the folder" />
            </>
          )}
          {table.topic && (
            <>
              {' '}
              · also to topic <a href={href('topics', table.topic)}>{table.topic}</a>
            </>
          )}
        </p>
      </div>
      <Troubles all={all} about={[['tables', table.name], ...flows.map((flow): ['flows', string] => ['flows', flow.name])]} />
      <div class="kpis">
        <Kpi label="Rows" value={count(table.rows_total)} note={view ? 'as it is now' : 'since it began'} />
        {!view && <Kpi label="Rows in" value={perSecond(rate(series))} unit="/s" points={points(series)} />}
        {table.folder && <Kpi label="Files" value={count(table.files)} note={table.format} />}
        {view ? (
          <Kpi label="Computed from" value={counted(table.reads.length, 'source')} note={table.reads.map((read) => read.slice(read.indexOf(':') + 1)).join(', ')} />
        ) : (
          <Kpi
            label={flows.length === 1 ? 'Flow' : 'Flows'}
            value={flows.length === 1 ? flows[0]!.status : count(flows.length)}
            note={flows.map((flow, i) => [i > 0 && ', ', <a href={href('flows', flow.name)}>{flow.name}</a>])}
          />
        )}
      </div>
      <Card title="Chart">
        <TableChart table={table} height={360} choices key={table.name} />
      </Card>
      <Card title={view ? 'Rows' : 'Newest rows'}>
        <div ref={ref}>
          {error && <p class="nothing">{error}</p>}
          {data && <RowsTable rows={data} total={table.rows_total} cut={view ? 'first' : 'newest'} label={`${view ? 'Rows' : 'Newest rows'} of ${table.name}`} />}
        </div>
      </Card>
      <Card title="Columns">
        <dl class="columns">
          {table.schema.map((column) => (
            <div key={column.name}>
              <dt>{column.name}</dt>
              <dd>{column.type}</dd>
            </div>
          ))}
        </dl>
      </Card>
    </div>
  );
}

export function FlowView({ flow, all }: { flow: Flow; all: Overview }) {
  const far = progress([flow]);
  return (
    <div class="view">
      <Crumb section="flows" label="Flows" />
      <div class="view-head">
        <h1>{flow.name}</h1>
        <p class="lede">
          <span class={`badge ${flow.status}`}>{flow.status}</span> into <a href={href('tables', flow.target)}>{flow.target}</a> ·{' '}
          <span class="mono">
            {flow.file}:{flow.line}
          </span>
        </p>
      </div>
      <Troubles all={all} about={[['flows', flow.name]]} />
      <div class="kpis">
        <Kpi label="Rows in" value={perSecond(rate(`flow.in/${flow.name}`))} unit="/s" points={points(`flow.in/${flow.name}`)} note={`${short(flow.rows_in)} so far`} />
        <Kpi label="Rows out" value={perSecond(rate(`flow.out/${flow.name}`))} unit="/s" points={points(`flow.out/${flow.name}`)} note={`${short(flow.rows_out)} so far`} />
        <Kpi
          label="Watermark"
          value={flow.watermark_wall_ms === null ? '–' : eventTimeShort(flow.watermark_wall_ms)}
          note={<span class={far.tone}>{far.text}</span>}
        />
        <Kpi label="State" value={short(flow.state_rows)} unit={flow.state_rows === 1 ? 'row' : 'rows'} note={bytes(flow.state_bytes)} />
        <Kpi
          label="Set aside"
          value={short(flow.late)}
          unit="late"
          tone={flow.late > 0 ? 'late' : ''}
          also={{ value: short(flow.dead), unit: 'dead', tone: flow.dead > 0 ? 'dead' : '' }}
          note={`of ${short(flow.rows_in)} read`}
        />
      </div>
      <Card title="Steps" className="pipeline">
        <GraphView overview={all} flow={flow.name} />
      </Card>
      <Card title="Numbers of each step" aside="since the start">
        <div class="scroll" tabIndex={0} role="region" aria-label="Numbers of each step">
          <table class="rows">
            <thead>
              <tr>
                <th scope="col">step</th>
                <th scope="col">what</th>
                {['in/s', 'out/s', 'rows in', 'rows out', 'late', 'dead', 'state rows', 'state'].map((name) => (
                  <th scope="col" class="num" key={name}>
                    {name}
                  </th>
                ))}
                <th scope="col">watermark</th>
              </tr>
            </thead>
            <tbody>
              {flow.steps.map((step) => (
                <tr key={step.id}>
                  <td>{step.kind}</td>
                  <td>{step.label}</td>
                  <td class="num">{perSecond(rate(`step.in/${flow.name}/${step.id}`))}</td>
                  <td class="num">{perSecond(rate(`step.out/${flow.name}/${step.id}`))}</td>
                  <td class="num">{count(step.rows_in)}</td>
                  <td class="num">{count(step.rows_out)}</td>
                  <td class="num">{count(step.late)}</td>
                  <td class="num">{count(step.dead)}</td>
                  <td class="num">{count(step.state_rows)}</td>
                  <td class="num">{bytes(step.state_bytes)}</td>
                  <td>{step.watermark_wall_ms === null ? '' : eventTime(step.watermark_wall_ms)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
      <Card title="SQL" aside={`epoch ${count(flow.epoch)}`}>
        <Sql text={flow.sql} />
      </Card>
    </div>
  );
}

export function TableList({ all }: { all: Overview }) {
  return (
    <div class="view">
      <div class="view-head">
        <h1>Tables</h1>
      </div>
      {all.tables.length === 0 && <p class="nothing big">No tables: a project makes them.</p>}
      {all.tables.map((table) => (
        <Card key={table.name} title={<a href={href('tables', table.name)}>{table.name}</a>} aside={counted(table.rows_total, 'row', true)}>
          <TableChart table={table} height={220} />
        </Card>
      ))}
    </div>
  );
}

export function TopicList({ all }: { all: Overview }) {
  return (
    <div class="view">
      <div class="view-head">
        <h1>Topics</h1>
      </div>
      <Topics topics={all.topics} />
    </div>
  );
}

export function FlowList({ all }: { all: Overview }) {
  return (
    <div class="view">
      <div class="view-head">
        <h1>Flows</h1>
      </div>
      <Troubles all={all} />
      {all.flows.length === 0 && <p class="nothing big">No flows: a project makes them.</p>}
      {all.flows.map((flow) => (
        <Card
          key={flow.name}
          title={<a href={href('flows', flow.name)}>{flow.name}</a>}
          aside={<span class={`badge ${flow.status}`}>{flow.status}</span>}
          className="pipeline"
        >
          <GraphView overview={all} flow={flow.name} />
        </Card>
      ))}
    </div>
  );
}
