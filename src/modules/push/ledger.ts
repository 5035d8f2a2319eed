// What each client has been told of since somebody looked at it: how much there is to read, and what must not be counted twice. Shared
// by all nodes. Each writes entries of its own, so that nothing is lost where two count at a time; what counts is all together.
import { Turns } from '../../base/turns.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { EphemeralStore } from '../../storage/ports.ts';
import type { News } from './worth.ts';

/** JSON. */
export interface Entry {
  readonly messages: number;
  /** What the latest news are known by. */
  readonly keys: readonly string[];
}

/** An entry counts for so long after it was written last, in milliseconds: then nobody knows any more what was read elsewhere. */
const KEPT = 7 * 86_400_000;
/** News that are known to have been told. */
const MOST_KEYS = 64;

export class Ledger {
  private readonly store: EphemeralStore<Entry>;
  private readonly cluster: Cluster;
  private readonly turns = new Turns<string>();

  constructor(store: EphemeralStore<Entry>, cluster: Cluster) {
    this.store = store;
    this.cluster = cluster;
  }

  /**
   * Writes down that registrations of an account are told of something.
   * @returns the ids of those that were not told of it before
   */
  async add(user: string, ids: readonly string[], { kind, key }: News): Promise<readonly string[]> {
    return this.turns.run(user, async () => {
      const all = await this.store.all(user);
      const fresh: string[] = [];
      for (const id of ids) {
        if (entriesOf(all, id).some(([, { keys }]) => keys.includes(key))) continue;
        const name = `${id} ${this.cluster.self}`;
        const { messages = 0, keys = [] } = all.get(name) ?? {};
        const counts = kind === 'chat' || kind === 'groupchat' ? 1 : 0;
        await this.store.set(user, name, { messages: messages + counts, keys: [...keys, key].slice(-MOST_KEYS) }, KEPT);
        fresh.push(id);
      }
      return fresh;
    });
  }

  /** How many messages a client has been told of; undefined where somebody has looked at it since. */
  async count(user: string, id: string): Promise<number | undefined> {
    const entries = entriesOf(await this.store.all(user), id);
    return entries.length === 0 ? undefined : entries.reduce((sum, [, { messages }]) => sum + messages, 0);
  }

  /** Somebody looks at these clients, or they are to be told nothing any more. */
  async clear(user: string, ids: readonly string[]): Promise<void> {
    await this.turns.run(user, async () => {
      const all = await this.store.all(user);
      for (const id of ids) {
        for (const [name] of entriesOf(all, id)) await this.store.set(user, name, undefined, 0);
      }
    });
  }
}

function entriesOf(all: ReadonlyMap<string, Entry>, id: string): (readonly [string, Entry])[] {
  return [...all].filter(([name]) => name.startsWith(`${id} `));
}
