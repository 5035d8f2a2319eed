// Leases of several nodes in one process: as Redis keeps them, and never answered at once.
import type { Lease, Leases, NodeId } from '../../src/cluster/cluster.ts';

interface Held {
  readonly life: NodeId;
  readonly token: number;
}

export class SharedLeases {
  private readonly isAlive: (node: NodeId) => boolean;
  private readonly held = new Map<string, Held>();
  private readonly doubtful = new Set<NodeId>();
  private waiting: (() => void)[] = [];
  private last = 0;

  constructor(isAlive: (node: NodeId) => boolean) {
    this.isAlive = isAlive;
  }

  doubt(node: NodeId, on: boolean): void {
    if (on) this.doubtful.add(node);
    else this.doubtful.delete(node);
    this.settle();
  }

  /** Somebody may know more now. */
  settle(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  of(life: NodeId): Leases {
    const fencers = new Set<(life: NodeId) => unknown>();
    const lives = (): boolean => this.isAlive(life) && !this.doubtful.has(life);
    const give = (key: string, isAfterDeath: boolean): Lease => {
      const token = ++this.last;
      this.held.set(key, { life, token });
      const isOurs = (): boolean => this.held.get(key)?.token === token;
      return {
        key,
        token,
        isAfterDeath,
        get isValid() {
          return lives() && isOurs();
        },
        confirm: async () => {
          while (this.isAlive(life) && this.doubtful.has(life) && isOurs()) {
            await new Promise<void>((resolve) => this.waiting.push(resolve));
          }
          return this.isAlive(life) && isOurs();
        },
        release: async () => {
          await undefined;
          if (isOurs()) this.held.delete(key);
        },
      };
    };
    return {
      claim: async (key) => {
        await undefined;
        if (!this.isAlive(life)) throw new Error('this node is dead');
        const holder = this.held.get(key)?.life;
        if (holder !== undefined && holder !== life && this.isAlive(holder)) return { holder };
        const isAfterDeath = holder !== undefined && holder !== life;
        const lease = give(key, isAfterDeath);
        if (isAfterDeath) for (const fence of fencers) await fence(holder);
        return lease;
      },
      take: async (key, from, token) => {
        await undefined;
        const held = this.held.get(key);
        return this.isAlive(life) && held?.life === from && held.token === token ? give(key, false) : undefined;
      },
      orphans: async () => {
        await undefined;
        return [...this.held].filter(([, held]) => !this.isAlive(held.life)).map(([key]) => key);
      },
      onFence: (fn) => {
        fencers.add(fn);
        return () => fencers.delete(fn);
      },
    };
  }
}
