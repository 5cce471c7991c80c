/** A bar per key: one moment, or a table without times. */

import type { Series } from '../data/model';
import { exact } from '../data/format';

export function BarChart({ series, label }: { series: Series[]; label: string }) {
  const bars = series.map((one) => ({ key: one.key, value: one.points.reduce((sum, point) => sum + point[1], 0) }));
  const top = Math.max(...bars.map((bar) => Math.abs(bar.value)), 1e-9);
  return (
    <div class="bars" role="list" aria-label={label}>
      {bars.map((bar) => (
        <div class="bar" role="listitem" key={bar.key}>
          <span class="bar-key" title={bar.key}>
            {bar.key}
          </span>
          <span class="bar-track">
            <i class={bar.value < 0 ? 'negative' : ''} style={{ width: `${(Math.abs(bar.value) / top) * 100}%` }} />
          </span>
          <span class="bar-value">{exact(bar.value)}</span>
        </div>
      ))}
    </div>
  );
}
