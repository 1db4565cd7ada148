// Runs the cmocka programs, so that their cases stand in the same report as everything else; and the corpora of the fuzz targets.
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { BUILD, Child, ROOT, cleanEnvironment, temporaryFolder } from '../api/harness/index.mjs';

const LONG = Boolean(process.env.SLUICE_TEST_LONG);
const TIMEOUT = (LONG ? 30 : 3) * 60_000;

function sources(folder, pattern) {
  const path = join(ROOT, folder);
  return existsSync(path) ? readdirSync(path).filter((name) => pattern.test(name)).map((name) => name.slice(0, -2)).sort() : [];
}

// The cases of a TAP report: {name, failed, skipped, text}; text is what was printed since the case before.
function parseTap(lines) {
  const cases = [];
  let text = [];
  for (const line of lines) {
    const found = /^(not )?ok \d+ (- |# SKIP )(\S+)/.exec(line);
    if (!found) {
      (line.startsWith('# ') && cases.at(-1)?.failed ? cases.at(-1).text : text).push(line);
      continue;
    }
    const skipped = found[2] !== '- ';
    cases.push({ name: found[3], failed: Boolean(found[1]) && !skipped, skipped, text });
    text = [];
  }
  return cases;
}

describe('unit', { concurrency: 2 }, () => {
  for (const name of sources('tests/unit', /^test_\w+\.c$/)) {
    test(name, { timeout: TIMEOUT }, async (t) => {
      const program = new Child(join(BUILD, 'tests/unit', name), [], {
        cwd: ROOT, env: cleanEnvironment({ CMOCKA_MESSAGE_OUTPUT: 'TAP', TMPDIR: temporaryFolder(name), ...(LONG && { SLUICE_TEST_LONG: '1' }) }),
      });
      const { code, signal } = await program.end(TIMEOUT - 5_000);
      for (const { name: title, failed, skipped, text } of parseTap(program.lines)) {
        await t.test(title, { skip: skipped }, () => assert.ok(!failed, text.join('\n')));
      }
      assert.deepEqual({ code, signal }, { code: 0, signal: null }, program.tail(80));
    });
  }
});

describe('fuzz corpora', () => {
  for (const name of sources('tests/fuzz', /^fuzz_\w+\.c$/)) {
    test(name, { timeout: TIMEOUT }, async (t) => {
      const folder = join(ROOT, 'tests/fuzz/corpus', name.replace('fuzz_', ''));
      const inputs = existsSync(folder) ? readdirSync(folder).map((file) => join(folder, file)) : [];
      if (!inputs.length) return t.skip('no corpus');
      const program = new Child(join(BUILD, 'tests/fuzz', name), inputs, { cwd: ROOT, env: cleanEnvironment() });
      const { code, signal } = await program.end(TIMEOUT - 5_000);
      assert.deepEqual({ code, signal }, { code: 0, signal: null }, program.tail(80));
    });
  }
});
