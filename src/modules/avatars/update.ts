// The hash of a picture in presence: XEP-0153 4.1, as XEP-0398 4 has the server put it there. Pure.
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';

/** Whether a client says that it shows no picture: `<photo/>` with nothing in it is left as it is. */
export function declines(presence: Element): boolean {
  return presence.getChild('x', NS.vcardUpdate)?.getChildText('photo')?.trim() === '';
}

/**
 * The presence with the hash in it. What a client that is not ready says (`<x/>`), or of a picture that is another, gives way.
 * @param hash `''` where there is no picture any more
 */
export function withHash(presence: Element, hash: string): Element {
  const x = presence.getChild('x', NS.vcardUpdate);
  if (x !== undefined) {
    const said = x.getChildText('photo')?.trim();
    if (said === '' || said?.toLowerCase() === hash) return presence;
  }
  const photo = el('photo', NS.vcardUpdate, undefined, ...(hash === '' ? [] : [hash]));
  return withoutHash(presence).append(el('x', NS.vcardUpdate, undefined, photo));
}

export function withoutHash(presence: Element): Element {
  return presence.without((child) => child.is('x', NS.vcardUpdate));
}

/** The hash that a presence tells of; undefined where it tells of none, `''` of no picture. */
export function hashIn(presence: Element): string | undefined {
  return presence.getChild('x', NS.vcardUpdate)?.getChildText('photo')?.trim().toLowerCase();
}
