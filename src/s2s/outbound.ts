// An outgoing stream: from one domain of ours to one of others. Connects when there is something to say, has it proved who we are, and
// keeps what is to be sent until then, in order and within bounds.
import type { MaybePromise } from '../base/maybe.ts';
import { type Element, el } from '../xml/element.ts';
import { type Condition, StanzaError, StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import { Backlog } from './backlog.ts';
import type { FailureReason, S2sContext, S2sSettings } from './context.ts';
import { type Dialled, Dialler } from './dial.ts';
import { type DialbackOutcome, type DomainPair, readDialback } from './dialback.ts';
import { Exchange } from './exchange.ts';
import { InitiatedStream, type Offer } from './initiated.ts';
import { Proving } from './proving.ts';
import { headOf, keptOf, type Queued } from './queued.ts';
import type { Trace } from './trace.ts';
import { Verifications } from './verifications.ts';

/** `connecting`: TCP, TLS; `offered`: the peer waits for what we want; `authenticating`; `open`: stanzas flow; `over`. */
export type OutboundState = 'connecting' | 'offered' | 'authenticating' | 'open' | 'over';

/** Why there is no stream. */
export interface OutboundFailure {
  readonly condition: Condition;
  readonly reason: FailureReason;
  /** A sentence for people. */
  readonly text: string;
}

export interface OutboundEvents {
  /** Stanzas flow from now on. */
  opened(): void;
  /**
   * It is over; called once.
   * @param left what was not sent, or sent once and never acknowledged; in order
   * @param lost what was sent twice and never acknowledged
   * @param failure undefined where it ended after it had been open
   */
  closed(left: readonly Queued[], lost: readonly Queued[], failure: OutboundFailure | undefined): void;
}

export class OutboundStream {
  readonly pair: DomainPair;
  readonly trace: Trace;
  readonly since: number;
  state: OutboundState = 'connecting';
  isBidi = false;
  lastUsed: number;
  private readonly context: S2sContext;
  private readonly settings: S2sSettings;
  private readonly events: OutboundEvents;
  private readonly dialler: Dialler;
  private readonly queue: Backlog;
  private readonly verifications: Verifications;
  private readonly proving: Proving;
  private current: InitiatedStream | undefined;
  private offer: Offer | undefined;
  private exchange: Exchange | undefined;
  private isToProve = false;
  private isClosing = false;
  private failure: OutboundFailure | undefined;
  private cancelQueueTimer: (() => void) | undefined;
  private cancelAttemptTimer: () => void = () => {};

  constructor(pair: DomainPair, settings: S2sSettings, context: S2sContext, trace: Trace, events: OutboundEvents) {
    this.pair = pair;
    this.settings = settings;
    this.context = context;
    this.trace = trace;
    this.events = events;
    this.since = context.clock.now();
    this.lastUsed = this.since;
    this.queue = new Backlog(settings);
    this.verifications = new Verifications(context.clock, settings.authTimeout);
    this.dialler = new Dialler(context.dns, context.clock, pair.to, trace);
    this.proving = new Proving(pair, context.secret, trace, {
      accepted: () => this.opened(),
      refused: (condition, text) => this.fail(condition, 'authentication', text),
    });
  }

  /** How we proved who we are. */
  get method(): 'external' | 'dialback' | undefined {
    return this.proving.method;
  }

  get address(): string | undefined {
    return this.current?.address;
  }

  get tlsVersion(): string | undefined {
    return this.current?.tlsVersion;
  }

  /** Stanzas go over it, or wait for it; else it is only there to ask about keys. */
  get isForStanzas(): boolean {
    return this.state === 'open' || this.state === 'authenticating' || this.queue.length > 0;
  }

  private get isFlowing(): boolean {
    return this.state === 'open' && this.current?.stream.isOpen === true;
  }

  /** We have said goodbye, or the peer has. */
  get isEnding(): boolean {
    return this.current?.stream.isOpen === false;
  }

  /** Whether policy has nothing against it now. */
  isAllowed(): boolean {
    const settings = this.context.settings(this.pair.from);
    if (settings?.mayTalkTo(this.pair.to) !== true) return false;
    return this.offer === undefined || this.offer.verdict.isValid || !settings.requireValidCertificates;
  }

  get sent(): number {
    return this.exchange?.sent ?? 0;
  }

  get received(): number {
    return this.exchange?.received ?? 0;
  }

  /** How many stanzas that came back are being handled. */
  get handling(): number {
    return this.exchange?.handling ?? 0;
  }

  /** How many stanzas wait: for the stream, and for an acknowledgement. */
  get waiting(): number {
    return this.queue.length + (this.exchange?.waiting ?? 0);
  }

  /** Whether anything came or went since then, in milliseconds since 1970, or is still to be done. */
  isUsedSince(time: number): boolean {
    if (this.state !== 'open') return this.verifications.size + this.queue.length > 0 || this.lastUsed >= time;
    return (
      (this.exchange?.waiting ?? 0) > 0 ||
      this.lastUsed >= time ||
      (this.isBidi && (this.current?.stream.lastRead ?? 0) >= time)
    );
  }

  /** Begins to connect. */
  start(): void {
    void this.nextMachine();
  }

  /** Begins to connect, and proves who we are though nothing is to be sent. */
  prove(): void {
    this.isToProve = true;
    this.start();
  }

  /** Sends a stanza, now or when the stream is there. @throws StanzaError when too much waits already */
  send(stanza: Stanza): void {
    this.lastUsed = this.context.clock.now();
    if (this.exchange !== undefined && this.isFlowing) this.exchange.send(stanza);
    else this.enqueue(keptOf(stanza));
  }

  /** Puts what another stream could not send in front of everything that waits; returns what there is no room for. */
  resume(left: readonly Queued[]): readonly Queued[] {
    if (this.exchange !== undefined && this.isFlowing) return this.exchange.flow(left);
    const rest = this.queue.addFirst(left);
    this.queued();
    return rest;
  }

  /** XEP-0220 2.1.2: asks whether a key was given to whoever showed it to us. */
  verify(pair: DomainPair, id: string, key: string): Promise<DialbackOutcome> {
    this.lastUsed = this.context.clock.now();
    return this.verifications.ask(this.state === 'connecting' ? undefined : this.current?.stream, pair, id, key);
  }

  /** Resolves when the peer has acknowledged everything, or will not any more. */
  drain(): Promise<void> {
    return this.exchange?.drain() ?? Promise.resolve();
  }

  /** Ends the stream in good order; what waits for it is given back. */
  close(error?: StreamError): void {
    const { current } = this;
    this.isClosing = true;
    if (current === undefined) this.over('closed');
    else current.stream.close(error);
  }

  /** Drops the connection. */
  abort(why: string): void {
    if (this.current === undefined) this.over(why);
    else this.current.stream.abort(why);
  }

  private enqueue(queued: Queued): void {
    if (!this.queue.add(queued)) {
      throw new StanzaError('resource-constraint', `too much waits for ${this.pair.to}`, { type: 'wait' });
    }
    this.queued();
  }

  /** Something waits. */
  private queued(): void {
    this.cancelQueueTimer ??= this.context.clock.after(this.settings.queueTimeout, () => this.tooLate());
    if (this.state === 'offered') this.authenticate();
  }

  private tooLate(): void {
    this.fail('remote-server-timeout', 'timeout', `${this.pair.to} could not be reached in time`);
  }

  /** RFC 6120 3.2.1: one machine after another, until one gets as far as its features. */
  private async nextMachine(): Promise<void> {
    const dialled = await this.dialler.next();
    if (this.state === 'over') dialled?.socket.destroy();
    else if (dialled === undefined) this.unreachable();
    else this.connect(dialled);
  }

  private unreachable(): void {
    const { isTemporary } = this.dialler;
    const last = this.trace.steps.findLast((step) => !step.isOk);
    const reason = last === undefined || last.kind === 'stream' ? 'peer' : last.kind;
    this.failure ??= {
      condition: isTemporary ? 'remote-server-timeout' : 'remote-server-not-found',
      reason,
      text: last?.text ?? `${this.pair.to} could not be reached`,
    };
    this.over(this.failure.text);
  }

  private connect({ socket, target }: Dialled): void {
    this.state = 'connecting';
    const current = new InitiatedStream(socket, target, this.pair, this.settings, this.context, this.trace, {
      offered: (offer) => this.takeOffer(offer),
      element: (element, bytes) => this.takeElement(element, bytes),
      closing: () => this.exchange?.acknowledge(),
      trailing: (element) => this.exchange?.takeTrailing(element),
      closed: (why) => this.disconnected(current, why),
    });
    this.current = current;
    this.isBidi = false;
    this.limitAttempt(current);
    current.start();
  }

  private limitAttempt(current: InitiatedStream): void {
    this.cancelAttemptTimer();
    this.cancelAttemptTimer = this.context.clock.after(this.settings.authTimeout, () => {
      current.failure = 'timeout';
      this.traceSilence(current);
      current.stream.abort('the peer does not answer in time');
    });
  }

  private traceSilence({ address }: InitiatedStream): void {
    const { method } = this.proving;
    if (this.state !== 'authenticating' || method === undefined) {
      this.trace.add('stream', `${address} does not answer in time`, false);
      return;
    }
    const what = method === 'external' ? 'our certificate (SASL EXTERNAL)' : 'dialback: perhaps it cannot call us back';
    this.trace.add('authentication', `${address} does not answer in time to ${what}`, false);
  }

  private disconnected(current: InitiatedStream, why: string): void {
    if (current !== this.current || this.state === 'over') return;
    this.cancelAttemptTimer();
    // one that was only there to ask about keys has done its work
    const hasDone = this.state === 'offered' && this.queue.length === 0;
    if (this.state === 'open' || this.isClosing || hasDone || this.failure !== undefined) {
      this.over(why, hasDone);
      return;
    }
    if (current.failure === 'peer') this.trace.add('stream', this.explain(current, why), false);
    const wasAuthenticating = this.state === 'authenticating';
    this.state = 'connecting';
    this.current = undefined;
    this.verifications.failAsked(new StanzaError('remote-server-timeout'));
    if (wasAuthenticating) {
      if (!this.proving.disconnected()) {
        this.fail(conditionOf(current.stream.peerError), current.failure, why);
        return;
      }
      this.dialler.again();
    } else if (current.stream.peerError !== 'host-unknown') this.dialler.isTemporary = true;
    void this.nextMachine();
  }

  private explain({ stream, hasHeader }: InitiatedStream, why: string): string {
    if (stream.peerError === 'host-unknown') return `the server there does not serve ${this.pair.to} (host-unknown)`;
    if (!hasHeader && stream.error !== undefined) return `what answers there does not speak XMPP (${why})`;
    return why;
  }

  private takeOffer(offer: Offer): void {
    this.offer = offer;
    const { verdict } = offer;
    if (this.state === 'authenticating') {
      if (!this.proving.hasSucceeded) throw new StreamError('bad-format', 'features in between');
      this.opened();
      return;
    }
    this.trace.add(
      'certificate',
      verdict.isValid ? `the certificate is valid for ${this.pair.to}` : verdict.why,
      verdict.isValid,
    );
    // they may have changed since it began
    if (!verdict.isValid && this.context.settings(this.pair.from)?.requireValidCertificates !== false) {
      this.trace.add('certificate', `${this.pair.from} asks for a valid one (s2s.require-valid-certificates)`, false);
      this.fail(
        'remote-server-not-found',
        'certificate',
        `${this.pair.to} is not trusted: ${verdict.why}`,
        'not-authorized',
      );
      return;
    }
    this.state = 'offered';
    if (this.current !== undefined) this.verifications.flush(this.current.stream);
    if (this.queue.length > 0 || this.isToProve) this.authenticate();
    else this.cancelAttemptTimer();
  }

  /** For a stream that was only made to ask about keys, the proof comes when there is something to send. */
  private authenticate(): void {
    const { current, offer } = this;
    if (current === undefined || offer === undefined) return;
    this.state = 'authenticating';
    this.limitAttempt(current);
    const { features } = offer;
    if (this.settings.bidi && !this.isBidi && features.getChild('bidi', NS.bidiFeature) !== undefined) {
      // XEP-0288 2.2: behind TLS, before SASL and dialback
      this.isBidi = true;
      current.stream.send(el('bidi', NS.bidi));
    }
    this.proving.begin(current, offer);
  }

  private takeElement(element: Element, bytes: number): MaybePromise<void> {
    switch (element.ns) {
      case NS.sasl:
        if (this.state !== 'authenticating') throw new StreamError('not-authorized');
        this.proving.takeSasl(element);
        return;
      case NS.dialback:
        return this.takeDialback(element);
      case NS.sm:
        return this.opposite().takeManagement(element);
      case null:
        this.lastUsed = this.context.clock.now();
        return this.opposite().take(element, bytes);
      default:
        throw new StreamError('unsupported-stanza-type');
    }
  }

  private takeDialback(element: Element): void {
    const message = readDialback(element);
    if (message === undefined) throw new StreamError('bad-format', 'that is no dialback');
    if ('key' in message) this.opposite().takeDialback(message);
    else if (message.name === 'verify') this.verifications.answered(message, message.id, message.outcome);
    else this.proving.takeResult(message, message.outcome);
  }

  /** @throws StreamError where nothing may come yet */
  private opposite(): Exchange {
    if (this.exchange === undefined) throw new StreamError('not-authorized');
    return this.exchange;
  }

  private opened(): void {
    const { current, offer, settings, context } = this;
    if (current === undefined || offer === undefined) return;
    this.cancelAttemptTimer();
    this.cancelQueueTimer?.();
    this.cancelQueueTimer = undefined;
    this.state = 'open';
    const exchange = new Exchange(current.stream, this.pair, offer, this.isBidi, settings, context);
    this.exchange = exchange;
    this.events.opened();
    // what is told before a name is proved is about what may come before that
    if (this.method === 'external') exchange.heed(offer.features);
    const full = new StanzaError('resource-constraint');
    for (const queued of exchange.flow(this.queue.take())) context.refuse(headOf(queued), queued.from, queued.to, full);
  }

  private fail(condition: Condition, reason: FailureReason, text: string, streamCondition?: 'not-authorized'): void {
    if (this.state === 'over') return;
    this.failure ??= { condition, reason, text };
    const { current } = this;
    current?.stream.close(streamCondition === undefined ? undefined : new StreamError(streamCondition, text));
    // nobody has to wait for the peer's goodbye
    this.over(text);
  }

  /** @param hasDone it was not open, and need not have been */
  private over(why: string, hasDone = false): void {
    if (this.state === 'over') return;
    const isFine = this.state === 'open' || this.isClosing || hasDone;
    this.state = 'over';
    this.cancelAttemptTimer();
    this.cancelQueueTimer?.();
    const unacknowledged = this.exchange?.close() ?? [];
    const left = unacknowledged.filter((queued) => !queued.isResent).map((queued) => ({ ...queued, isResent: true }));
    const lost = unacknowledged.filter((queued) => queued.isResent);
    const failure = this.failure ?? { condition: 'remote-server-timeout', reason: 'peer', text: why };
    const isNowhere = failure.condition === 'remote-server-not-found';
    this.verifications.failAll(new StanzaError(isNowhere ? 'remote-server-not-found' : 'remote-server-timeout'));
    this.events.closed([...left, ...this.queue.take()], lost, isFine ? undefined : failure);
  }
}

/** What senders are told when the peer ended the stream with an error. */
function conditionOf(peerError: string | undefined): Condition {
  return peerError === 'host-unknown' || peerError === 'host-gone' || peerError === 'policy-violation'
    ? 'remote-server-not-found'
    : 'remote-server-timeout';
}
