// The README's table of settings is the one that the program prints.
//
//     node .ci/lint/config-table.mjs build/sluice            fails when they differ
//     node .ci/lint/config-table.mjs build/sluice --write    writes the table into the README
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const BEGIN = '<!-- settings: made by .ci/lint/config-table.mjs -->';
const END = '<!-- end of settings -->';
const TITLES = { server: 'Server', redis: 'Stores', records: 'Records', queues: 'Queues', auth: 'Tokens', log: 'Log', documents: 'Documents', compliance: 'Compliance', client: 'Commands that speak to a gateway', outbound: 'Outbound requests', notifications: 'Notifications' };

const [program, option] = process.argv.slice(2);
const keys = JSON.parse(execFileSync(program, ['dump', 'config'], { encoding: 'utf8' }));
const cell = (text) => String(text).replaceAll('|', '\\|');

function row({ name, default: preset, secret, help }) {
  const shown = preset === '' || preset === null ? '' : `\`${cell(preset)}\``;
  return `| \`${name}\`${secret ? ' (secret)' : ''} | ${shown} | ${cell(help)} |`;
}

const groups = [...new Set(keys.map(({ group }) => group))];
const table = groups.map((group) => [
  `**${TITLES[group] ?? group}**`, '', '| name | default | meaning |', '|---|---|---|', ...keys.filter((key) => key.group === group).map(row), '',
].join('\n')).join('\n');

const readme = readFileSync('README.md', 'utf8');
const from = readme.indexOf(BEGIN);
const to = readme.indexOf(END);
if (from < 0 || to < from) {
  console.log(`config-table: README.md lacks the lines "${BEGIN}" and "${END}"`);
  process.exit(1);
}
const wanted = `${readme.slice(0, from)}${BEGIN}\n\n${table}\n${readme.slice(to)}`;
if (option === '--write') {
  writeFileSync('README.md', wanted);
} else if (wanted !== readme) {
  console.log('config-table: the README differs from `sluice dump config`; node .ci/lint/config-table.mjs build/sluice --write');
  process.exit(1);
}
