// What goes out over one stream: stanzas, and with stream management (XEP-0198) what the peer has not acknowledged yet.
import type { Clock } from '../base/clock.ts';
import type { XmlStream } from '../net/stream.ts';
import { type Element, el } from '../xml/element.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { UnackedQueue } from '../xmpp/sm-counters.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import { keep, type Queued, queuedOf } from './queued.ts';
import { Unsent } from './unsent.ts';

export function tooLarge(domain: string): StanzaError {
  return new StanzaError('policy-violation', `it is larger than ${domain} takes`);
}

/** An acknowledgement is asked for behind so many stanzas, and a moment after the last one. */
const ASK_BEHIND = 32;
const ASK_AFTER = 100;
/** How long the peer may take to acknowledge, in milliseconds: until what waits is copied, and then until it is given up. */
const KEEP_AFTER = 2_000;
const ACK_TIMEOUT = 60_000;

const request = el('r', NS.sm).toXml();

export class Outlet {
  /** How many stanzas were written. */
  written = 0;
  /** The largest stanza that the peer takes, in bytes, where it has told (XEP-0478). */
  mostBytes = Number.POSITIVE_INFINITY;
  private readonly stream: XmlStream;
  private readonly clock: Clock;
  private readonly limits: { readonly queueStanzas: number; readonly queueBytes: number };
  private unacked: UnackedQueue<Queued> | undefined;
  private readonly unsent: Unsent;
  private sinceAsked = 0;
  private isAsked = false;
  private cancelTimer: (() => void) | undefined;
  private whenDrained: (() => void) | undefined;

  constructor(stream: XmlStream, clock: Clock, limits: { readonly queueStanzas: number; readonly queueBytes: number }) {
    this.stream = stream;
    this.clock = clock;
    this.limits = limits;
    this.unsent = new Unsent(stream.transport, clock);
  }

  get isManaged(): boolean {
    return this.unacked !== undefined;
  }

  /** How many stanzas wait to be acknowledged. */
  get waiting(): number {
    return this.unacked?.length ?? 0;
  }

  /** From now on what is written is kept until it is acknowledged. */
  manage(): void {
    this.unacked = new UnackedQueue<Queued>();
  }

  /** Whether the peer takes a stanza as large as this one. What it does not take would end the stream, for all others too. */
  takes(xml: string): boolean {
    // a character of UTF-16 is three bytes at most
    return xml.length * 3 <= this.mostBytes || Buffer.byteLength(xml) <= this.mostBytes;
  }

  /**
   * @throws StanzaError `policy-violation` where the peer does not take it; `resource-constraint` while too much is not acknowledged.
   * That alone is no reason to end the stream: at full load, a peer that waits for its disk owes thousands of acknowledgements.
   */
  send(stanza: Stanza): void {
    const { unacked, limits } = this;
    if (unacked !== undefined && (unacked.length >= limits.queueStanzas || unacked.size >= limits.queueBytes)) {
      throw new StanzaError('resource-constraint', `too much waits for ${stanza.to.domain}`, { type: 'wait' });
    }
    const queued = queuedOf(stanza);
    if (!this.takes(queued.xml)) throw tooLarge(stanza.to.domain);
    this.sendQueued(queued);
  }

  sendQueued(queued: Queued): void {
    this.written++;
    this.stream.send(queued.xml);
    const { unacked } = this;
    if (unacked === undefined) {
      this.unsent.add(queued);
      return;
    }
    unacked.push({ xml: queued.xml, isFlat: false, at: 0, reach: queued });
    if (++this.sinceAsked >= ASK_BEHIND) this.ask();
    else if (!this.isAsked) this.cancelTimer ??= this.clock.after(ASK_AFTER, () => this.ask());
  }

  /** The stream has been ended by us: what the peer still says of what it has handled. */
  takeLate(element: Element): void {
    const h = Number(element.is('a', NS.sm) ? element.attrs.h : undefined);
    if (Number.isInteger(h)) this.unacked?.acknowledge(h);
  }

  /** The peer has handled so many. @throws StreamError where that cannot be (XEP-0198 4) */
  acknowledge(text: string | undefined): void {
    const h = /^\d{1,10}$/.test(text ?? '') ? Number(text) : Number.NaN;
    const { unacked } = this;
    if (unacked === undefined) return;
    if (!(h < 2 ** 32) || !unacked.acknowledge(h)) {
      const extra = el('handled-count-too-high', NS.sm, { h: text ?? '', 'send-count': String(unacked.sent) });
      throw new StreamError('undefined-condition', 'more was acknowledged than was sent', extra);
    }
    this.isAsked = false;
    this.cancelTimer?.();
    this.cancelTimer = undefined;
    if (unacked.length === 0) this.whenDrained?.();
    // what was sent after the question is asked for at once where somebody waits for the end of it
    else if (this.whenDrained !== undefined) this.ask();
    else this.cancelTimer = this.clock.after(ASK_AFTER, () => this.ask());
  }

  /** Asks for an acknowledgement of everything; resolves when there is nothing left to wait for, or the stream is over. */
  drain(): Promise<void> {
    if (this.waiting === 0) return Promise.resolve();
    if (!this.isAsked) this.ask();
    return new Promise((resolve) => {
      this.whenDrained = resolve;
    });
  }

  /** The stream is over: what was never acknowledged; where nothing is, what was never sent. */
  close(): readonly Queued[] {
    const { unacked } = this;
    this.cancelTimer?.();
    this.whenDrained?.();
    if (unacked === undefined) return this.unsent.take();
    this.keepWaiting(unacked);
    this.unacked = undefined;
    return unacked.waiting().map(({ reach }) => reach!);
  }

  /** What is not acknowledged soon is copied out of what came in with it; where peers are quick, that costs nothing. */
  private keepWaiting({ length }: UnackedQueue<Queued>): void {
    for (let i = 0; i < length; i++) {
      const entry = this.unacked!.at(i);
      if (entry.isFlat || entry.reach === undefined) continue;
      keep(entry.reach);
      entry.xml = entry.reach.xml;
      entry.isFlat = true;
    }
  }

  private ask(): void {
    this.sinceAsked = 0;
    this.stream.send(request);
    // the time runs from the first question that was not answered
    if (this.isAsked) return;
    this.isAsked = true;
    this.cancelTimer?.();
    this.cancelTimer = this.clock.after(KEEP_AFTER, () => {
      if (this.unacked !== undefined) this.keepWaiting(this.unacked);
      this.cancelTimer = this.clock.after(ACK_TIMEOUT, () =>
        this.stream.abort('the peer does not acknowledge what it is sent'),
      );
    });
  }
}
