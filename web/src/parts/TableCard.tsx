/** A table's chart, chosen by the server from the rows, with the columns a person may choose instead. */

import { useEffect, useState } from 'preact/hooks';
import { BarChart } from '../charts/BarChart';
import { LineChart } from '../charts/LineChart';
import { useSeen } from '../charts/hooks';
import { useChart, type Wish } from '../data/ask';
import { count, eventTime, span } from '../data/format';
import { overview } from '../data/live';
import type { Chart, Table } from '../data/model';

interface Props {
  table: Table;
  height?: number;
  choices?: boolean;
  /** Is told what is drawn. */
  onChart?: (chart: Chart) => void;
}

export function TableChart({ table, height, choices = false, onChart }: Props) {
  const [wish, setWish] = useState<Wish>({});
  const [ref, seen] = useSeen<HTMLDivElement>();
  const { data: chart, error } = useChart(table.name, wish, `${table.rows_total}.${table.version}`, seen);
  useEffect(() => {
    if (chart) onChart?.(chart);
  }, [chart]);
  return (
    <div class="table-chart" ref={ref}>
      {chart && choices && chart.rows > 0 && <Choices chart={chart} table={table} wish={wish} setWish={setWish} />}
      {chart && !choices && chart.kind !== 'none' && <p class="chart-title">{titleOf(chart, table)}</p>}
      {chart ? <Drawn chart={chart} table={table} height={height} /> : <div class="waiting" style={{ height: `${height ?? 260}px` }}>{error}</div>}
    </div>
  );
}

function Drawn({ chart, table, height }: { chart: Chart; table: Table; height?: number }) {
  const label = `${table.name}: ${titleOf(chart, table)}`;
  if (chart.kind === 'line') return <LineChart series={chart.series} height={height} label={`Line chart. ${label}`} measure={chart.y ?? 'rows'} />;
  if (chart.kind === 'bar') return <BarChart series={chart.series} label={`Bar chart. ${label}`} />;
  return (
    <div class="waiting" style={{ height: `${height ?? 260}px` }}>
      {table.rows_total === 0 ? whyEmpty(table) : 'Nothing in these rows that a chart would tell better.'}
    </div>
  );
}

/** What rows of an empty table wait for. */
function whyEmpty(table: Table): string {
  if (table.kind === 'materialized view') return 'Rows appear here once it has been computed from some.';
  const flows = overview.value?.flows.filter((flow) => flow.target === table.name) ?? [];
  if (flows.some((flow) => flow.status === 'failed')) return 'No rows yet: its flow has stopped.';
  if (flows.some((flow) => flow.status === 'waiting')) return 'No rows yet: its flow waits.';
  const windows = flows.some((flow) => flow.steps.some((step) => step.kind === 'window'));
  return windows ? 'Rows appear here as soon as the first window closes.' : 'Rows appear here as soon as there are some.';
}

function titleOf(chart: Chart, table: Table): string {
  const parts = [chart.y ? `${chart.fold === 'mean' && !/mean|avg|average/i.test(chart.y) ? 'mean ' : ''}${chart.y}` : 'rows'];
  if (chart.by) parts.push(`by ${chart.by}`);
  if (chart.bucket_ms) parts.push(`per ${span(chart.bucket_ms)}`);
  if (chart.at_ms !== null) parts.push(`at ${eventTime(chart.at_ms)}`);
  if (chart.by && chart.keys_total > chart.series.length) parts.push(`· the busiest ${chart.series.length} of ${count(chart.keys_total)}`);
  if (chart.rows < chart.rows_total) parts.push(`· ${table.kind === 'materialized view' ? 'first' : 'newest'} ${count(chart.rows)} of ${count(chart.rows_total)} rows`);
  return parts.join(' ');
}

function Choices({ chart, table, wish, setWish }: { chart: Chart; table: Table; wish: Wish; setWish: (wish: Wish) => void }) {
  return (
    <div class="choices">
      <Choice label="Show" value={chart.y} choices={chart.choices_y} onChoice={(y) => setWish({ ...wish, y })} />
      <Choice label="by" value={chart.by ?? ''} choices={chart.choices_by} none="nothing" onChoice={(by) => setWish({ ...wish, by })} />
      <Choice label="over" value={chart.x} choices={chart.choices_x} onChoice={(x) => setWish({ ...wish, x })} />
      <span class="hint">{titleOf(chart, table)}</span>
    </div>
  );
}

interface ChoiceProps {
  label: string;
  value: string | null;
  choices: string[];
  none?: string;
  onChoice: (column: string) => void;
}

function Choice({ label, value, choices, none, onChoice }: ChoiceProps) {
  if (choices.length === 0) return null;
  return (
    <label class="choice">
      <span>{label}</span>
      <select value={value ?? ''} onChange={(event) => onChoice(event.currentTarget.value)}>
        {none !== undefined && <option value="">{none}</option>}
        {choices.map((column) => (
          <option key={column} value={column}>
            {column}
          </option>
        ))}
      </select>
    </label>
  );
}
