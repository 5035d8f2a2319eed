// Registrations: where a client wants to be told, and of what (XEP-0357 5, 6; xeps.tigase.net, "Push Notifications").
import { createHash } from 'node:crypto';
import type { SessionEntry } from '../../cluster/cluster.ts';
import { clientSlot } from '../../core/client-slot.ts';
import type { Session } from '../../core/sessions.ts';
import type { Element } from '../../xml/element.ts';
import { flatten } from '../../xml/flatten.ts';
import { findForm } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

/** What is said in a room that a client wants to be told of. */
export interface RoomRule {
  readonly allow: 'always' | 'mentioned' | 'never';
  readonly nick?: string;
}

/** Its app server has answered with errors, the last time. */
export interface Failing {
  /** How often in a row. */
  readonly times: number;
  /** Nothing is sent before, in milliseconds since 1970. */
  readonly until: number;
}

/** JSON. */
export interface Registration {
  /** Of the combination of app server and node; unique for the account. */
  readonly id: string;
  /** The app server. */
  readonly jid: string;
  readonly node?: string;
  /** The form that goes with everything published, as XML. */
  readonly options?: string;
  /** Whose it is: the client's own name (XEP-0388 2.3), or else the resource under which it was made. */
  readonly client?: string;
  readonly resource: string;
  /** When it was made, in milliseconds since 1970. */
  readonly at: number;
  readonly encryption?: { readonly key: string; readonly maxSize?: number };
  /** It is to be told how urgent each is. */
  readonly priority?: true;
  readonly muted?: readonly string[];
  readonly ignoresUnknown?: true;
  /** By bare JID; rooms that are not among them are left out. */
  readonly rooms?: Readonly<Record<string, RoomRule>>;
  readonly failing?: Failing;
}

/** Characters of a form, and of a node's name. */
const MOST_OPTIONS = 8192;
const MOST_NODE = 3071;
/** Addresses in a filter. */
const MOST_FILTERED = 1000;

export function registrationId(jid: string, node: string | undefined): string {
  return createHash('sha256')
    .update(node === undefined ? jid : `${jid}\n${node}`)
    .digest('base64url')
    .slice(0, 16);
}

/** The app server that a request is about. @throws StanzaError bad-request, jid-malformed */
export function appServerOf({ attrs }: Element): Jid {
  if (attrs.jid === undefined) throw new StanzaError('bad-request', 'which push service is meant?');
  const jid = Jid.parse(attrs.jid);
  if (jid === undefined) throw new StanzaError('jid-malformed', 'the address of the push service is not a JID');
  return jid;
}

/**
 * What a client asks for.
 * @param now milliseconds since 1970
 * @throws StanzaError bad-request, jid-malformed, not-acceptable for what is too long
 */
export function parseEnable(enable: Element, session: Session, now: number): Registration {
  const jid = appServerOf(enable);
  if (jid.bare === session.jid.bare)
    throw new StanzaError('not-acceptable', 'an account is no push service of its own');
  const { node } = enable.attrs;
  if (node !== undefined && node.length > MOST_NODE) throw new StanzaError('not-acceptable', 'that node is too long');
  const client = session.get(clientSlot);
  return {
    id: registrationId(jid.full, node),
    jid: jid.full,
    ...(node !== undefined && { node: flatten(node) }),
    ...optionsOf(enable),
    ...(client !== undefined && { client }),
    resource: session.jid.resource,
    at: now,
    ...encryptionOf(enable),
    ...(enable.getChild('priority', NS.pushPriority) !== undefined && { priority: true }),
    ...mutedOf(enable),
    ...(enable.getChild('ignore-unknown', NS.pushUnknown) !== undefined && { ignoresUnknown: true }),
    ...roomsOf(enable),
  };
}

// XEP-0357 5
function optionsOf(enable: Element): Pick<Registration, 'options'> {
  const form = findForm(enable);
  if (form === undefined) return {};
  if (findForm(enable, NS.pubsubPublishOptions) !== form) {
    throw new StanzaError('bad-request', 'the form has to be one of publish-options');
  }
  const options = form.with({ type: 'submit' }).toXml();
  if (options.length > MOST_OPTIONS) throw new StanzaError('not-acceptable', 'those options are too long');
  return { options: flatten(options) };
}

// "Encrypted Push Notifications" 4.2
function encryptionOf(enable: Element): Pick<Registration, 'encryption'> {
  const encrypt = enable.getChild('encrypt', NS.pushEncryption);
  if (encrypt === undefined) return {};
  if (encrypt.attrs.alg !== 'aes-128-gcm') {
    throw new StanzaError('feature-not-implemented', 'the algorithm is aes-128-gcm', { type: 'modify' });
  }
  const key = Buffer.from(encrypt.getText().trim(), 'base64');
  if (key.length !== 16) throw new StanzaError('bad-request', 'the key has to be one of 128 bits');
  const maxSize = Number(encrypt.attrs['max-size'] ?? Number.NaN);
  return {
    encryption: { key: key.toString('base64'), ...(Number.isSafeInteger(maxSize) && maxSize > 0 && { maxSize }) },
  };
}

// "Filtering muted senders" 4.2
function mutedOf(enable: Element): Pick<Registration, 'muted'> {
  const items = enable.getChild('muted', NS.pushMuted)?.getChildren('item');
  if (items === undefined) return {};
  return { muted: limited(items).flatMap(({ attrs }) => Jid.parse(attrs.jid ?? '')?.bare ?? []) };
}

// "Filtering groupchat notifications" 4.2
function roomsOf(enable: Element): Pick<Registration, 'rooms'> {
  const rules = enable.getChild('groupchat', NS.pushGroupchat)?.getChildren('room');
  if (rules === undefined) return {};
  const rooms = new Map<string, RoomRule>();
  for (const { attrs } of limited(rules)) {
    const { allow, nick } = attrs;
    const room = Jid.parse(attrs.jid ?? '');
    if (room === undefined || (allow !== 'always' && allow !== 'mentioned' && allow !== 'never')) continue;
    rooms.set(room.bare, { allow, ...(nick !== undefined && { nick: flatten(nick.slice(0, 1023)) }) });
  }
  return { rooms: Object.fromEntries(rooms) };
}

function limited<T>(items: readonly T[]): readonly T[] {
  if (items.length > MOST_FILTERED) throw new StanzaError('not-acceptable', 'that list is too long');
  return items;
}

/** The registrations of an account with one more, or with one in place of the one before; the oldest go where there are too many. */
export function withRegistration(
  all: readonly Registration[],
  added: Registration,
  most: number,
): readonly Registration[] {
  return [...all.filter(({ id }) => id !== added.id), added].slice(-most);
}

/** Whether a session is one of the client whose registration it is. */
export function isOf(
  { client, resource }: Registration,
  { jid, shared }: Pick<SessionEntry, 'jid' | 'shared'>,
): boolean {
  return client === undefined ? jid.resource === resource : shared[clientSlot.name] === client;
}
