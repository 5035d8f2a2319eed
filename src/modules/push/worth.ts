// What people want to be told of while they look at no client: messages to read, calls, invitations, requests for presence. All else
// (chat states, receipts, markers, reactions, what other devices of the account have said, headlines) is for clients that are there.
import { createHash, randomBytes } from 'node:crypto';
import { Element } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import type { BareJid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Stanza } from '../../xmpp/stanza.ts';
import { stanzaIdOf } from '../mam/stanza-ids.ts';

/** Something to tell. JSON. */
export interface News {
  readonly kind: 'chat' | 'groupchat' | 'call' | 'subscribe';
  /** Who has said it; in a room the occupant. */
  readonly from: string;
  /** The beginning of the text; undefined where there is none, or only somebody's device can read it. */
  readonly body?: string;
  /** The same for whatever tells of the same thing: a message that comes by twice is told of once. */
  readonly key: string;
  /** Of a call. */
  readonly sid?: string;
  readonly media?: readonly string[];
}

/** The news, and the message that they are of. */
export interface Judged {
  readonly news: News;
  readonly said: Element;
}

/** So much of a text is told, in characters. */
const MOST_BODY = 1024;
/** So many kinds of what a call is of: app servers refuse what is too large. */
const MOST_MEDIA = 8;

/** What a stanza to an account, or to one of its sessions, has to tell. */
export function judge(stanza: Stanza, account: BareJid): Judged | undefined {
  switch (stanza.kind) {
    case 'message':
      return judgeMessage(stanza.el, stanza.from.full, stanza.from.bare, account);
    case 'presence':
      return stanza.type === 'subscribe' ? { news: requestFrom(stanza.from.bare), said: stanza.el } : undefined;
    case 'iq':
      return judgeIq(stanza.el, stanza.from.full, stanza.type === 'set' ? stanza.payload : undefined);
  }
}

/** Somebody asks to see the account's presence. */
export function requestFrom(contact: BareJid): News {
  return { kind: 'subscribe', from: contact, key: hashOf(`subscribe\n${contact}`) };
}

/** XEP-0166 6.1: a call to one of the account's devices, of a client that does not ask around before (XEP-0353). */
function judgeIq(iq: Element, from: string, payload: Element | undefined): Judged | undefined {
  if (payload?.is('jingle', NS.jingle) !== true || payload.attrs.action !== 'session-initiate') return undefined;
  const descriptions = payload
    .getChildren('content')
    .flatMap((content) => content.getChildren('description', NS.jingleRtp));
  return descriptions.length === 0 ? undefined : { news: callFrom(from, payload.attrs.sid, descriptions), said: iq };
}

function callFrom(from: string, sid: string | undefined, descriptions: readonly Element[]): News {
  const media = [
    ...new Set(descriptions.flatMap(({ attrs }) => (attrs.media === undefined ? [] : [short(attrs.media, 32)]))),
  ].slice(0, MOST_MEDIA);
  const known = sid === undefined ? undefined : short(sid, 256);
  const key = hashOf(`call\n${from}\n${known ?? randomBytes(9).toString('base64')}`);
  return { kind: 'call', from, key, media, ...(known !== undefined && { sid: known }) };
}

/**
 * A message in an archive or a room, to somebody's account.
 * @param bare the bare JID of `from`
 * @param account undefined for what is said in a room to all
 */
export function judgeMessage(message: Element, from: string, bare: string, account?: BareJid): Judged | undefined {
  const { type } = message.attrs;
  if (type === 'error' || type === 'headline') return undefined;
  if (account !== undefined && bare === account) return judgeOwn(message, from, account);
  let isWorth = false;
  let isSealed = false;
  for (const child of message.children) {
    if (!(child instanceof Element)) continue;
    switch (child.ns) {
      case null:
        isWorth ||= child.name === 'body' && child.getText() !== '';
        break;
      case NS.reactions:
      case NS.carbons:
        // the fallback of a reaction is none to be told of; copies are made by the account's own server alone
        if (child.name !== 'private') return undefined;
        break;
      case NS.omemo:
      case NS.omemoSiacs:
        if (child.name !== 'encrypted') break;
        // keys without a message
        if (child.getChild('payload') === undefined) return undefined;
        isWorth = true;
        isSealed = true;
        break;
      case NS.openpgp:
      case NS.pgp:
        isWorth = true;
        isSealed = true;
        break;
      case NS.encryption:
        isSealed = true;
        break;
      case NS.jingleMessage:
        if (child.name !== 'propose') return undefined;
        return { news: callFrom(from, child.attrs.id, child.getChildren('description', NS.jingleRtp)), said: message };
      case NS.callInvites:
        if (child.name !== 'invite') return undefined;
        return {
          news: { ...callFrom(from, child.attrs.id ?? message.attrs.id, []), media: mediaOf(child) },
          said: message,
        };
      case NS.conference:
        isWorth ||= child.name === 'x';
        break;
      case NS.mucUser:
        isWorth ||= child.getChild('invite') !== undefined;
        break;
      case NS.mentions:
        return judgeMention(child, bare, account);
    }
  }
  if (!isWorth) return undefined;
  const body = isSealed ? undefined : message.getChildText('body');
  const isOfRoom = type === 'groupchat';
  const news: News = {
    kind: isOfRoom ? 'groupchat' : 'chat',
    from,
    key: keyOf(message, from, isOfRoom ? bare : (account ?? bare)),
    ...(body !== undefined && body !== '' && { body: short(body, MOST_BODY) }),
  };
  return { news, said: message };
}

/** What comes from the account itself: only a copy of what somebody has sent it (XEP-0280 7) is news. */
function judgeOwn(message: Element, from: string, account: BareJid): Judged | undefined {
  if (from !== account) return undefined;
  const copy = message.getChild('received', NS.carbons)?.getChild('forwarded', NS.forward)?.getChild('message', null);
  const sender = copy?.attrs.from;
  if (copy === undefined || sender === undefined || bareOf(sender) === account) return undefined;
  return judgeMessage(copy, sender, bareOf(sender), account);
}

/** XEP-0452 3.2: what a room tells of a mention in it. */
function judgeMention(mentions: Element, room: string, account?: BareJid): Judged | undefined {
  const said = mentions.getChild('forwarded', NS.forward)?.getChild('message', null);
  const from = said?.attrs.from ?? '';
  // of nothing but what was said in that room
  if (said === undefined || said.attrs.type !== 'groupchat' || bareOf(from) !== room) return undefined;
  return judgeMessage(said, from, room, account);
}

// XEP-0482 3.1
function mediaOf({ attrs }: Element): readonly string[] {
  return attrs.video === 'true' || attrs.video === '1' ? ['audio', 'video'] : ['audio'];
}

function keyOf(message: Element, from: string, archive: string): string {
  const archived = stanzaIdOf(message, archive);
  if (archived !== undefined) return hashOf(`${archive}\n${archived}`);
  const { id } = message.attrs;
  return hashOf(id === undefined ? randomBytes(12).toString('base64') : `${from}\n${id}`);
}

function hashOf(text: string): string {
  return createHash('sha1').update(text).digest('base64url').slice(0, 16);
}

/** The beginning of a text, of its own. */
function short(text: string, most: number): string {
  if (text.length <= most) return flatten(text);
  // not half of a character
  const end = /[\uD800-\uDBFF]/.test(text.charAt(most - 1)) ? most - 1 : most;
  return flatten(text.slice(0, end));
}

function bareOf(jid: string): string {
  const slash = jid.indexOf('/');
  return slash < 0 ? jid : jid.slice(0, slash);
}
