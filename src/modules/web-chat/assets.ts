// The files of the web client, as its package has them, and those of ours beside them: an address that is another one whenever they
// change, so that browsers keep them for good; compressed once, when somebody asks for them.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, gzip, constants as zlib } from 'node:zlib';
import type { WebReply } from '../../core/web.ts';

/** What is below this path of the addresses is ours, and not of the client's package. */
const OURS = 'parley';
const own = fileURLToPath(new URL('./page/', import.meta.url));

const types: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.ico': 'image/x-icon',
  '.js': 'text/javascript; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.mp3': 'audio/mpeg',
  '.ogg': 'audio/ogg',
  '.png': 'image/png',
  '.svg': 'image/svg+xml; charset=utf-8',
  '.ttf': 'font/ttf',
  '.wasm': 'application/wasm',
};
const compressible = new Set(['.css', '.ico', '.js', '.json', '.svg', '.ttf', '.wasm']);
/** Nobody needs these: sources, and the pages of the project's own site. */
const unused = /\.map$|^website\b|^converse\.(js|css)$|^manifest\.json$/;

type Encoding = 'br' | 'gzip' | 'identity';
const YEAR = 365 * 24 * 3600;

/** The folder of the client's files; undefined where the package is not installed. */
export function findClient(from: string = import.meta.url): string | undefined {
  try {
    return dirname(createRequire(from).resolve('converse.js/dist/converse.min.js'));
  } catch {
    return undefined;
  }
}

export class Assets {
  /** Another one for all other files, and the same on all nodes that have these. */
  readonly version: string;
  /** By name, where they are. Nothing else is ever read. */
  private readonly files: ReadonlyMap<string, string>;
  private readonly contents = new Map<string, Promise<{ readonly body: Buffer; readonly tag: string }>>();

  constructor(client: string) {
    const theirs = list(client).filter(([name]) => !unused.test(name));
    const ours = list(own);
    this.files = new Map([...theirs, ...ours.map(([name, path]) => [`${OURS}/${name}`, path] as const)]);
    const hash = createHash('sha256');
    for (const [name, path] of theirs) hash.update(`${name}\0${statSync(path).size}\0`);
    // the package's version is in its own file beside
    hash.update(readFileSync(join(client, '..', 'package.json')));
    for (const [name, path] of ours) hash.update(`${name}\0`).update(readFileSync(path));
    this.version = hash.digest('base64url').slice(0, 12);
  }

  /** A file, as it goes to a client; undefined where there is none of that name. */
  async serve(version: string, name: string, headers: RequestHeaders): Promise<WebReply | undefined> {
    const path = this.files.get(name);
    if (path === undefined) return undefined;
    const extension = extname(path);
    const encoding = compressible.has(extension) ? chosen(headers['accept-encoding']) : 'identity';
    const { body, tag } = await this.content(path, encoding);
    // whoever asks for another version has a page from before an update, or from a node that has it already
    const isSame = version === this.version;
    const common = {
      etag: tag,
      'cache-control': isSame ? `public, max-age=${YEAR}, immutable` : 'no-cache',
      'cross-origin-resource-policy': 'same-origin',
      ...(compressible.has(extension) ? { vary: 'accept-encoding' } : {}),
    };
    if (headers['if-none-match']?.split(',').some((one) => one.trim().replace(/^W\//, '') === tag)) {
      return { status: 304, headers: common };
    }
    const encoded = encoding === 'identity' ? {} : { 'content-encoding': encoding };
    const type = types[extension] ?? 'application/octet-stream';
    return { status: 200, type, headers: { ...common, ...encoded }, body };
  }

  private content(path: string, encoding: Encoding): Promise<{ readonly body: Buffer; readonly tag: string }> {
    const key = `${encoding} ${path}`;
    let known = this.contents.get(key);
    if (known === undefined) {
      known = read(path, encoding);
      // what could not be read may be there the next time; and what browsers ask for is compressed
      if (encoding !== 'identity') this.contents.set(key, known);
      known.catch(() => this.contents.delete(key));
    }
    return known;
  }
}

interface RequestHeaders {
  readonly 'accept-encoding'?: string | readonly string[] | undefined;
  readonly 'if-none-match'?: string | undefined;
}

async function read(path: string, encoding: Encoding): Promise<{ readonly body: Buffer; readonly tag: string }> {
  const plain = await readFile(path);
  const tag = `"${createHash('sha256').update(plain).digest('base64url').slice(0, 16)}-${encoding}"`;
  return { body: await encode(plain, encoding), tag };
}

function encode(plain: Buffer, encoding: Encoding): Buffer | Promise<Buffer> {
  if (encoding === 'identity') return plain;
  if (encoding === 'gzip') return promisify(gzip)(plain, { level: 9 });
  const params = { [zlib.BROTLI_PARAM_QUALITY]: 9, [zlib.BROTLI_PARAM_SIZE_HINT]: plain.length };
  return promisify(brotliCompress)(plain, { params });
}

/** RFC 9110 12.5.3, as far as browsers and proxies go. */
function chosen(header: string | readonly string[] = ''): Encoding {
  const accepted = new Set(
    header
      .toString()
      .toLowerCase()
      .split(',')
      .map((one) => one.trim().split(/\s*;\s*/))
      .filter(([, ...more]) => !more.some((parameter) => /^q=0(\.0*)?$/.test(parameter)))
      .map(([name]) => name),
  );
  return accepted.has('br') ? 'br' : accepted.has('gzip') ? 'gzip' : 'identity';
}

/** Names and places of all files below a folder. */
function list(folder: string): [name: string, path: string][] {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .map((path): [string, string] => [relative(folder, path).split(sep).join('/'), path])
    .sort(([a], [b]) => (a < b ? -1 : 1));
}
