// Stanzas: typed views of elements whose addresses are known (RFC 6120 8, RFC 6121 4.7.1, 5.2.2).
import { type Element, el } from '../xml/element.ts';
import { StanzaError } from './errors.ts';
import type { Jid } from './jid.ts';
import { NS } from './ns.ts';

export type MessageType = 'chat' | 'groupchat' | 'headline' | 'normal' | 'error';
export type PresenceType =
  | 'available'
  | 'unavailable'
  | 'subscribe'
  | 'subscribed'
  | 'unsubscribe'
  | 'unsubscribed'
  | 'probe'
  | 'error';
export type IqType = 'get' | 'set' | 'result' | 'error';

interface Base {
  readonly el: Element;
  readonly from: Jid;
  /** Whom it is for. Where the element has no `to`, the account it came from (RFC 6120 10.3). */
  readonly to: Jid;
  readonly id: string | undefined;
}
export interface Message extends Base {
  readonly kind: 'message';
  readonly type: MessageType;
  /** Who else has it; undefined when nobody has. Set by delivery. */
  readonly reach?: Reach;
}
/** The sessions that were given one message, by their sid, on all nodes. */
export interface Holders {
  /** The node that delivered it and decides when it is to be delivered again, in the life that it then had. */
  readonly home: string;
  /** The message, for its home. */
  readonly id: number;
  /** Those that it was delivered to. */
  readonly to: readonly string[];
  /** Those that were given a copy. */
  readonly copied: readonly string[];
}
/** The sessions that were given one message; at its home shared by all of them. */
export interface Reach extends Holders {
  readonly to: string[];
  readonly copied: string[];
  /** Those of them that gave it back, because their clients never had it; true at home only. */
  readonly back: string[];
  /** One of those that it was delivered to has acknowledged it: nobody is to be given it anew. */
  isHad?: boolean;
}
export interface Presence extends Base {
  readonly kind: 'presence';
  readonly type: PresenceType;
}
export interface Iq extends Base {
  readonly kind: 'iq';
  readonly type: IqType;
  readonly id: string;
  readonly payload: Element | undefined;
}
export type Stanza = Message | Presence | Iq;

const messageTypes: ReadonlySet<string> = new Set(['chat', 'groupchat', 'headline', 'normal', 'error']);
const presenceTypes: ReadonlySet<string> = new Set([
  'unavailable',
  'subscribe',
  'subscribed',
  'unsubscribe',
  'unsubscribed',
  'probe',
  'error',
]);
const iqTypes: ReadonlySet<string> = new Set(['get', 'set', 'result', 'error']);

/**
 * The view of an element as a stanza between two addresses.
 * @throws StanzaError `bad-request` where the stanza breaks the grammar of RFC 6120 8.2.3 or RFC 6121 4.7.1.
 */
export function stanzaOf(element: Element, from: Jid, to: Jid): Stanza {
  switch (element.name) {
    case 'message':
      return messageOf(element, from, to);
    case 'presence':
      return presenceOf(element, from, to);
    case 'iq':
      return iqOf(element, from, to);
    default:
      throw new StanzaError('bad-request', `<${element.name}/> is not a stanza`);
  }
}

/** RFC 6121 5.2.2: a type that is not known counts as `normal`. */
export function messageOf(element: Element, from: Jid, to: Jid): Message {
  const type = element.attrs.type;
  return {
    kind: 'message',
    el: element,
    from,
    to,
    id: element.attrs.id,
    type: type !== undefined && messageTypes.has(type) ? (type as MessageType) : 'normal',
  };
}

function presenceOf(element: Element, from: Jid, to: Jid): Presence {
  const type = element.attrs.type;
  if (type !== undefined && !presenceTypes.has(type)) {
    throw new StanzaError('bad-request', `there is no presence of type "${type}"`);
  }
  return {
    kind: 'presence',
    el: element,
    from,
    to,
    id: element.attrs.id,
    type: (type as PresenceType | undefined) ?? 'available',
  };
}

/** RFC 6120 8.2.3. */
function iqOf(element: Element, from: Jid, to: Jid): Iq {
  const { id, type } = element.attrs;
  // what answers an IQ without an id has none either, and is answered by nobody
  if (id === undefined && type !== 'error') throw new StanzaError('bad-request', 'an IQ needs an id');
  if (type === undefined || !iqTypes.has(type))
    throw new StanzaError('bad-request', 'an IQ is get, set, result or error');
  const payloads = element.elements();
  if ((type === 'get' || type === 'set') && payloads.length !== 1) {
    throw new StanzaError('bad-request', 'a request has exactly one child');
  }
  if (type === 'result' && payloads.length > 1) throw new StanzaError('bad-request', 'a result has at most one child');
  return { kind: 'iq', el: element, from, to, id: id ?? '', type: type as IqType, payload: payloads[0] };
}

/** Whether a stanza may be answered with an error: errors and results never are (RFC 6120 8.3.1). */
export function mayAnswerWithError(element: Element): boolean {
  const type = element.attrs.type;
  return type !== 'error' && !(element.name === 'iq' && type === 'result');
}

/**
 * The error that answers a stanza, sent back to where it came from; undefined where there must be none. That of presence which was to enter a room
 * says so (XEP-0045 7.2): there are clients that know it by nothing else.
 */
export function errorReply(
  element: Element,
  from: string,
  to: string,
  error: StanzaError,
  by?: string,
): Element | undefined {
  if (!mayAnswerWithError(element)) return undefined;
  const what = element.name === 'presence' && element.getChild('x', NS.muc) ? [el('x', NS.muc)] : [];
  if (error.beside !== undefined) what.push(error.beside);
  return el(element.name, null, { type: 'error', id: element.attrs.id, from, to }, ...what, error.toElement(by));
}

/** The result that answers an IQ request. */
export function iqResult(request: Iq, payload?: Element): Iq {
  const children = payload === undefined ? [] : [payload];
  const element = el(
    'iq',
    null,
    { type: 'result', id: request.id, from: request.to.full, to: request.from.full },
    ...children,
  );
  return { kind: 'iq', el: element, from: request.to, to: request.from, id: request.id, type: 'result', payload };
}

/** The same stanza with another element in its place (annotated, stripped). */
export function replaceElement<S extends Stanza>(stanza: S, element: Element): S {
  return { ...stanza, el: element };
}
