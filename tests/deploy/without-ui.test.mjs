// WITH_UI=0: a program without its web page, built where none of the page's packages can be had. Only what differs is built, with the commands
// that make itself would run.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { RELEASE, ROOT, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';

const run = promisify(execFile);
const folder = temporaryFolder('sluice-no-ui');
const options = { cwd: ROOT, timeout: 120_000, maxBuffer: 1 << 24, env: { ...process.env, MAKEFLAGS: '', PATH: `${join(folder, 'bin')}:${process.env.PATH}` } };
const make = async (...args) => (await run('make', args, options)).stdout;

// The command by which make would make `target` when `source` had changed, with other names in it.
async function commandFor(target, source, names) {
  const lines = (await make('-n', 'V=1', '-W', source, target)).split('\n');
  const line = lines.find((each) => each.includes(` -o ${target} `));
  assert.ok(line, `make has no command for ${target}`);
  return names.reduce((text, [from, to]) => text.replaceAll(from, to), line);
}

const shell = (command) => run('sh', ['-c', command], options);

test('a program without its page needs none of its packages, and says so', async () => {
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/npm'), '#!/bin/sh\necho "npm was asked for packages" >&2\nexit 1\n', { mode: 0o755 });
  const gen = join(folder, 'gen');
  await make('WITH_UI=0', `BUILD=${folder}`, join(gen, 'ui_assets.c'), join(gen, 'preact_licence.h'));
  assert.ok(!existsSync(join(folder, 'npm')), 'no package was fetched');

  const objects = [['build/gen/ui_assets.c', 'build/obj/build/gen/ui_assets.o'], ['gateway/cli/version.c', 'build/obj/gateway/cli/version.o']];
  const built = [];
  for (const [i, [source, object]] of objects.entries()) {
    const own = join(folder, `${i}.o`);
    await shell(await commandFor(object, source, [[object, own], [' -Ibuild/gen ', ` -I${gen} -Ibuild/gen `], [' build/gen/ui_assets.c', ` ${gen}/ui_assets.c`]]));
    built.push(own);
  }
  const program = join(folder, 'sluice');
  await shell(await commandFor('build/sluice', 'gateway/main.c', [[' -o build/sluice ', ` -o ${program} ${built.join(' ')} `]]));
  symlinkSync(`${RELEASE}-helper`, `${program}-helper`);

  const { stdout: licences } = await run(program, ['version', '--licenses'], { cwd: folder, maxBuffer: 1 << 24 });
  assert.match(licences, /BullMQ/i);
  assert.doesNotMatch(licences, /Jason Miller/, 'the licence of what is not in it');
  const redis = await startRedis();
  const sluice = await startSluice({ program: [program], env: { REDIS_URL: redis.url } });
  try {
    const page = await fetch(`${sluice.url}/`);
    assert.equal(page.status, 200);
    assert.match(page.headers.get('content-type'), /^text\/html/);
    assert.match(await page.text(), /built without its web page.*\/openapi\.json/s);
    assert.equal((await fetch(`${sluice.url}/queues`)).status, 404, 'the addresses of screens are nothing');
    assert.equal((await sluice.as({ sub: 'eve', roles: ['viewer'] }).get('/api/queues')).status, 200);
    await sluice.stop();
  } finally {
    await redis.stop();
  }
});
