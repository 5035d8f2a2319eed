// A session under stream management (XEP-0198): what it sent and received, and when to ask for an acknowledgement.
import type { MaybePromise } from '../base/maybe.ts';
import type { Outbox, Room } from '../core/outbox.ts';
import type { Session, SessionStream } from '../core/sessions.ts';
import { parseElement } from '../xml/document.ts';
import { type Element, el } from '../xml/element.ts';
import { flatten } from '../xml/flatten.ts';
import { delayElement } from '../xmpp/delay.ts';
import { StreamError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { HandledCounter, type Marked, UnackedQueue, type Unacknowledged } from '../xmpp/sm-counters.ts';
import { type Reach, type Stanza, stanzaOf } from '../xmpp/stanza.ts';

// An acknowledgement is asked for behind so many stanzas or characters; else after a moment without any.
const ASK_STANZAS = 16;
const ASK_SIZE = 16 * 1024;

// What a resumed client missed is written so many characters at a time, as fast as it acknowledges them: all of it at once
// might be more than may wait for a slow reader.
const WINDOW = 128 * 1024;

const request = el('r', NS.sm).toXml();

/** A client's connection, as far as the session in it is concerned. */
export interface Carrier extends SessionStream {
  readonly isOpen: boolean;
  /** Whether nothing can be told to the client now. */
  readonly isMute: boolean;
  /** Drops the connection, whose client does not answer. */
  cut(reason: string): void;
  /**
   * Ends the connection without ending the session: with an error, or as if the network had gone. Resolves when what had
   * come over it has been handled; nothing more will be.
   */
  detach(error: StreamError | undefined): Promise<void>;
}

/** What happens to a managed session, for whoever looks after all of them. */
export interface Keeper {
  readonly limits: { readonly stanzas: number; readonly size: number };
  /** Knows who has a message for good. */
  readonly delivery: { had(reach: Reach): void; isHad(reach: Reach): boolean };
  now(): number;
  /** It has something to be acknowledged, or waits for an answer. */
  watch(managed: ManagedSession): void;
  /** More waits for it while it hibernates. */
  grew(managed: ManagedSession): void;
  /** More waits than may. */
  overflow(managed: ManagedSession): void;
  /** It is over: `waiting` was never acknowledged. */
  ended(managed: ManagedSession, waiting: readonly Unacknowledged<Reach>[]): MaybePromise<void>;
}

/** A managed session, written down as JSON. */
export interface SavedStream {
  readonly id: string;
  readonly max: number;
  readonly handled: number;
  /** What was handled besides, behind what was not: the client sends it again, and is not to be heard twice. */
  readonly ahead?: readonly Marked[];
  readonly acked: number;
  /** How long it can still be resumed, in milliseconds. */
  readonly left: number;
  readonly waiting: readonly {
    readonly xml: string;
    readonly at: number;
    readonly had?: Reach;
  }[];
}

export class ManagedSession implements Outbox {
  readonly session: Session;
  /** The SM-ID; undefined when it cannot be resumed. */
  readonly id: string | undefined;
  /** How long it can be resumed, in milliseconds. */
  readonly max: number;
  readonly queue: UnackedQueue<Reach>;
  readonly inbound: HandledCounter;
  carrier: Carrier | undefined;
  /** When the answer that is still to come was asked for, in milliseconds since 1970; 0 for none. */
  asked = 0;
  isWatched = false;
  /** Of what waits, so many stanzas at the end (and characters) are not written yet: their client is catching up. */
  private unwritten = 0;
  private unwrittenSize = 0;
  /** What waited was given back, or taken elsewhere: nothing is taken any more. */
  private isDone = false;
  /** It has gone to another node. */
  hasLeft = false;
  /** Until when it can be resumed, while it hibernates. */
  until = 0;
  cancelExpiry: (() => void) | undefined;
  /** Another process had it, and it may be in the store still. */
  wasStored = false;
  /** The attempt to resume it that is under way. */
  resuming: Promise<unknown> | undefined;
  private readonly keeper: Keeper;

  constructor(
    session: Session,
    keeper: Keeper,
    identity: { readonly id: string | undefined; readonly max: number },
    counters: { readonly handled: number; readonly acked: number } = { handled: 0, acked: 0 },
  ) {
    this.session = session;
    this.keeper = keeper;
    this.id = identity.id;
    this.max = identity.max;
    this.queue = new UnackedQueue(counters.acked);
    this.inbound = new HandledCounter(this, counters.handled);
    this.carrier = undefined;
    this.cancelExpiry = undefined;
    this.resuming = undefined;
  }

  get room(): Room {
    const { queue, keeper } = this;
    return { stanzas: keeper.limits.stanzas - queue.length, size: keeper.limits.size - queue.size };
  }

  handled(work: Promise<unknown> | undefined, stanza: Element): void {
    this.inbound.add(work, this.id === undefined ? undefined : stanza);
  }

  isRepeat(stanza: Element): boolean {
    return this.inbound.isRepeat(stanza);
  }

  write(stanza: Stanza): void {
    if (this.isDone) return;
    const { queue, keeper, session } = this;
    const { stream } = session;
    const xml = stanza.el.toXml();
    const reach = stanza.kind === 'message' ? stanza.reach : undefined;
    const waits = stream === undefined || this.unwritten > 0;
    // what waits for long must not keep alive what it was cut from
    queue.push({ xml: waits ? flatten(xml) : xml, isFlat: waits, at: keeper.now(), reach });
    if (this.unwritten > 0) {
      this.unwritten++;
      this.unwrittenSize += xml.length;
    } else stream?.send(xml);
    const { limits } = keeper;
    if (queue.length > limits.stanzas || queue.size > limits.size) keeper.overflow(this);
    else if (stream === undefined) keeper.grew(this);
    else {
      if (this.asked === 0 && (queue.length >= ASK_STANZAS || queue.size >= ASK_SIZE)) this.ask();
      if (!this.isWatched) keeper.watch(this);
    }
  }

  /** 4: one request at a time. */
  ask(): void {
    if (this.session.stream === undefined) return;
    this.asked = this.keeper.now();
    this.session.stream.send(request);
    if (!this.isWatched) this.keeper.watch(this);
  }

  /**
   * The client says how much it has handled.
   * @throws StreamError when it cannot have handled so much (XEP-0198 6)
   */
  acknowledge(h: number): void {
    this.asked = 0;
    const { queue } = this;
    const sent = (queue.sent - this.unwritten) >>> 0;
    if ((sent - h) >>> 0 > queue.length - this.unwritten) throw tooHigh(h, sent);
    queue.acknowledge(h, this);
    if (this.unwritten > 0) this.catchUp();
  }

  get sent(): number {
    return this.queue.sent;
  }

  /** What the client has acknowledged others need not have, unless it was given a copy only. */
  had(reach: Reach): void {
    if (reach.to.includes(this.session.sid)) this.keeper.delivery.had(reach);
  }

  sendAck(): void {
    this.session.stream?.send(el('a', NS.sm, { h: String(this.inbound.h) }).toXml());
  }

  /** What was written so far is kept for longer than expected. */
  settleDown(): void {
    const { queue } = this;
    for (let i = queue.length - 1; i >= 0; i--) {
      const entry = queue.at(i);
      // what was kept before that one was copied with it
      if (entry.isFlat) return;
      entry.xml = flatten(entry.xml);
      entry.isFlat = true;
    }
  }

  unacknowledged(most: number): readonly string[] {
    const { queue } = this;
    const found: string[] = [];
    for (let i = Math.max(0, queue.length - most); i < queue.length; i++) found.push(queue.at(i).xml);
    return found;
  }

  /** The stream is gone: what was written may not have arrived. */
  hibernate(): void {
    this.asked = 0;
    this.unwritten = 0;
    this.unwrittenSize = 0;
    this.inbound.forgetAsked();
    this.settleDown();
  }

  /** There is another stream: what was not acknowledged is written once more. */
  resend(): void {
    this.unwritten = this.queue.length;
    this.unwrittenSize = this.queue.size;
    if (this.unwritten > 0) this.catchUp();
  }

  private catchUp(): void {
    const { queue, session } = this;
    const { stream } = session;
    if (stream === undefined) return;
    while (this.unwritten > 0 && queue.size - this.unwrittenSize < WINDOW) {
      const { xml, at } = queue.at(queue.length - this.unwritten);
      stream.send(late(xml, at, session.host.domain));
      this.unwritten--;
      this.unwrittenSize -= xml.length;
    }
    this.ask();
  }

  giveBack(): MaybePromise<void> {
    if (this.isDone) return;
    this.isDone = true;
    this.cancelExpiry?.();
    this.carrier = undefined;
    const waiting = this.queue.waiting();
    this.inbound.end(this.queue.acked);
    this.queue.acknowledge(this.queue.sent);
    return this.keeper.ended(this, waiting);
  }

  /** Another node goes on with what was {@link save}d. */
  leave(): void {
    this.isDone = true;
    this.hasLeft = true;
    this.cancelExpiry?.();
  }

  /** Only for one that can be resumed. */
  save(): SavedStream {
    const ahead = this.inbound.ahead();
    return {
      id: this.id ?? '',
      max: this.max,
      handled: this.inbound.h,
      ...(ahead.length === 0 ? {} : { ahead }),
      acked: this.queue.acked,
      // (the stream of one that is still busy with what came over it is as good as gone)
      left: this.session.stream === undefined ? Math.max(this.until - this.keeper.now(), 0) : this.max,
      waiting: this.queue.waiting().map(({ xml, at, reach }) => ({
        xml,
        at,
        ...(reach === undefined ? {} : { had: this.keeper.delivery.isHad(reach) ? { ...reach, isHad: true } : reach }),
      })),
    };
  }

  /** @param adopt makes what others may share one again */
  restore({ waiting, ahead = [] }: SavedStream, adopt: (reach: Reach) => Reach): void {
    this.inbound.expect(ahead);
    for (const { xml, at, had } of waiting) this.queue.push({ xml, isFlat: true, at, reach: had && adopt(had) });
  }
}

/** A stanza that comes back, as it was when it was delivered. */
export function returned({ xml, reach }: Unacknowledged<Reach>, session: Pick<Session, 'jid'>): Stanza {
  const element = parseElement(xml);
  const from = Jid.parse(element.attrs.from ?? '') ?? session.jid.withResource('');
  const to = Jid.parse(element.attrs.to ?? '') ?? session.jid;
  const stanza = stanzaOf(element, from, to);
  return reach === undefined || stanza.kind !== 'message' ? stanza : { ...stanza, reach };
}

/** XEP-0203: a message or presence that arrives late says so, unless it carries a time already. */
function late(xml: string, at: number, by: string): string {
  if (xml.startsWith('<iq') || xml.includes(NS.delay)) return xml;
  const delay = delayElement(at, by).toXml();
  // (it is our own serialisation: the last "<" is that of the closing tag, if it has one)
  if (xml.endsWith('/>') && xml.lastIndexOf('<') === 0) {
    return `${xml.slice(0, -2)}>${delay}</${xml.startsWith('<message') ? 'message' : 'presence'}>`;
  }
  const end = xml.lastIndexOf('<');
  return xml.slice(0, end) + delay + xml.slice(end);
}

function tooHigh(h: number, sent: number): StreamError {
  return new StreamError(
    'undefined-condition',
    `you acknowledged ${h} stanzas, but only ${sent} were sent so far`,
    el('handled-count-too-high', NS.sm, { h: String(h), 'send-count': String(sent) }),
  );
}
