// THE LIST: every hook of nodes, for hosts of nodes and for accounts' nodes alike, and what a handler may do. All are run on the node of the
// cluster that owns what they tell of. Handlers read nodes; they change none of it inside.
import { collect, gate, notify } from '../../core/hooks.ts';
import type { Item } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';
import type { NodeConfig } from './config.ts';
import type { ExtraField } from './forms.ts';
import type { Companion, Node } from './node.ts';
import type { Shelf } from './shelf.ts';

/** What all of them have: the service is a host of nodes, or an account (a bare JID). */
interface At {
  readonly service: Jid;
  readonly node: Node;
}

/**
 * What a node of that name is, unless somebody decides otherwise; and what one is that somebody makes as one of that type (`pubsub#type`).
 * Handlers put another `config` in place, at once.
 */
export const nodeDefaults = collect<{
  readonly service: Jid;
  readonly name: string;
  readonly type: string | undefined;
  config: NodeConfig;
  /** Nodes of that name come with others. */
  companion?: Companion;
}>('pubsub-node-defaults');

/** The owner's form is being made or read (8.2); handlers push fields, the same each time. {@link chosen} tells what was chosen in them. */
export const nodeFields = collect<{
  readonly service: Jid;
  readonly name: string;
  readonly fields: ExtraField<unknown>[];
}>('pubsub-node-fields');

/** Somebody wants to make a node, and may. `check` may refuse. */
export const nodeCreating = gate<{
  readonly service: Jid;
  readonly name: string;
  readonly creator: Jid;
  readonly config: NodeConfig;
}>()('pubsub-node-creating', ['check']);

/** Somebody wants to configure a node, and may: `check` may refuse. */
export const nodeConfiguring = gate<At & { readonly by: Jid; readonly config: NodeConfig }>()(
  'pubsub-node-configuring',
  ['check'],
);

/** An item is to be published, by somebody who may. */
export interface ItemPublish extends At {
  /** A full JID; the bare one of an account where the server does it in its name. */
  readonly publisher: Jid;
  /** The nodes beside it: what is done at one of them here is done before this item is stored. */
  readonly shelf: Shelf;
  /** `change` may put others in place. */
  id: string;
  payload: Element | undefined;
}
/** `check` may refuse, `change` may change what is stored. Both before it is. */
export const itemPublish = gate<ItemPublish>()('pubsub-item-publish', ['check', 'change']);

/** An item is stored, where the node keeps items, and subscribers have been told. */
export const itemPublished = notify<
  At & { readonly publisher: Jid; readonly item: Item; readonly payload: Element | undefined }
>('pubsub-item-published');

/** An item is to be published at a node that comes with another one, and is not there. */
export interface CompanionWanted {
  readonly shelf: Shelf;
  readonly name: string;
  readonly publisher: Jid;
  readonly item: Element | undefined;
  made?: Node;
}
/** `make` may lay it out, where whoever publishes may publish there, or refuse. In the node's turn. */
export const companionWanted = gate<CompanionWanted>()('pubsub-companion-wanted', ['make']);

/**
 * What a node has is not what it was, the store has it, and subscribers have been told: whoever wanted it so is answered when handlers are done with what
 * follows from it at nodes beside. The node's turn may be held: handlers may wait for those of its companions, and nobody else's.
 */
export const itemsChanged = collect<ItemsChanged>('pubsub-items-changed');
export interface ItemsChanged extends At {
  readonly shelf: Shelf;
  readonly by: Jid;
  readonly published?: { readonly id: string; readonly payload: Element | undefined };
  /** Ids, or all; of a node that is over, all. */
  readonly gone: readonly string[] | 'all';
}

/** Items are gone: somebody took them back, or they gave way to others. */
export const itemsRetracted = notify<At & { readonly by: Jid; readonly ids: readonly string[] }>(
  'pubsub-items-retracted',
);

export const nodeCreated = notify<At & { readonly creator: Jid }>('pubsub-node-created');
export const nodeConfigured = notify<At & { readonly before: NodeConfig }>('pubsub-node-configured');
/** All items are gone. */
export const nodePurged = notify<At & { readonly by: Jid }>('pubsub-node-purged');
export const nodeDeleted = notify<At & { readonly by: Jid }>('pubsub-node-deleted');

/** Somebody is subscribed from now on, or is not any more. */
export const nodeSubscribed = notify<At & { readonly subscriber: Jid; readonly isSubscribed: boolean }>(
  'pubsub-node-subscribed',
);

/**
 * Others may see from now on that somebody, a bare JID, is subscribed, or may not any more (XEP-0465). The node's turn is held: handlers may wait for those of its
 * companions, and nobody else's; whoever wanted it so is answered after that.
 */
export const publiclySubscribed = collect<
  At & { readonly shelf: Shelf; readonly subscriber: string; readonly isSubscribed: boolean }
>('pubsub-publicly-subscribed');

/** What a node tells of itself by disco#info (5.3, 5.4): handlers push features and forms. */
export const nodeInfo = collect<At & { readonly asker: Jid; readonly features: string[]; readonly forms: Element[] }>(
  'pubsub-node-info',
);
