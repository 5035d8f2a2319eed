// Sessions that have gone without a word: their node died, or they lost their full JID to another one. Everybody who saw them is
// told that they are gone (RFC 6121 4.5.4), and nobody who sees that somebody else has come under the same address is left with that.
import { andThen, inOrder, type MaybePromise } from '../../base/maybe.ts';
import type { Cluster, SessionEntry } from '../../cluster/cluster.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import type { Session } from '../../core/sessions.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import type { Directed } from './directed.ts';
import type { Items, Outward } from './outward.ts';
import { presenceOf, sentTo } from './stanzas.ts';

export interface VanishedParts {
  readonly host: Host;
  readonly router: Router;
  readonly cluster: Cluster;
  /** But for those who are blocked. */
  readonly contactsOf: (user: string) => MaybePromise<Items>;
  readonly outward: Outward;
  readonly directed: Directed;
  /** Does something after all that an account has broadcast before. */
  readonly inTurn: (account: Jid, work: () => MaybePromise<void>) => MaybePromise<void>;
  /** An account is about to broadcast something. */
  readonly announce: (stanza: Presence) => void;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Waits a moment; false when there is no time for it any more. */
  readonly pause: () => Promise<boolean>;
}

export class Vanished {
  private readonly parts: VanishedParts;
  private readonly method: string;

  constructor(parts: VanishedParts) {
    this.parts = parts;
    this.method = `presence.again:${parts.host.domain}`;
  }

  /** Answers the other nodes; returns how to stop. */
  listen(): () => void {
    return this.parts.cluster.answer(this.method, (full) => this.sayAgain(String(full)));
  }

  /** The node of a session has died. */
  orphaned(entry: SessionEntry): Promise<void> {
    return this.persist(() => this.tell(entry));
  }

  /**
   * This node was held for dead, and a session of it has ended: everybody was told so, and may have heard later what it had still said.
   * @param isLate whether it has said anything that may have come after that; asked when all of it is said
   */
  lost(session: Session, isLate: () => boolean): Promise<void> {
    const { directed, inTurn, contactsOf, outward } = this.parts;
    const { jid } = session;
    const account = jid.withResource('');
    const stanza = presenceOf('unavailable', jid, account);
    const told = directed.toldBy(session);
    return this.persist(async () => {
      await inTurn(account, async () => {
        if (!isLate()) return;
        const successor = await this.successor(jid);
        if (successor?.available !== true) {
          await outward.broadcast(stanza, await contactsOf(jid.local), await outward.available(jid));
        }
        await inOrder(await directed.untold(told, successor), (to) => outward.send(sentTo(stanza, to), session));
      });
      if (isLate()) await this.correct(jid);
    });
  }

  /** A session has ended while this node may have been held for dead: its end may be what is heard after somebody else has come. */
  overtaken(jid: Jid): Promise<void> {
    return this.persist(() => this.correct(jid));
  }

  private async persist(work: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        // nobody else will tell them: the database, or Redis, is waited for
        if (!(error instanceof StorageUnavailable) || !(await this.parts.pause())) throw error;
      }
    }
  }

  /**
   * A session has ended, and its contacts were told. Whoever has come under its full JID at another node may have been seen before
   * that: it is shown again.
   */
  ended(jid: Jid): void {
    const { cluster, background } = this.parts;
    // (what is remembered is enough: whoever has come was told of in the answer that this session is out)
    if (cluster.nodes.size > 1) background(this.correct(jid, false), 'showing a session again');
  }

  /** Has a session that is on another node by now shown by that one; false where it is on none. */
  async showElsewhere(jid: Jid): Promise<boolean> {
    const { cluster } = this.parts;
    const successor = await this.successor(jid);
    if (successor?.available !== true || successor.node === cluster.self) return false;
    await cluster.call(successor.node, this.method, jid.full).catch(() => {});
    return true;
  }

  private async tell(entry: SessionEntry): Promise<void> {
    const { contactsOf, outward, directed, inTurn, announce } = this.parts;
    const { jid } = entry;
    const account = jid.withResource('');
    const stanza = presenceOf('unavailable', jid, account);
    const successor = await this.successor(jid);
    await inTurn(account, async () => {
      if (entry.available && successor?.available !== true) {
        const items = await contactsOf(jid.local);
        announce(stanza);
        await outward.broadcast(stanza, items, await outward.available(jid));
      }
      await inOrder(await directed.inherit(entry, successor), (to) => outward.send(sentTo(stanza, to), entry));
    });
    await this.correct(jid);
  }

  private async correct(jid: Jid, isFresh = true): Promise<void> {
    const { cluster } = this.parts;
    const successor = await this.successor(jid, isFresh);
    if (successor?.available !== true) return;
    if (successor.node === cluster.self) await this.sayAgain(jid.full);
    // where that does not answer, it has died meanwhile, and this has an end, too
    else await cluster.call(successor.node, this.method, jid.full).catch(() => {});
  }

  /** Who has a full JID now. */
  private async successor({ bare, full }: Jid, isFresh = true): Promise<SessionEntry | undefined> {
    return (await this.parts.cluster.directory.sessions(bare, isFresh)).find((entry) => entry.jid.full === full);
  }

  private sayAgain(full: string): MaybePromise<void> {
    const { router, contactsOf, outward, inTurn } = this.parts;
    const jid = Jid.parse(full);
    if (jid === undefined) return;
    return inTurn(jid, () => {
      const presence = router.sessionOf(full)?.presence;
      if (presence === undefined) return;
      return andThen(contactsOf(jid.local), (items) =>
        andThen(outward.available(jid), (own) => outward.broadcast(presence, items, own)),
      );
    });
  }
}
