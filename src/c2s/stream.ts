// A client's connection: connected, secured, authenticated, bound (RFC 6120 4.3, 5, 6, 7). Carries the session once bound.
import { channelBindingFeature } from '../auth/channel.ts';
import type { ScramHash } from '../auth/credentials.ts';
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import { clientSlot } from '../core/client-slot.ts';
import { type ClientStream, streamIq } from '../core/events.ts';
import type { Host } from '../core/host.ts';
import type { Session } from '../core/sessions.ts';
import { XmlStream } from '../net/stream.ts';
import type { TlsInfo } from '../net/tls.ts';
import type { Transport } from '../net/transport.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { type Element, el } from '../xml/element.ts';
import type { StreamHeader } from '../xml/parser.ts';
import { StreamError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { mayAnswerWithError } from '../xmpp/stanza.ts';
import { LoginAttempts } from './attempts.ts';
import { answerBind, type Grant } from './bind.ts';
import { bind2Feature, bindInline } from './bind2.ts';
import { ConnectionBudgets } from './budgets.ts';
import { enterClient } from './client.ts';
import type { C2sContext } from './context.ts';
import { makeFeatures, versionOf, writeFeatures } from './features.ts';
import { SaslNegotiation } from './sasl1.ts';
import { type Login, Sasl2Negotiation, successOf } from './sasl2.ts';
import type { Resumption } from './sm.ts';
import { failed } from './sm-elements.ts';
import type { Carrier } from './sm-session.ts';
import { Unsettled } from './unsettled.ts';

export type Stage = 'connected' | 'authenticated' | 'bound';

export class ClientConnection implements ClientStream, Carrier {
  readonly address: string;
  /** From when the time to log in counts, in milliseconds since 1970: when it was accepted, or last took a registration. */
  since: number;
  user: string | undefined;
  stage: Stage = 'connected';
  session: Session | undefined;
  private host: Host | undefined;
  private lang: string | undefined;
  private readonly carrier: Transport;
  private readonly stream: XmlStream;
  private readonly context: C2sContext;
  private readonly gone: (connection: ClientConnection) => void;
  private readonly budgets: ConnectionBudgets;
  private sasl: SaslNegotiation | undefined;
  private sasl2: Sasl2Negotiation | undefined;
  /** XEP-0509: of what was offered before login. */
  private configVersion: string | undefined;
  /** Once somebody is authenticated. */
  private grant: Grant | undefined;
  /** The element of a bound session that was last waited for. */
  private handling: Promise<void> | undefined;
  private unsettled: Unsettled | undefined;

  /**
   * @param network what the address belongs to, as limits see it
   * @param gone is called once, when the connection is over
   */
  constructor(
    transport: Transport,
    network: string,
    context: C2sContext,
    gone: (connection: ClientConnection) => void,
  ) {
    this.address = transport.address;
    this.since = context.clock.now();
    this.carrier = transport;
    this.context = context;
    this.gone = gone;
    this.budgets = new ConnectionBudgets(context, network);
    const settings = context.settings();
    this.stream = new XmlStream(
      transport,
      {
        header: (header) => this.takeHeader(header),
        element: (element) => this.takeElement(element),
        closed: (reason) => this.over(reason),
      },
      context.defaultDomain,
      {
        contentNs: NS.client,
        limits: { stanzaBytes: settings.stanzaBytesBeforeAuth },
        budgets: this.budgets.list,
        gate: context.gate,
        clock: context.clock,
        log: context.log,
      },
    );
  }

  get id(): string {
    return this.stream.id;
  }

  get tls(): TlsInfo | undefined {
    return this.carrier.tls;
  }

  /** RFC 7395 3.9: not inside a WebSocket. */
  private get canStartTls(): boolean {
    return this.carrier.startTls !== undefined && this.tls === undefined;
  }

  get transport(): string {
    return this.tls?.protocol ?? 'plain';
  }

  get isOpen(): boolean {
    return this.stream.isOpen;
  }

  get queuedBytes(): number {
    return this.isOpen ? this.carrier.queuedBytes : 0;
  }

  get lastRead(): number {
    return this.stream.lastRead;
  }

  send(xml: string | Element): void {
    this.stream.send(xml);
  }

  close(error?: StreamError): void {
    this.stream.close(error);
  }

  /** Reads nothing for so many milliseconds. */
  delay(ms: number): void {
    this.stream.delay(ms);
  }

  get isMute(): boolean {
    return this.carrier.isMute ?? false;
  }

  /** Drops the connection without waiting for the client. */
  abort(): void {
    this.stream.abort('dropped by the server');
  }

  cut(reason: string): void {
    this.stream.abort(reason);
  }

  detach(error: StreamError | undefined): Promise<void> {
    this.session = undefined;
    if (error === undefined) this.stream.hangUp('the client is to come back');
    else this.stream.close(error);
    return this.handling ?? Promise.resolve();
  }

  private takeHeader(header: StreamHeader): MaybePromise<void> {
    checkVersion(header.attrs.version);
    const host = this.hostFor(header.attrs.to);
    if (this.host !== undefined && this.stage !== 'connected' && host !== this.host) {
      throw new StreamError('not-authorized', `this stream is authenticated for ${this.host.domain}`);
    }
    this.host = host;
    this.lang = header.attrs['xml:lang'];
    // RFC 6120 4.7.2.1: whom we talk to; before login, whoever the client says it is
    const from = header.attrs.from === undefined ? undefined : Jid.parse(header.attrs.from);
    // XEP-0388 2.1, RFC 6120 4.9.3.9
    if (from !== undefined && from.domain !== host.domain) throw new StreamError('invalid-from');
    const to = this.user === undefined ? from?.bare : Jid.of(this.user, host.domain).bare;
    this.stream.open({ from: host.domain, to });
    return this.offer(host, from);
  }

  /** RFC 6120 4.9.3.6, 4.9.3.7. */
  private hostFor(to: string | undefined): Host {
    if (to === undefined) throw new StreamError('improper-addressing', 'the stream header needs a "to"');
    const jid = Jid.parse(to);
    if (jid === undefined || jid.domain !== jid.full)
      throw new StreamError('improper-addressing', '"to" must be a domain');
    const host = this.context.host(jid.domain);
    if (host === undefined) throw new StreamError('host-unknown');
    return host;
  }

  private async offer(host: Host, from: Jid | undefined): Promise<void> {
    const login = this.stage === 'connected' ? await this.offerLogin(host, from) : [];
    const features = await this.features(host, login, this.stage);
    if (login.length > 0) {
      this.configVersion = versionOf(features);
      const version = el('config-version', NS.iap, { scheme: 'opaque', value: this.configVersion });
      this.stream.send(writeFeatures([...features, version]));
    } else this.stream.send(writeFeatures(features));
  }

  private features(host: Host, login: readonly Element[], stage: Stage): Promise<readonly Element[]> {
    const settings = this.context.settings();
    const canStartTls = stage === 'connected' && this.canStartTls;
    return makeFeatures(host, this, {
      startTls: !canStartTls ? 'no' : settings.requireTls ? 'required' : 'optional',
      login,
      stage,
      stanzaBytes: stage === 'connected' ? settings.stanzaBytesBeforeAuth : settings.stanzaBytes,
      idleTimeout: settings.idleTimeout,
    });
  }

  /** Both profiles of SASL, of which the client chooses one. */
  private async offerLogin(host: Host, from: Jid | undefined): Promise<readonly Element[]> {
    const attempts = new LoginAttempts(host, this.carrier, this.context, await missingKeys(host, from));
    this.sasl = new SaslNegotiation(attempts);
    this.sasl2 = new Sasl2Negotiation(attempts, {
      from: from?.bare,
      configVersion: () => this.configVersion,
      reply: (answer) => this.stream.send(answer),
      complete: (login) => this.enter(host, login),
    });
    const features = [this.sasl.feature, this.sasl2.feature([await bind2Feature(host, this), el('sm', NS.sm)])];
    // XEP-0440 3: a client that is told of types alone has to think that somebody took the mechanisms away
    const bindings = attempts.canBind ? channelBindingFeature(this.tls) : undefined;
    return [...features, bindings].filter((feature) => feature !== undefined);
  }

  private takeElement(element: Element): MaybePromise<void> {
    if (this.session !== undefined) return this.takeBound(this.session, element);
    return this.stage === 'connected' ? this.beforeLogin(element) : this.beforeBinding(element);
  }

  private takeBound(session: Session, element: Element): MaybePromise<void> {
    if (element.ns === NS.sm) return this.context.sm.take(session, this, element);
    if (element.ns !== null) {
      const handler = session.host.nonzas.find(element.ns, element.name);
      if (handler === undefined) throw new StreamError('unsupported-stanza-type');
      return handler({ session, element });
    }
    this.context.metrics.stanzasIn.inc();
    if (session.outbox?.isRepeat?.(element) === true) return this.handled(session, element, undefined);
    const done = this.context.router.fromClient(session, this.inLanguage(element));
    if (!isPromise(done)) return this.handled(session, element, done?.settled);
    let held: Promise<void> | undefined;
    this.handling = done.then((unsettled) => {
      held = this.handled(session, element, unsettled?.settled);
    });
    return this.handling.then(() => held);
  }

  /** A stanza is handled but for what it waits for. Returns what the next one has to wait for, if anything. */
  private handled(
    session: Session,
    element: Element,
    settled: Promise<unknown> | undefined,
  ): Promise<void> | undefined {
    session.outbox?.handled(settled, element);
    if (settled === undefined) return undefined;
    this.unsettled ??= new Unsettled(this.context.clock, this.context.unsettled);
    return this.unsettled.add(settled);
  }

  private beforeLogin(element: Element): MaybePromise<void> {
    // XEP-0388 2.4
    if (this.sasl2?.isUnderWay === true && element.ns !== NS.sasl2) throw new StreamError('policy-violation');
    switch (element.ns) {
      case NS.tls:
        return this.startTls(element);
      case NS.sasl:
        return this.authenticate(element);
      case NS.sasl2:
        if (this.sasl2 === undefined) throw new StreamError('not-authorized');
        return this.sasl2.take(element);
      case NS.sm:
        // XEP-0198 3: not before authentication
        return this.stream.send(failed('unexpected-request'));
      case null:
        return this.iqBeforeLogin(element);
      default:
        throw new StreamError('unsupported-stanza-type');
    }
  }

  // RFC 6120 5.4.2
  private async startTls(element: Element): Promise<void> {
    if (element.name !== 'starttls' || !this.canStartTls) {
      this.stream.send(el('failure', NS.tls));
      this.stream.close();
      // RFC 6120 5.4.2.2: the connection ends with it
      this.carrier.end();
      return;
    }
    // whatever came with the request in the clear could have been put there by anybody
    if (this.stream.restartDiscarding() > 0) throw new StreamError('policy-violation', 'data behind <starttls/>');
    this.stream.send(el('proceed', NS.tls));
    await this.secure();
  }

  /** The TLS handshake: the client's first act on a port for direct TLS (XEP-0368), or agreed upon before. */
  async secure(): Promise<void> {
    const { options, describe } = this.context.tls(this.host?.domain);
    try {
      await this.carrier.startTls?.(options, describe);
    } catch (error) {
      this.context.log.debug({ err: error, address: this.address }, 'TLS handshake failed');
      this.stream.abort('TLS handshake failed');
    }
  }

  private async authenticate(element: Element): Promise<void> {
    if (this.sasl === undefined) throw new StreamError('not-authorized');
    const outcome = await this.sasl.take(element, (answer) => this.stream.send(answer));
    if (outcome === undefined) return;
    this.admit(outcome.user, { epoch: outcome.epoch, client: undefined, token: undefined });
    this.stream.restart();
    this.stream.send(outcome.answer);
  }

  /** Somebody is authenticated. */
  private admit(user: string, grant: Grant): void {
    this.user = user;
    this.grant = grant;
    this.stage = 'authenticated';
    this.sasl = undefined;
    this.sasl2 = undefined;
    this.budgets.join(`${user}@${this.host?.domain}`);
    this.stream.setBudgets(this.budgets.list);
    this.stream.setLimits({ stanzaBytes: this.context.settings().stanzaBytes });
  }

  /** XEP-0388 2.6.1: does what was asked for with the login, and tells it with success; all at once, without a restart. */
  private async enter(host: Host, login: Login): Promise<void> {
    const account = Jid.of(login.user, host.domain).bare;
    const { grant, token } = await enterClient(host, login);
    const succeed = (identity: string, ...answers: readonly (Element | undefined)[]): void =>
      this.stream.send(successOf(login, identity, [...answers, token]));

    // XEP-0198 9.2: first of all; a session that goes on needs no other, and no features
    const { resume } = login.request;
    const resumption = resume === undefined ? undefined : await this.context.sm.resume(this, account, resume);
    if (resumption?.resumed !== undefined) {
      const { session } = resumption.resumed;
      this.admit(login.user, grant);
      succeed(session.jid.full, resumption.answer);
      this.goOn(resumption.resumed);
      // XEP-0494 5: whose session it is from now on
      if (grant.client !== undefined && session.get(clientSlot) !== grant.client) {
        await session.set(clientSlot, grant.client);
      }
      return;
    }

    const binding = await bindInline(host, login, grant, this, this.context);
    this.user = login.user;
    const features = writeFeatures(await this.features(host, [], binding === undefined ? 'authenticated' : 'bound'));
    if (!this.stream.isOpen) return binding && this.leave(binding.session);
    this.admit(login.user, grant);
    if (binding !== undefined) {
      this.session = binding.session;
      this.stage = 'bound';
    }
    succeed(binding?.session.jid.full ?? account, resumption?.answer, binding?.complete());
    this.stream.send(features);
    binding?.release();
  }

  /** Registration may happen before login; nothing else may (RFC 6120 4.9.3.12). */
  private async iqBeforeLogin(iq: Element): Promise<void> {
    if (this.host === undefined || iq.name !== 'iq') throw new StreamError('not-authorized');
    // RFC 6120 5.3.1: where TLS is required nothing goes on without it
    if (!this.carrier.isConfidential && this.context.settings().requireTls) throw new StreamError('not-authorized');
    // RFC 6120 7.1: there is nobody to talk to but the server, and nothing to answer
    const { to } = iq.attrs;
    const isForUs = to === undefined || Jid.parse(to)?.full === this.host.domain;
    if (!isForUs || !mayAnswerWithError(iq)) throw new StreamError('not-authorized');
    const verdict = await this.host.gate(streamIq, { stream: this, iq });
    if (verdict !== 'handled') throw new StreamError('not-authorized');
    // whoever makes accounts, perhaps many over one stream, gets on
    if (iq.attrs.type === 'set') this.since = this.context.clock.now();
  }

  // RFC 6120 7.1: nothing but binding until it is done
  private async beforeBinding(element: Element): Promise<void> {
    if (element.ns === NS.sm) return this.resumeSession(element);
    const { host, user, grant } = this;
    if (
      host === undefined ||
      user === undefined ||
      grant === undefined ||
      element.ns !== null ||
      element.name !== 'iq'
    ) {
      throw new StreamError('not-authorized', 'bind a resource first');
    }
    const session = await answerBind(element, host, user, grant, this, this.context);
    if (session === undefined) return;
    if (!this.stream.isOpen) return this.leave(session);
    this.session = session;
    this.stage = 'bound';
  }

  // XEP-0198 3, 5
  private async resumeSession(element: Element): Promise<void> {
    const isResume = element.name === 'resume' && this.host !== undefined && this.user !== undefined;
    if (!isResume) return this.stream.send(failed('unexpected-request'));
    const { answer, resumed } = await this.context.sm.resume(this, Jid.of(this.user!, this.host!.domain).bare, element);
    this.stream.send(answer);
    if (resumed !== undefined) this.goOn(resumed);
  }

  /** Takes over a session that was resumed; right after the answer that says so was sent. */
  private goOn({ session, complete }: NonNullable<Resumption['resumed']>): void {
    if (!complete()) {
      this.stream.close(new StreamError('conflict', 'the session was resumed elsewhere, or has ended'));
      return;
    }
    this.session = session;
    this.stage = 'bound';
  }

  /** RFC 6120 8.1.5: what a stanza does not say about its language, the stream's header has said. */
  private inLanguage(element: Element): Element {
    if (this.lang === undefined || element.name === 'iq' || element.attrs['xml:lang'] !== undefined) return element;
    return element.with({ 'xml:lang': this.lang });
  }

  private over(reason: string): void {
    this.context.log.debug({ address: this.address, user: this.user, reason }, 'client gone');
    if (this.stream.error !== undefined) this.context.metrics.streamErrors.inc();
    this.budgets.release();
    this.gone(this);
    const { session } = this;
    if (session === undefined || (this.mayComeBack && this.context.sm.hibernate(session))) return;
    this.leave(session).catch((error: unknown) =>
      this.context.log.error({ err: error }, 'a session could not be closed'),
    );
  }

  /** XEP-0198 7: a stream that was closed in order is over; one that broke off, or was only too quiet, is unfinished. */
  private get mayComeBack(): boolean {
    const { error, isClosedByPeer } = this.stream;
    return !isClosedByPeer && (error === undefined || error.condition === 'connection-timeout');
  }

  private async leave(session: Session): Promise<void> {
    await this.context.sessions.close(session);
    // XEP-0175 3: of a guest nothing remains
    if (session.host.settings.authentication === 'anonymous') await session.host.accounts.forget(session.jid.local);
  }
}

/** XEP-0388 2.1: what cannot be offered to who says to be this one; nothing where that is not known now. */
async function missingKeys(host: Host, from: Jid | undefined): Promise<readonly ScramHash[]> {
  if (from === undefined || host.settings.authentication === 'anonymous') return [];
  try {
    return await host.accounts.missingKeys(from.local);
  } catch (error) {
    if (error instanceof StorageUnavailable) return [];
    throw error;
  }
}

/** RFC 6120 4.7.5: no version is version 0.9, which has no features; a higher major version is answered with ours. */
function checkVersion(version: string | undefined): void {
  const major = /^(\d{1,9})\.\d{1,9}$/.exec(version ?? '')?.[1];
  if (major === undefined || Number(major) < 1) throw new StreamError('unsupported-version');
}
