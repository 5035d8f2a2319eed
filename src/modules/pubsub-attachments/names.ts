// XEP-0470 4.1.1, 4.6: what nodes are called where attachments are, and those that sum them up.
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { nodeUri } from '../pubsub/uri.ts';

/** What something is attached to. */
export interface Target {
  readonly node: string;
  readonly item: string;
}

const ATTACHMENTS = `${NS.attachments}/`;
const SUMMARIES = `${NS.attachmentsSummary}/`;

/** Whether names like that are kept for these nodes. */
export const isReserved = (name: string): boolean => name.startsWith(ATTACHMENTS) || name.startsWith(SUMMARIES);

/** Where the attachments of an item are. */
export const attachmentNode = (service: Jid, { node, item }: Target): string =>
  ATTACHMENTS + nodeUri(service, node, item);

/** Where the attachments of a node's items are summed up. */
export const summaryNode = (node: string): string => SUMMARIES + node;

/** The node that is summed up at one of that name; undefined where none is. */
export function summedUp(name: string): string | undefined {
  if (!name.startsWith(SUMMARIES)) return undefined;
  const node = name.slice(SUMMARIES.length);
  return node === '' || isReserved(node) ? undefined : node;
}

const item = /;node=([^;]+);item=([^;]+)$/;

/** The item whose attachments are at a node of that name; undefined where they are not, or its address is not spelt as it is here. */
export function targetOf(service: Jid, name: string): Target | undefined {
  if (!name.startsWith(ATTACHMENTS)) return undefined;
  const match = item.exec(name);
  const target = match === null ? undefined : { node: decoded(match[1]!), item: decoded(match[2]!) };
  if (target?.node === undefined || target.item === undefined || isReserved(target.node)) return undefined;
  const { node, item: id } = target;
  return attachmentNode(service, { node, item: id }) === name ? { node, item: id } : undefined;
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
