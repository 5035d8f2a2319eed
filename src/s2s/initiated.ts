// One connection to another server, made by us, up to the point where both sides know what is on offer: TCP, TLS by either way,
// stream headers, features (RFC 6120 4.3, 5; XEP-0368).
import type { Socket } from 'node:net';
import type { MaybePromise } from '../base/maybe.ts';
import type { Target } from '../net/dns.ts';
import { XmlStream } from '../net/stream.ts';
import { explainHandshake } from '../net/tls-info.ts';
import { SocketTransport } from '../net/transport.ts';
import { type Element, el } from '../xml/element.ts';
import type { StreamHeader } from '../xml/parser.ts';
import { StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { type CertificateVerdict, judgeCertificate } from './certificates.ts';
import type { FailureReason, S2sContext, S2sSettings } from './context.ts';
import type { DomainPair } from './dialback.ts';
import type { Trace } from './trace.ts';

/** What the peer offers behind TLS. */
export interface Offer {
  readonly features: Element;
  readonly hasDialback: boolean;
  readonly verdict: CertificateVerdict;
}

export interface InitiatedHandlers {
  /** Features came: the first time, and again after a restart. */
  offered(offer: Offer): void;
  /** Anything else came, behind the features. */
  element(element: Element, bytes: number): MaybePromise<void>;
  /** The stream is about to end. */
  closing(): void;
  /** An element came behind our end of the stream. */
  trailing(element: Element): void;
  /** The connection is over; called once. */
  closed(why: string): void;
}

export class InitiatedStream {
  readonly stream: XmlStream;
  /** What kind of failure it is if the connection ends now. */
  failure: FailureReason = 'peer';
  /** Whether it has spoken XMPP at all. */
  hasHeader = false;
  private readonly transport: SocketTransport;
  private readonly target: Target;
  private readonly context: S2sContext;
  private readonly pair: DomainPair;
  private readonly trace: Trace;
  private readonly handlers: InitiatedHandlers;
  private hasDialback = false;
  private hasFeatures = false;
  private isTlsAgreed = false;

  constructor(
    socket: Socket,
    target: Target,
    pair: DomainPair,
    settings: S2sSettings,
    context: S2sContext,
    trace: Trace,
    handlers: InitiatedHandlers,
  ) {
    this.target = target;
    this.context = context;
    this.pair = pair;
    this.trace = trace;
    this.handlers = handlers;
    this.transport = new SocketTransport(socket, context.flusher, settings.sendQueueBytes);
    this.stream = new XmlStream(
      this.transport,
      {
        header: (header) => this.takeHeader(header),
        element: (element, bytes) => this.takeElement(element, bytes),
        closing: () => handlers.closing(),
        trailing: (element) => handlers.trailing(element),
        closed: (reason) => handlers.closed(reason),
      },
      pair.from,
      {
        contentNs: NS.server,
        isInitiator: true,
        limits: { stanzaBytes: settings.stanzaBytes },
        budgets: [],
        gate: context.gate,
        clock: context.clock,
        log: context.log,
      },
    );
  }

  get address(): string {
    return this.transport.address;
  }

  get tlsVersion(): string | undefined {
    return this.transport.tls?.protocol;
  }

  /** Begins: with TLS where the machine asks for it, with our header otherwise. */
  start(): void {
    if (this.target.isDirectTls) void this.secure();
    else this.open();
  }

  /** A new stream over the same connection, after SASL (RFC 6120 4.3.3). Call it while handling an element. */
  restart(): void {
    this.hasFeatures = false;
    this.stream.restart();
    this.open();
  }

  private open(): void {
    this.stream.open({ from: this.pair.from, to: this.pair.to });
  }

  private takeHeader(header: StreamHeader): void {
    this.hasHeader = true;
    const major = Number.parseInt(header.attrs.version ?? '0', 10);
    // RFC 6120 4.7.5: without features there is no TLS either
    if (!(major >= 1)) throw new StreamError('unsupported-version', 'TLS is needed, and version 1.0 of XMPP for that');
    this.hasDialback = [...header.namespaces.values()].includes(NS.dialback);
  }

  private takeElement(element: Element, bytes: number): MaybePromise<void> {
    if (element.is('features', NS.stream)) return this.takeFeatures(element);
    if (this.transport.tls === undefined) return this.takeTlsAnswer(element);
    if (!this.hasFeatures) throw new StreamError('bad-format', 'features come first');
    return this.handlers.element(element, bytes);
  }

  private takeFeatures(features: Element): void {
    // RFC 6120 4.3.2: once for each stream; a second time they would begin the negotiation anew, in the middle of everything
    if (this.hasFeatures) throw new StreamError('bad-format', 'features come once');
    this.hasFeatures = true;
    const { tls } = this.transport;
    if (tls === undefined) {
      if (features.getChild('starttls', NS.tls) === undefined) {
        this.failure = 'tls';
        this.trace.add('tls', 'the server does not offer TLS, and nothing is sent without it', false);
        throw new StreamError('policy-violation', 'TLS is needed');
      }
      this.isTlsAgreed = true;
      this.stream.send(el('starttls', NS.tls));
      return;
    }
    const verdict = judgeCertificate(tls.peerCertificates, this.pair.to, this.context.trust, this.context.clock.now());
    this.handlers.offered({
      features,
      verdict,
      hasDialback: this.hasDialback || features.getChild('dialback', NS.dialbackFeature) !== undefined,
    });
  }

  // RFC 6120 5.4.2
  private takeTlsAnswer(element: Element): MaybePromise<void> {
    if (!this.isTlsAgreed || !element.is('proceed', NS.tls)) {
      this.failure = 'tls';
      this.trace.add('tls', 'the server refused to begin TLS', false);
      throw new StreamError('policy-violation', 'TLS is needed');
    }
    // whatever came ahead in the clear could have been put there by anybody
    if (this.stream.restartDiscarding() > 0) throw new StreamError('policy-violation', 'data behind <proceed/>');
    this.hasFeatures = false;
    return this.secure();
  }

  private async secure(): Promise<void> {
    const { options, describe } = this.context.tls.connect({
      domain: this.pair.from,
      servername: this.pair.to,
      // XEP-0368 is about direct TLS only
      ...(this.target.isDirectTls ? { alpn: 'xmpp-server' } : {}),
    });
    const how = this.target.isDirectTls ? 'direct TLS' : 'STARTTLS';
    this.failure = 'tls';
    try {
      await this.transport.startTls(options, describe);
    } catch (error) {
      this.trace.add('tls', `the TLS handshake failed (${how}): ${explainHandshake(error)}`, false);
      this.stream.abort('the TLS handshake failed');
      return;
    }
    this.failure = 'peer';
    this.trace.add('tls', `${how}: ${this.transport.tls?.protocol}, ${this.transport.tls?.cipher}`);
    this.open();
  }
}
