// Bundles the web page and writes it as tables that the program carries:
//
//     node embed.mjs <node_modules with esbuild and preact | --none> <build/gen>
//
// Every file is kept as it is, as gzip and as brotli; its name has a hash of its content, so that browsers may keep it for ever. The page
// itself, "/", names the others. The build fails when all of it together is more than LIMIT bytes of brotli. --none: empty tables.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brotliCompressSync, constants, gzipSync } from 'node:zlib';

const LIMIT = 60 * 1024;
const TYPES = { '.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8', '.svg': 'image/svg+xml', '.html': 'text/html; charset=utf-8' };
const source = join(dirname(fileURLToPath(import.meta.url)), 'src');

const [modules, gen] = process.argv.slice(2);
if (!gen) {
  console.error('usage: embed.mjs MODULES|--none OUTPUT');
  process.exit(2);
}

const hash = (bytes) => createHash('sha256').update(bytes).digest('hex').slice(0, 12);
const read = (name) => readFileSync(join(source, name), 'utf8');

// [name, content] of everything that the page loads.
async function bundle() {
  const { build } = createRequire(join(resolve(modules), 'index.js'))('esbuild');
  const { outputFiles } = await build({
    entryPoints: { app: join(source, 'main.jsx'), styles: join(source, 'styles/index.css') },
    outdir: 'out', write: false, bundle: true, minify: true, format: 'iife', target: ['es2022'], charset: 'utf8', legalComments: 'none',
    jsx: 'automatic', jsxImportSource: 'preact', nodePaths: [resolve(modules)], logLevel: 'warning',
  });
  return [...outputFiles.map(({ path, contents }) => [basename(path), Buffer.from(contents)]), ['icon.svg', Buffer.from(read('icon.svg'))]];
}

// The files under their final paths, the page first.
async function files() {
  const assets = (await bundle()).map(([name, content]) => {
    const type = extname(name);
    return { name, path: `/assets/${basename(name, type)}.${hash(content)}${type}`, type: TYPES[type], content };
  });
  const page = read('index.html').replace(/\{\{([\w.]+)\}\}/g, (_, name) => assets.find((asset) => asset.name === name).path);
  return [{ name: 'index.html', path: '/', type: TYPES['.html'], content: Buffer.from(page) }, ...assets];
}

function compress(content) {
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: content.length };
  return { br: brotliCompressSync(content, { params }), gz: gzipSync(content, { level: 9 }), id: content };
}

const c = (text) => JSON.stringify(text);

// Writes the compressed forms into files that the assembler takes in, and gives the C text of one row.
function row(file, index, folder) {
  const forms = Object.entries(compress(file.content));
  const symbols = forms.map(([coding, bytes]) => {
    const path = join(folder, `${index}.${coding}`);
    writeFileSync(path, bytes);
    return { symbol: `ui_${index}_${coding}`, path };
  });
  return {
    bytes: forms[0][1].length,
    embeds: symbols.map(({ symbol, path }) => `EMBED_FILE(${symbol}, ${c(path)});`).join('\n'),
    text: `\t{${c(file.path)}, ${c(file.type)}, "${hash(file.content)}",\n\t {${symbols.map(({ symbol }) => `{embedded_${symbol}, embedded_${symbol}_end}`).join(', ')}}},`,
  };
}

const folder = join(gen, 'ui');
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const rows = modules === '--none' ? [] : (await files()).map((file, index) => row(file, index, folder));
const total = rows.reduce((sum, { bytes }) => sum + bytes, 0);
if (total > LIMIT) {
  console.error(`embed: the web page has ${total} bytes of brotli; at most ${LIMIT} are allowed`);
  process.exit(1);
}
const paths = modules === '--none' ? [''] : JSON.parse(read('paths.json'));
writeFileSync(join(gen, 'ui_assets.c'), `#include "gateway/ui/assets.h"
#include "lib/base/embed.h"

${rows.map(({ embeds }) => embeds).join('\n')}

const struct ui_asset UI_ASSETS[] = {
${rows.map(({ text }) => text).join('\n')}
\t{0},
};
const char *const UI_PATHS[] = {${paths.map(c).join(', ')}, 0};
`);

