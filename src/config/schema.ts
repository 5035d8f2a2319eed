// The types that settings are made of, on zod. Module settings use them too. Each carries a `kind`, by which the rest of
// the configuration code knows what to expand, resolve or mask, and what an editor may be told.
import { isIP } from 'node:net';
import { z } from 'zod';
import { Jid } from '../xmpp/jid.ts';

/** What is known about a setting besides its type; given with zod's `.meta()`. */
export interface SettingMeta {
  readonly description?: string;
  /** Takes effect only after a restart. */
  readonly restart?: boolean;
  readonly kind?: Kind;
  /** For records: what their keys are. */
  readonly keys?: 'domain';
}
type Kind = 'duration' | 'bytes' | 'jid' | 'secret' | 'url' | 'port' | 'path' | 'plugin' | 'address' | 'module';

const units: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  y: 365 * 86_400_000,
};

/** A value as it is quoted in a message: short, on one line. */
export function quote(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

/** Milliseconds of a text such as `90s` or `1h30m`; nothing when it is not a duration. */
export function parseDuration(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d|w|y))+$/.test(text)) return undefined;
  let sum = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdwy])/g)) sum += Number(amount) * units[unit!]!;
  return Math.round(sum);
}

/** The shortest text that {@link parseDuration} reads as so many milliseconds; `forever` for Infinity. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return 'forever';
  const [unit, size] = (['y', 'd', 'h', 'm', 's'] as const)
    .map((name) => [name, units[name]!] as const)
    .find(([, length]) => ms % length === 0 && ms > 0) ?? ['ms', 1];
  return `${ms / size}${unit}`;
}

function durationProblem(value: unknown): string {
  if (typeof value === 'number') return `${value} has no unit. Try "${Math.max(1, Math.round(Math.abs(value)))}s".`;
  const found = typeof value === 'string' ? /^\s*(\d+)\s*([a-z]*)/i.exec(value) : null;
  const word = found?.[2]?.toLowerCase() ?? '';
  const amount = found?.[1] ?? '5';
  const guess = word.startsWith('mo')
    ? `${Number(amount) * 30}d`
    : word.startsWith('mil') || word === 'ms'
      ? `${amount}ms`
      : `${amount}${word[0] !== undefined && word[0] in units ? word[0] : found ? 's' : 'm'}`;
  return `${quote(value)} is not a duration. Try "${guess}".`;
}

/** A length of time: `30s`, `5m`, `12h`, `7d`, `1y`. Milliseconds. */
export function duration() {
  return z
    .string({ error: (issue) => durationProblem(issue.input) })
    .transform((text, context) => {
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      context.addIssue({ code: 'custom', message: durationProblem(text) });
      return z.NEVER;
    })
    .meta({ kind: 'duration' });
}

/** As {@link duration}, or `forever`, which is Infinity. */
export function durationOrForever() {
  return z
    .string({ error: (issue) => durationProblem(issue.input) })
    .transform((text, context) => {
      if (text === 'forever') return Number.POSITIVE_INFINITY;
      const ms = parseDuration(text);
      if (ms !== undefined) return ms;
      context.addIssue({ code: 'custom', message: `${durationProblem(text).slice(0, -1)}, or "forever".` });
      return z.NEVER;
    })
    .meta({ kind: 'duration' });
}

const sizes: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

function bytesProblem(value: unknown): string {
  const found = typeof value === 'string' ? /^\s*(\d+)\s*([kmgt]?)(i?)b?/i.exec(value) : null;
  const prefix = found?.[2]?.toLowerCase() ?? 'k';
  const unit =
    prefix === '' ? 'B' : found?.[3] ? `${prefix.toUpperCase()}iB` : `${prefix === 'k' ? 'k' : prefix.toUpperCase()}B`;
  return `${quote(value)} is not a number of bytes. Try "${found?.[1] ?? '10'}${unit}".`;
}

/** Bytes of a text such as `10kB` (thousands) or `256KiB` (1024s); nothing when it is not a size. */
export function parseBytes(text: string): number | undefined {
  const found = /^(\d+(?:\.\d+)?)([kKMGT]?i?B)?$/.exec(text);
  const size = found && sizes[found[2] ?? 'B'];
  return size ? Math.round(Number(found[1]) * size) : undefined;
}

/** A number of bytes: `10kB`, `256KiB`, or a plain number. */
export function bytes() {
  return z
    .union([z.int().nonnegative(), z.string()], { error: (issue) => bytesProblem(issue.input) })
    .transform((value, context) => {
      const size = typeof value === 'number' ? value : parseBytes(value);
      if (size !== undefined) return size;
      context.addIssue({ code: 'custom', message: bytesProblem(value) });
      return z.NEVER;
    })
    .meta({ kind: 'bytes' });
}

/** The address of an account, `name@domain`; prepared (RFC 7622). */
export function jid() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not an address. Try "alice@example.org".` })
    .transform((text, context) => {
      const parsed = Jid.parse(text);
      if (parsed?.isBare && parsed.local !== '') return parsed.bare;
      const why =
        parsed === undefined
          ? 'an address'
          : parsed.isBare
            ? 'an account: that is name@domain, and this a domain only'
            : 'a bare address';
      // what was given is more often half an address than a wrong one
      const domain = parsed?.domain ?? 'example.org';
      const probable = parsed?.local ? parsed.bare : domain.includes('.') ? `alice@${domain}` : `${domain}@example.org`;
      context.addIssue({
        code: 'custom',
        message: `${quote(text)} is not ${why}. Try "${probable}".`,
      });
      return z.NEVER;
    })
    .meta({ kind: 'jid' });
}

/** Text that is never shown. In the file it may be `file:PATH`, or hold `${NAME}` of the environment. */
export function secret() {
  return z
    .string({ error: 'a secret must be text; put it in quotes, or write "file:PATH"' })
    .min(1, { error: 'the secret is empty' })
    .meta({ kind: 'secret' });
}

/** A path; relative ones count from the folder of the configuration file. Absolute when parsed. */
export function path() {
  return z
    .string({ error: (issue) => `${quote(issue.input)} is not a path` })
    .min(1, { error: 'the path is empty' })
    .meta({ kind: 'path' });
}

const portProblem = (value: unknown): string =>
  `${quote(value)} is not a port. Give a number from 1 to 65535, 0 for a free one, null to switch the listener off, or { port: ..., address: ... }.`;

/** One network address, or several. */
export function addresses() {
  const one = z
    .string({ error: (issue) => `${quote(issue.input)} is not an IP address. Try "127.0.0.1".` })
    .refine((text) => isIP(text) !== 0, {
      error: (issue) => `${quote(issue.input)} is not an IP address. Try "127.0.0.1".`,
    })
    .meta({ kind: 'address' });
  return z
    .union([one, z.array(one).min(1)], {
      error: (issue) => `${quote(issue.input)} is not an IP address or a list of them. Try ["127.0.0.1"].`,
    })
    .transform((value): readonly string[] => (typeof value === 'string' ? [value] : value));
}

/** A listener: its port (0: a free one, null: off), or with `address` where this one differs from the others. */
export function listener() {
  const number = z.int().min(0).max(65535);
  return z
    .union([number, z.null(), z.strictObject({ port: number.nullable(), address: addresses() })], {
      error: (issue) => portProblem(issue.input),
    })
    .transform((value) => (typeof value === 'object' && value !== null ? value : { port: value, address: undefined }))
    .meta({ kind: 'port' });
}

/** A URL that may hold a password, which is masked wherever it is shown. */
export function url(protocols: readonly string[], example: string) {
  const problem = (value: unknown): string =>
    `${typeof value === 'string' ? quote(maskUrl(value)) : quote(value)} is not an address of that kind. Try "${example}".`;
  return z
    .string({ error: (issue) => problem(issue.input) })
    .refine((text) => URL.canParse(text) && protocols.includes(new URL(text).protocol), {
      error: (issue) => problem(issue.input),
    })
    .meta({ kind: 'url' });
}

/** What is shown instead of a secret. */
export const mask = '********';

/** The text with the password of a URL masked. */
export function maskUrl(text: string): string {
  return text
    .replace(/^([a-z][a-z0-9+.-]*:\/\/[^/?#]*:)[^/?#]*@/i, `$1${mask}@`)
    .replace(/([?&]password=)[^&#]*/gi, `$1${mask}`);
}
