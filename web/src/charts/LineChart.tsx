/** Lines over time: axes, legend, a cross-hair for mouse and keyboard, and a domain that glides as rows come. */

import { useMemo, useRef, useState } from 'preact/hooks';
import type { Series } from '../data/model';
import { eventTime, exact, tick, tickTime } from '../data/format';
import { useGlide, useWidth } from './hooks';
import { niceTicks, smoothPath, timeTicks, unbroken, yDomain, type Point } from './scale';

interface Props {
  series: Series[];
  height?: number;
  /** What is drawn, for those who do not see it. */
  label: string;
  /** The name of what a single line shows. */
  measure: string;
}

const MARGIN = { top: 12, right: 16, bottom: 26, left: 46 };

export function LineChart({ series: given, height = 260, label, measure }: Props) {
  const slots = useSlots(given);
  const series = useMemo(() => given.toSorted((a, b) => slots.get(a.key)! - slots.get(b.key)!), [given, slots]);
  const [ref, width] = useWidth<HTMLDivElement>();
  const [hover, setHover] = useState<number | null>(null);
  const [dimmed, setDimmed] = useState<string | null>(null);
  const [hidden, setHidden] = useState<ReadonlySet<string>>(new Set());

  const visible = series.filter((one) => !hidden.has(one.key));
  const drawn = visible.length > 0 ? visible : series;
  const times = useMemo(() => {
    const all = new Set<number>();
    for (const one of series) for (const [at] of one.points) all.add(at);
    return [...all].sort((a, b) => a - b);
  }, [series]);
  const wanted = [times[0] ?? 0, times[times.length - 1] ?? 1, ...yDomain(drawn.flatMap((one) => one.points.map((point) => point[1])))];
  const [x0, x1, y0, y1] = useGlide(wanted) as [number, number, number, number];

  const innerWidth = Math.max(0, width - MARGIN.left - MARGIN.right);
  const innerHeight = height - MARGIN.top - MARGIN.bottom;
  const placeX = (at: number) => MARGIN.left + ((at - x0) / (x1 - x0 || 1)) * innerWidth;
  const placeY = (value: number) => MARGIN.top + innerHeight - ((value - y0) / (y1 - y0 || 1)) * innerHeight;

  const { ticks: xTicks, step } = timeTicks(x0, x1, Math.max(2, innerWidth / 96));
  const yTicks = niceTicks(y0, y1, Math.max(3, innerHeight / 52));
  const dots = innerWidth / Math.max(1, times.length) > 14;

  const nearest = (x: number) => {
    const at = x0 + ((x - MARGIN.left) / (innerWidth || 1)) * (x1 - x0);
    let best = 0;
    for (let i = 1; i < times.length; i++) if (Math.abs(times[i]! - at) < Math.abs(times[best]! - at)) best = i;
    return times[best] ?? null;
  };
  const onKey = (event: KeyboardEvent) => {
    const i = hover === null ? times.length : times.indexOf(hover);
    const next = { ArrowLeft: Math.max(0, i - 1), ArrowRight: Math.min(times.length - 1, i + 1), Home: 0, End: times.length - 1 }[event.key];
    if (event.key === 'Escape') setHover(null);
    if (next === undefined) return;
    event.preventDefault();
    setHover(times[next] ?? null);
  };

  const read =
    hover === null
      ? []
      : series
          .map((one) => ({ key: one.key, index: slots.get(one.key), value: one.points.find(([at]) => at === hover)?.[1] }))
          .filter((one): one is { key: string; index: number; value: number } => one.value !== undefined && !hidden.has(one.key))
          .sort((a, b) => b.value - a.value);
  const hoverX = hover === null ? 0 : placeX(hover);
  const clip = useMemo(() => `clip${Math.random().toString(36).slice(2)}`, []);

  return (
    <figure class="chart" ref={ref}>
      {series.length > 1 && (
        <figcaption class="legend">
          {series.map((one) => (
            <button
              key={one.key}
              type="button"
              class="legend-key"
              aria-pressed={!hidden.has(one.key)}
              title={hidden.has(one.key) ? `Show ${one.key}` : `Hide ${one.key}`}
              onMouseEnter={() => setDimmed(one.key)}
              onMouseLeave={() => setDimmed(null)}
              onFocus={() => setDimmed(one.key)}
              onBlur={() => setDimmed(null)}
              onClick={() => setHidden(toggled(hidden, one.key))}
            >
              <i class={`swatch c${slots.get(one.key)}`} />
              <span>{one.key}</span>
            </button>
          ))}
        </figcaption>
      )}
      <div
        class="plot"
        tabIndex={0}
        role="img"
        aria-label={`${label}. Arrow keys read single points.`}
        onKeyDown={onKey}
        onBlur={() => setHover(null)}
        onPointerMove={(event) => setHover(nearest(event.clientX - event.currentTarget.getBoundingClientRect().left))}
        onPointerLeave={() => setHover(null)}
        style={{ height: `${height}px` }}
      >
        {width > 0 && (
          <svg width={width} height={height} aria-hidden="true">
            <clipPath id={clip}>
              <rect x={MARGIN.left - 4} y={0} width={innerWidth + 8} height={height - MARGIN.bottom + 4} />
            </clipPath>
            {yTicks.map((value) => (
              <g key={value}>
                <line class={value === 0 ? 'axis' : 'grid'} x1={MARGIN.left} x2={width - MARGIN.right} y1={placeY(value)} y2={placeY(value)} />
                <text class="tick" x={MARGIN.left - 10} y={placeY(value)} dy="0.32em" text-anchor="end">
                  {tick(value)}
                </text>
              </g>
            ))}
            {xTicks.map((at) => (
              <text key={at} class={`tick ${at % 86_400_000 === 0 ? 'strong' : ''}`} x={placeX(at)} y={height - 6} text-anchor="middle">
                {tickTime(at, step)}
              </text>
            ))}
            {hover !== null && <line class="cross" x1={hoverX} x2={hoverX} y1={MARGIN.top} y2={height - MARGIN.bottom} />}
            <g clip-path={`url(#${clip})`}>
              {series.map((one) => {
                if (hidden.has(one.key)) return null;
                const runs = unbroken(one.points).map((run) => run.map(([at, value]): Point => [placeX(at), placeY(value)]));
                const faint = dimmed !== null && dimmed !== one.key;
                return (
                  <g key={one.key} class={`line s${slots.get(one.key)} ${faint ? 'faint' : ''}`}>
                    {series.length === 1 &&
                      runs.map((run, i) => (
                        <path key={i} class="area" d={`${smoothPath(run)}L${run[run.length - 1]![0]},${placeY(y0)}L${run[0]![0]},${placeY(y0)}Z`} />
                      ))}
                    <path d={runs.map(smoothPath).join('')} />
                    {dots && runs.flat().map(([x, y], i) => <circle key={i} cx={x} cy={y} r="2" />)}
                  </g>
                );
              })}
            </g>
            {read.map(({ key, index, value }) => (
              <circle key={key} class={`hover-dot s${index}`} cx={hoverX} cy={placeY(value)} r="4" />
            ))}
          </svg>
        )}
        {hover !== null && read.length > 0 && (
          <div class={`tip ${hoverX > width / 2 ? 'left' : 'right'}`} role="status" style={{ left: `${hoverX}px` }}>
            <div class="tip-head">{eventTime(hover, step < 60_000)}</div>
            {read.map(({ key, index, value }) => (
              <div class="tip-row" key={key}>
                <i class={`swatch c${index}`} />
                <span>{key || measure}</span>
                <b>{exact(value)}</b>
              </div>
            ))}
          </div>
        )}
      </div>
    </figure>
  );
}

/** A key keeps its colour for as long as it is drawn, whatever its rank becomes. */
function useSlots(series: Series[]): Map<string, number> {
  const last = useRef(new Map<string, number>());
  return useMemo(() => {
    const next = new Map<string, number>();
    for (const { key } of series) if (last.current.has(key)) next.set(key, last.current.get(key)!);
    const taken = new Set(next.values());
    let free = 0;
    for (const { key } of series) {
      if (next.has(key)) continue;
      while (taken.has(free)) free++;
      taken.add(free);
      next.set(key, free);
    }
    return (last.current = next);
  }, [series]);
}

function toggled(set: ReadonlySet<string>, key: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(key)) next.add(key);
  return next;
}
