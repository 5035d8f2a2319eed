// People of this server who have to do with nodes of other accounts here: whose those are is written down, so that they are found when somebody goes
// offline (XEP-0060 12.5, `tempsub` and `expire`), or is removed, without looking at every account.
import type { KvStore, MapStore, PairsStore } from '../../storage/ports.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { OfNode } from '../pubsub/errands.ts';
import { isWhileOnline } from '../pubsub/heeding.ts';
import type { EntityRow, NodeRow } from '../pubsub/rows.ts';

export interface FollowersParts {
  readonly domain: string;
  readonly stores: {
    readonly entities: PairsStore<EntityRow>;
    /** By localparts: of who has to do with nodes, and of whose they are. */
    readonly followed: MapStore<true>;
    /** Accounts at whose nodes some subscription was ever for as long as somebody is online. */
    readonly heeding: KvStore<true>;
  };
  /** Asks the owner of an account's nodes. */
  call(user: string, asked: OfNode): Promise<unknown>;
}

type Stores = Pick<FollowersParts, 'domain' | 'stores'>;

/** Is called before who has to do with an account's nodes is written. */
export async function noteFollowers(
  { domain, stores: { followed, heeding } }: Stores,
  user: string,
  rows: ReadonlyMap<string, EntityRow | undefined>,
): Promise<void> {
  for (const [bare, row] of rows) {
    if (row === undefined) continue;
    if (isWhileOnline(row)) await heed(heeding, user);
    const who = Jid.parse(bare);
    if (who === undefined || who.domain !== domain || who.local === user) continue;
    if ((await followed.get(who.local, user)) === undefined) await followed.set(who.local, user, true);
  }
}

/** Is called before a node is written. */
export async function noteNode({ stores }: Stores, user: string, row: NodeRow | undefined): Promise<void> {
  if (row?.config.isTemporary === true) await heed(stores.heeding, user);
}

async function heed(heeding: KvStore<true>, user: string): Promise<void> {
  if ((await heeding.get(user)) === undefined) await heeding.set(user, true);
}

export class Followers {
  private readonly parts: FollowersParts;

  constructor(parts: FollowersParts) {
    this.parts = parts;
  }

  /** A resource of this server is not available any more. */
  async wentOffline(who: Jid): Promise<void> {
    await this.leave(who, who.local);
    for (const user of (await this.parts.stores.followed.all(who.local)).keys()) await this.leave(who, user);
  }

  /** A resource is not available any more to an account, as far as that can know. */
  async leave(who: Jid, user: string): Promise<void> {
    const { stores, call } = this.parts;
    if ((await stores.heeding.get(user)) === undefined) return;
    for (const [node, { subscriptions = [] }] of await stores.entities.right(user, who.bare)) {
      if (subscriptions.length > 0) await call(user, { node, errand: { is: 'going', who: who.full } });
    }
  }

  /** An account is being removed: it has nothing to do with anybody's nodes any more. */
  async remove(account: string): Promise<void> {
    const { stores, call, domain } = this.parts;
    const { bare } = Jid.of(account, domain);
    for (const user of (await stores.followed.all(account)).keys()) {
      for (const node of (await stores.entities.right(user, bare)).keys()) {
        await call(user, { node, errand: { is: 'removed', who: bare } });
      }
    }
  }
}
