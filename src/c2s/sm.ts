// XEP-0198: Stream Management. Acknowledgements both ways, and sessions that outlive their connection.
//
// What a client sent counts as handled when it was handled and is on disk: an acknowledgement waits for the latter
// (transit.settle), delivery does not. What was sent to a client is kept until it is acknowledged; when the session ends
// before that, it goes back through the rules of delivery.
//
// Not done, of what it allows: stream management between servers (1).
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { LruCache } from '../base/lru.ts';
import { inOrder, type MaybePromise } from '../base/maybe.ts';
import type { Host } from '../core/host.ts';
import type { Counter } from '../core/metrics.ts';
import type { Router } from '../core/router.ts';
import type { Session, Sessions } from '../core/sessions.ts';
import { type Element, el } from '../xml/element.ts';
import { type Condition, StreamError } from '../xmpp/errors.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { HandledCounter, Unacknowledged } from '../xmpp/sm-counters.ts';
import type { Reach } from '../xmpp/stanza.ts';
import { Hibernation } from './hibernation.ts';
import { type Carrier, type Keeper, ManagedSession, returned } from './sm-session.ts';
import type { StoredSession } from './sm-store.ts';

/** Times in milliseconds. */
export interface StreamManagementSettings {
  /** How long a session can be resumed; 0 switches resumption off. */
  readonly resumeTimeout: number;
  readonly ackTimeout: number;
  readonly queueStanzas: number;
  /** Characters. */
  readonly queueSize: number;
  /** What all sessions that wait to be resumed may take together, in characters. */
  readonly hibernatingSize: number;
  /** Where clients should come back to (XEP-0198 5); null: nothing is said. */
  readonly location: string | null;
}

export interface StreamManagementMetrics {
  readonly enabled: Counter;
  readonly resumed: Counter;
  readonly failed: Counter;
  readonly hibernated: Counter;
  readonly expired: Counter;
  readonly unanswered: Counter;
  readonly overflowed: Counter;
  readonly displaced: Counter;
  readonly returned: Counter;
}

export interface StreamManagementParts {
  readonly settings: () => StreamManagementSettings;
  readonly sessions: Sessions;
  readonly router: Router;
  /** The name of this node: an SM-ID says who holds the session. */
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: StreamManagementMetrics;
  /** Of a session that was brought back: it was resumed, or is over, and need not be kept in the store. */
  readonly forget: (host: Host, id: string) => Promise<void>;
}

/** What answers an attempt to resume. */
export interface Resumption {
  /** `<resumed/>` or `<failed/>`. */
  readonly answer: Element;
  /**
   * The session that goes on, when it does. Call `complete` right after the answer was written, in the same turn: from then
   * on the stream is the session's, and what the client missed is sent. False: the session ended meanwhile, or went on
   * over yet another connection; then this one has to be closed.
   */
  readonly resumed?: { readonly session: Session; complete(): boolean };
}

/** Whose numbers are remembered after a session has ended, so that `<failed/>` can tell its client what was handled. */
const REMEMBERED = 10_000;
/** Unacknowledged stanzas are looked after so often, in milliseconds. */
const PACE = 2_000;

const unsignedInt = /^\d{1,10}$/;
const truths: ReadonlySet<string | undefined> = new Set(['true', '1']);
const booleans: ReadonlySet<string | undefined> = new Set(['true', '1', 'false', '0', undefined]);

export class StreamManagement implements Keeper {
  private readonly parts: StreamManagementParts;
  private readonly byId = new Map<string, ManagedSession>();
  private readonly remembered = new LruCache<string, { readonly account: BareJid; readonly handled: HandledCounter }>(
    REMEMBERED,
  );
  private watched: ManagedSession[] = [];
  private cancelWatch: (() => void) | undefined;
  private isStopping = false;
  private readonly hibernation: Hibernation;

  constructor(parts: StreamManagementParts) {
    this.parts = parts;
    this.hibernation = new Hibernation(
      () => parts.settings().hibernatingSize,
      (managed) => this.displace(managed),
    );
  }

  get limits(): { readonly stanzas: number; readonly size: number } {
    const { queueStanzas, queueSize } = this.parts.settings();
    return { stanzas: queueStanzas, size: queueSize };
  }

  now(): number {
    return this.parts.clock.now();
  }

  /** The sessions that wait to be resumed. */
  *hibernating(): IterableIterator<ManagedSession> {
    for (const managed of this.byId.values()) if (managed.session.stream === undefined) yield managed;
  }

  /**
   * Switches stream management on for a bound session (3), by `<enable/>` on the stream or inside Bind 2.
   * @returns `<enabled/>` or `<failed/>`, to be written at once: what the session is sent from now on is counted
   */
  enable(session: Session, carrier: Carrier, element: Element): Element {
    const { resume, max } = element.attrs;
    if (session.outbox !== undefined) return failed('unexpected-request');
    if (!booleans.has(resume) || (max !== undefined && !unsignedInt.test(max))) return failed('bad-request');
    const { resumeTimeout, location } = this.parts.settings();
    // a guest who comes back is somebody else (XEP-0175)
    const mayResume = truths.has(resume) && resumeTimeout > 0 && session.host.settings.authentication === 'accounts';
    const id = mayResume ? `${randomBytes(15).toString('base64url')}.${this.parts.node}` : undefined;
    const wish = max === undefined || Number(max) === 0 ? resumeTimeout : Number(max) * 1000;
    const managed = new ManagedSession(session, this, { id, max: Math.min(wish, resumeTimeout) });
    managed.carrier = carrier;
    session.outbox = managed;
    this.parts.metrics.enabled.inc();
    if (id === undefined) return el('enabled', NS.sm);
    this.byId.set(id, managed);
    return el('enabled', NS.sm, {
      id,
      resume: 'true',
      max: String(Math.floor(managed.max / 1000)),
      location: location ?? undefined,
    });
  }

  /**
   * Resumes a session of the account over another connection (5), by `<resume/>` on the stream or inside SASL2.
   * @param account whom the connection is authenticated for
   * @throws StreamError when the client claims to have handled more than it was sent
   */
  async resume(carrier: Carrier, account: BareJid, element: Element): Promise<Resumption> {
    const { previd, h } = element.attrs;
    if (previd === undefined || h === undefined || !isCount(h)) return this.refuse('bad-request');
    const managed = this.byId.get(previd);
    if (managed === undefined || managed.session.jid.bare !== account) return this.forgotten(previd, account);
    // two at a time: the later one is the client's latest connection
    const before = managed.resuming;
    const attempt = (async (): Promise<Resumption> => {
      await before?.catch(() => {});
      await managed.carrier?.detach(new StreamError('conflict', 'the session goes on over another connection'));
      this.lost(managed);
      await managed.inbound.idle();
      if (managed.session.isOver) return this.forgotten(previd, account);
      if (!carrier.isOpen) return this.refuse('unexpected-request');
      return this.goOn(managed, carrier, Number(h));
    })();
    managed.resuming = attempt;
    try {
      return await attempt;
    } finally {
      // (it would keep the connection alive)
      if (managed.resuming === attempt) managed.resuming = undefined;
    }
  }

  private async goOn(managed: ManagedSession, carrier: Carrier, h: number): Promise<Resumption> {
    const { session } = managed;
    try {
      managed.acknowledge(h);
    } catch (error) {
      // nothing can be made of what is left of it
      await this.parts.sessions.close(session);
      throw error;
    }
    const attrs = { previd: managed.id ?? '', h: String(managed.inbound.h) };
    managed.carrier = carrier;
    const complete = (): boolean => {
      if (managed.carrier !== carrier || session.isOver) return false;
      if (!carrier.isOpen) {
        managed.carrier = undefined;
        return false;
      }
      managed.cancelExpiry?.();
      managed.cancelExpiry = undefined;
      this.hibernation.forget(managed);
      this.parts.sessions.resume(session, carrier, () => managed.resend());
      void this.forget(managed);
      this.parts.metrics.resumed.inc();
      this.parts.log.debug({ jid: session.jid.full, address: carrier.address }, 'session resumed');
      return true;
    };
    return { answer: el('resumed', NS.sm, attrs), resumed: { session, complete } };
  }

  private async forgotten(previd: string, account: BareJid): Promise<Resumption> {
    const old = this.remembered.get(previd);
    if (old === undefined || old.account !== account) {
      // 5: those that it was not switched off for are found, or remembered
      return this.refuse(this.parts.settings().resumeTimeout > 0 ? 'item-not-found' : 'feature-not-implemented');
    }
    await old.handled.idle();
    return this.refuse('item-not-found', old.handled.h);
  }

  private refuse(condition: Condition, h?: number): Resumption {
    this.parts.metrics.failed.inc();
    return { answer: failed(condition, h) };
  }

  /**
   * A bound session's stream brought an element of stream management.
   * @throws StreamError when the client misuses it
   */
  take(session: Session, carrier: Carrier, element: Element): void {
    const managed = session.outbox;
    if (!(managed instanceof ManagedSession)) {
      carrier.send(
        (element.name === 'enable' ? this.enable(session, carrier, element) : failed('unexpected-request')).toXml(),
      );
      return;
    }
    const { h = '' } = element.attrs;
    if (element.name === 'r') managed.inbound.ask();
    else if (element.name !== 'a') {
      carrier.send(failed('unexpected-request').toXml());
      // 3: at most one attempt
      if (element.name === 'enable') {
        throw new StreamError('policy-violation', 'stream management is enabled already');
      }
    } else if (isCount(h)) managed.acknowledge(Number(h));
    else carrier.send(failed('bad-request').toXml());
  }

  /**
   * The connection of a session is gone, and everything that came over it was handled.
   * @returns whether the session stays, to be resumed
   */
  hibernate(session: Session): boolean {
    const managed = session.outbox;
    if (!(managed instanceof ManagedSession) || managed.id === undefined || session.isOver) return false;
    this.lost(managed);
    return true;
  }

  private lost(managed: ManagedSession): void {
    const { session } = managed;
    managed.carrier = undefined;
    if (session.stream === undefined || session.isOver) return;
    managed.hibernate();
    managed.until = this.now() + managed.max;
    this.parts.sessions.hibernate(session);
    this.parts.metrics.hibernated.inc();
    this.parts.log.debug({ jid: session.jid.full, waiting: managed.queue.length }, 'session hibernates');
    this.awaitResumption(managed);
  }

  private awaitResumption(managed: ManagedSession): void {
    if (this.isStopping) return;
    this.hibernation.count(managed);
    managed.cancelExpiry?.();
    managed.cancelExpiry = this.parts.clock.after(Math.max(managed.until - this.now(), 0), () => {
      this.parts.metrics.expired.inc();
      this.parts.log.debug({ jid: managed.session.jid.full }, 'session expired');
      this.end(managed);
    });
  }

  watch(managed: ManagedSession): void {
    managed.isWatched = true;
    this.watched.push(managed);
    this.cancelWatch ??= this.parts.clock.after(PACE, () => this.lookAfter());
  }

  /** Asks where stanzas were written and nothing was said since; gives up those who do not answer. */
  private lookAfter(): void {
    this.cancelWatch = undefined;
    const before = this.watched;
    this.watched = [];
    const now = this.now();
    const { ackTimeout } = this.parts.settings();
    for (const managed of before) {
      managed.isWatched = false;
      if (managed.carrier === undefined) continue;
      managed.settleDown();
      if (managed.asked === 0) {
        if (managed.queue.length > 0) managed.ask();
      } else if (managed.carrier.isMute) {
        // it was not asked yet, or cannot answer: how long that may go on is for BOSH to say (XEP-0124 10)
        managed.asked = now;
        this.watch(managed);
      } else if (now - managed.asked >= ackTimeout) {
        this.parts.metrics.unanswered.inc();
        managed.carrier.cut('the client does not acknowledge what it is sent');
      } else this.watch(managed);
    }
  }

  grew(managed: ManagedSession): void {
    if (!this.isStopping && managed.id !== undefined && !managed.session.isOver) this.hibernation.count(managed);
  }

  private displace(managed: ManagedSession): void {
    this.parts.metrics.displaced.inc();
    this.parts.log.warn({ jid: managed.session.jid.full }, 'sessions that wait to be resumed take too much memory');
    this.end(managed);
  }

  overflow(managed: ManagedSession): void {
    if (managed.session.isOver) return;
    this.parts.metrics.overflowed.inc();
    this.parts.log.info({ jid: managed.session.jid.full }, 'too much waits to be acknowledged by a session');
    const { carrier } = managed;
    this.end(managed);
    carrier?.close(new StreamError('resource-constraint', 'too many stanzas wait to be acknowledged'));
  }

  ended(managed: ManagedSession, waiting: readonly Unacknowledged<Reach>[]): MaybePromise<void> {
    const { session, id } = managed;
    if (id !== undefined) {
      this.byId.delete(id);
      this.hibernation.forget(managed);
      this.remembered.set(id, { account: session.jid.bare, handled: managed.inbound });
    }
    if (waiting.length === 0) return this.forget(managed);
    return this.giveBack(session, waiting)
      .catch((error: unknown) => this.parts.log.error({ err: error }, 'unacknowledged stanzas could not be given back'))
      .then(() => this.forget(managed));
  }

  private async giveBack(
    session: Pick<Session, 'host' | 'jid' | 'sid'>,
    waiting: readonly Unacknowledged<Reach>[],
  ): Promise<void> {
    const { router, metrics } = this.parts;
    metrics.returned.inc(waiting.length);
    await inOrder(waiting, (entry) => router.takeBack(session.host, returned(entry, session), session.sid, entry.at));
  }

  /** Nothing more has to be kept in the store of a session that was brought back. */
  private async forget({ id, session, wasStored }: ManagedSession): Promise<void> {
    if (!wasStored || id === undefined) return;
    await this.parts
      .forget(session.host, id)
      .catch((error: unknown) => this.parts.log.warn({ err: error }, 'a stored session could not be removed'));
  }

  /**
   * The server stops: connections of sessions that can be resumed end as if the network had gone, so that their clients come
   * back. From now on nothing expires. Resolves when all that these clients had sent is handled, or after `deadline`
   * milliseconds.
   */
  async suspend(deadline: number): Promise<void> {
    this.isStopping = true;
    this.cancelWatch?.();
    const rest = [...this.byId.values()].map(async (managed) => {
      managed.cancelExpiry?.();
      const { carrier } = managed;
      if (carrier !== undefined) {
        managed.sendAck();
        await carrier.detach(undefined);
        this.lost(managed);
      }
      await managed.inbound.idle();
    });
    let cancel = (): void => {};
    const late = new Promise<void>((resolve) => {
      cancel = this.parts.clock.after(deadline, resolve);
    });
    await Promise.race([Promise.all(rest), late]);
    cancel();
  }

  /** The sessions of a host that can be resumed, as they are now. */
  save(host: Host): StoredSession[] {
    const saved: StoredSession[] = [];
    for (const managed of this.byId.values()) {
      if (managed.session.host !== host) continue;
      saved.push({ node: this.parts.node, session: managed.session.save(), stream: managed.save() });
    }
    return saved;
  }

  /**
   * Brings back a session that another process had. It waits for its client as long as it would have waited there, from
   * {@link beginExpiry} on. @throws Error when it cannot be brought back
   */
  async restore(host: Host, { session: saved, stream }: StoredSession): Promise<void> {
    const session = await this.parts.sessions.restore(host, saved);
    if (session === undefined) throw new Error(`${saved.jid} is no good, or taken`);
    const { id, max, handled, acked } = stream;
    const managed = new ManagedSession(session, this, { id, max }, { handled, acked });
    managed.restore(stream, (reach) => this.parts.router.delivery.adopt(reach));
    session.outbox = managed;
    this.byId.set(id, managed);
    managed.until = this.now() + stream.left;
    managed.wasStored = true;
  }

  /** All sessions are back: what one of them gives up others may have. */
  beginExpiry(): void {
    for (const managed of [...this.hibernating()]) this.awaitResumption(managed);
  }

  /** Gives back what waited for a session that cannot be brought back. */
  async giveBackStored(host: Host, { session, stream }: StoredSession): Promise<void> {
    const jid = Jid.parse(session.jid);
    if (jid === undefined) return;
    const { delivery } = this.parts.router;
    const waiting = stream.waiting.map(({ xml, at, had }) => ({
      xml,
      at,
      isFlat: true,
      reach: had && delivery.adopt(had),
    }));
    await this.giveBack({ host, jid, sid: session.sid }, waiting);
  }

  private end(managed: ManagedSession): void {
    this.parts.sessions
      .close(managed.session)
      .catch((error: unknown) => this.parts.log.error({ err: error }, 'a session could not be closed'));
  }
}

/** 6: with one of the conditions of stanzas. */
export function failed(condition: Condition, h?: number): Element {
  return el('failed', NS.sm, { h: h === undefined ? undefined : String(h) }, el(condition, NS.stanzas));
}

function isCount(h: string): boolean {
  return unsignedInt.test(h) && Number(h) < 2 ** 32;
}
