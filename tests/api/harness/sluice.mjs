// The real program under test.
//
//     const sluice = await startSluice({ env: { REDIS_URL: redis.url } });
//     const created = await sluice.client.as(sluice.token({ roles: ['producer'] })).post('/api/jobs/notifications', {...});
//     await sluice.stop();          // asserts a clean end
//
// SLUICE_BIN names the program; else it is the one of SLUICE_BUILD (build/asan). RELEASE is the one that is delivered.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Child, processesOf, temporaryFolder } from './child.mjs';
import { Contract } from './contract.mjs';
import { eventually } from './eventually.mjs';
import { Client } from './http.mjs';
import { makeToken } from './token.mjs';

export const ROOT = resolve(import.meta.dirname, '../../..');
export const BUILD = resolve(ROOT, process.env.SLUICE_BUILD ?? 'build/asan');
export const SLUICE = resolve(ROOT, process.env.SLUICE_BIN ?? join(BUILD, 'sluice'));
export const RELEASE = join(ROOT, 'build/sluice');

const SANITIZERS = {
  ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1',
  UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1',
  TSAN_OPTIONS: `halt_on_error=0:second_deadlock_stack=1:suppressions=${join(ROOT, 'tests/tsan.supp')}`,
};
const SANITIZER_REPORT = /(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:/;

// The environment of a program under test: nothing of the tester's own settings, and no PostgreSQL for each of hundreds of gateways.
export function cleanEnvironment(extra = {}) {
  return { PATH: process.env.PATH, HOME: process.env.HOME, LANG: 'C.UTF-8', SLUICE_RECORDS: 'off', ...SANITIZERS, ...extra };
}

// Runs the program to its end: {code, signal, stdout-and-stderr as text}.
export async function runSluice(args, { env = {}, timeout = 30_000, cwd = temporaryFolder() } = {}) {
  const child = new Child(SLUICE, args, { cwd, env: cleanEnvironment(env) });
  const { code, signal } = await child.end(timeout);
  return { code, signal, text: child.lines.join('\n') };
}

// env: settings; args: behind `serve`; program: [file, ...arguments] to run instead, before `serve`; allow: the events of log lines of level error that this test provokes (strings or expressions).
export async function startSluice(options = {}) {
  const sluice = new Sluice(options);
  await sluice.start();
  return sluice;
}

class Sluice {
  logs = []; // every log line of every start, parsed
  #contract;

  constructor({ env = {}, args = [], allow = [], program = [SLUICE], dataDir = temporaryFolder(), secret = randomBytes(32).toString('hex') } = {}) {
    Object.assign(this, { env, args, allow, program, dataDir, secret });
  }

  // Also after stop() or kill(): a restart on the same data, perhaps with other settings.
  async start({ env = {}, args = this.args } = {}) {
    assert.ok(existsSync(SLUICE), `${SLUICE} is not there: make SAN=asan programs, or set SLUICE_BIN`);
    Object.assign(this.env, env);
    // A test that blocks its event loop for some seconds does not hear that an idle connection has ended, so that does not happen as soon as by default.
    this.child = new Child(this.program[0], [...this.program.slice(1), 'serve', ...args], {
      cwd: this.dataDir, // where there is no .env
      env: cleanEnvironment({
        HOST: '127.0.0.1', PORT: '0', DATA_DIR: this.dataDir, JWT_SECRET: this.secret, LOG_FORMAT: 'json', LOG_LEVEL: 'debug', SLUICE_KEEP_ALIVE_TIMEOUT: '20s', ...this.env,
      }),
    });
    const from = this.logs.length;
    this.child.onLine((line) => {
      if (line.startsWith('{')) this.logs.push(JSON.parse(line));
    });
    const ready = await eventually(() => this.logs.slice(from).find((entry) => entry.event === 'listening') ?? (this.child.running ? null : 'ended'), {
      timeout: 20_000, interval: 2, what: 'the log line "listening"',
    });
    if (ready === 'ended') throw new Error(`the program ended instead of listening:\n${this.child.tail()}`);
    this.url = ready.url;
    this.client?.close();
    this.client = new Client({ port: Number(new URL(ready.url).port), token: this.token(), check: (exchange) => this.#check(exchange) });
    return this;
  }

  get port() {
    return this.client.port;
  }

  // A token that this server accepts.
  token(claims) {
    return makeToken(this.secret, claims);
  }

  // A client with such a token.
  as(claims) {
    return this.client.as(this.token(claims));
  }

  async #readOpenapi() {
    const client = new Client({ port: this.port });
    const { json } = await client.get('/openapi.json');
    client.close(); // its connection would keep a thread from the test
    return json;
  }

  async #check(exchange) {
    this.#contract ??= new Contract(await this.#readOpenapi());
    this.#contract.check(exchange);
  }

  // Resolves with the first log line (of all starts) of that event whose fields include the given ones.
  logged(event, fields = {}, options = {}) {
    const fits = (entry) => entry.event === event && Object.entries(fields).every(([name, value]) => entry[name] === value);
    return eventually(() => this.logs.find(fits), { what: `the log line ${event} ${JSON.stringify(fields)}`, ...options });
  }

  // Ends it as an operator would and asserts that it went well: exit code, sanitizers, log, no process left.
  async stop({ timeout = 30_000 } = {}) {
    if (!this.child.running) {
      const { code, signal } = await this.child.exited;
      assert.fail(`the program was already gone (code ${code}, signal ${signal}):\n${this.child.tail()}`);
    }
    this.client.close();
    this.child.signal('SIGTERM');
    const { code, signal } = await this.child.end(timeout);
    this.assertClean();
    assert.deepEqual({ code, signal }, { code: 0, signal: null }, `the end was not clean:\n${this.child.tail()}`);
    await this.#assertAlone();
  }

  // kill -9, as a crash would; its embedded children must be gone with it.
  async kill() {
    this.child.signal('SIGKILL');
    this.client.close();
    await this.child.end(5_000);
    this.assertClean();
    await this.#assertAlone();
  }

  assertClean() {
    const report = this.child.lines.findIndex((line) => SANITIZER_REPORT.test(line));
    assert.equal(report, -1, `a sanitizer reports:\n${this.child.lines.slice(Math.max(report, 0), report + 60).join('\n')}`);
    const wrong = this.logs.filter((entry) => entry.event === 'audit_missing' || (entry.level === 'error' && !this.#allows(entry.event)));
    assert.deepEqual(wrong, [], 'the log has lines that this test does not expect');
  }

  #allows(event) {
    return this.allow.some((rule) => (rule instanceof RegExp ? rule.test(event) : rule === event));
  }

  async #assertAlone() {
    await eventually(() => processesOf(this.dataDir).length === 0, { what: `the end of every process of ${this.dataDir}` });
  }
}
