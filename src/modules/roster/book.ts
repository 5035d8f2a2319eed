// The rosters of a host: storage, versions (RFC 6121 2.6) and pushes (2.1.6). Everybody who changes a roster does it here.
import type { Clock } from '../../base/clock.ts';
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import type { Cluster, SessionEntry } from '../../cluster/cluster.ts';
import type { Router } from '../../core/router.ts';
import { defineSlot } from '../../core/sessions.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import type { KvStore, MapStore } from '../../storage/ports.ts';
import { el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Iq, type Presence, replaceElement, type Stanza } from '../../xmpp/stanza.ts';
import {
  broughtTo,
  isAsBrought,
  isFrom,
  isTombstone,
  isVisible,
  itemElement,
  type RosterItem,
  subscriptionOf,
  tombstone,
  withSubscription,
} from './item.ts';
import {
  inbound,
  inboundAgain,
  outbound,
  outboundAgain,
  type Step,
  type Subscription,
  type SubscriptionType,
} from './subscription.ts';

/**
 * The resource asked for the roster, and is told of every change ("interested resource", RFC 6121 2.2). The directory hears of it with
 * the next thing that it is told of the session.
 */
export const interested = defineSlot<boolean>('interested', { shared: true });

/** Whether a stanza is for a resource only if that is interested; it is sent to all, and their nodes know. */
export function isForInterested(stanza: Stanza, to: Jid): boolean {
  switch (stanza.kind) {
    case 'message':
      return false;
    case 'presence':
      return stanza.type === 'subscribed' || stanza.type === 'unsubscribe' || stanza.type === 'unsubscribed';
    case 'iq':
      return stanza.type === 'set' && stanza.payload?.ns === NS.roster && stanza.from.full === to.bare;
  }
}

/** What a subscription stanza changed. */
export interface Transition {
  readonly was: Subscription;
  readonly is: Subscription;
  /** Outbound: route the stanza. Inbound: it was a stanza of interest (all but `subscribe` are delivered already). */
  readonly pass: boolean;
  /** Inbound `subscribe`: answer `subscribed` on the account's behalf. */
  readonly approve: boolean;
}

/** What the roster offers to other modules. Accounts are localparts of this host; contacts bare JIDs. */
export interface Roster {
  get(user: string, contact: BareJid): MaybePromise<RosterItem | undefined>;
  /** Every contact, the hidden ones too (`isVisible` tells), by bare JID. */
  all(user: string): MaybePromise<ReadonlyMap<string, RosterItem>>;
  /** Whether somebody may know the presence of an account: its own resources, and contacts it shares it with. */
  canSee(account: Jid, who: Jid): MaybePromise<boolean>;
  /** Creates a contact or changes its name and groups. */
  set(account: Jid, contact: Jid, name: string | undefined, groups: readonly string[]): Promise<void>;
  /**
   * Removes a contact, and with it the subscriptions.
   * @throws StanzaError `item-not-found`
   */
  remove(account: Jid, contact: Jid): Promise<void>;
  /** The account's client sends a subscription stanza. */
  sending(account: Jid, contact: Jid, type: SubscriptionType): Promise<Transition>;
  /** A subscription stanza arrives, with the contact's bare JID in `from`; interested resources get it before the push. */
  receiving(account: Jid, contact: Jid, type: SubscriptionType, stanza: Presence): Promise<Transition>;
}

export interface BookLimits {
  readonly maxItems: number;
  readonly maxRequests: number;
  readonly maxRequestSize: number;
  readonly maxRemoved: number;
}

export interface BookParts {
  readonly items: MapStore<RosterItem>;
  /** Changes up to this version may be forgotten: who knows nothing newer gets the whole roster. */
  readonly floors: KvStore<number>;
  readonly cluster: Cluster;
  readonly router: Router;
  readonly clock: Clock;
  readonly limits: BookLimits;
  /** Components that are told of every change (XEP-0356 4.4). */
  readonly watchers: readonly Jid[];
  readonly tell: (push: Iq) => MaybePromise<void>;
  /** Told of a change that is stored, and that devices may not have been pushed: it is to be settled later. */
  readonly doubt: (account: Jid, contact: Jid) => void;
  /** Told when a contact is gone; `was` is what it was. */
  readonly removed: (account: Jid, contact: Jid, was: RosterItem) => void;
  /** Told of every change that is stored. */
  readonly changed: (account: Jid, contact: Jid, was: RosterItem | undefined, is: RosterItem | undefined) => void;
}

interface Versioned {
  readonly version: number;
  readonly items: ReadonlyMap<string, RosterItem>;
}

export class RosterBook implements Roster {
  private readonly parts: BookParts;
  // one account's changes are made, numbered and pushed one after another
  private readonly turns = new Turns<string>();
  private lastVersion = 0;

  constructor(parts: BookParts) {
    this.parts = parts;
  }

  get(user: string, contact: BareJid): MaybePromise<RosterItem | undefined> {
    return this.parts.items.get(user, contact);
  }

  all(user: string): MaybePromise<ReadonlyMap<string, RosterItem>> {
    return this.parts.items.all(user);
  }

  /** Reads a roster, as it is now; false where it was remembered, and may be older. */
  async isFresh(user: string): Promise<boolean> {
    const parts = [this.parts.items.all(user), this.parts.floors.get(user)];
    await Promise.all(parts);
    return parts.every(isPromise);
  }

  canSee(account: Jid, who: Jid): MaybePromise<boolean> {
    if (account.bare === who.bare) return true;
    return andThen(this.get(account.local, who.bare), (item) => item !== undefined && isFrom(item));
  }

  set(account: Jid, contact: Jid, name: string | undefined, groups: readonly string[]): Promise<void> {
    return this.inTurn(account, async (ver) => {
      const items = await this.all(account.local);
      if (!isVisible(items.get(contact.bare))) this.checkRoom(items);
      let was: RosterItem | undefined;
      const item = await this.parts.items.update(account.local, contact.bare, (old) => {
        was = old;
        const { name: _name, hidden: _hidden, ...rest } = old ?? tombstone(0);
        return { ...rest, ...(name === undefined ? {} : { name }), groups, ver };
      });
      this.parts.changed(account, contact, was, item);
      await this.push(account, contact, item);
    });
  }

  /**
   * Takes a contact, or a request, from where the account was before; of what is there already nothing changes.
   * @param isDry it is only told what would be
   */
  bring(account: Jid, contact: Jid, item: RosterItem, isDry: boolean): Promise<'added' | 'same' | 'kept'> {
    return this.inTurn(account, async (ver) => {
      const items = await this.all(account.local);
      const there = items.get(contact.bare);
      const merged = broughtTo(there, item, ver);
      if (merged === undefined) return isAsBrought(there!, item) ? 'same' : 'kept';
      if (isVisible(item) && !isVisible(there) && items.size >= this.parts.limits.maxItems) return 'kept';
      if (isDry) return 'added';
      let was: RosterItem | undefined;
      const is = await this.parts.items.update(account.local, contact.bare, (old) => {
        was = old;
        return broughtTo(old, item, ver) ?? old;
      });
      this.parts.changed(account, contact, was, is);
      if (is !== undefined && is.ver > 0) await this.push(account, contact, is);
      return 'added';
    });
  }

  remove(account: Jid, contact: Jid): Promise<void> {
    return this.inTurn(account, async (ver) => {
      let was: RosterItem | undefined;
      const item = await this.parts.items.update(account.local, contact.bare, (old) => {
        was = old;
        return isVisible(old) ? tombstone(ver) : old;
      });
      // RFC 6121 2.5.3
      if (!isVisible(was)) throw new StanzaError('item-not-found', 'that is not a contact');
      this.parts.changed(account, contact, was, item);
      await this.push(account, contact, item);
      await this.forgetOldest(account.local);
      this.parts.removed(account, contact, was);
    });
  }

  /**
   * Nobody knows whether a change of a contact was stored, or whether all devices have heard of it: they are pushed what holds. It gets a new
   * version, so that a write that is still on its way to the database comes too late (it is for the row as it was).
   * @throws StorageUnavailable where that is not possible yet
   */
  settle(account: Jid, contact: Jid): Promise<void> {
    return this.inTurn(account, async (ver) => {
      const item = await this.parts.items.update(account.local, contact.bare, (old) => ({
        ...(old ?? tombstone(ver)),
        ver,
      }));
      await this.push(account, contact, item, await this.parts.cluster.directory.sessions(account.bare, true));
      if (item !== undefined && isTombstone(item)) await this.forgetOldest(account.local);
    });
  }

  /** @param isAgain nobody knows whether it was done before: what follows from it is done in any case, pushes too */
  sending(account: Jid, contact: Jid, type: SubscriptionType, isAgain = false): Promise<Transition> {
    const move = isAgain ? outboundAgain : outbound;
    return this.transition(account, contact, (state) => move(state, type), isAgain);
  }

  /** @param isAgain as of {@link sending} */
  receiving(
    account: Jid,
    contact: Jid,
    type: SubscriptionType,
    stanza: Presence,
    isAgain = false,
  ): Promise<Transition> {
    const move = isAgain ? inboundAgain : inbound;
    return this.transition(account, contact, (state) => move(state, type), isAgain, stanza, type !== 'subscribe');
  }

  private transition(
    account: Jid,
    contact: Jid,
    move: (state: Subscription) => Step,
    isAgain: boolean,
    stanza?: Presence,
    toInterested = false,
  ): Promise<Transition> {
    return this.inTurn(account, async (ver) => {
      const user = account.local;
      const items = await this.all(user);
      this.checkMove(items, contact, move, stanza);
      let old: RosterItem | undefined;
      let step: Step = move(subscriptionOf(undefined));
      const item = await this.parts.items.update(user, contact.bare, (current) => {
        old = current;
        step = move(subscriptionOf(current));
        return withSubscription(current, step.state, stanza?.el.toXml(), ver);
      });
      this.parts.changed(account, contact, old, item);
      // RFC 6121 3.1.6, 3.2.3, 3.3.3: the stanza goes before the push
      if (toInterested && step.pass && stanza !== undefined) {
        this.parts.router.delivery.write(stanza, await this.sessions(account));
      }
      if (item?.ver === ver || (isAgain && item !== undefined && item.ver > 0)) await this.push(account, contact, item);
      return { was: subscriptionOf(old), is: step.state, pass: step.pass, approve: step.approve };
    });
  }

  /** @throws StanzaError where a new contact or a new request is one too many */
  private checkMove(
    items: ReadonlyMap<string, RosterItem>,
    contact: Jid,
    move: (state: Subscription) => Step,
    stanza: Presence | undefined,
  ): void {
    const old = items.get(contact.bare);
    const was = subscriptionOf(old);
    const { state } = move(was);
    if (!isVisible(old) && (state.to || state.from || state.out || state.approved)) this.checkRoom(items);
    if (!state.in || was.in || stanza === undefined) return;
    const { maxRequests, maxRequestSize } = this.parts.limits;
    if (stanza.el.toXml().length > maxRequestSize) {
      throw new StanzaError('policy-violation', `a request has at most ${maxRequestSize} characters`);
    }
    if (countWhere(items, (item) => item.request !== undefined) >= maxRequests) {
      throw new StanzaError('resource-constraint', 'too many requests wait for an answer already');
    }
  }

  private checkRoom(items: ReadonlyMap<string, RosterItem>): void {
    const { maxItems } = this.parts.limits;
    if (countWhere(items, isVisible) >= maxItems) {
      throw new StanzaError('resource-constraint', `a roster has at most ${maxItems} contacts`);
    }
  }

  /** The roster as it is now, and the version of that. */
  async current(user: string): Promise<Versioned> {
    const items = await this.all(user);
    const floor = (await this.parts.floors.get(user)) ?? 0;
    return { items, version: Math.max(floor, highestVersion(items)) };
  }

  /**
   * What changed after a version that a client knows, in the order of modification (RFC 6121 2.6.3).
   * @returns undefined when only the whole roster will do
   */
  async changesSince(
    user: string,
    known: string,
  ): Promise<readonly (readonly [contact: string, item: RosterItem])[] | undefined> {
    const since = parseVersion(known);
    if (since === undefined) return undefined;
    const { items, version } = await this.current(user);
    const floor = (await this.parts.floors.get(user)) ?? 0;
    if (since < floor || since > version) return undefined;
    return [...items].filter(([, item]) => item.ver > since).sort(([, a], [, b]) => a.ver - b.ver);
  }

  /** The push of one change to one resource. */
  pushFor(account: Jid, to: Jid, contact: string, item: RosterItem): Iq {
    const ver = formatVersion(item.ver);
    const query = el('query', NS.roster, { ver }, itemElement(contact, item));
    const id = `push-${ver}`;
    const element = el('iq', null, { type: 'set', id, from: account.bare, to: to.full }, query);
    return { kind: 'iq', type: 'set', id, el: element, from: account.withResource(''), to, payload: query };
  }

  private async push(
    account: Jid,
    contact: Jid,
    item: RosterItem | undefined,
    to?: readonly SessionEntry[],
  ): Promise<void> {
    if (item === undefined) return;
    for (const watcher of this.parts.watchers)
      await this.parts.tell(this.pushFor(account, watcher, contact.bare, item));
    const entries = to ?? (await this.sessionsFor(account, contact));
    if (entries.length === 0) return;
    const push = this.pushFor(account, account, contact.bare, item);
    for (const entry of entries) {
      const stanza = replaceElement({ ...push, to: entry.jid }, push.el.with({ to: entry.jid.full }));
      this.parts.router.delivery.write(stanza, [entry]);
    }
  }

  /** Removed items are remembered for clients that were away, but not without end. */
  private async forgetOldest(user: string): Promise<void> {
    const removed = [...(await this.all(user))].filter(([, item]) => isTombstone(item));
    const excess = removed.length - this.parts.limits.maxRemoved;
    if (excess <= 0) return;
    const oldest = removed.sort(([, a], [, b]) => a.ver - b.ver).slice(0, excess);
    // first the floor: a client must not miss a removal because we stopped in between
    const floor = oldest.at(-1)![1].ver;
    await this.parts.floors.update(user, (old) => Math.max(old ?? 0, floor));
    for (const [contact] of oldest) {
      await this.parts.items.update(user, contact, (item) =>
        item !== undefined && isTombstone(item) ? undefined : item,
      );
    }
  }

  /** Also those that have just asked for the roster on another node: they may have read what was there before this change. */
  private sessions({ bare }: Jid): MaybePromise<readonly SessionEntry[]> {
    const { directory } = this.parts.cluster;
    const entries = directory.sessions(bare, true);
    // where it does not answer: those that are known
    return isPromise(entries) ? entries.catch(() => directory.sessions(bare)) : entries;
  }

  /** Who is to hear of a change that is stored: where that cannot be told those that are known, and the others later. */
  private async sessionsFor(account: Jid, contact: Jid): Promise<readonly SessionEntry[]> {
    const { directory } = this.parts.cluster;
    try {
      return await directory.sessions(account.bare, true);
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      this.parts.doubt(account, contact);
    }
    try {
      return await directory.sessions(account.bare);
    } catch (error) {
      if (!(error instanceof StorageUnavailable)) throw error;
      return [];
    }
  }

  private async inTurn<T>(account: Jid, work: (ver: number) => Promise<T>): Promise<T> {
    return this.turns.run(account.local, async () => work(await this.nextVersion(account.local)));
  }

  /** Rises always: with the clock, after whatever this process gave out, after whatever another node wrote. */
  private async nextVersion(user: string): Promise<number> {
    const { version } = await this.current(user);
    this.lastVersion = Math.max(this.parts.clock.now() * 1000, this.lastVersion + 1, version + 1);
    return this.lastVersion;
  }
}

/** As clients see it; what another server once gave them for this account does not look like it. */
export function formatVersion(version: number): string {
  return `v${version.toString(36)}`;
}

/** The version that a client knows; undefined when it is none of ours. */
export function parseVersion(text: string): number | undefined {
  return /^v[0-9a-z]{1,10}$/.test(text) ? Number.parseInt(text.slice(1), 36) : undefined;
}

function highestVersion(items: ReadonlyMap<string, RosterItem>): number {
  let highest = 0;
  for (const item of items.values()) if (item.ver > highest) highest = item.ver;
  return highest;
}

function countWhere(items: ReadonlyMap<string, RosterItem>, match: (item: RosterItem) => boolean): number {
  let count = 0;
  for (const item of items.values()) if (match(item)) count++;
  return count;
}
