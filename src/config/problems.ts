// What is wrong with a configuration, where, and what was probably meant.
import type { z } from 'zod';
import { quote } from './schema.ts';

/** Where a value came from. */
export type Origin =
  | {
      readonly kind: 'file';
      readonly file: string;
      /** From 1; of the value. */
      readonly line: number;
      readonly column: number;
      /** Of its key. */
      readonly keyLine: number;
      readonly keyColumn: number;
    }
  | { readonly kind: 'environment'; readonly name: string }
  | { readonly kind: 'default' }
  /** Handed over by a program. */
  | { readonly kind: 'program' };

export type Path = readonly (string | number)[];

export interface ConfigProblem {
  readonly path: Path;
  readonly message: string;
  readonly origin: Origin;
  /** The place is that of the key, not of the value. */
  readonly atKey?: boolean;
}

/** What a configuration was made from. */
export interface ConfigSource {
  /** The file as it was named; absent when there is none. */
  readonly file?: string;
  /** What it said. */
  readonly text?: string;
  /** Where relative paths count from. */
  readonly folder: string;
  /** The settings as given, after the environment was laid over the file. */
  readonly raw: Readonly<Record<string, unknown>>;
  /** The same with every default filled in. */
  readonly effective: Readonly<Record<string, unknown>>;
  readonly hosts: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Of exactly this value. */
  /** Of exactly this value. */
  originOf(path: Path): Origin;
  /** Of this value, or of the group that it is missing from. */
  nearOrigin(path: Path): Origin;
  /** Of this value, or of the group that it is missing from. */
  nearOrigin(path: Path): Origin;
  /** Things that are allowed but probably not meant. */
  readonly warnings: readonly ConfigProblem[];
}

/** As much of a configuration as the settings of modules are checked with. */
export interface ModulesSource {
  readonly hosts: Readonly<Record<string, { readonly modules: Readonly<Record<string, unknown>> }>>;
  readonly source: Pick<ConfigSource, 'folder' | 'raw' | 'effective' | 'environment' | 'nearOrigin'>;
}

/** The configuration is wrong: all problems at once. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly ConfigProblem[];
  /** What is left to check: the settings of modules, of a configuration that is wrong elsewhere. */
  readonly unchecked: ModulesSource | undefined;
  constructor(problems: readonly ConfigProblem[], unchecked?: ModulesSource) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
    this.unchecked = unchecked;
  }
}

/** `hosts.example.org.admins[0]` */
export function formatPath(path: Path): string {
  let text = '';
  for (const part of path) text += typeof part === 'number' ? `[${part}]` : text === '' ? part : `.${part}`;
  return text;
}

/** `parley.yaml:14:5`, the name of a variable, or nothing. */
export function formatOrigin(origin: Origin, atKey = false): string {
  switch (origin.kind) {
    case 'file':
      return atKey
        ? `${origin.file}:${origin.keyLine}:${origin.keyColumn}`
        : `${origin.file}:${origin.line}:${origin.column}`;
    case 'environment':
      return origin.name;
    default:
      return '';
  }
}

/** One line: place, setting, what is wrong. */
export function formatProblem(problem: ConfigProblem): string {
  const place = formatOrigin(problem.origin, problem.atKey);
  const path = formatPath(problem.path);
  const head = [place, path].filter((part) => part !== '').join(' ');
  return head === '' ? problem.message : `${head}: ${problem.message}`;
}

/** Steps (insertions, removals, replacements, swaps of neighbours) between two words. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let steps = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) steps = Math.min(steps, before[j - 2]! + 1);
      row.push(steps);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}

/** The name that was probably meant, if one is near. */
export function nearest(word: string, names: Iterable<string>): string | undefined {
  const plain = (text: string): string => text.toLowerCase().replaceAll('_', '-');
  let best: string | undefined;
  let least = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const name of names) {
    const steps = distance(plain(word), plain(name));
    if (steps < least) {
      best = name;
      least = steps;
    }
  }
  return best;
}

/** `. Did you mean "x"?`, or nothing. */
export function suggestion(word: string, names: Iterable<string>): string {
  const near = nearest(word, names);
  return near === undefined ? '' : `. Did you mean ${quote(near)}?`;
}

const kinds: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'a group of settings',
  record: 'a group of settings',
  array: 'a list',
  null: 'null',
};

function typeName(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value === null || value === undefined) return 'nothing';
  return typeof value === 'object' ? 'a group of settings' : quote(value);
}

type Issue = z.core.$ZodIssue;

/** What an issue of zod says, in words of ours; `value` is what was found there. */
export function issueMessage(issue: Issue, value: unknown): string {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.message !== '' && !issue.message.startsWith('Invalid input')) return issue.message;
      if (value === undefined) return `is missing; it must be ${kinds[issue.expected] ?? issue.expected}`;
      return `must be ${kinds[issue.expected] ?? issue.expected}, not ${typeName(value)}`;
    case 'invalid_value': {
      if (!issue.message.startsWith('Invalid')) return issue.message;
      const values = issue.values.map(String);
      const found = typeof value === 'object' && value !== null ? typeName(value) : quote(value);
      return `${found} is not one of ${values.join(', ')}${typeof value === 'string' ? suggestion(value, values) : ''}`;
    }
    case 'too_small':
    case 'too_big': {
      if (!issue.message.startsWith('Too')) return issue.message;
      const small = issue.code === 'too_small';
      const bound = small ? issue.minimum : issue.maximum;
      const strictly = issue.inclusive === false;
      if (typeof value !== 'number')
        return `is too ${small ? 'short' : 'long'}: ${small ? 'at least' : 'at most'} ${bound}`;
      return `${quote(value)} is too ${small ? 'small' : 'large'}: it must be ${
        strictly ? (small ? 'above' : 'below') : small ? 'at least' : 'at most'
      } ${bound}`;
    }
    default:
      return issue.message;
  }
}
