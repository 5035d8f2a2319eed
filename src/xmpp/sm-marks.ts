// What a stanza is known by when its sender sends it again (XEP-0198 5): to tell one that was handled from one that was not.
import { hash } from 'node:crypto';
import type { Element } from '../xml/element.ts';
import { NS } from './ns.ts';

/** Characters, of six bits each. */
const LENGTH = 16;

/**
 * The same for two stanzas that say the same: by name, attributes (an id among them) and content, but for what may come with the second
 * one, or be left out: when it was sent first (XEP-0203), and what the server knows without being told.
 */
export function markOf(stanza: Element): string {
  const said = stanza.without((child) => child.is('delay', NS.delay)).with({ from: undefined, 'xml:lang': undefined });
  return hash('sha256', said.toXml(), 'base64').slice(0, LENGTH);
}
