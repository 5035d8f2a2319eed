// DNS: which machines serve a domain (RFC 6120 3.2, RFC 2782, XEP-0368), and the addresses of a machine. Answers are kept for as long as
// they say. Validated answers (DNSSEC) are not told from others.
import { Resolver } from 'node:dns';
import { isIP } from 'node:net';
import type { Clock } from '../base/clock.ts';
import { LruCache } from '../base/lru.ts';
import { domainToAscii } from '../xmpp/idna.ts';
import { askForSrv, type SrvAnswer } from './dns-client.ts';
import type { SrvRecord } from './dns-message.ts';

export type { SrvRecord } from './dns-message.ts';

/** Asks name servers; what the real resolver and those of tests have in common. Rejects with a `code` as node:dns does. */
export interface NameServer {
  srv(name: string): Promise<SrvAnswer>;
  /** `ttl` in seconds. */
  addresses(name: string, family: 4 | 6): Promise<readonly { readonly address: string; readonly ttl: number }[]>;
}

/** Where a domain is served: a machine and a port. */
export interface Target {
  /** A name in A-labels, or an IP address. */
  readonly host: string;
  readonly port: number;
  /** TLS from the first byte (XEP-0368); STARTTLS otherwise. */
  readonly isDirectTls: boolean;
}

export interface Service {
  /** In the order to try; empty where the domain has no such service, or nobody could tell. */
  readonly targets: readonly Target[];
  /** How that was found out, in words. */
  readonly why: string;
  /** The answer may be another one soon: name servers failed. */
  readonly isTemporary: boolean;
}

export interface DnsOptions {
  /** `address` or `address:port`; empty: those of the system. */
  readonly servers: readonly string[];
  readonly clock: Clock;
  /** In milliseconds; 5 seconds unless said otherwise. */
  readonly timeout?: number;
  /** In place of real ones, for tests. */
  readonly nameServer?: NameServer;
  /** From 0 to 1, for the choice by weight. */
  readonly random?: () => number;
}

const DEFAULT_PORT = 5269;
const TIMEOUT = 5_000;
/** How many answers are kept. */
const KEPT = 2048;
const SECOND = 1_000;
/** Where nobody says for how long there is nothing. */
const NOTHING_KEPT = 30 * SECOND;
const FAILURE_KEPT = 2 * SECOND;
const LONGEST_KEPT = 3600 * SECOND;
/** RFC 2308 5 leaves it open. A domain that has just been given records is not to wait for long. */
const NOTHING_LONGEST_KEPT = 300 * SECOND;

/** That there is nothing (NXDOMAIN, or no such record) is said by one of these; of a name that cannot be asked for there is nothing. */
const NOTHING: ReadonlySet<string> = new Set(['ENOTFOUND', 'ENODATA', 'ENONAME', 'EBADNAME']);

type Answer<T> =
  | { readonly kind: 'records'; readonly records: readonly T[] }
  | { readonly kind: 'nothing' }
  | { readonly kind: 'failed'; readonly code: string };

interface Kept {
  readonly answer: Answer<never>;
  readonly until: number;
}

export class Dns {
  private readonly clock: Clock;
  private readonly timeout: number;
  private readonly nameServer: NameServer;
  private readonly random: () => number;
  private readonly kept = new LruCache<string, Kept>(KEPT);
  /** Whoever asks the same meanwhile gets the same answer. */
  private readonly asked = new Map<string, Promise<Answer<never>>>();

  constructor(options: DnsOptions) {
    this.clock = options.clock;
    this.timeout = options.timeout ?? TIMEOUT;
    this.nameServer = options.nameServer ?? systemNameServer(options.servers, this.clock, this.timeout);
    this.random = options.random ?? Math.random;
  }

  /** RFC 6120 3.2: where other servers reach a domain. Never rejects. */
  async serversOf(domain: string): Promise<Service> {
    const literal = addressLiteral(domain);
    if (literal !== undefined) return only(literal, 'the domain is an address');
    const name = domainToAscii(domain);
    if (isLoopbackName(name)) return only(name, 'the domain is this machine');
    // RFC 6120 3.2.1, XEP-0368: both are looked up, and treated as one list
    const [plain, direct] = await Promise.all([
      this.srv(`_xmpp-server._tcp.${name}`),
      this.srv(`_xmpps-server._tcp.${name}`),
    ]);
    const records = [...recordsOf(plain, false), ...recordsOf(direct, true)];
    const usable = records.filter((record) => record.name !== '.' && record.name !== '');
    if (usable.length > 0) {
      const targets = sortByWeight(usable, this.random).map(({ name: host, port, isDirectTls }) => ({
        host: host.replace(/\.$/, '').toLowerCase(),
        port,
        isDirectTls,
      }));
      return { targets, why: `SRV records name ${targets.map(describeTarget).join(', ')}`, isTemporary: false };
    }
    // RFC 2782, RFC 6120 3.2.1: a root that is named as the target says that there is no service
    const failure = [plain, direct].find((answer) => answer.kind === 'failed');
    if (records.length > 0) {
      // XEP-0368 4: of one of the two, that is; and nothing else is tried
      const isTemporary = failure !== undefined;
      return { targets: [], why: 'its SRV records say that there is no such service (".")', isTemporary };
    }
    // RFC 6120 3.2.2: the fallback, also where SRV records could not be had
    const why =
      failure?.kind === 'failed'
        ? `SRV records could not be looked up (${explain(failure.code)})`
        : 'there are no SRV records';
    return {
      ...only(name, `${why}; falling back to ${name} port ${DEFAULT_PORT}`),
      isTemporary: failure !== undefined,
    };
  }

  /** Where a domain is served is to be asked anew: what is known of it has led nowhere. */
  forget(domain: string): void {
    const name = domainToAscii(domain);
    for (const service of ['_xmpp-server', '_xmpps-server']) this.kept.delete(`srv ${service}._tcp.${name}`);
  }

  /**
   * The addresses of a machine, of one family; empty where it has none.
   * @throws Error with a sentence when name servers do not tell
   */
  async addresses(host: string, family: 4 | 6): Promise<readonly string[]> {
    const version = isIP(host);
    if (version !== 0) return version === family ? [host] : [];
    if (isLoopbackName(host)) return [family === 4 ? '127.0.0.1' : '::1'];
    const answer = await this.ask<string>(`${family} ${host}`, async () => {
      const found = await this.nameServer.addresses(host, family);
      const ttl = Math.min(...found.map((record) => record.ttl * SECOND));
      return { records: found.map(({ address }) => address), ttl };
    });
    if (answer.kind === 'failed') throw new Error(`the addresses of ${host} are not known: ${explain(answer.code)}`);
    return answer.kind === 'nothing' ? [] : answer.records;
  }

  private srv(name: string): Promise<Answer<SrvRecord>> {
    return this.ask<SrvRecord>(`srv ${name}`, async () => {
      const { records, ttl } = await this.nameServer.srv(name);
      return { records, ttl: ttl === undefined ? NOTHING_KEPT : ttl * SECOND };
    });
  }

  private ask<T>(
    key: string,
    query: () => Promise<{ readonly records: readonly T[]; readonly ttl: number }>,
  ): Promise<Answer<T>> {
    const kept = this.kept.get(key);
    if (kept !== undefined && this.clock.now() < kept.until) return Promise.resolve(kept.answer as Answer<T>);
    const asked = this.asked.get(key);
    if (asked !== undefined) return asked as Promise<Answer<T>>;
    const answer = this.query(key, query);
    this.asked.set(key, answer as Promise<Answer<never>>);
    return answer;
  }

  private async query<T>(
    key: string,
    query: () => Promise<{ readonly records: readonly T[]; readonly ttl: number }>,
  ): Promise<Answer<T>> {
    let answer: Answer<T>;
    let keep = NOTHING_KEPT;
    try {
      const { records, ttl } = await this.inTime(query());
      answer = records.length === 0 ? { kind: 'nothing' } : { kind: 'records', records };
      keep = Math.min(Math.max(ttl, SECOND), records.length > 0 ? LONGEST_KEPT : NOTHING_LONGEST_KEPT);
    } catch (error) {
      const code = (error as { readonly code?: unknown }).code;
      answer =
        typeof code === 'string' && NOTHING.has(code)
          ? { kind: 'nothing' }
          : { kind: 'failed', code: typeof code === 'string' ? code : String(error) };
      if (answer.kind === 'failed') keep = FAILURE_KEPT;
    }
    this.kept.set(key, { answer: answer as Answer<never>, until: this.clock.now() + keep });
    this.asked.delete(key);
    return answer;
  }

  private inTime<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const cancel = this.clock.after(this.timeout, () =>
        reject(Object.assign(new Error('timeout'), { code: 'ETIMEOUT' })),
      );
      answer.then(resolve, reject).finally(cancel);
    });
  }
}

function only(host: string, why: string): Service {
  return { targets: [{ host, port: DEFAULT_PORT, isDirectTls: false }], why, isTemporary: false };
}

function describeTarget({ host, port, isDirectTls }: Target): string {
  return `${host} port ${port}${isDirectTls ? ' (direct TLS)' : ''}`;
}

/** RFC 7622 3.2.1: IPv6 addresses stand in brackets. */
function addressLiteral(domain: string): string | undefined {
  const bare = domain.startsWith('[') && domain.endsWith(']') ? domain.slice(1, -1) : domain;
  return isIP(bare) === 0 ? undefined : bare;
}

/** RFC 6761 6.3: never asked of anybody. */
function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name.endsWith('.localhost');
}

type Candidate = SrvRecord & { readonly isDirectTls: boolean };

function recordsOf(answer: Answer<SrvRecord>, isDirectTls: boolean): Candidate[] {
  return answer.kind === 'records' ? answer.records.map((record) => ({ ...record, isDirectTls })) : [];
}

/** RFC 2782: by priority, and by chance among equals, each with a probability after its weight. */
export function sortByWeight<R extends SrvRecord>(records: readonly R[], random: () => number): R[] {
  const sorted: R[] = [];
  const priorities = [...new Set(records.map(({ priority }) => priority))].sort((a, b) => a - b);
  for (const priority of priorities) {
    // those of no weight come first, so that they are chosen only when the number drawn is 0
    const rest = records.filter((record) => record.priority === priority).sort((a, b) => a.weight - b.weight);
    while (rest.length > 0) {
      const total = rest.reduce((sum, { weight }) => sum + weight, 0);
      const drawn = Math.floor(random() * (total + 1));
      let sum = 0;
      const chosen = rest.findIndex(({ weight }) => {
        sum += weight;
        return sum >= drawn;
      });
      sorted.push(...rest.splice(Math.max(chosen, 0), 1));
    }
  }
  return sorted;
}

function explain(code: string): string {
  switch (code) {
    case 'ETIMEOUT':
      return 'the name servers do not answer';
    case 'ECONNREFUSED':
      return 'no name server can be reached';
    case 'ESERVFAIL':
      return 'the name servers of the domain have failed';
    case 'EREFUSED':
      return 'the name server refuses to say';
    default:
      return code;
  }
}

function systemNameServer(servers: readonly string[], clock: Clock, timeout: number): NameServer {
  const each = Math.ceil(timeout / 3);
  const resolver = new Resolver({ timeout: each, tries: 2 });
  if (servers.length > 0) resolver.setServers(servers);
  return {
    srv: (name) => askForSrv(name, resolver.getServers(), clock, each),
    addresses: (name, family) =>
      new Promise((resolve, reject) => {
        const done = (error: Error | null, records: { readonly address: string; readonly ttl: number }[]): void =>
          error === null ? resolve(records) : reject(error);
        if (family === 4) resolver.resolve4(name, { ttl: true }, done);
        else resolver.resolve6(name, { ttl: true }, done);
      }),
  };
}
