// How long archives are kept: as long as the host says, or as an administrator has set it for an account. What is older is removed
// (XEP-0313 3.2: always the oldest), in steps so small that nobody notices.
import type { ArchiveStore, KvStore } from '../../storage/ports.ts';

/** How long an account's messages are kept, where it has a retention of its own: milliseconds, or for good. */
export type OwnRetention = number | 'forever';

/** Messages removed by one statement, at most. */
const STEP = 500;
/** Owners asked for at once. */
const PAGE = 500;

export interface RetentionParts {
  readonly messages: ArchiveStore;
  readonly retention: KvStore<OwnRetention>;
  /** For accounts without one of their own: milliseconds, Infinity for good. */
  readonly default: number;
}

export class Retention {
  private readonly parts: RetentionParts;

  constructor(parts: RetentionParts) {
    this.parts = parts;
  }

  /** What holds for an account: milliseconds, Infinity for good. */
  async of(owner: string): Promise<{ readonly ms: number; readonly isOwn: boolean }> {
    const own = await this.parts.retention.get(owner);
    return { ms: own === undefined ? this.parts.default : milliseconds(own), isOwn: own !== undefined };
  }

  /** Sets it for an account alone; `undefined`: as everybody. */
  set(owner: string, ms: number | undefined): Promise<void> {
    return this.parts.retention.set(owner, ms === undefined || Number.isFinite(ms) ? ms : 'forever');
  }

  /**
   * Removes what is older than it is to be at `now` (milliseconds since 1970) from every archive.
   * @param goesOn is asked between the steps; when it says no, the rest is left for the next time
   * @returns how many messages are gone
   */
  async prune(now: number, goesOn: () => boolean): Promise<number> {
    const { messages, default: usual } = this.parts;
    const own = await this.all();
    let gone = 0;
    const clear = async (owner: string, ms: number): Promise<void> => {
      if (Number.isFinite(ms)) gone += await removeBefore(messages, owner, now - ms, goesOn);
    };
    if (!Number.isFinite(usual)) {
      for (const [owner, ms] of own) await clear(owner, ms);
      return gone;
    }
    for await (const owner of everybody(messages)) {
      if (!goesOn()) break;
      await clear(owner, own.get(owner) ?? usual);
    }
    return gone;
  }

  /** Those that were set, by owner: administrators set them one by one, so there are few. */
  private async all(): Promise<ReadonlyMap<string, number>> {
    const { retention } = this.parts;
    const own = new Map<string, number>();
    for await (const owner of everybody(retention)) {
      const set = await retention.get(owner);
      if (set !== undefined) own.set(owner, milliseconds(set));
    }
    return own;
  }
}

/**
 * Removes an owner's messages from before `until` (milliseconds since 1970, exclusive; all, where it is undefined), step by step.
 * @param goesOn is asked before each step
 * @returns how many are gone
 */
export async function removeBefore(
  store: ArchiveStore,
  owner: string,
  until: number | undefined,
  goesOn: () => boolean = () => true,
): Promise<number> {
  const range = until === undefined ? {} : { end: until - 1 };
  let gone = 0;
  for (let removed = STEP; removed === STEP && goesOn(); gone += removed) {
    removed = await store.remove(owner, range, STEP);
  }
  return gone;
}

const milliseconds = (own: OwnRetention): number => (own === 'forever' ? Number.POSITIVE_INFINITY : own);

/** Every owner of something, a page at a time. */
export async function* everybody(store: Pick<ArchiveStore, 'owners'>): AsyncGenerator<string> {
  for (let after: string | undefined; ; ) {
    const owners = await store.owners(after, PAGE);
    yield* owners;
    if (owners.length < PAGE) return;
    after = owners.at(-1);
  }
}
