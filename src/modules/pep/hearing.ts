// Who hears of what happens at an account's nodes without having subscribed (XEP-0163 4, XEP-0060 9.1, 9.2): the account's own devices, and those
// of contacts who share its presence and may read; of all of them those that ask for the node by `+notify`.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Directory, SessionEntry } from '../../cluster/cluster.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { Caps } from '../caps/index.ts';
import type { NodeConfig } from '../pubsub/config.ts';
import { isActive, type Node } from '../pubsub/node.ts';
import { isFrom, type Roster, type RosterItem } from '../roster/index.ts';

export interface HearingParts {
  readonly domain: string;
  readonly directory: Directory;
  readonly roster: Roster;
  readonly caps: Caps;
  now(): number;
}

/**
 * Whether a contact who shares the account's presence may hear of a node (XEP-0060 4.5, as in pubsub/access.ts).
 * @param config of the node
 */
export function mayHear(
  node: Node,
  contact: string,
  { groups }: Pick<RosterItem, 'groups'>,
  now: number,
  config: Pick<NodeConfig, 'accessModel' | 'rosterGroups'> = node.config,
): boolean {
  switch (node.affiliationOf(contact)) {
    case 'owner':
    case 'publisher':
    case 'member':
      return true;
    case 'outcast':
    case 'publish-only':
      return false;
    case 'none': {
      const { accessModel, rosterGroups } = config;
      switch (accessModel) {
        case 'open':
        case 'presence':
          return true;
        case 'roster':
          return groups.some((group) => rosterGroups.includes(group));
        case 'authorize':
          return node.judge.subscriptionsOf(contact).some((one) => isActive(one, now));
        case 'whitelist':
          return false;
      }
    }
  }
}

export class Hearing {
  private readonly parts: HearingParts;

  constructor(parts: HearingParts) {
    this.parts = parts;
  }

  /** Full JIDs, here and at other domains. */
  of(account: Jid, node: Node): MaybePromise<readonly Jid[]> {
    return this.round(account, node, undefined);
  }

  /** Those of contacts who may hear of it now, and might not before it was configured anew. */
  newTo(account: Jid, node: Node, before: NodeConfig): MaybePromise<readonly Jid[]> {
    return this.round(account, node, before);
  }

  private round(account: Jid, node: Node, before: NodeConfig | undefined): MaybePromise<readonly Jid[]> {
    const { roster, caps } = this.parts;
    return andThen(roster.all(account.local), (contacts) =>
      andThen(caps.elsewhere(account.local), (elsewhere) =>
        new Round(this.parts, node, before).gather(account, contacts, elsewhere),
      ),
    );
  }
}

/** One look for all who hear of one event. */
class Round {
  private readonly parts: HearingParts;
  private readonly node: Node;
  private readonly before: NodeConfig | undefined;
  private readonly found: Jid[] = [];
  /** Whether those want it who have announced the same: many have. */
  private readonly known = new Map<string, MaybePromise<boolean>>();
  private waiting: Promise<void>[] | undefined;

  /** @param before leaves out who might hear when the node was configured so */
  constructor(parts: HearingParts, node: Node, before: NodeConfig | undefined) {
    this.parts = parts;
    this.node = node;
    this.before = before;
  }

  gather(
    account: Jid,
    contacts: ReadonlyMap<string, RosterItem>,
    elsewhere: ReadonlyMap<string, string>,
  ): MaybePromise<readonly Jid[]> {
    const here = `@${this.parts.domain}`;
    if (this.before === undefined) this.devices(account.bare);
    for (const [contact, item] of contacts) {
      if (contact.endsWith(here) && this.isMeant(contact, item)) this.devices(contact as BareJid);
    }
    for (const [full, value] of elsewhere) {
      const contact = full.slice(0, full.indexOf('/'));
      const item = contacts.get(contact);
      if (item === undefined || !this.isMeant(contact, item)) continue;
      this.ifWanted(value, () => {
        const jid = Jid.parse(full);
        if (jid !== undefined) this.found.push(jid);
      });
    }
    return this.waiting === undefined ? this.found : this.settled();
  }

  private isMeant(contact: string, item: RosterItem): boolean {
    const { node, before } = this;
    const now = this.parts.now();
    if (!isFrom(item) || !mayHear(node, contact, item, now)) return false;
    return before === undefined || !mayHear(node, contact, item, now, before);
  }

  private async settled(): Promise<readonly Jid[]> {
    // (what is waited for finds more to wait for)
    for (let waiting = this.waiting; waiting !== undefined; waiting = this.waiting) {
      this.waiting = undefined;
      await Promise.all(waiting);
    }
    return this.found;
  }

  private devices(who: BareJid): void {
    const look = (entries: readonly SessionEntry[]): void => {
      for (const entry of entries) {
        const value = entry.available ? this.parts.caps.of(entry) : undefined;
        if (value !== undefined) this.ifWanted(value, () => void this.found.push(entry.jid));
      }
    };
    const entries = this.parts.directory.sessions(who);
    if (isPromise(entries)) this.wait(entries.then(look));
    else look(entries);
  }

  private ifWanted(value: string, add: () => void): void {
    let wanted = this.known.get(value);
    if (wanted === undefined) {
      wanted = andThen(this.parts.caps.wants(value), (names) => names.has(this.node.name));
      this.known.set(value, wanted);
    }
    const done = andThen(wanted, (is) => (is ? add() : undefined));
    if (isPromise(done)) this.wait(done);
  }

  private wait(work: Promise<void>): void {
    this.waiting ??= [];
    this.waiting.push(work);
  }
}
