// RFC 6121 section 8.5: what becomes of a stanza for a local account. Every rule of delivery to people is in this file.
import { andThen, type MaybePromise } from '../base/maybe.ts';
import type { Cluster, SessionEntry } from '../cluster/cluster.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Iq, Message, Presence, Stanza } from '../xmpp/stanza.ts';
import { iqIn, messageIn, messageOffline, presenceIn } from './events.ts';
import type { Verdict } from './hooks.ts';
import type { Host } from './host.ts';
import type { Target } from './module.ts';
import type { Sessions } from './sessions.ts';
import { defineNote, type Transit } from './transit.ts';

/** The sessions that a message is about to reach; left before `messageIn` runs, so that `copy` knows the others. */
export const recipients = defineNote<readonly SessionEntry[]>('recipients');

/**
 * The message was delivered before, and its reader never had it: it is on its way through the rules once more. Whoever
 * stored or counted it must not do so again.
 */
export const redelivered = defineNote<{
  /** The sessions that have had it, or a copy, by their sid. */
  readonly had: readonly string[];
}>('redelivered');

/** Answers an IQ request for an account or a host on its behalf. */
export type AnswerIq = (host: Host, transit: Transit<Iq>, targets: readonly Target[]) => MaybePromise<void>;

export class AccountDelivery {
  private readonly cluster: Cluster;
  private readonly sessions: Sessions;
  private readonly answerIq: AnswerIq;

  constructor(cluster: Cluster, sessions: Sessions, answerIq: AnswerIq) {
    this.cluster = cluster;
    this.sessions = sessions;
    this.answerIq = answerIq;
  }

  /**
   * Takes a stanza addressed to an account or one of its resources.
   * @throws StanzaError where the rules, or a module, refuse it
   */
  deliver(host: Host, transit: Transit): MaybePromise<void> {
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
    if (stanza.kind === 'presence') return;
    if (stanza.kind === 'iq' && stanza.to.isBare) return this.answerIq(host, transit as Transit<Iq>, nobody);
    throw new StanzaError('service-unavailable');
  }

  private message(host: Host, transit: Transit<Message>, entries: readonly SessionEntry[]): MaybePromise<void> {
    const route = routeMessage(transit.stanza, entries);
    transit.leave(recipients, route.to);
    // what is refused is not archived, nor copied
    if (route.to.length === 0 && route.otherwise === 'refuse') throw new StanzaError('service-unavailable');
    return andThen(host.gate(messageIn, transit), (verdict) => {
      if (isOver(verdict)) return;
      if (route.to.length > 0) return this.write(transit.stanza, route.to);
      if (route.otherwise === 'ignore') return;
      return this.offline(host, transit);
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
      if (!stanza.to.isBare) return this.write(stanza, matching(stanza, entries));
      // RFC 6121 8.5.2.1.2: to every available resource, whatever its priority
      if (stanza.type !== 'error')
        this.write(
          stanza,
          entries.filter((entry) => entry.available),
        );
    });
  }

  private iq(host: Host, transit: Transit<Iq>, entries: readonly SessionEntry[]): MaybePromise<void> {
    const { stanza } = transit;
    return andThen(host.gate(iqIn, transit), (verdict) => {
      if (isOver(verdict)) return;
      // RFC 6121 8.5.2.1.3: the server answers for the account, always
      if (stanza.to.isBare)
        return this.answerIq(host, transit, stanza.from.bare === stanza.to.bare ? ownAccount : anyAccount);
      const match = matching(stanza, entries);
      if (match.length > 0) return this.write(stanza, match);
      // RFC 6121 8.5.3.2.3; results and errors for a resource that left are of no use to anybody
      if (stanza.type === 'get' || stanza.type === 'set') throw new StanzaError('service-unavailable');
    });
  }

  /** Hands a stanza to sessions, here or on other nodes; one frame for each node. */
  write(stanza: Stanza, to: readonly SessionEntry[]): void {
    let elsewhere: Map<SessionEntry['node'], string[]> | undefined;
    for (const entry of to) {
      if (entry.node === this.cluster.self) {
        this.sessions.get(entry.jid.full)?.deliver(stanza);
        continue;
      }
      elsewhere ??= new Map();
      const list = elsewhere.get(entry.node);
      if (list === undefined) elsewhere.set(entry.node, [entry.jid.full]);
      else list.push(entry.jid.full);
    }
    if (elsewhere === undefined) return;
    const xml = stanza.el.toXml();
    for (const [node, list] of elsewhere) this.cluster.send(node, { kind: 'deliver', to: list, xml });
  }
}

/** Ends a transit: silently where a module took the stanza, by an error where one refused it. */
export function isOver(verdict: Verdict | undefined): boolean {
  if (verdict === undefined) return false;
  if (verdict === 'handled') return true;
  throw verdict;
}

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
