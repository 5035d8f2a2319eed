// A node as it lives on its owner: its configuration, and who has to do with it. State and look-ups; what happens at a node is in the files
// beside this one, a section of XEP-0060 each. Items are in the store.
import type { Item } from '../../storage/ports.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Affiliation, NodeConfig } from './config.ts';
import type { EntityRow, SubscriptionRow } from './rows.ts';
import { plainOptions, type SubscriptionOptions } from './subscription-options.ts';

/**
 * That nodes of a name come with another node: the service alone makes them, they are where that one is, and no longer. Who may read and publish, and who
 * owns them, is said there.
 */
export interface Companion {
  /** The name of the other one; undefined where no node can have the name. */
  readonly head: string | undefined;
  /** Its items are the service's own. */
  readonly isManaged: boolean;
  /**
   * What of it is the service's own it makes where it is needed: whoever wants to make, change or remove anything there is `forbidden` to. `always`: it is
   * there as soon as the other one is; `alone`: there is no other one.
   */
  readonly made?: 'always' | 'alone';
}

export interface NodeState {
  readonly name: string;
  readonly config: NodeConfig;
  /** Bare JID. */
  readonly creator: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** By bare JID. */
  readonly entities: ReadonlyMap<string, EntityRow>;
  /** The node that it comes with. */
  readonly head?: Node | undefined;
  readonly isManaged?: boolean | undefined;
}

/** Somebody who is to hear, and under which subscriptions. */
export interface Hearer {
  readonly jid: Jid;
  readonly subids: readonly string[];
}

export class Node {
  readonly name: string;
  readonly creator: string;
  readonly createdAt: number;
  /** The node that it comes with, which says who may do what. */
  readonly head: Node | undefined;
  /** Its items are the service's own. */
  readonly isManaged: boolean;
  /** Publications that are on their way to the disk, of one that comes with another. */
  pending = 0;
  /** It was deleted; it tells nothing any more. */
  isOver = false;
  /** Who hears of it, where that depends on nothing but itself; notify.ts finds it out. */
  audience: readonly Hearer[] | undefined;
  /** The last item of a node that keeps none (XEP-0060 12.10). */
  last: Item | undefined;
  private readonly rows: Map<string, EntityRow>;
  private current: NodeConfig;
  /** What the other one was when this was made to follow it. */
  private followed: NodeConfig | undefined;

  constructor({ name, config, creator, createdAt, entities, head, isManaged = false }: NodeState) {
    this.name = name;
    this.head = head;
    this.isManaged = isManaged;
    this.current = config;
    this.creator = creator;
    this.createdAt = createdAt;
    this.rows = new Map(entities);
  }

  get config(): NodeConfig {
    const other = this.head?.config;
    if (other === undefined || other === this.followed) return this.current;
    const { accessModel, rosterGroups, publishModel } = other;
    this.followed = other;
    this.current = {
      ...this.current,
      accessModel,
      rosterGroups,
      publishModel: this.isManaged ? 'publishers' : publishModel,
    };
    return this.current;
  }
  set config(config: NodeConfig) {
    this.current = config;
    this.audience = undefined;
  }

  /** Who has to do with it, by bare JID. */
  get entities(): ReadonlyMap<string, EntityRow> {
    return this.rows;
  }

  /** The node that says who may do what: itself, or the one it comes with. */
  get judge(): Node {
    return this.head?.judge ?? this;
  }

  /** As its owners say; a service may know better (`Policy.standing`). */
  affiliationOf(bare: string): Affiliation {
    return this.judge.rows.get(bare)?.affiliation ?? 'none';
  }

  /** Bare JIDs with that affiliation. */
  affiliated(affiliation: Affiliation): string[] {
    return [...this.judge.rows].filter(([, row]) => row.affiliation === affiliation).map(([bare]) => bare);
  }

  /** Of a person, in whatever state. */
  subscriptionsOf(bare: string): readonly SubscriptionRow[] {
    return this.rows.get(bare)?.subscriptions ?? [];
  }

  /** Only those who write the row call this, when it is written. */
  setRows(rows: ReadonlyMap<string, EntityRow | undefined>): void {
    this.audience = undefined;
    for (const [bare, row] of rows) {
      if (row === undefined) this.rows.delete(bare);
      else this.rows.set(bare, row);
    }
  }
}

export function optionsOf({ options }: SubscriptionRow): SubscriptionOptions {
  return options === undefined ? plainOptions : { ...plainOptions, ...options };
}

/** Whether it counts: it was approved, and its time is not over. */
export function isActive(subscription: SubscriptionRow, now: number): boolean {
  return subscription.state === 'subscribed' && !hasExpired(subscription, now);
}

/** XEP-0060 12.19: a lease that is over. */
export function hasExpired({ options }: SubscriptionRow, now: number): boolean {
  return typeof options?.expire === 'number' && options.expire <= now;
}

/** A row with other subscriptions in it; undefined where nothing is left to be said of the person. */
export function withSubscriptions(
  row: EntityRow | undefined,
  subscriptions: readonly SubscriptionRow[],
): EntityRow | undefined {
  const { affiliation } = row ?? {};
  if (affiliation === undefined && subscriptions.length === 0) return undefined;
  return { ...(affiliation !== undefined && { affiliation }), ...(subscriptions.length > 0 && { subscriptions }) };
}

/** A row with another affiliation in it. */
export function withAffiliation(row: EntityRow | undefined, affiliation: Affiliation): EntityRow | undefined {
  const { subscriptions } = row ?? {};
  if (affiliation === 'none' && subscriptions === undefined) return undefined;
  return { ...(affiliation !== 'none' && { affiliation }), ...(subscriptions !== undefined && { subscriptions }) };
}
