// Which news a registration is for: what its client has asked for when it was made, and what people want to be told of their rooms
// (XEP-0492).
import { LruCache } from '../../base/lru.ts';
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { Wish } from '../notification-settings.ts';
import { isMeant } from './mentions.ts';
import type { Registration } from './registration.ts';
import type { Judged } from './worth.ts';

/** What was said in a room, to somebody. */
export interface InRoom {
  readonly room: Jid;
  /** What the reader is called there, where that is known. */
  readonly nick: string | undefined;
  /** Whether the room is for its members alone; undefined where that is not known. */
  readonly isPrivate: boolean | undefined;
}

export interface FilterParts {
  /** What an account, a localpart, wants to be told of rooms, by their bare addresses. */
  wishesOf(user: string): MaybePromise<ReadonlyMap<BareJid, Wish>>;
  /** Whether somebody is in an account's roster. */
  knows(user: string, contact: BareJid): MaybePromise<boolean>;
  now(): number;
}

/** What was read of somebody's wishes. */
interface Known {
  readonly wishes: ReadonlyMap<BareJid, Wish>;
  readonly until: number;
}

/** It counts for so long, in milliseconds, should word of another not arrive; and that of so many people is remembered. */
const FRESH = 60_000;
const REMEMBERED = 10_000;

export class Filters {
  private readonly parts: FilterParts;
  private readonly known = new LruCache<string, Known>(REMEMBERED);

  constructor(parts: FilterParts) {
    this.parts = parts;
  }

  /** An account has written down something else. */
  forget(user: string): void {
    this.known.delete(user);
  }

  /** Of an account's registrations those that are to be told. */
  async choose(
    account: Jid,
    from: readonly Registration[],
    judged: Judged,
    place: InRoom | undefined,
  ): Promise<readonly Registration[]> {
    const sender = (place?.room.bare ?? bareOf(judged.news.from)) as BareJid;
    const left = from.filter(({ muted }) => muted?.includes(sender) !== true);
    if (left.length === 0) return left;
    return place === undefined ? this.fromKnown(account, left, sender) : this.ofRoom(account, left, judged, place);
  }

  private async fromKnown(
    { local }: Jid,
    from: readonly Registration[],
    sender: BareJid,
  ): Promise<readonly Registration[]> {
    if (!from.some(({ ignoresUnknown }) => ignoresUnknown) || (await this.parts.knows(local, sender))) return from;
    return from.filter(({ ignoresUnknown }) => ignoresUnknown !== true);
  }

  private async ofRoom(
    account: Jid,
    from: readonly Registration[],
    { news, said }: Judged,
    { room, nick, isPrivate }: InRoom,
  ): Promise<readonly Registration[]> {
    // what is encrypted, or rings, may mean anybody
    const isUrgent = news.kind === 'call' || news.body === undefined;
    const meant = (name = nick): boolean =>
      isUrgent || isMeant(said, { bare: account.bare, room: room.bare, nick: name });
    const allowed: Registration[] = [];
    for (const registration of from) {
      const { rooms } = registration;
      if (rooms !== undefined) {
        const rule = rooms[room.bare];
        if (rule?.allow === 'always' || (rule?.allow === 'mentioned' && meant(rule.nick))) allowed.push(registration);
        continue;
      }
      // XEP-0492 4: "always" of private rooms, "on-mention" of public ones; nobody is to miss anything in one that is not known
      const wish =
        (await this.wishesOf(account.local)).get(room.bare) ?? (isPrivate === false ? 'on-mention' : 'always');
      if (wish === 'always' || (wish === 'on-mention' && meant())) allowed.push(registration);
    }
    return allowed;
  }

  private wishesOf(user: string): MaybePromise<ReadonlyMap<BareJid, Wish>> {
    const known = this.known.get(user);
    const now = this.parts.now();
    if (known !== undefined && known.until > now) return known.wishes;
    return andThen(this.parts.wishesOf(user), (wishes) => {
      this.known.set(user, { wishes, until: now + FRESH });
      return wishes;
    });
  }
}

function bareOf(jid: string): string {
  const slash = jid.indexOf('/');
  return slash < 0 ? jid : jid.slice(0, slash);
}
