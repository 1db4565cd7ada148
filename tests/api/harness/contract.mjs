// Holds every answer against the OpenAPI document that the server under test serves.
//
// An answer must belong to an operation and a status that the document lists, have a listed content type, and fit its schema. What was
// exercised is noted in the folder SLUICE_COVERAGE_DIR, where one last test asks whether any operation was forgotten.
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

const escapePointer = (text) => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));

export class Contract {
  #validators = new Map();
  #noted = new Set();

  constructor(document) {
    this.document = document;
    this.ajv = new Ajv2020({ strict: false, validateSchema: false, allErrors: true });
    addFormats.default(this.ajv);
    this.ajv.addSchema(document, 'openapi');
    this.templates = Object.keys(document.paths).map((path) => ({ path, segments: path.split('/') }));
  }

  // The path of the document that the URL's path fits; a literal segment is better than a parameter.
  template(urlPath) {
    const segments = urlPath.split('?')[0].split('/');
    const literal = (template) => template.segments.filter((segment) => !segment.startsWith('{')).length;
    return this.templates
      .filter((t) => t.segments.length === segments.length && t.segments.every((s, i) => s.startsWith('{') || s === segments[i]))
      .sort((a, b) => literal(b) - literal(a))[0]?.path;
  }

  // Throws when the exchange breaks the contract.
  check({ method, path, status, headers, bytes, text, json }) {
    const template = this.template(path);
    const verb = method === 'HEAD' ? 'get' : method.toLowerCase();
    const operation = this.document.paths[template]?.[verb];
    const complain = (text) => {
      throw new Error(`contract: ${method} ${path} -> ${status}: ${text}`);
    };
    if (method === 'OPTIONS' && template && status === 204 && !bytes?.length) return; // every path has it
    if (!operation) {
      if (status < 400 || !isProblem(headers, method === 'HEAD' ? null : json, status)) complain('no such operation, and the answer is no problem document');
      return;
    }
    this.#note(`${verb.toUpperCase()} ${template}`, status);
    const key = [String(status), `${String(status)[0]}XX`, 'default'].find((candidate) => operation.responses?.[candidate]);
    if (!key) complain('the document lists no such status');
    if (method === 'HEAD' || !bytes?.length) return;

    const { pointer, response } = this.#resolve(`/paths/${escapePointer(template)}/${verb}/responses/${key}`, operation.responses[key]);
    const type = (headers['content-type'] ?? '').split(';')[0].trim();
    const content = response.content?.[type];
    if (!content) complain(`the document lists no content of type "${type}"`);
    if (!content.schema) {
      if (json !== undefined) complain(`the ${type} has no schema`);
      return;
    }
    const validate = this.#validator(`${pointer}/content/${escapePointer(type)}/schema`);
    for (const line of type === 'application/x-ndjson' ? text.trimEnd().split('\n') : []) {
      if (!validate(JSON.parse(line))) complain(`${this.ajv.errorsText(validate.errors)} in the line ${line.slice(0, 600)}`);
    }
    if (json !== undefined && !validate(json)) complain(`${this.ajv.errorsText(validate.errors)} in ${JSON.stringify(json).slice(0, 600)}`);
    if (status >= 400 && !isProblem(headers, json, status)) complain('an error that is no problem document');
  }

  // Follows a $ref to a shared response.
  #resolve(pointer, response) {
    if (!response.$ref) return { pointer, response };
    const target = response.$ref.slice(1);
    const found = target.slice(1).split('/').reduce((at, part) => at[decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~')], this.document);
    return this.#resolve(target, found);
  }

  #validator(pointer) {
    if (!this.#validators.has(pointer)) this.#validators.set(pointer, this.ajv.compile({ $ref: `openapi#${pointer}` }));
    return this.#validators.get(pointer);
  }

  #note(operation, status) {
    const line = `${operation} ${status}`;
    if (!process.env.SLUICE_COVERAGE_DIR || this.#noted.has(line)) return;
    this.#noted.add(line);
    appendFileSync(join(process.env.SLUICE_COVERAGE_DIR, `${process.pid}.txt`), `${line}\n`);
  }
}

// json null: a HEAD's answer, which has none.
function isProblem(headers, json, status) {
  if (!/^application\/problem\+json\b/.test(headers['content-type'] ?? '')) return false;
  return json === null || (json?.status === status && json.type === `/problems/${json.code}` && typeof json.title === 'string');
}
