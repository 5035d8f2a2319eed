// What other nodes send: to sessions of this node, to those that have moved on, and back from nodes that do not have them.
import { andThen, inOrder, isPromise, type MaybePromise } from '../base/maybe.ts';
import type { Addressee, Cluster, Frame, NodeId, SessionEntry, SessionFrame } from '../cluster/cluster.ts';
import { parseElement, unfoldable } from '../xml/document.ts';
import type { Element } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { type Holders, type Reach, type Stanza, stanzaOf } from '../xmpp/stanza.ts';
import type { AccountDelivery } from './account.ts';
import { placeOf } from './elsewhere.ts';
import type { Host } from './host.ts';
import type { Multicast } from './multicast.ts';
import { Session, type Sessions } from './sessions.ts';
import { whereabouts } from './whereabouts.ts';

export interface ArrivalsParts {
  readonly hosts: ReadonlyMap<string, Host>;
  readonly sessions: Sessions;
  readonly cluster: Cluster;
  readonly accounts: AccountDelivery;
  readonly multicasts: Multicast;
  /** A stanza for what this node looks after itself. */
  forThisNode(element: Element): MaybePromise<void>;
  /** Runs a step of a stanza's way; what it throws becomes the answer. */
  guard(element: Element, from: Jid, to: Jid, step: () => MaybePromise<void>): MaybePromise<void>;
  /** Answers a stanza with an error: `from` answers, `to` had sent it. */
  refuse(element: Element, from: Jid, to: Jid, error: unknown): MaybePromise<void>;
}

const nothing = (): void => {};

export class Arrivals {
  private readonly parts: ArrivalsParts;

  constructor(parts: ArrivalsParts) {
    this.parts = parts;
  }

  /** Dealt with is a frame when its stanza is with a session, on its way to another node, or stored. */
  take(frame: Frame, from: NodeId): MaybePromise<void> {
    // most go out as they came
    const element = frame.kind === 'deliver' ? unfoldable(frame.xml) : parseElement(frame.xml);
    if (frame.kind === 'stanza') return this.parts.forThisNode(element);
    if (frame.kind === 'undelivered') return this.redeliverAll(element, frame, from);
    if (frame.each === undefined) return this.toSessions(element, frame, from);
    const speaker = Jid.parse(element.attrs.from ?? '');
    if (speaker === undefined || !this.parts.multicasts.mayBeHeard(speaker.bare, frame.each)) return;
    return this.parts.multicasts.inTurn(speaker.bare, frame.to, (to) =>
      // (whoever it is passed on to may hear it later)
      this.toSessions(element, { ...frame, to, each: 0 }, from),
    );
  }

  private toSessions(element: Element, frame: SessionFrame, from: NodeId): MaybePromise<void> {
    const { had, each } = frame;
    const reach = had && reachFrom(had);
    const { sessions } = this.parts;
    let works: MaybePromise<void>[] | undefined;
    const missing = frame.to.filter((addressee) => {
      const session = sessions.get(addressee.jid);
      // another session may have come under its name
      if (session?.sid === addressee.sid) {
        const own = each !== undefined ? element.with({ to: session.jid.full }) : element;
        session.deliver(withReach(stanzaOf(own, addressOf(element.attrs.from, session.jid), session.jid), reach));
        return false;
      }
      const place = sessions.moves.whither(addressee.sid);
      if (place === undefined) return true;
      works ??= [];
      works.push(this.pass(place, { ...frame, to: [addressee] }, element));
      return false;
    });
    if (missing.length > 0) {
      const work = this.pass(from, { ...frame, kind: 'undelivered', to: missing }, element);
      if (works === undefined) return work;
      works.push(work);
    }
    if (works !== undefined) return Promise.all(works).then(nothing);
  }

  /** Passes on what is not for this node, or not any more; where nobody is there to take it, this node sees to it. */
  private pass(node: NodeId, frame: SessionFrame, element: Element): MaybePromise<void> {
    const sent = this.parts.cluster.send(node, frame);
    if (isPromise(sent)) return sent.catch(() => this.redeliverAll(element, frame, node));
  }

  /** @param node where they were not reached */
  private redeliverAll(element: Element, frame: SessionFrame, node: NodeId): MaybePromise<void> {
    const { to, had, each } = frame;
    const speaker = each === undefined ? undefined : Jid.parse(element.attrs.from ?? '');
    if (speaker !== undefined && !this.parts.multicasts.mayBeHeard(speaker.bare, each!)) return;
    return inOrder(to, (addressee) => {
      if (each === undefined) return this.redeliver(element, addressee, had, node);
      const gone = Jid.parse(addressee.jid);
      if (gone === undefined || speaker === undefined) return;
      const session = this.parts.sessions.get(addressee.jid);
      if (session?.sid === addressee.sid) {
        session.deliver(stanzaOf(element.with({ to: session.jid.full }), speaker, session.jid));
        return;
      }
      return this.parts.guard(element, speaker, gone, async () => {
        const { cluster, sessions } = this.parts;
        const isElsewhere = ({ sid, node: place }: SessionEntry): boolean =>
          sid === addressee.sid && place !== node && cluster.nodes.has(place);
        const entry = await whereabouts(cluster, gone.bare, isElsewhere);
        if (entry !== undefined) sessions.moves.learn(entry);
        const place = entry && placeOf(entry, sessions, cluster.self);
        if (place === undefined) throw new StanzaError('service-unavailable');
        if (place instanceof Session) place.deliver(stanzaOf(element.with({ to: place.jid.full }), speaker, place.jid));
        else await this.pass(place, { ...frame, kind: 'deliver', to: [addressee], each: 0 }, element);
      });
    });
  }

  /** A session left a node before a stanza from another one reached it. */
  private redeliver(
    element: Element,
    addressee: Addressee,
    had: Holders | undefined,
    node: NodeId,
  ): MaybePromise<void> {
    const gone = Jid.parse(addressee.jid);
    const to = Jid.parse(element.attrs.to ?? '') ?? gone;
    const host = gone && this.parts.hosts.get(gone.domain);
    if (to === undefined || host === undefined) return;
    const stanza = withReach(stanzaOf(element, addressOf(element.attrs.from, to), to), had && reachFrom(had));
    return this.parts.guard(element, stanza.from, to, () =>
      andThen(this.parts.accounts.follow(host, stanza, addressee, node), (transit) => {
        // nobody waits for the disk: what else is in the inbox would be dealt with twice, should this node die meanwhile
        transit?.settled?.catch((error: unknown) => this.parts.refuse(element, to, stanza.from, error));
      }),
    );
  }
}

export function reachFrom({ home, id, to, copied }: Holders): Reach {
  return { home, id, to: [...to], copied: [...copied], back: [] };
}

function withReach(stanza: Stanza, reach: Reach | undefined): Stanza {
  return reach === undefined || stanza.kind !== 'message' ? stanza : { ...stanza, reach };
}

export function addressOf(text: string | undefined, fallback: Jid): Jid {
  return (text === undefined ? undefined : Jid.parse(text)) ?? fallback;
}
