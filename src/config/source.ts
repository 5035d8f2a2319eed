// Where settings come from: a YAML file, with the place of every value, and the environment.
import { isAlias, isMap, isScalar, isSeq, LineCounter, parse, parseDocument } from 'yaml';
import type { z } from 'zod';
import { type ConfigProblem, nearest, type Origin, type Path, suggestion } from './problems.ts';
import { quote } from './schema.ts';
import { branch, isTree, type Look, look, overlay, type Tree } from './tree.ts';

/** What was written, and where. */
export class Written {
  tree: Tree = {};
  readonly problems: ConfigProblem[] = [];
  readonly warnings: ConfigProblem[] = [];
  private readonly origins = new Map<string, Origin>();
  private readonly spellings = new Map<string, string>();
  private readonly otherwise: Origin;

  constructor(otherwise: Origin) {
    this.otherwise = otherwise;
  }

  mark(path: Path, origin: Origin): void {
    this.origins.set(key(path), origin);
  }

  /** Marks a value and all that is in it. */
  markAll(path: Path, value: unknown, origin: Origin): void {
    this.mark(path, origin);
    if (isTree(value)) for (const name of Object.keys(value)) this.markAll([...path, name], value[name], origin);
  }

  /** Remembers how the last key of a path was spelt. */
  spelt(path: Path, written: string): void {
    this.spellings.set(key(path), written);
  }

  /** Of exactly this value; `default` when it was not written. */
  originOf(path: Path): Origin {
    return this.origins.get(key(this.asWritten(path))) ?? this.otherwise;
  }

  /** Of this value, or of the group that it is missing from. */
  nearOrigin(path: Path): Origin {
    const written = this.asWritten(path);
    for (let length = written.length; length > 0; length--) {
      const origin = this.origins.get(key(written.slice(0, length)));
      if (origin) return origin;
    }
    return this.otherwise;
  }

  private asWritten(path: Path): Path {
    return path.map((part, i) => this.spellings.get(key(path.slice(0, i + 1))) ?? part);
  }
}

const key = (path: Path): string => JSON.stringify(path);

/** Reads YAML; syntax errors and duplicate keys go to `problems`. */
export function readYaml(text: string, file: string, into: Written): void {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, merge: true });
  const originAt = (value: number, name = value): Origin => {
    const [at, atKey] = [lines.linePos(value), lines.linePos(name)];
    return { kind: 'file', file, line: at.line, column: at.col, keyLine: atKey.line, keyColumn: atKey.col };
  };
  for (const error of [...document.errors, ...document.warnings]) {
    const message =
      error.code === 'DUPLICATE_KEY'
        ? `${quote(/[^\s:,}]+/.exec(text.slice(error.pos[0]))?.[0] ?? '')} is there twice in the same group`
        : yamlMessage(error.code, error.message);
    into.problems.push({ path: [], message, origin: originAt(error.pos[0]) });
  }
  if (document.errors.length > 0) return;

  const place = (node: unknown, path: Path, keyAt: number): void => {
    const target = isAlias(node) ? node.resolve(document) : node;
    const range = (node as { range?: readonly number[] } | null)?.range;
    if (path.length > 0) into.mark(path, originAt(range?.[0] ?? keyAt, keyAt));
    if (isMap(target)) {
      for (const { key: name, value } of target.items) {
        const at = (name as { range?: readonly number[] } | null)?.range?.[0] ?? keyAt;
        place(value, [...path, String(isScalar(name) ? name.value : name)], at);
      }
    } else if (isSeq(target)) for (const [i, item] of target.items.entries()) place(item, [...path, i], keyAt);
  };
  const tree: unknown = document.toJS();
  if (tree === null || tree === undefined) return;
  if (!isTree(tree)) {
    into.problems.push({
      path: [],
      message: `the file must hold settings ("name: value"), not ${Array.isArray(tree) ? 'a list' : quote(tree)}`,
      origin: originAt(0),
    });
    return;
  }
  place(document.contents, [], 0);
  into.tree = tree;
}

function yamlMessage(code: string, message: string): string {
  switch (code) {
    case 'TAB_AS_INDENT':
      return 'a tab is used to indent; YAML wants spaces';
    case 'BAD_INDENT':
      return 'the indentation does not fit the lines around it';
    case 'MULTIPLE_DOCS':
      return 'a second document begins here ("---"); only one is allowed';
    default:
      return message;
  }
}

/** Made by Kubernetes and Docker for a service of that name; nobody's settings. */
const serviceLink = /^PARLEY_(.+_)?(SERVICE_(HOST|PORT)|PORT)(_|$)/;
/** Ours, but no settings. */
const reserved = /^PARLEY_(CONFIG$|TEST_|BENCH_)/;

/** Lays `PARLEY_*` variables over what was read. `__` parts groups, `_` in a name stands for `-`. */
export function readEnvironment(
  schema: z.core.$ZodType,
  environment: Readonly<Record<string, string | undefined>>,
  into: Written,
): void {
  const names = Object.keys(environment).filter(
    (name) => name.startsWith('PARLEY_') && !serviceLink.test(name) && !reserved.test(name) && environment[name] !== '',
  );
  // a whole group first, then single settings in it
  names.sort((a, b) => a.split('__').length - b.split('__').length || (a < b ? -1 : 1));
  for (const name of names) readVariable(schema, name, environment[name] ?? '', into);
}

function readVariable(schema: z.core.$ZodType, name: string, text: string, into: Written): void {
  const origin: Origin = { kind: 'environment', name };
  const path: string[] = [];
  let seen: Look | undefined = look(schema);
  for (const segment of name.slice('PARLEY_'.length).split('__')) {
    const group: Look | undefined = seen && branch(seen, {});
    const wanted = segment.toLowerCase().replaceAll('_', '-');
    let part: string | undefined = wanted;
    let child: z.core.$ZodType | undefined;
    if (group?.shape) {
      child = group.shape[wanted];
      if (!child) {
        const near = nearest(wanted, Object.keys(group.shape));
        const meant = near && ['PARLEY', ...path, near].map(variable).join('__').replace('PARLEY__', 'PARLEY_');
        const message = `there is no setting ${quote([...path, wanted].join('.'))}${meant ? `. Did you mean ${meant}?` : ''}`;
        // other programs name variables too, so a first part that nobody knows is not yet an error
        (path.length === 0 ? into.warnings : into.problems).push({ path: [], message, origin });
        return;
      }
    } else if (group?.type === 'record') {
      child = group.inner;
      if (group.meta.keys === 'domain') part = domainOf(segment, into.tree[path[0]!]);
      if (part === undefined) {
        const domains = Object.keys(isTree(into.tree[path[0]!]) ? (into.tree[path[0]!] as Tree) : {});
        const message = `no domain in "${path[0]}" is written ${segment}${suggestion(segment.replaceAll('_', '.'), domains)}`;
        into.problems.push({ path: [], message, origin });
        return;
      }
    } else if (group !== undefined && group.meta.kind !== 'module' && group.type !== 'unknown') {
      into.problems.push({ path, message: `${quote(path.join('.'))} is a single value and has nothing in it`, origin });
      return;
    }
    path.push(part);
    seen = child && look(child);
  }
  try {
    store(path, fromText(text, seen, path), origin, into);
  } catch (error) {
    into.problems.push({ path, message: `cannot be read: ${(error as Error).message.split('\n')[0]}`, origin });
  }
}

const variable = (part: string): string => part.toUpperCase().replaceAll('-', '_');

/** The domain that a variable's segment stands for: as it is, or with `_` for what cannot stand in a name. */
function domainOf(segment: string, group: unknown): string | undefined {
  const plain = (text: string): string => text.toUpperCase().replace(/[^A-Z0-9]/g, '_');
  const known = Object.keys(isTree(group) ? group : {}).find((domain) => plain(domain) === plain(segment));
  if (known !== undefined) return known;
  return segment.includes('.') || segment.toLowerCase() === 'localhost' ? segment.toLowerCase() : undefined;
}

const textual = new Set(['secret', 'url', 'path', 'duration', 'bytes', 'jid', 'address', 'plugin']);

function fromText(text: string, seen: Look | undefined, path: Path): unknown {
  if (seen === undefined) return parse(text);
  const listLike = branch(seen, []).type === 'array';
  if (seen.nullable && text === 'null') return null;
  if (path.length === 1 && seen.meta.keys === 'domain' && !/^\s*[[{]/.test(text)) {
    return Object.fromEntries(split(text).map((domain) => [domain, {}]));
  }
  if (seen.meta.keys === 'domain' && /^\s*\[/.test(text)) {
    return Object.fromEntries((parse(text) as unknown[]).map((domain) => [String(domain), {}]));
  }
  if (listLike) return /^\s*\[/.test(text) ? parse(text) : split(text);
  if (seen.type === 'string' || seen.type === 'enum' || textual.has(seen.meta.kind ?? '')) return text;
  return parse(text);
}

const split = (text: string): string[] => text.split(/[\s,]+/).filter((item) => item !== '');

function store(path: readonly string[], value: unknown, origin: Origin, into: Written): void {
  let group = into.tree;
  for (const part of path.slice(0, -1)) {
    // a module that was switched off, or a port: an object of settings takes its place
    if (!isTree(group[part])) group[part] = typeof group[part] === 'number' ? { port: group[part] } : {};
    group = group[part] as Tree;
  }
  const last = path.at(-1)!;
  const old = group[last];
  if (path.length === 1 && last === 'hosts' && isTree(value)) {
    // names the hosts; those that the file knows keep their settings
    const before = isTree(old) ? old : {};
    group[last] = Object.fromEntries(
      Object.entries(value).map(([domain, settings]) => [domain, overlay(before[domain] ?? {}, settings)]),
    );
  } else group[last] = isTree(old) && isTree(value) ? overlay(old, value) : value;
  if (!isTree(value)) into.mark(path, origin);
  else into.markAll(path, value, origin);
}
