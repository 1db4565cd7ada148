// Is a manifest made of fields that Kubernetes knows, each of its type? By the field tables of the official client, which are generated from the
// API's own description. Custom resources have none there: theirs are below, as far as k8s/ uses them.
import * as models from '../node_modules/@kubernetes/client-node/dist/gen/models/ObjectSerializer.js';

const MODELS = {
  'apps/v1': 'V1', 'autoscaling/v2': 'V2', 'networking.k8s.io/v1': 'V1', 'policy/v1': 'V1', v1: 'V1',
};
const STRINGS = { '*': 'string' };
const CUSTOM = {
  'keda.sh/v1alpha1 ScaledObject': {
    scaleTargetRef: { name: 'string' }, pollingInterval: 'number', cooldownPeriod: 'number', minReplicaCount: 'number', maxReplicaCount: 'number',
    triggers: [{ type: 'string', metadata: STRINGS, authenticationRef: { name: 'string' } }],
  },
  'keda.sh/v1alpha1 TriggerAuthentication': { secretTargetRef: [{ parameter: 'string', name: 'string', key: 'string' }] },
  'monitoring.coreos.com/v1 PodMonitor': {
    jobLabel: 'string', selector: { matchLabels: STRINGS }, podMetricsEndpoints: [{ port: 'string', path: 'string', interval: 'string' }],
  },
  'monitoring.coreos.com/v1 PrometheusRule': {
    groups: [{ name: 'string', rules: [{ alert: 'string', record: 'string', expr: 'string', for: 'string', labels: STRINGS, annotations: STRINGS }] }],
  },
};

const QUANTITY = /^\d+(\.\d+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$/;

function checkShape(value, shape, at, wrong) {
  if (Array.isArray(shape)) {
    if (Array.isArray(value)) value.forEach((item, i) => checkShape(item, shape[0], `${at}[${i}]`, wrong));
    else wrong.push(`${at} must be a list`);
  } else if (typeof shape === 'object') {
    for (const [name, item] of Object.entries(value)) {
      if (shape[name] ?? shape['*']) checkShape(item, shape[name] ?? shape['*'], `${at}.${name}`, wrong);
      else wrong.push(`${at}.${name} is not known`);
    }
  } else if (typeof value !== shape) {
    wrong.push(`${at} must be a ${shape}`);
  }
}

function checkModel(value, model, at, wrong) {
  const fields = new Map(model.getAttributeTypeMap().map((field) => [field.baseName, field.type]));
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    wrong.push(`${at} must be an object`);
    return;
  }
  for (const [name, item] of Object.entries(value)) {
    if (fields.has(name)) checkType(item, fields.get(name), `${at}.${name}`, wrong);
    else wrong.push(`${at}.${name} is not known`);
  }
}

function checkType(value, type, at, wrong) {
  const list = /^(?:Array|Set)<(.+)>$/.exec(type);
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type);
  if (list && Array.isArray(value)) value.forEach((item, i) => checkType(item, list[1], `${at}[${i}]`, wrong));
  else if (list) wrong.push(`${at} must be a list`);
  else if (map) for (const [name, item] of Object.entries(value ?? {})) checkType(item, map[1], `${at}.${name}`, wrong);
  else if (/resources\.(requests|limits)\.|\.sizeLimit$/.test(at)) QUANTITY.test(value) || wrong.push(`${at} is no quantity`);
  else if (type === 'IntOrString') ['number', 'string'].includes(typeof value) || wrong.push(`${at} must be a number or a name`);
  else if (['string', 'number', 'boolean'].includes(type)) typeof value === type || wrong.push(`${at} must be a ${type}`);
  else if (models[type]) checkModel(value, models[type], at, wrong);
  else if (type !== 'any') wrong.push(`${at}: the type ${type} is not known`);
}

// What is wrong with it, as sentences.
export function faults(object) {
  const { apiVersion, kind, metadata, spec, ...rest } = object;
  const at = `${kind} ${metadata?.name}`;
  const wrong = [];
  const custom = CUSTOM[`${apiVersion} ${kind}`];
  if (custom) {
    for (const name of Object.keys(rest)) wrong.push(`${at}.${name} is not known`);
    checkModel(metadata, models.V1ObjectMeta, `${at}.metadata`, wrong);
    checkShape(spec, custom, `${at}.spec`, wrong);
  } else if (models[`${MODELS[apiVersion]}${kind}`]) {
    checkModel(object, models[`${MODELS[apiVersion]}${kind}`], at, wrong);
  } else {
    wrong.push(`${at}: ${apiVersion} ${kind} is not known`);
  }
  return wrong;
}
