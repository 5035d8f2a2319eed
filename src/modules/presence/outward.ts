// What an account shows of itself, and to whom: broadcasts, probes and answers to them (RFC 6121 4.2 to 4.5).
import { andThen, inOrder, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { CallTimeout, type Cluster, type NodeId, type SessionEntry } from '../../cluster/cluster.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import type { Session } from '../../core/sessions.ts';
import type { Life } from '../../core/transit.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import { isFrom, isTo, type RosterItem } from '../roster/index.ts';
import { presenceOf, sentTo } from './stanzas.ts';

/** Contacts, by bare JID. */
export type Items = ReadonlyMap<string, RosterItem>;

/** Asks another node to show what it holds of an account. */
interface ShowCall {
  readonly account: string;
  readonly to: string;
  readonly resource: string;
}

/** A session hardly ever goes from node to node while somebody looks for it, nor does a question get lost again and again. */
const ATTEMPTS = 3;

export interface OutwardParts {
  readonly host: Host;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Sends presence to a contact, or to the account's own client, now or when it can be told where that is. */
  readonly tell: (stanza: Presence) => MaybePromise<void>;
  /** A session is about to be shown, or to be said to be gone. */
  readonly note: (session: Jid) => void;
  /** Waits a moment; false when there is no time for it any more. */
  readonly pause: () => Promise<boolean>;
}

export class Outward {
  private readonly parts: OutwardParts;
  private readonly method: string;

  constructor(parts: OutwardParts) {
    this.parts = parts;
    this.method = `presence.show:${parts.host.domain}`;
  }

  /** Answers the other nodes; returns how to stop. */
  listen(): () => void {
    return this.parts.cluster.answer(this.method, (body) => {
      const { account, to, resource } = body as ShowCall;
      const [of, reader] = [Jid.parse(account), Jid.parse(to)];
      if (of === undefined || reader === undefined) return;
      return andThen(this.available(of, resource), (entries) => {
        const here = entries.filter((entry) => this.isShowable(entry));
        return andThen(this.showAll(here, reader), () => here.length);
      });
    });
  }

  /** Sends a presence to everybody who is subscribed to it, and to the account's own resources (4.2.2, 4.4.2, 4.5.2). */
  broadcast(stanza: Presence, items: Items, own: readonly SessionEntry[]): MaybePromise<void> {
    const account = stanza.from.withResource('');
    this.parts.note(stanza.from);
    this.parts.router.delivery.write(sentTo(stanza, account), own);
    const waiting: Promise<void>[] = [];
    for (const [contact, item] of items) {
      if (!isFrom(item)) continue;
      const to = Jid.parse(contact);
      const sent = to === undefined ? undefined : this.parts.tell(sentTo(stanza, to));
      if (isPromise(sent)) waiting.push(sent);
    }
    if (waiting.length > 0) return Promise.all(waiting).then(() => {});
  }

  /** Asks for the presence of everybody the account is subscribed to (4.3.1). */
  probe(session: Session, items: Items): MaybePromise<void> {
    const contacts: Jid[] = [];
    for (const [contact, item] of items) {
      const to = isTo(item) ? Jid.parse(contact) : undefined;
      if (to !== undefined) contacts.push(to);
    }
    return inOrder(contacts, (to) => {
      if (to.domain !== this.parts.host.domain) return this.send(presenceOf('probe', session.jid, to));
      // a contact here who is not connected has nothing to show: no need to load its roster for that
      return andThen(this.available(to), (entries) =>
        entries.length === 0 ? undefined : this.send(presenceOf('probe', session.jid, to)),
      );
    });
  }

  /**
   * Sends the presence of the account's available resources (of one, where `resource` is given) to somebody (4.3.2).
   * @param isFresh of all that are available by now, on whichever node
   * @returns how many there are
   */
  show(account: Jid, to: Jid, resource = '', isFresh = false): MaybePromise<number> {
    return andThen(this.available(account, resource, isFresh), (entries) => {
      const shown = entries.filter((entry) => entry.jid.full !== to.full);
      const here = shown.filter((entry) => entry.node === this.parts.cluster.self);
      const elsewhere = shown.filter((entry) => entry.node !== this.parts.cluster.self);
      if (elsewhere.length > 0) {
        const call: ShowCall = { account: account.bare, to: to.full, resource };
        this.parts.background(this.showElsewhere(elsewhere, call, ATTEMPTS), 'showing presence from another node');
      }
      return andThen(this.showAll(here, to), () => entries.length);
    });
  }

  /** Tells somebody that each of the account's available resources is gone (3.2.2, 3.3.3). */
  hide(account: Jid, from: Jid): MaybePromise<void> {
    return andThen(this.available(account), (entries) =>
      inOrder(entries, (entry) => this.parts.tell(presenceOf('unavailable', entry.jid, from))),
    );
  }

  /**
   * The account's available resources, on all nodes.
   * @param isFresh all that are by now; where that cannot be told, those that are known
   */
  available({ bare }: Jid, resource = '', isFresh = false): MaybePromise<readonly SessionEntry[]> {
    const { directory } = this.parts.cluster;
    const sessions = directory.sessions(bare, isFresh);
    const known = isFresh && isPromise(sessions) ? sessions.catch(() => directory.sessions(bare)) : sessions;
    return andThen(known, (entries) =>
      entries.filter((entry) => entry.available && (resource === '' || entry.jid.resource === resource)),
    );
  }

  /** @param life the session that it is said instead of: whoever hears it may know the next one already */
  send(stanza: Presence, life?: Life): MaybePromise<void> {
    return this.parts.router.send(stanza, this.parts.host, life);
  }

  /**
   * Has sessions of other nodes shown by these. What one does not answer in time is on its way still, and is shown when it arrives, or is
   * lost with that node and its sessions; where the question is lost, it is asked again.
   * @param attempts how often a session is asked for, as it may have gone on to another node meanwhile
   */
  private async showElsewhere(entries: readonly SessionEntry[], call: ShowCall, attempts: number): Promise<void> {
    const { cluster, pause } = this.parts;
    const byNode = new Map<NodeId, SessionEntry[]>();
    for (const entry of entries) byNode.set(entry.node, [...(byNode.get(entry.node) ?? []), entry]);
    const ask = async ([node, its]: [NodeId, readonly SessionEntry[]]): Promise<void> => {
      let isLost = false;
      try {
        if ((await cluster.call(node, this.method, call)) === its.length) return;
      } catch (error) {
        if (attempts === 1) throw error;
        isLost = !(error instanceof CallTimeout);
      }
      const known = await this.lookUp(its[0]!.jid.bare);
      const left = known.filter((one) => its.some(({ sid }) => sid === one.sid) && (isLost || one.node !== node));
      const elsewhere = left.filter((one) => one.node !== cluster.self && cluster.nodes.has(one.node));
      const reader = Jid.parse(call.to);
      if (reader !== undefined) await this.showAll(left, reader);
      if (elsewhere.length === 0 || attempts === 1 || (isLost && !(await pause()))) return;
      await this.showElsewhere(elsewhere, call, attempts - 1);
    };
    await Promise.all([...byNode].map(ask));
  }

  /** The sessions of an account as they are by now; where that cannot be told, when it can. */
  private async lookUp(user: BareJid): Promise<readonly SessionEntry[]> {
    for (;;) {
      try {
        return await this.parts.cluster.directory.sessions(user, true);
      } catch (error) {
        if (!(error instanceof StorageUnavailable) || !(await this.parts.pause())) throw error;
      }
    }
  }

  private isShowable({ jid, node }: SessionEntry): boolean {
    return node === this.parts.cluster.self && this.parts.router.sessionOf(jid.full)?.presence !== undefined;
  }

  private showAll(entries: readonly SessionEntry[], to: Jid): MaybePromise<void> {
    return inOrder(entries, (entry) => {
      const presence = this.parts.router.sessionOf(entry.jid.full)?.presence;
      if (presence === undefined) return;
      this.parts.note(entry.jid);
      return this.parts.tell(sentTo(presence, to));
    });
  }
}
