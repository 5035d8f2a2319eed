// XEP-0280: Message Carbons. Every device that asks for it sees both sides of all conversations.
//
// Not done, of what it recommends:
// - 6.1: copies of private messages to occupants of a room go to all devices, not only to those that are in the room
// - 6.1: an error is told to answer a copied message by addresses and id; without an id, or long after, it is not copied
// - XEP-0297 3.2: no <delay/> is added, since a copy leaves when the message does
import { LruCache } from '../base/lru.ts';
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import type { SessionEntry } from '../cluster/cluster.ts';
import { reached, recipients, redelivered } from '../core/account.ts';
import { bind2Features, bind2Inline, messageIn, messageOut } from '../core/events.ts';
import { counter } from '../core/metrics.ts';
import { defineModule, type IqRequest, iqSet, on } from '../core/module.ts';
import { wasGiven } from '../core/reaches.ts';
import { defineSlot } from '../core/sessions.ts';
import type { Transit } from '../core/transit.ts';
import { parseElement } from '../xml/document.ts';
import { Element, el } from '../xml/element.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { type Message, messageOf, type Reach, replaceElement } from '../xmpp/stanza.ts';
import { sentAs, stanzaIdElement } from './mam/index.ts';

/** `sent` by a device of the account, or `received` from somebody. */
export type Direction = 'sent' | 'received';

/** An error that perhaps answers a message that another node knows of. */
interface Question {
  readonly direction: Direction;
  readonly key: string;
  readonly xml: string;
  /** Full JIDs of those who are to get copies. */
  readonly to: readonly string[];
}

const enabled = defineSlot<boolean>('carbons', { shared: true });

/** What makes a message one between people, whatever its type (6.1; XEP-0380 and OMEMO stand in for a body). */
const messaging: ReadonlySet<string | null> = new Set([
  NS.receipts,
  NS.chatStates,
  NS.chatMarkers,
  NS.jingleMessage,
  NS.callInvites,
  NS.encryption,
  NS.omemo,
  NS.omemoSiacs,
]);

/** How many messages a host remembers, so that errors that answer them are copied too. */
const REMEMBERED = 4096;

/** 6.1, but for errors: those depend on what they answer. */
export function isEligible({ type, el: { children }, from, to }: Message, direction: Direction): boolean {
  if (type === 'groupchat' || type === 'error') return false;
  let isMessaging = type === 'chat';
  let isInvitation = false;
  let isOfRoom = false;
  for (const child of children) {
    if (!(child instanceof Element)) continue;
    if (child.is('private', NS.carbons) || child.is('no-copy', NS.hints)) return false;
    if (child.is('body', null)) isMessaging ||= type === 'normal';
    else if (messaging.has(child.ns)) isMessaging = true;
    else if (child.is('x', NS.conference)) isInvitation = true;
    else if (child.is('x', NS.mucUser)) {
      isOfRoom = true;
      isInvitation ||= child.getChild('invite') !== undefined;
    }
  }
  if (isInvitation) return true;
  // private messages in a room: the room itself sends them to every device that is in it
  if (isOfRoom && direction === 'received' && !from.isBare) return false;
  return isMessaging || (isOfRoom && direction === 'sent' && !to.isBare);
}

export default defineModule({
  xeps: ['XEP-0280 1.0.1', 'XEP-0297 1.0', 'XEP-0333 1.0.0', 'XEP-0334 1.0.0', 'XEP-0353 0.8.0', 'XEP-0482 0.1.0'],
  summary: 'Copies conversations to all devices of an account',
  metrics: { copies: counter('Copies of messages for other devices of an account') },

  setup({ host, metrics, router, cluster, background }) {
    const topic = `carbons.error ${host.domain}`;
    // eligible messages of late, of accounts with somebody to copy to
    const known = new LruCache<string, true>(REMEMBERED);

    // every message comes through the next two: as little as possible until somebody wants a copy
    function copyOut(transit: Transit<Message>): MaybePromise<void> {
      const { stanza } = transit;
      // what stays in the account is copied when it is known which devices it reaches
      if (stanza.type === 'groupchat' || isSentByOwn(transit)) return;
      const entries = cluster.directory.sessions(stanza.from.bare);
      return isPromise(entries) ? entries.then((later) => copySent(transit, later)) : copySent(transit, entries);
    }

    function copyIn(transit: Transit<Message>): MaybePromise<void> {
      if (transit.stanza.type === 'groupchat') return;
      const entries = cluster.directory.sessions(transit.stanza.to.bare);
      return isPromise(entries)
        ? entries.then((later) => copyReceived(transit, later))
        : copyReceived(transit, entries);
    }

    function copySent(transit: Transit<Message>, entries: readonly SessionEntry[]): void {
      const { stanza } = transit;
      // (what is said in the account's name comes from none of its devices)
      const isAlone = entries.length < 2 && !stanza.from.isBare;
      const others = isAlone ? undefined : listening(entries, stanza.from, []);
      if (others !== undefined) consider(archived(transit), 'sent', others);
    }

    function copyReceived(transit: Transit<Message>, entries: readonly SessionEntry[]): void {
      const { stanza } = transit;
      const direct = transit.note(recipients) ?? [];
      const all = direct.length === entries.length ? undefined : listening(entries, stanza.from, direct);
      // on its way again because its reader left: whoever had it, or a copy, gets none
      const before = transit.note(redelivered);
      const others = before === undefined ? all : all?.filter(({ sid }) => !wasGiven(before, sid));
      if (others !== undefined)
        consider(stanza, isSentByOwn(transit) ? 'sent' : 'received', others, transit.note(reached));
    }

    function consider(message: Message, direction: Direction, to: readonly SessionEntry[], reach?: Reach): void {
      if (message.type === 'error') considerError(message, direction, to);
      else if (isEligible(message, direction)) {
        if (message.id !== undefined) known.set(keyOf(direction, message), true);
        if (reach !== undefined) for (const { sid } of to) reach.copied.push(sid);
        copy(message, direction, to, reach);
      }
    }

    /** 6.1: an error is eligible if what it answers was. Perhaps another node had to do with that. */
    function considerError(error: Message, direction: Direction, to: readonly SessionEntry[]): void {
      if (error.id === undefined || error.el.getChild('private', NS.carbons) !== undefined) return;
      const key = answeredBy(error, direction);
      if (known.get(key) === true) copy(error, direction, to);
      else if (cluster.nodes.size > 1) {
        const question: Question = { direction, key, xml: error.el.toXml(), to: to.map(({ jid }) => jid.full) };
        cluster.publish(topic, question);
      }
    }

    async function answer({ direction, key, xml, to }: Question): Promise<void> {
      if (known.get(key) !== true) return;
      const element = parseElement(xml);
      const { from = '', to: address = '' } = element.attrs;
      const error = messageOf(element, Jid.parse(from) ?? host.jid, Jid.parse(address) ?? host.jid);
      const entries = await cluster.directory.sessions(accountOf(error, direction).bare);
      copy(
        error,
        direction,
        entries.filter((entry) => to.includes(entry.jid.full)),
      );
    }

    /** 7, 8: straight to those sessions, past everything that looks at messages. Its inner XML is made once. */
    function copy(message: Message, direction: Direction, to: readonly SessionEntry[], reach?: Reach): void {
      const account = accountOf(message, direction).withResource('');
      const forwarded = el('forwarded', NS.forward, undefined, message.el);
      const { type } = message.el.attrs;
      const wrapping = el(
        'message',
        null,
        { from: account.full, type },
        el(direction, NS.carbons, undefined, forwarded),
      );
      for (const entry of to) {
        const copied = messageOf(wrapping.with({ to: entry.jid.full }), account, entry.jid);
        router.delivery.write(reach === undefined ? copied : { ...copied, reach }, [entry]);
      }
      metrics.copies.inc(to.length);
    }

    const set =
      (value: true | undefined) =>
      ({ session }: IqRequest): MaybePromise<void> => {
        // a component asks in the account's name (XEP-0356): copies are a device's own affair
        if (session === undefined) throw new StanzaError('not-allowed');
        if (session.get(enabled) !== value) return session.set(enabled, value);
      };

    // 4.1, 5.1; nothing is told of whether there is such an account
    const refuse = (): never => {
      throw new StanzaError('not-allowed');
    };

    const unsubscribe = cluster.subscribe(topic, (body) => background(answer(body as Question), 'copies of an error'));

    return {
      features: {
        server: [NS.carbons, NS.carbonsRules],
        account: [NS.carbons, NS.carbonsRules],
      },
      handlers: [
        iqSet('self', NS.carbons, 'enable', set(true)),
        iqSet('self', NS.carbons, 'disable', set(undefined)),
        iqSet(['account', 'nobody'], NS.carbons, 'enable', refuse),
        iqSet(['account', 'nobody'], NS.carbons, 'disable', refuse),
        on(bind2Features, ({ namespaces }) => void namespaces.push(NS.carbons)),
        on(bind2Inline, ({ session, request }) => {
          if (request.getChild('enable', NS.carbons) !== undefined) return session.set(enabled, true);
        }),
        on(messageOut, { phase: 'copy' }, copyOut),
        on(messageIn, { phase: 'copy' }, copyIn),
      ],
      stop: unsubscribe,
    };
  },
});

/** The message as it is in its sender's archive (XEP-0313 3.5): the account's own devices may know the id. */
function archived(transit: Transit<Message>): Message {
  const { stanza } = transit;
  const id = transit.note(sentAs);
  return id === undefined ? stanza : replaceElement(stanza, stanza.el.append(stanzaIdElement(stanza.from.bare, id)));
}

/** The sessions that want copies, but for the sender's and those that get the message; undefined when there is none. */
function listening(
  entries: readonly SessionEntry[],
  sender: Jid,
  reached: readonly SessionEntry[],
): SessionEntry[] | undefined {
  let found: SessionEntry[] | undefined;
  for (const entry of entries) {
    if (entry.shared[enabled.name] !== true) continue;
    const { full } = entry.jid;
    if (full === sender.full || reached.some(({ jid }) => jid.full === full)) continue;
    if (found === undefined) found = [entry];
    else found.push(entry);
  }
  return found;
}

/** From one device of an account to the account, or to another device. */
function isOwn({ from, to }: Message): boolean {
  return from.bare === to.bare && !from.isBare;
}

/** The same, or said in the account's name, which is as good as if a device had said it (XEP-0356 5.3). */
function isSentByOwn({ stanza, origin }: Transit<Message>): boolean {
  return isOwn(stanza) || (origin.kind === 'account' && stanza.from.bare === stanza.to.bare);
}

/** Whose other devices get copies. */
function accountOf({ from, to }: Message, direction: Direction): Jid {
  return direction === 'sent' ? from : to;
}

function keyOf(direction: Direction, { from, to, id }: Message): string {
  return `${direction}\n${from.full}\n${to.bare}\n${id}`;
}

/** The key of the message that an error answers. */
function answeredBy(error: Message, direction: Direction): string {
  const wasSent = isOwn(error) || direction === 'received';
  return `${wasSent ? 'sent' : 'received'}\n${error.to.full}\n${error.from.bare}\n${error.id}`;
}
