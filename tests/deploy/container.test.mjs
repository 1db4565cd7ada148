// The images and compose.yaml, without a container engine: the Dockerfile by a parser, the final stages' files in a chroot, the edge proxy for real.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { request } from 'node:https';
import { connect } from 'node:tls';
import { test } from 'node:test';
import { DockerfileParser } from 'dockerfile-ast';
import { validate } from 'dockerfile-utils';
import { parse } from 'yaml';
import { Child, RELEASE, ROOT, cleanEnvironment, eventually, freePort, runSluice, startRedis, startSluice, temporaryFolder } from '../api/harness/index.mjs';

const text = readFileSync(join(ROOT, 'Dockerfile'), 'utf8');
const instructions = DockerfileParser.parse(text).getInstructions();
const compose = parse(readFileSync(join(ROOT, 'compose.yaml'), 'utf8'), { merge: true });
const run = (program, ...args) => execFileSync(program, args, { encoding: 'utf8' });

// The instructions of each stage by its name, those it is built on first.
const stages = new Map();
for (const instruction of instructions) {
  if (instruction.getKeyword() === 'FROM') {
    stages.set(instruction.getBuildStage(), [...(stages.get(instruction.getImage()) ?? []), instruction]);
  } else {
    [...stages.values()].at(-1).push(instruction);
  }
}
const last = (stage, keyword) => stages.get(stage).filter((instruction) => instruction.getKeyword() === keyword).at(-1)?.getArgumentsContent();
const packagesOf = (stage) => stages.get(stage).filter((instruction) => instruction.getKeyword() === 'RUN')
  .flatMap((instruction) => /install -y --no-install-recommends\s+(?<names>.*?)(?:&&|$)/s.exec(instruction.getArgumentsContent().replaceAll('\\\n', ' '))?.groups.names.trim().split(/\s+/) ?? []);

// What these packages bring, by what dpkg knows of them.
function closureOf(names) {
  const depends = new Map(run('dpkg-query', '-W', '-f', '${db:Status-Status}|${Package}|${Depends},${Pre-Depends}\n').split('\n')
    .filter((line) => line.startsWith('installed|')).map((line) => line.split('|', 2).slice(1).concat(line.split('|').slice(2).join('|'))));
  const closure = new Set();
  const add = (name) => {
    if (closure.has(name) || !depends.has(name)) return;
    closure.add(name);
    for (const dependency of depends.get(name).split(/[,|]/)) add(dependency.trim().replace(/[ :(].*/, ''));
  };
  names.forEach(add);
  return closure;
}

const librariesOf = (program) => [...run('ldd', program).matchAll(/(\/\S+) \(0x/g)].map(([, path]) => path);
// The packages of these files. Debian has moved /lib into /usr/lib; a package may know its files by either name.
function ownersOf(files) {
  const names = files.map((file) => realpathSync(file)).flatMap((file) => [file, file.replace(/^\/usr\/lib/, '/lib')]);
  const { stdout } = spawnSync('dpkg-query', ['-S', ...new Set(names)], { encoding: 'utf8' });
  return [...new Set(stdout.trim().split('\n').map((line) => line.split(':')[0]))];
}

test('the Dockerfile is well-formed', () => {
  assert.deepEqual(validate(text).map(({ message, range }) => `line ${range.start.line + 1}: ${message}`), []);
});

test('both images run as nobody in particular, and stop, and are looked after', async () => {
  const keys = JSON.parse((await runSluice(['dump', 'config'])).text).map(({ name }) => name);
  for (const stage of ['gateway', 'full']) {
    assert.match(last(stage, 'USER'), /^[1-9]\d*:[1-9]\d*$/, stage);
    assert.equal(last(stage, 'STOPSIGNAL'), 'SIGTERM');
    assert.match(last(stage, 'HEALTHCHECK'), /CMD \["\/usr\/bin\/sluice", "healthcheck"\]$/);
    assert.match(last(stage, 'ENTRYPOINT'), /^\["\/usr\/bin\/tini", "--", "\/usr\/bin\/sluice"\]$/);
    const settings = stages.get(stage).filter((instruction) => instruction.getKeyword() === 'ENV').flatMap((instruction) => instruction.getProperties());
    for (const setting of settings) assert.ok(keys.includes(setting.getName()), setting.getName());
  }
  for (const instruction of instructions.filter((each) => each.getKeyword() === 'FROM')) {
    assert.ok(stages.has(instruction.getImage()) || /:(?!latest$)/.test(instruction.getImage()), 'a base has a tag');
  }
  assert.equal(instructions.filter((instruction) => instruction.getKeyword() === 'ADD').length, 0);
});

test('the images have every library that the programs want, and the tools that they run', () => {
  const gateway = closureOf(packagesOf('gateway'));
  const full = closureOf([...packagesOf('gateway'), ...packagesOf('full')]);
  const lacking = (program, closure) => ownersOf(librariesOf(program)).filter((name) => !closure.has(name));
  assert.deepEqual(lacking(RELEASE, gateway), []);
  assert.deepEqual(lacking(`${RELEASE}-helper`, full), []);
  const tools = ['/usr/bin/pdfinfo', '/usr/bin/pdftotext', '/usr/bin/qpdf'];
  assert.deepEqual(ownersOf(tools).filter((name) => !full.has(name)), []);
  for (const program of [RELEASE, `${RELEASE}-helper`]) assert.ok(ownersOf(librariesOf(program)).length > 5, 'they were found');
});

test('the gateway\'s files alone are enough for it', { skip: process.getuid() !== 0 && 'only root may change the root folder' }, async () => {
  const root = temporaryFolder('sluice-root');
  const put = (path, from = path) => {
    mkdirSync(join(root, dirname(path)), { recursive: true });
    copyFileSync(from, join(root, path));
  };
  put('/usr/bin/sluice', RELEASE);
  for (const library of librariesOf(RELEASE)) put(library);
  put('/etc/ssl/certs/ca-certificates.crt');
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'var/lib/sluice'), { recursive: true });
  execFileSync('chown', ['65532:65532', join(root, 'var/lib/sluice')]);

  const redis = await startRedis({ tcp: true });
  const settings = { HOST: '127.0.0.1', PORT: String(await freePort()), DATA_DIR: '/var/lib/sluice', REDIS_URL: redis.url, JWT_SECRET: 'b3f09e6c7a1d4582960f7be2c48d13a5', LOG_FORMAT: 'json' };
  mkdirSync(join(root, 'proc'));
  const enter = 'mount -t proc proc "$0/proc" && exec chroot --userspec=65532:65532 "$0" /usr/bin/sluice "$@"';
  const inside = (...args) => new Child('unshare', ['--mount', 'sh', '-c', enter, root, ...args], { env: cleanEnvironment(settings) });
  const sluice = inside('serve', '--role=api');
  await eventually(() => sluice.lines.some((line) => line.includes('"listening"')) || !sluice.running, { timeout: 20_000, what: 'the line "listening"' });
  assert.ok(sluice.running, sluice.tail());
  await eventually(async () => {
    const check = inside('healthcheck');
    return (await check.end(20_000)).code === 0;
  }, { timeout: 30_000, what: 'health' });
  sluice.signal('SIGTERM');
  assert.equal((await sluice.end(30_000)).code, 0, sluice.tail());
  assert.equal((await inside('healthcheck').end(20_000)).code, 1, 'what has ended is not healthy');
  await redis.stop();
});

test('compose.yaml names files, volumes, secrets and settings that exist', async () => {
  const keys = new Map(JSON.parse((await runSluice(['dump', 'config'])).text).map((key) => [key.name, key]));
  for (const [name, service] of Object.entries(compose.services)) {
    if (!service.build) assert.match(service.image, /:(?!latest$)[\w.-]+$/, name);
    if (service.build) assert.ok(stages.has(service.build.target), name);
    for (const mount of service.volumes ?? []) {
      const [from] = mount.split(':');
      assert.ok(from in compose.volumes || from.startsWith('./var/') || existsSync(join(ROOT, from)), `${name}: ${mount}`);
    }
    for (const secret of service.secrets ?? []) assert.ok(compose.secrets[secret], `${name}: ${secret}`);
    for (const other of Object.keys(service.depends_on ?? {})) assert.ok(compose.services[other], `${name}: ${other}`);
    for (const address of service.ports ?? []) assert.match(address, /^127\.0\.0\.1:/, `${name}: only this machine`);
  }
  for (const role of ['api', 'worker']) {
    const { environment, read_only: readOnly, cap_drop: dropped, secrets } = compose.services[role];
    assert.equal(environment.SLUICE_ROLE, role);
    assert.ok(readOnly && dropped.includes('ALL'));
    for (const [name, value] of Object.entries(environment)) {
      const secret = name.endsWith('_FILE') && keys.get(name.slice(0, -'_FILE'.length))?.secret;
      assert.ok(secret || keys.has(name), `there is no setting ${name}`);
      if (secret) assert.ok(secrets.includes(value.replace('/run/secrets/', '')), name);
    }
    const missing = [...keys.values()].filter(({ name, deploy }) => deploy && !(name in environment) && !(`${name}_FILE` in environment));
    assert.deepEqual(missing.map(({ name }) => name), []);
  }
});

// The proxy of compose.yaml in front of a gateway; gives its port.
async function startEdge(backend) {
  const folder = temporaryFolder('sluice-edge');
  const port = await freePort();
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', '/CN=localhost',
    '-keyout', join(folder, 'edge.pem.key'), '-out', join(folder, 'edge.pem')], { stdio: 'ignore' });
  const written = readFileSync(join(ROOT, 'examples/compose/haproxy.cfg'), 'utf8');
  writeFileSync(join(folder, 'haproxy.cfg'), written.replace(':8443', `127.0.0.1:${port}`).replace('/etc/haproxy/edge.pem', join(folder, 'edge.pem')));
  const edge = new Child('haproxy', ['-db', '-f', join(folder, 'haproxy.cfg')], { env: { ...process.env, SLUICE_BACKEND: backend } });
  return { edge, port };
}

// The status line that the edge answers to these bytes.
function statusOf(port, bytes) {
  return new Promise((resolve, reject) => {
    let answer = '';
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] }, () => socket.write(bytes));
    socket.on('data', (data) => (answer += data)).on('error', reject).on('close', () => resolve(Number(answer.split(' ')[1])));
  });
}

const overTls = (port, path) => new Promise((resolve) => {
  request({ port, host: '127.0.0.1', path, rejectUnauthorized: false }, (res) => resolve(res.resume().statusCode)).on('error', () => resolve(0)).end();
});

test('the edge passes on what is sound, and nothing that parsers read differently', async () => {
  const redis = await startRedis();
  const sluice = await startSluice({ env: { REDIS_URL: redis.url } });
  const { edge, port } = await startEdge(`localhost:${sluice.port}`);
  await eventually(async () => (await overTls(port, '/readyz')) === 200, { timeout: 30_000, what: 'an answer through the edge' });
  assert.equal(await overTls(port, '/metrics'), 404, 'metrics are not for the public');
  const head = 'POST /api/queues/x/jobs HTTP/1.1\r\nHost: x\r\nConnection: close\r\n';
  for (const [name, bytes] of Object.entries({
    'two lengths': `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    'a space before the colon': `${head}Content-Length : 2\r\n\r\n{}`,
    'a name that CGI takes for another': `${head}Content_Length: 2\r\nContent-Length: 2\r\n\r\n{}`,
  })) assert.ok([400, 403].includes(await statusOf(port, bytes)), name);
  // The length is taken away: with both, the gateway's guard would answer 400 before it asked for a token.
  assert.equal(await statusOf(port, `${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`), 401);
  edge.signal('SIGTERM');
  await edge.end(10_000);
  await sluice.stop();
  await redis.stop();
});

test('what prepares compose.yaml makes each file that it mounts', () => {
  const folder = temporaryFolder();
  mkdirSync(join(folder, 'examples/compose'), { recursive: true });
  const rules = 'k8s/components/observability/prometheusrule.yaml';
  mkdirSync(dirname(join(folder, rules)), { recursive: true });
  for (const file of ['examples/compose/prepare', rules]) copyFileSync(join(ROOT, file), join(folder, file));
  run('sh', '-c', 'umask 077; exec sh "$1"', 'sh', join(folder, 'examples/compose/prepare'));
  const mounts = Object.values(compose.services).flatMap(({ volumes = [] }) => volumes).map((mount) => mount.split(':')[0]).filter((path) => path.startsWith('./var/'));
  const files = [...mounts, ...Object.values(compose.secrets).map(({ file }) => file)];
  const first = files.map((file) => readFileSync(join(folder, file), 'utf8'));
  assert.ok(first.every((content) => content.length > 20));
  for (const file of files) assert.ok(statSync(join(folder, file)).mode & 0o004, `${file} can be read by a container's user`);
  // As Prometheus' container mounts them: its configuration and the rules that this names.
  const prometheus = readFileSync(join(ROOT, 'examples/compose/prometheus.yml'), 'utf8');
  writeFileSync(join(folder, 'prometheus.yml'), prometheus.replace('/etc/prometheus/rules.yml', join(folder, 'var/compose/rules.yml')));
  assert.match(run('promtool', 'check', 'config', join(folder, 'prometheus.yml')), /[1-9]\d* rules found/);
  run('sh', join(folder, 'examples/compose/prepare'));
  assert.deepEqual(files.map((file) => readFileSync(join(folder, file), 'utf8')), first, 'what is there stays');
});
