// What becomes of all that a dead node has left: whoever knew its sessions is told, and then what it had been sent is routed anew.
import type { Logger } from '../../base/log.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { type NodeId, type SessionEntry, Unanswered } from '../cluster.ts';
import type { Bus } from './bus.ts';
import type { RedisDirectory } from './directory.ts';
import type { RedisLeases } from './leases.ts';
import type { Membership } from './membership.ts';

/** Nodes ask one another for the sessions of a dead one that Redis has forgotten, and tell one another when all is dealt with. */
export const RECALL = 'directory.recall';
export const FORGET = 'directory.forget';

export interface InheritanceParts {
  /** Who is dead. */
  readonly node: NodeId;
  readonly membership: Membership;
  readonly bus: Bus;
  readonly directory: RedisDirectory;
  readonly leases: RedisLeases;
  readonly log: Logger;
  /** Each resolves when it has told everybody that these sessions are gone. */
  readonly heirs: ReadonlySet<(sessions: readonly SessionEntry[]) => MaybePromise<void>>;
}

/** What a node does for dead ones. */
export class Estates {
  private readonly underWay = new Set<Promise<void>>();
  private isLeaving = false;

  /** @throws Error where that could not be done to the end: another node goes on */
  async inherit(parts: InheritanceParts): Promise<void> {
    const work = inherit(parts, async () => !this.isLeaving && (await parts.membership.sure()));
    const settled = work.catch(() => {});
    this.underWay.add(settled);
    await settled;
    this.underWay.delete(settled);
    return work;
  }

  /**
   * Begins nothing more. Resolves when what was begun is known as dealt with, since whoever goes on with the rest would do it again; after
   * so many milliseconds at the latest.
   */
  async leave(patience: number): Promise<void> {
    this.isLeaving = true;
    const late = new Promise((resolve) => setTimeout(resolve, patience).unref());
    await Promise.race([Promise.all(this.underWay), late]);
  }
}

/** @param sure whether this node may go on: another one may have been given the estate */
async function inherit(parts: InheritanceParts, sure: () => Promise<boolean>): Promise<void> {
  const { node, bus, directory, leases, log } = parts;
  // whoever claims what it owned makes sure of it once more
  leases.fence(node).catch((err: unknown) => log.warn({ err, node }, 'a dead node may write still'));
  // first nobody sends to the dead node any more
  await bequeath(parts);
  await bus.takeOver(node, sure);
  const recalled = await recall(parts);
  if (recalled > 0) {
    log.info({ node, sessions: recalled }, 'Redis had forgotten sessions of a dead node; the nodes had not');
    await bequeath(parts);
  }
  directory.forget(node);
  bus.publish(FORGET, node);
}

/** Tells of all its sessions that Redis knows of. */
async function bequeath({ node, directory, heirs }: InheritanceParts): Promise<void> {
  for await (const sessions of directory.sweep(node)) await Promise.all([...heirs].map((fn) => fn(sessions)));
}

/** Has all nodes give Redis back what it has forgotten. Returns how many sessions that were. */
async function recall({ node, membership, bus, directory }: InheritanceParts): Promise<number> {
  const { self, nodes } = membership;
  const counts = [...nodes].map(async (other) => {
    if (other === self) return directory.recall(node);
    try {
      return Number(await bus.call(other, RECALL, node));
    } catch (err) {
      // a version that does not answer knows nothing, nor does a node that has just died
      if (err instanceof Unanswered || !nodes.has(other)) return 0;
      throw err;
    }
  });
  return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0);
}
