// The table of metrics in docs/operations.md is the one that the program prints.
//
//     node .ci/lint/metrics-table.mjs build/sluice            fails when they differ
//     node .ci/lint/metrics-table.mjs build/sluice --write    writes the table into the document
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const FILE = 'docs/operations.md';
const BEGIN = '<!-- metrics: made by .ci/lint/metrics-table.mjs -->';
const END = '<!-- end of metrics -->';

const [program, option] = process.argv.slice(2);
const metrics = JSON.parse(execFileSync(program, ['dump', 'metrics'], { encoding: 'utf8' }));
const row = ({ name, kind, labels, help }) => `| \`${name}\` | ${kind} | ${labels.map((label) => `\`${label}\``).join(' ')} | ${help.replaceAll('|', '\\|')} |`;
const table = ['| name | kind | labels | what |', '|---|---|---|---|', ...metrics.map(row), ''].join('\n');

const text = readFileSync(FILE, 'utf8');
const from = text.indexOf(BEGIN);
const to = text.indexOf(END);
if (from < 0 || to < from) {
  console.log(`metrics-table: ${FILE} lacks the lines "${BEGIN}" and "${END}"`);
  process.exit(1);
}
const wanted = `${text.slice(0, from)}${BEGIN}\n\n${table}\n${text.slice(to)}`;
if (option === '--write') {
  writeFileSync(FILE, wanted);
} else if (wanted !== text) {
  console.log(`metrics-table: ${FILE} differs from \`sluice dump metrics\`; node .ci/lint/metrics-table.mjs build/sluice --write`);
  process.exit(1);
}
