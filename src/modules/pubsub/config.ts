// What the owner of a node decides about it (XEP-0060 8.2, 16.4.4): plain JSON, of which the difference to the defaults is stored.

/** What somebody is to a node (XEP-0060 4.1). */
export const affiliations = ['owner', 'publisher', 'publish-only', 'member', 'none', 'outcast'] as const;
export type Affiliation = (typeof affiliations)[number];

/** Who may subscribe and read (XEP-0060 4.5). */
export const accessModels = ['open', 'presence', 'roster', 'authorize', 'whitelist'] as const;
export type AccessModel = (typeof accessModels)[number];

/** Who may publish, beside owners, publishers and those who may do nothing else. */
export type PublishModel = 'publishers' | 'subscribers' | 'open';

/** When subscribers are sent the last item: never, when they subscribe, and when they come online besides. */
export type SendLast = 'never' | 'on_sub' | 'on_sub_and_presence';

/** What gives way when an item is published at a node that is full (XEP-0060 7.1.2.5). */
export type WhenFull = 'retract-oldest' | 'discard-oldest' | 'reject';

export interface NodeConfig {
  /** For people; `''` where there is none. */
  readonly title: string;
  readonly description: string;
  /** A language tag, `''` for none in particular. */
  readonly language: string;
  /** What the items are about, usually a namespace; `''` where nobody says. */
  readonly type: string;
  /** Addresses of people to ask. */
  readonly contact: readonly string[];
  readonly accessModel: AccessModel;
  /** Of the owners' rosters, where the access model is `roster`. */
  readonly rosterGroups: readonly string[];
  readonly publishModel: PublishModel;
  /** Items are kept; else the last one alone, for a while. */
  readonly isPersistent: boolean;
  /** Items that are kept; `max` for as many as may be. */
  readonly maxItems: number | 'max';
  /** Seconds that an item is kept; `max` for good. */
  readonly itemExpire: number | 'max';
  readonly whenFull: WhenFull;
  readonly allowsSubscriptions: boolean;
  /** Whether anybody is told of anything. */
  readonly deliversNotifications: boolean;
  /** Notifications bring the payload. */
  readonly deliversPayloads: boolean;
  readonly notifiesConfig: boolean;
  readonly notifiesDelete: boolean;
  readonly notifiesRetract: boolean;
  /** Owners are told of those who subscribe and unsubscribe. */
  readonly notifiesSubscriptions: boolean;
  /** The type of the messages that notify. */
  readonly notificationType: 'normal' | 'headline';
  readonly sendLast: SendLast;
  /** Only those are notified who are online. */
  readonly isPresenceBased: boolean;
  /** Of a payload, in bytes. */
  readonly maxPayload: number;
  /** Items name who has published them. */
  readonly itemReply: 'none' | 'publisher';
  /** Subscriptions end when their subscribers go offline. */
  readonly isTemporary: boolean;
  /** What was chosen in fields that modules have added to the form (hooks.ts), by the fields' names. */
  readonly more?: Readonly<Record<string, readonly string[]>>;
}

/** What a node is that nobody has said anything about. */
export const plainConfig: NodeConfig = {
  title: '',
  description: '',
  language: '',
  type: '',
  contact: [],
  accessModel: 'open',
  rosterGroups: [],
  publishModel: 'publishers',
  isPersistent: true,
  maxItems: 'max',
  itemExpire: 'max',
  whenFull: 'retract-oldest',
  allowsSubscriptions: true,
  deliversNotifications: true,
  deliversPayloads: true,
  notifiesConfig: false,
  notifiesDelete: true,
  notifiesRetract: true,
  notifiesSubscriptions: false,
  notificationType: 'headline',
  sendLast: 'on_sub',
  isPresenceBased: false,
  maxPayload: 65_536,
  itemReply: 'none',
  isTemporary: false,
};

/** What of a configuration is not as in the other: what is stored. */
export function differences(config: NodeConfig, defaults: NodeConfig): Partial<NodeConfig> {
  const entries = Object.entries(config) as [keyof NodeConfig, unknown][];
  return Object.fromEntries(entries.filter(([name, value]) => !isSame(value, defaults[name])));
}

/** Whether two values of a configuration are the same; lists are, in whatever order. */
export function isSame(one: unknown, other: unknown): boolean {
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((value) => other.includes(value));
  }
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return one === other;
  return JSON.stringify(one) === JSON.stringify(other);
}
