// Rows that were chosen: x takes the present one, Shift with a click or with x takes all from the last one to it.
import { useState } from 'preact/hooks';

export function useSelection(ids) {
  const [chosen, setChosen] = useState(() => new Set());
  const [last, setLast] = useState(null);
  const present = new Set(ids.filter((id) => chosen.has(id)));
  const toggle = (id, range = false) => {
    const next = new Set(present);
    const from = ids.indexOf(last);
    if (range && from >= 0) {
      const to = ids.indexOf(id);
      for (const each of ids.slice(Math.min(from, to), Math.max(from, to) + 1)) next.add(each);
    } else if (!next.delete(id)) {
      next.add(id);
    }
    setLast(id);
    setChosen(next);
  };
  return {
    chosen: [...present], has: (id) => present.has(id), toggle,
    all: () => setChosen(present.size === ids.length ? new Set() : new Set(ids)),
    none: () => setChosen(new Set()),
  };
}
