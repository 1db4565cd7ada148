// The last hour of a queue for its sparkline: asked for when the row comes into view, four at a time, once a minute.
import { useEffect, useRef, useState } from 'preact/hooks';
import { can, get } from './api.js';
import { path } from './router.js';

const AT_ONCE = 4;
const FRESH = 60_000;
const kept = new Map(); // name: {at, values}
const waiting = [];
let running = 0;

function next() {
  while (running < AT_ONCE && waiting.length) {
    const { name, done } = waiting.shift();
    running++;
    get(path`/api/queues/${name}/metrics`).then(({ coarse }) => {
      kept.set(name, { at: Date.now(), values: coarse.points.map(({ out, in: added }) => out ?? added) });
      done(kept.get(name).values);
    }, () => {}).finally(() => {
      running--;
      next();
    });
  }
}

// [ref for the element to look at, the values or null]
export function useSeries(name) {
  const ref = useRef();
  const [values, set] = useState(kept.get(name)?.values ?? null);
  useEffect(() => {
    if (!can('getQueueMetrics')) return undefined;
    let seen = false;
    const want = () => seen && Date.now() - (kept.get(name)?.at ?? 0) > FRESH && !waiting.some((one) => one.name === name) && (waiting.push({ name, done: set }), next());
    const observer = new IntersectionObserver(([{ isIntersecting }]) => {
      seen = isIntersecting && !document.hidden;
      want();
    });
    observer.observe(ref.current);
    const timer = setInterval(want, FRESH / 4);
    return () => {
      observer.disconnect();
      clearInterval(timer);
    };
  }, [name]);
  return [ref, values];
}
