// XEP-0452: MUC Mention Notifications. Who belongs to a room, has registered a nick there and is not in it is sent what mentions them
// (XEP-0372): by their address, or by the occupant JID of their nick. Owners may switch it off; a person does by giving up the nick.
//
// - Nobody is told of a correction: what it corrects has been told. Nor is anybody told whom the sender's mention has reached.
// - Whoever mentions too many people in one message, or too often, reaches the first of them; what was said is in the room all the same.
import { z } from 'zod';
import { type Rate, TokenBucket } from '../base/token-bucket.ts';
import { counter } from '../core/metrics.ts';
import { defineModule, on } from '../core/module.ts';
import { type Element, el } from '../xml/element.ts';
import { booleanField } from '../xmpp/dataform.ts';
import { delayElement } from '../xmpp/delay.ts';
import { type BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { correctedId } from './mam/references.ts';
import { type RoomMessage, roomFields, roomInfo, roomMessageSent } from './muc/hooks.ts';
import { memberships } from './muc/memberships.ts';
import type { Room } from './muc/room.ts';
import { chosen, type ExtraField } from './muc/settings.ts';
import { defineRoomSlot } from './muc/slots.ts';

const forwarding: ExtraField<boolean> = {
  name: 'muc#roomconfig_forwardmentions',
  field: booleanField('Forward messages with mentions to members who are not in the room'),
  fallback: true,
};

/** People mentioned in one message. */
const MOST = 20;
/** Senders that a room remembers. */
const MOST_SENDERS = 500;

/** What those who mention others have left, the latest last. */
const buckets = defineRoomSlot<Map<BareJid, TokenBucket>>('mentions');

export default defineModule({
  xeps: ['XEP-0452 0.2.2'],
  summary: 'Tells members who are not in a room that they were mentioned there',
  hosts: ['rooms'],
  metrics: { forwarded: counter('Messages that were forwarded to people mentioned in rooms that they were not in') },
  config: z.strictObject({
    'per-second': z
      .number()
      .positive()
      .prefault(0.2)
      .meta({ description: 'People whom one person may have told by mentioning them in a room, in the long run.' }),
    burst: z
      .int()
      .positive()
      .prefault(60)
      .meta({ description: 'As many as that may be told at once before the rate counts.' }),
  }),

  setup({ host, config, metrics, clock, find, background }) {
    const rate: Rate = { rate: config['per-second'], burst: config.burst };
    const { enabled: isLimited } = host.settings.limits;

    function mayTell(room: Room, sender: BareJid): boolean {
      const now = clock.now();
      const all = room.get(buckets) ?? new Map<BareJid, TokenBucket>();
      room.set(buckets, all);
      const bucket = all.get(sender) ?? new TokenBucket(rate, now);
      all.delete(sender);
      all.set(sender, bucket);
      if (all.size > MOST_SENDERS) all.delete(all.keys().next().value!);
      return bucket.tryTake(1, now);
    }

    /** Who wants to hear nothing of a room is left alone. */
    async function tell(room: Room, person: Jid, element: Element): Promise<void> {
      const wish = await find(memberships)?.wishOf(person.bare, room.jid.local);
      if (wish === 'never' || room.isOver) return;
      metrics.forwarded.inc();
      room.ports.send(element, room.jid, person);
    }

    function forward({ room, occupant, element }: RoomMessage): void {
      if (occupant === undefined || element.getChild('body') === undefined || correctedId(element) !== undefined)
        return;
      const people = mentioned(room, element);
      if (people.length === 0 || !chosen(room.config, forwarding)) return;
      const told = element.with({ to: room.jid.full });
      const forwarded = el('forwarded', NS.forward, undefined, delayElement(room.ports.now()), told);
      const message = el(
        'message',
        null,
        { from: room.jid.full, id: room.ports.newId() },
        el('mentions', NS.mentions, undefined, forwarded),
      );
      for (const person of people) {
        if (isLimited && !mayTell(room, occupant.bare)) return;
        background(tell(room, person, message), 'telling somebody of a mention');
      }
    }

    return {
      handlers: [
        on(roomFields, ({ fields }) => void fields.push(forwarding as ExtraField<unknown>)),
        on(roomInfo, ({ context, features }) => {
          if (chosen(context.room.config, forwarding)) features.push(NS.mentions);
        }),
        on(roomMessageSent, forward),
      ],
    };
  },
});

/** Those of whom a message speaks who are not in the room and have registered with it, each once. */
function mentioned(room: Room, message: Element): readonly Jid[] {
  let people: Map<BareJid, Jid> | undefined;
  for (const child of message.children) {
    if (typeof child === 'string' || !('ns' in child) || child.ns !== NS.references) continue;
    if (child.name !== 'reference' || child.attrs.type !== 'mention') continue;
    const person = personOf(room, child.attrs.uri ?? '');
    if (person === undefined || room.affiliations.get(person.bare)?.nick === undefined) continue;
    if (!room.occupantsOf(person.bare).next().done) continue;
    people ??= new Map();
    people.set(person.bare, person);
    if (people.size === MOST) break;
  }
  return [...(people?.values() ?? [])];
}

/** Who is meant by the URI of a reference: a person, or the owner of a nick in this room (XEP-0372 3.2; RFC 5122). */
function personOf(room: Room, uri: string): Jid | undefined {
  const address = /^xmpp:([^?#]+)/i.exec(uri)?.[1];
  const jid = address === undefined ? undefined : Jid.parse(unescaped(address));
  if (jid === undefined || jid.local === '') return undefined;
  if (jid.bare !== room.jid.bare) return jid.withResource('');
  const owner = jid.resource === '' ? undefined : room.ownerOf(jid.resource);
  return owner === undefined ? undefined : Jid.parse(owner);
}

function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
