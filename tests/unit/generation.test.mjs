// The generated sources do not depend on which Node made them: Debian's own, where it is installed, makes what the build has.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, temporaryFolder } from '../api/harness/index.mjs';

const DEBIAN_NODE = '/usr/bin/nodejs';

test('the table of Lua scripts', { skip: !existsSync(DEBIAN_NODE) && 'no Node of Debian here' }, () => {
  const output = join(temporaryFolder(), 'bullmq_scripts');
  const generated = join(ROOT, 'build/gen/bullmq_scripts');
  execFileSync(DEBIAN_NODE, ['lib/bullmq/gen-scripts.mjs', 'build/npm/bullmq/node_modules/bullmq', 'lib/bullmq', output], { cwd: ROOT });
  for (const suffix of ['.h', '.c']) {
    assert.equal(readFileSync(output + suffix, 'utf8'), readFileSync(generated + suffix, 'utf8'), suffix);
  }
});
