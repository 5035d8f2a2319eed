// Settings as a tree beside their schema: defaults filled in, `${NAME}` and `file:` expanded, paths made absolute, leaves
// listed. Works on the input form, so that what is shown reads as it would be written.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { prepareDomain } from '../xmpp/jid.ts';
import type { Path } from './problems.ts';
import { mask, maskUrl, quote, type SettingMeta } from './schema.ts';

export type Tree = Record<string, unknown>;

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The parts of zod's definitions that are looked at here. */
interface Definition {
  readonly type: string;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly defaultValue?: unknown;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly valueType?: z.core.$ZodType;
  readonly element?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
}

/** A schema without its wrappers. */
export interface Look {
  readonly schema: z.core.$ZodType;
  readonly type: string;
  readonly meta: SettingMeta;
  /** In the input form; `undefined` when there is none. */
  readonly fallback: unknown;
  readonly nullable: boolean;
  readonly optional: boolean;
  readonly shape: Readonly<Record<string, z.core.$ZodType>> | undefined;
  /** Of a record's values, or of an array's elements. */
  readonly inner: z.core.$ZodType | undefined;
  readonly options: readonly z.core.$ZodType[];
}

const wrappers = new Set(['prefault', 'default', 'optional', 'nullable', 'readonly', 'nonoptional', 'catch']);

/** Sees through defaults, optionality and transformations to the type that is written in the file. */
export function look(schema: z.core.$ZodType): Look {
  let meta: SettingMeta = {};
  let fallback: unknown;
  let nullable = false;
  let optional = false;
  for (let at = schema; ; ) {
    const definition = at._zod.def as unknown as Definition;
    meta = { ...(z.globalRegistry.get(at) as SettingMeta | undefined), ...meta };
    if (wrappers.has(definition.type) && definition.innerType) {
      if (definition.type === 'prefault' || definition.type === 'default') fallback ??= definition.defaultValue;
      if (definition.type === 'nullable') nullable = true;
      if (definition.type === 'optional') optional = true;
      at = definition.innerType;
    } else if (definition.type === 'pipe' && definition.in) at = definition.in;
    else {
      const { type, shape, valueType, element, options = [] } = definition;
      return { schema: at, type, meta, fallback, nullable, optional, shape, inner: valueType ?? element, options };
    }
  }
}

/** The branch of a union that a group or a list would be meant for. */
export function branch(seen: Look, value: unknown): Look {
  if (seen.type !== 'union') return seen;
  const wanted = Array.isArray(value) ? ['array'] : isTree(value) ? ['object', 'record'] : [];
  for (const option of seen.options) {
    const inside = branch(look(option), value);
    if (wanted.includes(inside.type)) return { ...inside, meta: { ...inside.meta, ...seen.meta } };
  }
  return seen;
}

export interface Surroundings {
  /** Where relative paths count from. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  report(path: Path, message: string, atKey?: boolean): void;
  /** Told when a key was written in another form than the one it has now. */
  renamed?(path: Path, written: string): void;
}

/** The tree with every default, every reference replaced by what it refers to, and every path absolute. */
export function complete(schema: z.core.$ZodType, given: unknown, path: Path, at: Surroundings): unknown {
  const outer = look(schema);
  let value = given === undefined ? outer.fallback : given;
  const seen = branch(outer, value);
  if (seen.meta.kind === 'module') return value === null ? {} : value;
  // a group that can be switched off may be said to be off, or on, as a whole
  if (typeof value === 'boolean' && seen.shape?.enabled !== undefined) value = { enabled: value };
  if (value === null && !seen.nullable && (seen.type === 'object' || seen.type === 'record')) value = {};
  if (typeof value === 'string') return completeText(value, seen, path, at);
  if (Array.isArray(value)) {
    return seen.inner ? value.map((item, i) => complete(seen.inner!, item, [...path, i], at)) : value;
  }
  if (!isTree(value)) return value;
  const result: Tree = {};
  if (seen.type === 'record' && seen.inner) {
    for (const [written, item] of Object.entries(value)) {
      const key = seen.meta.keys === 'domain' ? domainKey(written, path, result, at) : written;
      if (key !== undefined) result[key] = complete(seen.inner, item, [...path, key], at);
    }
    return result;
  }
  for (const [key, child] of Object.entries(seen.shape ?? {})) {
    const inside = complete(child, value[key], [...path, key], at);
    if (inside !== undefined) result[key] = inside;
  }
  for (const key of Object.keys(value)) if (!(key in result)) result[key] = value[key];
  return result;
}

function domainKey(written: string, path: Path, others: Tree, at: Surroundings): string | undefined {
  const domain = prepareDomain(written);
  if (domain === undefined) {
    at.report([...path, written], `${quote(written)} is not a domain. Try "example.org".`, true);
    return undefined;
  }
  if (Object.hasOwn(others, domain)) {
    at.report(
      [...path, written],
      `${quote(written)} is the same domain as ${quote(domain)}, which is there already`,
      true,
    );
    return undefined;
  }
  if (domain !== written) at.renamed?.([...path, domain], written);
  return domain;
}

function completeText(text: string, seen: Look, path: Path, at: Surroundings): string {
  let value = text.replace(/\$\$\{|\$\{([^}]*)\}/g, (whole, inside: string | undefined) => {
    if (inside === undefined) return '${';
    const [name = '', fallback] = inside.split(':-', 2);
    const found = at.environment[name] || fallback;
    if (found === undefined) at.report(path, `the environment variable ${name || quote(whole)} is not set`);
    return found ?? whole;
  });
  const { kind } = seen.meta;
  if (kind === 'secret' || kind === 'url') {
    const file = /^(file|credential):(?!\/\/)(.+)$/s.exec(value);
    if (file) value = readSecret(file[1]!, file[2]!, path, at);
  }
  if (kind === 'path' && value !== '') value = resolve(at.folder, value);
  if (kind === 'plugin' && /^\.{0,2}\//.test(value)) value = resolve(at.folder, value);
  return value;
}

function readSecret(kind: string, name: string, path: Path, at: Surroundings): string {
  // systemd's LoadCredential= puts files into a folder that it names in the environment
  const folder = kind === 'credential' ? at.environment.CREDENTIALS_DIRECTORY : at.folder;
  if (folder === undefined) {
    at.report(path, `there are no credentials: CREDENTIALS_DIRECTORY is not set; use "file:PATH"`);
    return 'missing';
  }
  const file = kind === 'credential' ? join(folder, name) : resolve(folder, name);
  try {
    const text = readFileSync(file, 'utf8').replace(/\r?\n$/, '');
    if (text === '') at.report(path, `${file} is empty`);
    return text || 'missing';
  } catch (error) {
    at.report(path, `${file} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
    return 'missing';
  }
}

/** One value at the end of a path; lists count as one. */
export interface Leaf {
  readonly path: Path;
  readonly value: unknown;
  readonly restart: boolean;
  readonly description: string;
}

/** Every value of a completed tree, in the order of the schema; secrets as they are, or masked. */
export function leaves(schema: z.core.$ZodType, tree: unknown, options: { readonly masked: boolean }): Leaf[] {
  const found: Leaf[] = [];
  const walk = (inside: z.core.$ZodType | undefined, value: unknown, path: Path, restart: boolean): void => {
    const outer = inside && look(inside);
    const seen = outer && branch(outer, value);
    const late = restart || seen?.meta.restart === true;
    if (isTree(value) && Object.keys(value).length > 0) {
      const keys = [...Object.keys(seen?.shape ?? {}), ...Object.keys(value)];
      for (const key of new Set(keys)) {
        if (key in value) walk(seen?.shape?.[key] ?? seen?.inner, value[key], [...path, key], late);
      }
      return;
    }
    const shown = options.masked ? maskValue(inside, value, String(path.at(-1) ?? '')) : value;
    found.push({ path, value: shown, restart: late, description: seen?.meta.description ?? '' });
  };
  walk(schema, tree, [], false);
  return found;
}

/** The value with everything secret in it masked: what its schema says, and what its name suggests where there is none. */
function maskValue(schema: z.core.$ZodType | undefined, value: unknown, name: string): unknown {
  const outer = schema && look(schema);
  const seen = outer && branch(outer, value);
  if (Array.isArray(value)) return value.map((item) => maskValue(seen?.inner, item, name));
  if (isTree(value)) {
    return Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, maskValue(seen?.shape?.[key] ?? seen?.inner, item, key)]),
    );
  }
  if (value === null || typeof value === 'boolean' || value === '') return value;
  if (seen?.meta.kind === 'secret') return mask;
  const plain = seen !== undefined && seen.type !== 'unknown' && seen.type !== 'any';
  if (!plain && /secret|password|passwd|token|(^|[-_])key$/i.test(name)) return mask;
  return typeof value === 'string' ? maskUrl(value) : value;
}

/** Laid over one another: groups are joined, everything else is replaced. */
export function overlay(below: unknown, above: unknown): unknown {
  if (above === undefined) return below;
  // `true` for a module switches it on, with the settings that are there
  if (above === true && isTree(below)) return below;
  if (!isTree(below) || !isTree(above)) return above;
  const result: Tree = { ...below };
  for (const [key, value] of Object.entries(above)) result[key] = overlay(below[key], value);
  return result;
}
