// Sessions: bound resources (RFC 6120 7). A session outlives its stream while it can be resumed.
import { randomBytes } from 'node:crypto';
import type { Clock } from '../base/clock.ts';
import { andThen, isPromise, type MaybePromise } from '../base/maybe.ts';
import type { Cluster, NodeId, SessionEntry } from '../cluster/cluster.ts';
import { parseElement } from '../xml/document.ts';
import { StreamError } from '../xmpp/errors.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { type Presence, type Stanza, stanzaOf } from '../xmpp/stanza.ts';
import { Closings, replaced } from './closings.ts';
import {
  sessionBeginning,
  sessionBound,
  sessionClosed,
  sessionHibernating,
  sessionOut,
  sessionPresence,
  sessionResumed,
} from './events.ts';
import { isOver } from './hooks.ts';
import type { Host } from './host.ts';
import { Moves } from './moves.ts';
import type { Outbox } from './outbox.ts';

/** How a slot's value is written down, as JSON, where a session outlives its process. */
export interface Keeping<T> {
  save(value: T): unknown;
  restore(saved: never): T;
}

/**
 * A module's typed mark on a session. A shared one is copied into the cluster's directory. Shared ones, and those with a
 * `kept`, go where the session goes: to the next process, to another node. The others are forgotten then.
 */
export interface Slot<T> {
  readonly name: string;
  readonly shared: boolean;
  readonly kept: Keeping<T> | undefined;
  readonly __type?: (value: T) => void;
}
/** A slot whose type no longer matters. */
interface AnySlot {
  readonly name: string;
  readonly kept: { save(value: never): unknown } | undefined;
}

export function defineSlot<T>(name: string, options?: { readonly kept: Keeping<T> }): Slot<T>;
export function defineSlot<T extends string | number | boolean>(
  name: string,
  options: { readonly shared: true },
): Slot<T>;
export function defineSlot<T>(
  name: string,
  options: { readonly shared?: boolean; readonly kept?: Keeping<T> } = {},
): Slot<T> {
  return { name, shared: options.shared ?? false, kept: options.kept };
}

/** The way out to a client, as a session sees it. */
export interface SessionStream {
  /** The client's network address. */
  readonly address: string;
  /** How the client is connected, in a word: `TLSv1.3`, `plain`. */
  readonly transport: string;
  /** What was sent and is not on its way yet, because the client reads more slowly than that; 0 once the stream has ended. */
  readonly queuedBytes: number;
  send(xml: string): void;
  close(error?: StreamError): void;
}

/** A session, written down as JSON. */
export interface SavedSession {
  readonly jid: string;
  readonly sid: string;
  readonly since: number;
  readonly presence?: string;
  readonly priority: number;
  readonly shared: Readonly<Record<string, string | number | boolean>>;
  readonly slots: Readonly<Record<string, unknown>>;
}

/** Who looks after a session. */
interface Owner {
  readonly node: NodeId;
  changed(session: Session): MaybePromise<unknown>;
  close(session: Session): Promise<void>;
}

const nothingShared: Readonly<Record<string, string | number | boolean>> = Object.freeze({});

/** A bound resource. It is its own entry in the directory of the node that holds it. */
export class Session implements SessionEntry {
  readonly jid: Jid;
  readonly host: Host;
  /** The session's for life; ends in the name of the node where it was born (see moves.ts). */
  readonly sid: string;
  /** When it was bound, in milliseconds since 1970. */
  readonly since: number;
  /** Undefined while the session waits to be resumed, and when it is over. */
  stream: SessionStream | undefined;
  /** Present once the client has asked for stream management. */
  outbox: Outbox | undefined;
  /** It is out of the directory, for good; or has gone to another node. */
  isOver = false;
  shared: Readonly<Record<string, string | number | boolean>> = nothingShared;
  private current: Presence | undefined;
  private rank = 0;
  private slots: Map<AnySlot, unknown> | undefined;
  /** What slots held in another process; each is read when it is asked for. */
  private saved: Record<string, unknown> | undefined;
  private readonly owner: Owner;

  constructor(jid: Jid, host: Host, owner: Owner, since: number, stream?: SessionStream, sid?: string) {
    this.jid = jid;
    this.host = host;
    this.owner = owner;
    this.sid = sid ?? `${randomBytes(9).toString('base64url')}.${owner.node}`;
    this.stream = stream;
    this.since = since;
    this.outbox = undefined;
  }

  get node(): NodeId {
    return this.owner.node;
  }

  /** The last available presence that was broadcast; undefined while the resource is only connected. */
  get presence(): Presence | undefined {
    return this.current;
  }

  get available(): boolean {
    return this.current !== undefined;
  }

  /** RFC 6121 4.7.2.3; 0 while unavailable. */
  get priority(): number {
    return this.rank;
  }

  /** Takes an available presence, or undefined for none; tells the directory, then the modules. */
  setPresence(presence: Presence | undefined, priority: number): MaybePromise<void> {
    const was = this.current;
    const wasPriority = this.rank;
    const isSameForOthers = this.available === (presence !== undefined) && this.rank === priority;
    this.current = presence;
    this.rank = priority;
    const told = isSameForOthers ? undefined : this.owner.changed(this);
    return andThen(told, () => this.host.notify(sessionPresence, { session: this, was, wasPriority }));
  }

  get<T>(slot: Slot<T>): T | undefined {
    if (slot.shared) return this.shared[slot.name] as T | undefined;
    if (this.saved?.[slot.name] !== undefined && slot.kept !== undefined) {
      const value = slot.kept.restore(this.saved[slot.name] as never);
      delete this.saved[slot.name];
      this.put(slot, value);
    }
    return this.slots?.get(slot) as T | undefined;
  }

  set<T>(slot: Slot<T>, value: T | undefined): MaybePromise<void> {
    if (!slot.shared) {
      if (this.saved !== undefined) delete this.saved[slot.name];
      this.put(slot, value);
      return;
    }
    this.carry(slot, value);
    return andThen(this.owner.changed(this), () => {});
  }

  /** Sets a shared slot that the directory may hear of with the next change, as of a session that is about to become available. */
  carry<T>(slot: Slot<T>, value: T | undefined): void {
    const shared = { ...this.shared };
    if (value === undefined) delete shared[slot.name];
    else shared[slot.name] = value as string | number | boolean;
    this.shared = shared;
  }

  private put<T>(slot: Slot<T>, value: T | undefined): void {
    if (value === undefined) this.slots?.delete(slot);
    else {
      this.slots ??= new Map();
      this.slots.set(slot, value);
    }
  }

  /** All that another process needs to go on with this session. */
  save(): SavedSession {
    const slots: Record<string, unknown> = { ...this.saved };
    for (const [slot, value] of this.slots ?? []) {
      if (slot.kept !== undefined) slots[slot.name] = slot.kept.save(value as never);
    }
    return {
      jid: this.jid.full,
      sid: this.sid,
      since: this.since,
      ...(this.current === undefined ? {} : { presence: this.current.el.toXml() }),
      priority: this.rank,
      shared: this.shared,
      slots,
    };
  }

  /** Takes over what {@link save} wrote, for a session that nobody knows of yet. */
  restore({ presence, priority, shared, slots }: SavedSession): void {
    this.current =
      presence === undefined
        ? undefined
        : (stanzaOf(parseElement(presence), this.jid, this.jid.withResource('')) as Presence);
    this.rank = priority;
    this.shared = shared;
    this.saved = { ...slots };
  }

  /** Writes a stanza whose delivery is decided. Nothing to wait for: the transport has its own limits. */
  deliver(stanza: Stanza): void {
    if (this.host.listens(sessionOut)) {
      const verdict = this.host.gate(sessionOut, { session: this, stanza });
      if (isPromise(verdict)) throw new Error('a handler of session-out must not wait');
      if (verdict !== undefined) return;
    }
    this.write(stanza);
  }

  /** Writes a stanza past everything that looks at it: what was held back, or is the server's own affair. */
  write(stanza: Stanza): void {
    if (this.outbox === undefined) this.stream?.send(stanza.el.toXml());
    else this.outbox.write(stanza);
  }

  /** Ends the session from the server's side; the stream, where there is one, tells the client why. */
  close(error?: StreamError): void {
    if (this.stream !== undefined) this.stream.close(error);
    else {
      this.owner
        .close(this)
        .catch((failure: unknown) => this.host.log.error({ err: failure }, 'a session could not be closed'));
    }
  }
}

/** What to do when a resource is asked for that is taken (RFC 6120 7.7.2.2). */
export type ConflictPolicy = 'replace' | 'refuse' | 'rename';

/** The sessions of this node, of all hosts. */
export class Sessions {
  readonly moves: Moves;
  readonly closings: Closings;
  private readonly byFull = new Map<string, Session>();
  private readonly byBare = new Map<BareJid, Session[]>();
  private readonly cluster: Cluster;
  private readonly clock: Clock;
  private readonly owner: Owner;

  constructor(cluster: Cluster, clock: Clock) {
    this.cluster = cluster;
    this.moves = new Moves(cluster);
    this.clock = clock;
    const end = this.endHere.bind(this);
    this.closings = new Closings(cluster, clock, this.moves, end, (user) => this.endWaiting(user));
    this.owner = {
      get node() {
        return cluster.self;
      },
      changed: (session) => this.announce(session),
      close: (session) => this.close(session),
    };
    cluster.onExpelled(() => this.lose());
    cluster.onDisplaced(({ jid, sid }) => this.displace(jid, sid));
  }

  get count(): number {
    return this.byFull.size;
  }

  /** By full JID, as it is written after preparation. */
  get(full: string): Session | undefined {
    return this.byFull.get(full);
  }

  /** The sessions of an account on this node, in the order of binding. */
  ofAccount(user: BareJid): readonly Session[] {
    return this.byBare.get(user) ?? [];
  }

  all(): IterableIterator<Session> {
    return this.byFull.values();
  }

  /**
   * Binds a resource. Whoever holds the same full JID is closed with `conflict` when the policy is `replace`; under
   * `refuse` undefined is returned, under `rename` the new session gets a resource of its own.
   * @param prepare is given the session before anybody knows of it
   * @throws StorageUnavailable where what modules have to know of its account cannot be read
   */
  async bind(
    host: Host,
    wanted: Jid,
    stream: SessionStream,
    policy: ConflictPolicy,
    prepare?: (session: Session) => void,
  ): Promise<Session | undefined> {
    let jid = wanted;
    if (policy !== 'replace') {
      const entries = await this.cluster.directory.sessions(wanted.bare);
      const taken = this.byFull.has(wanted.full) || entries.some(({ jid: { full } }) => full === wanted.full);
      if (taken && policy === 'refuse') return undefined;
      if (taken) jid = wanted.withResource(`${wanted.resource}-${randomBytes(6).toString('base64url')}`);
    }
    const session = new Session(jid, host, this.owner, this.clock.now(), stream);
    prepare?.(session);
    isOver(await host.gate(sessionBeginning, { session }));
    // somebody else may have come meanwhile
    if (policy !== 'replace' && this.byFull.has(jid.full)) return this.bind(host, wanted, stream, policy, prepare);
    // while one goes, the next may come
    for (let local = this.byFull.get(jid.full); local !== undefined; local = this.byFull.get(jid.full)) {
      await this.end(local, replaced());
    }
    this.add(session);
    const other = await this.publish(session);
    if (other !== undefined && other.node !== this.cluster.self) await this.closings.replace(other, host);
    host.notify(sessionBound, { session });
    return session;
  }

  /** Ends a session for good: out of the directory first, then the modules are told, then its outbox is emptied. */
  async close(session: Session): Promise<void> {
    if (this.byFull.get(session.jid.full) !== session) return;
    this.setAside(session);
    await this.cluster.directory.drop(session.jid, session.sid);
    session.host.notify(sessionClosed, { session, isOrphan: false });
    session.stream = undefined;
    await session.outbox?.giveBack();
  }

  /**
   * The other nodes have gone on without this one: its sessions are out of the directory, and their contacts know. Clients have to
   * begin anew, because what happened meanwhile went past them; what they had not acknowledged goes by the rules.
   */
  private lose(): void {
    for (const session of [...this.byFull.values()]) {
      this.setAside(session);
      // whoever came under its name since is not to look unavailable
      const told = session.setPresence(undefined, 0);
      session.stream?.close(new StreamError('reset', 'this server was cut off from the others'));
      session.host.notify(sessionClosed, { session, isOrphan: true });
      session.stream = undefined;
      Promise.all([told, session.outbox?.giveBack()]).catch((error: unknown) =>
        session.host.log.error({ err: error }, 'what a lost session had not acknowledged could not be given back'),
      );
    }
  }

  /** A session has lost its stream, and stays: in the directory, with its presence. */
  hibernate(session: Session): void {
    if (session.isOver || session.stream === undefined) return;
    session.stream = undefined;
    session.host.notify(sessionHibernating, { session });
  }

  /** Gives a stream to a session that has none; `catchUp` writes to it what the client missed. */
  resume(session: Session, stream: SessionStream, catchUp: () => void): void {
    session.stream = stream;
    catchUp();
    session.host.notify(sessionResumed, { session });
  }

  /**
   * Takes over a session of another process, or node, without a stream: from here on it is this node's in the directory, and the
   * same one. Undefined when its address is no good, or another session has it.
   * @param prepare is given the session before anybody knows of it
   */
  async restore(host: Host, saved: SavedSession, prepare?: (session: Session) => void): Promise<Session | undefined> {
    const jid = Jid.parse(saved.jid);
    if (jid === undefined) return undefined;
    const session = new Session(jid, host, this.owner, saved.since, undefined, saved.sid);
    session.restore(saved);
    isOver(await host.gate(sessionBeginning, { session }));
    const entries = await this.cluster.directory.sessions(jid.bare, true);
    const isTaken = entries.some((entry) => entry.jid.full === jid.full && entry.sid !== saved.sid);
    if (isTaken || this.byFull.has(jid.full)) return undefined;
    prepare?.(session);
    this.add(session);
    await this.claim(session, this.publish(session));
    this.moves.arrived([session.sid]);
    return session;
  }

  /** A session that was about to leave stays, and is this node's again in the directory; or, where that throws, at least stays. */
  async keep(session: Session): Promise<void> {
    if (this.byFull.get(session.jid.full) !== session) return;
    this.cluster.directory.release(session.jid, session.sid);
    await this.claim(session, this.cluster.directory.put(session));
  }

  /** A session has gone to another node, whose entry in the directory it is: it is not over, only not here any more. */
  depart(session: Session, to: NodeId): void {
    this.setAside(session);
    this.cluster.directory.release(session.jid, session.sid);
    this.moves.left(session.sid, to);
  }

  /** A session is about to wait for its client where no node has it: what comes for it is not taken here any more. */
  setAside(session: Session): void {
    session.isOver = true;
    this.remove(session);
  }

  /** A session that was taken over was over already: nobody has to be told. */
  async discard(session: Session): Promise<void> {
    if (this.byFull.get(session.jid.full) !== session) return;
    this.setAside(session);
    await this.cluster.directory.drop(session.jid, session.sid);
    await session.outbox?.giveBack();
  }

  /** Makes the directory say that a session is here. */
  private async claim({ host }: Session, put: MaybePromise<SessionEntry | undefined>): Promise<void> {
    const other = await put;
    if (other !== undefined) await this.closings.replace(other, host);
  }

  private async end(session: Session, error: StreamError): Promise<void> {
    // nothing that comes over it is handled any more
    session.isOver = true;
    session.stream?.close(error);
    await this.close(session);
  }

  private async endHere(full: string, sid: string, error: StreamError): Promise<boolean> {
    const session = this.byFull.get(full);
    if (session === undefined || session.sid !== sid) return false;
    await this.end(session, error);
    return true;
  }

  /** Ends the session of an account that was bound first of those that wait for their clients. */
  private async endWaiting(user: BareJid): Promise<boolean> {
    const session = this.ofAccount(user).find(({ stream }) => stream === undefined);
    if (session !== undefined) await this.close(session);
    return session !== undefined;
  }

  private displace({ full }: Jid, sid: string): void {
    const session = this.byFull.get(full);
    this.endHere(full, sid, replaced()).catch((error: unknown) =>
      session?.host.log.error({ err: error }, 'a session could not be closed'),
    );
  }

  /** Puts a new session into the directory; where that is not possible there is none. */
  private async publish(session: Session): Promise<SessionEntry | undefined> {
    try {
      return await this.cluster.directory.put(session);
    } catch (error) {
      this.setAside(session);
      throw error;
    }
  }

  private announce(session: Session): MaybePromise<unknown> {
    return this.byFull.get(session.jid.full) === session ? this.cluster.directory.put(session) : undefined;
  }

  private add(session: Session): void {
    this.byFull.set(session.jid.full, session);
    const siblings = this.byBare.get(session.jid.bare);
    if (siblings === undefined) this.byBare.set(session.jid.bare, [session]);
    else siblings.push(session);
  }

  private remove(session: Session): void {
    this.byFull.delete(session.jid.full);
    const rest = this.ofAccount(session.jid.bare).filter((one) => one !== session);
    if (rest.length === 0) this.byBare.delete(session.jid.bare);
    else this.byBare.set(session.jid.bare, rest);
  }
}
