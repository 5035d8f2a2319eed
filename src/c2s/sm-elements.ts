// What is said of stream management, and the numbers in it (XEP-0198).
import { type Element, el } from '../xml/element.ts';
import type { Condition } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';

const unsignedInt = /^\d{1,10}$/;

/** 6: with one of the conditions of stanzas. */
export function failed(condition: Condition, h?: number): Element {
  return el('failed', NS.sm, { h: h === undefined ? undefined : String(h) }, el(condition, NS.stanzas));
}

export function isUnsignedInt(text: string): boolean {
  return unsignedInt.test(text);
}

/** Whether it can be a counter of stanzas. */
export function isCount(h: string): boolean {
  return isUnsignedInt(h) && Number(h) < 2 ** 32;
}
