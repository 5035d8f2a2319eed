// The last barrier before a session: nothing is written to it that comes from whom its account has blocked, whichever way it took. What a room
// says goes past the gates for accounts (core/multicast.ts), and what was kept before somebody was blocked comes later.
//
// This has to be decided at once, so each session carries the list. It is read when the session begins, again when the list has changed, and
// when word of that may have been lost; it goes with the session to other nodes. Before it was read for the first time nothing is told
// that might be blocked: that waits, in its order, as long as the database is away.
import { isPromise } from '../../base/maybe.ts';
import { defineSlot, type Session } from '../../core/sessions.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Stanza } from '../../xmpp/stanza.ts';
import { type Blocking, BlockList } from './list.ts';
import { tellsOfBlocking } from './refusals.ts';

/** So many stanzas wait for the list of one session; what comes then is lost, as to somebody whose connection is. */
const MOST_HELD = 1000;

/** What a session is not to be told. */
interface Guard {
  list: BlockList | undefined;
  isKnown: boolean;
  /** The epoch in which it was read, or begun to be. */
  epoch: object | undefined;
  /** Counts how often it was begun to be read: only what was begun last counts. */
  readings: number;
  held: Stanza[] | undefined;
}

const guards = defineSlot<Guard>('blocking', {
  kept: {
    save: ({ list, isKnown }) => (isKnown ? (list?.jids ?? []) : undefined),
    restore: (jids: readonly string[]): Guard => ({
      list: jids.length === 0 ? undefined : new BlockList(jids),
      isKnown: true,
      epoch: undefined,
      readings: 0,
      held: undefined,
    }),
  },
});

/** The device has asked for the list, and is told of changes (XEP-0191 3.3). */
export const asked = defineSlot<boolean>('blocklist', { shared: true });

export interface GuardParts {
  readonly lists: Blocking;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Waits a moment; false when there is no time for it any more. */
  readonly pause: () => Promise<boolean>;
}

export class Guards {
  private readonly parts: GuardParts;
  /** Changes when word of a change may have been lost: what was read before is read again. */
  private epoch: object = {};

  constructor(parts: GuardParts) {
    this.parts = parts;
  }

  /** Whether a stanza may be written to a session now. What may be later is written by this. */
  lets(session: Session, stanza: Stanza): boolean {
    const { from } = stanza;
    if (from.bare === session.jid.bare) return !isPush(stanza, session.jid) || session.get(asked) === true;
    if (from.full === session.host.domain) return true;
    const guard = session.get(guards) ?? this.begin(session);
    if (guard.epoch !== this.epoch) this.read(session, guard);
    if (!guard.isKnown && !tellsOfBlocking(stanza)) {
      guard.held ??= [];
      if (guard.held.length < MOST_HELD) guard.held.push(stanza);
      return false;
    }
    return guard.list === undefined || !guard.list.has(from) || tellsOfBlocking(stanza);
  }

  /** A session has begun: its list is read, also for those who ask for it while the database is away. */
  begin(session: Session): Guard {
    const guard = unread(session);
    this.read(session, guard);
    return guard;
  }

  /** An account's list is that now: its sessions on this node. */
  set(sessions: readonly Session[], list: BlockList | undefined): void {
    for (const session of sessions) {
      const guard = session.get(guards) ?? unread(session);
      guard.epoch = this.epoch;
      guard.readings++;
      take(session, guard, list);
    }
  }

  /** Another node has changed the list of these sessions: that holds at once, and what is stored when it is read. */
  change(sessions: readonly Session[], blocked: readonly string[], unblocked: readonly string[]): void {
    for (const session of sessions) {
      const guard = session.get(guards) ?? unread(session);
      if (guard.isKnown) {
        const jids = new Set([...(guard.list?.jids ?? []), ...blocked]);
        for (const jid of unblocked) jids.delete(jid);
        guard.list = jids.size === 0 ? undefined : new BlockList([...jids]);
      }
      this.read(session, guard);
    }
  }

  /** Word of changes may have been lost. */
  doubt(): void {
    this.epoch = {};
  }

  private read(session: Session, guard: Guard): void {
    guard.epoch = this.epoch;
    const reading = ++guard.readings;
    const list = this.parts.lists.of(session.jid.local);
    if (isPromise(list)) {
      this.parts.background(this.readLate(session, guard, reading, list), 'reading whom an account has blocked');
    } else take(session, guard, list);
  }

  private async readLate(
    session: Session,
    guard: Guard,
    reading: number,
    first: Promise<BlockList | undefined>,
  ): Promise<void> {
    for (let list: ReturnType<Blocking['of']> = first; ; list = this.parts.lists.of(session.jid.local)) {
      try {
        const found = await list;
        if (guard.readings === reading) take(session, guard, found);
        return;
      } catch (error) {
        if (!(error instanceof StorageUnavailable)) throw error;
        if (!(await this.parts.pause()) || guard.readings !== reading || session.isOver) return;
      }
    }
  }
}

function unread(session: Session): Guard {
  const guard: Guard = { list: undefined, isKnown: false, epoch: undefined, readings: 0, held: undefined };
  void session.set(guards, guard);
  return guard;
}

function take(session: Session, guard: Guard, list: BlockList | undefined): void {
  guard.list = list;
  guard.isKnown = true;
  const { held } = guard;
  guard.held = undefined;
  for (const stanza of held ?? []) session.deliver(stanza);
}

function isPush(stanza: Stanza, { bare }: Jid): boolean {
  return (
    stanza.kind === 'iq' && stanza.type === 'set' && stanza.payload?.ns === NS.blocking && stanza.from.full === bare
  );
}
