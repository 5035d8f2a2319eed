// What goes over an outgoing stream once both sides know each other: stanzas there, stanzas back where that was agreed (XEP-0288), and
// what either side says of having handled them (XEP-0198).
import type { MaybePromise } from '../base/maybe.ts';
import type { XmlStream } from '../net/stream.ts';
import { type Element, el } from '../xml/element.ts';
import { StreamError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import type { Stanza } from '../xmpp/stanza.ts';
import type { S2sContext, S2sSettings } from './context.ts';
import { type DomainPair, writeResult } from './dialback.ts';
import type { Offer } from './initiated.ts';
import { Intake } from './intake.ts';
import { Outlet, tooLarge } from './outlet.ts';
import { headOf, type Queued } from './queued.ts';
import { DialbackReceiver, type DialbackRequest } from './receiving.ts';

export class Exchange {
  private readonly stream: XmlStream;
  private readonly pair: DomainPair;
  private readonly isBidi: boolean;
  private readonly context: S2sContext;
  private readonly out: Outlet;
  private readonly in: Intake;
  private readonly receiver: DialbackReceiver;

  /** @param isBidi stanzas may come back */
  constructor(
    stream: XmlStream,
    pair: DomainPair,
    { verdict, features }: Offer,
    isBidi: boolean,
    settings: S2sSettings,
    context: S2sContext,
  ) {
    this.stream = stream;
    this.pair = pair;
    this.isBidi = isBidi;
    this.context = context;
    this.out = new Outlet(stream, context.clock, settings);
    this.in = new Intake(context, (element) => stream.send(element));
    // whoever we reached answers for the domain: its certificate says so, or the way through DNS on which dialback relies too
    this.in.authorise(pair.to, verdict.isValid ? 'certificate' : 'dialback');
    this.receiver = new DialbackReceiver(stream, this.in, context, (proved, proof) =>
      this.in.authorise(proved.from, proof),
    );
    if (features.getChild('sm', NS.sm) === undefined) return;
    // XEP-0198 4: what is sent behind it counts, whatever the answer; what comes counts from the answer on
    stream.send(el('enable', NS.sm));
    this.out.manage();
  }

  get sent(): number {
    return this.out.written;
  }

  get received(): number {
    return this.in.received;
  }

  /** How many stanzas that came back are being handled. */
  get handling(): number {
    return this.in.handling;
  }

  /** How many stanzas wait to be acknowledged. */
  get waiting(): number {
    return this.out.waiting;
  }

  /** What the peer has told of the stanzas that it takes (XEP-0478 3). */
  heed(features: Element): void {
    const text = features.getChild('limits', NS.streamLimits)?.getChildText('max-bytes');
    if (text !== undefined && /^\d{1,15}$/.test(text)) this.out.mostBytes = Number(text);
  }

  /** @throws StanzaError as {@link Outlet.send} */
  send(stanza: Stanza): void {
    this.out.send(stanza);
    this.context.stanza('out');
  }

  /** Writes out what has waited; returns what was too much for the stream. */
  flow(list: readonly Queued[]): readonly Queued[] {
    const { out, context } = this;
    for (const [i, queued] of list.entries()) {
      if (!this.stream.isOpen) return list.slice(i);
      if (!out.takes(queued.xml)) {
        context.refuse(headOf(queued), queued.from, queued.to, tooLarge(this.pair.to));
        continue;
      }
      context.stanza('out');
      out.sendQueued(queued);
    }
    return [];
  }

  /** A stanza came back. @throws StreamError; RFC 6120 4.1: where that was not agreed */
  take(element: Element, bytes: number): MaybePromise<void> {
    if (!this.isBidi) throw new StreamError('not-authorized');
    return this.in.take(element, bytes);
  }

  /** The peer wants to prove a name, or asks about a key. @throws StreamError where nothing may come back */
  takeDialback(request: DialbackRequest): void {
    if (!this.isBidi) throw new StreamError('not-authorized');
    const { pair } = this;
    const isReverse = request.from === pair.to && request.to === pair.from;
    // XEP-0288 2.2: a key is not asked about over the connection that it came over; for this pair nobody needs to be
    if (request.name === 'result' && isReverse) this.stream.send(writeResult(request, 'valid'));
    else this.receiver.take(request);
  }

  /** @throws StreamError */
  takeManagement(element: Element): void {
    switch (element.name) {
      case 'a':
        this.out.acknowledge(element.attrs.h);
        return;
      case 'r':
        this.in.ask();
        return;
      case 'enabled':
        if (this.out.isManaged) this.in.manage();
        return;
      case 'failed':
        // nothing is acknowledged: what was sent counts as sent
        this.out.close();
        return;
      default:
        throw new StreamError('bad-format');
    }
  }

  /** We have ended the stream, and the peer has not heard of it yet. */
  takeTrailing(element: Element): void {
    if (element.ns !== null) this.out.takeLate(element);
    else if (this.isBidi && this.stream.error === undefined) this.in.takeLate(element);
  }

  /** Says what was handled. */
  acknowledge(): void {
    this.in.acknowledge();
  }

  /** Resolves when the peer has acknowledged everything, or will not any more. */
  drain(): Promise<void> {
    return this.out.drain();
  }

  /** The stream is over: what was never acknowledged. */
  close(): readonly Queued[] {
    return this.out.close();
  }
}
