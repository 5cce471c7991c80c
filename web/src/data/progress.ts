/** How far flows are, in a few words. */

import { short } from './format';
import { rate } from './live';
import type { Flow } from './model';

export interface Progress {
  text: string;
  tone: 'late' | 'dead' | '';
}

/** Says that flows have caught up only where that is known: all run, and what they have not read is what comes in within a second. */
export function progress(flows: Flow[]): Progress {
  const some = (status: Flow['status'], word: string, tone: Progress['tone']): Progress | null => {
    const n = flows.filter((flow) => flow.status === status).length;
    return n === 0 ? null : { text: flows.length === 1 ? word : `${n} of ${flows.length} flows ${word}`, tone };
  };
  const still = some('failed', 'stopped', 'dead') ?? some('waiting', 'waiting', 'late') ?? some('starting', 'starting', '');
  if (still) return still;
  if (flows.length === 0 || flows.some((flow) => flow.lag === null)) return { text: '', tone: '' };
  const unread = flows.reduce((sum, { name, lag }) => sum + (lag! > rate(`flow.in/${name}`) ? lag! : 0), 0);
  return { text: unread > 0 ? `${short(unread)} records to read` : 'caught up', tone: '' };
}
