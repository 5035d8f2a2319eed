// An incoming stream: another server connected. Nothing but TLS and proofs of names is taken before a name is proved (RFC 6120 13.7,
// XEP-0178, XEP-0220); then stanzas, for as many pairs of domains as were proved.
import { type Allowance, Budget } from '../base/budget.ts';
import type { MaybePromise } from '../base/maybe.ts';
import { serialiseStreamElement, XmlStream } from '../net/stream.ts';
import type { SocketTransport } from '../net/transport.ts';
import { type Element, el } from '../xml/element.ts';
import type { StreamHeader } from '../xml/parser.ts';
import { SaslError, StanzaError, StreamError } from '../xmpp/errors.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import { Backlog } from './backlog.ts';
import { type CertificateVerdict, judgeCertificate } from './certificates.ts';
import type { S2sContext, S2sSettings } from './context.ts';
import { type DomainPair, dialbackFeature, readDialback } from './dialback.ts';
import { takeExternal } from './external.ts';
import { Intake, type Proof } from './intake.ts';
import { Outlet } from './outlet.ts';
import { keptOf, type Queued } from './queued.ts';
import { DialbackReceiver } from './receiving.ts';

export interface InboundEvents {
  /** Stanzas may go back over this stream for a pair of domains, the first of which is ours (XEP-0288). */
  canSend(stream: InboundStream, pair: DomainPair): void;
  /** A peer proved its name, `pair.to`, to a host of ours. */
  proved(pair: DomainPair): void;
  /** It is over; called once. As in {@link import('./outbound.ts').OutboundEvents}. */
  closed(stream: InboundStream, left: readonly Queued[], lost: readonly Queued[]): void;
}

const MOST_ATTEMPTS = 5;

export interface UnprovedLimits {
  readonly stanzaBytes: number;
  /** Undefined: no rate limits. */
  readonly allowance: Allowance | undefined;
}

export class InboundStream {
  readonly since: number;
  lastUsed: number;
  isBidi = false;
  private readonly context: S2sContext;
  private readonly transport: SocketTransport;
  private readonly stream: XmlStream;
  private readonly events: InboundEvents;
  private readonly intake: Intake;
  private readonly receiver: DialbackReceiver;
  /** Whom the peer's header names, and what our settings for that host are. */
  private pair: { readonly from: string | undefined; readonly to: string } | undefined;
  private verdict: CertificateVerdict | undefined;
  private out: Outlet | undefined;
  /** How often the peer failed to prove a name by SASL. */
  private attempts = 0;
  /** What is to follow, over another stream, what this one did not see acknowledged. */
  private late: Backlog | undefined;

  /** @param limits what holds until a name is proved */
  constructor(transport: SocketTransport, context: S2sContext, limits: UnprovedLimits, events: InboundEvents) {
    this.context = context;
    this.transport = transport;
    this.events = events;
    this.since = context.clock.now();
    this.lastUsed = this.since;
    this.stream = new XmlStream(
      transport,
      {
        header: (header) => this.takeHeader(header),
        element: (element, bytes) => this.takeElement(element, bytes),
        closing: () => this.intake.acknowledge(),
        trailing: (element) => this.takeTrailing(element),
        closed: (reason) => this.over(reason),
      },
      context.defaultDomain,
      {
        contentNs: NS.server,
        limits: { stanzaBytes: limits.stanzaBytes },
        budgets: limits.allowance === undefined ? [] : [new Budget(limits.allowance, this.since)],
        gate: context.gate,
        clock: context.clock,
        log: context.log,
      },
    );
    this.intake = new Intake(context, (element) => this.stream.send(element));
    this.receiver = new DialbackReceiver(this.stream, this.intake, context, (pair, proof) => {
      this.prove(pair, proof);
      this.mayReturn(pair);
    });
  }

  get address(): string {
    return this.transport.address;
  }

  get tlsVersion(): string | undefined {
    return this.transport.tls?.protocol;
  }

  get isAuthenticated(): boolean {
    return this.intake.domains.size > 0;
  }

  /** The peer's domains that were proved, and how. */
  get domains(): ReadonlyMap<string, Proof> {
    return this.intake.domains;
  }

  /** The host that the stream was opened to. */
  get host(): string | undefined {
    return this.pair?.to;
  }

  get received(): number {
    return this.intake.received;
  }

  get sent(): number {
    return this.out?.written ?? 0;
  }

  get waiting(): number {
    return (this.out?.waiting ?? 0) + (this.late?.length ?? 0);
  }

  /** How many stanzas that came are being handled. */
  get handling(): number {
    return this.intake.handling;
  }

  get isOpen(): boolean {
    return this.stream.isOpen;
  }

  /** When anything last came or went, in milliseconds since 1970. */
  get lastSign(): number {
    return Math.max(this.lastUsed, this.stream.lastRead);
  }

  isUsedSince(time: number): boolean {
    return this.waiting > 0 || this.handling > 0 || this.lastSign >= time;
  }

  /** Whether policy has nothing against it now. */
  isAllowed(): boolean {
    const { pair } = this;
    if (pair === undefined) return true;
    const settings = this.context.settings(pair.to);
    if (settings === undefined) return false;
    const known = [...this.intake.domains];
    return known.length === 0
      ? pair.from === undefined || settings.mayTalkTo(pair.from)
      : known.some(
          ([domain, proof]) =>
            settings.mayTalkTo(domain) && (proof === 'certificate' || !settings.requireValidCertificates),
        );
  }

  /** Sends a stanza back (XEP-0288), or keeps it until the stream is over. @throws StanzaError when that cannot be */
  send(stanza: Stanza): void {
    this.lastUsed = this.context.clock.now();
    if (this.stream.isOpen) {
      this.outlet().send(stanza);
      this.context.stanza('out');
    } else if (this.late?.add(keptOf(stanza)) !== true) throw new StanzaError('resource-constraint');
  }

  /** Resolves when the peer has acknowledged everything, or will not any more. */
  drain(): Promise<void> {
    return this.out?.drain() ?? Promise.resolve();
  }

  close(error?: StreamError): void {
    this.stream.close(error);
  }

  abort(why: string): void {
    this.stream.abort(why);
  }

  /** The TLS handshake: the first act on a port for direct TLS (XEP-0368), or agreed upon before. */
  async secure(): Promise<void> {
    const { options, describe } = this.context.tls.accept({
      alpn: ['xmpp-server'],
      requestCertificate: true,
      ...(this.pair === undefined ? {} : { domain: this.pair.to }),
    });
    try {
      await this.transport.startTls(options, describe);
    } catch (error) {
      this.context.log.debug({ err: error, address: this.address }, 'TLS handshake with a server failed');
      this.context.failure('in', 'tls');
      this.stream.abort('TLS handshake failed');
    }
  }

  private takeHeader(header: StreamHeader): void {
    const { attrs } = header;
    const to = prepareDomain(attrs.to ?? '');
    // RFC 6120 4.9.3.7; 4.9.3.6
    if (to === undefined)
      throw new StreamError('improper-addressing', 'the stream header needs a "to" that is a domain');
    const settings = this.context.settings(to);
    if (settings === undefined) throw new StreamError('host-unknown');
    // RFC 6120 4.7.5: without features there is no TLS
    if (!(Number.parseInt(attrs.version ?? '0', 10) >= 1)) throw new StreamError('unsupported-version');
    const from = attrs.from === undefined ? undefined : prepareDomain(attrs.from);
    if (attrs.from !== undefined && from === undefined) {
      throw new StreamError('improper-addressing', '"from" must be a domain');
    }
    // what was proved was proved to this host, for these domains
    const isOther = to !== this.pair?.to || (from !== undefined && !this.domains.has(from));
    if (this.isAuthenticated && isOther)
      throw new StreamError('not-authorized', 'the stream was between other domains');
    if (from !== undefined) this.checkPeer(from, to, settings);
    this.pair = { from, to };
    this.stream.open({ from: to, to: from });
    this.stream.send(serialiseStreamElement(this.offer(settings)));
    // behind SASL: only now the stream is ready for what goes back
    for (const domain of this.domains.keys()) this.mayReturn({ from: domain, to });
  }

  private checkPeer(from: string, to: string, settings: S2sSettings): void {
    if (this.context.serves(from)) throw new StreamError('invalid-from', `${from} is served here`);
    if (!settings.mayTalkTo(from)) {
      this.context.failure('in', 'policy');
      throw new StreamError('policy-violation', `${to} does not talk to ${from}`);
    }
    const { tls } = this.transport;
    if (tls === undefined) return;
    this.verdict = judgeCertificate(tls.peerCertificates, from, this.context.trust, this.context.clock.now());
    if (this.verdict.isValid || !settings.requireValidCertificates || this.isAuthenticated) return;
    this.context.failure('in', 'certificate');
    this.context.log.info({ domain: from, for: to, why: this.verdict.why }, 'a server was refused');
    throw new StreamError('not-authorized', `a valid certificate is needed, but ${this.verdict.why}`);
  }

  private offer(settings: S2sSettings): Element {
    const features: Element[] = [];
    const isSecure = this.transport.tls !== undefined;
    if (!isSecure) features.push(el('starttls', NS.tls, undefined, el('required', NS.tls)));
    // XEP-0178 3, step 9: where the certificate speaks for the domain
    else if (!this.isAuthenticated && this.verdict?.isValid === true) {
      features.push(el('mechanisms', NS.sasl, undefined, el('mechanism', NS.sasl, undefined, 'EXTERNAL')));
    }
    if (isSecure) {
      features.push(dialbackFeature, el('sm', NS.sm));
      const bytes = this.isAuthenticated ? settings.stanzaBytes : settings.stanzaBytesBeforeAuth;
      features.push(
        el('limits', NS.streamLimits, undefined, el('max-bytes', NS.streamLimits, undefined, String(bytes))),
      );
    }
    // XEP-0288 2.1: on either side of TLS, but not where it would come too late
    if (settings.bidi && !this.isBidi && !this.isAuthenticated) features.push(el('bidi', NS.bidiFeature));
    return el('features', NS.stream, undefined, ...features);
  }

  private takeElement(element: Element, bytes: number): MaybePromise<void> {
    switch (element.ns) {
      case null:
        // RFC 6120 4.9.3.12
        if (!this.isAuthenticated) throw new StreamError('not-authorized', 'a name has to be proved first');
        this.lastUsed = this.stream.lastRead;
        return this.intake.take(element, bytes);
      case NS.sm:
        return this.takeManagement(element);
      case NS.dialback:
        return this.takeDialback(element);
      case NS.tls:
        return this.startTls(element);
      case NS.sasl:
        return this.takeSasl(element);
      case NS.bidi:
        return this.takeBidi(element);
      default:
        throw new StreamError('unsupported-stanza-type');
    }
  }

  // RFC 6120 5.4.2
  private startTls(element: Element): MaybePromise<void> {
    if (element.name !== 'starttls' || this.transport.tls !== undefined) {
      this.stream.send(el('failure', NS.tls));
      this.stream.close();
      this.transport.end();
      return;
    }
    if (this.stream.restartDiscarding() > 0) throw new StreamError('policy-violation', 'data behind <starttls/>');
    this.stream.send(el('proceed', NS.tls));
    return this.secure();
  }

  private takeSasl(element: Element): void {
    const { pair } = this;
    const { tls } = this.transport;
    if (tls === undefined || pair === undefined || this.isAuthenticated) throw new StreamError('not-authorized');
    const { context } = this;
    try {
      const domain = takeExternal(element, pair.from, (name) =>
        this.judgeIdentity(name, pair.to, tls.peerCertificates),
      );
      this.prove({ from: domain, to: pair.to }, 'certificate');
      this.stream.restart();
      this.stream.send(el('success', NS.sasl));
    } catch (error) {
      if (!(error instanceof SaslError)) throw error;
      context.failure('in', 'authentication');
      // RFC 6120 6.4.5
      if (++this.attempts > MOST_ATTEMPTS)
        throw new StreamError('policy-violation', 'too many attempts to authenticate');
      const text = error.text === undefined ? [] : [el('text', NS.sasl, { 'xml:lang': 'en' }, error.text)];
      this.stream.send(el('failure', NS.sasl, undefined, el(error.condition, NS.sasl), ...text));
    }
  }

  private judgeIdentity(domain: string, host: string, chain: readonly Buffer[]): CertificateVerdict {
    const { context } = this;
    if (context.serves(domain)) return { isValid: false, why: `${domain} is served here` };
    if (context.settings(host)?.mayTalkTo(domain) !== true) {
      return { isValid: false, why: `${host} does not talk to ${domain}` };
    }
    return judgeCertificate(chain, domain, context.trust, context.clock.now());
  }

  private takeDialback(element: Element): void {
    const message = readDialback(element);
    if (message === undefined) throw new StreamError('bad-format', 'that is no dialback');
    // XEP-0220 4.1: answers do not come this way, for questions do not go it
    if (!('key' in message)) throw new StreamError('policy-violation', 'nobody asked for that');
    this.receiver.take(message);
  }

  // XEP-0288 2.2
  private takeBidi(element: Element): void {
    if (element.name !== 'bidi' || this.transport.tls === undefined || this.isAuthenticated) {
      throw new StreamError('policy-violation', 'bidi is agreed upon behind TLS and before any name is proved');
    }
    if (this.pair !== undefined && this.context.settings(this.pair.to)?.bidi === true) this.isBidi = true;
  }

  /** We have ended the stream, and the peer has not heard of it yet. */
  private takeTrailing(element: Element): void {
    if (element.ns !== null) this.out?.takeLate(element);
    else if (this.stream.error === undefined) this.intake.takeLate(element);
  }

  private takeManagement(element: Element): void {
    switch (element.name) {
      case 'enable':
        this.manage();
        return;
      case 'r':
        this.intake.ask();
        return;
      case 'a':
        this.out?.acknowledge(element.attrs.h);
        return;
      default:
        // XEP-0198 5: nothing is kept to be resumed
        this.stream.send(el('failed', NS.sm, undefined, el('feature-not-implemented', NS.stanzas)));
    }
  }

  private manage(): void {
    if (!this.isAuthenticated || this.out?.isManaged === true) {
      this.stream.send(el('failed', NS.sm, undefined, el('unexpected-request', NS.stanzas)));
      return;
    }
    this.stream.send(el('enabled', NS.sm));
    this.intake.manage();
    this.outlet().manage();
  }

  /** A name was proved, by SASL or dialback: limits are those of acquaintances from now on. */
  private prove({ from, to }: DomainPair, proof: Proof): void {
    const isFirst = this.out === undefined;
    this.intake.authorise(from, proof);
    const settings = this.context.settings(to);
    if (isFirst && settings !== undefined) {
      this.stream.setLimits({ stanzaBytes: settings.stanzaBytes });
      const { allowance } = settings;
      this.stream.setBudgets(allowance === undefined ? [] : [new Budget(allowance, this.context.clock.now())]);
      this.context.log.info(
        { domain: from, for: to, proof, address: this.address, tls: this.tlsVersion, bidi: this.isBidi },
        'a server connected',
      );
    }
    this.outlet();
    this.events.proved({ from: to, to: from });
  }

  /** XEP-0288 2.2: stanzas go back for pairs that were proved. */
  private mayReturn({ from, to }: DomainPair): void {
    if (this.isBidi) this.events.canSend(this, { from: to, to: from });
  }

  private outlet(): Outlet {
    if (this.out !== undefined) return this.out;
    const settings = this.pair && this.context.settings(this.pair.to);
    const limits = { queueStanzas: settings?.queueStanzas ?? 0, queueBytes: settings?.queueBytes ?? 0 };
    this.late = new Backlog(limits);
    this.out = new Outlet(this.stream, this.context.clock, limits);
    return this.out;
  }

  private over(reason: string): void {
    this.context.log.debug({ address: this.address, domains: [...this.domains.keys()], reason }, 'server gone');
    const unacknowledged = this.out?.close() ?? [];
    const left = unacknowledged.filter((queued) => !queued.isResent).map((queued) => ({ ...queued, isResent: true }));
    this.events.closed(
      this,
      [...left, ...(this.late?.take() ?? [])],
      unacknowledged.filter((queued) => queued.isResent),
    );
  }
}
