// The streams between domains of ours and those of others: which one a stanza takes, when a new one is made, when one has been idle
// for too long, and what becomes of stanzas that cannot be sent.
import { within } from '../base/clock.ts';
import type { Remote } from '../core/remote.ts';
import type { Transit } from '../core/transit.ts';
import { StanzaError, type StreamError } from '../xmpp/errors.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import type { FailureReason, S2sContext, S2sSettings } from './context.ts';
import { BackOff } from './dial.ts';
import type { DialbackOutcome, DomainPair } from './dialback.ts';
import type { InboundStream } from './inbound.ts';
import { type OutboundFailure, OutboundStream } from './outbound.ts';
import { headOf, type Queued } from './queued.ts';
import { type Step, Trace } from './trace.ts';

/** How long a stream stays that was only made to ask about a key, in milliseconds. */
const UNPROVED_IDLE = 15_000;

/** How many streams there may be that were only made to ask about keys: strangers choose the domains. */
const MOST_ASKING = 256;

/** What is between two domains, and says nothing of what another host of ours may have to do with the same peer. */
const reasonsOfPairs: ReadonlySet<FailureReason> = new Set(['certificate', 'authentication', 'policy', 'peer']);

function keyOf({ from, to }: DomainPair): string {
  return `${from} ${to}`;
}

export class Pool implements Pick<Remote, 'send'> {
  private readonly context: S2sContext;
  private readonly outgoing = new Map<string, OutboundStream>();
  /** Incoming streams that stanzas may go back over. */
  private readonly returning = new Map<string, InboundStream>();
  private readonly backOff: BackOff<OutboundFailure>;
  /** Told when a stream is made. */
  whenUsed: () => void = () => {};
  private whenEmpty: (() => void) | undefined;
  private isClosing = false;

  constructor(context: S2sContext) {
    this.context = context;
    this.backOff = new BackOff(context.clock);
  }

  get size(): number {
    return this.outgoing.size;
  }

  /** Outgoing streams, in every state. */
  all(): Iterable<OutboundStream> {
    return this.outgoing.values();
  }

  /** Takes a stanza for another domain. @throws StanzaError when it cannot be sent; later failures are answered by themselves */
  send({ stanza }: Transit): void {
    const pair = { from: stanza.from.domain, to: stanza.to.domain };
    const key = keyOf(pair);
    const outgoing = this.outgoing.get(key);
    if (outgoing?.isForStanzas === true) {
      outgoing.send(stanza);
      return;
    }
    const settings = this.check(pair);
    const returning = this.returning.get(key);
    // what it has not seen acknowledged goes first
    if (returning !== undefined && (returning.isOpen || returning.waiting > 0)) returning.send(stanza);
    else if (outgoing !== undefined) outgoing.send(stanza);
    else this.reach(pair, settings, stanza);
  }

  /** XEP-0220 2.1.2: somebody came in the name of `pair.to`. */
  async verify(pair: DomainPair, id: string, key: string): Promise<DialbackOutcome> {
    const known = this.outgoing.get(keyOf(pair));
    if (known !== undefined) return known.verify(pair, id, key);
    const settings = this.context.settings(pair.from);
    if (settings === undefined || this.isClosing) return new StanzaError('item-not-found');
    const failure = this.failureOf(pair, true);
    if (failure !== undefined) return new StanzaError(failure.condition, failure.text);
    if (this.asking >= MOST_ASKING) return new StanzaError('resource-constraint', 'too many are being asked');
    return this.open(pair, settings).verify(pair, id, key);
  }

  /** Tries a stream that carries nothing; undefined where policy is against it. */
  async probe(pair: DomainPair): Promise<{ readonly isReached: boolean; readonly steps: readonly Step[] } | undefined> {
    const settings = this.context.settings(pair.from);
    if (settings?.mayTalkTo(pair.to) !== true) return undefined;
    const trace = new Trace(this.context.clock);
    this.context.dns.forget(pair.to);
    const isReached = await new Promise<boolean>((resolve) => {
      const stream = new OutboundStream(pair, settings, this.context, trace, {
        opened: () => {
          resolve(true);
          stream.close();
        },
        closed: () => resolve(false),
      });
      stream.prove();
    });
    return { isReached, steps: trace.steps };
  }

  /** A peer proved its name (`pair.to`): it is there, whatever was known of it. */
  proved(pair: DomainPair): void {
    this.backOff.succeeded(pair.to);
    this.backOff.succeeded(keyOf(pair));
  }

  /** From now on stanzas for this pair may go back over an incoming stream. */
  canReturn(stream: InboundStream, pair: DomainPair): void {
    this.returning.set(keyOf(pair), stream);
  }

  /** An incoming stream is over. */
  returned(stream: InboundStream, left: readonly Queued[], lost: readonly Queued[]): void {
    for (const [key, one] of this.returning) if (one === stream) this.returning.delete(key);
    this.giveBack(lost, new StanzaError('remote-server-timeout'));
    this.sendAgain(left);
  }

  /** Ends streams that have not been used for long. */
  sweep(): void {
    const now = this.context.clock.now();
    for (const stream of this.outgoing.values()) {
      const idle = stream.state === 'open' ? this.context.settings(stream.pair.from)?.idleTimeout : UNPROVED_IDLE;
      if (stream.state === 'open' || stream.state === 'offered') {
        if (!stream.isUsedSince(now - (idle ?? 0))) this.retire(stream);
      }
    }
  }

  /** Ends streams that policy does not allow any more. */
  enforce(): void {
    for (const stream of this.outgoing.values()) {
      if (!stream.isAllowed()) this.retire(stream);
    }
    // what failed may not fail by the settings that there are now
    this.backOff.forget(() => true);
  }

  /** Ends the streams to a domain; returns how many there were. */
  closeDomain(domain: string): number {
    const streams = [...this.outgoing.values()].filter(({ pair }) => pair.to === domain);
    for (const stream of streams) this.retire(stream);
    this.backOff.forget((key) => key === domain || key.endsWith(` ${domain}`));
    return streams.length;
  }

  /** Ends everything; resolves when the peers have said goodbye, or after `deadline` milliseconds. */
  async close(error: StreamError, deadline: number): Promise<void> {
    this.isClosing = true;
    for (const stream of [...this.outgoing.values()]) stream.close(error);
    if (this.outgoing.size === 0) return;
    await within(this.context.clock, deadline, (done) => {
      this.whenEmpty = done;
    });
    for (const stream of [...this.outgoing.values()]) stream.abort('the server stops');
  }

  /** @throws StanzaError */
  private check({ from, to }: DomainPair): S2sSettings {
    const settings = this.context.settings(from);
    if (settings === undefined) throw new StanzaError('remote-server-not-found');
    if (this.isClosing) throw new StanzaError('remote-server-timeout', 'this server stops');
    if (!settings.mayTalkTo(to)) throw new StanzaError('not-allowed', `${from} does not talk to ${to}`);
    return settings;
  }

  private reach(pair: DomainPair, settings: S2sSettings, stanza: Stanza): void {
    // whoever could not be reached a moment ago is not tried again for every stanza
    const failure = this.failureOf(pair);
    if (failure !== undefined) throw new StanzaError(failure.condition, failure.text);
    this.open(pair, settings).send(stanza);
  }

  private failureOf(pair: DomainPair, isWanted = false): OutboundFailure | undefined {
    return this.backOff.failure(pair.to, isWanted) ?? this.backOff.failure(keyOf(pair), isWanted);
  }

  /** How many streams are only there to ask about keys. */
  private get asking(): number {
    let count = 0;
    for (const { isForStanzas } of this.outgoing.values()) if (!isForStanzas) count++;
    return count;
  }

  private open(pair: DomainPair, settings: S2sSettings): OutboundStream {
    const key = keyOf(pair);
    const stream: OutboundStream = new OutboundStream(pair, settings, this.context, new Trace(this.context.clock), {
      opened: () => {
        this.proved(pair);
        this.context.log.info(
          {
            domain: pair.to,
            from: pair.from,
            address: stream.address,
            tls: stream.tlsVersion,
            method: stream.method,
            bidi: stream.isBidi,
          },
          'connected to a server',
        );
      },
      closed: (left, lost, failure) => {
        if (this.outgoing.get(key) === stream) this.outgoing.delete(key);
        this.closed(stream, left, lost, failure);
        if (this.outgoing.size === 0) this.whenEmpty?.();
      },
    });
    this.outgoing.set(key, stream);
    this.whenUsed();
    stream.start();
    return stream;
  }

  private closed(
    { pair }: OutboundStream,
    left: readonly Queued[],
    lost: readonly Queued[],
    failure: OutboundFailure | undefined,
  ): void {
    if (failure === undefined) {
      this.giveBack(lost, new StanzaError('remote-server-timeout'));
      this.sendAgain(left);
      return;
    }
    if (!this.isClosing) {
      this.backOff.failed(reasonsOfPairs.has(failure.reason) ? keyOf(pair) : pair.to, failure);
      this.context.dns.forget(pair.to);
      this.context.failure('out', failure.reason);
      this.context.log.info({ domain: pair.to, from: pair.from, why: failure.text }, 'a server could not be reached');
    }
    this.giveBack([...lost, ...left], new StanzaError(failure.condition, failure.text));
  }

  /** What was not acknowledged goes over a new stream, in front of what follows. */
  private sendAgain(left: readonly Queued[]): void {
    const byPair = new Map<string, Queued[]>();
    for (const queued of left) {
      const key = `${queued.from.domain} ${queued.to.domain}`;
      const list = byPair.get(key);
      if (list === undefined) byPair.set(key, [queued]);
      else list.push(queued);
    }
    for (const [key, list] of byPair) {
      const pair = { from: list[0]!.from.domain, to: list[0]!.to.domain };
      try {
        const stream = this.outgoing.get(key) ?? this.open(pair, this.check(pair));
        this.giveBack(stream.resume(list), new StanzaError('resource-constraint'));
      } catch (error) {
        this.giveBack(list, error instanceof StanzaError ? error : new StanzaError('remote-server-timeout'));
      }
    }
  }

  private giveBack(list: readonly Queued[], error: StanzaError): void {
    for (const queued of list) this.context.refuse(headOf(queued), queued.from, queued.to, error);
  }

  /** It says goodbye by itself. Nothing takes it any more, unless it holds what has to go first. */
  private retire(stream: OutboundStream): void {
    const key = keyOf(stream.pair);
    if (stream.waiting === 0 && this.outgoing.get(key) === stream) this.outgoing.delete(key);
    stream.close();
  }
}
