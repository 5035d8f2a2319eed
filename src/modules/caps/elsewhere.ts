// What contacts of other domains can do, as their presence tells: kept for each account that shares presence with them, by full JID, as long
// as they are there.
import { LruCache } from '../../base/lru.ts';
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import type { Session } from '../../core/sessions.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { EphemeralStore } from '../../storage/ports.ts';
import { el } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Presence, stanzaOf } from '../../xmpp/stanza.ts';
import { isFrom, isTo, type Roster } from '../roster/index.ts';
import { type Announced, announcedBy } from './announced.ts';
import { isOwnValue } from './answer.ts';

/** Who has not said for so long that he is gone is taken to be, in milliseconds; presence of people who stay is rare between servers. */
const BELIEVED_FOR = 14 * 24 * 3_600_000;

const LOOKED_AFTER = 20_000;

export interface ElsewhereParts {
  readonly host: Host;
  readonly router: Router;
  readonly roster: Roster;
  /** What may be looked up, by localpart and full JID. */
  readonly store: EphemeralStore<string>;
  /** Finds out what an announcement stands for; tells `undefined` where that cannot be known. */
  readonly resolve: (
    announced: Announced,
    account: Jid,
    jid: Jid,
    told: (value: string | undefined) => MaybePromise<void>,
  ) => MaybePromise<void>;
  /** It is known now what somebody can do, and was not what it is before. */
  readonly changed: (account: Jid, jid: Jid, was: string | undefined, value: string) => MaybePromise<void>;
}

export class Elsewhere {
  private readonly parts: ElsewhereParts;
  private readonly turns = new Turns<string>();
  /** What somebody announced last, while it is found out what that is. */
  private readonly latest = new Map<string, string>();
  /** Accounts that were looked after once. */
  private readonly looked = new LruCache<string, true>(LOOKED_AFTER);

  constructor(parts: ElsewhereParts) {
    this.parts = parts;
  }

  /** Presence of a resource has come for an account. */
  heard({ type, from, to, el: element }: Presence): MaybePromise<void> {
    const { host, router } = this.parts;
    if (from.domain === host.domain || from.isBare || type === 'error') return;
    const announced = type === 'available' ? announcedBy(element) : undefined;
    if (type === 'available' && announced === undefined) return;
    // occupants of rooms are many, and no contacts
    if (router.hostOf(from.domain)?.kind === 'rooms' || element.getChild('x', NS.mucUser) !== undefined) return;
    const account = to.withResource('');
    const done = this.turns.run(idOf(account, from), () =>
      announced === undefined ? this.gone(account, from) : this.come(account, from, announced),
    );
    return isPromise(done) ? done.catch(unlessAway) : done;
  }

  /**
   * A session goes on that may be older than what is remembered of its contacts, as after a start of the server: they are asked for their presence
   * (RFC 6121 4.3), once for each account of whose contacts nothing is known.
   */
  lookAgain({ jid, available }: Pick<Session, 'jid' | 'available'>): MaybePromise<void> {
    const { store, roster, router, host } = this.parts;
    if (!available || this.looked.get(jid.local) === true) return;
    this.looked.set(jid.local, true);
    return andThen(store.all(jid.local), (known) =>
      andThen(known.size > 0 ? undefined : roster.all(jid.local), (contacts) => {
        for (const [contact, item] of contacts ?? []) {
          const to = isTo(item) && !contact.endsWith(`@${host.domain}`) ? Jid.parse(contact) : undefined;
          if (to === undefined) continue;
          const probe = el('presence', null, { type: 'probe', from: jid.full, to: to.full });
          void router.tell(stanzaOf(probe, jid, to), host);
        }
      }),
    );
  }

  private gone(account: Jid, from: Jid): MaybePromise<void> {
    this.latest.delete(idOf(account, from));
    return this.ifContact(account, from, () => this.parts.store.set(account.local, from.full, undefined, 0));
  }

  private come(account: Jid, from: Jid, announced: Announced): MaybePromise<void> {
    const { store, resolve } = this.parts;
    return this.ifContact(account, from, () =>
      andThen(store.get(account.local, from.full), (was) => {
        if (was === announced.key || (was !== undefined && isOwnValue(was, announced.key))) return;
        const id = idOf(account, from);
        this.latest.set(id, announced.key);
        const told = (value: string | undefined): MaybePromise<void> => {
          if (this.latest.get(id) !== announced.key) return;
          this.latest.delete(id);
          return this.put(account, from, was, value);
        };
        // (not waited for: he may be asked, and be gone before he answers)
        const resolved = resolve(announced, account, from, told);
        if (isPromise(resolved)) resolved.catch(unlessAway);
      }),
    );
  }

  private put(account: Jid, from: Jid, was: string | undefined, value: string | undefined): MaybePromise<void> {
    const { store, changed } = this.parts;
    return andThen(store.set(account.local, from.full, value, BELIEVED_FOR), () =>
      value === undefined ? undefined : changed(account, from, was, value),
    );
  }

  /** Presence goes to contacts and comes from them; what strangers send is of no account. */
  private ifContact(account: Jid, { bare }: Jid, then: () => MaybePromise<void>): MaybePromise<void> {
    return andThen(this.parts.roster.get(account.local, bare), (item) =>
      item !== undefined && (isTo(item) || isFrom(item)) ? then() : undefined,
    );
  }
}

const idOf = ({ local }: Jid, { full }: Jid): string => `${local} ${full}`;

/** Redis or the database is away: presence goes its way all the same, and is said again. */
function unlessAway(error: unknown): void {
  if (!(error instanceof StorageUnavailable)) throw error;
}
