// Runs the tests and prints one report: `node tests/run.mjs [unit] [api] [interop] [ui] [deploy] [fault]`; all of them without arguments.
//
// Two files at a time where they may share the machine, one at a time where faults are injected; at the end of a whole run the question
// whether any operation was never exercised.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const FILE_TIMEOUT = (process.env.SLUICE_TEST_LONG ? 120 : 20) * 60_000;
const SUMMARY = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) ([\d.]+)$/;
const together = { folders: ['unit', 'api', 'interop', 'ui', 'deploy'], concurrency: Math.min(2, availableParallelism()) };
const alone = { folders: ['fault'], concurrency: 1 };

const wanted = process.argv.slice(2);
const files = (folder) => {
  const path = join(import.meta.dirname, folder);
  return existsSync(path) ? readdirSync(path).filter((name) => name.endsWith('.test.mjs')).sort().map((name) => join(path, name)) : [];
};
const phases = [together, alone].map(({ folders, concurrency }) => ({
  concurrency, files: folders.filter((folder) => !wanted.length || wanted.includes(folder)).flatMap(files),
}));
if (!wanted.length) phases.push({ concurrency: 1, files: [join(import.meta.dirname, 'contract.test.mjs')] });

// The events of all phases as those of one run: the summaries are added up and come last.
async function* events() {
  const sums = new Map();
  for (const phase of phases.filter((candidate) => candidate.files.length)) {
    for await (const event of run({ ...phase, timeout: FILE_TIMEOUT })) {
      const summary = event.type === 'test:diagnostic' && event.data.nesting === 0 && SUMMARY.exec(event.data.message);
      if (summary) sums.set(summary[1], (sums.get(summary[1]) ?? 0) + Number(summary[2]));
      else if (event.type !== 'test:summary') yield event;
      if (event.type === 'test:fail' && !event.data.todo) process.exitCode = 1;
    }
  }
  for (const [name, sum] of sums) {
    yield { type: 'test:diagnostic', data: { nesting: 0, message: `${name} ${name === 'duration_ms' ? Math.round(sum) : sum}`, level: 'info' } };
  }
}

const coverage = mkdtempSync(join(tmpdir(), 'sluice-coverage-'));
process.env.SLUICE_COVERAGE_DIR = coverage;
process.on('exit', () => rmSync(coverage, { recursive: true, force: true }));
Readable.from(events()).compose(new spec()).pipe(process.stdout);
