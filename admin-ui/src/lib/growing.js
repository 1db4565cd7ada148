// How many of n rows are drawn: a screenful at once, the others frame by frame, so that a long table is there as soon as a short one.
import { useEffect, useState } from 'preact/hooks';

const STEP = 40;

export function useGrowing(n) {
  const [drawn, setDrawn] = useState(STEP);
  useEffect(() => {
    if (drawn >= n) return undefined;
    const frame = requestAnimationFrame(() => setDrawn(drawn + STEP));
    return () => cancelAnimationFrame(frame);
  }, [drawn, n]);
  return Math.min(drawn, n);
}
