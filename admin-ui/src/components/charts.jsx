// Charts drawn as SVG. Each has its figures as text for those who cannot see it.
import { useState } from 'preact/hooks';
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
      <path d={line(values, x, y)} />
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

const WIDTH = 720;
const HEIGHT = 180;
const LEFT = 44;
const BOTTOM = 22;
const PLOT = { width: WIDTH - LEFT - 8, height: HEIGHT - BOTTOM - 10 };

function Axis({ top, from, to }) {
  const ticks = [0, 0.5, 1];
  const times = [0, 0.25, 0.5, 0.75, 1];
  return (
    <g class="axis" aria-hidden="true">
      {ticks.map((share) => (
        <g key={share}>
          <path d={`M${LEFT} ${round(10 + PLOT.height * (1 - share))}h${PLOT.width}`} />
          <text x={LEFT - 6} y={round(14 + PLOT.height * (1 - share))} text-anchor="end">{short(top * share)}</text>
        </g>
      ))}
      {times.map((share) => (
        <text key={share} x={LEFT + PLOT.width * share} y={HEIGHT - 4} text-anchor={share === 0 ? 'start' : share === 1 ? 'end' : 'middle'}>
          {timeOfDay(from + (to - from) * share, to - from < 900_000)}
        </text>
      ))}
    </g>
  );
}

// series: [{name, label, values}] with one value for each of `times` (ms). The pointer, or the arrow keys, read one moment.
export function Series({ series, times, label }) {
  const [at, setAt] = useState(null);
  const last = times.length - 1;
  if (last < 1) return null;
  const top = ceiling(Math.max(0, ...series.flatMap(({ values }) => values.map((v) => v ?? 0))));
  const x = (i) => LEFT + (i / last) * PLOT.width;
  const y = (v) => 10 + PLOT.height * (1 - v / top);
  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = ((event.clientX - box.left) / box.width * WIDTH - LEFT) / PLOT.width;
    setAt(Math.max(0, Math.min(last, Math.round(share * last))));
  };
  const key = (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    setAt((old) => Math.max(0, Math.min(last, (old ?? last) + step)));
  };
  const shown = Math.min(at ?? last, last);
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-time">{timeOfDay(times[shown])}</span>
        {series.map(({ name, label: word, values }) => (
          <span key={name} class={`legend legend-${name}`}>
            <svg width="18" height="8" aria-hidden="true"><path d="M0 4h18" /></svg>
            {word} <b class="number">{values[shown] === null || values[shown] === undefined ? '–' : number(values[shown], { maximumFractionDigits: 1 })}</b>
          </span>
        ))}
      </figcaption>
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={label} tabIndex={0} onPointerMove={point} onPointerLeave={() => setAt(null)} onKeyDown={key}>
        <Axis top={top} from={times[0]} to={times[last]} />
        {series.map(({ name, values }) => <path key={name} class={`series series-${name}`} d={line(values, x, y)} />)}
        {at !== null && <path class="cursor" d={`M${round(x(shown))} 10v${PLOT.height}`} />}
      </svg>
    </figure>
  );
}
