// What of nodes is in the stores: JSON, with addresses as text.
import type { Affiliation, NodeConfig } from './config.ts';
import type { SubscriptionOptions } from './subscription-options.ts';

/** A node, or what is left of one. */
export interface NodeRow {
  /** What is not as in the defaults of its name. */
  readonly config: Partial<NodeConfig>;
  /** Bare JID. */
  readonly creator: string;
  /** When it was made, in milliseconds since 1970. */
  readonly at: number;
  /** It was deleted, and this is where it goes on (XEP-0060 8.4.1): a URI. */
  readonly movedTo?: string;
}

/** XEP-0060 4.2; whoever is not subscribed has no row. */
export type SubscriptionState = 'pending' | 'unconfigured' | 'subscribed';

export interface SubscriptionRow {
  /** Who is notified: a bare JID, or a full one of the same person. */
  readonly jid: string;
  /** Unique for the person and the node. */
  readonly subid: string;
  readonly state: SubscriptionState;
  /** Others are to see that, while it counts (XEP-0465). */
  readonly isPublic?: true;
  /** What is not as in the defaults. */
  readonly options?: Partial<SubscriptionOptions>;
}

/** What one person, a bare JID, has to do with a node. */
export interface EntityRow {
  /** `none`, unless said. */
  readonly affiliation?: Affiliation;
  readonly subscriptions?: readonly SubscriptionRow[];
}
