// Runs last: every operation of the program has been exercised with success by some test, and every JSON answer has a schema.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runSluice } from './api/harness/index.mjs';

const VERBS = ['get', 'put', 'post', 'delete', 'patch'];

async function operations() {
  const { code, text } = await runSluice(['dump', 'openapi']);
  assert.equal(code, 0, text);
  const document = JSON.parse(text);
  return Object.entries(document.paths).flatMap(([path, item]) => VERBS.filter((verb) => item[verb]).map((verb) => ({
    name: `${verb.toUpperCase()} ${path}`, responses: item[verb].responses,
  })));
}

test('every operation was exercised', { skip: !process.env.SLUICE_COVERAGE_DIR && 'only at the end of a whole run' }, async () => {
  const folder = process.env.SLUICE_COVERAGE_DIR;
  const seen = new Set(readdirSync(folder).flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n')));
  const succeeded = new Set([...seen].filter((line) => / ([23]\d\d|101)$/.test(line)).map((line) => line.replace(/ \d+$/, '')));
  assert.deepEqual((await operations()).map(({ name }) => name).filter((name) => !succeeded.has(name)), []);
});

test('every JSON answer has a schema', async () => {
  const bare = (await operations()).flatMap(({ name, responses }) => Object.entries(responses ?? {}).flatMap(([status, { content = {} }]) =>
    Object.entries(content).filter(([type, { schema }]) => /json/.test(type) && !schema).map(([type]) => `${name} ${status} ${type}`)));
  assert.deepEqual(bare, []);
});
