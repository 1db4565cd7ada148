// JSON as text: where values begin and end, without turning them into numbers and objects, so that millions of bytes cost nothing until
// they are looked at and every digit stays. The server has checked that the text is well-formed.

const SPACE = /[\s,:]*/y;

function skip(text, at) {
  SPACE.lastIndex = at;
  SPACE.exec(text);
  return SPACE.lastIndex;
}

function stringEnd(text, at) {
  for (let i = at + 1; ; i++) {
    i = text.indexOf('"', i);
    if (i < 0) return text.length;
    let slashes = 0;
    while (text[i - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return i + 1;
  }
}

const INTERESTING = /["{}[\]]/g;

function containerEnd(text, at) {
  let depth = 0;
  INTERESTING.lastIndex = at;
  for (let found; (found = INTERESTING.exec(text)); ) {
    if (found[0] === '"') INTERESTING.lastIndex = stringEnd(text, found.index);
    else if (found[0] === '{' || found[0] === '[') depth++;
    else if (--depth === 0) return found.index + 1;
  }
  return text.length;
}

const ATOM = /[^\s,:\]}]*/y;

// The end of the value that begins at `at`.
export function valueEnd(text, at) {
  const first = text[at];
  if (first === '"') return stringEnd(text, at);
  if (first === '{' || first === '[') return containerEnd(text, at);
  ATOM.lastIndex = at;
  ATOM.exec(text);
  return ATOM.lastIndex;
}

export function kindOf(text, at) {
  return { '{': 'object', '[': 'array', '"': 'string', t: 'boolean', f: 'boolean', n: 'null' }[text[at]] ?? 'number';
}

// Children of the object or array at `start`, from the position `from` (a previous answer's `next`), at most `limit`:
// {items: [{key, start, end}], next}; next is null at the end; key is undefined in arrays.
export function children(text, start, { from = start + 1, limit = 100 } = {}) {
  const isObject = text[start] === '{';
  const items = [];
  let at = skip(text, from);
  while (items.length < limit && at < text.length && text[at] !== '}' && text[at] !== ']') {
    let key;
    if (isObject) {
      const end = stringEnd(text, at);
      key = JSON.parse(text.slice(at, end));
      at = skip(text, end);
    }
    const end = valueEnd(text, at);
    items.push({ key, start: at, end });
    at = skip(text, end);
  }
  return { items, next: at < text.length && text[at] !== '}' && text[at] !== ']' ? at : null };
}

// The text of one member of an object; undefined when it has none of that name.
export function member(text, name) {
  let from;
  do {
    const { items, next } = children(text, text.indexOf('{'), from === undefined ? {} : { from });
    const found = items.find(({ key }) => key === name);
    if (found) return text.slice(found.start, found.end);
    from = next;
  } while (from !== null);
  return undefined;
}
