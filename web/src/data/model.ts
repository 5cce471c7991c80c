/** What the console's API answers with; the Rust side is `crates/console/src/{model,sampler,chart,text}.rs`. */

export interface Snapshot {
  sequence: number;
  now_ms: number;
  overview: Overview;
  /** Smoothed rates per second by series name; a series at rest is left out. */
  rates: Record<string, number>;
  /** Newest point by series name, likewise. */
  newest: Record<string, number>;
}

export interface Overview {
  version: string;
  started_at_ms: number;
  project: string | null;
  kafka_address: string;
  http_address: string;
  data_dir: string;
  data_bytes: number | null;
  free_bytes: number | null;
  memory_bytes: number;
  zone: string;
  problems: Problem[];
  topics: Topic[];
  flows: Flow[];
  tables: Table[];
}

export interface Problem {
  bad: boolean;
  section: 'flows' | 'tables' | 'topics' | null;
  name: string | null;
  text: string;
}

export interface Topic {
  name: string;
  partitions: number;
  records_total: number;
  bytes_total: number;
  records_kept: number;
  bytes_kept: number;
  relaxed: boolean;
  internal: boolean;
  dead_letters: boolean;
  feed: string | null;
}

export interface Flow {
  name: string;
  target: string;
  status: 'starting' | 'running' | 'waiting' | 'failed' | 'finished';
  waiting: string | null;
  epoch: number;
  rows_in: number;
  rows_out: number;
  late: number;
  dead: number;
  lag: number | null;
  watermark_wall_ms: number | null;
  state_rows: number;
  state_bytes: number;
  steps: Step[];
  sql: string;
  file: string;
  line: number;
}

export interface Step {
  id: string;
  kind: string;
  label: string;
  inputs: string[];
  rows_in: number;
  rows_out: number;
  late: number;
  dead: number;
  state_rows: number;
  state_bytes: number;
  watermark_wall_ms: number | null;
}

export interface Table {
  name: string;
  kind: string;
  format: string;
  folder: string | null;
  topic: string | null;
  reads: string[];
  schema: Column[];
  rows_total: number;
  files: number;
  waiting: string | null;
  version: number;
}

export interface Column {
  name: string;
  type: string;
}

export type Value = string | number | boolean | null | Value[] | { [field: string]: Value };

export interface Rows {
  columns: Column[];
  rows: Value[][];
}

export interface Shown {
  text: string;
  kind: 'json' | 'text' | 'binary';
  bytes: number;
  cut: boolean;
}

export interface TopicRecord {
  partition: number;
  offset: number;
  timestamp_ms: number;
  key: Shown | null;
  value: Shown | null;
  headers: [string, Shown | null][];
}

export interface Chart {
  kind: 'line' | 'bar' | 'none';
  x: string | null;
  y: string | null;
  by: string | null;
  fold: 'sum' | 'mean';
  bucket_ms: number | null;
  at_ms: number | null;
  series: Series[];
  keys_total: number;
  rows: number;
  rows_total: number;
  choices_x: string[];
  choices_y: string[];
  choices_by: string[];
}

export interface Series {
  key: string;
  points: [number, number][];
}

export interface Past {
  sequence: number;
  step_ms: number;
  series: Record<string, number[]>;
}
