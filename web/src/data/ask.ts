/** Asks for rows, records and charts, again whenever there is something new, never twice at once, and not while nobody looks. */

import { useEffect, useRef, useState } from 'preact/hooks';
import { signal } from '@preact/signals';
import type { Chart, Rows, TopicRecord } from './model';

/** Is the page in a tab that nobody sees? */
const hidden = signal(document.hidden);
document.addEventListener('visibilitychange', () => (hidden.value = document.hidden));

export interface Answer<T> {
  data: T | null;
  error: string | null;
}

/**
 * Fetches `url` now and again when `version` has changed, at most every `pauseMs`. With `url` null it keeps what it has
 * (paused, or out of sight).
 */
function useAnswer<T>(url: string | null, version: unknown, pauseMs: number): Answer<T> {
  const [answer, setAnswer] = useState<Answer<T>>({ data: null, error: null });
  const asked = useRef({ url: '', version: undefined as unknown, at: 0, busy: false });
  const [turn, setTurn] = useState(0);
  const away = hidden.value;

  useEffect(() => {
    if (url === null || away) return;
    const last = asked.current;
    const other = last.url !== url;
    if (last.busy || (!other && last.version === version)) return;
    const wait = other ? 0 : Math.max(0, last.at + pauseMs - performance.now());
    const timer = setTimeout(() => {
      asked.current = { url, version, at: performance.now(), busy: true };
      fetch(url)
        .then(async (response) => {
          const body = await response.json();
          if (asked.current.url !== url) return;
          setAnswer(response.ok ? { data: body as T, error: null } : { data: null, error: String(body.error) });
        })
        .catch(() => {
          // The connection's state shows that the server is away; old data stays in sight until it is back.
          asked.current.version = undefined;
        })
        .finally(() => {
          asked.current.busy = false;
          setTurn((n) => n + 1);
        });
    }, wait);
    return () => clearTimeout(timer);
  }, [url, version, pauseMs, turn, away]);

  return answer;
}

/** Newest records of a topic. */
export function useRecords(topic: string, limit: number, version: unknown, active = true) {
  const url = `/api/v1/topics/${encodeURIComponent(topic)}/records?limit=${limit}`;
  return useAnswer<TopicRecord[]>(active ? url : null, version, 900);
}

/** Newest rows of a table. */
export function useRows(table: string, limit: number, version: unknown, active = true) {
  const url = `/api/v1/tables/${encodeURIComponent(table)}/rows?limit=${limit}`;
  return useAnswer<Rows>(active ? url : null, version, 900);
}

/** A person's choice of columns; what is left out is chosen by the server. */
export interface Wish {
  x?: string;
  y?: string;
  by?: string;
}

/** The chart that suits a table. */
export function useChart(table: string, wish: Wish, version: unknown, active = true) {
  const chosen = Object.entries(wish).filter(([, column]) => column !== undefined) as [string, string][];
  const url = `/api/v1/tables/${encodeURIComponent(table)}/chart?${new URLSearchParams(chosen)}`;
  return useAnswer<Chart>(active ? url : null, version, 1800);
}
