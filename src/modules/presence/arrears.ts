// Contacts that were not told of a session, since nobody could say for the moment where they are (Redis is away): they are told when that is
// over, of what holds by then (RFC 6121 4.2.2, 4.5.2).
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';
import type { BlockList } from '../blocking/index.ts';
import { isFrom, type Roster } from '../roster/index.ts';
import { presenceOf, sentTo } from './stanzas.ts';

export interface ArrearsParts {
  readonly host: Host;
  readonly router: Router;
  readonly roster: Roster;
  /** Whom an account has blocked: they are told that it has gone. */
  readonly blockedBy: (user: string) => MaybePromise<BlockList | undefined>;
  /** Does something after all that an account has broadcast before. */
  readonly inTurn: (account: Jid, work: () => MaybePromise<void>) => MaybePromise<void>;
  /** Has a session that is on another node by now shown by that one; false where it is on none. */
  readonly showElsewhere: (session: Jid) => Promise<boolean>;
  /** A session is about to be shown, or to be said to be gone. */
  readonly note: (session: Jid) => void;
  readonly background: (work: Promise<unknown>, what: string) => void;
  /** Waits a moment; false when there is no time for it any more. */
  readonly pause: () => Promise<boolean>;
}

export class Arrears {
  private readonly parts: ArrearsParts;
  /** By the full JID of the session. */
  private readonly owed = new Map<string, Map<string, Jid>>();
  private isAtIt = false;

  constructor(parts: ArrearsParts) {
    this.parts = parts;
  }

  /** Sends presence to a contact, now or later. */
  tell(stanza: Presence): MaybePromise<void> {
    const later = (error: unknown): void => {
      if (!(error instanceof StorageUnavailable)) throw error;
      this.owe(stanza.from.full, stanza.to);
    };
    try {
      const sent = this.parts.router.attempt(stanza, this.parts.host);
      return isPromise(sent) ? sent.catch(later) : undefined;
    } catch (error) {
      later(error);
    }
  }

  private owe(session: string, contact: Jid): void {
    const contacts = this.owed.get(session);
    if (contacts === undefined) this.owed.set(session, new Map([[contact.full, contact]]));
    else contacts.set(contact.full, contact);
    if (this.isAtIt) return;
    this.isAtIt = true;
    this.parts.background(this.makeUp(), 'telling contacts of presence when Redis is back');
  }

  private async makeUp(): Promise<void> {
    try {
      while (this.owed.size > 0 && (await this.parts.pause())) {
        for (const [full, contacts] of [...this.owed]) {
          this.owed.delete(full);
          await this.trySaying(full, contacts);
        }
      }
    } finally {
      // in the same turn as the last look: what is owed from now on begins it anew
      this.isAtIt = false;
    }
  }

  private async trySaying(full: string, contacts: ReadonlyMap<string, Jid>): Promise<void> {
    try {
      await this.say(full, [...contacts.values()]);
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      for (const contact of contacts.values()) this.owe(full, contact);
    }
  }

  private async say(full: string, contacts: readonly Jid[]): Promise<void> {
    const { host, router, roster, blockedBy, inTurn, showElsewhere, note } = this.parts;
    const jid = Jid.parse(full);
    if (jid === undefined) return;
    await inTurn(jid, async () => {
      if (router.sessionOf(full) === undefined && (await showElsewhere(jid))) return;
      const [items, blocked] = [await roster.all(jid.local), await blockedBy(jid.local)];
      note(jid);
      for (const contact of contacts) {
        const item = items.get(contact.bare);
        if (contact.bare !== jid.bare && (item === undefined || !isFrom(item))) continue;
        const shown = blocked?.has(contact) ? undefined : router.sessionOf(full)?.presence;
        const presence = shown ?? presenceOf('unavailable', jid, contact);
        await router.attempt(sentTo(presence, contact), host);
      }
    });
  }
}
