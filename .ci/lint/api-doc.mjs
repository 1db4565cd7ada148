// docs/api.md is what the program's OpenAPI document says, for reading.
//
//     node .ci/lint/api-doc.mjs build/sluice            fails when they differ
//     node .ci/lint/api-doc.mjs build/sluice --write    writes the page
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const PAGE = 'docs/api.md';
const VERBS = ['get', 'put', 'post', 'patch', 'delete'];
const [program, option] = process.argv.slice(2);
const { paths, components: { schemas } } = JSON.parse(execFileSync(program, ['dump', 'openapi'], { encoding: 'utf8', maxBuffer: 1 << 26 }));

const cell = (text) => String(text ?? '').replaceAll('|', '\\|').replaceAll('\n', ' ');
const anchor = (title) => title.toLowerCase().replace(/[^\w -]/g, '').replaceAll(' ', '-');
const nameOf = (reference) => reference.split('/').at(-1);
const link = (name) => `[${name}](#${anchor(name)})`;

// A schema in a few words.
function words(schema) {
  if (schema === true || schema === undefined) return 'anything';
  if (schema.$ref) return link(nameOf(schema.$ref));
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``;
  if (schema.enum) return schema.enum.map((value) => `\`${JSON.stringify(value)}\``).join(', ');
  const choices = schema.oneOf ?? schema.anyOf;
  if (choices) return choices.map(words).join(' or ');
  if (schema.type === 'array') return `list of ${words(schema.items)}`;
  const type = [schema.type ?? 'anything'].flat().join(' or ');
  const { minimum, maximum, minLength, maxLength } = schema;
  const range = [[minimum, maximum, ''], [minLength, maxLength, ' characters']].filter(([from, to]) => from !== undefined || to !== undefined)
    .map(([from, to, unit]) => (to === undefined ? `from ${from}${unit}` : `${from ?? 0} to ${to}${unit}`));
  return [type, ...range].join(', ');
}

const table = (head, rows) => (rows.length ? ['', `| ${head.join(' | ')} |`, `|${' --- |'.repeat(head.length)}`, ...rows.map((row) => `| ${row.map(cell).join(' | ')} |`)] : []);

function bodies({ content = {} }) {
  return Object.entries(content).map(([type, { schema }]) => (schema ? `${words(schema)} (\`${type}\`)` : `\`${type}\``)).join(', ');
}

const codesOf = (responses) => Object.values(responses).flatMap(({ description }) => [...(description ?? '').matchAll(/\(`([a-z-]+)`\)/g)].map(([, code]) => code));
const operations = Object.entries(paths).flatMap(([path, item]) => VERBS.filter((verb) => item[verb]).map((verb) => [path, verb, item[verb]]));
const common = operations.map(([, , { responses }]) => new Set(codesOf(responses))).reduce((all, some) => new Set([...all].filter((code) => some.has(code))));
const list = (items) => items.map((item) => `\`${item}\``).join(', ');

function operation(path, verb, { summary, security, parameters = [], requestBody, responses }) {
  const problems = codesOf(responses).filter((code) => !common.has(code));
  const roles = security?.flatMap((each) => each.bearer ?? []) ?? [];
  return [
    '', `### ${verb.toUpperCase()} ${path}`, '', summary, '',
    roles.length ? `Roles: ${list(roles)}.` : 'No token is needed.',
    ...(requestBody ? ['', `Body: ${bodies(requestBody)}.`] : []),
    ...table(['parameter', 'in', 'value', 'meaning'], parameters.map((each) => [`\`${each.name}\`${each.required ? '' : ' (optional)'}`, each.in, words(each.schema), each.description])),
    ...Object.entries(responses).filter(([status]) => /^[23]/.test(status)).flatMap(([status, answer]) => ['', `Answer ${status}: ${answer.content ? bodies(answer) : answer.description}.`]),
    ...(problems.length ? ['', `Problems: ${list(problems)}.`] : []),
  ];
}

function shape(name, schema) {
  const required = new Set(schema.required);
  const fields = Object.entries(schema.properties ?? {});
  const plain = !fields.length && (!schema.description || (schema.type && !/object|array/.test(schema.type)));
  return [
    '', `### ${name}`, '', ...(schema.description ? [schema.description] : []), ...(plain ? ['', `${words(schema)}.`] : []),
    ...table(['field', 'value', 'meaning'], fields.map(([field, value]) => [`\`${field}\`${required.has(field) ? '' : ' (optional)'}`, words(value), value.description])),
  ];
}

const page = [
  '# API', '', '<!-- made by .ci/lint/api-doc.mjs from `sluice dump openapi`; not to be edited -->', '',
  'Every operation, as the program describes itself at `/openapi.json`. Errors are `application/problem+json`; each is explained at `/problems/{code}`.',
  `Any operation may answer with ${list([...common])}.`,
  '', '## Operations',
  ...operations.flatMap(([path, verb, row]) => operation(path, verb, row)),
  '', '## Bodies', ...Object.entries(schemas).flatMap(([name, schema]) => shape(name, schema)), '',
].join('\n').replaceAll(/\n{3,}/g, '\n\n');

if (option === '--write') {
  writeFileSync(PAGE, page);
} else if (!existsSync(PAGE) || readFileSync(PAGE, 'utf8') !== page) {
  console.log(`api-doc: ${PAGE} differs from \`sluice dump openapi\`; node .ci/lint/api-doc.mjs build/sluice --write`);
  process.exit(1);
}
