/** Small pieces that several views share. */

import type { ComponentChildren } from 'preact';
import { Sparkline } from '../charts/Sparkline';
import { href, type Section } from '../data/route';
import { Icon } from './Icon';

export function Card({ title, aside, children, className = '' }: { title?: ComponentChildren; aside?: ComponentChildren; children: ComponentChildren; className?: string }) {
  return (
    <section class={`card ${className}`}>
      {(title || aside) && (
        <div class="card-head">
          {title && <h2>{title}</h2>}
          {aside && <div class="card-aside">{aside}</div>}
        </div>
      )}
      {children}
    </section>
  );
}

interface KpiProps {
  label: string;
  value: string;
  unit?: string;
  /** A second number beside the first. */
  also?: { value: string; unit: string; tone?: 'late' | 'dead' | '' };
  note?: ComponentChildren;
  points?: number[];
  tone?: 'late' | 'dead' | '';
}

/** A number that matters, and how it came about. */
export function Kpi({ label, value, unit, also, note, points, tone = '' }: KpiProps) {
  return (
    <div class="kpi">
      <div class="kpi-label">{label}</div>
      <div class="kpi-value">
        <span class={tone}>{value}</span>
        {unit && <small>{unit}</small>}
        {also && (
          <>
            <span class={`also ${also.tone ?? ''}`}>{also.value}</span>
            <small>{also.unit}</small>
          </>
        )}
      </div>
      <div class="kpi-note">{note}</div>
      {points && (
        <div class="kpi-spark">
          <Sparkline points={points} width={220} height={40} label={`${label}, last minute`} />
        </div>
      )}
    </div>
  );
}

export function Crumb({ section, label }: { section: Section; label: string }) {
  return (
    <a class="crumb" href={href(section)}>
      <Icon name="back" />
      {label}
    </a>
  );
}

/** Something that cannot go on, and why. */
export function Notice({ children, tone = 'waits' }: { children: ComponentChildren; tone?: 'waits' | 'bad' }) {
  return (
    <div class={`notice ${tone}`} role="status">
      <Icon name="alert" />
      <div>{children}</div>
    </div>
  );
}

export function Gone({ what, name, section }: { what: string; name: string; section: Section }) {
  return (
    <div class="view">
      <Crumb section={section} label="Back" />
      <p class="nothing big">
        There is no {what} called <b>{name}</b>.
      </p>
    </div>
  );
}
