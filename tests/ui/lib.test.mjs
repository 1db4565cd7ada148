// What the web page computes without a browser: JSON as text, forms from schemas, the words of each language.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { children, kindOf, member, valueEnd } from '../../admin-ui/src/lib/json.js';
import { fieldOf, toJson } from '../../admin-ui/src/lib/schemaform.js';
import messages from '../../admin-ui/src/messages.js';
import { ROOT } from '../api/harness/index.mjs';

describe('JSON as text', () => {
  test('a member is given as it was written', () => {
    const text = '{"a":1,"data":{"n":9007199254740993,"f":0.10,"s":"\\"}]\\\\"},"z":[1,{"data":2}]}';
    assert.equal(member(text, 'data'), '{"n":9007199254740993,"f":0.10,"s":"\\"}]\\\\"}');
    assert.equal(member(text, 'a'), '1');
    assert.equal(member(text, 'none'), undefined);
  });

  test('members are found past the first hundred', () => {
    const text = JSON.stringify(Object.fromEntries(Array.from({ length: 250 }, (_, i) => [`k${i}`, i])));
    assert.equal(member(text, 'k249'), '249');
    const first = children(text, 0);
    assert.equal(first.items.length, 100);
    assert.equal(children(text, 0, { from: first.next }).items[0].key, 'k100');
  });

  test('any value is taken apart as JSON.parse takes it', () => {
    const rebuild = (text, start, end) => {
      const kind = kindOf(text, start);
      if (kind !== 'object' && kind !== 'array') return JSON.parse(text.slice(start, end));
      const all = [];
      for (let from = start + 1; from !== null; ) {
        const { items, next } = children(text, start, { from, limit: 3 });
        all.push(...items);
        from = next;
      }
      const values = all.map((item) => [item.key, rebuild(text, item.start, item.end)]);
      return kind === 'array' ? values.map(([, value]) => value) : Object.fromEntries(values);
    };
    fc.assert(fc.property(fc.json(), fc.constantFrom(0, 1, 2), (source, indent) => {
      const text = JSON.stringify(JSON.parse(source), null, indent);
      assert.equal(valueEnd(text, 0), text.length);
      assert.deepEqual(rebuild(text, 0, text.length), JSON.parse(JSON.stringify(JSON.parse(source))));
    }));
  });

  test('ten megabytes are passed over at once', () => {
    const text = `{"big":${JSON.stringify(Array.from({ length: 500_000 }, (_, i) => `value ${i}`))},"data":7}`;
    assert.equal(member(text, 'data'), '7');
    assert.equal(children(text, text.indexOf('[')).items.length, 100);
  });
});

describe('a form from a schema', () => {
  const schema = {
    type: 'object', required: ['name', 'card'],
    properties: {
      name: { type: 'string' }, n: { type: 'integer' }, on: { type: 'boolean' }, kind: { enum: ['a', 7] }, tags: { type: 'array', items: { type: 'string' } },
      many: { type: 'array', items: { enum: ['x', 'y'] } }, any: {}, card: { $ref: '#/$defs/card' }, 'a/b': { type: ['string', 'null'] },
    },
  };
  const field = fieldOf(schema, { $defs: { card: { type: 'object', properties: { text: { type: 'string' } } } } });

  test('has a field for each property', () => {
    assert.deepEqual(field.fields.map(({ kind }) => kind), ['string', 'integer', 'boolean', 'choice', 'lines', 'choices', 'json', 'group', 'string']);
    assert.equal(field.fields.at(-1).pointer, '/a~1b');
  });

  test('leaves out what is empty, and keeps digits as they were typed', () => {
    assert.equal(toJson(field, {}), '{"card":{}}');
    const values = { '/name': 'q"', '/n': '9007199254740993', '/on': 'no', '/kind': '1', '/tags': 'a\n\nb', '/many': [1], '/any': '{"x":1.0}', '/card/text': 't', '/a~1b': 'z' };
    assert.equal(toJson(field, values), '{"name":"q\\"","n":9007199254740993,"on":false,"kind":7,"tags":["a","b"],"many":["y"],"any":{"x":1.0},"card":{"text":"t"},"a/b":"z"}');
  });
});

describe('words', () => {
  const folder = join(ROOT, 'admin-ui/src');
  const sources = readdirSync(folder, { recursive: true }).filter((name) => /\.jsx?$/.test(name) && name !== 'messages.js').map((name) => readFileSync(join(folder, name), 'utf8')).join('\n');
  const holes = (text) => [...new Set(text.match(/\{\w+\}/g) ?? [])].sort();

  test('every one is there in each language, with the same places to fill', () => {
    for (const [name, texts] of Object.entries(messages)) {
      assert.equal(texts.length, 2, name);
      assert.ok(texts.every((text) => text.trim()), name);
      assert.deepEqual(holes(texts[0]), holes(texts[1]), name);
      assert.equal(texts[0].split(' | ').length, texts[1].split(' | ').length, name);
    }
  });

  test('every finding of the server has a sentence, and fills it with what the server tells', () => {
    const explain = readFileSync(join(ROOT, 'gateway/explain.c'), 'utf8');
    const codes = [...explain.matchAll(/\{"([a-z0-9-]+)", (?:CRITICAL|WARNING|INFO), /g)].map(([, code]) => code);
    const told = new Set([...explain.matchAll(/(?:&f->values, |add_known\(f, |\? )"(\w+)"(?: : "(\w+)")?/g)].flatMap(([, ...names]) => names));
    assert.ok(codes.length > 15 && told.has('jobs') && told.has('moreThan'));
    for (const code of [...codes, 'ok']) {
      assert.ok(`finding.${code}` in messages, code);
      for (const hole of holes(messages[`finding.${code}`][0])) assert.ok(told.has(hole.slice(1, -1)), `${code}: ${hole}`);
    }
  });

  test('every one that the screens name is there, and none is left over', () => {
    const named = [...sources.matchAll(/'([a-z]+(?:\.[\w-]+)+)'/g)].map((m) => m[1]);
    const called = [...sources.matchAll(/\btn?\('([^']+)'/g)].map((m) => m[1]);
    assert.deepEqual([...new Set(called)].filter((name) => !(name in messages)), []);
    const patterns = [...sources.matchAll(/`([a-z]+[\w.]*)\$\{[^`]+?\}([\w.]*)`/g)].map(([, before, behind]) => new RegExp(`^${before.replaceAll('.', '\\.')}.+${behind.replaceAll('.', '\\.')}$`));
    const used = new Set([...named, ...called]);
    assert.deepEqual(Object.keys(messages).filter((name) => !used.has(name) && !patterns.some((pattern) => pattern.test(name))), []);
  });
});
