// Requests from one occupant to another, by their occupant JIDs (XEP-0045 16.4), and pings to oneself (XEP-0410 4). Neither learns the
// other's real JID: what is forwarded has an `id` of the room's, by which the answer finds the device that asked.
import { type Element, el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { Iq } from '../../xmpp/stanza.ts';
import type { Room } from './room.ts';
import { defineRoomSlot } from './slots.ts';

/** A request that is on its way. */
interface Asked {
  /** The full JID of the device that asked, and its `id`. */
  readonly asker: string;
  readonly id: string;
  /** Whom the room has asked, and the occupant JID that the answer is from. */
  readonly real: BareJid;
  readonly as: string;
}

/** By the ids under which they were forwarded, oldest first. */
const forwarded = defineRoomSlot<Map<string, Asked>>('forwarded', {
  kept: { save: (all) => [...all], restore: (saved) => new Map(saved as [string, Asked][]) },
});
/** What was asked before so many others is not answered any more. */
const MOST_FORWARDED = 2000;

const discovery: ReadonlySet<string> = new Set([NS.discoInfo, NS.discoItems]);
/** What accounts answer for their people, not the devices. */
const ofAccounts: ReadonlySet<string> = new Set([NS.vcardTemp, NS.vcard4Xml, NS.pubsub]);

/** @throws StanzaError from who is not in the room not-acceptable (XEP-0410 4), bad-request for discovery (6.6); item-not-found */
export function ask(room: Room, iq: Iq): void {
  const { ports } = room;
  const occupant = room.occupantOf(iq.from);
  if (occupant === undefined) {
    const isDiscovery = discovery.has(iq.payload?.ns ?? '');
    throw new StanzaError(isDiscovery ? 'bad-request' : 'not-acceptable', 'you are not in the room');
  }
  const target = room.occupants.get(iq.to.resource);
  if (target === undefined) throw new StanzaError('item-not-found', 'nobody in the room has that nick');
  const { payload } = iq;
  if (target === occupant && iq.type === 'get' && payload?.is('ping', NS.ping)) {
    ports.send(el('iq', null, { type: 'result', id: iq.id, from: iq.to.full }), iq.to, iq.from);
    return;
  }
  let all = room.get(forwarded);
  if (all === undefined) {
    all = new Map();
    room.set(forwarded, all);
  }
  if (all.size >= MOST_FORWARDED) all.delete(all.keys().next().value!);
  const id = ports.newId();
  all.set(id, { asker: iq.from.full, id: iq.id, real: target.bare, as: iq.to.full });
  const { jid } = target.shown;
  const to = ofAccounts.has(payload?.ns ?? '') ? jid.withResource('') : jid;
  ports.send(iq.el.with({ id, from: occupant.jid.full, to: undefined }), occupant.jid, to);
}

/** An answer finds its way back; what nobody here has asked is ignored. */
export function bringBack(room: Room, iq: Iq): void {
  const all = room.get(forwarded);
  const asked = all?.get(iq.id);
  if (asked === undefined || asked.real !== iq.from.withResource('').bare) return;
  all!.delete(iq.id);
  const asker = Jid.parse(asked.asker);
  const from = Jid.parse(asked.as);
  if (asker === undefined || from === undefined || room.occupantOf(asker) === undefined) return;
  room.ports.send(withoutWho(iq.el).with({ id: asked.id, from: asked.as, to: undefined }), from, asker);
}

/** RFC 6120 8.3.2: `by` of an error may be a real JID. */
function withoutWho(answer: Element): Element {
  const error = answer.getChild('error');
  if (error?.attrs.by === undefined) return answer;
  return answer.without((child) => child === error).append(error.with({ by: undefined }));
}
