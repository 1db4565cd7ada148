// What the tests share that hold lib/bullmq against its official counterparts: chance that can be repeated, and the program
// that drives lib/bullmq.
//
//     SLUICE_DIFF_SEQUENCES=2000  SLUICE_DIFF_SEED=7
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BUILD, cleanEnvironment } from '../api/harness/index.mjs';

export const SEQUENCES = Number(process.env.SLUICE_DIFF_SEQUENCES ?? 200);
export const SEED = Number(process.env.SLUICE_DIFF_SEED ?? 1);
export const NAME = 'orders';

export class Random {
  constructor(seed) {
    this.state = seed >>> 0;
  }

  next() { // mulberry32
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(n) {
    return Math.floor(this.next() * n);
  }

  chance(p) {
    return this.next() < p;
  }

  pick(list) {
    return list[this.below(list.length)];
  }
}

export class Driver {
  #answers = [];

  constructor(socket, db) {
    this.process = spawn(join(BUILD, 'tests/bqdrive'), [socket, String(db)], { stdio: ['pipe', 'pipe', 'inherit'], env: cleanEnvironment() });
    createInterface({ input: this.process.stdout }).on('line', (line) => this.#answers.shift()(JSON.parse(line)));
  }

  call(op, more = {}) {
    return new Promise((resolve) => {
      this.#answers.push(resolve);
      this.process.stdin.write(`${JSON.stringify({ op, queue: NAME, now: Date.now(), ...more })}\n`);
    });
  }

  async end() {
    const ended = new Promise((resolve) => this.process.once('exit', resolve));
    this.process.stdin.end();
    return ended;
  }
}
