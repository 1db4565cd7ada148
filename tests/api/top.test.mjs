// `sluice top` on a terminal and elsewhere, and what the shells are given to complete.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Queue } from 'bullmq';
import { SLUICE, Terminal, cleanEnvironment, declare, eventually, runSluice, startRedis, startSluice, temporaryFolder } from './harness/index.mjs';

const LEAVE = '\x1b[?25h\x1b[?1049l';
const SLOW = { timeout: 30_000 };
const NAMES = Array.from({ length: 30 }, (_, i) => `queue-${String(i).padStart(2, '0')}`);

let redis;
let sluice;
let queue;

before(async () => {
  redis = await startRedis();
  sluice = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url, SLUICE_QUEUES: declare(...NAMES.map((name) => ({ name, processor: 'none' }))) } });
  queue = new Queue('queue-07', { connection: redis.connect() });
  await queue.addBulk(Array.from({ length: 12 }, () => ({ name: 'x', data: {} })));
});
after(async () => {
  await queue.close();
  await sluice.stop();
  await redis.stop();
});

const env = () => ({ SLUICE_URL: sluice.url, SLUICE_TOKEN: sluice.token({ sub: 'eve', roles: ['viewer'] }) });
const start = (t, options = {}, ...args) => {
  const terminal = new Terminal([SLUICE, 'top', ...args], { env: cleanEnvironment({ ...env(), TERM: 'xterm', ...options.env }), cwd: temporaryFolder(), ...options.window });
  t.after(() => terminal.kill());
  return terminal;
};
async function shows(terminal, what) {
  await eventually(() => what.test(terminal.screen), { ...SLOW, what: String(what) }).catch((error) => assert.fail(`${error.message}; the screen:\n${terminal.screen}`));
}

describe('top', () => {
  test('is live on a terminal, follows its size, and leaves it as it was', async (t) => {
    const terminal = start(t, { window: { rows: 12, columns: 100 } }, '--interval', '1');
    await shows(terminal, /queue-00/);
    assert.equal(terminal.lines.length, 12);
    assert.match(terminal.lines[0], /33 queues/);
    assert.doesNotMatch(terminal.screen, /queue-07 /);
    terminal.type('o'); // the most waiting first
    await shows(terminal, /WORK *\n *queue-07 +no worker +12 /);
    await queue.add('x', {});
    await shows(terminal, /queue-07 +no worker +13 /);
    terminal.resize(40, 50);
    await eventually(() => terminal.lines.length === 37, { ...SLOW, what: 'the larger window' });
    assert.ok(terminal.lines.every((line) => line.length <= 50), terminal.screen);
    assert.match(terminal.screen, /queue-29/);
    terminal.resize(3, 20);
    await eventually(() => terminal.lines.length === 3 && terminal.lines.every((line) => line.length <= 20), { ...SLOW, what: 'the small window' });
    terminal.type('q');
    assert.deepEqual(await terminal.ended, { code: 0, restored: true });
    assert.ok(terminal.output.endsWith(LEAVE));
  });

  test('scrolls by keys and arrows, to the end and not beyond', async (t) => {
    const terminal = start(t, { window: { rows: 14, columns: 100 } });
    await shows(terminal, /compliance-analysis/);
    terminal.type('j');
    await eventually(() => !/compliance-analysis/.test(terminal.screen), { ...SLOW, what: 'the next row at the top' });
    terminal.type('\x1b[A');
    await shows(terminal, /compliance-analysis/);
    terminal.type('\x1b[B'.repeat(40));
    await shows(terminal, /queue-29/);
    assert.equal(terminal.lines.filter((line) => /^queue-/.test(line)).length, 10);
    terminal.type('\x03');
    assert.deepEqual(await terminal.ended, { code: 0, restored: true });
  });

  test('says when the gateway is away, keeps what it knew, and goes on when it is back', async (t) => {
    const away = await startSluice({ args: ['--role=api'], env: { REDIS_URL: redis.url } });
    const { port } = away;
    const token = away.token({ roles: ['viewer'] });
    const terminal = start(t, { env: { SLUICE_URL: away.url, SLUICE_TOKEN: token } }, '--interval', '1');
    await shows(terminal, /notifications/);
    await away.stop();
    await shows(terminal, /127\.0\.0\.1:\d+: .+\n[^]*notifications/);
    await away.start({ env: { PORT: String(port) } });
    await eventually(() => /notifications/.test(terminal.screen) && !/127\.0\.0\.1/.test(terminal.screen), { ...SLOW, what: 'the gateway again' });
    terminal.type('q');
    assert.equal((await terminal.ended).code, 0);
    await away.stop();
  });

  test('gives the terminal back while it is stopped, and when it is ended from outside', async (t) => {
    const terminal = start(t);
    await shows(terminal, /queue-07/);
    const [pid] = readFileSync(`/proc/${terminal.process.pid}/task/${terminal.process.pid}/children`, 'utf8').trim().split(' ').map(Number);
    const stopped = () => /^State:\tT/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
    terminal.type('\x1a');
    await eventually(() => stopped() && terminal.output.endsWith(LEAVE), { ...SLOW, what: 'the stopped program' });
    process.kill(pid, 'SIGCONT');
    await eventually(() => /\x1b\[\?1049h[^]*queue-07/.test(terminal.output.slice(terminal.output.lastIndexOf(LEAVE))), { ...SLOW, what: 'the view again' });
    process.kill(pid, 'SIGTERM');
    assert.deepEqual(await terminal.ended, { code: 0, restored: true });
    assert.ok(terminal.output.endsWith(LEAVE));
  });

  test('is plain text where there is no terminal, as often as is asked for', async () => {
    const once = await runSluice(['top'], { env: env() });
    assert.equal(once.code, 0, once.text);
    assert.doesNotMatch(once.text, /\x1b/);
    assert.match(once.text, /^sluice top .* 33 queues .*\nQUEUE +STATE/);
    const twice = await runSluice(['top', '--count', '2', '--interval', '1', '--order', 'waiting'], { env: env() });
    assert.equal(twice.text.match(/^QUEUE .*\nqueue-07 /gm).length, 2);
    assert.equal((await runSluice(['top', '--order', 'colour'], { env: env() })).code, 2);
  });
});

describe('completion', () => {
  const script = async (shell) => {
    const { code, text } = await runSluice(['completion', shell]);
    assert.equal(code, 0, text);
    const file = join(temporaryFolder(), `completion.${shell}`);
    writeFileSync(file, text);
    return file;
  };
  const words = (text) => text.trim().split('\n').map((line) => line.split('\t')[0]).toSorted();

  test('bash', async () => {
    const file = await script('bash');
    const complete = (...line) => words(execFileSync('bash', ['-c', `source ${file}; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _sluice; printf '%s\\n' "\${COMPREPLY[@]}"`, 'bash', 'sluice', ...line], { encoding: 'utf8' }));
    assert.deepEqual(complete('t'), ['token', 'top']);
    assert.deepEqual(complete('queues', 'orders', 're'), ['resume']);
    assert.deepEqual(complete('jobs', 'orders', '--state', 'wait'), ['waiting', 'waiting-children']);
    assert.deepEqual(complete('token', '--role', 'pro'), ['producer']);
    assert.deepEqual(complete('dump', 'op'), ['openapi']);
    assert.deepEqual(complete('queues', '--token-file', file), [file]);
    for (const command of words((await runSluice(['--help'])).text.split('Commands:\n')[1].split('\n\n')[0].replace(/^ +(\S+).*$/gm, '$1'))) {
      const options = [...(await runSluice([command, '--help'])).text.matchAll(/^ +(--[a-z-]+)/gm)].map((match) => match[1]);
      assert.deepEqual(complete(command, '--'), options.toSorted(), command);
    }
  });

  test('fish', async () => {
    const file = await script('fish');
    const complete = (line) => words(execFileSync('fish', ['--no-config', '-c', `source ${file}; complete -C "${line}"`], { encoding: 'utf8' }));
    assert.deepEqual(complete('sluice t'), ['token', 'top']);
    assert.deepEqual(complete('sluice jobs orders --state wait'), ['waiting', 'waiting-children']);
    assert.deepEqual(complete('sluice queues orders re'), ['resume']);
  });

  test('zsh', async () => {
    const file = await script('zsh');
    const run = `autoload -Uz compinit; compinit -D -u -d ${temporaryFolder()}/dump; source ${file}; print -r -- $_comps[sluice]`;
    assert.equal(execFileSync('zsh', ['-f', '-c', run], { encoding: 'utf8' }).trim(), '_sluice');
    // The builders of completions are replaced by ones that print what they are given.
    const asked = (current, ...line) => execFileSync('zsh', ['-f', '-c', `compdef() { }; source ${file}; _describe() { print -rl -- $commands; }; _arguments() { print -rl -- "$@"; }; words=("$@"); CURRENT=${current}; _sluice`, 'zsh', 'sluice', ...line], { encoding: 'utf8' });
    assert.match(asked(2, ''), /^top:watch the queues/m);
    assert.match(asked(4, 'jobs', '--state', ''), /^--state\[.*\]:STATE:\(waiting active .*\)$/m);
    assert.match(asked(4, 'queues', '--token-file', ''), /^--token-file\[.*\]:FILE:_files$/m);
  });
});
