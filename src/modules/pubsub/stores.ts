// The stores of nodes, and how their owner writes them: it looks before each write whether they are still its own.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import type { ItemsStore, MapStore, PairsStore } from '../../storage/ports.ts';
import { items, map, pairs } from '../../storage/specs.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { Directory, ItemRows, ShelfRows } from './ports.ts';
import type { EntityRow, NodeRow } from './rows.ts';

/** Whose the rows of all nodes of a host are. */
export const OWNER = 'pubsub';

/** What a module that has nodes declares: nodes by name, who has to do with which (a bare JID), and items. The owner is whose the nodes are. */
export const stores = { nodes: map<NodeRow>(), entities: pairs<EntityRow>(), items: items() };

export interface NodeStores {
  readonly nodes: MapStore<NodeRow>;
  readonly entities: PairsStore<EntityRow>;
  readonly items: ItemsStore;
}

/** What is asked across the nodes of an owner. */
export function directoryOf({ nodes, entities }: NodeStores, owner: string): Directory {
  return {
    nodes: () => nodes.all(owner),
    of: (person) => entities.right(owner, person),
  };
}

/** Resolves when nodes are certainly this node's of the cluster. @throws StanzaError where they are not any more */
export async function confirm(lease: Lease): Promise<void> {
  while (!lease.isValid) {
    if (!(await lease.confirm())) throw new StanzaError('remote-server-timeout', 'the node has gone elsewhere');
  }
}

/** The rows of an owner, for as long as a lease is held. */
export class StoredRows implements ShelfRows {
  readonly items: ItemRows;
  private readonly stores: NodeStores;
  private readonly owner: string;
  private readonly lease: Lease;
  private readonly underWay = new Set<Promise<unknown>>();

  constructor(stores: NodeStores, owner: string, lease: Lease) {
    this.stores = stores;
    this.owner = owner;
    this.lease = lease;
    const store = stores.items;
    this.items = {
      put: (node, added, most) => this.write(() => store.put(owner, node, added, most)),
      get: (node, ids) => store.get(owner, node, ids),
      page: (node, query) => store.page(owner, node, query),
      newest: (node) => store.newest([{ owner, node }]).then(([item]) => item),
      usage: (node) => store.usage(owner, node),
      remove: (node, ids) => this.write(() => store.remove(owner, node, ids)),
      clear: (node) => this.write(() => store.clear(owner, node)),
      trim: (node, most) => this.write(() => store.trim(owner, node, most)),
      expire: (node, ttl) => this.write(() => store.expire(owner, node, ttl)),
    };
  }

  node(name: string): MaybePromise<NodeRow | undefined> {
    return this.stores.nodes.get(this.owner, name);
  }

  saveNode(name: string, row: NodeRow | undefined): Promise<void> {
    return this.write(() => this.stores.nodes.set(this.owner, name, row));
  }

  entities(name: string): Promise<ReadonlyMap<string, EntityRow>> {
    return this.stores.entities.left(this.owner, name);
  }

  saveEntities(name: string, rows: ReadonlyMap<string, EntityRow | undefined>): Promise<void> {
    return this.write(() => this.stores.entities.setAll(this.owner, name, rows));
  }

  clearEntities(name: string): Promise<unknown> {
    return this.write(() => this.stores.entities.clear(this.owner, name));
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    while (this.underWay.size > 0) await Promise.allSettled(this.underWay);
  }

  private write<T>(work: () => Promise<T>): Promise<T> {
    const done = this.whenOurs(work);
    this.underWay.add(done);
    const end = (): void => void this.underWay.delete(done);
    done.then(end, end);
    return done;
  }

  /** Begins at once where that may be: what is written first is there first. */
  private async whenOurs<T>(work: () => Promise<T>): Promise<T> {
    if (!this.lease.isValid) await confirm(this.lease);
    return work();
  }
}
