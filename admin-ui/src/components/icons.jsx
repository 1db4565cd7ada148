// Drawn by hand on a 16 by 16 grid; beside a word they are for the eye only.
const SHAPES = {
  waiting: 'M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3z',
  active: 'M5 3.5l7.5 4.5L5 12.5z',
  completed: 'M3 8.5l3.2 3.2L13 5',
  failed: 'M4 4l8 8M12 4l-8 8',
  delayed: 'M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3zM8 5.5V8l2 1.5',
  prioritized: 'M8 3v10M4 7l4-4 4 4',
  'waiting-children': 'M8 3v4M8 7H4v4M8 7h4v4M4 11v2M12 11v2',
  removed: 'M4 8h8',
  pending: 'M8 3a5 5 0 1 0 0 10A5 5 0 0 0 8 3z',
  paused: 'M6 4v8M10 4v8',
  search: 'M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5',
  close: 'M4 4l8 8M12 4l-8 8',
  more: 'M4 8h.01M8 8h.01M12 8h.01',
  right: 'M6 4l4 4-4 4',
  down: 'M4 6l4 4 4-4',
  copy: 'M6 6V3h7v7h-3M3 6h7v7H3z',
  download: 'M8 3v7M5 7.5l3 3 3-3M3 13h10',
  info: 'M8 7v4M8 4.8h.01M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2z',
  warning: 'M8 2.5l6 11H2zM8 6.5v3.5M8 11.8h.01',
  critical: 'M5.5 2h5L14 5.5v5L10.5 14h-5L2 10.5v-5zM8 5v3.5M8 10.8h.01',
  add: 'M8 3v10M3 8h10',
  light: 'M8 5.2a2.8 2.8 0 1 0 0 5.6 2.8 2.8 0 0 0 0-5.6zM8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M3.4 12.6l.9-.9M11.7 4.3l.9-.9',
  dark: 'M12.5 9.5A5 5 0 0 1 6.5 3.5a5 5 0 1 0 6 6z',
  system: 'M2.5 3.5h11v7h-11zM6 13.5h4',
  keyboard: 'M2 4.5h12v7H2zM4.5 7h.01M7 7h.01M9.5 7h.01M12 7h.01M5 9.5h6',
};

export function Icon({ name }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={SHAPES[name] ?? SHAPES.info} />
    </svg>
  );
}
