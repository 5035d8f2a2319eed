// Who reads the archives of many rooms at once is served at the pace of its reading. The room may be on any node; the session is on this one.
import type { Clock } from '../../base/clock.ts';
import type { MaybePromise } from '../../base/maybe.ts';
import type { Session } from '../../core/sessions.ts';
import type { Transit } from '../../core/transit.ts';
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';
import { replaceElement } from '../../xmpp/stanza.ts';
import { readOn } from '../mam/pace.ts';

/** The part of what a session may still be sent that one page takes. */
const SHARE = 16;

/** A stanza for a room, before it leaves the node of its sender. @throws StanzaError `resource-constraint` to who does not read */
export function paced(transit: Transit, clock: Pick<Clock, 'after'>, usual: number): MaybePromise<void> {
  const { stanza, origin } = transit;
  if (stanza.kind !== 'iq' || stanza.type !== 'set' || origin.kind !== 'client') return;
  const query = stanza.el.getChild('query', NS.mam);
  if (query === undefined) return;
  const most = mostFor(origin.session, usual);
  const max = Number(query.getChild('set', NS.rsm)?.getChildText('max') ?? usual);
  if (max > most) {
    const others = stanza.el.without((child) => child === query);
    transit.stanza = replaceElement(stanza, others.append(withMax(query, most)));
  }
  return readOn(origin.session, clock);
}

/** Acknowledgements are read after the queries before them: what these bring must not end the session (XEP-0198). */
function mostFor({ outbox }: Session, usual: number): number {
  const room = outbox?.room;
  return room === undefined ? usual : Math.max(1, Math.min(usual, Math.floor(room.stanzas / SHARE)));
}

function withMax(query: Element, max: number): Element {
  const sets = query.getChildren('set', NS.rsm);
  const set = (sets[0] ?? el('set', NS.rsm)).without((child) => child.is('max', NS.rsm));
  const limited = set.append(el('max', NS.rsm, undefined, String(max)));
  return query.without((child) => child === sets[0]).append(limited);
}
