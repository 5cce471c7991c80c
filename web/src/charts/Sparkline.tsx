/** A small curve of the last minutes that drifts to the left as time goes. */

import { useLayoutEffect, useRef } from 'preact/hooks';
import { snapshot } from '../data/live';
import { still } from '../data/settings';
import { smoothPath, type Point } from './scale';

interface Props {
  points: number[];
  width?: number;
  height?: number;
  /** Points shown, one a second. */
  seconds?: number;
  label: string;
  fill?: boolean;
}

export function Sparkline({ points, width = 120, height = 28, seconds: most = 60, label, fill = true }: Props) {
  const drift = useRef<SVGGElement>(null);
  // A young series fills the width sooner.
  const seconds = Math.max(20, Math.min(most, points.length));
  const step = width / (seconds - 2);
  const shown = smoothed(points.slice(-seconds - 3)).slice(-seconds);
  const top = Math.max(...shown, 1e-9);
  const place = shown.map((value, i): Point => [
    width + step - (shown.length - 1 - i) * step,
    height - 1.5 - (value / top) * (height - 4),
  ]);
  const line = smoothPath(place);
  const first = place[0]?.[0] ?? 0;
  const last = place[place.length - 1]?.[0] ?? 0;

  // Each second a point arrives just beyond the right edge; until the next one the curve drifts by exactly its step.
  const sequence = snapshot.value?.sequence;
  useLayoutEffect(() => {
    if (still.value || !drift.current) return;
    const animation = drift.current.animate([{ transform: 'translateX(0)' }, { transform: `translateX(${-step}px)` }], {
      duration: 1000,
      easing: 'linear',
      fill: 'forwards',
    });
    return () => animation.cancel();
  }, [sequence, step]);

  return (
    <svg class="spark" viewBox={`0 0 ${width} ${height}`} preserveAspectRatio="none" role="img" aria-label={label}>
      <g ref={drift}>
        {fill && place.length > 1 && <path class="spark-area" d={`${line}L${last},${height}L${first},${height}Z`} />}
        <path class="spark-line" d={line} vector-effect="non-scaling-stroke" />
      </g>
    </svg>
  );
}

/** Means over four points: a second's jitter is not news. */
function smoothed(points: number[]): number[] {
  return points.map((_, i) => {
    const window = points.slice(Math.max(0, i - 3), i + 1);
    return window.reduce((sum, value) => sum + value, 0) / window.length;
  });
}
