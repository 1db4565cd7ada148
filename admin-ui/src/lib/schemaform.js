// From a JSON Schema to fields, and from what was typed back to JSON. Fields keep text; what the schema cannot express as a field is a
// field of kind "json", whose text goes into the result as it is.

const SCALARS = ['string', 'number', 'integer', 'boolean'];

// Follows {"$ref": "#/…"} inside the document.
export function resolve(schema, document) {
  let found = schema;
  for (let hops = 0; found?.$ref && hops < 10; hops++) {
    const parts = found.$ref.replace(/^#\//, '').split('/').map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'));
    found = parts.reduce((at, part) => at?.[part], document);
  }
  return found ?? {};
}

const typeOf = (schema) => (Array.isArray(schema.type) ? schema.type.find((type) => type !== 'null') : schema.type);

function kindOf(schema, document) {
  if (schema.enum?.every((value) => typeof value !== 'object')) return 'choice';
  const type = typeOf(schema);
  if (type === 'object' && schema.properties) return 'group';
  if (type === 'array') {
    const items = resolve(schema.items ?? {}, document);
    if (items.enum) return 'choices';
    return typeOf(items) === 'string' ? 'lines' : 'json';
  }
  return SCALARS.includes(type) ? type : 'json';
}

// {kind, pointer, name, schema, required, fields}: fields only of groups.
export function fieldOf(given, document, { pointer = '', name = '', required = true, depth = 0 } = {}) {
  const schema = resolve(given, document);
  const kind = depth > 4 ? 'json' : kindOf(schema, document);
  const field = { kind, pointer, name, schema, required };
  if (kind === 'choices') field.options = resolve(schema.items, document).enum;
  if (kind === 'choice') field.options = schema.enum;
  if (kind === 'group') {
    field.fields = Object.entries(schema.properties).map(([key, each]) => fieldOf(each, document, {
      pointer: `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`, name: key, required: schema.required?.includes(key) ?? false, depth: depth + 1,
    }));
  }
  return field;
}

// The JSON text of one field; undefined where nothing was given.
function textOf(field, values) {
  const value = values[field.pointer];
  if (field.kind === 'group') {
    const members = field.fields.map((each) => [each.name, textOf(each, values)]).filter(([, text]) => text !== undefined);
    return members.length || field.required ? `{${members.map(([name, text]) => `${JSON.stringify(name)}:${text}`).join(',')}}` : undefined;
  }
  if (value === undefined || value === '') return undefined;
  switch (field.kind) {
    case 'choice': return JSON.stringify(field.options[Number(value)]);
    case 'choices': return value.length ? JSON.stringify(value.map((i) => field.options[i])) : undefined;
    case 'lines': return JSON.stringify(value.split('\n').filter(Boolean));
    case 'string': return JSON.stringify(value);
    case 'boolean': return value === 'yes' ? 'true' : 'false';
    default: return value.trim(); // numbers and JSON, as they were written
  }
}

export const toJson = (field, values) => textOf(field, values) ?? 'null';
