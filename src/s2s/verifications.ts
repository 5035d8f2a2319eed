// Questions to the authoritative server of a domain (XEP-0220 2.1.2), asked over one of our streams to it: those that wait for the
// stream, and those that wait for an answer.
import type { Clock } from '../base/clock.ts';
import type { XmlStream } from '../net/stream.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { type DialbackOutcome, DialbackRequests, type DomainPair, writeVerifyRequest } from './dialback.ts';

interface Verification {
  readonly pair: DomainPair;
  readonly id: string;
  readonly key: string;
  readonly done: (outcome: DialbackOutcome) => void;
}

/** How many may be under way on one stream. */
const MOST = 256;

export class Verifications {
  private readonly clock: Clock;
  private readonly timeout: number;
  private wanted: Verification[] = [];
  private readonly asked = new DialbackRequests<Verification>();

  /** @param timeout for an answer, in milliseconds */
  constructor(clock: Clock, timeout: number) {
    this.clock = clock;
    this.timeout = timeout;
  }

  get size(): number {
    return this.wanted.length + this.asked.size;
  }

  /** Asks over a stream, or when there is one. */
  ask(stream: XmlStream | undefined, pair: DomainPair, id: string, key: string): Promise<DialbackOutcome> {
    return new Promise((done) => {
      if (this.size >= MOST || this.isKnown(pair, id)) done(new StanzaError('resource-constraint'));
      else if (stream === undefined) this.wanted.push({ pair, id, key, done });
      else this.send(stream, { pair, id, key, done });
    });
  }

  /** There is a stream now. */
  flush(stream: XmlStream): void {
    for (const verification of this.wanted.splice(0)) this.send(stream, verification);
  }

  /** An answer came; one that nobody asked for is not listened to (XEP-0220 4.1). */
  answered(pair: DomainPair, id: string, outcome: DialbackOutcome): void {
    this.asked.take(pair, id)?.done(outcome);
  }

  /** The stream is gone, with what was asked over it. */
  failAsked(error: StanzaError): void {
    for (const { done } of this.asked.drain()) done(error);
  }

  /** There will be no stream. */
  failAll(error: StanzaError): void {
    this.failAsked(error);
    for (const { done } of this.wanted.splice(0)) done(error);
  }

  private isKnown(pair: DomainPair, id: string): boolean {
    const isSame = (one: Verification): boolean =>
      one.id === id && one.pair.from === pair.from && one.pair.to === pair.to;
    return this.asked.has(pair, id) || this.wanted.some(isSame);
  }

  private send(stream: XmlStream, verification: Verification): void {
    const { pair, id, key } = verification;
    const cancel = this.clock.after(this.timeout, () => {
      this.answered({ from: pair.to, to: pair.from }, id, new StanzaError('remote-server-timeout'));
    });
    const done = (outcome: DialbackOutcome): void => {
      cancel();
      verification.done(outcome);
    };
    this.asked.add(pair, { ...verification, done }, id);
    stream.send(writeVerifyRequest(pair, id, key));
  }
}
