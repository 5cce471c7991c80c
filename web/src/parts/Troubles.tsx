/** What has stopped, waits or goes wrong, and where to look. */

import type { ComponentChildren } from 'preact';
import { useRecords } from '../data/ask';
import { count, eventTimeShort } from '../data/format';
import { lastMinute, snapshot } from '../data/live';
import type { Flow, Overview, Topic, TopicRecord } from '../data/model';
import { href } from '../data/route';
import { Notice } from './Bits';

type Section = 'flows' | 'tables' | 'topics';

/** All of them; with `about`, those of these things. */
export function Troubles({ all, about }: { all: Overview; about?: [Section, string][] }) {
  const wanted = (section: string | null, name: string | null) => !about || about.some((one) => one[0] === section && one[1] === name);
  const letters = all.topics.find((topic) => topic.dead_letters);
  return (
    <>
      {all.problems
        .filter(({ section, name }) => wanted(section, name))
        .map(({ section, name, bad, text }) => (
          <Notice key={`${section}/${name}/${bad}`} tone={bad ? 'bad' : 'waits'}>
            {section && name ? <a href={href(section, name)}>{name}</a> : ''}
            {section && name ? ` ${text}` : text}
          </Notice>
        ))}
      {all.flows.filter((flow) => wanted('flows', flow.name)).map((flow) => <Losses key={flow.name} flow={flow} letters={letters} />)}
    </>
  );
}

/** Fewer rows than this in a minute say nothing. */
const ROWS_MIN = 20;

/** A flow that loses most of its rows is likely to be wrong itself. */
function Losses({ flow, letters }: { flow: Flow; letters?: Topic }) {
  const [read, dead, late] = [lastMinute(`flow.in/${flow.name}`), lastMinute(`flow.dead/${flow.name}`), lastMinute(`flow.late/${flow.name}`)];
  if (read < ROWS_MIN || 2 * (dead + late) < read) return null;
  const share = (rows: number) => `${count(Math.min(rows, read))} of ${count(read)} rows of the last minute`;
  const at = <a href={href('flows', flow.name)}>{flow.name}</a>;
  if (dead >= late) {
    return (
      <Notice>
        {at} set aside {share(dead)} as dead letters. {letters && <Reason flow={flow} letters={letters} />}
      </Notice>
    );
  }
  return (
    <Notice>
      {at} dropped {share(late)} as late: their times are before its watermark
      {flow.watermark_wall_ms !== null && `, ${eventTimeShort(flow.watermark_wall_ms)}`}. Look at the delay of the watermark in {flow.file}:{flow.line}, and
      for records whose time is in the future.
    </Notice>
  );
}

/** What most of the newest dead letters of a flow say. */
function Reason({ flow, letters }: { flow: Flow; letters: Topic }) {
  const { data } = useRecords(letters.name, 200, Math.floor((snapshot.value?.now_ms ?? 0) / 10_000));
  const seen = new Map<string, { times: number; message: string }>();
  for (const record of data ?? []) {
    if (headerOf(record, 'flow') !== flow.name) continue;
    const kind = headerOf(record, 'error.class') ?? '';
    const known = seen.get(kind);
    seen.set(kind, { times: (known?.times ?? 0) + 1, message: known?.message ?? headerOf(record, 'error.message') ?? kind });
  }
  const most = [...seen.values()].sort((a, b) => b.times - a.times)[0];
  const where: ComponentChildren = <a href={href('topics', letters.name)}>Read them</a>;
  return (
    <>
      {most && `${seen.size > 1 ? 'Most often' : 'Each time'}: ${shortened(most.message)} `}
      {where}, and look at {flow.file}:{flow.line}.
    </>
  );
}

function headerOf(record: TopicRecord, wanted: string): string | undefined {
  return record.headers.find(([name]) => name === wanted)?.[1]?.text;
}

function shortened(text: string): string {
  const whole = text.length > 180 ? `${text.slice(0, 180)}…` : text;
  return /[.…!?]$/.test(whole) ? whole : `${whole}.`;
}
