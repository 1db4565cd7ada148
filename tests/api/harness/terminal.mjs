// A program on a terminal: what stands on its screen, keys, another size, and how it left.
//
//     const terminal = new Terminal([SLUICE, 'top'], { env, rows: 24, columns: 80 });
//     await eventually(() => /orders/.test(terminal.screen));
//     terminal.type('q');
//     const { code, restored } = await terminal.ended;
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

const FRAME = '\x1b[H'; // each begins so

export class Terminal {
  output = '';
  #errors = '';

  constructor(command, { env, rows = 24, columns = 100, cwd } = {}) {
    const arguments_ = [join(import.meta.dirname, 'terminal.py'), String(rows), String(columns), ...command];
    this.process = spawn('python3', arguments_, { env: { TERM: 'xterm-256color', ...env }, cwd, stdio: 'pipe' });
    this.process.stdout.setEncoding('utf8').on('data', (text) => (this.output += text));
    this.process.stderr.setEncoding('utf8').on('data', (text) => (this.#errors += text));
    this.ended = once(this.process, 'close').then(() => {
      const last = this.#errors.trim().split('\n').at(-1);
      if (!last.startsWith('{')) throw new Error(`the terminal ended: ${this.#errors}`);
      return JSON.parse(last);
    });
    this.ended.catch(() => {}); // whoever waits for it is told
  }

  // The lines of the last whole frame, without what places and colours them.
  get lines() {
    const frame = this.output.split(FRAME).findLast((text) => text.includes('\x1b[J')) ?? '';
    return frame.slice(0, frame.indexOf('\x1b[J')).replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '').split('\r\n');
  }

  get screen() {
    return this.lines.join('\n');
  }

  type(keys) {
    this.process.stdin.write(`${JSON.stringify({ keys })}\n`);
  }

  resize(rows, columns) {
    this.process.stdin.write(`${JSON.stringify({ size: [rows, columns] })}\n`);
  }

  kill() {
    this.process.kill('SIGKILL'); // the terminal hangs up
  }
}
