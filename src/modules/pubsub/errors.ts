// The errors of XEP-0060 (section 11, and its schema): a stanza error with a condition of its own beside it.
import { el } from '../../xml/element.ts';
import { type Condition, type ErrorType, StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';

export type PubsubCondition =
  | 'closed-node'
  | 'invalid-jid'
  | 'invalid-options'
  | 'invalid-payload'
  | 'invalid-subid'
  | 'item-forbidden'
  | 'item-required'
  | 'jid-required'
  | 'max-nodes-exceeded'
  | 'node-full'
  | 'nodeid-required'
  | 'not-in-roster-group'
  | 'not-subscribed'
  | 'payload-required'
  | 'payload-too-big'
  | 'pending-subscription'
  | 'precondition-not-met'
  | 'presence-subscription-required'
  | 'subid-required'
  | 'too-many-subscriptions'
  | 'unsupported-access-model';

/** The stanza errors that the XEP gives with each, and their types where they are not the usual ones. */
const conditions: Readonly<Record<PubsubCondition, readonly [Condition, ErrorType?]>> = {
  'closed-node': ['not-allowed'],
  'invalid-jid': ['bad-request'],
  'invalid-options': ['bad-request'],
  'invalid-payload': ['bad-request'],
  'invalid-subid': ['not-acceptable'],
  'item-forbidden': ['bad-request'],
  'item-required': ['bad-request'],
  'jid-required': ['bad-request'],
  'max-nodes-exceeded': ['policy-violation', 'cancel'],
  'node-full': ['conflict'],
  'nodeid-required': ['bad-request'],
  'not-in-roster-group': ['not-authorized'],
  'not-subscribed': ['unexpected-request', 'cancel'],
  'payload-required': ['bad-request'],
  'payload-too-big': ['not-acceptable'],
  'pending-subscription': ['not-authorized'],
  'precondition-not-met': ['conflict'],
  'presence-subscription-required': ['not-authorized'],
  'subid-required': ['bad-request'],
  'too-many-subscriptions': ['policy-violation', 'wait'],
  'unsupported-access-model': ['not-acceptable'],
};

/**
 * The error for one of these conditions.
 * @param instead another stanza error than the usual one for it
 */
export function pubsubError(condition: PubsubCondition, text?: string, instead?: Condition): StanzaError {
  const [usual, type] = conditions[condition];
  return new StanzaError(instead ?? usual, text, {
    extra: el(condition, NS.pubsubErrors),
    ...(instead === undefined && type !== undefined && { type }),
  });
}

/** What is not offered, by the name of the feature without its namespace. */
export function unsupported(feature: string, text?: string): StanzaError {
  return new StanzaError('feature-not-implemented', text, { extra: el('unsupported', NS.pubsubErrors, { feature }) });
}

/** There is no such node, or none any more. Profanity publishes its first list of devices (XEP-0384) only where it reads the old code. */
export const noNode = (): StanzaError => new StanzaError('item-not-found', 'there is no such node', { code: 404 });

/** This is for others. */
export const forbidden = (text?: string): StanzaError => new StanzaError('forbidden', text);
