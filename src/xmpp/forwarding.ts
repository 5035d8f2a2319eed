// XEP-0297: Stanza Forwarding: a stanza inside another, put in and taken out. Pure.
import { type Element, el } from '../xml/element.ts';
import { NS } from './ns.ts';

/** Puts a stanza into a <forwarded/>. */
export function forwardedElement(stanza: Element): Element {
  return el('forwarded', NS.forward, undefined, stanza);
}

/** What the <forwarded/> of an element holds; undefined where it is not exactly one stanza of that name. */
export function forwardedIn(parent: Element, name: string): Element | undefined {
  const held = parent.getChild('forwarded', NS.forward)?.elements() ?? [];
  const [only] = held;
  return held.length === 1 && only?.is(name, null) ? only : undefined;
}
