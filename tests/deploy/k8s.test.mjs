// The manifests: made of fields that exist, safe, complete, and of settings that the program has.
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { ROOT, runSluice } from '../api/harness/index.mjs';
import { faults } from './kubernetes.mjs';
import { readManifests, render } from './kustomize.mjs';

const K8S = join(ROOT, 'k8s');
const overlays = readdirSync(join(K8S, 'overlays')).map((name) => ({ name, objects: render(join(K8S, 'overlays', name)) }));
const everything = overlays.flatMap(({ objects }) => objects);
const named = (objects, kind, name) => objects.find((object) => object.kind === kind && (!name || object.metadata.name === name));
const workloads = (objects) => objects.filter(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet');
const ours = (objects) => objects.filter(({ kind, metadata }) => kind === 'Deployment' && metadata.name.startsWith('sluice-'));
const podOf = ({ spec }) => spec.template.spec;
const selects = (selector, labels) => Object.entries(selector.matchLabels ?? selector).every(([name, value]) => labels[name] === value);
const seconds = (text) => Number(/^(\d+)s$/.exec(text)[1]);

// A container's settings by name, with those that come from files under their own names.
function settingsOf(objects, { env = [], envFrom = [] }) {
  const shared = envFrom.flatMap(({ configMapRef }) => Object.entries(named(objects, 'ConfigMap', configMapRef.name).data));
  return Object.fromEntries([...shared, ...env.map(({ name, value }) => [name, value])]);
}

test('the check of fields finds what it is there to find', () => {
  const object = structuredClone(named(everything, 'Deployment', 'sluice-api'));
  const [container] = podOf(object).containers;
  container.livenesProbe = container.livenessProbe;
  container.ports[0].containerPort = '3000';
  podOf(object).terminationGracePeriodSeconds = '45';
  container.resources.limits.memory = '256 MB';
  assert.equal(faults(object).length, 4, faults(object).join('\n'));
  assert.equal(faults({ apiVersion: 'keda.sh/v1alpha1', kind: 'ScaledObject', metadata: { name: 'x' }, spec: { minReplicas: 1 } }).length, 1);
  assert.equal(faults({ apiVersion: 'apps/v1beta1', kind: 'Deployment', metadata: { name: 'x' } }).length, 1);
});

for (const { name, objects } of overlays) {
  describe(`overlay ${name}`, () => {
    test('every field exists and has its type', () => {
      assert.deepEqual(objects.flatMap(faults), []);
    });

    test('no two objects have one name, and all are in the namespace', () => {
      const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
      assert.deepEqual(names.filter((item, i) => names.indexOf(item) !== i), []);
      const namespace = named(objects, 'Namespace');
      assert.equal(namespace.metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
      assert.ok(objects.every(({ kind, metadata }) => kind === 'Namespace' || metadata.namespace === namespace.metadata.name));
    });

    test('what a pod refers to is there', () => {
      const outside = name === 'prod' ? ['sluice'] : []; // the Secret is made by other means
      for (const workload of workloads(objects)) {
        const pod = podOf(workload);
        for (const volume of pod.volumes) {
          if (volume.configMap) assert.ok(named(objects, 'ConfigMap', volume.configMap.name), volume.name);
          if (volume.persistentVolumeClaim) assert.ok(named(objects, 'PersistentVolumeClaim', volume.persistentVolumeClaim.claimName), volume.name);
          if (volume.secret) assert.ok(outside.includes(volume.secret.secretName) || named(objects, 'Secret', volume.secret.secretName), volume.name);
        }
        const volumes = [...pod.volumes, ...(workload.spec.volumeClaimTemplates ?? []).map(({ metadata }) => metadata)].map((volume) => volume.name);
        assert.deepEqual(pod.containers[0].volumeMounts.map((mount) => mount.name).sort(), volumes.toSorted(), workload.metadata.name);
        if (pod.serviceAccountName) assert.ok(named(objects, 'ServiceAccount', pod.serviceAccountName));
      }
    });

    test('every selector finds its pods', () => {
      const pods = workloads(objects).map(({ spec }) => spec.template.metadata.labels);
      const selectors = objects.flatMap(({ kind, metadata, spec }) => [spec?.podSelector, spec?.selector]
        .filter((selector) => selector && !selector.matchExpressions).map((selector) => [`${kind} ${metadata.name}`, selector]));
      assert.ok(selectors.length > 5);
      for (const [where, selector] of selectors) assert.ok(pods.some((labels) => selects(selector, labels)), where);
    });

    test('pods are restricted', () => {
      for (const workload of workloads(objects)) {
        const where = workload.metadata.name;
        const pod = podOf(workload);
        assert.equal(pod.securityContext.runAsNonRoot, true, where);
        assert.ok(pod.securityContext.runAsUser > 0, where);
        assert.equal(pod.securityContext.seccompProfile.type, 'RuntimeDefault', where);
        assert.equal(pod.automountServiceAccountToken, false, where);
        for (const forbidden of ['hostNetwork', 'hostPID', 'hostIPC']) assert.ok(!pod[forbidden], where);
        for (const { securityContext, resources, image } of pod.containers) {
          assert.equal(securityContext.allowPrivilegeEscalation, false, where);
          assert.equal(securityContext.readOnlyRootFilesystem, true, where);
          assert.deepEqual(securityContext.capabilities, { drop: ['ALL'] }, where);
          assert.ok(resources.requests.cpu && resources.requests.memory && resources.limits.memory, where);
          assert.match(image, /:[\w.-]+$/, where);
          assert.ok(!image.endsWith(':latest'), where);
        }
        const { volumes } = pod;
        assert.ok(volumes.every((volume) => !volume.hostPath && (!volume.emptyDir || volume.emptyDir.sizeLimit)), where);
      }
    });

    test('probes ask the right questions, and the end is given time', () => {
      for (const workload of ours(objects)) {
        const pod = podOf(workload);
        const [container] = pod.containers;
        assert.equal(container.livenessProbe.httpGet.path, '/livez');
        assert.equal(container.startupProbe.httpGet.path, '/livez');
        assert.equal(container.readinessProbe.httpGet.path, '/readyz');
        const pause = container.lifecycle.preStop.sleep.seconds;
        assert.ok(pause >= container.readinessProbe.timeoutSeconds);
        const settings = settingsOf(objects, container);
        const longestRequest = 10;
        assert.ok(pod.terminationGracePeriodSeconds >= pause + seconds(settings.SLUICE_DRAIN_GRACE) + longestRequest + 5);
        assert.deepEqual(workload.spec.strategy.rollingUpdate, { maxUnavailable: 0, maxSurge: 1 });
        assert.equal(container.ports[0].containerPort, Number(settings.PORT));
      }
    });

    test('api and worker share the documents and nothing else on disk', () => {
      const [api, worker] = ['api', 'worker'].map((role) => named(objects, 'Deployment', `sluice-${role}`));
      const claim = (workload) => podOf(workload).volumes.find((volume) => volume.persistentVolumeClaim)?.persistentVolumeClaim.claimName;
      assert.equal(claim(api), claim(worker));
      assert.deepEqual(named(objects, 'PersistentVolumeClaim', claim(api)).spec.accessModes, ['ReadWriteMany']);
      for (const [role, workload] of Object.entries({ api, worker })) {
        const [container] = podOf(workload).containers;
        const settings = settingsOf(objects, container);
        assert.equal(settings.SLUICE_ROLE, role);
        assert.ok(container.volumeMounts.some(({ name: volume, mountPath }) => volume === 'documents' && mountPath === settings.SLUICE_DOCUMENTS_DIR));
        assert.ok(container.volumeMounts.some(({ name: volume, mountPath }) => volume === 'data' && mountPath === settings.DATA_DIR));
      }
    });

    test('disruptions take one pod at a time, and pods spread', () => {
      for (const workload of ours(objects)) {
        const { labels } = workload.spec.template.metadata;
        const budget = objects.find(({ kind, spec }) => kind === 'PodDisruptionBudget' && selects(spec.selector, labels));
        assert.equal(budget.spec.maxUnavailable, 1, workload.metadata.name);
        assert.deepEqual(podOf(workload).topologySpreadConstraints.map(({ topologyKey }) => topologyKey),
          ['kubernetes.io/hostname', 'topology.kubernetes.io/zone']);
      }
    });

    test('nothing goes in or out but what is listed, and webhooks reach no private address', () => {
      const policies = objects.filter(({ kind }) => kind === 'NetworkPolicy');
      for (const workload of workloads(objects)) {
        const { labels } = workload.spec.template.metadata;
        const applies = policies.filter(({ spec }) => spec.podSelector.matchExpressions?.[0].values.includes(labels['app.kubernetes.io/name'])
          ?? selects(spec.podSelector, labels));
        for (const direction of ['Ingress', 'Egress']) {
          assert.ok(applies.some(({ spec }) => spec.policyTypes.includes(direction)), `${workload.metadata.name} ${direction}`);
        }
        const everywhere = applies.flatMap(({ spec }) => spec.egress ?? []).flatMap(({ to = [] }) => to).filter(({ ipBlock }) => ipBlock?.cidr === '0.0.0.0/0');
        assert.equal(everywhere.length, workload.metadata.name === 'sluice-worker' ? 1 : 0);
        for (const { ipBlock } of everywhere) {
          for (const range of ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '100.64.0.0/10']) assert.ok(ipBlock.except.includes(range));
        }
      }
    });
  });
}

describe('settings', () => {
  let keys;
  before(async () => (keys = JSON.parse((await runSluice(['dump', 'config'])).text)));
  const containers = overlays.flatMap(({ objects }) => ours(objects).map((workload) => ({ objects, workload, container: podOf(workload).containers[0] })));

  test('every one that a manifest names exists, and secrets come from files', () => {
    const known = new Map(keys.map((key) => [key.name, key]));
    for (const { objects, workload, container } of containers) {
      for (const [name, value] of Object.entries(settingsOf(objects, container))) {
        const file = name.endsWith('_FILE') && known.get(name.slice(0, -'_FILE'.length))?.secret;
        assert.ok(file || known.has(name), `${workload.metadata.name}: there is no setting ${name}`);
        assert.ok(file || !known.get(name).secret, `${workload.metadata.name}: ${name} must come from a file`);
        if (file) assert.ok(container.volumeMounts.some(({ name: volume, mountPath }) => volume === 'secrets' && value.startsWith(`${mountPath}/`)), name);
      }
    }
  });

  test('every one that a deployment must say is said', () => {
    const wanted = keys.filter(({ deploy }) => deploy).map(({ name }) => name);
    assert.ok(wanted.length > 5);
    for (const { objects, workload, container } of containers) {
      const said = settingsOf(objects, container);
      assert.deepEqual(wanted.filter((name) => !(name in said) && !(`${name}_FILE` in said)), [], workload.metadata.name);
    }
  });

  test('the Secret\'s example and the development values have the files that are mounted', () => {
    const files = Object.values(settingsOf(overlays[0].objects, containers[0].container))
      .filter((value) => value?.startsWith('/etc/sluice/secrets/')).map((path) => path.split('/').at(-1)).sort();
    const [example] = readManifests(join(K8S, 'base/secret.example.yaml'));
    assert.deepEqual(faults(example), []);
    for (const secret of [example, named(everything, 'Secret', 'sluice')]) assert.deepEqual(Object.keys(secret.stringData).sort(), files);
  });

  test('the program takes them', async () => {
    for (const { objects, workload, container } of containers) {
      const { secret } = { secret: named(everything, 'Secret', 'sluice').stringData };
      const said = Object.entries(settingsOf(objects, container)).filter(([name]) => !name.endsWith('_FILE'));
      const env = { ...Object.fromEntries(said), ...secret, SLUICE_QUEUES: join(K8S, 'base/queues.json') };
      const { code, text } = await runSluice(['dump', 'queues'], { env });
      assert.equal(code, 0, `${workload.metadata.name}: ${text}`);
    }
  });
});

test('applying the manifests again does not undo what an autoscaler has done', () => {
  const { objects } = overlays.find(({ name }) => name === 'prod');
  const scaled = objects.filter(({ spec }) => spec?.scaleTargetRef).map(({ spec }) => spec.scaleTargetRef.name);
  assert.deepEqual(scaled.toSorted(), ['sluice-api', 'sluice-worker']);
  for (const name of scaled) assert.equal(named(objects, 'Deployment', name).spec.replicas, undefined, name);
});

test('what scales the workers asks queues that exist', async () => {
  const queues = JSON.parse((await runSluice(['dump', 'queues'])).text).queues.map(({ name }) => name);
  const { objects } = overlays.find(({ name }) => name === 'prod');
  for (const { metadata } of named(objects, 'ScaledObject').spec.triggers) {
    const [, host, queue] = /^http:\/\/([^/]+)\/api\/queues\/([^/]+)\/scale$/.exec(metadata.url);
    // The operator asks from a namespace of its own, where a bare name is another Service's, or nobody's.
    const [service, namespace, svc] = host.split('.');
    assert.equal(named(objects, 'Service', service)?.metadata.namespace, namespace, host);
    assert.equal(svc, 'svc', host);
    assert.ok(queues.includes(queue), queue);
  }
  assert.ok(named(objects, 'Deployment', named(objects, 'ScaledObject').spec.scaleTargetRef.name));
  assert.ok(readFileSync(join(ROOT, 'gateway/openapi/schemas.json'), 'utf8').includes('"backlog"'));
});
