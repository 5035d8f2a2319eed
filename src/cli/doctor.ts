// `parley doctor`: what could keep the server from working, each with its remedy. Asks nobody but this machine, its database,
// its resolver, and the services that clients are told of.
import { Resolver } from 'node:dns/promises';
import { accessSync, constants, existsSync, statSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname } from 'node:path';
import type { DatabaseRoom } from '../composition/database-room.ts';
import type { RedisState } from '../composition/redis-state.ts';
import { isLocalName } from '../config/load.ts';
import { formatProblem } from '../config/problems.ts';
import type { Config, ListenerName } from '../config/server.ts';
import { type PublicKind, publicServices } from '../config/services.ts';
import { formatEndpoint } from '../core/admin-commands.ts';
import type { ServerStatus } from '../core/commands.ts';
import { readCertificateFolder } from '../net/cert-folder.ts';
import { coversDomain } from '../net/cert-names.ts';
import { type Check, fail, ok, warn } from './check.ts';
import { checkTurn, type RelayParts } from './turn.ts';

/** The parts that tests replace. */
export interface DoctorParts {
  /** What the running server says of itself; absent when none runs. */
  readonly status: Pick<ServerStatus, 'listeners' | 'certificates' | 'database'> | undefined;
  /** Rejects when the database does not answer; asked only while the server is stopped. */
  ping(): Promise<void>;
  /** What room the database has for connections; asked only of a Postgres elsewhere. */
  room(): Promise<DatabaseRoom>;
  /** How Redis is; asked only where it is configured. */
  redis(): Promise<RedisState>;
  readonly dns: Dns;
  /** How services for calls are asked. */
  readonly turn: Pick<RelayParts, 'bind' | 'relay'>;
  readonly now: number;
}
export interface SrvRecord {
  readonly name: string;
  readonly port: number;
}
export interface Dns {
  /** Empty when there is no such record; rejects when the resolver fails. */
  srv(name: string): Promise<readonly SrvRecord[]>;
  addresses(name: string): Promise<readonly string[]>;
}

const text = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** All checks of a configuration that is valid. */
export async function examine(config: Config, parts: DoctorParts): Promise<readonly Check[]> {
  const groups = await Promise.all([
    checkConfig(config),
    checkData(config.data),
    checkDatabase(config, parts),
    checkRoom(config, parts),
    checkRedis(config, parts),
    parts.status ? checkRunningCertificates(parts.status, parts.now) : checkCertificates(config, parts.now),
    ...Object.keys(config.hosts).map((host) => checkDns(host, config, parts.dns)),
    ...federatedServices(config).map((domain) => checkServiceDns(domain, config, parts.dns)),
    checkFiles(config),
    checkPorts(config, parts.status),
    checkTurn(config, { ...parts.turn, addresses: (name) => parts.dns.addresses(name) }, parts.now),
  ]);
  return groups.flat();
}

function checkConfig(config: Config): Check[] {
  const { file, warnings } = config.source;
  return [
    ok('config', file === undefined ? 'no file; defaults and environment' : `${file} is right`),
    ...warnings.map((warning) => warn('config', formatProblem(warning), 'correct it, or take it out')),
  ];
}

function checkData(folder: string): Check[] {
  const subject = 'data';
  const existing = existsSync(folder) ? folder : dirname(folder);
  try {
    accessSync(existing, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return [
      fail(
        subject,
        `${existing} cannot be written by this user`,
        `chown it to the user that runs the server, or set "data" to another folder`,
      ),
    ];
  }
  if (existing !== folder) return [ok(subject, `${folder} will be made at the first start`)];
  const stats = statSync(folder);
  if (!stats.isDirectory())
    return [fail(subject, `${folder} is a file`, 'move it away, or set "data" to another folder')];
  // it holds private keys, and the database of everybody's messages
  if (process.platform !== 'win32' && (stats.mode & 0o007) !== 0) {
    return [warn(subject, `${folder} can be read by every user of this machine`, `chmod o= ${folder}`)];
  }
  return [ok(subject, folder)];
}

/** Several nodes need the same files. */
function checkFiles({ hosts, redis }: Config): Check[] {
  const all = Object.values(hosts).map(({ upload }) => upload);
  const folders = new Set(all.flatMap(({ enabled, s3, folder }) => (enabled && s3 === null ? [folder] : [])));
  return [...folders].map((folder) =>
    redis === null
      ? ok('files', `in ${folder}`)
      : warn(
          'files',
          `in ${folder}, which all machines of the cluster have to share`,
          'mount the same folder on all of them ("upload.folder"), or use "upload.s3"; on a single machine this is right',
        ),
  );
}

async function checkDatabase(config: Config, { status, ping }: DoctorParts): Promise<Check[]> {
  const kind = config.database === 'embedded' || config.database === 'memory' ? config.database : 'postgres';
  const subject = 'database';
  const remedy =
    kind === 'postgres'
      ? 'check "database": host, port, name, user and password, and that Postgres lets this machine in (pg_hba.conf)'
      : 'look at the log of the server; the data folder may be full or damaged';
  if (status) {
    const { ok: answers, problem } = status.database;
    return [
      answers ? ok(subject, `${kind}, answers`) : fail(subject, `${kind}: ${problem ?? 'does not answer'}`, remedy),
    ];
  }
  if (kind === 'memory')
    return [warn(subject, 'kept in memory: all is lost at a stop', 'set "database" to embedded or postgres://...')];
  try {
    await ping();
    return [ok(subject, `${kind}, answers`)];
  } catch (error) {
    return [fail(subject, `${kind}: ${text(error)}`, remedy)];
  }
}

/** A database that does not answer is told of elsewhere. */
async function checkRoom({ database }: Config, { room }: DoctorParts): Promise<Check[]> {
  if (database === 'embedded' || database === 'memory') return [];
  const found = await room().catch(() => undefined);
  if (found === undefined || found.connections >= found.wanted) return [];
  const { connections, wanted, nodes } = found;
  const message = `has room for ${connections} connections, and ${nodes === 1 ? 'the node' : `the ${nodes} nodes`} may want ${wanted}`;
  return [warn('database room', message, `raise its max_connections by ${wanted - connections} or more`)];
}

/** A round trip longer than this, in milliseconds, is felt in every login. */
const SLOW_REDIS = 20;

async function checkRedis(config: Config, { redis }: DoctorParts): Promise<Check[]> {
  if (config.redis === null) return [];
  const subject = 'redis';
  const { ok: works, problem = '', fix, version = '', latency = 0, eviction, persists } = await redis();
  if (version === '' && !works) {
    return [
      fail(subject, problem, 'check "redis": host, port and password, and that it lets this machine in ("bind")'),
    ];
  }
  const checks = [
    !works
      ? fail(subject, `${version} ${problem}`, fix ?? 'see what its log says')
      : latency > SLOW_REDIS
        ? warn(subject, `${version}, ${latency} ms away`, 'bring it closer to the nodes: logins wait for it')
        : ok(subject, `${version}, ${latency} ms`),
  ];
  const { limit = 0, used = 0 } = eviction ?? {};
  if (limit > 0 && used >= limit * NEARLY_FULL) {
    const share = `${Math.floor((used / limit) * 100)} % of its memory is taken (${mebibytes(used)} of ${mebibytes(limit)} MiB)`;
    const fix = 'raise its maxmemory: when it is full, nobody can log in and nodes cannot talk to one another';
    checks.push(used >= limit ? fail('redis room', share, fix) : warn('redis room', share, fix));
  }
  if (eviction !== undefined && limit > 0 && eviction.policy !== 'noeviction') {
    const fix = 'set maxmemory-policy to noeviction';
    checks.push(fail('redis memory', `throws away what nodes need when its memory is full (${eviction.policy})`, fix));
  }
  if (persists === false) {
    const message =
      'keeps nothing over a restart: the nodes then put back what they know, and what was on its way is lost';
    checks.push(warn('redis persistence', message, 'switch on appendonly, with appendfsync everysec'));
  }
  // several processes of one machine are all that is wanted, then
  if (config.database === 'embedded' && config.cluster.processes === 1) {
    const message = 'joins machines, but the embedded database is of this machine only';
    checks.push(warn('redis machines', message, 'for a second machine, set "database" to postgres://... on all'));
  }
  return checks;
}

/** Of its memory, from which on Redis needs more. */
const NEARLY_FULL = 0.9;

const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

const DAY = 86_400_000;

function expiry(subject: string, what: string, expires: number, now: number, fix: string): Check {
  const days = Math.floor((expires - now) / DAY);
  if (days < 0) return fail(subject, `${what} has expired`, fix);
  return days < 14 ? warn(subject, `${what}: ${days} days left`, fix) : ok(subject, `${what}: ${days} days left`);
}

const renew = 'renew it; the server takes the new file without a restart';

function checkRunningCertificates({ certificates }: Pick<ServerStatus, 'certificates'>, now: number): Check[] {
  return certificates.map(({ host, issuer, expires }) =>
    expiry(`certificate ${host}`, `from ${issuer}`, expires, now, renew),
  );
}

async function checkCertificates(config: Config, now: number): Promise<Check[]> {
  const folder = config.tls.certificates;
  const contents = folder === null ? undefined : await readCertificateFolder(folder, now);
  const checks = (contents?.problems ?? []).map(({ file, problem }) =>
    warn('certificates', `${file}: ${problem}`, 'correct or remove the file'),
  );
  for (const host of [...Object.keys(config.hosts), ...federatedServices(config)]) {
    const subject = `certificate ${host}`;
    const fitting = (contents?.certificates ?? [])
      .filter(({ names }) =>
        coversDomain(names, host, Object.hasOwn(config.hosts, host) ? 'xmpp-client' : 'xmpp-server'),
      )
      .sort((a, b) => b.notAfter - a.notAfter)[0];
    if (fitting) checks.push(expiry(subject, fitting.file, fitting.notAfter, now, renew));
    else if (isLocalName(host)) checks.push(ok(subject, 'made here'));
    else {
      const where = folder === null ? 'set "tls.certificates" to a folder with' : `put into ${folder}`;
      checks.push(
        warn(
          subject,
          'none; one is made here, which other servers and most clients do not trust',
          `${where} a certificate for ${host} (the domain itself, not the name that SRV records point to)`,
        ),
      );
    }
  }
  return checks;
}

/** The services that DNS may announce (RFC 6120 3.2.1, XEP-0368). */
const services: readonly {
  readonly label: string;
  readonly listener: ListenerName;
  readonly direct: boolean;
  readonly federation: boolean;
}[] = [
  { label: '_xmpp-client._tcp', listener: 'c2s', direct: false, federation: false },
  { label: '_xmpps-client._tcp', listener: 'c2s-tls', direct: true, federation: false },
  { label: '_xmpp-server._tcp', listener: 's2s', direct: false, federation: true },
  { label: '_xmpps-server._tcp', listener: 's2s-tls', direct: true, federation: true },
];

async function checkDns(host: string, config: Config, dns: Dns): Promise<Check[]> {
  if (isLocalName(host)) return [ok(`dns ${host}`, 'needs none')];
  const wanted = services.filter(
    ({ listener, federation }) =>
      config.listen[listener].port !== null && (!federation || config.hosts[host]?.s2s.enabled === true),
  );
  try {
    const own = await dns.addresses(host);
    return await Promise.all(wanted.map((service) => checkService(host, service, config, own, dns)));
  } catch (error) {
    return [
      fail(
        `dns ${host}`,
        `the resolver does not answer: ${text(error)}`,
        'check "dns.servers", or the resolver of this machine (/etc/resolv.conf)',
      ),
    ];
  }
}

/** The domains of services that other servers may ask for. */
function federatedServices(config: Config): string[] {
  return [...publicServices(config.hosts)].flatMap(([domain, { parent }]) =>
    config.hosts[parent]?.s2s.enabled === true ? [domain] : [],
  );
}

/** What people of other servers cannot do where theirs does not find the domain. */
const unreachable: Readonly<Record<PublicKind, string>> = {
  rooms: 'cannot come to the rooms',
  pubsub: 'cannot read what is published there',
};

/** Services work here without DNS, which only other servers look at. */
async function checkServiceDns(domain: string, config: Config, dns: Dns): Promise<Check> {
  const subject = `dns ${domain}`;
  if (isLocalName(domain)) return ok(subject, 'needs none');
  const port = config.listen.s2s.port || 5269;
  const { kind, parent } = publicServices(config.hosts).get(domain)!;
  try {
    const [own, ...records] = await Promise.all([
      dns.addresses(domain),
      dns.srv(`_xmpp-server._tcp.${domain}`),
      dns.srv(`_xmpps-server._tcp.${domain}`),
    ]);
    if (own.length > 0 || records.some((found) => found.length > 0)) return ok(subject, 'other servers find it');
    return warn(
      subject,
      `no record: people of other servers ${unreachable[kind]}`,
      `add: _xmpp-server._tcp.${domain}. 3600 IN SRV 0 5 ${port} ${parent}.`,
    );
  } catch (error) {
    return fail(subject, `the resolver does not answer: ${text(error)}`, 'check "dns.servers"');
  }
}

async function checkService(
  host: string,
  { label, listener, direct }: (typeof services)[number],
  config: Config,
  own: readonly string[],
  dns: Dns,
): Promise<Check> {
  const name = `${label}.${host}`;
  const subject = `dns ${name}`;
  const port = config.listen[listener].port;
  const standard = direct ? undefined : listener === 'c2s' ? 5222 : 5269;
  const record = `add: ${name}. 3600 IN SRV 0 5 ${port || standard || 5223} ${host}.`;
  const records = await dns.srv(name);
  if (records.length === 0) {
    if (direct) return warn(subject, 'no record; direct TLS is not found', record);
    if (own.length === 0)
      return fail(
        subject,
        `no record, and ${host} has no address`,
        `${record} and an address (A, AAAA) for its target`,
      );
    if (port !== standard)
      return fail(subject, `no record, so port ${standard} is tried, but listen.${listener} is ${port}`, record);
    return ok(subject, `no record; ${host} port ${standard} is tried, which is right`);
  }
  if (records.some((one) => one.name === '' || one.name === '.')) {
    return fail(subject, 'says that there is no such service (target ".")', record);
  }
  const missing: string[] = [];
  for (const one of records) if ((await dns.addresses(one.name)).length === 0) missing.push(one.name);
  if (missing.length > 0) {
    return fail(
      subject,
      `points to ${missing.join(', ')}, which has no address`,
      `add an address (A, AAAA) for ${missing[0]}`,
    );
  }
  const told = records.map((one) => `${one.name} port ${one.port}`).join(', ');
  if (!records.some((one) => one.port === port)) {
    return warn(
      subject,
      `points to ${told}, but listen.${listener} is ${port}`,
      'right only if something in front passes that port on; else correct one of them',
    );
  }
  return ok(subject, told);
}

async function checkPorts(config: Config, status: DoctorParts['status']): Promise<Check[]> {
  if (status) {
    return Promise.all(
      status.listeners.map(async ({ name, address, port }) => {
        const subject = `port ${name}`;
        const where = formatEndpoint(address, port);
        // an address of everything is reached through loopback
        const reach = address === '::' ? '::1' : address === '0.0.0.0' ? '127.0.0.1' : address;
        return (await accepts(reach, port))
          ? ok(subject, `listening on ${where}`)
          : fail(
              subject,
              `${where} does not accept connections`,
              'look at the log of the server; a firewall of this machine may be in the way',
            );
      }),
    );
  }
  const checks: Check[] = [];
  for (const [name, { port, address }] of Object.entries(config.listen)) {
    for (const one of port === null ? [] : address) {
      const subject = `port ${name}`;
      const where = formatEndpoint(one, port!);
      const problem = port === 0 ? undefined : await listenProblem(one, port!);
      if (problem === undefined)
        checks.push(ok(subject, port === 0 ? 'a free one will be picked' : `${where} is free`));
      else if (problem === 'EADDRINUSE') {
        checks.push(
          fail(
            subject,
            `${where} is taken by another program`,
            `stop it (ss -ltnp "sport = :${port}" names it), or set listen.${name} to another port`,
          ),
        );
      } else if (problem === 'EACCES') {
        checks.push(
          fail(subject, `${where} is not allowed for this user`, `choose a port from 1024 on for listen.${name}`),
        );
      } else checks.push(fail(subject, `${where} cannot be listened on (${problem})`, 'correct "listen.address"'));
    }
  }
  return checks;
}

function accepts(address: string, port: number): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect({ host: address, port, timeout: 2000 });
    const end = (answer: boolean): void => {
      socket.destroy();
      done(answer);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
    socket.once('timeout', () => end(false));
  });
}

function listenProblem(host: string, port: number): Promise<string | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => done(error.code ?? 'unknown'));
    server.listen({ host, port, exclusive: true }, () => server.close(() => done(undefined)));
  });
}

/** DNS through the configured resolvers. */
export function systemDns(servers: readonly string[]): Dns {
  const resolver = new Resolver({ timeout: 2000, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);
  const orNone = async <T>(answer: Promise<readonly T[]>): Promise<readonly T[]> => {
    try {
      return await answer;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOTFOUND' || code === 'ENODATA') return [];
      throw error;
    }
  };
  return {
    srv: (name) => orNone(resolver.resolveSrv(name)),
    addresses: async (name) => {
      const [four, six] = await Promise.all([orNone(resolver.resolve4(name)), orNone(resolver.resolve6(name))]);
      return [...four, ...six];
    },
  };
}
