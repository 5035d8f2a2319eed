// Multicast: one stanza to many sessions, written once. What a room says goes this way: past the rules for accounts (RFC 6121 8.5),
// which have nothing to decide where every address is a full one, and past the gates of the readers' hosts; `sessionOut` sees it.

import { LruCache } from '../base/lru.ts';
import { andThen, isPromise, type MaybePromise } from '../base/maybe.ts';
import { Slices } from '../base/slices.ts';
import { Turns } from '../base/turns.ts';
import type { Cluster, NodeId, SessionEntry, SessionFrame } from '../cluster/cluster.ts';
import type { Element } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { BareJid, Jid } from '../xmpp/jid.ts';
import { type Stanza, stanzaOf } from '../xmpp/stanza.ts';
import { Elsewhere, placeOf } from './elsewhere.ts';
import type { Host } from './host.ts';
import { Session, type Sessions } from './sessions.ts';
import { whereabouts } from './whereabouts.ts';

/**
 * Readers that one turn of the event loop is for, so that it ends within some ten milliseconds. Writing to their sockets is none of it:
 * that is put off, and what several messages bring goes out at once, where they are given to a reader before its turn comes.
 */
const MOST_AT_ONCE = 10_000;
/** Between two looks for a reader whom nobody can be asked for, in milliseconds. */
const PAUSE_MIN = 100;
const PAUSE_MAX = 1000;
/** So many speakers with leases are remembered. */
const REMEMBERED = 20_000;

export interface MulticastParts {
  readonly hosts: ReadonlyMap<string, Host>;
  readonly sessions: Sessions;
  readonly cluster: Cluster;
  /** Sends a stanza to a domain that is not served here. @throws StanzaError */
  abroad(stanza: Stanza, host: Host): MaybePromise<void>;
  /** Deals with what that node cannot be given. */
  undelivered(frame: SessionFrame, node: NodeId): MaybePromise<void>;
  /** Tells whoever spoke, `to`, that `from` did not get it. */
  refuse(element: Element, from: Jid, to: Jid, error: unknown): MaybePromise<void>;
}

export class Multicast {
  private readonly parts: MulticastParts;
  private readonly slices = new Slices(MOST_AT_ONCE);
  /** What one room says stays in its order. */
  private readonly turns = new Turns<BareJid>();
  /** Readers, by full JID, who are not found while the directory is in doubt: what is for them waits, and for nobody else. */
  readonly absent = new Turns<string>();
  /** The latest lease by which each has spoken, as far as this node has heard. */
  private readonly leases = new LruCache<BareJid, number>(REMEMBERED);

  constructor(parts: MulticastParts) {
    this.parts = parts;
  }

  /**
   * Sends one element, which has no `to`, to many full JIDs. Whoever cannot be reached is answered for by an error, a little later.
   * @param from whom it is from; what is from one bare JID arrives in order
   * @param lease the token of the lease by which it is said
   * @returns when the inboxes of other nodes have it. Never rejects.
   */
  send(element: Element, from: Jid, to: readonly Jid[], host: Host, lease = 0): MaybePromise<void> {
    if (to.length === 0 || !this.mayBeHeard(from.bare, lease)) return;
    const round = new Round(stanzaOf(element, from, to[0]!), host, lease, this.parts, this);
    // (it may have to wait, and those in the room come and go)
    const readers = to.slice();
    const given = this.inTurn(
      from.bare,
      readers,
      (piece) => round.give(piece),
      () => round.finish(),
    );
    return andThen(given, () => round.settled);
  }

  /**
   * Whether what is said under a lease may be heard after all that was heard: not where its speaker has lost that lease, and another
   * node has spoken instead. What a node that was cut off had to say arrives when it is back.
   */
  mayBeHeard(speaker: BareJid, lease: number): boolean {
    if (lease === 0) return true;
    const latest = this.leases.get(speaker) ?? 0;
    if (lease > latest) this.leases.set(speaker, lease);
    return lease >= latest;
  }

  /** Goes through the readers of what one room says, in the order in which it says things, and not too many at once. */
  inTurn<T>(
    room: BareJid,
    readers: readonly T[],
    step: (piece: readonly T[]) => MaybePromise<void>,
    end?: () => void,
  ): MaybePromise<void> {
    return this.turns.run(room, () => {
      const done = this.slices.run(readers, step);
      return end === undefined ? done : andThen(done, end);
    });
  }
}

/** One stanza on its way to all of its readers. */
class Round {
  private readonly stanza: Stanza;
  private readonly host: Host;
  private readonly lease: number;
  private readonly parts: MulticastParts;
  private readonly multicast: Multicast;
  private elsewhere: Elsewhere | undefined;
  private missing: [reader: Jid, error: unknown][] | undefined;
  private work: Promise<unknown>[] | undefined;

  constructor(stanza: Stanza, host: Host, lease: number, parts: MulticastParts, multicast: Multicast) {
    this.stanza = stanza;
    this.multicast = multicast;
    this.host = host;
    this.lease = lease;
    this.parts = parts;
  }

  /** Undefined where there is nothing to wait for. */
  get settled(): MaybePromise<void> {
    return this.work === undefined ? undefined : Promise.all(this.work).then(nothing);
  }

  /** @returns when it is known where all of them are. */
  give(readers: readonly Jid[]): MaybePromise<void> {
    const { sessions } = this.parts;
    const { absent } = this.multicast;
    let asking: Promise<void>[] | undefined;
    for (const reader of readers) {
      if (!absent.isIdle && absent.has(reader.full)) {
        this.await(reader);
        continue;
      }
      const session = sessions.get(reader.full);
      if (session !== undefined) {
        session.deliver(readdressed(this.stanza, session.jid));
        continue;
      }
      const asked = this.find(reader);
      if (!isPromise(asked)) continue;
      asking ??= [];
      asking.push(asked);
    }
    if (asking !== undefined) return Promise.all(asking).then(nothing);
  }

  private find(reader: Jid): MaybePromise<void> {
    const host = this.parts.hosts.get(reader.domain);
    if (host === undefined) {
      this.abroad(reader);
      return;
    }
    const entries = this.parts.cluster.directory.sessions(reader.bare);
    if (!isPromise(entries)) return this.place(reader, entries.find(isOf(reader)));
    return entries.then(
      (found) => this.place(reader, found.find(isOf(reader))),
      () => (this.lease === 0 ? this.miss(reader, unknown()) : this.await(reader)),
    );
  }

  /** Nobody has the reader, and that may be wrong; or nobody can tell. What it is sent from now on waits, too. */
  private await(reader: Jid): void {
    const { absent } = this.multicast;
    const given = absent.run(reader.full, () => this.giveLate(reader));
    this.waitFor(Promise.resolve(given).catch((error: unknown) => this.refuse(reader, error)));
  }

  /** @throws StanzaError where there is no such reader, or nobody can tell */
  private async giveLate(reader: Jid): Promise<void> {
    const { stanza, lease, multicast, parts } = this;
    const { sessions, cluster } = parts;
    const entry = await this.look(reader);
    if (!multicast.mayBeHeard(stanza.from.bare, lease)) return;
    const place = entry && placeOf(entry, sessions, cluster.self);
    if (entry === undefined || place === undefined) throw unavailable();
    if (place instanceof Session) place.deliver(readdressed(stanza, place.jid));
    else {
      const one = new Elsewhere();
      one.add(place, { jid: reader.full, sid: entry.sid });
      await this.pass(one);
    }
  }

  /**
   * Where a reader is for certain. What has one owner is acknowledged when it is with its readers, or on its way: where nobody can be asked
   * for them that waits, and is not much, since an owner without Redis soon stops to act. Anything else is given up.
   * @throws StanzaError then
   */
  private async look(reader: Jid): Promise<SessionEntry | undefined> {
    const { stanza, lease, multicast, parts } = this;
    for (let pause = PAUSE_MIN; ; pause = Math.min(2 * pause, PAUSE_MAX)) {
      try {
        return await whereabouts(parts.cluster, reader.bare, isOf(reader));
      } catch {
        if (lease === 0) throw unknown();
      }
      // (by the real clock: the pause spares Redis)
      await new Promise<void>((resolve) => void setTimeout(resolve, pause).unref());
      if (!multicast.mayBeHeard(stanza.from.bare, lease)) return undefined;
    }
  }

  private place(reader: Jid, entry: SessionEntry | undefined): void {
    const { sessions, cluster } = this.parts;
    const place = entry && placeOf(entry, sessions, cluster.self);
    if (entry === undefined && cluster.directory.isInDoubt) this.await(reader);
    else if (entry === undefined || place === undefined) this.miss(reader, unavailable());
    else if (place instanceof Session) place.deliver(readdressed(this.stanza, place.jid));
    else {
      this.elsewhere ??= new Elsewhere();
      this.elsewhere.add(place, { jid: reader.full, sid: entry.sid });
    }
  }

  private abroad(reader: Jid): void {
    try {
      const sent = this.parts.abroad(readdressed(this.stanza, reader), this.host);
      if (isPromise(sent)) this.waitFor(sent.catch((error: unknown) => this.refuse(reader, error)));
    } catch (error) {
      this.miss(reader, error);
    }
  }

  /** All readers are found. */
  finish(): void {
    const { missing } = this;
    if (this.elsewhere !== undefined) {
      const work = this.pass(this.elsewhere);
      if (work !== undefined) this.waitFor(work);
    }
    // not while whoever speaks is still speaking
    if (missing !== undefined) {
      void Promise.resolve().then(() => {
        for (const [reader, error] of missing) void this.refuse(reader, error);
      });
    }
  }

  private pass(elsewhere: Elsewhere): Promise<unknown> | undefined {
    const { stanza, lease, parts } = this;
    const sent = { xml: stanza.el.toXml(), each: lease };
    return elsewhere.send(parts.cluster, sent, (to, node) =>
      parts.undelivered({ kind: 'undelivered', to, ...sent }, node),
    );
  }

  private waitFor(work: Promise<unknown>): void {
    this.work ??= [];
    this.work.push(work);
  }

  private miss(reader: Jid, error: unknown): void {
    this.missing ??= [];
    this.missing.push([reader, error]);
  }

  private refuse(reader: Jid, error: unknown): MaybePromise<void> {
    return this.parts.refuse(this.stanza.el, reader, this.stanza.from, error);
  }
}

/** The same stanza for somebody else: its body is shared, and was written once. */
export function readdressed<S extends Stanza>(stanza: S, to: Jid): S {
  return { ...stanza, el: stanza.el.with({ to: to.full }), to };
}

const isOf =
  ({ resource }: Jid) =>
  ({ jid }: SessionEntry): boolean =>
    jid.resource === resource;
const unavailable = (): StanzaError => new StanzaError('service-unavailable');
/** It may be there, and is not to be taken for gone. */
const unknown = (): StanzaError => new StanzaError('resource-constraint', undefined, { type: 'wait' });
const nothing = (): void => {};
