// Who wants to hear of activity in which rooms (XEP-0437): the same on all nodes, so that each room finds them where it is.
import type { BareJid, Jid } from '../../xmpp/jid.ts';

/** What one client asked for, until it leaves. */
export class Subscription {
  /** Its full JID. */
  readonly jid: Jid;
  readonly person: BareJid;
  /** When it asked, in milliseconds since 1970. */
  readonly at: number;
  /** The rooms that its person belongs to, by their localparts. */
  readonly rooms: Set<string>;
  /** Those of which it has been told since it asked, or was last inside. */
  readonly told = new Set<string>();

  constructor(jid: Jid, at: number, rooms: Iterable<string>) {
    this.jid = jid;
    this.person = jid.bare;
    this.at = at;
    this.rooms = new Set(rooms);
  }
}

const none: ReadonlySet<Subscription> = new Set();

export class Subscriptions {
  private readonly byJid = new Map<string, Subscription>();
  private readonly byPerson = new Map<BareJid, Set<Subscription>>();
  private readonly byRoom = new Map<string, Set<Subscription>>();
  /** Rooms in which nobody is left to tell: whoever there is has been told, or is inside. */
  private readonly quiet = new Set<string>();

  of(full: string): Subscription | undefined {
    return this.byJid.get(full);
  }

  all(): Iterable<Subscription> {
    return this.byJid.values();
  }

  /** Takes the place of an older one of the same client. */
  add(subscription: Subscription): void {
    const { jid, person, rooms } = subscription;
    this.remove(jid.full);
    this.byJid.set(jid.full, subscription);
    put(this.byPerson, person, subscription);
    for (const room of rooms) this.listen(room, subscription);
  }

  remove(full: string): void {
    const found = this.byJid.get(full);
    if (found === undefined) return;
    this.byJid.delete(full);
    drop(this.byPerson, found.person, found);
    for (const room of found.rooms) drop(this.byRoom, room, found);
  }

  /** A person belongs to one more room. Returns whether anybody wants to know. */
  join(person: BareJid, room: string): boolean {
    const own = this.byPerson.get(person) ?? none;
    for (const subscription of own) {
      subscription.rooms.add(room);
      this.listen(room, subscription);
    }
    return own.size > 0;
  }

  private listen(room: string, subscription: Subscription): void {
    put(this.byRoom, room, subscription);
    this.quiet.delete(room);
  }

  /** A client has entered a room: what is said after it has left again is new to it. Returns whether there is such a client. */
  enter(full: string, room: string): boolean {
    return this.byJid.get(full)?.told.delete(room) ?? false;
  }

  /** A client has left a room. */
  leave(full: string, room: string): void {
    if (this.byJid.has(full)) this.quiet.delete(room);
  }

  /** What was here before, and what has been elsewhere meanwhile, is not the same. */
  look(room: string): void {
    this.quiet.delete(room);
  }

  /** They have been told of a room. */
  tell(fulls: readonly string[], room: string): void {
    for (const full of fulls) this.byJid.get(full)?.told.add(room);
  }

  /** Those who have not been told of a room. `isInside`: they hear it themselves; `mayKnow`: it is for them. */
  untold(room: string, isInside: (one: Subscription) => boolean, mayKnow: (one: Subscription) => boolean): Jid[] {
    if (this.quiet.has(room)) return [];
    const found: Jid[] = [];
    let isQuiet = true;
    for (const one of this.byRoom.get(room) ?? none) {
      if (one.told.has(room) || isInside(one)) continue;
      if (mayKnow(one)) found.push(one.jid);
      else isQuiet = false;
    }
    if (isQuiet) this.quiet.add(room);
    return found;
  }
}

function put<K>(map: Map<K, Set<Subscription>>, key: K, subscription: Subscription): void {
  const found = map.get(key);
  if (found === undefined) map.set(key, new Set([subscription]));
  else found.add(subscription);
}

function drop<K>(map: Map<K, Set<Subscription>>, key: K, subscription: Subscription): void {
  const found = map.get(key);
  found?.delete(subscription);
  if (found?.size === 0) map.delete(key);
}
