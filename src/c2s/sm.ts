// XEP-0198: Stream Management. Acknowledgements both ways, and sessions that outlive their connection.
//
// What a client sent counts as handled when it was handled and is on disk: an acknowledgement waits for the latter
// (transit.settle), delivery does not. What was sent to a client is kept until it is acknowledged; when the session ends
// before that, it goes back through the rules of delivery.
//
// Not done, of what it allows: stream management between servers (1).
import { randomBytes } from 'node:crypto';
import { LruCache } from '../base/lru.ts';
import { inOrder, type MaybePromise } from '../base/maybe.ts';
import type { AccountDelivery } from '../core/account.ts';
import type { Host } from '../core/host.ts';
import { nodeIn } from '../core/moves.ts';
import type { Session } from '../core/sessions.ts';
import { type Element, el } from '../xml/element.ts';
import { type Condition, StreamError } from '../xmpp/errors.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import type { HandledCounter, Unacknowledged } from '../xmpp/sm-counters.ts';
import type { Reach } from '../xmpp/stanza.ts';
import { Hibernation } from './hibernation.ts';
import { Arrivals } from './sm-arrivals.ts';
import { Departures, type LeftBehind } from './sm-departures.ts';
import { failed, isCount, isUnsignedInt } from './sm-elements.ts';
import type { StreamManagementParts } from './sm-parts.ts';
import { type Carrier, type Keeper, ManagedSession, returned, type SavedStream } from './sm-session.ts';
import type { SessionState } from './sm-store.ts';
import { Watch } from './sm-watch.ts';

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

const truths: ReadonlySet<string | undefined> = new Set(['true', '1']);
const booleans: ReadonlySet<string | undefined> = new Set(['true', '1', 'false', '0', undefined]);

export class StreamManagement implements Keeper {
  private readonly parts: StreamManagementParts;
  private readonly byId = new Map<string, ManagedSession>();
  private readonly remembered = new LruCache<string, { readonly account: BareJid; readonly handled: HandledCounter }>(
    REMEMBERED,
  );
  private readonly watched: Watch;
  private isStopping = false;
  /** Whether sessions may come from nodes that want to be rid of them; not where this one wants that, too. */
  isWelcoming = true;
  private unsettled: readonly LeftBehind[] = [];
  private readonly hibernation: Hibernation;
  private readonly departures: Departures;
  private readonly arrivals: Arrivals;

  constructor(parts: StreamManagementParts) {
    this.parts = parts;
    const { cluster, hosts, sessions, router, clock, log } = parts;
    this.watched = new Watch(clock, () => parts.settings().ackTimeout, parts.metrics.unanswered);
    const find = (id: string): ManagedSession | undefined => this.byId.get(id);
    const giveBack = (host: Host, state: SessionState): Promise<void> => this.giveBackStored(host, state);
    this.departures = new Departures({
      cluster,
      sessions,
      router,
      clock,
      log,
      find,
      giveBack,
      handledOf: (id, account) => this.handledOf(id, account),
      arrival: (id) => this.arrivals.of(id),
      lost: (managed) => this.lost(managed),
      release: (managed) => this.release(managed),
      forget: (managed) => this.forget(managed),
      end: (managed) => this.end(managed),
    });
    const admit = (session: Session, stream: SavedStream): ManagedSession => this.arrived(session, stream);
    const mayAdopt = (): boolean => this.isWelcoming && this.hibernation.hasRoom;
    this.arrivals = new Arrivals({ cluster, hosts, sessions, router, log, mayAdopt, find, giveBack, admit });
    this.hibernation = new Hibernation(
      () => parts.settings().hibernatingSize,
      (managed) => this.displace(managed),
    );
  }

  get limits(): { readonly stanzas: number; readonly size: number } {
    const { queueStanzas, queueSize } = this.parts.settings();
    return { stanzas: queueStanzas, size: queueSize };
  }

  get delivery(): AccountDelivery {
    return this.parts.router.delivery;
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
    if (!booleans.has(resume) || (max !== undefined && !isUnsignedInt(max))) return failed('bad-request');
    const { resumeTimeout, location } = this.parts.settings();
    // a guest who comes back is somebody else (XEP-0175)
    const mayResume = truths.has(resume) && resumeTimeout > 0 && session.host.settings.authentication === 'accounts';
    const id = mayResume ? `${randomBytes(15).toString('base64url')}.${this.parts.cluster.self}` : undefined;
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
    if (managed === undefined) return this.resumeFromElsewhere(carrier, account, element, previd);
    if (managed.session.jid.bare !== account) return this.forgotten(previd, account);
    // two at a time: the later one is the client's latest connection
    const before = managed.resuming;
    const attempt = (async (): Promise<Resumption | undefined> => {
      await before?.catch(() => {});
      // it may have gone to another node
      if (this.byId.get(previd) !== managed && managed.hasLeft) return undefined;
      await managed.carrier?.detach(new StreamError('conflict', 'the session goes on over another connection'));
      this.lost(managed);
      await managed.inbound.idle();
      if (managed.session.isOver) return this.forgotten(previd, account);
      if (!carrier.isOpen) return this.refuse('unexpected-request');
      return this.goOn(managed, carrier, Number(h));
    })();
    managed.resuming = attempt;
    try {
      return (await attempt) ?? (await this.resumeFromElsewhere(carrier, account, element, previd));
    } finally {
      // (it would keep the connection alive)
      if (managed.resuming === attempt) managed.resuming = undefined;
    }
  }

  /** The session is on another node, or in the store, or nowhere. */
  private async resumeFromElsewhere(
    carrier: Carrier,
    account: BareJid,
    element: Element,
    id: string,
  ): Promise<Resumption> {
    const { cluster } = this.parts;
    const { h } = cluster.nodes.size > 1 ? await this.arrivals.bring(id, account) : {};
    if (!this.byId.has(id) && nodeIn(id) !== cluster.self) await this.bringFromStore(id, account);
    if (this.byId.has(id)) return this.resume(carrier, account, element);
    return h === undefined ? this.forgotten(id, account) : this.refuse('item-not-found', h);
  }

  /** A node that was the last one has left it there, while this one started. */
  private async bringFromStore(id: string, account: BareJid): Promise<void> {
    const { hosts, log, claim } = this.parts;
    const jid = Jid.parse(account);
    const host = hosts.get(jid?.domain ?? '');
    if (jid === undefined || host === undefined) return;
    try {
      await claim(host, jid.local, id, {
        restore: async (state) => this.awaitResumption(await this.restore(host, state)),
        giveBack: (state) => this.giveBackStored(host, state),
      });
    } catch (error) {
      log.warn({ err: error }, 'a stored session could not be looked for');
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
    const h = await this.handledOf(previd, account);
    // 5: those that it was not switched off for are found, or remembered
    if (h === undefined && this.parts.settings().resumeTimeout === 0) return this.refuse('feature-not-implemented');
    return this.refuse('item-not-found', h);
  }

  /** What was handled of a session that is over; once that is certain. */
  private async handledOf(id: string, account: string): Promise<number | undefined> {
    const old = this.remembered.get(id);
    if (old === undefined || old.account !== account) return undefined;
    await old.handled.idle();
    return old.handled.h;
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
    this.watched.add(managed);
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
    const { session } = managed;
    this.drop(managed);
    if (waiting.length === 0) return this.forget(managed);
    return this.giveBack(session, waiting)
      .catch((error: unknown) => this.parts.log.error({ err: error }, 'unacknowledged stanzas could not be given back'))
      .then(() => this.forget(managed));
  }

  private drop(managed: ManagedSession): void {
    const { id, session, inbound } = managed;
    if (id === undefined) return;
    this.byId.delete(id);
    this.hibernation.forget(managed);
    this.departures.over(id);
    this.remembered.set(id, { account: session.jid.bare, handled: inbound });
  }

  private release(managed: ManagedSession): void {
    managed.leave();
    this.drop(managed);
    this.parts.metrics.departed.inc();
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
   * back. From now on nothing expires, and no session comes from elsewhere. Resolves when all that these clients had sent is
   * handled, or after `deadline` milliseconds.
   */
  async suspend(deadline: number): Promise<void> {
    this.isStopping = true;
    this.watched.stop();
    const arrived = this.arrivals.close();
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
    await Promise.race([Promise.all([arrived, ...rest]), late]);
    cancel();
  }

  /**
   * From now on no session goes elsewhere, nor takes anything: what {@link save} says holds, until {@link stored} is called.
   * @param deadline how long those that are just going may take, in milliseconds
   */
  async settle(deadline: number): Promise<void> {
    this.unsettled = await this.departures.close(deadline);
    for (const { session } of this.byId.values()) this.parts.sessions.setAside(session);
  }

  /** The sessions of a host are in the store. No node has them: they are not found, and nobody is told that they have gone. */
  async withdraw(host: Host): Promise<void> {
    const ours = [...this.resumable()].filter((session) => session.host === host);
    await Promise.all(ours.map(({ jid, sid }) => this.parts.cluster.directory.drop(jid, sid)));
  }

  /** What was saved is in the store, for whoever asks for it. */
  stored(): void {
    this.departures.stored();
  }

  /**
   * Takes all sessions that can be resumed to other nodes; their clients come back, and go on wherever they arrive. Returns how many
   * have gone, and how many are here still after `deadline` milliseconds, or for want of other nodes.
   * @param goesOn whether that is still wanted
   */
  handOver(deadline: number, goesOn: () => boolean): Promise<{ readonly moved: number; readonly left: number }> {
    return this.departures.handOver([...this.byId.values()], deadline, goesOn);
  }

  /** Those that can be resumed, connected or not. */
  *resumable(): IterableIterator<Session> {
    for (const { session } of this.byId.values()) yield session;
  }

  /** The sessions of a host that can be resumed, as they are now. */
  save(host: Host): SessionState[] {
    const saved: SessionState[] = [];
    for (const managed of this.byId.values()) {
      if (managed.session.host === host) saved.push({ session: managed.session.save(), stream: managed.save() });
    }
    for (const left of this.unsettled) if (left.host === host) saved.push(left.state);
    return saved;
  }

  /**
   * Brings back a session that another process had. It waits for its client as long as it would have waited there, from
   * {@link beginExpiry} on. @throws Error when it cannot be brought back
   */
  async restore(host: Host, { session: saved, stream }: SessionState): Promise<ManagedSession> {
    const session = await this.parts.sessions.restore(host, saved);
    if (session === undefined) throw new Error(`${saved.jid} is no good, or taken`);
    const managed = this.manage(session, stream);
    managed.wasStored = true;
    return managed;
  }

  /** A session of another node goes on here. */
  private arrived(session: Session, stream: SavedStream): ManagedSession {
    const managed = this.manage(session, stream);
    this.parts.metrics.arrived.inc();
    this.awaitResumption(managed);
    return managed;
  }

  private manage(session: Session, stream: SavedStream): ManagedSession {
    const { id, max, handled, acked } = stream;
    const managed = new ManagedSession(session, this, { id, max }, { handled, acked });
    managed.restore(stream, (reach) => this.delivery.adopt(reach));
    session.outbox = managed;
    this.byId.set(id, managed);
    managed.until = this.now() + stream.left;
    return managed;
  }

  /** All sessions are back: what one of them gives up others may have. */
  beginExpiry(): void {
    for (const managed of [...this.hibernating()]) this.awaitResumption(managed);
  }

  /** Gives back what waited for a session that cannot be brought back. */
  async giveBackStored(host: Host, { session, stream }: SessionState): Promise<void> {
    const jid = Jid.parse(session.jid);
    if (jid === undefined) return;
    const waiting = stream.waiting.map(({ xml, at, had }) => ({
      xml,
      at,
      isFlat: true,
      reach: had && this.delivery.adopt(had),
    }));
    await this.giveBack({ host, jid, sid: session.sid }, waiting);
  }

  private end(managed: ManagedSession): void {
    this.parts.sessions
      .close(managed.session)
      .catch((error: unknown) => this.parts.log.error({ err: error }, 'a session could not be closed'));
  }
}
