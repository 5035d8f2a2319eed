// Router: where does a stanza go? The only place that knows. RFC 6120 section 10, RFC 6121 8.1 to 8.4.
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { andThen, isPromise, type MaybePromise } from '../base/maybe.ts';
import type { Addressee, Cluster, NodeId, SessionEntry } from '../cluster/cluster.ts';
import { StorageUnavailable } from '../storage/errors.ts';
import { parseElement } from '../xml/document.ts';
import { Element } from '../xml/element.ts';
import { StanzaError, StreamError } from '../xmpp/errors.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { refused } from '../xmpp/sm-counters.ts';
import {
  errorReply,
  type Iq,
  iqResult,
  type Message,
  messageOf,
  type Presence,
  type Reach,
  type Stanza,
  stanzaOf,
} from '../xmpp/stanza.ts';
import { AccountDelivery, type Returned } from './account.ts';
import { Arrivals, addressOf, reachFrom } from './arrivals.ts';
import { iqAnswer, iqOut, messageOut, presenceOut, serverIn, serviceIn, sessionOrphaned } from './events.ts';
import { isOver } from './hooks.ts';
import type { Host } from './host.ts';
import type { Target } from './module.ts';
import { Multicast } from './multicast.ts';
import { refusalOf } from './owners/reply.ts';
import { Questions } from './questions.ts';
import { goAbroad, type Remote } from './remote.ts';
import type { Session, Sessions } from './sessions.ts';
import { checkFrom, restamp, stamp } from './stamps.ts';
import { type Life, type Origin, Transit } from './transit.ts';

/** Work that a handled stanza still waits for. */
export interface Unsettled {
  /**
   * Resolves to false where it has failed and its sender, whose session is over, cannot be told: then the stanza was not handled. To
   * {@link refused} where its sender is told.
   */
  readonly settled: Promise<unknown>;
}

interface RequestOptions {
  /** In milliseconds. */
  readonly timeout?: number;
  /** The component that asks in the name of an account of the host. */
  readonly by?: string;
  /** Ends the waiting. */
  readonly signal?: AbortSignal;
}

export interface RouterParts {
  readonly hosts: ReadonlyMap<string, Host>;
  readonly sessions: Sessions;
  readonly cluster: Cluster;
  readonly clock: Clock;
  readonly log: Logger;
  /** Absent while there is no federation: such stanzas are refused with `remote-server-not-found`. */
  readonly remote?: Remote;
}

const nothing = (): void => {};

export class Router {
  private readonly parts: RouterParts;
  private readonly accounts: AccountDelivery;
  private readonly questions: Questions;
  private readonly multicasts: Multicast;
  private readonly arrivals: Arrivals;

  constructor(parts: RouterParts) {
    this.parts = parts;
    this.questions = new Questions(parts.cluster, parts.clock);
    this.multicasts = new Multicast({
      ...parts,
      abroad: (stanza, host) => this.abroad(new Transit(stanza, { kind: 'host', host })),
      undelivered: (frame, node) => this.arrivals.take(frame, node),
      refuse: (element, from, to, error) => this.refuse(element, from, to, error),
    });
    this.accounts = new AccountDelivery(parts.cluster, parts.sessions, parts.clock, {
      answerIq: (host, transit, targets) => this.answer(host, transit, targets),
      missed: (stanza, addressee, node) => this.missed(stanza, addressee, node),
      refuse: ({ el, from, to }, error) => void this.refuse(el, to, from, error),
    });
    this.arrivals = new Arrivals({
      ...parts,
      accounts: this.accounts,
      multicasts: this.multicasts,
      forThisNode: (element) => this.forThisNode(element),
      guard: (element, from, to, step) => this.guard(element, from, to, step),
      refuse: (element, from, to, error) => this.refuse(element, from, to, error),
    });
    parts.cluster.answer('message.back', (body) => this.returned(body as Returned));
  }

  /** The hosts are there: what other nodes send is dealt with, and what dead ones have left. */
  begin(): void {
    const { cluster } = this.parts;
    cluster.onOrphans((entries) => this.mourn(entries));
    cluster.receive((frame, from) => this.arrivals.take(frame, from));
  }

  private async mourn(entries: readonly SessionEntry[]): Promise<void> {
    await Promise.all(
      entries.map((entry) => this.parts.hosts.get(entry.jid.domain)?.collect(sessionOrphaned, { entry })),
    );
  }

  /**
   * A bound client sent something. Never throws but a StreamError: a stanza that cannot be served is answered with an error.
   * @returns what the stanza still waits for, though it was handled: its way to the disk. Never rejects.
   * @throws StreamError `unsupported-stanza-type`, `invalid-from`
   */
  fromClient(session: Session, element: Element): MaybePromise<Unsettled | undefined> {
    if (element.ns !== null || !isStanzaName(element.name)) throw new StreamError('unsupported-stanza-type');
    checkFrom(session, element);
    const from = session.jid;
    const text = element.attrs.to;
    const to = text === undefined ? from.withResource('') : (this.parts.sessions.get(text)?.jid ?? Jid.parse(text));
    if (to === undefined) {
      // RFC 6120 8.3.3.8; what cannot be addressed is answered by the server
      const problem = new StanzaError('jid-malformed', 'the "to" address is not a JID');
      return andThen(this.refuse(element, session.host.jid, from, problem), () => undefined);
    }
    let transit: Transit | undefined;
    const done = this.guard(element, from, to, () => {
      const stanza = stanzaOf(stamp(element, from, to), from, to);
      transit = new Transit<Stanza>(stanza, { kind: 'client', session });
      return this.outbound(session.host, transit);
    });
    if (isPromise(done)) return done.then(() => this.unsettled(transit));
    return this.unsettled(transit);
  }

  /** What a transit leaves to wait for. If it fails, the sender hears of it: then the stanza is as good as handled. */
  private unsettled(transit: Transit | undefined): Unsettled | undefined {
    const work = transit?.settled;
    if (transit === undefined || work === undefined) return undefined;
    const { el: element, from, to } = transit.stanza;
    const header = headerOf(element);
    const { origin } = transit;
    const session = origin.kind === 'client' ? origin.session : undefined;
    const settled = work.then<unknown, unknown>(nothing, (error: unknown) =>
      this.failed(header, from, to, error, session),
    );
    return { settled };
  }

  /** Whether a session is over, and not on another node: it is told nothing, and what it said is not handled. */
  private isOut(session: Session | undefined): boolean {
    return session?.isOver === true && this.parts.sessions.moves.whither(session.sid) === undefined;
  }

  private async failed(header: Element, from: Jid, to: Jid, error: unknown, session?: Session): Promise<unknown> {
    if (this.isOut(session)) return false;
    try {
      await this.refuse(header, to, from, error);
    } catch (failure) {
      this.parts.log.error({ err: failure }, 'a failure could not be told');
    }
    // (it may have ended before it was found)
    return this.isOut(session) ? false : refused;
  }

  /**
   * Another server sent a stanza, from a domain that it may speak for to one of ours. Never rejects: what goes wrong is answered.
   * @returns what the stanza still waits for, though it was handled
   */
  fromServer(element: Element, from: Jid, to: Jid): MaybePromise<Unsettled | undefined> {
    let transit: Transit | undefined;
    const done = this.guard(element, from, to, () => {
      transit = new Transit(stanzaOf(restamp(element, from, to), from, to), { kind: 'server', domain: from.domain });
      return this.inbound(transit);
    });
    if (isPromise(done)) return done.then(() => this.unsettled(transit));
    return this.unsettled(transit);
  }

  private inbound(transit: Transit): MaybePromise<void> {
    const host = this.parts.hosts.get(transit.stanza.to.domain);
    if (host === undefined || !host.listens(serverIn)) return this.forward(transit);
    return andThen(host.gate(serverIn, transit), (verdict) => (isOver(verdict) ? undefined : this.forward(transit)));
  }

  /**
   * A component that may speaks for an account: what it says goes the way of what the account's clients say.
   * @param by the component's domain
   * @returns what the stanza still waits for, though it was handled
   */
  fromAccount(host: Host, stanza: Stanza, by: string): MaybePromise<Unsettled | undefined> {
    const transit = new Transit(stanza, { kind: 'account', host, by });
    const { el: element, from, to } = stanza;
    const done = this.guard(element, from, to, () => this.outbound(host, transit));
    return andThen(done, () => this.unsettled(transit));
  }

  /** @throws StanzaError where a rule or a module refuses it; whoever calls this answers */
  private outbound(host: Host, transit: Transit): MaybePromise<void> {
    switch (transit.stanza.kind) {
      case 'message':
        return this.messageOut(host, transit as Transit<Message>);
      case 'presence':
        return andThen(host.gate(presenceOut, transit as Transit<Presence>), (verdict) =>
          isOver(verdict) || transit.stanza.el.attrs.to === undefined ? undefined : this.route(transit),
        );
      case 'iq':
        return andThen(host.gate(iqOut, transit as Transit<Iq>), (verdict) =>
          isOver(verdict) ? undefined : this.route(transit),
        );
    }
  }

  private messageOut(host: Host, transit: Transit<Message>): MaybePromise<void> {
    let done: MaybePromise<void>;
    try {
      done = andThen(host.gate(messageOut, transit), (verdict) =>
        isOver(verdict) ? undefined : this.forward(transit),
      );
    } catch (error) {
      throw concluded(transit, error);
    }
    if (isPromise(done)) {
      return done.then(
        () => transit.conclude(),
        (error: unknown) => Promise.reject(concluded(transit, error)),
      );
    }
    transit.conclude();
  }

  /** Sends a stanza on its way; what goes wrong is answered to its sender. */
  route(transit: Transit): MaybePromise<void> {
    const { el, from, to } = transit.stanza;
    return this.guard(el, from, to, () => this.forward(transit));
  }

  /**
   * The server itself, or an account through it, speaks.
   * @param life the session that it speaks instead of
   */
  send(stanza: Stanza, host: Host, life?: Life): MaybePromise<void> {
    return this.route(new Transit(stanza, { kind: 'host', host, life }));
  }

  /**
   * As {@link send}, but its sender hears of nothing where it cannot be told for the moment who is there.
   * @throws StorageUnavailable then
   */
  attempt(stanza: Stanza, host: Host): MaybePromise<void> {
    const { el, from, to } = stanza;
    const failed = (error: unknown): MaybePromise<void> => {
      if (error instanceof StorageUnavailable) throw error;
      return this.refuse(el, to, from, error);
    };
    try {
      const sent = this.forward(new Transit(stanza, { kind: 'host', host }));
      return isPromise(sent) ? sent.catch(failed) : undefined;
    } catch (error) {
      return failed(error);
    }
  }

  /**
   * A host says one thing to many sessions, of any domain: an element with a `from` and without `to`, to full JIDs. The gates of the
   * readers' hosts do not see it, `sessionOut` does. What comes from one bare JID (a room's) arrives in its order, also with what
   * is sent to a single reader this way. A reader that is not there is answered for by a stanza error from that address.
   * @param lease the token of the lease by which it is said, where it is said by something that has one owner: nobody hears it after
   * what was said under a later one
   * @returns when other nodes have what is for their sessions. Never rejects.
   */
  multicast(element: Element, from: Jid, to: readonly Jid[], host: Host, lease?: number): MaybePromise<void> {
    return this.multicasts.send(element, from, to, host, lease);
  }

  /** Sends what somebody may like to know and did not ask for: where it cannot be delivered, nobody hears of that. */
  tell(stanza: Stanza, host: Host): MaybePromise<void> {
    try {
      const sent = this.forward(new Transit(stanza, { kind: 'host', host }));
      return isPromise(sent) ? sent.catch((error: unknown) => this.untold(stanza, error)) : undefined;
    } catch (error) {
      this.untold(stanza, error);
    }
  }

  private untold({ kind }: Stanza, error: unknown): void {
    if (!(error instanceof StanzaError)) this.parts.log.error({ err: error, stanza: kind }, 'a stanza failed');
  }

  /**
   * Asks, and waits for the reply. Never to be awaited by a handler in the lane of whoever is asked: use `background`.
   * @returns the result or the error; an error of type `wait`, `remote-server-timeout`, when nothing comes
   */
  request(host: Host, make: (id: string) => Iq, { timeout = 30_000, by, signal }: RequestOptions = {}): Promise<Iq> {
    const send = (iq: Iq): void => void (by === undefined ? this.send(iq, host) : this.fromAccount(host, iq, by));
    return this.questions.ask(make, send, timeout, signal);
  }

  /** Nobody answers for a domain any more: what it was asked has failed. */
  giveUp(domain: string): void {
    this.questions.giveUp(domain);
  }

  /** A domain of ours: what it is for, and what its modules offer; undefined for others'. */
  hostOf(domain: string): Pick<Host, 'kind' | 'find' | 'below'> | undefined {
    return this.parts.hosts.get(domain);
  }

  /** Whether a domain is another server's: neither ours nor a component's. */
  isForeign(domain: string): boolean {
    return !this.parts.hosts.has(domain) && this.parts.remote?.isComponent(domain) !== true;
  }

  /** The sessions of a host on this node. */
  sessionsOf(host: Host): readonly Session[] {
    return [...this.parts.sessions.all()].filter((session) => session.host === host);
  }

  /** The sessions of an account on this node. */
  sessionsOfAccount(account: BareJid): readonly Session[] {
    return this.parts.sessions.ofAccount(account);
  }

  /** The session of a full JID, where this node holds it. */
  sessionOf(full: string): Session | undefined {
    return this.parts.sessions.get(full);
  }

  /** Delivers to sessions that were chosen already, here or elsewhere. */
  get delivery(): AccountDelivery {
    return this.accounts;
  }

  private forward(transit: Transit): MaybePromise<void> {
    const { stanza } = transit;
    const host = this.parts.hosts.get(stanza.to.domain);
    if (host === undefined) return this.abroad(transit);
    if (this.questions.take(stanza)) return;
    if (stanza.to.local === '') return this.toHost(host, transit);
    return host.kind === 'users' ? this.accounts.deliver(host, transit) : this.toService(host, transit);
  }

  private abroad(transit: Transit): MaybePromise<void> {
    return goAbroad(transit, this.parts.remote, this.parts.hosts);
  }

  private toService(host: Host, transit: Transit): MaybePromise<void> {
    return andThen(host.gate(serviceIn, transit), (verdict) => {
      if (isOver(verdict)) return;
      // RFC 6121 8.5.1: nobody who has gone is answered; and what answers needs none
      const { type } = transit.stanza;
      if (type !== 'unavailable' && type !== 'error' && type !== 'result') throw new StanzaError('service-unavailable');
    });
  }

  // RFC 6120 10.5.1: the domain itself
  private toHost(host: Host, transit: Transit): MaybePromise<void> {
    const { stanza } = transit;
    // RFC 6120 10.5.2 leaves it open: a domain has no resources here, and nothing to answer for them
    if (stanza.kind === 'iq') return this.answer(host, transit as Transit<Iq>, stanza.to.isBare ? theHost : []);
    if (host.kind === 'users') return this.unread(stanza);
    return andThen(host.gate(serviceIn, transit), (verdict) => (isOver(verdict) ? undefined : this.unread(stanza)));
  }

  /** Nobody reads messages to a domain, and it has no presence to share. */
  private unread(stanza: Stanza): void {
    if (stanza.kind === 'message' && stanza.type !== 'error') throw new StanzaError('service-unavailable');
  }

  /** Answers a request on behalf of an account or a host: by a handler, or by `service-unavailable`. */
  private answer(host: Host, transit: Transit<Iq>, targets: readonly Target[]): MaybePromise<void> {
    const { stanza } = transit;
    const { payload } = stanza;
    if (payload === undefined || (stanza.type !== 'get' && stanza.type !== 'set')) return;
    if (targets.length === 0 || !host.listens(iqAnswer)) return this.answerHere(host, transit, payload, targets);
    return andThen(host.gate(iqAnswer, transit), (verdict) =>
      isOver(verdict) ? undefined : this.answerHere(host, transit, payload, targets),
    );
  }

  private answerHere(
    host: Host,
    transit: Transit<Iq>,
    payload: Element,
    targets: readonly Target[],
  ): MaybePromise<void> {
    const { stanza } = transit;
    const handler = host.iqs.find(targets, stanza.type, payload.ns, payload.name);
    if (handler === undefined) throw new StanzaError('service-unavailable');
    const session = transit.origin.kind === 'client' ? transit.origin.session : undefined;
    let after: (() => void) | undefined;
    const afterReply = (next: () => void): void => {
      after = next;
    };
    let isReleased = false;
    const release = (): void => {
      isReleased = true;
    };
    const done = andThen(handler({ iq: stanza, payload, session, transit, afterReply, release }), (result) =>
      andThen(this.send(iqResult(stanza, result ?? undefined), host), () => after?.()),
    );
    if (!isReleased || !isPromise(done)) return done;
    const { from, to } = stanza;
    transit.settle(done.catch((error: unknown) => this.failed(headerOf(stanza.el), from, to, error)));
  }

  /** A stanza that another node has sent here because of what this one looks after. */
  private forThisNode(element: Element): MaybePromise<void> {
    const from = Jid.parse(element.attrs.from ?? '');
    const to = Jid.parse(element.attrs.to ?? '');
    if (from === undefined || to === undefined) return;
    const stanza = stanzaOf(element, from, to);
    if (this.parts.hosts.has(to.domain)) {
      this.questions.take(stanza);
      return;
    }
    const transit = new Transit(stanza, { kind: 'server', domain: from.domain });
    return andThen(this.route(transit), () => this.unsettled(transit)?.settled.then(nothing));
  }

  /** Another node brings back a message that this one had delivered there. */
  private returned({ xml, from, to, had, sid, at }: Returned): MaybePromise<void> {
    const reader = Jid.parse(to);
    const host = reader && this.parts.hosts.get(reader.domain);
    if (reader === undefined || host === undefined) throw new Error(`${to} is not served here`);
    const message = messageOf(parseElement(xml), addressOf(from, reader), reader);
    const reach: Reach = { ...reachFrom(had), back: [...(had.back ?? [])] };
    return this.guard(message.el, message.from, reader, () =>
      this.accounts.decide(host, { ...message, reach }, sid, at),
    );
  }

  /**
   * A stanza that was delivered to a session comes back, because its client never had it; see AccountDelivery.takeBack.
   * @param at when it was delivered, in milliseconds since 1970; undefined: just now
   */
  takeBack(host: Host, stanza: Stanza, sid: string, at?: number): MaybePromise<void> {
    const { el, from, to } = stanza;
    return this.guard(el, from, to, () => this.accounts.takeBack(host, stanza, sid, at));
  }

  private missed(stanza: Stanza, addressee: Addressee, node: NodeId): MaybePromise<unknown> {
    const host = this.parts.hosts.get(stanza.to.domain);
    if (host === undefined) return;
    return andThen(this.accounts.follow(host, stanza, addressee, node), (transit) => transit?.settled);
  }

  /** Runs a step of a stanza's way; what it throws becomes the answer. */
  private guard(element: Element, from: Jid, to: Jid, step: () => MaybePromise<void>): MaybePromise<void> {
    try {
      const result = step();
      if (!isPromise(result)) return;
      return result.catch((error: unknown) => this.refuse(element, to, from, error));
    } catch (error) {
      return this.refuse(element, to, from, error);
    }
  }

  /**
   * Answers a stanza with an error, where that may be: `from` answers, `to` had sent it.
   * @throws StreamError when the error is one
   */
  refuse(element: Element, from: Jid, to: Jid, error: unknown): MaybePromise<void> {
    if (error instanceof StreamError) throw error;
    const reply = errorReply(element, from.full, to.full, this.explain(element, error));
    if (reply === undefined) return;
    const host = this.parts.hosts.get(from.domain) ?? this.parts.hosts.get(to.domain);
    // neither is ours where a component talks to another server
    const origin: Origin = host === undefined ? { kind: 'server', domain: from.domain } : { kind: 'host', host };
    return this.route(new Transit(stanzaOf(reply, from, to), origin));
  }

  /** What the sender is told. Never more than the condition when the fault is ours. */
  private explain(element: Element, error: unknown): StanzaError {
    const refusal = refusalOf(error);
    if (refusal !== undefined) return refusal;
    this.parts.log.error(
      { err: error, stanza: element.name, type: element.attrs.type, id: element.attrs.id },
      'a stanza failed',
    );
    return new StanzaError('internal-server-error');
  }
}

/** What is to be sent again has not gone its way; what was refused for good has. */
function concluded(transit: Transit, error: unknown): unknown {
  if (error instanceof StanzaError && error.type !== 'wait') transit.conclude();
  return error;
}

export function isStanzaName(name: string): boolean {
  return name === 'message' || name === 'presence' || name === 'iq';
}

/** What answers need of a stanza: with its content, all that hangs on it would have to be kept until then. */
const headerOf = ({ name, ns, attrs }: Element): Element => new Element(name, ns, attrs, []);

const theHost: readonly Target[] = ['host'];
