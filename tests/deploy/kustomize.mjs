// As much of kustomize as k8s/ uses, and not a field more: what is not known here is refused, so a manifest cannot lean on something untested.
// Generated names get no hash; a real `kubectl kustomize` is no part of the tests.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';

const FIELDS = new Set(['apiVersion', 'kind', 'namespace', 'resources', 'components', 'labels', 'images', 'configMapGenerator', 'secretGenerator']);
const GENERATOR_FIELDS = new Set(['name', 'behavior', 'envs', 'files', 'literals', 'options']);
const CLUSTER_WIDE = new Set(['Namespace']);
// kustomize reads YAML 1.1, where 0440 is octal.
const YAML = { version: '1.1' };

export function readManifests(file) {
  return parseAllDocuments(readFileSync(file, 'utf8'), YAML).map((document) => {
    assert.deepEqual(document.errors, [], file);
    return document.toJS();
  });
}

const knows = (known, object, where) => {
  for (const field of Object.keys(object)) assert.ok(known.has(field), `${where}: the field ${field} is not known here`);
};
const pair = (line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)];

function generated(folder, { envs = [], files = [], literals = [] }) {
  return Object.fromEntries([
    ...envs.flatMap((file) => readFileSync(join(folder, file), 'utf8').split('\n').filter((line) => line && !line.startsWith('#')).map(pair)),
    ...files.map((file) => [basename(file), readFileSync(join(folder, file), 'utf8')]),
    ...literals.map(pair),
  ]);
}

function generate(objects, folder, kind, field, generator) {
  knows(GENERATOR_FIELDS, generator, folder);
  const data = generated(folder, generator);
  const there = objects.find((object) => object.kind === kind && object.metadata.name === generator.name);
  if (generator.behavior === 'merge') {
    assert.ok(there, `${folder}: ${generator.name} is not there to be merged with`);
    Object.assign(there[field], data);
    return;
  }
  assert.ok(!there && generator.behavior === undefined, `${folder}: ${generator.name}`);
  objects.push({ apiVersion: 'v1', kind, metadata: { name: generator.name, labels: generator.options?.labels }, [field]: data });
}

function label(objects, { pairs, includeTemplates = false, ...rest }) {
  assert.deepEqual(rest, {});
  for (const { metadata, spec } of objects) {
    metadata.labels = { ...metadata.labels, ...pairs };
    if (includeTemplates && spec?.template) spec.template.metadata.labels = { ...spec.template.metadata.labels, ...pairs };
  }
}

function rename(objects, { name, newName = name, newTag, ...rest }) {
  assert.deepEqual(rest, {});
  const containers = objects.flatMap(({ spec }) => spec?.template?.spec.containers ?? []).filter(({ image }) => image === name);
  assert.ok(containers.length, `no container has the image ${name}`);
  for (const container of containers) container.image = `${newName}:${newTag}`;
}

// The objects of a folder with a kustomization.yaml; a component works on those that are there already.
export function render(folder, inherited = []) {
  const k = parse(readFileSync(join(folder, 'kustomization.yaml'), 'utf8'), YAML);
  knows(FIELDS, k, folder);
  const objects = [...inherited];
  for (const path of k.resources ?? []) objects.push(...(path.endsWith('.yaml') ? readManifests(join(folder, path)) : render(join(folder, path))));
  for (const generator of k.configMapGenerator ?? []) generate(objects, folder, 'ConfigMap', 'data', generator);
  for (const generator of k.secretGenerator ?? []) generate(objects, folder, 'Secret', 'stringData', generator);
  for (const path of k.components ?? []) objects.splice(0, objects.length, ...render(join(folder, path), objects));
  for (const labels of k.labels ?? []) label(objects, labels);
  for (const image of k.images ?? []) rename(objects, image);
  for (const { kind, metadata } of k.namespace ? objects : []) if (!CLUSTER_WIDE.has(kind)) metadata.namespace = k.namespace;
  return objects;
}
