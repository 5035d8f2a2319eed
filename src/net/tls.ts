// TLS: which certificate is shown for which domain, and what is known of a connection (RFC 7590, RFC 9325). Contexts are shared by
// all connections: one of its own for each would cost more than the handshake.
import { constants, createHash, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import {
  createSecureContext,
  type SecureContext,
  type Server,
  type TLSSocket,
  type TLSSocketOptions,
  type TlsOptions,
} from 'node:tls';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import {
  type CertificateProblem,
  type FolderWatch,
  type KeyedCertificate,
  readCertificateFolder,
  watchFolder,
} from './cert-folder.ts';
import { certificateDomain, certificateNames, coversDomain, endPointHash } from './cert-names.ts';
import { createLocalAuthority } from './certs.ts';
import { describeTls, servernameOf, type TlsInfo } from './tls-info.ts';

export type { TlsInfo } from './tls-info.ts';

export interface TlsHost {
  readonly domain: string;
  /** Other names that are served with it: its rooms, its files. */
  readonly services?: readonly string[];
}

/** The certificate that is shown for a domain. */
interface ServedCertificate {
  /** `local`: signed by an authority that nobody knows but this server. */
  readonly source: 'folder' | 'local';
  /** Undefined for a local certificate that is kept in memory. */
  readonly file: string | undefined;
  /** Domains and addresses. */
  readonly names: readonly string[];
  readonly issuer: string;
  /** Milliseconds since 1970. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** DER. */
  readonly raw: Buffer;
  /** RFC 5929 4. */
  readonly endPoint: Buffer | undefined;
}

export interface TlsContextsOptions {
  /** The first one's certificate is shown to those who name no domain, or one that is not ours. */
  readonly hosts: readonly TlsHost[];
  /** A folder of certificates from elsewhere. */
  readonly certificates: string | undefined;
  /** Where the local authority keeps its files; in memory where it is undefined. */
  readonly local: string | undefined;
  readonly log: Logger;
  readonly clock: Clock;
}

export interface AcceptOptions {
  /** Whose certificate is shown when the peer names no domain: with STARTTLS, that of the stream's `to`. */
  readonly domain?: string;
  /** XEP-0368: `xmpp-client` or `xmpp-server`. A peer that asks only for others is refused (RFC 7301 3.2). */
  readonly alpn?: readonly string[];
  /** Asks the peer for a certificate, and takes any, or none. */
  readonly requestCertificate?: boolean;
}

export interface ConnectOptions {
  /** Whose certificate is shown: that of a domain of ours. */
  readonly domain: string;
  /** The peer's domain, told as SNI unless it is an address. */
  readonly servername: string;
  /** RFC 7301; for direct TLS. */
  readonly alpn?: string;
}

/** What takes a socket into TLS, and what to describe it with once the handshake is done. */
export interface Handshake {
  readonly options: TLSSocketOptions & { readonly servername?: string };
  describe(socket: TLSSocket): TlsInfo;
}

export interface TlsContexts {
  /** The context for a domain or a service of ours. */
  contextFor(domain: string): SecureContext | undefined;
  certificateFor(domain: string): ServedCertificate | undefined;
  /** The root of the local authority, in PEM. */
  localAuthority(): Promise<string>;
  /**
   * For the server's side of one connection, made just before its handshake: options for a TLSSocket, and what to describe
   * that same socket with once the handshake is done.
   */
  accept(options?: AcceptOptions): Handshake;
  /** For the client's side of one connection. Any certificate is taken: whoever connects has to look at it. */
  connect(options: ConnectOptions): Handshake;
  /** For a server of node:tls or node:https; {@link follow} keeps its certificate up to date. */
  serverOptions(): TlsOptions;
  /** Gives a server the new default certificate whenever there is one; returns how to stop. */
  follow(server: Pick<Server, 'setSecureContext'>): () => void;
  /** Reads everything again, perhaps for other hosts; connections that are open stay as they are. */
  reload(hosts?: readonly TlsHost[]): Promise<void>;
  close(): Promise<void>;
}

/** Mozilla's "intermediate", without its finite-field DHE: forward secrecy and AEAD throughout. */
const ciphers = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

// SSL_OP_NO_RENEGOTIATION lacks in the types; the value is OpenSSL's.
const NO_RENEGOTIATION = 0x40000000;
const policy = {
  minVersion: 'TLSv1.2',
  ciphers,
  honorCipherOrder: true,
  secureOptions: constants.SSL_OP_NO_COMPRESSION | NO_RENEGOTIATION,
} as const;

/** How often local certificates are looked at, for they are to be renewed long before they end. */
const RENEWAL_CHECK = 12 * 60 * 60_000;
const SOON = 14 * 24 * 60 * 60_000;

/** A certificate with what is needed to show it. */
interface Shown {
  readonly certificate: ServedCertificate;
  readonly chain: string;
  readonly key: string;
}
/** Its contexts are made when somebody first needs them: one takes a millisecond or two, and there may be thousands of hosts. */
interface Entry extends Shown {
  context?: SecureContext;
  /** See {@link fullHandshakes}. */
  fullContext?: SecureContext;
}

function contextOf(entry: Entry): SecureContext {
  entry.context ??= createSecureContext({ ...policy, cert: entry.chain, key: entry.key });
  return entry.context;
}

/** A session that is resumed brings no chain of certificates with it: whoever has to show one makes a whole handshake each time. */
function fullHandshakes(entry: Entry): SecureContext {
  entry.fullContext ??= createSecureContext({
    ...policy,
    secureOptions: policy.secureOptions | constants.SSL_OP_NO_TICKET,
    cert: entry.chain,
    key: entry.key,
  });
  return entry.fullContext;
}

/**
 * What is shown, at one time. It is replaced as a whole, with new contexts throughout: their keys for session tickets are new
 * with them, so that no session that began with an old certificate goes on with a new one.
 */
interface Generation {
  /** By the names that are served. */
  readonly entries: ReadonlyMap<string, Entry>;
  readonly byChain: ReadonlyMap<string, Entry>;
  readonly first: Entry;
}

/** Reads or makes the certificates of all hosts, and watches over them until it is closed. */
export async function createTlsContexts(options: TlsContextsOptions): Promise<TlsContexts> {
  const contexts = new Contexts(options);
  await contexts.reload();
  return contexts;
}

class Contexts implements TlsContexts {
  private hosts: readonly TlsHost[];
  private readonly options: TlsContextsOptions;
  private readonly authority: ReturnType<typeof createLocalAuthority>;
  private readonly watch: FolderWatch | undefined;
  private readonly followers = new Set<Pick<Server, 'setSecureContext'>>();
  private readonly reported = new Set<string>();
  private generation: Generation | undefined;
  private folderState: string | undefined;
  private work: Promise<void> = Promise.resolve();
  private cancelRenewal: () => void = () => {};
  private isClosed = false;

  constructor(options: TlsContextsOptions) {
    this.options = options;
    this.hosts = options.hosts;
    this.authority = createLocalAuthority(options.local, options.clock, options.log);
    if (options.certificates !== undefined) {
      this.watch = watchFolder(options.certificates, options.clock, () => this.check(false));
    }
    this.scheduleRenewal();
  }

  contextFor(domain: string): SecureContext | undefined {
    const entry = this.generation?.entries.get(certificateDomain(domain));
    return entry && contextOf(entry);
  }

  certificateFor(domain: string): ServedCertificate | undefined {
    return this.generation?.entries.get(certificateDomain(domain))?.certificate;
  }

  localAuthority(): Promise<string> {
    return this.authority.certificate();
  }

  connect({ domain, servername, alpn }: ConnectOptions): Handshake {
    const entry = this.current().entries.get(certificateDomain(domain)) ?? this.current().first;
    const name = certificateDomain(servername);
    return {
      options: {
        isServer: false,
        secureContext: contextOf(entry),
        rejectUnauthorized: false,
        ...(alpn === undefined ? {} : { ALPNProtocols: [alpn] }),
        // RFC 6066 3: addresses are no names
        ...(isIP(name) === 0 ? { servername: name } : {}),
      },
      describe: (socket) => describeTls(socket, undefined),
    };
  }

  accept(accept: AcceptOptions = {}): Handshake {
    const generation = this.current();
    const entries = generation.entries;
    const fallback =
      (accept.domain === undefined ? undefined : entries.get(certificateDomain(accept.domain))) ?? generation.first;
    const choose = (servername: string | false | undefined): Entry =>
      (servername ? entries.get(servername.toLowerCase()) : undefined) ?? fallback;
    const shownBy = accept.requestCertificate === true ? fullHandshakes : contextOf;
    return {
      options: {
        isServer: true,
        secureContext: shownBy(fallback),
        SNICallback: (servername, done) => done(null, shownBy(choose(servername))),
        ...(accept.alpn === undefined ? {} : { ALPNProtocols: [...accept.alpn] }),
        ...(accept.requestCertificate === true ? { requestCert: true, rejectUnauthorized: false } : {}),
      },
      describe: (socket) => {
        const { endPoint } = choose(servernameOf(socket)).certificate;
        // a session of TLS 1.2 that is resumed does not say for which name it began: then there may be doubt
        const isSure =
          socket.getProtocol() === 'TLSv1.3' ||
          !socket.isSessionReused() ||
          accept.domain !== undefined ||
          generation.byChain.size === 1;
        return describeTls(socket, isSure ? endPoint : undefined);
      },
    };
  }

  serverOptions(): TlsOptions {
    const { first } = this.current();
    return {
      ...policy,
      cert: first.chain,
      key: first.key,
      SNICallback: (servername, done) => {
        const { entries, first: fallback } = this.current();
        done(null, contextOf(entries.get(servername.toLowerCase()) ?? fallback));
      },
    };
  }

  follow(server: Pick<Server, 'setSecureContext'>): () => void {
    this.followers.add(server);
    return () => void this.followers.delete(server);
  }

  reload(hosts: readonly TlsHost[] = this.hosts): Promise<void> {
    return this.enqueue(async () => {
      const before = this.hosts;
      this.hosts = hosts;
      try {
        await this.build(true);
      } catch (error) {
        this.hosts = before;
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.watch?.close();
    this.cancelRenewal();
    this.followers.clear();
    await this.work;
  }

  private current(): Generation {
    if (this.generation === undefined) throw new Error('there is no host to have a certificate for');
    return this.generation;
  }

  /** One at a time, in the order of asking. */
  private enqueue(job: () => Promise<void>): Promise<void> {
    const done = this.work.then(job);
    this.work = done.catch(() => {});
    return done;
  }

  private check(isThorough: boolean): void {
    this.enqueue(() => this.build(isThorough)).catch((error: unknown) =>
      this.options.log.error({ err: error }, 'certificates could not be read again; those in use stay'),
    );
  }

  private scheduleRenewal(): void {
    this.cancelRenewal = this.options.clock.after(RENEWAL_CHECK, () => {
      this.check(true);
      this.scheduleRenewal();
    });
  }

  /** Chooses a certificate for every name; unless `isThorough`, only if a file has changed. */
  private async build(isThorough: boolean): Promise<void> {
    if (this.isClosed) return;
    const { certificates: folder, clock } = this.options;
    let certificates: readonly KeyedCertificate[] = [];
    if (folder !== undefined) {
      const found = await readCertificateFolder(folder, clock.now(), isThorough ? undefined : this.folderState);
      if (found === undefined) return;
      this.folderState = found.state;
      this.watch?.follow(found.folders);
      this.report(found.problems);
      certificates = found.certificates;
    }
    const chosen = new Map<string, Shown>();
    for (const host of this.hosts) {
      let local: Shown | undefined;
      for (const name of [host.domain, ...(host.services ?? [])].map(certificateDomain)) {
        const shown = this.fromFolder(name, certificates);
        if (shown === undefined) local ??= await this.fromAuthority(host);
        chosen.set(name, shown ?? local!);
      }
    }
    this.swap(chosen);
  }

  /** Each problem once, and again when it comes back. */
  private report(problems: readonly CertificateProblem[]): void {
    const current = new Set(problems.map(({ file, problem }) => `${file}\n${problem}`));
    for (const known of this.reported) if (!current.has(known)) this.reported.delete(known);
    for (const { file, problem } of problems) this.reportOnce(file, problem);
  }

  private reportOnce(file: string | undefined, problem: string): void {
    const id = `${file}\n${problem}`;
    if (this.reported.has(id)) return;
    this.reported.add(id);
    this.options.log.warn({ file }, problem);
  }

  private fromFolder(name: string, certificates: readonly KeyedCertificate[]): Shown | undefined {
    const now = this.options.clock.now();
    const candidates = certificates
      .filter((one) => one.notBefore <= now && now < one.notAfter && coversDomain(one.names, name))
      .sort((a, b) => b.notAfter - a.notAfter);
    for (const candidate of candidates) {
      const { file, chain, key } = candidate;
      const isInUse = this.inUse(file, chain, key) !== undefined;
      if (isInUse || this.canBeUsed(file, chain, key)) return this.show('folder', file, chain, key);
    }
    // files are being replaced, or were lost: what is valid is better than one that nobody knows
    const held = this.generation?.entries.get(name);
    return held?.certificate.source === 'folder' && now < held.certificate.notAfter ? held : undefined;
  }

  private async fromAuthority(host: TlsHost): Promise<Shown> {
    const { certificate, key, file } = await this.authority.issue(host.domain, host.services);
    return this.show('local', file, certificate, key);
  }

  /** False for what OpenSSL will not take, say because it is too weak. */
  private canBeUsed(file: string, chain: string, key: string): boolean {
    try {
      createSecureContext({ ...policy, cert: chain, key });
      return true;
    } catch (error) {
      this.reportOnce(file, `This certificate cannot be used: ${error instanceof Error ? error.message : error}`);
      return false;
    }
  }

  private inUse(file: string | undefined, chain: string, key: string): Shown | undefined {
    const entry = this.generation?.byChain.get(chain);
    return entry?.key === key && entry.certificate.file === file ? entry : undefined;
  }

  private show(source: ServedCertificate['source'], file: string | undefined, chain: string, key: string): Shown {
    const inUse = this.inUse(file, chain, key);
    if (inUse !== undefined) return inUse;
    const leaf = new X509Certificate(chain);
    const names = certificateNames(leaf.raw);
    const hash = endPointHash(leaf.raw);
    return {
      chain,
      key,
      certificate: {
        source,
        file,
        names: [...new Set([...names.dns, ...names.ip, ...names.xmppAddr, ...names.srv])],
        issuer: leaf.issuer.replace(/\n/g, ', '),
        notBefore: Date.parse(leaf.validFrom),
        notAfter: Date.parse(leaf.validTo),
        raw: leaf.raw,
        endPoint: hash === undefined ? undefined : createHash(hash).update(leaf.raw).digest(),
      },
    };
  }

  private swap(chosen: ReadonlyMap<string, Shown>): void {
    const before = this.generation?.entries;
    const isSame = ([name, shown]: [string, Shown]): boolean => {
      const known = before?.get(name);
      return known?.chain === shown.chain && known.key === shown.key;
    };
    const isFirstSame = this.generation?.first === before?.get(certificateDomain(this.hosts[0]?.domain ?? ''));
    if (before?.size === chosen.size && isFirstSame && [...chosen].every(isSame)) return;

    const byChain = new Map<string, Entry>();
    const entries = new Map<string, Entry>();
    for (const [name, shown] of chosen) {
      let entry = byChain.get(shown.chain);
      if (entry === undefined) {
        const { certificate, chain, key } = shown;
        entry = { certificate, chain, key };
        byChain.set(shown.chain, entry);
        if (!isSame([name, shown])) this.announce(name, shown.certificate);
      }
      entries.set(name, entry);
    }
    const first = entries.get(certificateDomain(this.hosts[0]?.domain ?? ''));
    this.generation = first === undefined ? undefined : { entries, byChain, first };
    if (first === undefined) return;
    for (const server of this.followers) server.setSecureContext({ ...policy, cert: first.chain, key: first.key });
  }

  private announce(domain: string, { source, file, notAfter }: ServedCertificate): void {
    const { log, clock } = this.options;
    const until = new Date(notAfter).toISOString().slice(0, 10);
    log.info({ domain, source, file, until }, 'certificate in use');
    if (source === 'folder' && notAfter - clock.now() < SOON) {
      this.reportOnce(file, `This certificate ends on ${until}; see to its renewal`);
    }
  }
}
