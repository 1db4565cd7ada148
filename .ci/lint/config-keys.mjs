// Every configuration key of the program stands in the README's table with its default, and the README names no other.
//
//     node .ci/lint/config-keys.mjs build/sluice
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const keys = JSON.parse(execFileSync(process.argv[2], ['dump', 'config'], { encoding: 'utf8' }));
const documented = new Map();
for (const line of readFileSync('README.md', 'utf8').split('\n')) {
  const row = /^\| `([A-Z][A-Z0-9_]+)` \| (?:`([^`]*)`|-|–)? *\|/.exec(line);
  if (row) documented.set(row[1], row[2] ?? '');
}

const complaints = [];
for (const key of keys) {
  if (!documented.has(key.name)) complaints.push(`${key.name} is not in the README`);
  else if (documented.get(key.name) !== String(key.default ?? '')) {
    complaints.push(`${key.name}: the README says \`${documented.get(key.name)}\`, the program \`${key.default ?? ''}\``);
  }
  documented.delete(key.name);
}
for (const name of documented.keys()) complaints.push(`${name} is in the README, but the program has no such key`);

for (const complaint of complaints) console.log(`config-keys: ${complaint}`);
process.exit(complaints.length ? 1 : 0);
