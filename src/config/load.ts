// From a file, the environment or a program's object to a whole, valid configuration; or to all that is wrong with it.
import { existsSync, readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { dirname, relative, resolve } from 'node:path';
import type { z } from 'zod';
import { prepareDomain } from '../xmpp/jid.ts';
import { checkComponents } from './components.ts';
import { checkExternalServices } from './external-services.ts';
import {
  ConfigError,
  type ConfigProblem,
  type ConfigSource,
  issueMessage,
  type ModulesSource,
  type Path,
  suggestion,
} from './problems.ts';
import { checkRooms } from './rooms.ts';
import { quote } from './schema.ts';
import {
  type Config,
  type ConfigInput,
  type HostSettings,
  hostSchema,
  type ListenerName,
  type ListenerSettings,
  serverSchema,
} from './server.ts';
import { checkServices } from './services.ts';
import { readEnvironment, readYaml, Written } from './source.ts';
import { branch, complete, isTree, look, overlay, type Surroundings, type Tree } from './tree.ts';
import { uploadFolder } from './upload.ts';

const defaultFile = 'parley.yaml';

const listenerNames: readonly ListenerName[] = [
  'c2s',
  'c2s-tls',
  's2s',
  's2s-tls',
  'component',
  'http',
  'https',
  'proxy65',
];

export interface LoadOptions {
  /** A file that must be there. Without it: PARLEY_CONFIG, else parley.yaml in `folder` if there is one, else defaults. */
  readonly file?: string | undefined;
  /** What the file says, where it was read already. */
  readonly text?: string | undefined;
  /** Where to look; the current folder unless said otherwise. */
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

/** Reads the configuration. Throws ConfigError with every problem there is. */
export function loadConfig(options: LoadOptions = {}): Config {
  const folder = resolve(options.folder ?? process.cwd());
  const environment = options.environment ?? process.env;
  const written = new Written({ kind: 'default' });
  const named = options.file ?? (environment.PARLEY_CONFIG || undefined);
  const found = named ?? (existsSync(resolve(folder, defaultFile)) ? defaultFile : undefined);
  const file = found === undefined ? undefined : resolve(folder, found);
  let { text } = options;
  if (file !== undefined) {
    // shown relative where that is shorter to read
    const near = relative(folder, file);
    const shown = near === '' || near.startsWith('..') ? file : near;
    text ??= readText(file, shown);
    readYaml(text, shown, written);
    if (written.problems.length > 0) throw new ConfigError(written.problems);
  }
  readEnvironment(serverSchema, environment, written);
  return build(written, { folder: file === undefined ? folder : dirname(file), environment, file, text });
}

/**
 * The data folder of a configuration that is wrong elsewhere, so that the server it belongs to can still be asked and
 * stopped; nothing when not even that can be told.
 */
export function findDataFolder(options: LoadOptions = {}): string | undefined {
  const folder = resolve(options.folder ?? process.cwd());
  const environment = options.environment ?? process.env;
  const file = resolve(folder, options.file ?? (environment.PARLEY_CONFIG || defaultFile));
  const written = new Written({ kind: 'default' });
  try {
    readYaml(readFileSync(file, 'utf8'), file, written);
  } catch {
    return undefined;
  }
  if (written.problems.length > 0) return undefined;
  const data = environment.PARLEY_DATA || (written.tree.data ?? './parley-data');
  const base = dirname(file);
  const found: string[] = [];
  const completed = complete(serverSchema.shape.data, data, ['data'], {
    folder: base,
    environment,
    report: (_, message) => void found.push(message),
  });
  return typeof completed === 'string' && found.length === 0 ? completed : undefined;
}

function readText(file: string, shown: string): string {
  try {
    return readFileSync(file, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EACCES'
          ? 'it may not be read by this user'
          : code === 'EISDIR'
            ? 'it is a folder'
            : `it cannot be read (${code})`;
    throw new ConfigError([{ path: [], message: `${shown}: ${why}`, origin: { kind: 'default' } }]);
  }
}

/**
 * Checks settings that a program hands over; the environment is used for `${NAME}` only. Relative paths count from
 * `baseFolder`, the current folder unless said otherwise. Where `listen` names a port, the listeners it does not name are
 * off, so that many servers fit into one program. Throws ConfigError.
 */
export function parseConfig(
  input: ConfigInput,
  options: { readonly baseFolder?: string; readonly environment?: Readonly<Record<string, string | undefined>> } = {},
): Config {
  const written = new Written({ kind: 'default' });
  written.tree = { ...(input as Tree) };
  if (isTree(input.listen)) {
    const { address: _, ...ports } = input.listen;
    const off = Object.fromEntries(listenerNames.map((name) => [name, null]));
    if (Object.keys(ports).length > 0) written.tree.listen = { ...off, ...input.listen };
  }
  for (const [name, value] of Object.entries(written.tree)) written.markAll([name], value, { kind: 'program' });
  const folder = resolve(options.baseFolder ?? process.cwd());
  return build(written, { folder, environment: options.environment ?? process.env });
}

interface Place {
  readonly folder: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly file?: string | undefined;
  readonly text?: string | undefined;
}

function build(written: Written, place: Place): Config {
  const problems = written.problems;
  const effective = check(serverSchema, written.tree, [], written, place, problems);
  if (effective === undefined) throw new ConfigError(inOrder(problems), modulesOnly(written, place));
  const tree = effective.tree as Tree;
  const settings = effective.value as z.output<typeof serverSchema>;

  const hosts: Record<string, HostSettings> = {};
  const hostTrees: Record<string, Tree> = {};
  const rawHosts = byDomain(written.tree.hosts, written);
  for (const domain of Object.keys(settings.hosts)) {
    const merged = overlay(globals(written.tree), rawHosts[domain] ?? {});
    const checked = check(hostSchema, merged, ['hosts', domain], written, place, problems);
    if (!checked) continue;
    const own = checked.value as HostSettings;
    hosts[domain] = { ...own, upload: { ...own.upload, folder: uploadFolder(own.upload, settings.data) } };
    hostTrees[domain] = checked.tree as Tree;
  }
  const listeners = resolveListeners(settings);
  tree.listen = { ...(tree.listen as Tree), address: settings.listen.address ?? defaultAddresses(settings) };

  const report = (path: Path, message: string): void => {
    problems.push({ path, message, origin: written.nearOrigin(path) });
  };
  const warn = (path: Path, message: string): void => {
    written.warnings.push({ path, message, origin: written.nearOrigin(path) });
  };
  checkTogether(settings, listeners, report, warn);
  checkRooms(hosts, report);
  checkExternalServices(settings, hosts, report);
  checkServices(hosts, Object.keys(settings.components), report);
  if (problems.length > 0) throw new ConfigError(inOrder(problems), modulesOnly(written, place));

  const source: ConfigSource = {
    ...(place.file === undefined ? {} : { file: place.file }),
    ...(place.text === undefined ? {} : { text: place.text }),
    folder: place.folder,
    raw: written.tree,
    effective: tree,
    hosts: hostTrees,
    environment: place.environment,
    originOf: (path) => written.originOf(path),
    nearOrigin: (path) => written.nearOrigin(path),
    warnings: written.warnings,
  };
  const config = { ...settings, hosts, listen: listeners };
  // kept from being logged or listed by accident: it holds secrets
  Object.defineProperty(config, 'source', { value: source, enumerable: false });
  return config as unknown as Config;
}

/** What the settings of modules can be checked with although the rest is wrong: they as they were written. */
function modulesOnly(written: Written, place: Place): ModulesSource {
  const raw = written.tree;
  const modules = (tree: unknown): Tree => (isTree(tree) && isTree(tree.modules) ? tree.modules : {});
  const own = Object.entries(byDomain(raw.hosts, written)).map(([domain, tree]) => [domain, modules(tree)] as const);
  return {
    hosts: Object.fromEntries(own.map(([domain, tree]) => [domain, { modules: overlay(modules(raw), tree) as Tree }])),
    source: {
      folder: place.folder,
      raw,
      effective: { hosts: Object.fromEntries(own.map(([domain, tree]) => [domain, { modules: tree }])) },
      environment: place.environment,
      nearOrigin: (path) => written.nearOrigin(path),
    },
  };
}

/** What may stand beneath a host, as it stands at the top. */
function globals(tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).filter(([name]) => name in hostSchema.shape));
}

function byDomain(hosts: unknown, written: Written): Record<string, unknown> {
  const result: Record<string, unknown> = {};
  for (const [spelling, settings] of Object.entries(isTree(hosts) ? hosts : {})) {
    const domain = prepareDomain(spelling) ?? spelling;
    result[domain] = settings ?? {};
    if (domain !== spelling) written.spelt(['hosts', domain], spelling);
  }
  return result;
}

/** Completes and parses; problems are added to the list, and nothing is returned if there were any. */
function check(
  schema: z.core.$ZodType,
  raw: unknown,
  path: Path,
  written: Pick<Written, 'nearOrigin' | 'spelt'>,
  place: Pick<Place, 'folder' | 'environment'>,
  problems: ConfigProblem[],
): { readonly tree: unknown; readonly value: unknown } | undefined {
  const before = problems.length;
  const told = new Set<string>();
  const report: Surroundings['report'] = (at, message, atKey) => {
    told.add(JSON.stringify(at));
    problems.push({ path: at, message, origin: written.nearOrigin(at), ...(atKey ? { atKey } : {}) });
  };
  const tree = complete(schema, raw, path, {
    folder: place.folder,
    environment: place.environment,
    report,
    renamed: (at, spelling) => written.spelt(at, spelling),
  });
  const result = (schema as z.ZodType).safeParse(tree);
  for (const issue of result.error?.issues ?? []) {
    const inside = issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part));
    const at = [...path, ...inside];
    if (issue.code === 'unrecognized_keys') {
      const group = branch(look(schemaAt(schema, tree, inside)), {});
      for (const name of issue.keys) report([...at, name], unknownKey(name, at, Object.keys(group.shape ?? {})), true);
    } else if (!told.has(JSON.stringify(at))) report(at, issueMessage(issue, valueAt(tree, inside)));
  }
  return result.success && problems.length === before ? { tree, value: result.data } : undefined;
}

function unknownKey(name: string, group: Path, known: readonly string[]): string {
  if (group[0] === 'hosts' && group.length === 2 && name in serverSchema.shape) {
    return 'is a setting of the whole server; it belongs at the top level, not beneath a host';
  }
  if (group.length === 0 && name in hostSchema.shape) return 'belongs beneath a host';
  return `there is no such setting${suggestion(name, known)}`;
}

function valueAt(tree: unknown, path: Path): unknown {
  let value = tree;
  for (const part of path) value = (value as Record<string | number, unknown> | undefined | null)?.[part];
  return value;
}

function schemaAt(schema: z.core.$ZodType, tree: unknown, path: Path): z.core.$ZodType {
  let at = schema;
  path.forEach((part, i) => {
    const seen = branch(look(at), valueAt(tree, path.slice(0, i)));
    at = seen.shape?.[part] ?? seen.inner ?? at;
  });
  return at;
}

/** In the order of the file, and each once. */
export function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const line = ({ origin, atKey }: ConfigProblem): number =>
    origin.kind === 'file' ? (atKey ? origin.keyLine : origin.line) : Number.MAX_SAFE_INTEGER;
  const seen = new Set<string>();
  return problems
    .filter(({ path, message }) => {
      const id = `${JSON.stringify(path)} ${message}`;
      return !seen.has(id) && seen.add(id);
    })
    .sort((a, b) => line(a) - line(b));
}

/** Whether this machine has IPv6 at all; without it, nothing can listen on its addresses. */
function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((list) => list?.some(({ family }) => family === 'IPv6'));
}
const loopback = (): readonly string[] => (hasIpv6() ? ['127.0.0.1', '::1'] : ['127.0.0.1']);
const everywhere = (): readonly string[] => (hasIpv6() ? ['::'] : ['0.0.0.0']);

/** Whether an address can be reached from this machine only. */
function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.')) || /^::ffff:127\./i.test(address);
}

/** Whether a domain never leaves the machine (RFC 6761 6.3). */
export function isLocalName(domain: string): boolean {
  return domain === 'localhost' || domain.endsWith('.localhost');
}

type Settings = z.output<typeof serverSchema>;

function defaultAddresses(settings: Settings): readonly string[] {
  return Object.keys(settings.hosts).every(isLocalName) ? loopback() : everywhere();
}

function resolveListeners(settings: Settings): Record<ListenerName, ListenerSettings> {
  const { address: given, ...ports } = settings.listen;
  const general = given ?? defaultAddresses(settings);
  // plain HTTP and components carry passwords in clear: never further than this machine unless asked for by name
  const inner = given?.every(isLoopback) ? given : loopback();
  return Object.fromEntries(
    Object.entries(ports).map(([name, { port, address }]) => {
      const cautious = name === 'http' || name === 'component';
      return [name, { port, address: address ?? (cautious ? inner : general) }];
    }),
  ) as Record<ListenerName, ListenerSettings>;
}

/** Rules that no single setting can break. */
function checkTogether(
  settings: Settings,
  listeners: Readonly<Record<ListenerName, ListenerSettings>>,
  report: (path: Path, message: string) => void,
  warn: (path: Path, message: string) => void,
): void {
  const domains = Object.keys(settings.hosts);
  if (domains.length === 0) report(['hosts'], 'there is no domain to serve. Try "localhost: {}".');
  if (settings.cluster.processes !== 1 && settings.redis === null) {
    const asked = settings.cluster.processes === 'auto' ? '"auto"' : 'more than 1';
    report(['cluster', 'processes'], `${asked} needs "redis" to be set`);
  }
  if (settings.redis !== null && settings.database === 'memory') {
    report(['redis'], 'joins nodes to one server, which needs a database that they can share, not "memory"');
  }
  checkComponents(settings.components, domains, report);
  if (!settings.tls.required) {
    const open = (Object.keys(listeners) as ListenerName[]).find((name) => {
      const { port, address } = listeners[name];
      return (name === 'c2s' || name === 'http') && port !== null && !address.every(isLoopback);
    });
    if (open) {
      report(
        ['tls', 'required'],
        `false would send passwords in clear: it is allowed only while listen.${open} is on loopback. Try listen.address: ["127.0.0.1"].`,
      );
    }
  }
  const ports = new Map<string, string>();
  for (const [name, { port, address }] of Object.entries(listeners)) {
    for (const one of port ? address : []) {
      const other = ports.get(`${one} ${port}`);
      if (other !== undefined) report(['listen', name], `port ${port} is that of listen.${other} already`);
      else ports.set(`${one} ${port}`, name);
    }
  }
  settings.admins.forEach((admin, i) => {
    const domain = admin.slice(admin.indexOf('@') + 1);
    if (!domains.includes(domain))
      warn(['admins', i], `${quote(domain)} is not served here${suggestion(domain, domains)}`);
  });
}

/** The effective settings of a host; throws when it is not served. */
export function hostSettings(config: Config, domain: string): HostSettings {
  const settings = Object.hasOwn(config.hosts, domain) ? config.hosts[domain] : undefined;
  if (!settings) throw new Error(`${domain} is not served`);
  return settings;
}

/**
 * What is wrong with the settings of modules, at the top and beneath hosts. `definitions` holds every module there is, by
 * name, with the schema of its settings if it has any.
 */
export function validateModules(
  config: ModulesSource,
  definitions: ReadonlyMap<string, z.ZodType | undefined>,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const { source } = config;
  const look = (modules: unknown, path: Path, domain: string | undefined): void => {
    for (const [name, own] of Object.entries(isTree(modules) ? modules : {})) {
      const at = [...path, name];
      const origin = source.nearOrigin(at);
      if (!definitions.has(name)) {
        const message = `there is no such module${suggestion(name, definitions.keys())}`;
        problems.push({ path: at, message, origin, atKey: true });
      } else if (own !== false) {
        const whole = domain === undefined ? own : config.hosts[domain]?.modules[name];
        parseModule(config, definitions.get(name), whole, at, problems);
      }
    }
  };
  look(source.raw.modules, ['modules'], undefined);
  for (const [domain, settings] of Object.entries((source.effective.hosts ?? {}) as Record<string, Tree>)) {
    look(settings.modules, ['hosts', domain, 'modules'], domain);
  }
  // what a host only inherits is told once, at the top
  const at = ({ path, message }: ConfigProblem, from: number): string => JSON.stringify([path.slice(from), message]);
  const global = new Set(problems.filter(({ path }) => path[0] === 'modules').map((problem) => at(problem, 1)));
  return inOrder(problems.filter((problem) => problem.path[0] === 'modules' || !global.has(at(problem, 3))));
}

function parseModule(
  config: ModulesSource,
  schema: z.ZodType | undefined,
  raw: unknown,
  path: Path,
  problems: ConfigProblem[],
): unknown {
  const { source } = config;
  const given = isTree(raw) ? raw : {};
  if (!schema) {
    for (const name of Object.keys(given)) {
      const at = [...path, name];
      problems.push({ path: at, message: 'the module has no settings', origin: source.nearOrigin(at), atKey: true });
    }
    return {};
  }
  return check(schema, given, path, { nearOrigin: source.nearOrigin, spelt() {} }, source, problems)?.value;
}

/**
 * The settings of a module on a host, parsed and with defaults; `false` when it is switched off there. Whether a module
 * that nothing is said about is on is not decided here: see `modules` of the host. Throws ConfigError.
 */
export function moduleSettings(config: Config, domain: string, name: string, schema: z.ZodType | undefined): unknown {
  const given = hostSettings(config, domain).modules[name];
  if (given === false) return false;
  const problems: ConfigProblem[] = [];
  const settings = parseModule(config, schema, given, ['hosts', domain, 'modules', name], problems);
  if (problems.length > 0) throw new ConfigError(inOrder(problems));
  return settings;
}
