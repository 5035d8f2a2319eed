// A node as it lives on its owner: its configuration, and who has to do with it. State and look-ups; what happens at a node is in the files
// beside this one, a section of XEP-0060 each. Items are in the store.
import type { Item } from '../../storage/ports.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Affiliation, NodeConfig } from './config.ts';
import type { EntityRow, SubscriptionRow } from './rows.ts';
import { plainOptions, type SubscriptionOptions } from './subscription-options.ts';

export interface NodeState {
  readonly name: string;
  readonly config: NodeConfig;
  /** Bare JID. */
  readonly creator: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** By bare JID. */
  readonly entities: ReadonlyMap<string, EntityRow>;
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
  /** It was deleted; it tells nothing any more. */
  isOver = false;
  /** Who hears of it, where that depends on nothing but itself; notify.ts finds it out. */
  audience: readonly Hearer[] | undefined;
  /** The last item of a node that keeps none (XEP-0060 12.10). */
  last: Item | undefined;
  private readonly rows: Map<string, EntityRow>;
  private current: NodeConfig;

  constructor({ name, config, creator, createdAt, entities }: NodeState) {
    this.name = name;
    this.current = config;
    this.creator = creator;
    this.createdAt = createdAt;
    this.rows = new Map(entities);
  }

  get config(): NodeConfig {
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

  /** As its owners say; a service may know better (`Policy.standing`). */
  affiliationOf(bare: string): Affiliation {
    return this.rows.get(bare)?.affiliation ?? 'none';
  }

  /** Bare JIDs with that affiliation. */
  affiliated(affiliation: Affiliation): string[] {
    return [...this.rows].filter(([, row]) => row.affiliation === affiliation).map(([bare]) => bare);
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
