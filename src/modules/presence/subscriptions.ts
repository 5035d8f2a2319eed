// Subscriptions: what is done with a subscription stanza besides changing the roster (RFC 6121 section 3).
import type { MaybePromise } from '../../base/maybe.ts';
import type { Cluster } from '../../cluster/cluster.ts';
import type { Host } from '../../core/host.ts';
import type { Router } from '../../core/router.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { parseElement } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { type Presence, replaceElement, stanzaOf } from '../../xmpp/stanza.ts';
import type { Roster, RosterItem } from '../roster/index.ts';
import { isFrom, isTo } from '../roster/index.ts';
import type { SubscriptionType } from '../roster/subscription.ts';
import type { Items, Outward } from './outward.ts';
import { presenceOf } from './stanzas.ts';

export interface SubscriptionParts {
  readonly host: Host;
  readonly router: Router;
  readonly cluster: Cluster;
  readonly roster: Roster;
  /** But for those who are blocked. */
  readonly contactsOf: (user: string) => MaybePromise<Items>;
  readonly outward: Outward;
}

/** What the server does in the name of an account, as where somebody was invited. Both are bare JIDs, the account one of this host. */
export interface Subscribing {
  /** The contact may see the account: at once where it has asked, else as soon as it asks (RFC 6121 3.4). */
  approve(account: Jid, contact: Jid): Promise<void>;
  /**
   * Asks to see the contact, where the account does not yet.
   * @param payload what the request says besides
   */
  request(account: Jid, contact: Jid, payload?: Element): Promise<void>;
  /** The contact may not see the account any more (RFC 6121 3.2). */
  revoke(account: Jid, contact: Jid): Promise<void>;
  /** Takes a contact's request, as if it came in now. */
  take(request: Presence): Promise<void>;
}

export class Subscriptions implements Subscribing {
  private readonly parts: SubscriptionParts;

  constructor(parts: SubscriptionParts) {
    this.parts = parts;
  }

  /** A client asks, approves, cancels or withdraws. The roster first: an answer may come back before we return. */
  async sent(transit: Transit<Presence>, type: SubscriptionType): Promise<void> {
    const { roster, outward, router } = this.parts;
    const { from, to, el, id } = transit.stanza;
    const account = from.withResource('');
    const contact = to.withResource('');
    if (account.bare === contact.bare) return;
    const { was, pass } = await roster.sending(account, contact, type);
    if (!pass) return;
    // 3.2.2: the contact hears that we are gone while it still has a right to
    if (type === 'unsubscribed' && was.from) await outward.hide(account, contact);
    const element = el.with({ from: account.bare, to: contact.bare });
    transit.stanza = { kind: 'presence', type, el: element, from: account, to: contact, id };
    await router.route(transit);
    // 3.1.5: what becomes available from now on is shown to the contact as to all others
    if (type === 'subscribed') await outward.show(account, contact, '', true);
  }

  /** A contact asks, approves, cancels or withdraws. */
  async received(stanza: Presence, type: SubscriptionType): Promise<void> {
    const { roster, outward, router } = this.parts;
    const account = stanza.to.withResource('');
    const contact = stanza.from.withResource('');
    if (account.bare === contact.bare) return;
    const element = stanza.el.with({ from: contact.bare, to: account.bare });
    const bare: Presence = { kind: 'presence', type, el: element, from: contact, to: account, id: stanza.id };
    const { was, pass, approve } = await roster.receiving(account, contact, type, bare);
    if (type === 'subscribe' && pass) {
      // 3.1.3: to all available resources now, and to those that come later (`remind`)
      router.delivery.write(bare, await outward.available(account, '', true));
    }
    if (approve) {
      await outward.send(presenceOf('subscribed', account, contact));
      // also to whoever was subscribed before: its server would not ask if it had not lost something
      await outward.show(account, contact, '', true);
    }
    // 3.3.3
    if (type === 'unsubscribe' && was.from) await outward.hide(account, contact);
  }

  async approve(account: Jid, contact: Jid): Promise<void> {
    const { roster, outward } = this.parts;
    if (account.bare === contact.bare) return;
    const { pass } = await roster.sending(account, contact, 'subscribed');
    if (!pass) return;
    await outward.send(presenceOf('subscribed', account, contact));
    await outward.show(account, contact, '', true);
  }

  async revoke(account: Jid, contact: Jid): Promise<void> {
    const { roster, outward } = this.parts;
    const { was, pass } = await roster.sending(account, contact, 'unsubscribed');
    if (!pass) return;
    if (was.from) await outward.hide(account, contact);
    await outward.send(presenceOf('unsubscribed', account, contact));
  }

  async request(account: Jid, contact: Jid, payload?: Element): Promise<void> {
    const { roster, outward } = this.parts;
    if (account.bare === contact.bare) return;
    const item = await roster.get(account.local, contact.bare);
    if (item !== undefined && isTo(item)) return;
    await roster.sending(account, contact, 'subscribe');
    const plain = presenceOf('subscribe', account, contact);
    await outward.send(payload === undefined ? plain : replaceElement(plain, plain.el.append(payload)));
  }

  take(request: Presence): Promise<void> {
    return this.received(request, 'subscribe');
  }

  /** A resource became available: it is told of requests without an answer, and our own are repeated (3.1.2, 3.1.3). */
  async remind(session: Session): Promise<void> {
    const account = session.jid.withResource('');
    // read now that the resource is available: a request that came in between was sent to nobody
    for (const [contact, item] of await this.parts.contactsOf(account.local)) {
      if (item.request === undefined && item.ask === undefined) continue;
      const jid = Jid.parse(contact);
      if (jid === undefined) continue;
      if (item.request !== undefined) session.deliver(stanzaOf(parseElement(item.request), jid, account));
      // a request to somebody here cannot get lost
      if (item.ask && jid.domain !== account.domain) {
        await this.parts.outward.send(presenceOf('subscribe', account, jid));
      }
    }
  }

  /** A contact was removed from the roster (2.5.2). */
  async removed(account: Jid, contact: Jid, was: RosterItem): Promise<void> {
    const { outward } = this.parts;
    if (isFrom(was)) await outward.hide(account, contact);
    await this.end(account, contact, was);
  }

  /** The account is about to go: its contacts are told (XEP-0077 3.2), so that nobody waits for it. */
  async leave(account: Jid): Promise<void> {
    for (const [contact, item] of await this.parts.roster.all(account.local)) {
      const jid = Jid.parse(contact);
      if (jid !== undefined) await this.end(account, jid, item);
    }
  }

  private async end(account: Jid, contact: Jid, was: RosterItem): Promise<void> {
    const { outward } = this.parts;
    if (isTo(was) || was.ask) await outward.send(presenceOf('unsubscribe', account, contact));
    if (isFrom(was) || was.request !== undefined) await outward.send(presenceOf('unsubscribed', account, contact));
  }
}
