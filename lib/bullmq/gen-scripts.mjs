// Writes the Lua scripts that the program sends to Redis as C tables:
//
//     node gen-scripts.mjs <the bullmq package> <where scripts.json and lua/ stand> <output without suffix>
//
// scripts.json names the official scripts that are used and the keys that the C code passes to each, in order; the run
// fails when the package counts other keys. A script of our own says its keys in its first line, `-- KEYS: wait active …`
// (a trailing `...` stands for more keys of the caller), and may take in, each on a line of its own,
//     --@call addStandardJob addDelayedJob      whole official scripts as functions of (KEYS, ARGV), which share theirs:
//                                               addStandardJobScript, addDelayedJobScript
//     --@call removeJob instead removeJobKeys   the same, without their function of that name: ours, further up, takes its place
//     --@from moveToActive promoteDelayedJobs   local functions of an official script, or of one of ours (add.lua)
// A file whose first line begins with `-- PART` is no script, but holds functions for others.
// Key words: BullMQ's key types, and <job>, <job>:logs, <finished> for what depends on the call.
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';

const [packageDir, sourceDir, output] = process.argv.slice(2);
if (!output) {
  console.error('usage: gen-scripts.mjs PACKAGE SOURCES OUTPUT');
  process.exit(2);
}
const luaDir = join(sourceDir, 'lua');
const MAX_KEYS = 16;

function fail(message) {
  console.error(`gen-scripts: ${message}`);
  process.exit(1);
}

const official = createRequire(import.meta.url)(resolve(packageDir, 'dist/cjs/scripts/index.js'));

function officialScript(name) {
  const script = official[name];
  if (!script) fail(`bullmq has no script ${name}`);
  return script;
}

// The call's own keys stand behind the queue's in enum bq_script_key.
const ownKeys = {
  '<job>': 'BQ_SCRIPT_KEY_JOB',
  '<job>:logs': 'BQ_SCRIPT_KEY_JOB_LOGS',
  '<finished>': 'BQ_SCRIPT_KEY_FINISHED',
  '<set>': 'BQ_SCRIPT_KEY_SET',
};
const keyName = (word) => ownKeys[word] ?? `BQ_KEY_${word.replace(/[:-]/g, '_').toUpperCase()}`;
const enumName = (name) => `BQ_SCRIPT_${name.replace(/[A-Z]/g, (c) => `_${c}`).toUpperCase()}`;

// The local functions of an official script, as [name, text]; they end with an `end` at the margin.
function localFunctions(text) {
  return [...text.matchAll(/^local (?:function (\w+) *\(|(\w+) = function *\()[^]*?^end$/gm)].map((m) => [m[1] ?? m[2], m[0]]);
}

function functionOf(script, name) {
  const text = script.endsWith('.lua') ? readFileSync(join(luaDir, script), 'utf8') : officialScript(script).content;
  const found = localFunctions(text).find(([each]) => each === name);
  if (!found) fail(`${script} has no function ${name}`);
  return found[1];
}

// An official script makes its functions anew in every run. Called many times in one run of ours they are made once, ahead of
// the scripts; they use nothing of the script around them but `rcall`.
function officialCalls(names, ours) {
  const shared = new Map();
  const bodies = names.map((name) => {
    let body = officialScript(name).content;
    for (const [each, text] of localFunctions(body)) {
      if (ours.includes(each)) body = body.replace(text, () => '');
      if (ours.includes(each)) continue;
      if (shared.has(each) && shared.get(each) !== text) fail(`bullmq's scripts differ in ${each}`);
      shared.set(each, text);
      body = body.replace(text, () => '');
    }
    return `local function ${name}Script(KEYS, ARGV)\n${body}\nend`;
  });
  return ['local rcall = redis.call', ...shared.values(), ...bodies].join('\n');
}

function expand(line) {
  const call = line.match(/^ *--@call (.+?)(?: instead (.+))?$/);
  if (call) return officialCalls(call[1].split(' '), call[2]?.split(' ') ?? []);
  const from = line.match(/^ *--@from ([\w.]+) (.+)$/);
  if (from) return from[2].split(' ').map((name) => functionOf(from[1], name)).join('\n');
  if (line.trimStart().startsWith('--@')) fail(`what is ${line}?`);
  return line;
}

function ownScript(file) {
  const lines = readFileSync(file, 'utf8').split('\n');
  if (lines[0].startsWith('-- PART')) return [];
  const keys = lines[0].match(/^-- KEYS: (.+)$/)?.[1].split(' ');
  if (!keys) fail(`${basename(file)}: the first line names no keys`);
  const open = keys.at(-1) === '...';
  return { name: basename(file, '.lua'), keys: open ? keys.slice(0, -1) : keys, text: lines.map(expand).join('\n') };
}

function officialScripts() {
  const used = JSON.parse(readFileSync(join(sourceDir, 'scripts.json'), 'utf8'));
  return Object.entries(used).map(([name, keys]) => {
    const script = officialScript(name);
    if (script.keys !== keys.length) fail(`bullmq's ${name} takes ${script.keys} keys, ${keys.length} are passed`);
    return { name, keys, text: script.content };
  });
}

function cString(text) {
  const escaped = (line) => line.replace(/[\\"]/g, '\\$&').replace(/\t/g, '\\t').replace(/\?\?/g, '?\\?');
  return text.split('\n').map((line) => `\t"${escaped(line)}\\n"`).join('\n');
}

const own = readdirSync(luaDir).filter((f) => f.endsWith('.lua')).sort().flatMap((f) => ownScript(join(luaDir, f)));
const scripts = [...officialScripts(), ...own];
for (const s of scripts) if (s.keys.length > MAX_KEYS) fail(`${s.name}: more than ${MAX_KEYS} keys`);

const version = JSON.parse(readFileSync(join(packageDir, 'package.json'), 'utf8')).version;
const guard = 'SLUICE_GEN_BULLMQ_SCRIPTS_H';
writeFileSync(`${output}.h`, `/* Generated by gen-scripts.mjs. */
#ifndef ${guard}
#define ${guard}

#define BQ_SCRIPT_KEYS_MAX ${MAX_KEYS}

enum bq_script {
${scripts.map((s) => `\t${enumName(s.name)},`).join('\n')}
\tBQ_SCRIPT_COUNT
};

#endif
`);

function definition(s) {
  const text = `${s.text}\n`; // as the C string below has it
  return `\t[${enumName(s.name)}] = {
\t\t.wire = {.name = "${s.name}", .keys = ${s.keys.length}, .sha1 = "${createHash('sha1').update(text).digest('hex')}",
\t\t\t .text = text_${s.name}, .text_bytes = sizeof(text_${s.name}) - 1},
\t\t.keys = {${s.keys.map(keyName).join(', ')}},
\t},`;
}
writeFileSync(`${output}.c`, `/* Generated by gen-scripts.mjs from bullmq ${version} and our own scripts. */
#include "lib/bullmq/script.h"

${scripts.map((s) => `static const char text_${s.name}[] =\n${cString(s.text)};`).join('\n\n')}

const struct bq_script_def bq_scripts[BQ_SCRIPT_COUNT] = {
${scripts.map(definition).join('\n')}
};

const char bq_scripts_license[] =
${cString(readFileSync(join(packageDir, 'LICENSE'), 'utf8'))};
`);
