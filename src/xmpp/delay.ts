// When something was sent that arrives later (XEP-0203).
import { type Element, el } from '../xml/element.ts';
import { formatDateTime, parseDateTime } from './datetime.ts';
import { NS } from './ns.ts';

/** The `<delay/>` element: sent at `at` (milliseconds since 1970), held back by `from`, if that is to be told; `reason` is for people to read. */
export function delayElement(at: number, from?: string, reason?: string): Element {
  const stamp = formatDateTime(at);
  return el('delay', NS.delay, { from, stamp }, ...(reason === undefined ? [] : [reason]));
}

/** When a stanza was sent, in milliseconds since 1970, if it says so. */
export function delayedSince(stanza: Element): number | undefined {
  const stamp = stanza.getChild('delay', NS.delay)?.attrs.stamp;
  return stamp === undefined ? undefined : parseDateTime(stamp);
}
