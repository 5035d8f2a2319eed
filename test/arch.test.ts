// The rules of the house that a machine can check: layers, cycles, length of files, namespaces in one place, nothing global.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));
const source = join(root, 'src');

interface Import {
  /** Relative to src. */
  readonly to: string;
  /** `import type`: gone at run time. */
  readonly isType: boolean;
}
interface File {
  /** Relative to src, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readSource(name.replaceAll('\\', '/')))
  .sort((a, b) => (a.path < b.path ? -1 : 1));

function readSource(path: string): File {
  const text = readFileSync(join(source, path), 'utf8');
  const imports: Import[] = [];
  for (const found of text.matchAll(/^(?:import|export)\s+(type\s+)?([^;'"]*?)\s*from\s+'(\.[^']+)'/gm)) {
    // `import { type A, type B }` is gone at run time, too
    const names = /^\{([^}]*)\}$/
      .exec(found[2]!)?.[1]
      ?.split(',')
      .filter((name) => name.trim() !== '');
    const isType = found[1] !== undefined || (names?.every((name) => /^\s*type\s/.test(name)) ?? false);
    imports.push({ to: target(path, found[3]!), isType });
  }
  for (const found of text.matchAll(/\bimport\(\s*'(\.[^']+)'\s*\)/g)) {
    imports.push({ to: target(path, found[1]!), isType: false });
  }
  return { path, text, imports };
}

function target(from: string, specifier: string): string {
  return relative(source, resolve(source, dirname(from), specifier)).replaceAll('\\', '/');
}

/** From the ground up. A file may import its own layer and those below it; layers side by side do not know one another. */
const layers: readonly (readonly (readonly [name: string, matches: RegExp])[])[] = [
  [['base', /^base\//]],
  [['xml', /^xml\//]],
  [['xmpp', /^xmpp\//]],
  [['net', /^net\//]],
  [
    ['storage port', /^storage\/(ports|specs|errors|ids)\.ts$/],
    ['cluster port', /^cluster\/cluster\.ts$/],
    ['config', /^config\//],
  ],
  // a host has its accounts, and modules reach them through the host
  [['auth', /^auth\//]],
  [['core', /^core\//]],
  [
    ['modules', /^modules\//],
    ['c2s', /^c2s\//],
    ['s2s', /^s2s\//],
    ['storage drivers', /^storage\//],
    ['cluster adapters', /^cluster\//],
  ],
  [['composition', /^(main|server|admin|index)\.ts$|^(cli|composition)\//]],
];

function layerOf(path: string): { readonly height: number; readonly name: string } {
  for (const [height, names] of layers.entries()) {
    for (const [name, matches] of names) if (matches.test(path)) return { height, name };
  }
  throw new Error(`src/${path} belongs to no layer: add its folder to test/arch.test.ts`);
}

function mayImport(from: File, { to, isType }: Import): boolean {
  const [own, other] = [layerOf(from.path), layerOf(to)];
  return (own.name === other.name || other.height < own.height) && !isForbidden(from.path, to, isType);
}

/** Beyond the layers: modules see the protocol and the core, and nothing of sockets, streams or drivers. */
function isForbidden(from: string, to: string, isType: boolean): boolean {
  return from.startsWith('modules/') && to.startsWith('net/') && !isType;
}

describe('layers', () => {
  test('no file imports a layer above its own, or beside it', () => {
    const wrong = files.flatMap((file) =>
      file.imports
        .filter((one) => !mayImport(file, one))
        .map((one) => `src/${file.path} imports ${one.isType ? 'types of ' : ''}src/${one.to}`),
    );
    expect(wrong).toEqual([]);
  });

  test('every import leads to a file', () => {
    const known = new Set(files.map(({ path }) => path));
    const wrong = files.flatMap(({ path, imports }) =>
      imports.filter(({ to }) => !known.has(to)).map(({ to }) => `src/${path} imports src/${to}, which is not there`),
    );
    expect(wrong).toEqual([]);
  });

  test('no file imports itself through others at run time', () => {
    expect(cycles()).toEqual([]);
  });
});

/** Each cycle once, as the files along it. */
function cycles(): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const found = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) {
      const cycle = trail.slice(at);
      const first = cycle.indexOf([...cycle].sort()[0]!);
      found.add([...cycle.slice(first), ...cycle.slice(0, first)].join(' > '));
      return;
    }
    if (done.has(path)) return;
    for (const { to, isType } of byPath.get(path)?.imports ?? []) if (!isType) visit(to, [...trail, path]);
    done.add(path);
  };
  for (const { path } of files) visit(path, []);
  return [...found].sort();
}

/** Lines with comments taken out, so that an example in a comment is no offence. */
function code(text: string): string[] {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ''))
    .split('\n')
    .map((line) => line.replace(/(^|\s)\/\/.*$/, ''));
}

function offences(pattern: RegExp, except: (path: string) => boolean): string[] {
  return files
    .filter(({ path }) => !except(path))
    .flatMap(({ path, text }) =>
      code(text).flatMap((line, i) => (pattern.test(line) ? [`src/${path}:${i + 1} ${line.trim()}`] : [])),
    );
}

describe('files', () => {
  test('none is longer than 500 lines', () => {
    const long = files
      .map(({ path, text }) => [path, text.split('\n').length] as const)
      .filter(([, lines]) => lines > 501);
    expect(long).toEqual([]);
  });

  test('each opens with what it does', () => {
    const bare = files.filter(({ text }) => !/^(#!.*\n)?(\/\/|\/\*)/.test(text)).map(({ path }) => path);
    expect(bare).toEqual([]);
  });

  test('only modules and module-like files have a default export', () => {
    const wrong = offences(/^export default\b/, (path) => path.startsWith('modules/'));
    expect(wrong).toEqual([]);
  });

  test('namespaces are written in xmpp/ns.ts only', () => {
    const namespace = /['"`](urn:xmpp:|urn:ietf:params:xml:ns|http:\/\/jabber\.org\/|jabber:[a-z])/;
    const wrong = offences(namespace, (path) => path === 'xmpp/ns.ts');
    // the lowest layer imports nothing, and has to know which namespaces are the content of a stream
    const content = /'jabber:(client|server|component:accept)'/g;
    const others = wrong.filter((line) => !(line.startsWith('src/xml/') && !namespace.test(line.replace(content, ''))));
    expect(others).toEqual([]);
  });

  test('each namespace is there once', () => {
    const { text } = files.find(({ path }) => path === 'xmpp/ns.ts')!;
    const values = [...text.matchAll(/^\s+\w+: '([^']+)'/gm)].map((found) => found[1]!);
    expect(values.filter((value, i) => values.indexOf(value) !== i)).toEqual([]);
  });

  test('only the command line writes to the console', () => {
    const mayPrint = (path: string): boolean => path === 'main.ts' || path.startsWith('cli/');
    expect(offences(/\bconsole\.\w/, mayPrint)).toEqual([]);
  });
});

/** State that all servers of a process share although it is none: memos of pure functions, which are bounded. */
const memos: readonly string[] = ['xmpp/jid.ts cache', 'xmpp/idna.ts cache'];

describe('no state is global', () => {
  test('nothing at the top of a file can be assigned again', () => {
    expect(offences(/^(export )?(let|var) /, () => false)).toEqual([]);
  });

  test('no collection at the top of a file can be changed', () => {
    const changed = files.flatMap(({ path, text }) => {
      const lines = code(text);
      return lines.flatMap((line) => {
        const name = /^(?:export )?const (\w+)[^=]*=\s*(?:new (?:Map|Set|WeakMap|WeakSet|LruCache)\b|\[|\{)/.exec(
          line,
        )?.[1];
        if (name === undefined) return [];
        const change = new RegExp(
          `(?<![\\w.])${name}(?:\\.(?:set|add|delete|clear|push|pop|shift|unshift|splice|sort|reverse)\\(|(?:\\.\\w+|\\[[^\\]]+\\])+\\s*(?:[-+*/|&?]{0,2}=)(?![=>]))`,
        );
        // filling a table right where it is made, at the top level, is no change
        const isChanged = lines.some(
          (other) => /^\s+/.test(other) && !isTopLevelLoop(lines, other) && change.test(other),
        );
        return isChanged ? [`${path} ${name}`] : [];
      });
    });
    expect(changed.filter((name) => !memos.includes(name))).toEqual([]);
  });
});

/** Whether a line stands directly in a `for` at the top of its file. */
function isTopLevelLoop(lines: readonly string[], line: string): boolean {
  const at = lines.indexOf(line);
  for (let i = at - 1; i >= 0; i--) if (/^\S/.test(lines[i]!)) return /^for \(/.test(lines[i]!);
  return false;
}

describe('modules', () => {
  const modules = readdirSync(join(source, 'modules'), { withFileTypes: true })
    .filter(({ name }) => name.endsWith('.ts') || existsSync(join(source, 'modules', name, 'index.ts')))
    .map((entry) => entry.name.replace(/\.ts$/, ''));

  test('each has a scenario of its name; those that speak HTTP only, a test', () => {
    const scenarios = new Set(readdirSync(join(root, 'test/scenarios')));
    const isTested = (name: string): boolean => existsSync(join(root, 'test/unit/modules', name, `${name}.test.ts`));
    expect(modules.filter((name) => !scenarios.has(`${name}.scenario`) && !isTested(name))).toEqual([]);
  });
});
