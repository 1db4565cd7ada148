// Programs under test: each in its own process group, its output kept, none left behind.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './eventually.mjs';

const alive = new Set();
const folders = new Set();

for (const [name, code] of [['SIGHUP', 129], ['SIGINT', 130], ['SIGTERM', 143]]) process.once(name, () => process.exit(code));
process.on('exit', () => {
  for (const child of alive) child.killGroup('SIGKILL');
  for (const folder of folders) {
    for (const pid of processesOf(folder)) signal(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

// A folder of this test's own, short enough for a Unix socket inside, removed when the test program ends.
export function temporaryFolder(name = 'sluice') {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  folders.add(folder);
  return folder;
}

// The ids of all processes that belong to the folder: it stands in their command line, or they work in it.
export function processesOf(folder) {
  return readdirSync('/proc').filter((entry) => /^\d+$/.test(entry)).map(Number).filter((pid) => {
    if (pid === process.pid) return false;
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(folder) || readlinkSync(`/proc/${pid}/cwd`).startsWith(folder);
    } catch {
      return false; // gone meanwhile, or somebody else's
    }
  });
}

function signal(pid, name) {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
    return false;
  }
}

export class Child {
  lines = [];
  closed = false; // nobody holds its output any more
  #listeners = new Set();

  constructor(file, args, { env, cwd } = {}) {
    this.name = file;
    // setpriv becomes the program, which then ends with this one even when this one is killed -9.
    this.process = spawn('setpriv', ['--pdeathsig', 'KILL', '--', file, ...args], { env, cwd, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    this.pid = this.process.pid;
    this.exited = once(this.process, 'exit').then(([code, by]) => {
      alive.delete(this);
      return { code, signal: by };
    });
    this.exited.catch(() => {}); // a program that cannot be started is reported by whoever waits for it
    this.process.once('close', () => (this.closed = true));
    if (this.pid) alive.add(this);
    this.#collect(this.process.stdout);
    this.#collect(this.process.stderr);
    // A test that fails before it has stopped its programs must not keep the test program alive.
    for (const handle of [this.process, this.process.stdout, this.process.stderr]) handle.unref();
  }

  #collect(stream) {
    let rest = '';
    stream.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      this.lines.push(...lines);
      for (const line of lines) for (const listener of this.#listeners) listener(line);
    }).on('end', () => {
      if (rest) this.lines.push(rest);
    });
  }

  get running() {
    return this.process.exitCode === null && this.process.signalCode === null;
  }

  onLine(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  signal(name) {
    return signal(this.pid, name);
  }

  killGroup(name) {
    return signal(-this.pid, name);
  }

  // How it ended; ends it by force, and fails, when that takes too long.
  async end(timeout) {
    try {
      await eventually(() => !this.running, { timeout, what: `the end of ${this.name} (pid ${this.pid})` });
    } catch (error) {
      this.killGroup('SIGKILL');
      await this.exited;
      throw new Error(`${error.message}; its last lines:\n${this.tail()}`);
    }
    await eventually(() => this.closed, { what: `the end of everything that writes to the output of ${this.name}` });
    return this.exited;
  }

  tail(n = 40) {
    return this.lines.slice(-n).join('\n');
  }
}
