// XEP-0462: who lists the nodes of a service says of which types (`pubsub#type`) they are to be, or not to be.
import type { Element } from '../../xml/element.ts';
import { findForm, rawValues } from '../../xmpp/dataform.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { NS } from '../../xmpp/ns.ts';

/** Whether nodes of a type are asked for; `''` is the type of nodes of which nobody has said one. */
export type TypeFilter = (type: string) => boolean;

const all: TypeFilter = () => true;

/**
 * What a request to list nodes asks for.
 * @param query of disco#items
 * @throws StanzaError `bad-request` where it asks for both, or there is no form to say what
 */
export function typeFilterIn(query: Element): TypeFilter {
  const filter = query.getChild('filter', NS.pubsubFilter);
  if (filter === undefined) return all;
  const x = findForm(filter, NS.pubsubFilter);
  if (x === undefined) throw new StanzaError('bad-request', 'there is no form in <filter/>');
  const values = rawValues(x);
  const included = values.get('included-types');
  const excluded = values.get('excluded-types');
  if (included !== undefined && excluded !== undefined) {
    throw new StanzaError('bad-request', 'either types to include, or types to exclude');
  }
  if (included !== undefined) return (type) => included.includes(type);
  if (excluded !== undefined) return (type) => !excluded.includes(type);
  return all;
}
