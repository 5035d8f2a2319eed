// BoshSession: the transport that one BOSH session is: requests in order, responses in order, repeats, polling, pauses (XEP-0124 7 to 14).
import type { Clock } from '../base/clock.ts';
import {
  type BoshCondition,
  type BoshHead,
  emptyBody,
  KeySequence,
  legacyStatus,
  numberOf,
  recoverableBody,
  terminalBody,
  wrap,
} from './bosh-body.ts';
import type { BoshReply } from './bosh-http.ts';
import { Outbox } from './bosh-outbox.ts';
import type { HttpPeer } from './http.ts';
import type { TlsInfo } from './tls.ts';
import type { Flusher, Transport, TransportHandlers } from './transport.ts';

/** What was agreed upon when the session began; times in seconds. */
export interface BoshTerms {
  readonly sid: string;
  readonly wait: number;
  readonly hold: number;
  readonly requests: number;
  readonly inactivity: number;
  readonly polling: number;
  readonly maxpause: number;
  /** The type of all responses (XEP-0124 6.1). */
  readonly contentType: string;
  /** The client is of the time before conditions (XEP-0124 17.1). */
  readonly isLegacy: boolean;
  /** Responses say which requests have come (XEP-0124 8.1). */
  readonly usesAcks: boolean;
  /** All further attributes of the response that begins the session. */
  readonly greeting: Readonly<Record<string, string | number | undefined>>;
}

export interface BoshSessionOptions {
  readonly flusher: Flusher;
  readonly clock: Clock;
  /** Bytes that may wait for a client that does not ask for them. */
  readonly queuedBytes: number;
}

/** One request; its response may have to wait. */
export interface BoshRequest {
  readonly head: BoshHead;
  readonly body: Buffer;
  readonly response: BoshReply;
}

/** A request whose turn has come. */
interface Turn {
  readonly rid: number;
  readonly key: string | undefined;
  /** It wants nothing but time (XEP-0124 9). */
  readonly isPause: boolean;
  /** When it has waited long enough, in milliseconds since 1970. */
  readonly deadline: number;
  readonly bytes: number;
  /** Until it is handed on. */
  body: Buffer | undefined;
  isHandled: boolean;
  /** Undefined when the connection is gone that the request came by. */
  response: BoshReply | undefined;
  repeats: number;
}

/** A response that may have to be given again. */
interface Sent {
  readonly rid: number;
  readonly key: string | undefined;
  readonly xml: string;
  repeats: number;
}

/** While so much waits to be handled, requests may have their responses all the same, in bytes. */
const BACKLOG = 16 * 1024;
/** XEP-0124 14.3: how often one request may be sent again. */
const REPEATS = 10;
/** How many stanzas of the largest size one body may have. */
export const BODY_STANZAS = 4;
/** How often {@link BoshSession.tick} is called, in milliseconds. */
export const TICK = 1_000;

export class BoshSession implements Transport {
  readonly address: string;
  readonly tls: TlsInfo | undefined;
  readonly isConfidential: boolean;
  readonly shape = 'bodies';
  readonly terms: BoshTerms;
  /** How large a request's body may be. */
  bodyBytes = 0;
  private readonly options: BoshSessionOptions;
  private handlers: TransportHandlers | undefined;
  /** Of the last request whose turn has come. */
  private rid: number;
  private isGreeted = false;
  /** Requests whose turn has come, and that have no response yet. */
  private pending: Turn[] = [];
  /** Requests before whose turn others are missing (XEP-0124 14.2). */
  private readonly early = new Map<number, BoshRequest>();
  private sent: Sent[] = [];
  private readonly outbox = new Outbox();
  /** Requests whose bodies have not been handed on, and the one that was and is being handled. */
  private unread: Turn[] = [];
  private current: Turn | undefined;
  /** Bytes of those. */
  private backlog = 0;
  private isPaused = false;
  private isDirty = false;
  private isEnding = false;
  private isGoingAway = false;
  private hasSaidGoodbye = false;
  private isClosed = false;
  private readonly keys = new KeySequence();
  /** When the last response went out, or the last held request was lost, in milliseconds since 1970. */
  private lastActive: number;
  /** How long there may be no request, in milliseconds. */
  private patience: number;
  private lastRequest = 0;
  private lastWasEmpty = false;
  private lastHadPayload = true;

  /** @param rid of the request that asks for the session, which is the first to {@link take} */
  constructor(rid: number, peer: HttpPeer, tls: TlsInfo | undefined, terms: BoshTerms, options: BoshSessionOptions) {
    this.address = peer.address;
    this.isConfidential = peer.isConfidential;
    this.tls = tls;
    this.terms = terms;
    this.options = options;
    this.rid = rid - 1;
    this.lastActive = options.clock.now();
    this.patience = terms.inactivity * 1000;
  }

  /** Whether the stream is over; what its end had to say may still be asked for. */
  get isOver(): boolean {
    return this.isClosed;
  }

  get isMute(): boolean {
    return this.live === 0;
  }

  get queuedBytes(): number {
    return this.outbox.length;
  }

  attach(handlers: TransportHandlers): void {
    this.handlers = handlers;
  }

  allow(stanzaBytes: number): void {
    this.bodyBytes = BODY_STANZAS * stanzaBytes;
  }

  write(xml: string): void {
    if (this.isEnding || this.isClosed || xml === '') return;
    this.outbox.write(xml);
    this.flushSoon();
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.handOn();
  }

  handled(): void {
    const { current } = this;
    if (current === undefined) return;
    current.isHandled = true;
    this.backlog -= current.bytes;
    this.current = undefined;
    this.handOn();
    this.flushSoon();
  }

  end(isGoingAway = false): void {
    if (this.isEnding || this.isClosed) return;
    this.isEnding = true;
    this.isGoingAway = isGoingAway;
    this.flushSoon();
  }

  destroy(): void {
    if (this.isClosed) return;
    this.respond();
    // what a client does not ask for is not kept for it, but for why it is over
    if (!this.isEnding || this.outbox.length > BACKLOG) this.drop('remote-connection-failed');
    this.over(undefined);
  }

  /** Takes a request of this session, in whatever order they come. */
  take(request: BoshRequest): void {
    // what is due goes out first: the client's part is judged by what it can know
    if (this.isDirty) this.flush();
    const { head, body, response } = request;
    this.handlers?.traffic(body.length, 0);
    if (head.rid <= this.rid) {
      this.repeat(request);
      return;
    }
    if (this.hasSaidGoodbye) {
      this.refuse(response, 'item-not-found');
      return;
    }
    // XEP-0124 10: one more may come if it is to pause or to end the session
    const most = this.terms.requests + (head.isTerminate || this.pauseOf(head) !== undefined ? 1 : 0);
    if (head.rid > this.rid + most) {
      this.fail('item-not-found', response);
      return;
    }
    if (head.rid > this.rid + 1) this.keepEarly(request);
    else {
      this.begin(request);
      for (let next = this.early.get(this.rid + 1); next !== undefined; next = this.early.get(this.rid + 1)) {
        this.early.delete(next.head.rid);
        this.begin(next);
      }
    }
    if (this.live + this.early.size > most) this.fail('policy-violation', response);
    this.flushSoon();
  }

  /** Gives responses that are due, and ends what was silent for too long; true when nobody can have any more questions. */
  tick(now: number): boolean {
    if (this.live > 0) {
      if (!this.isDirty) this.flush();
      return false;
    }
    if (now - this.lastActive <= this.patience) return false;
    if (!this.isClosed) {
      // whoever says something and goes has said it
      for (const { body } of this.unread) if (body !== undefined) this.handlers?.body(body);
      this.drop('item-not-found');
      this.over(new Error('no request came for too long'));
    }
    return true;
  }

  /** Ends the session because of what a request did; the others learn that it was not them (XEP-0124 17.2). */
  fail(condition: BoshCondition, response: BoshReply): void {
    if (!response.isGiven) this.refuse(response, condition);
    this.drop('other-request');
    this.over(new Error(`BOSH: ${condition}`));
  }

  /** Writes what there is, to whoever waits for it. */
  flush(): void {
    this.isDirty = false;
    this.respond();
    if (this.outbox.length > this.options.queuedBytes) this.handlers?.overflow();
  }

  private respond(): void {
    while (this.pending.length > 0 && !this.hasSaidGoodbye) {
      if (this.isEnding) {
        this.sayGoodbye();
        return;
      }
      const first = this.pending[0]!;
      if (first.response === undefined) {
        // it will come again; only what stands behind it cannot wait for that
        if (this.live === 0) break;
        this.answer(first, '');
      } else if (!this.isReady(first)) break;
      else this.answer(first, first.isPause ? '' : this.outbox.take());
    }
  }

  private isReady(first: Turn): boolean {
    const { hold, wait } = this.terms;
    if (!first.isHandled && this.backlog > BACKLOG) return false;
    if (this.outbox.length > 0 && !first.isPause) return true;
    // XEP-0124 11: whoever polls wants what comes of the request, not of time
    if (hold === 0 || wait === 0) return first.isHandled;
    const isReleased = this.pending.some(({ isPause }) => isPause);
    return isReleased || this.pending.length > hold || first.deadline - TICK <= this.options.clock.now();
  }

  /** How many requests wait for responses that can still be given. */
  private get live(): number {
    let live = 0;
    for (const { response } of this.pending) if (response !== undefined) live++;
    return live;
  }

  // XEP-0124 14.2: the turn of a request, after all before it
  private begin({ head, body, response }: BoshRequest): void {
    const now = this.options.clock.now();
    const { key } = head.attrs;
    if (!this.keys.take(head.attrs)) {
      this.fail('item-not-found', response);
      return;
    }
    const pause = this.pauseOf(head);
    this.rid = head.rid;
    // a client that keeps to its window has had these
    this.sent = this.sent.filter(({ rid }) => rid > head.rid - this.terms.requests);
    this.patience = (pause ?? this.terms.inactivity) * 1000;
    const turn: Turn = {
      rid: head.rid,
      key,
      isPause: pause !== undefined,
      deadline: now + this.terms.wait * 1000,
      bytes: body.length,
      body,
      isHandled: false,
      response,
      repeats: 0,
    };
    this.pending.push(turn);
    response.onLost(() => this.lose(turn, response));
    const isIdle = head.isEmpty && !head.isTerminate && pause === undefined;
    if (isIdle && this.isTooSoon(now)) {
      this.fail('policy-violation', response);
      return;
    }
    this.lastRequest = now;
    this.lastWasEmpty = isIdle;
    if (this.isEnding) return;
    this.backlog += turn.bytes;
    this.unread.push(turn);
    this.handOn();
  }

  private handOn(): void {
    while (this.current === undefined && !this.isPaused && !this.isEnding) {
      const next = this.unread.shift();
      if (next?.body === undefined) return;
      const { body } = next;
      next.body = undefined;
      this.current = next;
      this.handlers?.body(body);
    }
  }

  private keepEarly(request: BoshRequest): void {
    const { head, response } = request;
    const former = this.early.get(head.rid);
    this.early.set(head.rid, request);
    if (former !== undefined) this.reply(former.response, recoverableBody);
    response.onLost(() => {
      // the client sends it again
      if (this.early.get(head.rid)?.response === response) this.early.delete(head.rid);
    });
  }

  // XEP-0124 14.3
  private repeat({ head, response }: BoshRequest): void {
    const held = this.pending.find(({ rid }) => rid === head.rid);
    const former = held ?? this.sent.find(({ rid }) => rid === head.rid);
    if (former === undefined || former.key !== head.attrs.key) {
      if (this.isClosed) this.refuse(response, 'item-not-found');
      else this.fail('item-not-found', response);
    } else if (++former.repeats > REPEATS) this.fail('policy-violation', response);
    else if (held === undefined) this.reply(response, (former as Sent).xml);
    else {
      if (held.response !== undefined) this.reply(held.response, recoverableBody);
      held.response = response;
      response.onLost(() => this.lose(held, response));
      this.flushSoon();
    }
  }

  /** In seconds (XEP-0124 9); undefined for a request that is none for a pause. */
  private pauseOf({ attrs: { pause } }: BoshHead): number | undefined {
    const seconds = numberOf(pause);
    return seconds !== undefined && seconds <= this.terms.maxpause ? seconds : undefined;
  }

  // XEP-0124 10, 11
  private isTooSoon(now: number): boolean {
    const { hold, wait, requests, polling } = this.terms;
    if (now - this.lastRequest >= polling * 1000) return false;
    if (hold === 0 || wait === 0) return this.lastWasEmpty && !this.lastHadPayload;
    return requests > 1 && this.live >= requests;
  }

  private answer(
    turn: Turn,
    payload: string,
    end: { readonly type?: 'terminate'; readonly condition?: BoshCondition } = {},
  ): void {
    const { terms, options } = this;
    const { response } = turn;
    this.pending.splice(this.pending.indexOf(turn), 1);
    const isFirst = !this.isGreeted;
    this.isGreeted = true;
    const greeting = isFirst && end.type === undefined ? terms.greeting : {};
    const ack = terms.usesAcks && (isFirst || this.rid !== turn.rid) ? this.rid : undefined;
    const attrs = { ...end, ...greeting, ack };
    const isPlain = payload === '' && ack === undefined && !isFirst && end.type === undefined;
    const xml = isPlain ? emptyBody : wrap(attrs, payload);
    this.sent.push({ rid: turn.rid, key: turn.key, xml, repeats: 0 });
    if (this.sent.length > terms.requests) this.sent.shift();
    this.lastActive = options.clock.now();
    this.lastHadPayload = payload !== '';
    turn.response = undefined;
    if (response !== undefined) this.reply(response, xml);
  }

  // XEP-0124 13: on the oldest connection, with all that is left; the others have served
  private sayGoodbye(): void {
    const oldest = this.pending.find(({ response }) => response !== undefined);
    if (oldest === undefined) return;
    const rest = this.outbox.takeAll();
    const reason = this.outbox.hasError
      ? ({ condition: 'remote-stream-error' } as const)
      : this.isGoingAway
        ? ({ condition: 'system-shutdown' } as const)
        : {};
    for (const turn of [...this.pending]) {
      if (turn !== oldest) this.answer(turn, '');
      else this.answer(turn, rest, { type: 'terminate', ...reason });
    }
    for (const { response } of this.early.values()) this.reply(response, emptyBody);
    this.early.clear();
    this.hasSaidGoodbye = true;
    this.over(undefined);
  }

  /** Nothing is left to say but this, to all who wait. */
  private drop(condition: BoshCondition): void {
    this.hasSaidGoodbye = true;
    const waiting = [...this.pending, ...this.early.values()];
    this.pending = [];
    this.early.clear();
    this.outbox.takeAll();
    for (const { response } of waiting) {
      if (response !== undefined && !response.isGiven) this.reply(response, terminalBody(condition));
    }
  }

  private flushSoon(): void {
    if (this.isDirty) return;
    this.isDirty = true;
    this.options.flusher.add(this);
  }

  private lose(turn: Turn, response: BoshReply): void {
    if (turn.response !== response) return;
    turn.response = undefined;
    this.lastActive = this.options.clock.now();
    // without the identifier of the session nobody can come back
    if (!this.isGreeted) {
      this.drop('item-not-found');
      this.over(new Error('the client was gone before the session began'));
    }
  }

  private reply(response: BoshReply, xml: string): void {
    response.give(200, this.terms.contentType, xml);
  }

  private refuse(response: BoshReply, condition: BoshCondition): void {
    const status = this.terms.isLegacy ? (legacyStatus[condition] ?? 200) : 200;
    response.give(status, this.terms.contentType, terminalBody(condition));
  }

  private over(error: Error | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.unread = [];
    const { handlers } = this;
    this.handlers = undefined;
    handlers?.closed(error);
  }
}
