// The stores of rooms, and how a room's owner writes them: it looks before each write whether the room is still its own.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import { LeasedWrites } from '../../core/leased.ts';
import { ephemeral, kv, map, type Opened } from '../../storage/specs.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { RoomRows } from './ports.ts';
import type { AffiliationRow, DirectoryRow, GoneRow, MembershipRow, OccupantRow, ParkedRow, RoomRow } from './rows.ts';

/**
 * The owner is the room's localpart, except of `memberships`: there it is a person's bare JID, and of `directory`: there is one for all
 * rooms. The key is the room's localpart in both.
 */
export const stores = {
  rooms: kv<RoomRow>(),
  affiliations: map<AffiliationRow>(),
  memberships: map<MembershipRow>(),
  directory: map<DirectoryRow>({ cache: true }),
  gone: kv<GoneRow>(),
  parked: kv<ParkedRow>(),
  occupants: ephemeral<OccupantRow>(),
};
export type RoomStores = Opened<typeof stores>;

/** The list of occupants counts for so long, in milliseconds; it is said again before. */
const SHARED_FOR = 24 * 3_600_000;
export const SHARE_AGAIN = SHARED_FOR / 4;

export interface StoredParts {
  readonly key: string;
  readonly lease: Lease;
  readonly stores: RoomStores;
  /** Whether another node could take over. */
  readonly isShared: () => boolean;
}

export class StoredRows implements RoomRows {
  /** Where the room that was here goes on. */
  gone: GoneRow | undefined;
  /** What the directory has of it, as far as it was written in this life. */
  private listed = '';
  private readonly parts: StoredParts;
  private readonly writes: LeasedWrites;

  constructor(parts: StoredParts) {
    this.parts = parts;
    this.writes = new LeasedWrites(parts.lease);
  }

  saveRoom(row: RoomRow | undefined): Promise<void> {
    const { stores, key } = this.parts;
    const entry = row && directoryRow(row);
    const listed = JSON.stringify(entry) ?? 'not at all';
    return this.write(async () => {
      const own = stores.rooms.set(key, row);
      if (listed === this.listed) return own;
      await Promise.all([own, stores.directory.set('', key, entry)]);
      this.listed = listed;
    });
  }

  saveAffiliations(rows: ReadonlyMap<BareJid, AffiliationRow | undefined>): Promise<void> {
    const { stores, key } = this.parts;
    if (rows.size === 0) return Promise.resolve();
    return this.write(async () => {
      await stores.affiliations.setAll(key, rows);
      // a domain is nobody's account
      const people = [...rows].filter(([person]) => (Jid.parse(person)?.local ?? '') !== '');
      await Promise.all(
        people.map(([person, row]) => stores.memberships.update(person, key, (old) => membership(old, row))),
      );
    });
  }

  saveRead(person: BareJid, id: string, at: number): Promise<void> {
    const { stores, key } = this.parts;
    const readOn = (old: MembershipRow | undefined): MembershipRow => {
      if (old?.lastRead !== undefined && old.lastRead >= id) return old;
      return { affiliation: 'none', since: at, ...old, lastRead: id, readAt: at };
    };
    return this.write(() => stores.memberships.update(person, key, readOn));
  }

  /** `undefined` removes. */
  saveGone(row: GoneRow | undefined): Promise<void> {
    const { stores, key } = this.parts;
    this.gone = row;
    return this.write(() => stores.gone.set(key, row));
  }

  /** `undefined` removes. */
  park(row: ParkedRow | undefined): Promise<void> {
    const { stores, key } = this.parts;
    return this.write(() => stores.parked.set(key, row));
  }

  saveDevice(device: Jid, row: OccupantRow | undefined): void {
    const { stores, key, isShared, lease } = this.parts;
    if (!isShared() || !lease.isValid) return;
    const written = stores.occupants.set(key, device.full, row, SHARED_FOR);
    // Redis is away: said again in time
    if (written instanceof Promise) written.catch(() => {});
  }

  /** Resolves when that is known: whether the room is this node's. */
  isOurs(): MaybePromise<boolean> {
    const { lease } = this.parts;
    return lease.isValid || lease.confirm();
  }

  /** Resolves when nothing is under way any more. */
  settled(): Promise<void> {
    return this.writes.settled();
  }

  async write(work: () => Promise<unknown>): Promise<void> {
    await this.writes.run(work);
  }
}

/** How far a person has read stays when the affiliation goes. */
function membership(old: MembershipRow | undefined, row: AffiliationRow | undefined): MembershipRow | undefined {
  const { affiliation = 'none', nick } = row ?? {};
  const { lastRead, readAt, since = row?.at } = old ?? {};
  if (affiliation === 'none' && lastRead === undefined) return undefined;
  return {
    affiliation,
    ...(nick !== undefined && { nick }),
    ...(since !== undefined && { since }),
    ...(lastRead !== undefined && { lastRead }),
    ...(readAt !== undefined && { readAt }),
  };
}

/** A room that nobody has configured yet is not told of. */
function directoryRow({ config, createdAt, isLocked }: RoomRow): DirectoryRow | undefined {
  if (isLocked) return undefined;
  const { name, description, language, isPublic, isMembersOnly, isPersistent, password, whois } = config;
  return {
    ...(name !== '' && { name }),
    createdAt,
    ...(description !== '' && { description }),
    ...(language !== '' && { language }),
    isPublic,
    isMembersOnly,
    isPersistent,
    isProtected: password !== '',
    whois,
  };
}
