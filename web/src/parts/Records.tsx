/** Newest records of a topic: a list to walk with the arrow keys, each record to open with Enter. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { useRecords } from '../data/ask';
import { bytes, count, wallTime } from '../data/format';
import { snapshot } from '../data/live';
import type { Shown, Topic, TopicRecord } from '../data/model';
import { useSeen } from '../charts/hooks';
import { Icon } from './Icon';

const idOf = (record: TopicRecord) => `${record.partition}:${record.offset}`;

export function Records({ topic, limit = 100, compact = false }: { topic: Topic; limit?: number; compact?: boolean }) {
  const [paused, setPaused] = useState(false);
  const [filter, setFilter] = useState('');
  const [open, setOpen] = useState<TopicRecord | null>(null);
  const [ref, seen] = useSeen<HTMLDivElement>();
  const { data, error } = useRecords(topic.name, limit, `${topic.records_total}`, seen && !paused);
  const known = useRef<Set<string> | null>(null);
  const list = useRef<HTMLDivElement>(null);

  const wanted = filter.trim().toLowerCase();
  const records = (data ?? []).filter(
    (record) => wanted === '' || [record.key?.text, record.value?.text].some((text) => text?.toLowerCase().includes(wanted)),
  );
  const before = known.current;
  useEffect(() => {
    if (data) known.current = new Set(data.map(idOf));
  }, [data]);

  const onKey = (event: KeyboardEvent) => {
    const rows = [...(list.current?.querySelectorAll<HTMLElement>('.record-line') ?? [])];
    const at = rows.indexOf(document.activeElement as HTMLElement);
    const next = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (event.key === 'Escape' && open) setOpen(null);
    if (next === undefined || at < 0) return;
    event.preventDefault();
    rows[Math.max(0, Math.min(rows.length - 1, next))]?.focus();
  };
  // An opened record stays in sight though newer ones come.
  const shown = open && !records.some((record) => idOf(record) === idOf(open)) ? [open, ...records] : records;

  return (
    <div class={`records ${compact ? 'compact' : ''} ${topic.dead_letters ? 'reasons' : ''}`} ref={ref}>
      {!compact && (
        <div class="toolbar">
          <label class="field">
            <Icon name="search" />
            <input
              type="search"
              placeholder="Filter these records"
              aria-label="Filter these records"
              value={filter}
              onInput={(event) => setFilter(event.currentTarget.value)}
            />
          </label>
          <button type="button" class="button" aria-pressed={paused} onClick={() => setPaused(!paused)}>
            <Icon name={paused ? 'play' : 'pause'} />
            {paused ? 'Follow' : 'Pause'}
          </button>
          <span class="hint">
            {wanted ? `${count(records.length)} of ${count(data?.length ?? 0)} match` : `newest ${count(records.length)} of ${count(topic.records_kept)}`}
          </span>
        </div>
      )}
      {error && <p class="nothing">{error}</p>}
      {data?.length === 0 && <p class="nothing">No records yet.</p>}
      <div class="record-list" ref={list} onKeyDown={onKey} role="list" aria-label={`Newest records of ${topic.name}`}>
        {shown.map((record) => {
          const id = idOf(record);
          const opened = open !== null && idOf(open) === id;
          const why = topic.dead_letters ? reasonOf(record) : undefined;
          const fresh = before !== null && !before.has(id);
          return (
            <div class={`record ${opened ? 'opened' : ''} ${fresh ? 'fresh' : ''}`} role="listitem" key={id}>
              <button type="button" class="record-line" aria-expanded={opened} onClick={() => setOpen(opened ? null : record)}>
                <span class="record-at" title={`partition ${record.partition}, offset ${record.offset}`}>
                  <small>{record.partition}</small>
                  {count(record.offset)}
                </span>
                <time dateTime={new Date(record.timestamp_ms).toISOString()}>{wallTime(record.timestamp_ms)}</time>
                {!compact && (
                  <span class={`record-key ${why ? 'why' : ''}`} title={why}>
                    {why ?? record.key?.text ?? <i class="null">no key</i>}
                  </span>
                )}
                <span class="record-value">{record.value ? record.value.text : <i class="null">no value</i>}</span>
              </button>
              {opened && <Opened record={record} />}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function Opened({ record }: { record: TopicRecord }) {
  return (
    <div class="record-open">
      <dl>
        <dt>partition, offset</dt>
        <dd>
          {record.partition}, {count(record.offset)}
        </dd>
        <dt>time</dt>
        <dd>{new Date(record.timestamp_ms).toISOString().replace('T', ' ').replace('Z', ' UTC')}</dd>
        {record.key && (
          <>
            <dt>key</dt>
            <dd>{record.key.text}</dd>
          </>
        )}
        {record.headers.map(([name, value], i) => (
          <>
            <dt key={`t${i}`}>{name}</dt>
            <dd key={`d${i}`}>{value ? value.text : <i class="null">null</i>}</dd>
          </>
        ))}
        <dt>size</dt>
        <dd>{record.value ? `${bytes(record.value.bytes)}${record.value.cut ? ', the beginning is shown' : ''}` : 'no value'}</dd>
      </dl>
      {record.value && <pre tabIndex={0}>{pretty(record.value)}</pre>}
    </div>
  );
}

function pretty(shown: Shown): string {
  if (shown.kind !== 'json') return shown.text;
  try {
    return JSON.stringify(JSON.parse(shown.text), null, 2);
  } catch {
    return shown.text;
  }
}

/** Of a dead letter: what was wrong, from its headers. */
function reasonOf(record: TopicRecord): string | undefined {
  const header = (pattern: RegExp) => record.headers.find(([name]) => pattern.test(name))?.[1]?.text;
  return header(/message/i) ?? header(/class|error/i);
}

/** The busiest topic that is not internal. */
export function busiest(topics: Topic[]): Topic | undefined {
  const rates = snapshot.value?.rates ?? {};
  const rate = (topic: Topic) => rates[`topic.records/${topic.name}`] ?? 0;
  const own = topics.filter((topic) => !topic.internal && !topic.dead_letters);
  return own.toSorted((a, b) => rate(b) - rate(a) || b.records_total - a.records_total)[0];
}
