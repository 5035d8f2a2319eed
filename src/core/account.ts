// RFC 6121 section 8.5: what becomes of a stanza for a local account. Every rule of delivery to people is in this file.
import type { Clock } from '../base/clock.ts';
import { andThen, isPromise, type MaybePromise } from '../base/maybe.ts';
import { type Addressee, CallTimeout, type Cluster, type NodeId, type SessionEntry } from '../cluster/cluster.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import type { Element } from '../xml/element.ts';
import { delayElement } from '../xmpp/delay.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import {
  type Holders,
  type Iq,
  type Message,
  messageOf,
  type Presence,
  type Reach,
  replaceElement,
  type Stanza,
} from '../xmpp/stanza.ts';
import { Elsewhere, placeOf } from './elsewhere.ts';
import { iqIn, messageIn, messageOffline, presenceIn, presenceNews } from './events.ts';
import { isOver } from './hooks.ts';
import type { Host } from './host.ts';
import type { Target } from './module.ts';
import { holdersOf, Reaches, STORE, wasGiven } from './reaches.ts';
import { Session, type Sessions } from './sessions.ts';
import { defineNote, Transit } from './transit.ts';

/** The sessions that a message is about to reach; left before `messageIn` runs, so that `copy` knows the others. */
export const recipients = defineNote<readonly SessionEntry[]>('recipients');

/** Where several may get the message or a copy: who is given it; whoever copies it adds those who get copies. */
export const reached = defineNote<Reach>('reached');

/**
 * The message was delivered before, and its readers never had it: it is on its way through the rules once more. Whoever
 * stored or counted it must not do so again, and none of those who were given it gets it again.
 */
export const redelivered = defineNote<Holders>('redelivered');

/** A message that comes back to the node which decides what becomes of it, as JSON. */
export interface Returned {
  readonly xml: string;
  readonly from: string;
  readonly to: string;
  readonly had: Holders & Partial<Pick<Reach, 'back'>>;
  readonly sid: string;
  readonly at?: number;
}

/** Answers an IQ request for an account or a host on its behalf. */
export type AnswerIq = (host: Host, transit: Transit<Iq>, targets: readonly Target[]) => MaybePromise<void>;

/** What delivery leaves to the router. */
export interface DeliveryParts {
  readonly answerIq: AnswerIq;
  /** A stanza did not reach a session at that node: see {@link AccountDelivery.follow}. */
  missed(stanza: Stanza, addressee: Addressee, node: NodeId): MaybePromise<unknown>;
  /** Tells a stanza's sender what went wrong. */
  refuse(stanza: Stanza, error: unknown): void;
}

/** So often a node that does not answer is asked: it must not hold anything up for ever. */
const MOST_ASKED = 6;
/** Until it is looked again who is there, in milliseconds. */
const PAUSE = 1_000;

export class AccountDelivery {
  private readonly cluster: Cluster;
  private readonly sessions: Sessions;
  private readonly clock: Clock;
  private readonly parts: DeliveryParts;
  private readonly reaches: Reaches;

  constructor(cluster: Cluster, sessions: Sessions, clock: Clock, parts: DeliveryParts) {
    this.cluster = cluster;
    this.reaches = new Reaches(cluster, sessions.moves, clock);
    this.sessions = sessions;
    this.clock = clock;
    this.parts = parts;
  }

  /**
   * Takes a stanza addressed to an account or one of its resources.
   * @throws StanzaError where the rules, or a module, refuse it
   */
  deliver(host: Host, transit: Transit): MaybePromise<void> {
    if (isNews(transit.stanza) && host.listens(presenceNews)) host.notify(presenceNews, transit as Transit<Presence>);
    return andThen(this.cluster.directory.sessions(transit.stanza.to.bare), (entries) => {
      // whoever has a session has an account; only for the others the store is asked
      if (entries.length > 0) return this.toAccount(host, transit, entries);
      if (isNews(transit.stanza)) return;
      return andThen(host.accounts.exists(transit.stanza.to.local), (exists) =>
        exists ? this.toAccount(host, transit, entries) : this.toNobody(host, transit),
      );
    });
  }

  private toAccount(host: Host, transit: Transit, entries: readonly SessionEntry[]): MaybePromise<void> {
    switch (transit.stanza.kind) {
      case 'message':
        return this.message(host, transit as Transit<Message>, entries);
      case 'presence':
        return this.presence(host, transit as Transit<Presence>, entries);
      case 'iq':
        return this.iq(host, transit as Transit<Iq>, entries);
    }
  }

  // RFC 6121 8.5.1
  private toNobody(host: Host, transit: Transit): MaybePromise<void> {
    const { stanza } = transit;
    if (stanza.kind === 'presence') {
      // RFC 6121 4.3.2: a probe is answered as by an account that shows nothing, so that nobody can tell the two apart
      return stanza.type === 'probe' ? this.presence(host, transit as Transit<Presence>, []) : undefined;
    }
    if (stanza.kind === 'iq' && stanza.to.isBare) return this.parts.answerIq(host, transit as Transit<Iq>, nobody);
    throw new StanzaError('service-unavailable');
  }

  private message(host: Host, transit: Transit<Message>, entries: readonly SessionEntry[]): MaybePromise<void> {
    const before = transit.note(redelivered);
    // one that comes back is for the account, whomever it was for before; and for nobody who was given it
    const route =
      before === undefined
        ? routeMessage(transit.stanza, entries)
        : toBare(
            transit.stanza,
            entries.filter(({ sid }) => !wasGiven(before, sid)),
          );
    transit.leave(recipients, route.to);
    // what is refused is not archived, nor copied
    if (route.to.length === 0 && route.otherwise === 'refuse') throw new StanzaError('service-unavailable');
    const reach = this.reachOf(transit, route, entries);
    // decided now: while modules look at it, somebody else may give it back, and decide for himself
    const isForStore = route.to.length === 0 && route.otherwise === 'store' && this.leaveToStore(reach);
    return andThen(host.gate(messageIn, transit), (verdict) => {
      if (isOver(verdict)) return;
      if (route.to.length > 0) {
        return this.write(reach === undefined ? transit.stanza : { ...transit.stanza, reach }, route.to, transit);
      }
      if (isForStore) return this.offline(host, transit);
    });
  }

  private offline(host: Host, transit: Transit<Message>): MaybePromise<void> {
    return andThen(host.gate(messageOffline, transit), (verdict) => {
      if (!isOver(verdict)) throw new StanzaError('service-unavailable');
    });
  }

  private presence(host: Host, transit: Transit<Presence>, entries: readonly SessionEntry[]): MaybePromise<void> {
    return andThen(host.gate(presenceIn, transit), (verdict) => {
      if (isOver(verdict)) return;
      const { stanza } = transit;
      // RFC 6121 8.5.3.1, 8.5.3.2.2: to that resource, or to nobody
      if (!stanza.to.isBare) return this.write(stanza, matching(stanza, entries), transit);
      // RFC 6121 8.5.2.1.2: to every available resource, whatever its priority
      if (stanza.type !== 'error')
        this.write(
          stanza,
          entries.filter((entry) => entry.available),
          transit,
        );
    });
  }

  private iq(host: Host, transit: Transit<Iq>, entries: readonly SessionEntry[]): MaybePromise<void> {
    const { stanza } = transit;
    return andThen(host.gate(iqIn, transit), (verdict) => {
      if (isOver(verdict)) return;
      // RFC 6121 8.5.2.1.3: the server answers for the account, always
      if (stanza.to.isBare)
        return this.parts.answerIq(host, transit, stanza.from.bare === stanza.to.bare ? ownAccount : anyAccount);
      const match = matching(stanza, entries);
      if (match.length > 0) return this.write(stanza, match, transit);
      // RFC 6121 8.5.3.2.3; results and errors for a resource that left are of no use to anybody
      if (stanza.type === 'get' || stanza.type === 'set') throw new StanzaError('service-unavailable');
    });
  }

  /** Writes down who is about to be given the message, where that is more than one session. */
  private reachOf(transit: Transit<Message>, route: MessageRoute, entries: readonly SessionEntry[]): Reach | undefined {
    let reach = transit.note(reached);
    if (reach === undefined) {
      if (entries.length < 2 && entries.length === route.to.length) return undefined;
      reach = this.reaches.create();
      transit.leave(reached, reach);
    }
    for (const entry of route.to) {
      this.sessions.moves.learn(entry);
      reach.to.push(entry.sid);
    }
    return reach;
  }

  /** What is stored counts as given to the store; where one has a copy of what comes back, it need not be stored. */
  private leaveToStore(reach: Reach | undefined): boolean {
    if (reach === undefined) return true;
    if (this.reaches.isHeld(reach, reach.copied)) return false;
    reach.to.push(STORE);
    return true;
  }

  /** Hands a message that was kept to a session; none of those that were given copies of it gets another, should it come back. */
  writeKept(message: Message, reader: SessionEntry, copied: readonly string[]): void {
    if (copied.length === 0) {
      this.write(message, [reader]);
      return;
    }
    const reach = this.reaches.create(reader.sid);
    reach.copied.push(...copied);
    // whether they have them still nobody knows: that is no reason not to keep it again
    reach.back.push(...copied);
    this.reaches.remember(reach);
    this.write({ ...message, reach }, [reader]);
  }

  /** A session that the message was delivered to has acknowledged it: it is delivered to nobody else, whoever gives it back. */
  had(reach: Reach): void {
    this.reaches.had(reach);
  }

  /** Whether that is known of a message. */
  isHad(reach: Reach): boolean {
    return this.reaches.isHad(reach);
  }

  /** Takes over what a former life of this node wrote down. */
  adopt(reach: Reach): Reach {
    return this.reaches.adopt(reach);
  }

  /**
   * Hands a stanza to sessions, here or on other nodes; one frame for each node.
   * @param transit what brought it here: its sender's acknowledgement waits until the other nodes' inboxes have it, or somebody else
   *   for sure where they do not
   */
  write(stanza: Stanza, to: readonly SessionEntry[], transit?: Transit): void {
    let elsewhere: Elsewhere | undefined;
    for (const entry of to) {
      const place = placeOf(entry, this.sessions, this.cluster.self);
      if (place instanceof Session) place.deliver(stanza);
      else {
        const addressee: Addressee = { jid: entry.jid.full, sid: entry.sid };
        if (place === undefined) this.wait(stanza, this.missed(stanza, [addressee], entry.node), transit);
        else {
          elsewhere ??= new Elsewhere();
          elsewhere.add(place, addressee);
        }
      }
    }
    if (elsewhere === undefined) return;
    const xml = stanza.el.toXml();
    const reach = stanza.kind === 'message' ? stanza.reach : undefined;
    const had = reach === undefined ? {} : { had: holdersOf(reach) };
    const sent = elsewhere.send(this.cluster, { xml, ...had }, (list, node) => this.missed(stanza, list, node));
    if (sent !== undefined) this.wait(stanza, sent, transit);
  }

  private async missed(stanza: Stanza, to: readonly Addressee[], node: NodeId): Promise<void> {
    await Promise.all(to.map((addressee) => this.parts.missed(stanza, addressee, node)));
  }

  /** What fails is told to the sender: by whoever waits for it, or else at once. */
  private wait(stanza: Stanza, work: Promise<unknown>, transit: Transit | undefined): void {
    if (transit !== undefined) transit.settle(work);
    else work.catch((error: unknown) => this.parts.refuse(stanza, error));
  }

  /**
   * A stanza did not reach a session at a node, which is no more or does not have it. Where that session lives on elsewhere, it
   * is given it there; else the rules for an absent resource apply, as in {@link takeBack}.
   * @param node where it was sent in vain
   * @returns its way, with what has to be waited for until somebody has it for sure; undefined where it takes none from here
   * @throws StanzaError where the rules, or a module, refuse it
   */
  follow(host: Host, stanza: Stanza, addressee: Addressee, node: NodeId): MaybePromise<Transit | undefined> {
    // presence is of the moment, and there is much of it when a node dies
    return andThen(this.whereNow(addressee, node, stanza.kind !== 'presence'), (entry) => {
      if (entry === undefined) return this.giveUp(host, stanza, addressee.sid);
      const transit = new Transit(stanza, { kind: 'host', host });
      this.write(stanza, [entry], transit);
      return transit;
    });
  }

  /** A session that was not found at a node, where it lives on at another one. */
  whereNow({ jid, sid }: Addressee, node: NodeId, isFresh = true): MaybePromise<SessionEntry | undefined> {
    const account = Jid.parse(jid)?.bare;
    if (account === undefined) return undefined;
    return andThen(this.entriesOf(account, isFresh), (entries) => {
      const entry = entries.find((one) => one.sid === sid && one.node !== node && this.cluster.nodes.has(one.node));
      if (entry !== undefined) this.sessions.moves.learn(entry);
      return entry;
    });
  }

  /** Who is there. What was taken once, and perhaps kept, is not refused because nobody can tell for the moment: that is waited for. */
  private entriesOf(user: BareJid, isFresh = false): MaybePromise<readonly SessionEntry[]> {
    const entries = this.cluster.directory.sessions(user, isFresh);
    return isPromise(entries) ? this.patiently(entries, user, isFresh) : entries;
  }

  private async patiently(
    first: Promise<readonly SessionEntry[]>,
    user: BareJid,
    isFresh: boolean,
  ): Promise<readonly SessionEntry[]> {
    for (let entries: MaybePromise<readonly SessionEntry[]> = first; ; ) {
      try {
        return await entries;
      } catch (error) {
        if (!(error instanceof StorageUnavailable)) throw error;
      }
      await new Promise<void>((resolve) => void this.clock.after(PAUSE, resolve));
      entries = this.cluster.directory.sessions(user, isFresh);
    }
  }

  /**
   * A stanza that was delivered to a session comes back, because its client never had it: the rules for an absent resource
   * apply (RFC 6121 8.5.3.2, XEP-0198 4). A message is delivered again when the last of those that it was delivered to has
   * given it back; its home decides that.
   * @param at when it was delivered, in milliseconds since 1970
   * @throws StanzaError where the rules, or a module, refuse it
   */
  takeBack(host: Host, stanza: Stanza, sid: string, at?: number): MaybePromise<void> {
    return andThen(this.giveUp(host, stanza, sid, at), nothing);
  }

  /** Resolves to the way that it takes now; undefined where it takes none from here. */
  private giveUp(host: Host, stanza: Stanza, sid: string, at?: number): MaybePromise<Transit | undefined> {
    if (stanza.kind === 'presence') return;
    if (stanza.kind === 'iq') {
      if (stanza.type === 'get' || stanza.type === 'set') throw new StanzaError('service-unavailable');
      return;
    }
    const message = forAccount(stanza);
    if (message === undefined) return;
    const { reach } = stanza;
    if (reach !== undefined && this.reaches.isHad(reach)) return;
    const decider = reach === undefined ? this.cluster.self : this.reaches.deciderOf(reach);
    if (reach === undefined || decider === this.cluster.self) return this.again(host, message, reach, sid, at);
    const { from, to } = message;
    const had = { ...holdersOf(reach), back: reach.back };
    const returned: Returned = { xml: message.el.toXml(), from: from.full, to: to.full, had, sid, ...(at && { at }) };
    return this.bringBack(decider, returned, () => this.again(host, message, reach, sid, at));
  }

  /**
   * Lets another node decide what becomes of a message, or `otherwise` where that cannot. One that is only slow may have decided, or do
   * so yet: it is asked again, and knows then that it has.
   */
  private async bringBack(
    node: NodeId,
    returned: Returned,
    otherwise: () => MaybePromise<Transit | undefined>,
  ): Promise<Transit | undefined> {
    for (let asked = 1; ; asked++) {
      try {
        await this.cluster.call(node, 'message.back', returned);
        return undefined;
      } catch (error) {
        if (error instanceof CallTimeout && asked < MOST_ASKED && this.cluster.nodes.has(node)) continue;
        return otherwise();
      }
    }
  }

  /**
   * Another node gives back a message, for this one to decide what becomes of it.
   * @throws StanzaError where the rules, or a module, refuse it
   */
  decide(host: Host, message: Message, sid: string, at?: number): MaybePromise<void> {
    return andThen(this.again(host, message, message.reach, sid, at), nothing);
  }

  private again(
    host: Host,
    message: Message,
    given: Reach | undefined,
    sid: string,
    at = 0,
  ): MaybePromise<Transit | undefined> {
    return andThen(this.entriesOf(message.to.bare), (entries) => {
      const reach = given === undefined ? this.reaches.create(sid) : this.reaches.find(given, entries);
      this.reaches.remember(reach);
      // nothing is waited for from here until it is written down who gets it next
      reach.back.push(sid);
      if (this.reaches.isHad(reach) || this.reaches.isHeld(reach, reach.to)) return;
      const again = at === 0 ? message : replaceElement(message, delayed(message.el, at, host.domain));
      const transit = new Transit<Message>(again, { kind: 'host', host });
      transit.leave(redelivered, reach);
      transit.leave(reached, reach);
      return andThen(this.message(host, transit, entries), () => transit);
    });
  }
}

const nothing = (): void => {};

const ownAccount: readonly Target[] = ['self', 'account'];
const anyAccount: readonly Target[] = ['account'];
const nobody: readonly Target[] = ['nobody'];

/** RFC 6121 8.5.1, 8.5.2.2.2: where nobody is connected it goes nowhere, whether there is an account or not. */
function isNews(stanza: Stanza): boolean {
  return (
    stanza.kind === 'presence' &&
    (stanza.type === 'available' || stanza.type === 'unavailable' || stanza.type === 'error')
  );
}

/**
 * What of a message that comes back is of interest to the account: not what was of the moment, nor a page of its archive; of
 * a copy of something that it received (XEP-0280) the original.
 */
function forAccount(message: Message): Message | undefined {
  const { type, el: element, from, to } = message;
  if (type !== 'chat' && type !== 'normal') return undefined;
  if (from.full !== to.bare) return message;
  if (element.getChild('result', NS.mam) !== undefined) return undefined;
  const copy = element.getChild('sent', NS.carbons) ?? element.getChild('received', NS.carbons);
  if (copy === undefined) return message;
  // what was sent to somebody else, or went to nobody, is not this account's to miss
  if (message.reach === undefined) return undefined;
  const original = copy.getChild('forwarded', NS.forward)?.getChild('message', null);
  const sender = original && Jid.parse(original.attrs.from ?? '');
  const reader = original && Jid.parse(original.attrs.to ?? '');
  if (original === undefined || sender === undefined || reader === undefined) return undefined;
  return messageOf(original, sender, reader);
}

/** XEP-0198 4: with the time of the delivery that failed, unless it says already that it is late. */
function delayed(element: Element, at: number, by: string): Element {
  return element.getChild('delay', NS.delay) === undefined ? element.append(delayElement(at, by)) : element;
}

interface MessageRoute {
  readonly to: readonly SessionEntry[];
  /** What to do when there is nobody in `to`. */
  readonly otherwise: 'store' | 'refuse' | 'ignore';
}

function matching(stanza: Stanza, entries: readonly SessionEntry[]): readonly SessionEntry[] {
  return entries.filter((entry) => entry.jid.resource === stanza.to.resource);
}

/** Which resources a message reaches, and what happens when there is none. */
export function routeMessage(message: Message, entries: readonly SessionEntry[]): MessageRoute {
  if (message.to.isBare) return toBare(message, entries);
  const match = matching(message, entries);
  // RFC 6121 8.5.3.1: a full JID that matches takes everything, also while it is only connected
  if (match.length > 0) return { to: match, otherwise: 'ignore' };
  switch (message.type) {
    // RFC 6121 8.5.3.2.1: as if it had been sent to the bare JID
    case 'chat':
      return toBare(message, entries);
    case 'normal':
    case 'groupchat':
      return { to: [], otherwise: 'refuse' };
    case 'headline':
    case 'error':
      return { to: [], otherwise: 'ignore' };
  }
}

/** RFC 6121 8.5.2.1.1 and 8.5.2.2.1. */
function toBare(message: Message, entries: readonly SessionEntry[]): MessageRoute {
  const willing = entries.filter((entry) => entry.available && entry.priority >= 0);
  switch (message.type) {
    case 'chat':
    case 'normal':
      return { to: mostAvailable(willing), otherwise: 'store' };
    case 'headline':
      return { to: willing, otherwise: 'ignore' };
    case 'groupchat':
      return { to: [], otherwise: 'refuse' };
    case 'error':
      return { to: [], otherwise: 'ignore' };
  }
}

/** Our reading of "most available": all resources that share the highest priority. */
function mostAvailable(willing: readonly SessionEntry[]): readonly SessionEntry[] {
  if (willing.length < 2) return willing;
  const highest = Math.max(...willing.map((entry) => entry.priority));
  return willing.filter((entry) => entry.priority === highest);
}
