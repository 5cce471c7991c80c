/** Rows of a table, newest first; rows that were not there a moment ago glow and fade. */

import { useRef } from 'preact/hooks';
import { count, exact } from '../data/format';
import type { Rows, Value } from '../data/model';

interface Props {
  rows: Rows;
  label: string;
  /** How many there are. */
  total?: number;
  /** Which of them these are. */
  cut?: 'newest' | 'first';
}

export function RowsTable({ rows, label, total, cut = 'newest' }: Props) {
  const fresh = useFresh(rows.rows);
  const numeric = rows.columns.map((_, i) => rows.rows.some((row) => typeof row[i] === 'number') && !rows.rows.some((row) => typeof row[i] === 'string'));
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="rows">
        <thead>
          <tr>
            {rows.columns.map((column, i) => (
              <th key={column.name} class={numeric[i] ? 'num' : ''} scope="col" title={column.type}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.rows.map((row, i) => (
            <tr key={fresh.keys[i]} class={fresh.isNew(i) ? 'fresh' : ''}>
              {row.map((value, j) => (
                <td key={j} class={numeric[j] ? 'num' : ''}>
                  <Cell value={value} plain={isName(rows.columns[j]!.name)} time={rows.columns[j]!.type.startsWith('timestamp')} />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      {rows.rows.length === 0 && <p class="nothing">No rows yet.</p>}
      {total !== undefined && rows.rows.length < total && rows.rows.length > 0 && (
        <p class="more">
          the {cut} {count(rows.rows.length)} of {count(total)} rows
        </p>
      )}
    </div>
  );
}

/** Numbers that name a thing are not grouped by thousands. */
function isName(column: string): boolean {
  return column.toLowerCase().split(/[^a-z0-9]+/).some((word) => ['id', 'code', 'zip', 'year', 'number', 'key'].includes(word));
}

/** A timestamp as it is read: in the pipeline's zone, which the page names once. */
function instant(text: string): string {
  return text.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:?\d\d)?$/, (_, date, clock, fraction = '') => `${date} ${clock}${/^\.0*$/.test(fraction) ? '' : fraction}`);
}

function Cell({ value, plain, time }: { value: Value | undefined; plain: boolean; time: boolean }) {
  if (value === null || value === undefined) return <i class="null">null</i>;
  if (typeof value === 'number') return <>{plain ? value : exact(value)}</>;
  if (typeof value === 'string') return <>{time ? instant(value) : value}</>;
  if (typeof value === 'object' && !Array.isArray(value) && 'start' in value && 'end' in value) {
    return (
      <>
        {instant(String(value.start))} – {instant(String(value.end))}
      </>
    );
  }
  return <>{JSON.stringify(value)}</>;
}

/** Keys that stay with a row as others push it down, and which rows came with the last answer. */
function useFresh(rows: Value[][]) {
  const state = useRef<{ rows: Value[][]; keys: string[]; before: Set<string> | null; known: Set<string> }>({
    rows: [],
    keys: [],
    before: null,
    known: new Set(),
  });
  const last = state.current;
  if (last.rows !== rows) {
    const times = new Map<string, number>();
    // Equal rows are told apart from the oldest up, so that a new one gets a new key.
    const keys = rows
      .toReversed()
      .map((row) => {
        const text = JSON.stringify(row);
        const n = (times.get(text) ?? 0) + 1;
        times.set(text, n);
        return `${n}${text}`;
      })
      .reverse();
    state.current = { rows, keys, before: last.rows.length > 0 ? last.known : null, known: new Set(keys) };
  }
  const { keys, before } = state.current;
  return { keys, isNew: (i: number) => before !== null && !before.has(keys[i]!) };
}
