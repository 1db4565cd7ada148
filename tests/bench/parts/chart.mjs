// The figures as bars: for each case the rates of Sluice and its peers, the longest bar of a case being the fastest. No scripts, no
// fonts of its own, readable on a light and on a dark page.
const WIDTH = 860;
const LEFT = 330;
const ROW = 16;
const GAP = 14;
const COLORS = { sluice: '#2563eb', others: '#9ca3af' };
export const NAMES = {
  sluice: 'Sluice', fastify: 'Fastify + BullMQ', jwt: 'Fastify + @fastify/jwt + BullMQ', nest: 'NestJS + @nestjs/bullmq', addBulk: 'BullMQ addBulk', Worker: 'BullMQ Worker',
  Worker100: 'BullMQ Worker, concurrency 100',
};

const escape = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const label = (x, y, text, more = '') => `<text x="${x}" y="${y}" fill="#6b7280" ${more}>${escape(text)}</text>`;

function bars({ title, results }, top) {
  const most = Math.max(...Object.values(results).map((result) => result.perSecond));
  const out = [label(0, top + 11, title)];
  Object.entries(results).forEach(([name, { perSecond }], i) => {
    const y = top + i * ROW;
    const length = Math.max(2, ((WIDTH - LEFT - 210) * perSecond) / most);
    out.push(`<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${ROW - 4}" rx="2" fill="${COLORS[name] ?? COLORS.others}"/>`);
    out.push(label(LEFT + length + 6, y + 10, `${NAMES[name]} ${Math.round(perSecond).toLocaleString('en')}/s`));
  });
  return out.join('\n');
}

export function chart(cases) {
  let top = 4;
  const body = cases.map((row) => {
    const text = bars(row, top);
    top += Object.keys(row.results).length * ROW + GAP;
    return text;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" font-family="system-ui, sans-serif" font-size="11" role="img">
<title>Jobs or answers a second, by case</title>
${body.join('\n')}
</svg>
`;
}
