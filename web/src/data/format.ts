/** Numbers, sizes and times for people. Event times come as the wall clock of the pipeline's zone and are shown as they stand in the rows;
 * times of this computer are shown in local time. */

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en-US', { maximumFractionDigits: 2 });

/** 1,234,567 */
export function count(value: number): string {
  return whole.format(value);
}

/** 1.2 M, 34.5 k, 812, 3.4 */
export function short(value: number): string {
  const size = Math.abs(value);
  for (const [unit, step] of [['B', 1e9], ['M', 1e6], ['k', 1e3]] as const) {
    const scaled = value / step;
    if (size >= step * 0.9995) return `${scaled.toFixed(Math.abs(scaled) >= 100 ? 0 : 1)} ${unit}`;
  }
  if (size >= 100 || Number.isInteger(value)) return whole.format(value);
  return size >= 10 ? value.toFixed(1) : fine.format(value);
}

/** A value on an axis: 80k, 2.5M, 0.2 */
export function tick(value: number): string {
  return short(value).replace(/\.0(?= |$)/, '').replace(' ', '');
}

/** 1 row, 2 rows, 42.8 k rows */
export function counted(value: number, one: string, exactly = false): string {
  return `${exactly ? count(value) : short(value)} ${value === 1 ? one : `${one}s`}`;
}

/** A rate: 892, 3.4, 0.2; a dash at rest. */
export function perSecond(value: number): string {
  if (value <= 0) return '0';
  return value >= 10_000 ? short(value) : value >= 10 ? whole.format(value) : value.toFixed(1);
}

/** 44.1 MB */
export function bytes(value: number): string {
  for (const [unit, step] of [['TB', 1e12], ['GB', 1e9], ['MB', 1e6], ['kB', 1e3]] as const) {
    if (value >= step * 0.9995) {
      const scaled = value / step;
      return `${scaled.toFixed(scaled >= 100 ? 0 : 1)} ${unit}`;
    }
  }
  return `${whole.format(value)} B`;
}

/** A value in a cell or a tooltip, in full. */
export function exact(value: number): string {
  return Number.isInteger(value) ? whole.format(value) : Math.abs(value) >= 1000 ? whole.format(value) : fine.format(value);
}

/** 4 s, 12 min, 3 h 20 min, 5 d 2 h */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return hours % 24 === 0 ? `${Math.floor(hours / 24)} d` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (n: number) => String(n).padStart(2, '0');

/** 6 Jun 2023 11:30[:05], of an event. */
export function eventTime(ms: number, seconds = false): string {
  const at = new Date(ms);
  const clock = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}${seconds ? `:${two(at.getUTCSeconds())}` : ''}`;
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()} ${clock}`;
}

/** 6 Jun 11:30, of an event. */
export function eventTimeShort(ms: number): string {
  const at = new Date(ms);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]} ${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
}

/** 11:30:05.123, local. */
export function wallTime(ms: number): string {
  const at = new Date(ms);
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** A label of an axis of event times whose ticks are `stepMs` apart. */
export function tickTime(ms: number, stepMs: number): string {
  const at = new Date(ms);
  const midnight = ms % 86_400_000 === 0;
  if (stepMs >= 360 * 86_400_000) return String(at.getUTCFullYear());
  if (stepMs >= 28 * 86_400_000) return `${MONTHS[at.getUTCMonth()]} ${at.getUTCFullYear()}`;
  if (stepMs >= 86_400_000 || midnight) return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
  const clock = `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}`;
  return stepMs >= 60_000 ? clock : `${clock}:${two(at.getUTCSeconds())}`;
}
