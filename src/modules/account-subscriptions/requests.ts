// What a client wants done at a service of nodes in the name of its account (XEP-0376 3.2, 3.3), and what the service answers.
import { type Element, el } from '../../xml/element.ts';
import { isCondition, StanzaError } from '../../xmpp/errors.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Iq } from '../../xmpp/stanza.ts';
import { pubsubError } from '../pubsub/errors.ts';

/** Of the name of a node, in bytes (XEP-0060 4.6.2). */
const MOST_NAME = 1023;

export interface Wanted {
  readonly service: Jid;
  readonly node: string;
  readonly is: 'subscribe' | 'unsubscribe';
  /** The one that is to end, where there are several. */
  readonly subid: string | undefined;
  /** XEP-0465 3.1. */
  readonly isPublic: boolean;
  /** As it is sent on. */
  readonly action: Element;
}

/**
 * Reads `<pam/>`.
 * @param account a bare JID
 * @throws StanzaError what is wrong with it
 */
export function wantedIn(pam: Element, account: Jid): Wanted {
  const service = Jid.parse(pam.attrs.jid ?? '');
  if (service === undefined) throw bad('"jid" names the service');
  const [action, ...others] = pam.elements();
  const isKnown = action?.is('subscribe', NS.pubsub) || action?.is('unsubscribe', NS.pubsub);
  if (action === undefined || !isKnown || others.length > 0) throw bad('one thing is to be done at a time');
  const { node = '', jid, subid } = action.attrs;
  if (node === '') throw pubsubError('nodeid-required');
  if (Buffer.byteLength(node) > MOST_NAME) throw bad('the name of the node is too long');
  // 3.2: "the client SHALL always use its own bare jid ..., servers MUST verify this"
  if (Jid.parse(jid ?? '')?.full !== account.bare) throw pubsubError('invalid-jid');
  return {
    service,
    node,
    is: action.name === 'subscribe' ? 'subscribe' : 'unsubscribe',
    subid: subid === '' ? undefined : subid,
    isPublic: action.getChild('public', NS.publicSubscriptions) !== undefined,
    action,
  };
}

const bad = (text: string): StanzaError => new StanzaError('bad-request', text);

/** The same, as a request from the account to the service. */
export function requestOf({ service, action }: Wanted, account: Jid, id: string): Element {
  const attrs = { type: 'set', id, from: account.bare, to: service.full };
  return el('iq', null, attrs, el('pubsub', NS.pubsub, undefined, action));
}

/** 3.2: what a service has refused is refused with, in its name where it is said by nobody else's. */
export function refusalIn({ el: reply, from }: Iq, account: Jid): StanzaError {
  const error = reply.getChild('error');
  const said = error?.elements() ?? [];
  const defined = said.find(({ name, ns }) => ns === NS.stanzas && name !== 'text');
  const condition = defined !== undefined && isCondition(defined.name) ? defined.name : 'undefined-condition';
  const type = types.find((one) => one === error?.attrs.type);
  const extra = said.find(({ ns }) => ns !== NS.stanzas);
  // a service that cannot be asked has said nothing
  const isOurs = condition === 'remote-server-timeout' || condition === 'remote-server-not-found';
  return new StanzaError(condition, error?.getChild('text', NS.stanzas)?.getText(), {
    ...(type !== undefined && { type }),
    ...(extra !== undefined && { extra }),
    ...(defined !== undefined && defined.getText() !== '' && { content: defined.getText() }),
    by: error?.attrs.by ?? (isOurs ? account.bare : from.full),
  });
}

const types = ['auth', 'cancel', 'continue', 'modify', 'wait'] as const;

/** Whether a refusal says that there is no subscription. */
export function saysThereIsNone({ condition, extra }: StanzaError): boolean {
  return (
    condition === 'item-not-found' || condition === 'gone' || extra?.is('not-subscribed', NS.pubsubErrors) === true
  );
}
