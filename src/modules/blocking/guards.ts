// The last barrier before a session: nothing is written to it that comes from whom its account has blocked, whichever way it took. What a room
// says goes past the gates for accounts (core/multicast.ts), and what was kept before somebody was blocked comes later.
//
// This has to be decided at once, so each session has the list with it: it is read before anybody knows of the session, and where it cannot
// be, there is no session. From then on a list is always known. It goes with the session to other nodes and processes; changes are told to
// it; where word of one may have been lost (the nodes were cut off from one another, the session was on its way) the list is read again
// when the next stanza comes, and the one that is known counts until that is done.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Stanza } from '../../xmpp/stanza.ts';
import { type Blocking, BlockList } from './list.ts';
import { tellsOfBlocking } from './refusals.ts';

/** What a session is not to be told. */
interface Guard {
  list: BlockList | undefined;
  /** The epoch in which it was read, or begun to be. */
  epoch: object | undefined;
  /** Counts how often it was begun to be read: only what was begun last counts. */
  readings: number;
}

const guards = defineSlot<Guard>('blocking', {
  kept: {
    save: ({ list }) => list?.jids ?? [],
    restore: (jids: readonly string[]): Guard => guardOf(listOf(jids)),
  },
});

/** The device has asked for the list, and is told of changes (XEP-0191 3.3). */
export const asked = defineSlot<boolean>('blocklist', { shared: true });

export interface GuardParts {
  readonly lists: Blocking;
  /** The sessions of an account on this node. */
  readonly sessionsOf: (account: BareJid) => readonly Session[];
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Waits a moment. */
  readonly pause: () => Promise<unknown>;
}

export class Guards {
  private readonly parts: GuardParts;
  /** Changes when word of a change may have been lost: what was read before is read again. */
  private epoch: object = {};

  constructor(parts: GuardParts) {
    this.parts = parts;
  }

  /**
   * A session is about to be there. What comes with it from elsewhere is good enough.
   * @throws StorageUnavailable where the list cannot be read
   */
  begin(session: Session): MaybePromise<void> {
    if (session.get(guards) !== undefined) return;
    // (what changes until the session can be told of it is seen with the first stanza)
    return andThen(this.parts.lists.of(session.jid.local), (list) => void session.set(guards, guardOf(list)));
  }

  /** Whether a stanza may be written to a session. */
  lets(session: Session, stanza: Stanza): boolean {
    const { from } = stanza;
    if (from.bare === session.jid.bare) return !isPush(stanza, session.jid) || session.get(asked) === true;
    const list = this.listOf(session);
    return list === undefined || !list.has(from) || from.full === session.host.domain || tellsOfBlocking(stanza);
  }

  /** Whom an account has blocked: known where it has sessions here, else read. */
  of(account: Jid): MaybePromise<BlockList | undefined> {
    const session = this.parts.sessionsOf(account.bare)[0];
    return session === undefined ? this.parts.lists.of(account.local) : this.listOf(session);
  }

  /** An account's list is that now. */
  set(account: Jid, list: BlockList | undefined): void {
    for (const session of this.parts.sessionsOf(account.bare)) {
      const guard = session.get(guards) ?? unread(session);
      guard.list = list;
      guard.epoch = this.epoch;
      guard.readings++;
    }
  }

  /** Another node has changed an account's list: that holds at once, and what is stored when it is read. */
  change(account: Jid, blocked: readonly string[], unblocked: readonly string[]): void {
    for (const session of this.parts.sessionsOf(account.bare)) {
      const guard = session.get(guards) ?? unread(session);
      const jids = new Set([...(guard.list?.jids ?? []), ...blocked]);
      for (const jid of unblocked) jids.delete(jid);
      guard.list = listOf([...jids]);
      this.read(session, guard);
    }
  }

  /** Word of changes may have been lost. */
  doubt(): void {
    this.epoch = {};
  }

  /** Whom the account of a session has blocked. */
  listOf(session: Session): BlockList | undefined {
    // (a session may be older than the module)
    const guard = session.get(guards) ?? unread(session);
    if (guard.epoch !== this.epoch) this.read(session, guard);
    return guard.list;
  }

  private read(session: Session, guard: Guard): void {
    guard.epoch = this.epoch;
    const reading = ++guard.readings;
    const list = this.parts.lists.of(session.jid.local);
    if (isPromise(list))
      this.parts.background(this.readLate(guard, reading, list), 'reading whom an account has blocked');
    else guard.list = list;
  }

  private async readLate(guard: Guard, reading: number, late: Promise<BlockList | undefined>): Promise<void> {
    try {
      const list = await late;
      if (guard.readings === reading) guard.list = list;
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      // with one of the next stanzas it is tried again
      await this.parts.pause();
      if (guard.readings === reading) guard.epoch = undefined;
    }
  }
}

function guardOf(list: BlockList | undefined): Guard {
  return { list, epoch: undefined, readings: 0 };
}

function unread(session: Session): Guard {
  const guard = guardOf(undefined);
  void session.set(guards, guard);
  return guard;
}

function listOf(jids: readonly string[]): BlockList | undefined {
  return jids.length === 0 ? undefined : new BlockList(jids);
}

function isPush(stanza: Stanza, { bare }: Jid): boolean {
  return (
    stanza.kind === 'iq' && stanza.type === 'set' && stanza.payload?.ns === NS.blocking && stanza.from.full === bare
  );
}
