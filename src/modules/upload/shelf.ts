// Which files there are, whose, and until when. A slot that was given out is a file that is not there yet: it counts, so that nobody gets
// more than the quota by asking for much at once. What counts is read from the rows of an account whenever somebody asks for a slot, so
// that no sum can go wrong. Of two nodes that ask for one account in the same moment both may be given the last room that there is.
import type { Clock } from '../../base/clock.ts';
import { kv, map, type Opened } from '../../storage/specs.ts';
import { type Depot, DepotUnavailable } from './depot.ts';

export const purposes = ['message', 'profile', 'ephemeral', 'permanent'] as const;
export type Purpose = (typeof purposes)[number];

/** `asked`: nothing has come yet; `coming`: it is being sent; `gone`: it was deleted, and counts for what was sent today. */
type State = 'asked' | 'coming' | 'stored' | 'gone';

export interface FileRow {
  readonly name: string;
  /** The empty text while nobody has said. */
  readonly type: string;
  readonly size: number;
  readonly purpose: Purpose;
  readonly state: State;
  /** When it was asked for, until when it may be sent, when it had come and until when it is there; milliseconds since 1970. */
  readonly at: number;
  readonly until: number;
  readonly storedAt?: number;
  readonly expires?: number;
  /** Messages of its owner's that speak of it, where there were several. */
  readonly mentions?: readonly string[];
}
export interface Shelved {
  readonly user: string;
  readonly id: string;
  readonly row: FileRow;
}

export const stores = {
  /** By the owner of files, and their ids. */
  files: map<FileRow>(),
  /** By id: the owner, who never changes. */
  owners: kv<string>({ cache: true }),
  /** Of the host: the owner is the empty text. */
  secrets: kv<string>(),
  /** Bytes of the whole host. */
  totals: kv<number>(),
  /** Everybody who has, or had, files. */
  people: kv<true>(),
};
export type UploadStores = Opened<typeof stores>;

/** How long an upload may take, in milliseconds; no request takes longer. */
const LONGEST_UPLOAD = 3_600_000;
export const DAY = 24 * 3_600_000;
/** Messages that are remembered of a file. */
const MOST_MENTIONS = 100;
const AT_A_TIME = 16;

/** Whether a slot was never used, and cannot be any more. */
export function isLapsed({ state, until }: FileRow, now: number): boolean {
  return state === 'asked' ? now > until : state === 'coming' && now > until + LONGEST_UPLOAD;
}

/** Whether somebody may read it. */
export function isThere({ state, expires }: FileRow, now: number): boolean {
  return state === 'stored' && (expires === undefined || now < expires);
}

/** Whether it takes room, or will. */
export function takesRoom(row: FileRow, now: number): boolean {
  return row.state === 'stored' ? isThere(row, now) : row.state !== 'gone' && !isLapsed(row, now);
}

export class Shelf {
  private readonly stores: UploadStores;
  private readonly depot: Depot;
  private readonly clock: Pick<Clock, 'now'>;

  constructor(opened: UploadStores, depot: Depot, clock: Pick<Clock, 'now'>) {
    this.stores = opened;
    this.depot = depot;
    this.clock = clock;
  }

  /** What there is of an id; nothing where it is not known any more. */
  async find(id: string): Promise<Shelved | undefined> {
    const user = await this.stores.owners.get(id);
    const row = user === undefined ? undefined : await this.stores.files.get(user, id);
    return row && { user: user!, id, row };
  }

  /** Everything of somebody's, by id: also what has expired, or was never sent. */
  async all(user: string): Promise<ReadonlyMap<string, FileRow>> {
    return this.stores.files.all(user);
  }

  /** Somebody may send it. */
  async add({ user, id, row }: Shelved): Promise<void> {
    // each is found by the one before: whatever is cut short here is found, and swept
    await this.remember(user);
    await this.stores.files.set(user, id, row);
    // whoever sweeps may have found nothing of theirs until now
    await this.remember(user);
    await this.stores.owners.set(id, user);
    await this.count(row.size);
  }

  /** It is being sent; false where it was sent before, or is, or cannot be any more. */
  async begin({ user, id }: Shelved): Promise<boolean> {
    let isMine = false;
    await this.stores.files.update(user, id, (old) => {
      isMine = old?.state === 'asked';
      return isMine ? { ...old!, state: 'coming' } : old;
    });
    return isMine;
  }

  /** It has come. False where it was deleted meanwhile: then it is gone. */
  async finish({ user, id }: Shelved, type: string): Promise<boolean> {
    const storedAt = this.clock.now();
    const row = await this.stores.files.update(user, id, (old) =>
      old?.state === 'coming' ? { ...old, state: 'stored', type, storedAt } : old,
    );
    if (row?.state === 'stored') return true;
    await this.depot.remove(id);
    return false;
  }

  /** It did not come, and may be sent once more. */
  async giveUp({ user, id }: Shelved): Promise<void> {
    await this.stores.files.update(user, id, (old) => (old?.state === 'coming' ? { ...old, state: 'asked' } : old));
  }

  /** Deletes a file, or takes a slot back; false where there is nothing of that name. */
  async remove(user: string, id: string): Promise<boolean> {
    const now = this.clock.now();
    let was: FileRow | undefined;
    const left = await this.stores.files.update(user, id, (old) => {
      was = old;
      return old && { ...old, state: 'gone' };
    });
    if (left === undefined) return false;
    await this.depot.remove(id);
    if (was!.state !== 'gone') await this.count(-was!.size);
    // what was sent today counts until tomorrow
    if (was!.storedAt === undefined || was!.at <= now - DAY) await this.forget(user, id);
    return was!.state !== 'gone' && isThere(was!, now);
  }

  /** All of somebody who is no more. */
  async removeAll(user: string): Promise<void> {
    const all = [...(await this.all(user))];
    // nobody finds them any more, whatever becomes of the rest
    await inParts(all, async ([id, { state, size }]) => {
      await this.stores.files.update(user, id, (old) => old && { ...old, state: 'gone' });
      if (state !== 'gone') await this.count(-size);
    });
    try {
      await inParts(all, async ([id]) => {
        await this.depot.remove(id);
        await this.forget(user, id);
      });
      await this.stores.people.set(user, undefined);
    } catch (error) {
      // it is swept in time; the account goes in any case
      if (!(error instanceof DepotUnavailable)) throw error;
    }
  }

  /** Removes what is over of somebody's files; returns how many there were, and what the others have together. */
  async sweep(user: string): Promise<{ readonly removed: number; readonly bytes: number }> {
    const now = this.clock.now();
    const all = [...(await this.all(user))];
    let [removed, bytes] = [0, 0];
    await inParts(all, async ([id, row]) => {
      if (takesRoom(row, now)) bytes += row.size;
      else if (row.state !== 'gone') {
        await this.remove(user, id);
        removed++;
      } else if (row.at <= now - DAY) {
        await this.depot.remove(id);
        await this.forget(user, id);
      }
    });
    if (all.length === 0) {
      await this.stores.people.set(user, undefined);
      // somebody may have sent something just now
      if ((await this.all(user)).size > 0) await this.remember(user);
    }
    return { removed, bytes };
  }

  /** Everybody who may have files. */
  async *people(): AsyncGenerator<string> {
    for (let after: string | undefined; ; ) {
      const page = await this.stores.people.owners(after, 1000);
      yield* page;
      if (page.length < 1000) return;
      after = page.at(-1);
    }
  }

  /** A message of its owner's speaks of a file. */
  async mention(user: string, id: string, message: string): Promise<void> {
    await this.stores.files.update(user, id, (old) => {
      const before = old?.mentions ?? [];
      if (old === undefined || before.includes(message)) return old;
      return { ...old, mentions: [...before.slice(-MOST_MENTIONS + 1), message] };
    });
  }

  /** Such a message was taken back: the file goes with the last one. Returns whether it is gone. */
  async unmention(user: string, id: string, message: string): Promise<boolean> {
    const row = await this.stores.files.update(user, id, (old) => {
      const { mentions = [] } = old ?? {};
      return old && { ...old, mentions: mentions.filter((one) => one !== message) };
    });
    if (row === undefined || (row.mentions?.length ?? 0) > 0) return false;
    // a picture of somebody's profile, or what is to stay, is not the message's
    if (row.purpose === 'profile' || row.purpose === 'permanent') return false;
    return this.remove(user, id);
  }

  /** Of the whole host, as far as that was counted. */
  async total(): Promise<number> {
    return (await this.stores.totals.get('')) ?? 0;
  }

  /** It was counted anew, while it was so much. */
  async recount(bytes: number, before: number): Promise<void> {
    await this.stores.totals.update('', (old) => Math.max(0, bytes + (old ?? 0) - before));
  }

  private async remember(user: string): Promise<void> {
    if ((await this.stores.people.get(user)) === undefined) await this.stores.people.set(user, true);
  }

  private async count(bytes: number): Promise<void> {
    await this.stores.totals.update('', (old) => Math.max(0, (old ?? 0) + bytes));
  }

  private async forget(user: string, id: string): Promise<void> {
    await this.stores.owners.set(id, undefined);
    await this.stores.files.set(user, id, undefined);
  }
}

async function inParts<T>(all: readonly T[], step: (one: T) => Promise<void>): Promise<void> {
  for (let i = 0; i < all.length; i += AT_A_TIME) await Promise.all(all.slice(i, i + AT_A_TIME).map(step));
}
