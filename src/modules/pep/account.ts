// The nodes of one account, on the node of the cluster that owns them: what is asked of them comes here.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import type { KvStore } from '../../storage/ports.ts';
import { Jid } from '../../xmpp/jid.ts';
import { mayNotRead } from '../pubsub/access.ts';
import type { Answered } from '../pubsub/asked.ts';
import { type OfNode, run } from '../pubsub/errands.ts';
import { sendLastItem } from '../pubsub/last-item.ts';
import type { ShelfPorts } from '../pubsub/ports.ts';
import type { EntityRow, NodeRow } from '../pubsub/rows.ts';
import { type Remembered, Shelf } from '../pubsub/shelf.ts';
import { type NodeStores, StoredRows } from '../pubsub/stores.ts';
import { endSubscriptions } from '../pubsub/subscriptions.ts';
import { type FollowersParts, noteFollowers, noteNode } from './followers.ts';

/** Asks for the last items of nodes to be sent to a resource: its own, or a contact's. */
export interface LastAsked {
  /** A full JID. */
  readonly to: string;
  readonly nodes: readonly string[];
}
/** Tells that a contact, a bare JID, perhaps may not read any more what it has subscribed to (XEP-0163 7.1). */
export interface Lowered {
  readonly lowered: string;
}

export type AccountStores = NodeStores & FollowersParts['stores'] & { readonly guarded: KvStore<true> };

/**
 * The rows of an account. Where somebody is kept out, that is noted for those who look at its nodes without asking their owner; who has to do with
 * them, for when he goes.
 */
export class AccountRows extends StoredRows {
  private readonly guarded: KvStore<true>;
  private readonly following: Pick<FollowersParts, 'domain' | 'stores'>;
  private readonly user: string;

  constructor(stores: AccountStores, { local, domain }: Jid, lease: Lease) {
    super(stores, local, lease);
    this.guarded = stores.guarded;
    this.following = { domain, stores };
    this.user = local;
  }

  override async saveNode(name: string, row: NodeRow | undefined): Promise<void> {
    await noteNode(this.following, this.user, row);
    return super.saveNode(name, row);
  }

  override async saveEntities(name: string, rows: ReadonlyMap<string, EntityRow | undefined>): Promise<void> {
    const isGuarded = [...rows.values()].some((row) => row !== undefined && keepsOut(row));
    if (isGuarded && (await this.guarded.get(this.user)) === undefined) await this.guarded.set(this.user, true);
    await noteFollowers(this.following, this.user, rows);
    return super.saveEntities(name, rows);
  }
}

const keepsOut = ({ affiliation }: EntityRow): boolean => affiliation === 'outcast' || affiliation === 'publish-only';

export class AccountNodes {
  readonly rows: AccountRows;
  /** The account's bare JID. */
  private readonly jid: Jid;
  private readonly ports: ShelfPorts;
  private shelf: Shelf;
  /** It is somebody else's now. */
  isDropped = false;

  constructor(
    jid: Jid,
    rows: AccountRows,
    handed: Remembered | undefined,
    makePorts: (account: AccountNodes) => ShelfPorts,
  ) {
    this.jid = jid;
    this.rows = rows;
    this.ports = makePorts(this);
    this.shelf = new Shelf(jid, this.ports, handed);
  }

  get isIdle(): boolean {
    return this.shelf.isQuiet;
  }

  /** Does what one node is asked. @throws StanzaError what it is refused with */
  run({ node, errand }: OfNode): MaybePromise<Answered> {
    return run(this.shelf, node, errand);
  }

  /** Resolves when everything is stored and told. @returns what the next owner should know besides */
  async freeze(): Promise<Remembered> {
    await this.shelf.settled();
    await this.rows.settled();
    return this.shelf.remembered();
  }

  /** XEP-0163 4.3.3, 4.3.4: to a resource that has come online, or wants to hear of more than before. */
  async sendLast({ to, nodes }: LastAsked): Promise<void> {
    const { shelf, jid } = this;
    const resource = Jid.parse(to);
    if (resource === undefined) return;
    const isOwn = resource.bare === jid.bare;
    if (!isOwn && (await this.ports.people.contact(jid.bare, resource))?.isFrom !== true) return;
    for (const name of nodes) {
      const node = await shelf.find(name);
      if (node?.config.sendLast !== 'on_sub_and_presence') continue;
      if (isOwn || (await mayNotRead(shelf, node, resource)) === undefined) sendLastItem(shelf, node, [resource]);
    }
  }

  /** XEP-0163 7.1: who may not read any more is not subscribed any more. */
  async lower(contact: string): Promise<void> {
    const { shelf } = this;
    const who = Jid.parse(contact);
    if (who === undefined) return;
    for (const [name, { subscriptions }] of await this.ports.directory.of(contact)) {
      if (subscriptions === undefined) continue;
      await shelf.run(name, async () => {
        const node = await shelf.find(name);
        const own = node?.subscriptionsOf(contact) ?? [];
        if (node === undefined || own.length === 0 || (await mayNotRead(shelf, node, who)) === undefined) return;
        await endSubscriptions(shelf, node, contact, own);
      });
    }
  }

  /** The account is removed: what is stored goes, and nothing of it is to be remembered. */
  forget(): void {
    this.shelf = new Shelf(this.jid, this.ports);
  }
}
