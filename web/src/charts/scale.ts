/** Ticks a person would have chosen, and paths through points. Pure. */

/** Round values from `low` to `high`, about `wanted` of them. */
export function niceTicks(low: number, high: number, wanted: number): number[] {
  if (!(high > low)) return [low];
  const raw = (high - low) / Math.max(1, wanted);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw) ?? 10);
  const ticks: number[] = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n++) ticks.push(Number((n * step).toPrecision(12)));
  return ticks;
}

/** The y axis: from zero, unless all values are far from it. */
export function yDomain(values: number[]): [number, number] {
  let low = Math.min(...values);
  let high = Math.max(...values);
  if (!Number.isFinite(low)) return [0, 1];
  if (low > 0 && low < high * 0.75) low = 0;
  if (high < 0 && high > low * 0.75) high = 0;
  if (low === high) {
    if (low > 0) low = 0;
    else if (high < 0) high = 0;
    else high = 1;
  }
  const ticks = niceTicks(low, high, 4);
  const step = ticks.length > 1 ? ticks[1]! - ticks[0]! : high - low;
  return [low === 0 ? 0 : Math.floor(low / step) * step, Math.ceil((high - step * 1e-6) / step) * step];
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE,
  10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 7 * DAY,
  14 * DAY,
];

/** Times at round places of the calendar (UTC), and how far they are apart. */
export function timeTicks(low: number, high: number, wanted: number): { ticks: number[]; step: number } {
  const raw = (high - low) / Math.max(1, wanted);
  const step = STEPS.find((candidate) => candidate >= raw);
  if (step !== undefined) {
    const ticks: number[] = [];
    for (let at = Math.ceil(low / step) * step; at <= high; at += step) ticks.push(at);
    return { ticks, step };
  }
  const months = [1, 2, 3, 6, 12, 24, 60, 120, 240].find((n) => n * 30.4 * DAY >= raw) ?? 600;
  const ticks: number[] = [];
  const from = new Date(low);
  for (let month = Math.ceil((from.getUTCFullYear() * 12 + from.getUTCMonth()) / months) * months; ticks.length < 50; month += months) {
    const at = Date.UTC(Math.floor(month / 12), month % 12);
    if (at > high) break;
    if (at >= low) ticks.push(at);
  }
  return { ticks, step: months * 30 * DAY };
}

export type Point = readonly [number, number];

/** Points of a line, cut where it has a hole: a step of more than 3.5 times the usual one. */
export function unbroken(points: Point[]): Point[][] {
  if (points.length < 5) return points.length > 0 ? [points] : [];
  const steps = points.slice(1).map((point, i) => point[0] - points[i]![0]);
  const usual = steps.toSorted((a, b) => a - b)[Math.floor(steps.length / 2)]!;
  const runs: Point[][] = [[points[0]!]];
  for (let i = 1; i < points.length; i++) {
    if (steps[i - 1]! > usual * 3.5) runs.push([]);
    runs[runs.length - 1]!.push(points[i]!);
  }
  return runs;
}

/** A smooth path through points that never swings beyond them (monotone cubic, Fritsch and Carlson 1980). */
export function smoothPath(points: Point[]): string {
  const n = points.length;
  if (n === 0) return '';
  const at = (i: number) => points[i]!;
  const f = (value: number) => value.toFixed(1);
  if (n === 1) return `M${f(at(0)[0])},${f(at(0)[1])}h0.01`;
  if (n === 2) return `M${f(at(0)[0])},${f(at(0)[1])}L${f(at(1)[0])},${f(at(1)[1])}`;
  const slopes: number[] = [];
  for (let i = 0; i < n - 1; i++) slopes.push((at(i + 1)[1] - at(i)[1]) / (at(i + 1)[0] - at(i)[0] || 1));
  const tangents = [slopes[0]!];
  for (let i = 1; i < n - 1; i++) {
    const [a, b] = [slopes[i - 1]!, slopes[i]!];
    if (a * b <= 0) tangents.push(0);
    else {
      const [h0, h1] = [at(i)[0] - at(i - 1)[0], at(i + 1)[0] - at(i)[0]];
      tangents.push((3 * (h0 + h1)) / ((2 * h1 + h0) / a + (h1 + 2 * h0) / b));
    }
  }
  tangents.push(slopes[n - 2]!);
  let path = `M${f(at(0)[0])},${f(at(0)[1])}`;
  for (let i = 0; i < n - 1; i++) {
    const third = (at(i + 1)[0] - at(i)[0]) / 3;
    path +=
      `C${f(at(i)[0] + third)},${f(at(i)[1] + third * tangents[i]!)},` +
      `${f(at(i + 1)[0] - third)},${f(at(i + 1)[1] - third * tangents[i + 1]!)},${f(at(i + 1)[0])},${f(at(i + 1)[1])}`;
  }
  return path;
}
