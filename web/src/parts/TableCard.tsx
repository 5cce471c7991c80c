/** A table's chart, chosen by the server from the rows, with the columns a person may choose instead. */

import { useState } from 'preact/hooks';
import { BarChart } from '../charts/BarChart';
import { LineChart } from '../charts/LineChart';
import { useSeen } from '../charts/hooks';
import { useChart, type Wish } from '../data/ask';
import { count, eventTime, span } from '../data/format';
import type { Chart, Table } from '../data/model';

export function TableChart({ table, height, choices = false }: { table: Table; height?: number; choices?: boolean }) {
  const [wish, setWish] = useState<Wish>({});
  const [ref, seen] = useSeen<HTMLDivElement>();
  const { data: chart, error } = useChart(table.name, wish, `${table.rows_total}.${table.version}`, seen);
  return (
    <div class="table-chart" ref={ref}>
      {chart && choices && chart.rows > 0 && <Choices chart={chart} wish={wish} setWish={setWish} />}
      {chart && !choices && chart.kind !== 'none' && <p class="chart-title">{titleOf(chart)}</p>}
      {chart ? <Drawn chart={chart} table={table} height={height} /> : <div class="waiting" style={{ height: `${height ?? 260}px` }}>{error}</div>}
    </div>
  );
}

function Drawn({ chart, table, height }: { chart: Chart; table: Table; height?: number }) {
  const label = `${table.name}: ${titleOf(chart)}`;
  if (chart.kind === 'line') return <LineChart series={chart.series} height={height} label={`Line chart. ${label}`} measure={chart.y ?? 'rows'} />;
  if (chart.kind === 'bar') return <BarChart series={chart.series} label={`Bar chart. ${label}`} />;
  return (
    <div class="waiting" style={{ height: `${height ?? 260}px` }}>
      {table.rows_total === 0 ? 'Rows appear here as soon as the first window closes.' : 'Nothing in these rows that a chart would tell better.'}
    </div>
  );
}

function titleOf(chart: Chart): string {
  const parts = [chart.y ? `${chart.fold === 'mean' && !/mean|avg|average/i.test(chart.y) ? 'mean ' : ''}${chart.y}` : 'rows'];
  if (chart.by) parts.push(`by ${chart.by}`);
  if (chart.bucket_ms) parts.push(`per ${span(chart.bucket_ms)}`);
  if (chart.at_ms !== null) parts.push(`at ${eventTime(chart.at_ms)}`);
  if (chart.by && chart.keys_total > chart.series.length) parts.push(`· the busiest ${chart.series.length} of ${count(chart.keys_total)}`);
  return parts.join(' ');
}

function Choices({ chart, wish, setWish }: { chart: Chart; wish: Wish; setWish: (wish: Wish) => void }) {
  return (
    <div class="choices">
      <Choice label="Show" value={chart.y} choices={chart.choices_y} onChoice={(y) => setWish({ ...wish, y })} />
      <Choice label="by" value={chart.by ?? ''} choices={chart.choices_by} none="nothing" onChoice={(by) => setWish({ ...wish, by })} />
      <Choice label="over" value={chart.x} choices={chart.choices_x} onChoice={(x) => setWish({ ...wish, x })} />
      <span class="hint">{titleOf(chart)}</span>
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
