// What the engine needs of the world. It knows nothing else, so that it serves a host of nodes, an account's nodes (XEP-0163), and a test.
import type { MaybePromise } from '../../base/maybe.ts';
import type { LeasedHooks } from '../../core/leased.ts';
import type { Item, ItemsPage, ItemsQuery, ItemsUsage, NewItem } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { Affiliation, NodeConfig } from './config.ts';
import type { Node } from './node.ts';
import type { EntityRow, NodeRow } from './rows.ts';

/** What somebody is to an account, by its roster. */
export interface Contact {
  /** Whether they have a subscription to its presence. */
  readonly isFrom: boolean;
  readonly groups: readonly string[];
}

/** What is known of people. */
export interface People {
  /** By the roster of an owner of a node, a bare JID; undefined where this server has no such roster, or nobody of that name in it. */
  contact(owner: string, who: Jid): MaybePromise<Contact | undefined>;
  /** Whether a full JID is available, or any resource of a bare JID; undefined where that is for another server to know. */
  isPresent(who: Jid): MaybePromise<boolean | undefined>;
}

/** What a service allows, whoever owns the nodes. */
export interface Policy {
  /** What somebody is to every node, whatever its owners say: the account to its own nodes, an operator. */
  standing(who: Jid): Affiliation | undefined;
  /** Whether somebody may make nodes. */
  mayCreate(who: Jid): MaybePromise<boolean>;
  /** A node is made by publishing to it (7.1.4). */
  readonly createsOnPublish: boolean;
  /** What a new node of that name is. */
  defaults(name: string): NodeConfig;
  /** Nodes that one person may own, by making them; no limit, unless said. */
  readonly mostNodes?: number;
  /** Items at a node, which is what `max` stands for. */
  readonly mostItems: number;
  /** Of a payload, in bytes. */
  readonly mostPayload: number;
  /** Subscriptions of one person to one node. */
  readonly mostSubscriptions: number;
  /** Items in one answer. */
  readonly pageSize: number;
}

/** The items of a service's nodes; {@link ItemsStore} tells more. Each write looks first whether the node may be written still, and rejects when not. */
export interface ItemRows {
  put(node: string, items: readonly NewItem[], most: number): Promise<readonly string[]>;
  get(node: string, ids: readonly string[]): Promise<readonly Item[]>;
  page(node: string, query: ItemsQuery): Promise<ItemsPage | undefined>;
  newest(node: string): Promise<Item | undefined>;
  usage(node: string): Promise<ItemsUsage>;
  remove(node: string, ids: readonly string[]): Promise<readonly string[]>;
  clear(node: string): Promise<unknown>;
  trim(node: string, most: number): Promise<readonly string[]>;
  /** `ttl` in milliseconds. */
  expire(node: string, ttl: number | undefined): Promise<void>;
}

/** The stores of a service; writing looks as in {@link ItemRows}. */
export interface ShelfRows {
  node(name: string): MaybePromise<NodeRow | undefined>;
  /** `undefined` removes. */
  saveNode(name: string, row: NodeRow | undefined): Promise<void>;
  /** By bare JID. */
  entities(name: string): MaybePromise<ReadonlyMap<string, EntityRow>>;
  /** All in one step; `undefined` removes. */
  saveEntities(name: string, rows: ReadonlyMap<string, EntityRow | undefined>): Promise<void>;
  clearEntities(name: string): Promise<unknown>;
  readonly items: ItemRows;
}

/** What is asked across nodes, and wakes none of them. */
export interface Directory {
  /** Every node of the service, by name. */
  nodes(): MaybePromise<ReadonlyMap<string, NodeRow>>;
  /** What a person, a bare JID, has to do with which nodes. */
  of(person: string): MaybePromise<ReadonlyMap<string, EntityRow>>;
}

export interface ServicePorts {
  readonly hooks: LeasedHooks;
  readonly people: People;
  readonly policy: Policy;
  readonly directory: Directory;
  /** Milliseconds since 1970. */
  now(): number;
  /** Never the same twice, and not to be guessed. */
  newId(): string;
}

/** For nodes that this node of the cluster owns. */
export interface ShelfPorts extends ServicePorts {
  readonly rows: ShelfRows;
  /**
   * One element, which has its `from` and no `to`, from the service to people's bare or full JIDs. What is told first arrives first.
   */
  tell(element: Element, to: readonly Jid[]): void;
  /** Full JIDs that hear of what happens at a node without having subscribed (9.1), of those who may. */
  listeners(node: Node): MaybePromise<readonly Jid[]>;
  /** Work that nobody waits for: its failure is logged. */
  background(work: Promise<unknown>, what: string): void;
}
