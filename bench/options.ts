// The command line of the load tests.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { Target } from './load/client.ts';
import type { OptionSpecs, OptionValues } from './load/profile.ts';
import { type UserFormat, userFormats } from './users.ts';

/** Options of every profile; strings unless a default says otherwise. */
const common = {
  host: { type: 'string', help: 'address of the server; without it a Parley is started for the test' },
  port: { type: 'string', help: 'its port (5222; 5223 for --tls direct; 5280 and 5443 for --transport ws)' },
  domain: { type: 'string', help: 'the XMPP domain (example.org)' },
  tls: { type: 'string', help: 'none, starttls or direct (none)' },
  transport: { type: 'string', help: 'tcp, or ws for WebSocket, which excludes --tls starttls (tcp)' },
  sasl: {
    type: 'string',
    help: 'plain, scram (SCRAM-SHA-1), sasl2 (PLAIN and Bind 2 in one round trip), or fast (the same with tokens; needs TLS) (plain)',
  },
  users: { type: 'string', help: 'how many users there are to log in with' },
  'user-prefix': { type: 'string', help: 'users are PREFIX1, PREFIX2, ... (user)' },
  password: { type: 'string', help: 'the password of them all (benchmark)' },
  workers: { type: 'string', help: 'processes that make the load (one per core but one)' },
  sources: { type: 'string', help: 'local addresses 127.0.0.x to connect from (one per 20,000 users)' },
  pid: { type: 'string', help: "roots of the server's process trees, separated by commas: measures CPU and memory" },
  'db-pid': { type: 'string', help: 'roots of the process trees of a database elsewhere, reported apart' },
  full: { type: 'boolean', help: 'start the server with archive, carbons and stream management' },
  postgres: { type: 'boolean', help: "start the server on a PostgreSQL of this machine's packages" },
  register: { type: 'boolean', help: 'register the users in-band first (XEP-0077)' },
  'make-users': { type: 'string', help: 'write the users to this file and exit' },
  'user-format': { type: 'string', help: `what --make-users writes: ${userFormats.join(', ')} (parley)` },
  json: { type: 'boolean', help: 'print JSON' },
  help: { type: 'boolean', help: 'print this' },
} as const;

/** Without TLS and with it. */
const PORTS = { tcp: [5222, 5223], ws: [5280, 5443] } as const;

export class UsageError extends Error {}

export interface CommonOptions {
  /** The server to connect to; undefined: start one. Its port is still missing when none was given. */
  readonly host: string | undefined;
  readonly target: Target;
  readonly users: number;
  readonly workers: number;
  readonly pids: readonly number[];
  readonly databasePids: readonly number[];
  /** How a server is to be started, if it is started here. */
  readonly isFull: boolean;
  readonly onPostgres: boolean;
  readonly register: boolean;
  readonly makeUsers: string | undefined;
  readonly userFormat: UserFormat;
  readonly json: boolean;
}

export interface ParsedOptions {
  readonly common: CommonOptions;
  /** The profile's own options. */
  readonly own: OptionValues;
}

/** Reads the arguments after the profile's name. Throws UsageError. */
export function parseOptions(
  args: readonly string[],
  specs: OptionSpecs,
  defaultUsers: (own: OptionValues) => number,
): ParsedOptions {
  const values = readArguments(args, specs);
  const text = (name: keyof typeof common, fallback: string) => String(values[name] ?? fallback);
  const whole = (name: keyof typeof common, fallback: number) => toNumber(name, values[name] ?? fallback);
  const own: Record<string, number | string | boolean> = {};
  for (const [name, { value }] of Object.entries(specs)) {
    const given = values[name];
    if (given === undefined) own[name] = value;
    else own[name] = typeof value === 'number' ? toNumber(name, given) : given;
  }
  const tls = oneOf('tls', text('tls', 'none'), ['none', 'starttls', 'direct'] as const);
  const transport = oneOf('transport', text('transport', 'tcp'), ['tcp', 'ws'] as const);
  if (transport === 'ws' && tls === 'starttls') throw new UsageError('--transport ws: there is no STARTTLS there');
  const users = whole('users', defaultUsers(own));
  const host = values.host === undefined ? undefined : String(values.host);
  return {
    own,
    common: {
      host,
      users,
      workers: whole('workers', Math.max(1, availableParallelism() - 1)),
      pids: toPids('pid', values.pid),
      databasePids: toPids('db-pid', values['db-pid']),
      isFull: values.full === true,
      onPostgres: values.postgres === true,
      register: values.register === true,
      makeUsers: values['make-users'] === undefined ? undefined : String(values['make-users']),
      userFormat: oneOf('user-format', text('user-format', 'parley'), userFormats),
      json: values.json === true,
      target: {
        host: host ?? '127.0.0.1',
        port: whole('port', PORTS[transport][tls === 'direct' ? 1 : 0]),
        domain: text('domain', 'example.org'),
        tls,
        transport,
        sasl: oneOf('sasl', text('sasl', 'plain'), ['plain', 'scram', 'sasl2', 'fast'] as const),
        userPrefix: text('user-prefix', 'user'),
        password: text('password', 'benchmark'),
        sources: whole('sources', Math.ceil(users / 20_000)),
      },
    },
  };
}

export function describeOptions(specs: OptionSpecs): string {
  const line = (name: string, help: string) => `  --${name.padEnd(14)} ${help}`;
  return Object.entries(specs)
    .map(([name, { value, help }]) => line(name, `${help} (${value})`))
    .join('\n');
}

export function describeCommonOptions(): string {
  return Object.entries(common)
    .map(([name, { help }]) => `  --${name.padEnd(14)} ${help}`)
    .join('\n');
}

function readArguments(args: readonly string[], specs: OptionSpecs): Record<string, string | boolean | undefined> {
  const own = Object.fromEntries(
    Object.entries(specs).map(([name, { value }]) => [
      name,
      { type: typeof value === 'boolean' ? ('boolean' as const) : ('string' as const) },
    ]),
  );
  try {
    const { values } = parseArgs({ args: [...args], options: { ...common, ...own }, allowNegative: true });
    return values as Record<string, string | boolean | undefined>;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function toPids(name: string, value: string | boolean | undefined): number[] {
  if (value === undefined) return [];
  return String(value)
    .split(',')
    .map((pid) => toNumber(name, pid));
}

function toNumber(name: string, value: string | number | boolean): number {
  const number = Number(value);
  if (value === '' || !Number.isFinite(number) || number < 0) throw new UsageError(`--${name}: not a number: ${value}`);
  return number;
}

function oneOf<const T extends string>(name: string, value: string, choices: readonly T[]): T {
  const choice = choices.find((candidate) => candidate === value);
  if (choice === undefined) throw new UsageError(`--${name}: one of ${choices.join(', ')}, not ${value}`);
  return choice;
}
