// A PostgreSQL of the test's own, on a Unix socket. initdb runs once, into build/; every server is a copy of that.
//
//     const postgres = await startPostgres();
//     const sluice = await startSluice({ env: { DATABASE_URL: postgres.url } });
//     postgres.rows('SELECT version FROM sluice.migrations');     [{version: 1}, …]
import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Child, temporaryFolder } from './child.mjs';
import { eventually } from './eventually.mjs';

const ROOT = resolve(import.meta.dirname, '../../..');
const TEMPLATE = join(ROOT, 'build/pg-template');
const DEBIAN = '/usr/lib/postgresql';
const VERSION = Math.max(...readdirSync(DEBIAN).map(Number).filter(Number.isInteger));
const program = (name) => join(DEBIAN, String(VERSION), 'bin', name);

// PostgreSQL refuses root, which may be somebody else in a namespace of its own.
const PREFIX = process.getuid() === 0
  ? ['unshare', '-U', '--map-user=65534', '--map-group=65534', 'setpriv', '--pdeathsig', 'KILL']
  : ['setpriv', '--pdeathsig', 'KILL'];

function makeTemplate() {
  const initdb = [...PREFIX, program('initdb'), '-D', `${TEMPLATE}.new`, '-U', 'sluice', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'].join(' ');
  const script = `test -d ${TEMPLATE} || { rm -rf ${TEMPLATE}.new && ${initdb} >/dev/null && mv ${TEMPLATE}.new ${TEMPLATE}; }`;
  execFileSync('flock', [join(ROOT, 'build/.pg-template.lock'), 'sh', '-c', script]);
}

export async function startPostgres() {
  const postgres = new TestPostgres();
  await postgres.start();
  return postgres;
}

class TestPostgres {
  constructor() {
    this.folder = temporaryFolder('sluice-pg');
    this.data = join(this.folder, 'data');
    this.url = `postgresql://sluice@/postgres?host=${encodeURIComponent(this.folder)}`;
    makeTemplate();
    execFileSync('cp', ['-a', '--reflink=auto', TEMPLATE, this.data]);
  }

  async start({ env } = {}) {
    const [file, ...args] = PREFIX;
    const settings = [`unix_socket_directories=${this.folder}`, 'listen_addresses=', 'fsync=off', 'shared_buffers=16MB', 'max_connections=40', 'jit=off'];
    this.child = new Child(file, [...args, program('postgres'), '-D', this.data, ...settings.flatMap((setting) => ['-c', setting])], { env: { ...process.env, ...env } });
    await eventually(() => execFileSync(program('pg_isready'), ['-q', '-h', this.folder]) !== null, { timeout: 60_000, what: 'an answer of postgres' });
  }

  // The answer's lines.
  sql(text) {
    const answer = execFileSync(program('psql'), ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-h', this.folder, '-U', 'sluice', 'postgres'], { input: text, encoding: 'utf8' });
    return answer.trimEnd().split('\n');
  }

  // The rows of a query, as objects.
  rows(query) {
    return JSON.parse(this.sql(`SELECT coalesce(json_agg(t), '[]') FROM (${query}) t;`).join('\n'));
  }

  // To the server and to its children, each of which is a session of its own.
  #signal(name) {
    const { pid } = this.child;
    this.child.signal(name === 'SIGKILL' ? 'SIGSTOP' : name);
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number);
    for (const child of children) {
      try {
        process.kill(child, name);
      } catch (error) {
        if (error.code !== 'ESRCH') throw error;
      }
    }
    if (name === 'SIGKILL') this.child.signal(name);
  }

  pause() {
    this.#signal('SIGSTOP');
  }

  resume() {
    this.#signal('SIGCONT');
  }

  async kill() {
    this.#signal('SIGKILL');
    await this.child.end(10_000);
  }

  async stop() {
    if (!this.child.running) return;
    this.resume();
    this.child.signal('SIGINT');
    await this.child.end(30_000);
  }
}
