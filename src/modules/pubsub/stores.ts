// The stores of nodes, and how their owner writes them: it looks before each write whether they are still its own.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import { LeasedWrites } from '../../core/leased.ts';
import type { ItemsStore, MapStore, PairsStore } from '../../storage/ports.ts';
import { items, map, pairs } from '../../storage/specs.ts';
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

/** The rows of an owner, for as long as a lease is held. */
export class StoredRows implements ShelfRows {
  readonly items: ItemRows;
  private readonly stores: NodeStores;
  private readonly owner: string;
  private readonly writes: LeasedWrites;

  constructor(stores: NodeStores, owner: string, lease: Lease) {
    this.stores = stores;
    this.owner = owner;
    this.writes = new LeasedWrites(lease);
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
  settled(): Promise<void> {
    return this.writes.settled();
  }

  private write<T>(work: () => Promise<T>): Promise<T> {
    return this.writes.run(work);
  }
}
