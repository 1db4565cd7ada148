// Charts drawn as SVG. Each has its figures as text for those who cannot see it.
import { useLayoutEffect, useRef, useState } from 'preact/hooks';
import { number, short, timeOfDay } from '../lib/format.js';

const round = (n) => Math.round(n * 10) / 10;

// Points as a path; where a figure is missing the line is broken.
function line(values, x, y) {
  let pen = 'M';
  return values.map((value, i) => {
    if (value === null || value === undefined) {
      pen = 'M';
      return '';
    }
    const step = `${pen}${round(x(i))} ${round(y(value))}`;
    pen = 'L';
    return step;
  }).join('');
}

// As large as a word. values: numbers or null.
export function Sparkline({ values, label }) {
  const width = 96;
  const height = 22;
  const top = Math.max(1, ...values.map((v) => v ?? 0));
  const x = (i) => (values.length > 1 ? (i / (values.length - 1)) * width : width);
  const y = (v) => height - 1 - (v / top) * (height - 3);
  return (
    <svg class="sparkline" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={label} preserveAspectRatio="none">
      <path class="spark-base" d={`M0 ${height - 0.5}H${width}`} />
      {values.some(Boolean) && <path d={line(values, x, y)} />}
    </svg>
  );
}

const STEPS = [1, 2, 5, 10];

// The smallest round number that is not below the highest value.
function ceiling(value) {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return STEPS.find((step) => step * power >= value) * power;
}

const HEIGHT = 180;
const LEFT = 44;
const RIGHT = 8;
const BOTTOM = 22;
const TALL = HEIGHT - BOTTOM - 10; // of the lines themselves
const NARROW = 500;

// [ref, the element's width in pixels]: drawn to measure, so that figures are as large as all others.
function useWidth() {
  const ref = useRef();
  const [width, set] = useState(0);
  useLayoutEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => set(Math.round(contentRect.width)));
    observer.observe(ref.current);
    set(ref.current.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [ref, Math.max(width, 200)];
}

function Axis({ top, from, to, wide }) {
  const ticks = [0, 0.5, 1];
  const times = wide < NARROW ? [0, 0.5, 1] : [0, 0.25, 0.5, 0.75, 1];
  return (
    <g class="axis" aria-hidden="true">
      {ticks.map((share) => (
        <g key={share}>
          <path d={`M${LEFT} ${round(10 + TALL * (1 - share))}h${wide}`} />
          <text x={LEFT - 6} y={round(14 + TALL * (1 - share))} text-anchor="end">{short(top * share)}</text>
        </g>
      ))}
      {times.map((share) => (
        <text key={share} x={LEFT + wide * share} y={HEIGHT - 4} text-anchor={share === 0 ? 'start' : share === 1 ? 'end' : 'middle'}>
          {timeOfDay(from + (to - from) * share, to - from < 900_000)}
        </text>
      ))}
    </g>
  );
}

function Legend({ series, at, time }) {
  return (
    <figcaption>
      <span class="chart-time">{timeOfDay(time)}</span>
      {series.map(({ name, label, values }) => (
        <span key={name} class={`legend legend-${name}`}>
          <svg width="18" height="8" aria-hidden="true"><path d="M0 4h18" /></svg>
          {label} <b class="number">{values[at] === null ? '–' : number(values[at], { maximumFractionDigits: 1 })}</b>
        </span>
      ))}
    </figcaption>
  );
}

// series: [{name, label, values}] with one value, or null, for each of `times` (ms). The pointer, or the arrow keys, read one moment.
export function Series({ series, times, label }) {
  const [at, setAt] = useState(null);
  const [ref, width] = useWidth();
  const wide = width - LEFT - RIGHT;
  const last = times.length - 1;
  const top = ceiling(Math.max(0, ...series.flatMap(({ values }) => values.map((v) => v ?? 0))));
  const x = (i) => LEFT + (i / last) * wide;
  const y = (v) => 10 + TALL * (1 - v / top);
  const bound = (i) => Math.max(0, Math.min(last, i));
  const point = (event) => setAt(bound(Math.round(((event.clientX - event.currentTarget.getBoundingClientRect().left - LEFT) / wide) * last)));
  const key = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    setAt((old) => bound((old ?? last) + step));
  };
  const shown = bound(at ?? last);
  return (
    <figure class="chart" ref={ref}>
      <Legend series={series} at={shown} time={times[shown]} />
      <svg width={width} height={HEIGHT} role="img" aria-label={label} tabIndex={0} onPointerMove={point} onPointerLeave={() => setAt(null)} onKeyDown={key}>
        <Axis top={top} from={times[0]} to={times[last]} wide={wide} />
        {series.map(({ name, values }) => <path key={name} class={`series series-${name}`} d={line(values, x, y)} />)}
        {at !== null && <path class="cursor" d={`M${round(x(shown))} 10v${TALL}`} />}
      </svg>
    </figure>
  );
}
