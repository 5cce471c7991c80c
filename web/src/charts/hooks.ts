/** What every chart needs: its width, whether it is in sight, and numbers that glide. */

import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { still } from '../data/settings';

/** Width of an element in CSS pixels, 0 before it is known. */
export function useWidth<E extends Element>() {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    setWidth(element.getBoundingClientRect().width);
    const observer = new ResizeObserver(([entry]) => entry && setWidth(entry.contentRect.width));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width] as const;
}

/** Is an element on the screen, or nearly? */
export function useSeen<E extends Element>() {
  const ref = useRef<E>(null);
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new IntersectionObserver(([entry]) => entry && setSeen(entry.isIntersecting), { rootMargin: '200px' });
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, seen] as const;
}

/** Numbers that glide to their next values instead of jumping; a list of another length, or a wish for stillness, jumps. */
export function useGlide(target: number[], ms = 500): number[] {
  const [shown, setShown] = useState(target);
  const now = useRef(target);
  const key = target.join();
  useEffect(() => {
    const from = now.current;
    if (still.value || from.length !== target.length || from.some((value) => !Number.isFinite(value)) || document.hidden) {
      now.current = target;
      setShown(target);
      return;
    }
    const begun = performance.now();
    let frame = requestAnimationFrame(function step(at) {
      const part = Math.min(1, (at - begun) / ms);
      const eased = 1 - (1 - part) ** 3;
      now.current = part === 1 ? target : from.map((value, i) => value + (target[i]! - value) * eased);
      setShown(now.current);
      if (part < 1) frame = requestAnimationFrame(step);
    });
    return () => cancelAnimationFrame(frame);
  }, [key, ms]);
  return shown;
}
