// What follows when somebody may see more of an account's nodes than before, or less (XEP-0163 7.1, XEP-0060 12.2): because the roster has changed,
// or the block list, or a node.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Directory } from '../../cluster/cluster.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { BlockList } from '../blocking/index.ts';
import type { Caps } from '../caps/index.ts';
import { isSame, type NodeConfig } from '../pubsub/config.ts';
import type { Node } from '../pubsub/node.ts';
import { isFrom, type Roster, type RosterItem } from '../roster/index.ts';
import type { LastAsked } from './account.ts';
import type { Hearing } from './hearing.ts';
import type { LastItems } from './last-items.ts';

export interface AccessChangesParts {
  readonly domain: string;
  readonly directory: Directory;
  readonly roster: Roster;
  readonly caps: Caps;
  readonly hearing: Hearing;
  readonly lastItems: LastItems;
  /** Whether a person, a bare JID, has anything to do with an account's nodes. */
  isKnown(user: string, contact: string): Promise<boolean>;
  /** Has the owner of an account's nodes look whether a contact, a bare JID, may still read them. */
  lower(user: string, contact: string): Promise<void>;
  /** Has it send last items. */
  sendLast(user: string, asked: LastAsked): MaybePromise<void>;
}

export class AccessChanges {
  private readonly parts: AccessChangesParts;

  constructor(parts: AccessChangesParts) {
    this.parts = parts;
  }

  /** Who may read no more is subscribed no more; who may from now on is sent what was published last. */
  async ofContact(account: Jid, contact: Jid, was: RosterItem | undefined, is: RosterItem | undefined): Promise<void> {
    const saw = was !== undefined && isFrom(was);
    const sees = is !== undefined && isFrom(is);
    const isLowered = saw && (!sees || was.groups.some((group) => !is.groups.includes(group)));
    if (isLowered && (await this.parts.isKnown(account.local, contact.bare))) {
      await this.parts.lower(account.local, contact.bare);
    }
    if (!saw && sees) await this.welcome(account, contact, () => true);
    const joined = saw && sees ? is.groups.filter((group) => !was.groups.includes(group)) : [];
    if (joined.length === 0) return;
    const isOf = (groups: readonly string[], { rosterGroups }: NodeConfig): boolean =>
      groups.some((group) => rosterGroups.includes(group));
    await this.welcome(
      account,
      contact,
      (config) => config.accessModel === 'roster' && isOf(joined, config) && !isOf(was?.groups ?? [], config),
    );
  }

  /** A node was configured, perhaps for more contacts than before. */
  async ofNode(account: Jid, node: Node, before: NodeConfig): Promise<void> {
    const { accessModel, rosterGroups } = node.config;
    if (accessModel === before.accessModel && isSame(rosterGroups, before.rosterGroups)) return;
    for (const jid of await this.parts.hearing.newTo(account, node, before)) {
      await this.parts.sendLast(account.local, { to: jid.full, nodes: [node.name] });
    }
  }

  /** Contacts who were blocked until now have missed what happened. */
  async ofBlocks(account: Jid, unblocked: BlockList, is: BlockList | undefined): Promise<void> {
    if (unblocked.jids.length === 0) return;
    for (const [contact, item] of await this.parts.roster.all(account.local)) {
      const jid = isFrom(item) ? Jid.parse(contact) : undefined;
      if (jid !== undefined && unblocked.of(jid).length > 0 && !is?.has(jid)) {
        await this.welcome(account, jid, () => true);
      }
    }
  }

  /** Somebody may read nodes from now on, and is sent what he wants to know. */
  private async welcome(account: Jid, contact: Jid, isMeant: (config: NodeConfig) => boolean): Promise<void> {
    const { caps, lastItems } = this.parts;
    for (const [jid, value] of await this.announced(account, contact)) {
      if (value !== undefined) await lastItems.toContact(account, jid, await caps.wants(value), isMeant);
    }
  }

  /** The resources of a contact that are there, with what they have announced. */
  private async announced(account: Jid, contact: Jid): Promise<readonly (readonly [Jid, string | undefined])[]> {
    const { domain, directory, caps } = this.parts;
    if (contact.domain === domain) {
      const entries = await directory.sessions(contact.bare);
      return entries.flatMap((entry) => (entry.available ? [[entry.jid, caps.of(entry)] as const] : []));
    }
    return [...(await caps.elsewhere(account.local))].flatMap(([full, value]) => {
      const jid = Jid.parse(full);
      return jid?.bare === contact.bare ? [[jid, value] as const] : [];
    });
  }
}
