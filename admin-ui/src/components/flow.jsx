// The tree of jobs that wait for one another, drawn from the one that waits for all the others.
import { visible } from '../lib/format.js';
import { t, tn } from '../lib/i18n.js';
import { useResource } from '../lib/resource.js';
import { path } from '../lib/router.js';
import { Card } from './basics.jsx';

const BOX = { width: 220, height: 40, right: 34, down: 12 };
const CHARACTERS = { large: 29, small: 36 };

const cut = (text, most) => visible(text.length > most ? `${text.slice(0, most - 1)}…` : text);

// Places: depth to the right; leaves one below the other, and each parent at the middle of its children.
function layout(nodes) {
  const placed = nodes.map((node, i) => ({ ...node, i, children: [], depth: 0, row: 0 }));
  for (const node of placed) {
    if (node.parent === null) continue;
    node.depth = placed[node.parent].depth + 1;
    placed[node.parent].children.push(node);
  }
  let rows = 0;
  const place = (node) => {
    node.children.forEach(place);
    node.row = node.children.length ? (node.children[0].row + node.children.at(-1).row) / 2 : rows++;
  };
  placed.filter(({ parent }) => parent === null).forEach(place);
  return { placed, rows, depth: Math.max(...placed.map((node) => node.depth)) };
}

const x = (node) => 1 + node.depth * (BOX.width + BOX.right);
const y = (node) => 1 + node.row * (BOX.height + BOX.down);

function Edge({ from, to }) {
  const start = [x(from) + BOX.width, y(from) + BOX.height / 2];
  const end = [x(to), y(to) + BOX.height / 2];
  const middle = (start[0] + end[0]) / 2;
  return <path class="edge" d={`M${start.join(' ')}C${middle} ${start[1]} ${middle} ${end[1]} ${end.join(' ')}`} />;
}

function Node({ node, here }) {
  const state = node.state ?? 'gone';
  const label = `${node.queue}/${node.id}, ${t(`state.${state}`)}`;
  return (
    <a href={path`/jobs/${node.queue}/${node.id}`} aria-current={here ? 'page' : undefined}>
      <g class={`node node-${state} ${here ? 'here' : ''}`} transform={`translate(${x(node)} ${y(node)})`}>
        <title>{label}</title>
        <rect width={BOX.width} height={BOX.height} rx="5" />
        <rect class="node-mark" width="4" height={BOX.height} rx="2" />
        <text x="12" y="16">{cut(node.name ?? node.id, CHARACTERS.large)}</text>
        <text class="node-small" x="12" y="31">{cut(`${t(`state.${state}`)} · ${node.queue}`, CHARACTERS.small)}</text>
      </g>
    </a>
  );
}

export function Flow({ queue, id, every }) {
  const { data } = useResource(path`/api/queues/${queue}/jobs/${id}/flow`, { queue, every });
  if (!data || data.nodes.length < 2) return null;
  const { placed, rows, depth } = layout(data.nodes);
  const width = (depth + 1) * (BOX.width + BOX.right) - BOX.right + 2;
  const height = rows * (BOX.height + BOX.down) - BOX.down + 2;
  return (
    <Card title={t('flow')}>
      <div class="flow" role="region" aria-label={t('flow')} tabIndex={0}>
        <svg viewBox={`0 0 ${width} ${height}`} width={width} height={height}>
          {placed.map((node) => node.parent !== null && <Edge key={`edge-${node.i}`} from={placed[node.parent]} to={node} />)}
          {placed.map((node) => <Node key={node.i} node={node} here={node.queue === queue && node.id === id} />)}
        </svg>
      </div>
      {data.more && <p class="faint">{tn('flow.more', data.nodes.length)}</p>}
    </Card>
  );
}
