/** Small line icons, drawn here so that the page needs no font and no CDN. */

const PATHS = {
  topic: 'M3 4.5h10M3 8h10M3 11.5h6',
  table: 'M2.5 3.5h11v9h-11zM2.500 6.500h11M6.500 6.500v6',
  folder: 'M2.500 12.500v-9h4l1.500 2h5.500v7z',
  file: 'M4 2.500h5l3 3v8H4zM9 2.500v3h3',
  alert: 'M8 2.500 14 13H2zM8 6.500v3M8 11.200v.1',
  decode: 'M5.500 4 2.500 8l3 4M10.500 4l3 4-3 4',
  filter: 'M2.500 3.500h11L9.500 8.500v4l-3-1.500V8.500z',
  project: 'M3 8h7M7.500 5 11 8l-3.500 3M13 4v8',
  clock: 'M8 2.500a5.500 5.500 0 1 0 0 11 5.500 5.500 0 0 0 0-11M8 5v3.200l2 1.300',
  state: 'M3 4.500c0-1 2.200-1.700 5-1.700s5 .7 5 1.700v7c0 1-2.200 1.700-5 1.700s-5-.7-5-1.700zM3 4.500c0 1 2.200 1.700 5 1.700s5-.7 5-1.700M3 8c0 1 2.200 1.700 5 1.700s5-.7 5-1.700',
  sum: 'M11.500 4.500v-1h-7L8 8l-3.500 4.500h7v-1',
  join: 'M6 4.500a3.500 3.500 0 1 0 0 7 3.500 3.500 0 0 0 0-7M10 4.500a3.500 3.500 0 1 1 0 7 3.500 3.500 0 0 1 0-7',
  union: 'M3 4c5 0 4 4 10 4M3 12c5 0 4-4 10-4',
  flow: 'M2.500 5.500c2.500-2.500 4-2.500 5.500 0s3 2.500 5.500 0M2.500 10.500c2.500-2.500 4-2.500 5.500 0s3 2.500 5.500 0',
  home: 'M2.500 8 8 3l5.500 5M4.500 6.500v6.500h7V6.500',
  search: 'M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8M10 10l3.500 3.500',
  sun: 'M8 5.300a2.700 2.700 0 1 0 0 5.400 2.700 2.700 0 0 0 0-5.400M8 1.500v1.300M8 13.200v1.300M1.500 8h1.300M13.200 8h1.300M3.400 3.400l.9.9M11.700 11.700l.9.9M12.600 3.400l-.9.9M4.300 11.700l-.9.9',
  moon: 'M13 9.700A5.500 5.500 0 0 1 6.300 3 5.500 5.500 0 1 0 13 9.700z',
  help: 'M6 6.200a2 2 0 1 1 2.800 1.900c-.6.300-.8.700-.8 1.300M8 11.700v.1',
  copy: 'M5.500 5.500h7v8h-7zM3.500 10.500v-8h7',
  check: 'M3 8.500 6.500 12 13 4.500',
  pause: 'M5.500 4v8M10.500 4v8',
  play: 'M5 3.500v9l7-4.500z',
  back: 'M9.500 3.500 5 8l4.500 4.500',
  down: 'M4 6l4 4 4-4',
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}

/** The icon of an operator; unknown ones look like a projection. */
export function iconOfStep(kind: string): IconName {
  const known: Record<string, IconName> = {
    source: 'topic',
    scan: 'topic',
    decode: 'decode',
    filter: 'filter',
    project: 'project',
    watermark: 'clock',
    window: 'sum',
    aggregate: 'sum',
    distinct: 'sum',
    dedup: 'sum',
    join: 'join',
    union: 'union',
    flow: 'flow',
  };
  return known[kind.toLowerCase()] ?? 'project';
}
