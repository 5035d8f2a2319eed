// The addresses of nodes and items (XEP-0060 12.21): XMPP URIs (RFC 5122) that a query follows.
import type { Jid } from '../../xmpp/jid.ts';

/** Of a node, or of an item there. */
export function nodeUri({ full }: Jid, node: string, id?: string): string {
  const item = id === undefined ? '' : `;item=${encodeURIComponent(id)}`;
  return `xmpp:${full}?;node=${encodeURIComponent(node)}${item}`;
}
