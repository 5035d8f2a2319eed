// Leases of several nodes in one process: as Redis keeps them, and never answered at once.
import type { Lease, Leases, NodeId } from '../../src/cluster/cluster.ts';

interface Held {
  readonly life: NodeId;
  readonly token: number;
  isAlive(): boolean;
}

export class SharedLeases {
  private readonly held = new Map<string, Held>();
  private readonly doubtful = new Set<NodeId>();
  private waiting: (() => void)[] = [];
  private last = 0;

  doubt(node: NodeId, on: boolean): void {
    if (on) this.doubtful.add(node);
    else this.doubtful.delete(node);
    this.settle();
  }

  /** Somebody may know more now. */
  settle(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  /** Those of one life; one that follows it may have the same name. */
  of(life: NodeId, isAlive: () => boolean): Leases {
    const fencers = new Set<(life: NodeId) => unknown>();
    const lives = (): boolean => isAlive() && !this.doubtful.has(life);
    const give = (key: string, isAfterDeath: boolean): Lease => {
      const token = ++this.last;
      this.held.set(key, { life, token, isAlive });
      const isOurs = (): boolean => this.held.get(key)?.token === token;
      return {
        key,
        token,
        isAfterDeath,
        get isValid() {
          return lives() && isOurs();
        },
        confirm: async () => {
          while (isAlive() && this.doubtful.has(life) && isOurs()) {
            await new Promise<void>((resolve) => this.waiting.push(resolve));
          }
          return isAlive() && isOurs();
        },
        release: async (isUnfinished = false) => {
          await undefined;
          if (!isOurs()) return;
          if (isUnfinished) this.held.set(key, { life: '-' as NodeId, token, isAlive: () => false });
          else this.held.delete(key);
        },
      };
    };
    return {
      claim: async (key) => {
        await undefined;
        if (!isAlive()) throw new Error('this node is dead');
        const before = this.held.get(key);
        if (before === undefined || before.isAlive === isAlive) return give(key, false);
        if (before.isAlive()) return { holder: before.life };
        const lease = give(key, true);
        for (const fence of fencers) await fence(before.life);
        return lease;
      },
      take: async (key, from, token) => {
        await undefined;
        const held = this.held.get(key);
        return isAlive() && held?.life === from && held.token === token ? give(key, false) : undefined;
      },
      orphans: async () => {
        await undefined;
        return [...this.held].filter(([, held]) => !held.isAlive()).map(([key]) => key);
      },
      onFence: (fn) => {
        fencers.add(fn);
        return () => fencers.delete(fn);
      },
    };
  }
}
