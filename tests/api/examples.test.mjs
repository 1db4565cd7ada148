// The example clients do what they show: submit, work and poll, each in its own language, against the real program.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Child, ROOT, cleanEnvironment, declare, startSluice, temporaryFolder } from './harness/index.mjs';

const CLIENTS = join(ROOT, 'examples/clients');
const QUEUE = 'hello';

// needs: the programs without which the example cannot be run here; command: what runs it.
const LANGUAGES = {
  sh: { needs: ['curl', 'jq'], command: () => [join(CLIENTS, 'client.sh')] },
  Python: { needs: ['python3'], command: () => ['python3', join(CLIENTS, 'client.py')] },
  Node: { needs: [], command: () => [process.execPath, join(CLIENTS, 'client.mjs')] },
  Go: { needs: ['go'], command: buildGo },
};

function buildGo() {
  const folder = temporaryFolder('sluice-go');
  copyFileSync(join(CLIENTS, 'client.go'), join(folder, 'client.go'));
  const built = spawnSync('go', ['build', '-o', 'client', 'client.go'], { cwd: folder, env: { ...process.env, GOCACHE: join(folder, 'cache'), GO111MODULE: 'off' } });
  assert.equal(built.status, 0, String(built.stderr));
  return [join(folder, 'client')];
}

const missing = (programs) => programs.filter((program) => spawnSync('sh', ['-c', `command -v ${program}`]).status !== 0);

let sluice;
before(async () => (sluice = await startSluice({ env: { SLUICE_QUEUES: declare({ name: QUEUE, processor: 'none', attempts: 1 }) } })));
after(() => sluice.stop());

for (const [language, { needs, command }] of Object.entries(LANGUAGES)) {
  const absent = missing(needs);
  describe(`the client in ${language}`, { skip: absent.length > 0 && `needs ${absent.join(', ')}` }, () => {
    let program;
    before(() => (program = command()));

    function start(roles, ...args) {
      const [file, ...rest] = program;
      return new Child(file, [...rest, ...args], {
        cwd: temporaryFolder(), env: cleanEnvironment({ SLUICE_URL: sluice.url, SLUICE_TOKEN: sluice.token({ sub: language, roles }) }),
      });
    }

    async function output(roles, ...args) {
      const child = start(roles, ...args);
      const { code } = await child.end(30_000);
      return { code, text: child.lines.join('\n') };
    }

    test('submits, works and polls', async () => {
      const good = await output(['producer'], 'submit', QUEUE, '{"name": "World"}');
      assert.equal(good.code, 0, good.text);
      const bad = await output(['producer'], 'submit', QUEUE, '{}');
      const worker = start(['worker'], 'work', QUEUE);
      const done = await output(['producer'], 'poll', QUEUE, good.text);
      assert.deepEqual(done, { code: 0, text: '"Hello World"' }, worker.tail());
      const failed = await output(['producer'], 'poll', QUEUE, bad.text);
      assert.equal(failed.code, 1);
      assert.match(failed.text, /name/);
      worker.signal('SIGTERM');
      assert.deepEqual(await worker.end(15_000), { code: 0, signal: null }, worker.tail());
    });

    test('says what is wrong', async () => {
      const { code, text } = await output(['viewer'], 'submit', QUEUE, '{"name": "World"}');
      assert.notEqual(code, 0);
      assert.match(text, /403|forbidden/);
    });
  });
}
