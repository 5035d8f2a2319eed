// The last items for a resource that comes online, or wants to hear of more than before (XEP-0163 4.3.4). For a session of this node they are read
// in one go, its own and those of its contacts here, without waking anybody's nodes; where that is not enough to know who may read, and for contacts
// at other domains, the owner of the nodes is asked.
//
// What is published while they are read is not followed by what was there before.
import { andThen, type MaybePromise } from '../../base/maybe.ts';
import type { Session } from '../../core/sessions.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { Item, ItemsStore, KvStore } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { messageOf, type Stanza } from '../../xmpp/stanza.ts';
import type { BlockList } from '../blocking/index.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import { lastItemMessage } from '../pubsub/notices.ts';
import type { NodeRow } from '../pubsub/rows.ts';
import { isFrom, isTo, type Roster } from '../roster/index.ts';
import type { LastAsked } from './account.ts';

export interface LastItemsParts {
  readonly domain: string;
  readonly stores: { readonly items: ItemsStore; readonly guarded: KvStore<true> };
  /** The nodes of an account, by name. */
  nodes(user: string): MaybePromise<ReadonlyMap<string, NodeRow>>;
  readonly roster: Roster;
  /** Whom an account has blocked (XEP-0191). */
  blockedBy(user: string): MaybePromise<BlockList | undefined>;
  /** What a node of an account is, unless somebody decides otherwise. */
  defaults(account: Jid, name: string): NodeConfig;
  newId(): string;
  /** Waits a moment; false when there is no time for it any more. */
  readonly pause: () => Promise<boolean>;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Asks the owner of an account's nodes. */
  readonly ask: (user: string, asked: LastAsked) => MaybePromise<void>;
}

/** So often the owner of nodes is asked who cannot be reached. */
const MOST_ASKED = 5;
/** Contacts that are looked at together. */
const AT_ONCE = 100;

/** A node that something is to be sent of. */
interface Found {
  readonly account: Jid;
  readonly name: string;
  readonly config: NodeConfig;
}

export class LastItems {
  private readonly parts: LastItemsParts;
  /** What sessions were told of since their batches began: `account node`. */
  private readonly under = new Map<Session, Set<string>[]>();

  constructor(parts: LastItemsParts) {
    this.parts = parts;
  }

  /** Sends a session of this node what it wants: now, or when the database is back. */
  async toSession(session: Session, wanted: ReadonlySet<string>): Promise<void> {
    const told = new Set<string>();
    this.begin(session, told);
    try {
      const batch = await this.read(session, wanted);
      for (const [node, item] of batch) {
        if (!session.available || told.has(keyOf(node.account.bare, node.name))) continue;
        session.deliver(this.message(node, item, session.jid));
      }
    } finally {
      this.end(session, told);
    }
  }

  private async read(session: Session, wanted: ReadonlySet<string>): Promise<readonly (readonly [Found, Item])[]> {
    while (session.available) {
      try {
        const found = await this.find(session.jid, wanted);
        const items = found.length === 0 ? [] : await this.newest(found);
        return found.flatMap((node, i) => (items[i] === undefined ? [] : [[node, items[i]] as const]));
      } catch (error) {
        if (!(error instanceof StorageUnavailable) || !(await this.parts.pause())) throw error;
      }
    }
    return [];
  }

  /**
   * Has a resource of a contact sent what it wants of an account's nodes.
   * @param isMeant by what a node is
   */
  toContact(
    account: Jid,
    contact: Jid,
    wanted: ReadonlySet<string>,
    isMeant: (config: NodeConfig) => boolean = () => true,
  ): MaybePromise<void> {
    return andThen(this.parts.nodes(account.local), (nodes) => {
      const names = this.wantedOf(account, nodes, wanted).flatMap(({ name, config }) => (isMeant(config) ? name : []));
      if (names.length > 0) this.ask(account, contact, names);
    });
  }

  /** A session is about to be told something. */
  passes(session: Session, stanza: Stanza): void {
    const batches = this.under.size === 0 ? undefined : this.under.get(session);
    if (batches === undefined || stanza.kind !== 'message') return;
    const node = eventNode(stanza.el);
    if (node !== undefined) for (const told of batches) told.add(keyOf(stanza.from.bare, node));
  }

  /** The nodes to read; of those that are not to be judged from here the owners are asked. */
  private async find(resource: Jid, wanted: ReadonlySet<string>): Promise<Found[]> {
    const { domain, roster } = this.parts;
    const account = resource.withResource('');
    const own = this.wantedOf(account, await this.parts.nodes(account.local), wanted);
    const found = own.filter(({ config }) => config.isPersistent);
    if (found.length < own.length) this.ask(account, resource, namesOf(own.filter((one) => !found.includes(one))));
    const here = `@${domain}`;
    const contacts: string[] = [];
    for (const [contact, item] of await roster.all(resource.local)) {
      if (isTo(item) && contact.endsWith(here)) contacts.push(contact.slice(0, -here.length));
    }
    // what is not in memory is read for many at a time, and not for all at once
    for (let i = 0; i < contacts.length; i += AT_ONCE) {
      const some = contacts.slice(i, i + AT_ONCE);
      for (const list of await Promise.all(some.map((user) => this.ofContact(user, resource, wanted)))) {
        found.push(...list);
      }
    }
    return found;
  }

  /** What of a contact's nodes is to be read. */
  private ofContact(user: string, reader: Jid, wanted: ReadonlySet<string>): MaybePromise<readonly Found[]> {
    return andThen(this.parts.nodes(user), (nodes) => {
      const names = nodes.size === 0 ? [] : this.wantedOf(Jid.of(user, this.parts.domain), nodes, wanted);
      return names.length === 0 ? names : this.judge(user, reader, names);
    });
  }

  private wantedOf(account: Jid, nodes: ReadonlyMap<string, NodeRow>, wanted: ReadonlySet<string>): Found[] {
    const found: Found[] = [];
    for (const [name, { config: differences, movedTo }] of nodes) {
      if (!wanted.has(name) || movedTo !== undefined) continue;
      const config = { ...this.parts.defaults(account, name), ...differences };
      if (config.sendLast === 'on_sub_and_presence' && config.deliversNotifications)
        found.push({ account, name, config });
    }
    return found;
  }

  /** What a contact may read, as far as the rosters tell. */
  private async judge(user: string, reader: Jid, nodes: readonly Found[]): Promise<readonly Found[]> {
    const { roster, stores, blockedBy, domain } = this.parts;
    const item = await roster.get(user, reader.bare);
    if (item === undefined || !isFrom(item) || (await blockedBy(user))?.has(reader)) return [];
    const isGuarded = (await stores.guarded.get(user)) === true;
    const isPlain = ({ config: { accessModel, isPersistent } }: Found): boolean =>
      !isGuarded && isPersistent && (accessModel === 'open' || accessModel === 'presence');
    const asked = nodes.filter((one) => !isPlain(one));
    if (asked.length > 0) this.ask(Jid.of(user, domain), reader, namesOf(asked));
    return nodes.filter(isPlain);
  }

  /** Nobody waits for it; where the owner cannot be reached for the moment, it is asked again some times. */
  private ask({ local }: Jid, { full }: Jid, nodes: readonly string[]): void {
    const { background, pause, ask } = this.parts;
    const asking = async (): Promise<void> => {
      for (let tries = 1; ; tries++) {
        try {
          await ask(local, { to: full, nodes });
          return;
        } catch (error) {
          const isForNow = error instanceof StanzaError && error.type === 'wait';
          if (!isForNow || tries === MOST_ASKED || !(await pause())) throw error;
        }
      }
    };
    background(asking(), 'asking for last items');
  }

  private newest(found: readonly Found[]): Promise<readonly (Item | undefined)[]> {
    return this.parts.stores.items.newest(found.map(({ account, name }) => ({ owner: account.local, node: name })));
  }

  private message({ account, name, config }: Found, item: Item, to: Jid): Stanza {
    const head = { from: account, id: this.parts.newId(), type: config.notificationType };
    return messageOf(lastItemMessage(head, name, item, config).with({ to: to.full }), account, to);
  }

  private begin(session: Session, told: Set<string>): void {
    this.under.set(session, [...(this.under.get(session) ?? []), told]);
  }

  private end(session: Session, told: Set<string>): void {
    const rest = (this.under.get(session) ?? []).filter((one) => one !== told);
    if (rest.length === 0) this.under.delete(session);
    else this.under.set(session, rest);
  }
}

const namesOf = (nodes: readonly Found[]): string[] => nodes.map(({ name }) => name);

const keyOf = (account: string, node: string): string => `${account} ${node}`;

/** The node that a notification is about. */
function eventNode(message: Element): string | undefined {
  return message.getChild('event', NS.pubsubEvent)?.elements()[0]?.attrs.node;
}
