/** The one connection to the server: its last snapshot, five minutes of rates, and whether it is there. */

import { computed, signal } from '@preact/signals';
import type { Past, Snapshot } from './model';

const POINTS_MAX = 300;

/** The newest snapshot; null until the first one. */
export const snapshot = signal<Snapshot | null>(null);
/** `live` while events come, `lost` while the server cannot be reached. */
export const connection = signal<'connecting' | 'live' | 'lost'>('connecting');
/** The state of everything; null until the first snapshot. */
export const overview = computed(() => {
  const all = snapshot.value?.overview ?? null;
  return all && { ...all, kafka_address: reachable(all.kafka_address) };
});

/** A listener on every address of the machine is reached under the name that this page is. */
function reachable(address: string): string {
  return address.replace(/^(0\.0\.0\.0|\[::\])(?=:)/, location.hostname);
}

let past: Map<string, number[]> = new Map();
let sequence = -1;

/** Present rate per second of a series. */
export function rate(series: string): number {
  return snapshot.value?.rates[series] ?? 0;
}

/** Points of a series, one a second, newest last. Reads `snapshot`, so it is fresh in whatever renders with it. */
export function points(series: string): number[] {
  void snapshot.value;
  return past.get(series) ?? [];
}

/** What a series counted in the last minute. */
export function lastMinute(series: string): number {
  return Math.round(points(series).slice(-60).reduce((sum, value) => sum + value, 0));
}

/** Points of several series added up, newest ones aligned. */
export function summed(series: string[]): number[] {
  const all = series.map(points);
  const length = Math.max(0, ...all.map((one) => one.length));
  const sum = new Array<number>(length).fill(0);
  for (const one of all) {
    for (let i = 0; i < one.length; i++) sum[length - one.length + i]! += one[i]!;
  }
  return sum;
}

function append(newest: Snapshot) {
  for (const [name, ring] of past) {
    if (name === 'memory') continue;
    ring.push(newest.newest[name] ?? 0);
    if (ring.length > POINTS_MAX) ring.shift();
  }
  for (const [name, value] of Object.entries(newest.newest)) {
    if (!past.has(name)) past.set(name, [value]);
  }
}

async function loadPast() {
  const answer = await fetch('/api/v1/history');
  const { series, sequence: until } = (await answer.json()) as Past;
  past = new Map(Object.entries(series));
  sequence = until;
}

/** Connects, and connects again for as long as the page is open. */
export async function follow() {
  for (;;) {
    try {
      await loadPast();
      await listen();
    } catch {
      // The server is away; the state below says so and another attempt follows.
    }
    connection.value = 'lost';
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

/** Resolves when the connection breaks. */
function listen(): Promise<void> {
  return new Promise((resolve) => {
    const events = new EventSource('/api/v1/events');
    events.addEventListener('state', (event: MessageEvent<string>) => {
      const newest = JSON.parse(event.data) as Snapshot;
      if (newest.sequence > sequence) {
        append(newest);
        sequence = newest.sequence;
      }
      connection.value = 'live';
      snapshot.value = newest;
    });
    events.addEventListener('error', () => {
      events.close();
      resolve();
    });
  });
}
