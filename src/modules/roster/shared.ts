// One roster, several nodes: all changes of an account's roster are made by one of them, so that they are numbered in one order and
// every device is pushed them in that order (RFC 6121 2.6), whichever nodes the devices are on. Reading is done on every node.
import { LruCache } from '../../base/lru.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import { CallTimeout, type Cluster, type NodeId, Unanswered } from '../../cluster/cluster.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { parseElement } from '../../xml/document.ts';
import { type Condition, type ErrorType, StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { type Presence, stanzaOf } from '../../xmpp/stanza.ts';
import type { Roster, RosterBook, Transition } from './book.ts';
import type { RosterItem } from './item.ts';
import type { SubscriptionType } from './subscription.ts';

/** A change that another node is to make; addresses are bare. */
type Change = { readonly account: string; readonly contact: string; readonly isAgain?: true } & (
  | { readonly kind: 'set'; readonly name?: string; readonly groups: readonly string[] }
  | { readonly kind: 'remove' }
  | { readonly kind: 'settle' }
  | { readonly kind: 'sending'; readonly type: SubscriptionType }
  | { readonly kind: 'receiving'; readonly type: SubscriptionType; readonly xml: string }
);

/** Tells what one node asks for from what it asks for again. */
interface Numbered {
  readonly id?: number;
}

interface Outcome {
  readonly done?: Transition;
  readonly refused?: { readonly condition: Condition; readonly type: ErrorType; readonly text?: string };
  readonly unavailable?: string;
}

export interface SharedParts {
  readonly domain: string;
  readonly cluster: Cluster;
  /** Makes changes on this node. */
  readonly book: RosterBook;
  /** Told of a change of which nobody knows whether it was made: it is to be settled later. */
  readonly doubt: (account: Jid, contact: Jid) => void;
}

/** So often a node that does not answer in time is asked. */
const MOST_ASKED = 3;
/** So many outcomes are remembered for those who ask again. */
const REMEMBERED = 4096;

export class SharedRoster implements Roster {
  private readonly cluster: Cluster;
  private readonly book: RosterBook;
  private readonly doubt: SharedParts['doubt'];
  private readonly domain: string;
  private readonly method: string;
  private readonly barrier: string;
  private readonly outcomes = new LruCache<string, Promise<Outcome>>(REMEMBERED);
  private lastId = 0;

  constructor({ domain, cluster, book, doubt }: SharedParts) {
    this.domain = domain;
    this.cluster = cluster;
    this.book = book;
    this.doubt = doubt;
    this.method = `roster.change:${domain}`;
    this.barrier = `roster.sync:${domain}`;
  }

  /** Answers the other nodes; returns how to stop. */
  listen(): () => void {
    const stops = [
      this.cluster.answer(this.method, (body, from) => this.answerOnce(body as Change & Numbered, from)),
      this.cluster.answer(this.barrier, () => null),
    ];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /**
   * Resolves when this node reads all that has been written of a roster before: word of it came before the answer. What is
   * written from now on is pushed to the sessions that are there by now.
   */
  async catchUp(account: Jid): Promise<void> {
    const owner = this.ownerOf(account);
    // where it does not answer there is nobody to wait for
    if (owner !== this.cluster.self) await this.cluster.call(owner, this.barrier, null).catch(() => {});
  }

  get(user: string, contact: BareJid): MaybePromise<RosterItem | undefined> {
    return this.book.get(user, contact);
  }

  all(user: string): MaybePromise<ReadonlyMap<string, RosterItem>> {
    return this.book.all(user);
  }

  canSee(account: Jid, who: Jid): MaybePromise<boolean> {
    return this.book.canSee(account, who);
  }

  set(account: Jid, contact: Jid, name: string | undefined, groups: readonly string[]): Promise<void> {
    return this.orDoubt(account, contact, async () => {
      if (this.isOurs(account)) return this.book.set(account, contact, name, groups);
      const named = name === undefined ? {} : { name };
      await this.hand(account, { kind: 'set', ...of(account, contact), groups, ...named });
    });
  }

  remove(account: Jid, contact: Jid): Promise<void> {
    return this.orDoubt(account, contact, async () => {
      if (this.isOurs(account)) return this.book.remove(account, contact);
      await this.hand(account, { kind: 'remove', ...of(account, contact) });
    });
  }

  sending(account: Jid, contact: Jid, type: SubscriptionType): Promise<Transition> {
    return this.orDoubt(account, contact, async () => {
      if (this.isOurs(account)) return this.book.sending(account, contact, type);
      return (await this.hand(account, { kind: 'sending', type, ...of(account, contact) }))!;
    });
  }

  receiving(account: Jid, contact: Jid, type: SubscriptionType, stanza: Presence): Promise<Transition> {
    return this.orDoubt(account, contact, async () => {
      if (this.isOurs(account)) return this.book.receiving(account, contact, type, stanza);
      const xml = stanza.el.toXml();
      return (await this.hand(account, { kind: 'receiving', type, xml, ...of(account, contact) }))!;
    });
  }

  /** Has the account's devices pushed what holds of a contact. @throws StorageUnavailable where that is not possible yet */
  async settle(account: Jid, contact: Jid): Promise<void> {
    if (this.isOurs(account)) return this.book.settle(account, contact);
    await this.hand(account, { kind: 'settle', ...of(account, contact) });
  }

  /** Where nobody knows whether a change was made, it is settled later; from here, as its owner may have died over it. */
  private async orDoubt<T>(account: Jid, contact: Jid, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof StorageUnavailable) this.doubt(account, contact);
      throw error;
    }
  }

  private isOurs(account: Jid): boolean {
    return this.cluster.nodes.size === 1 || this.ownerOf(account) === this.cluster.self;
  }

  private ownerOf(account: Jid): NodeId {
    return this.cluster.owner(`roster ${account.bare}`);
  }

  /** Has the owner make a change. @throws StanzaError as it does; StorageUnavailable where it is not known whether it did */
  private async hand(account: Jid, change: Change): Promise<Transition | undefined> {
    const { done, refused, unavailable } = await this.ask(account, change);
    if (unavailable !== undefined) throw new StorageUnavailable(unavailable);
    if (refused !== undefined) throw new StanzaError(refused.condition, refused.text, { type: refused.type });
    return done;
  }

  /**
   * What follows from a subscription stanza is done by who asks, and only if it changed something. So a node that is slow is asked again,
   * and knows what it did; where it died over it, nobody does, and all is done that may not have been.
   */
  private async ask(account: Jid, first: Change): Promise<Outcome> {
    const id = ++this.lastId;
    let change = first;
    for (let asked = 1; ; asked++) {
      const owner = this.ownerOf(account);
      if (owner === this.cluster.self) return this.answer(change);
      try {
        const numbered: Change & Numbered = { ...change, id };
        return (await this.cluster.call(owner, this.method, numbered)) as Outcome;
      } catch (error) {
        // it has just started, or is about to stop: nothing was done there
        if (error instanceof Unanswered) return this.answer(change);
        const isDead = !this.cluster.nodes.has(owner);
        const mayAsk = isDead ? change.kind === 'sending' || change.kind === 'receiving' : error instanceof CallTimeout;
        if (!mayAsk || asked === MOST_ASKED) {
          const { message } = error as Error;
          throw new StorageUnavailable(`the node that looks after a roster does not answer: ${message}`, {
            cause: error,
          });
        }
        if (isDead) change = { ...change, isAgain: true };
      }
    }
  }

  private answerOnce(change: Change & Numbered, from: NodeId): Promise<Outcome> {
    // (a node of the version before does not ask again)
    if (change.id === undefined) return this.answer(change);
    const key = `${change.id} ${from}`;
    const outcome = this.outcomes.get(key) ?? this.answer(change);
    this.outcomes.set(key, outcome);
    return outcome;
  }

  private async answer(change: Change): Promise<Outcome> {
    try {
      const done = await this.make(change);
      return done === undefined ? {} : { done };
    } catch (error) {
      if (error instanceof StanzaError) {
        const { condition, type, text } = error;
        return { refused: { condition, type, ...(text === undefined ? {} : { text }) } };
      }
      if (!(error instanceof StorageUnavailable)) throw error;
      // (whoever asks may die before it is settled)
      const [account, contact] = [Jid.parse(change.account), Jid.parse(change.contact)];
      if (change.kind !== 'settle' && account !== undefined && contact !== undefined) this.doubt(account, contact);
      return { unavailable: error.message };
    }
  }

  private async make(change: Change): Promise<Transition | undefined> {
    const { book } = this;
    const account = Jid.parse(change.account);
    const contact = Jid.parse(change.contact);
    if (account?.domain !== this.domain || contact === undefined)
      throw new Error('that is no contact of an account here');
    switch (change.kind) {
      case 'set':
        await book.set(account, contact, change.name, change.groups);
        return undefined;
      case 'remove':
        await book.remove(account, contact);
        return undefined;
      case 'settle':
        await book.settle(account, contact);
        return undefined;
      case 'sending':
        return book.sending(account, contact, change.type, change.isAgain);
      case 'receiving': {
        const stanza = stanzaOf(parseElement(change.xml), contact, account) as Presence;
        return book.receiving(account, contact, change.type, stanza, change.isAgain);
      }
    }
  }
}

function of(account: Jid, contact: Jid): { readonly account: string; readonly contact: string } {
  return { account: account.bare, contact: contact.bare };
}
