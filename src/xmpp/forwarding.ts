// XEP-0297: Stanza Forwarding: a stanza inside another, put in and taken out. Pure.
import { Element, el } from '../xml/element.ts';
import { NS } from './ns.ts';

/** Puts a stanza into a <forwarded/>. */
export function forwardedElement(stanza: Element): Element {
  return el('forwarded', NS.forward, undefined, stanza);
}

/** What the <forwarded/> of an element holds; undefined where it is not exactly one stanza of that name. */
export function forwardedIn(parent: Element, name: string): Element | undefined {
  const held = parent.getChild('forwarded', NS.forward)?.elements() ?? [];
  const [only] = held;
  if (held.length !== 1 || only?.name !== name) return undefined;
  // (from another node it comes as what it will be)
  return only.ns === NS.client || only.ns === null ? withContentNs(only) : undefined;
}

/** An element of `jabber:client` as it stands on a stream of its own, with whatever in it has that namespace too. */
export function withContentNs(element: Element): Element {
  const { name, ns, attrs, children } = element;
  // (what is of another namespace further down is not the stanza's own)
  if (ns !== NS.client) return element;
  return new Element(
    name,
    null,
    attrs,
    children.map((child) => (child instanceof Element ? withContentNs(child) : child)),
  );
}
