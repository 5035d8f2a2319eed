// Two nodes of an account that are one thing under two names: what happens at one is done at the other. On the node of the cluster that owns the
// account's nodes. Whatever was published last is at both in the end, however quickly both are published at.
import { LruCache } from '../../base/lru.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { FormValues, PersonalNodes } from '../pep/service.ts';
import { isSame, type NodeConfig } from '../pubsub/config.ts';
import type { ItemPublish } from '../pubsub/hooks.ts';

/** Accounts; what is refused after it was let in is not heard of again. */
const REMEMBERED = 10_000;

export interface Pair {
  readonly nodes: PersonalNodes;
  /** The other name of a node of the two. */
  otherOf(node: string): string;
}

type Publication = Pick<ItemPublish, 'service' | 'node' | 'publisher' | 'payload'>;

/** The last thing that has happened. */
interface Newest {
  readonly node: string;
  /** What was published; undefined where all was removed. */
  readonly payload: Element | undefined;
}

export class Mirror {
  private readonly pair: Pair;
  private readonly turns = new Turns<string>();
  /** What is on its way to the other node, by account. */
  private readonly newest = new LruCache<string, Newest>(REMEMBERED);
  /** What is being published here, by account and node. */
  private readonly publishes = new Map<string, string>();

  constructor(pair: Pair) {
    this.pair = pair;
  }

  /** An item is to be published; asked in the turn of its node. */
  publishing(event: Publication): StanzaError | undefined {
    const { local } = event.service;
    const { name } = event.node;
    if (!this.isOwn(local, name, event)) {
      this.newest.set(local, { node: name, payload: event.payload });
      return undefined;
    }
    const isOutdated = this.newest.get(local)?.node === name;
    return isOutdated ? new StanzaError('conflict', 'something newer was published here') : undefined;
  }

  /** An item is published. */
  published(event: Publication): MaybePromise<void> {
    const { local } = event.service;
    const { name } = event.node;
    if (this.isOwn(local, name, event)) return undefined;
    const newest = this.newest.get(local);
    // what is newer at the other node comes here in turn
    if (newest !== undefined && newest.node !== name) return undefined;
    return this.run(local, name, newest?.payload === event.payload ? newest : undefined);
  }

  /** Items are gone, taken back or because others took their place. */
  retracted(user: string, node: string, ids: readonly string[]): MaybePromise<void> {
    return this.turns.run(user, async () => {
      const { nodes } = this.pair;
      const other = this.other(node);
      const shown = await nodes.items(user, other, { ids });
      if (shown.length === 0) return;
      const here = new Set((await nodes.items(user, node, { ids })).map(({ id }) => id));
      const left = shown.map(({ id }) => id).filter((id) => !here.has(id));
      if (left.length > 0) await nodes.retract(user, other, left);
    });
  }

  /** A node was purged or deleted, by the account itself. */
  emptied(user: string, node: string): MaybePromise<void> {
    const newest = { node, payload: undefined };
    this.newest.set(user, newest);
    return this.run(user, node, newest);
  }

  /** A node has other settings now. */
  configured(user: string, node: string): MaybePromise<void> {
    return this.turns.run(user, async () => {
      const { nodes } = this.pair;
      const [config, other] = [await nodes.config(user, node), await nodes.config(user, this.other(node))];
      if (config !== undefined && other !== undefined) await this.align(user, this.other(node), other, config);
    });
  }

  private run(user: string, node: string, newest: Newest | undefined): MaybePromise<void> {
    return this.turns.run(user, async () => {
      const other = this.other(node);
      if (this.newest.get(user)?.node !== other) await this.copy(user, node, other);
      if (newest !== undefined && this.newest.get(user) === newest) this.newest.delete(user);
    });
  }

  private async copy(user: string, from: string, to: string): Promise<void> {
    const { nodes } = this.pair;
    const [config, there] = [await nodes.config(user, from), await nodes.config(user, to)];
    if (config === undefined) {
      if (there !== undefined) await nodes.remove(user, to);
      return;
    }
    // before anything is to be read there
    if (there !== undefined) await this.align(user, to, there, config);
    const [[item], [shown]] = [await nodes.items(user, from, { most: 1 }), await nodes.items(user, to, { most: 1 })];
    if (item?.payload === undefined) return takeBackAll(nodes, user, to);
    const { id, payload } = item;
    const xml = payload.toXml();
    if (shown?.payload?.toXml() === xml) return;
    const key = keyOf(user, to);
    this.publishes.set(key, xml);
    try {
      await nodes.publish(user, to, payload, { id, ...(there === undefined && { expected: accessOf(config) }) });
    } catch (error) {
      // something newer is there, which comes here in turn
      if (this.newest.get(user)?.node !== to) throw error;
    } finally {
      this.publishes.delete(key);
    }
  }

  private async align(user: string, node: string, is: NodeConfig, wanted: NodeConfig): Promise<void> {
    if (!isSame(accessOf(is), accessOf(wanted))) await this.pair.nodes.configure(user, node, accessOf(wanted));
  }

  /** Whether it is done here that something is published. */
  private isOwn(user: string, node: string, { publisher, payload }: Publication): boolean {
    const xml = this.publishes.get(keyOf(user, node));
    return xml !== undefined && publisher.isBare && payload?.toXml() === xml;
  }

  private other(node: string): string {
    return this.pair.otherOf(node);
  }
}

/** Takes back all items of a node. */
export async function takeBackAll(nodes: PersonalNodes, user: string, node: string): Promise<void> {
  const ids = (await nodes.items(user, node)).map(({ id }) => id);
  if (ids.length > 0) await nodes.retract(user, node, ids);
}

const keyOf = (user: string, node: string): string => `${user} ${node}`;

function accessOf({ accessModel, rosterGroups }: NodeConfig): FormValues {
  return accessModel === 'roster'
    ? { access_model: accessModel, roster_groups_allowed: rosterGroups }
    : { access_model: accessModel };
}
