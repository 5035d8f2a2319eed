// XEP-0486: MUC Avatars. The vCard of a room (XEP-0054), which its owners set and everybody who finds the room may read; the hashes of its
// pictures are in what the room tells of itself, and whoever is inside hears of another one by status 104.
//
// - 5.2: clients that know only XEP-0153 are told of the picture, by presence from the room itself when they enter and when it changes; of
//   a room that never had one they hear nothing.
// - 4, SHOULD: pictures of all types are kept as they are.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { andThen, type MaybePromise } from '../base/maybe.ts';
import { bytes } from '../config/schema.ts';
import { defineModule, iqGet, iqSet, on } from '../core/module.ts';
import { kv } from '../storage/specs.ts';
import { parseElement } from '../xml/document.ts';
import { type Element, el } from '../xml/element.ts';
import { flatten } from '../xml/flatten.ts';
import { linesField } from '../xmpp/dataform.ts';
import { StanzaError } from '../xmpp/errors.ts';
import { NS } from '../xmpp/ns.ts';
import { announce, tellAll } from './muc/fan-out.ts';
import { roomCreated, roomDestroyed, roomHistory, roomInfo } from './muc/hooks.ts';
import { roomOf } from './muc/request.ts';
import type { Room } from './muc/room.ts';
import { defineRoomSlot } from './muc/slots.ts';

interface Card {
  readonly xml: string;
  /** SHA-1 of each picture in it, in hexadecimal (XEP-0153 3.1). */
  readonly hashes: readonly string[];
}

/** The hashes, where they were read already. */
const known = defineRoomSlot<readonly string[]>('avatar-hashes');

export default defineModule({
  xeps: ['XEP-0054 1.3.0', 'XEP-0153 1.1.1', 'XEP-0486 0.1.0'],
  summary: 'Pictures of rooms, and their vCards',
  hosts: ['rooms'],
  /** The owner is the room's localpart. */
  stores: { cards: kv<Card>() },
  config: z.strictObject({
    'most-bytes': bytes().prefault('128KiB').meta({ description: 'The largest vCard that a room may have.' }),
  }),

  setup({ stores, config }) {
    const hashesOf = (room: Room): MaybePromise<readonly string[]> =>
      room.get(known) ??
      andThen(stores.cards.get(room.jid.local), (card) => {
        const hashes = card?.hashes ?? [];
        room.set(known, hashes);
        return hashes;
      });

    async function publish(room: Room, card: Element): Promise<void> {
      const xml = flatten(card.toXml());
      if (Buffer.byteLength(xml) > config['most-bytes']) {
        throw new StanzaError('policy-violation', `a vCard has ${config['most-bytes']} bytes at most`);
      }
      const hashes = pictureHashes(card);
      const value = card.elements().length === 0 ? undefined : { xml, hashes };
      await room.ports.rows.write(() => stores.cards.set(room.jid.local, value));
      room.set(known, hashes);
    }

    return {
      features: { server: [NS.vcardTemp] },
      handlers: [
        iqGet('room', NS.vcardTemp, 'vCard', (request) =>
          // XEP-0054 3.1: an empty one where there is none
          andThen(stores.cards.get(roomOf(request).room.jid.local), (card) =>
            card === undefined ? el('vCard', NS.vcardTemp) : parseElement(card.xml),
          ),
        ),
        iqSet('room', NS.vcardTemp, 'vCard', async (request) => {
          const { room, affiliation } = roomOf(request);
          if (affiliation !== 'owner') throw new StanzaError('forbidden', 'only owners give a room its picture');
          await publish(room, request.payload);
          request.afterReply(() => {
            announce(room, 104);
            if (room.occupants.size > 0) void tellAll(room, presenceOf(room, room.get(known) ?? []), room.jid);
          });
        }),
        on(roomInfo, ({ context, features, fields, values }) =>
          andThen(hashesOf(context.room), (hashes) => {
            features.push(NS.vcardTemp);
            if (hashes.length === 0) return;
            fields['muc#roominfo_avatarhash'] = linesField('Hashes of the picture');
            values['muc#roominfo_avatarhash'] = hashes.join('\n');
          }),
        ),
        // with what is sent to who enters, so that it stands before the subject
        on(roomHistory, ({ room, messages }) =>
          andThen(hashesOf(room), (hashes) => {
            if (hashes.length > 0) messages.push(presenceOf(room, hashes));
          }),
        ),
        on(roomCreated, ({ room }) => room.set(known, [])),
        on(roomDestroyed, ({ room }) => room.ports.rows.write(() => stores.cards.set(room.jid.local, undefined))),
      ],
    };
  },
});

/** @throws StanzaError `bad-request` for what is no picture */
function pictureHashes(card: Element): string[] {
  return card.getChildren('PHOTO').flatMap((photo) => {
    const text = photo.getChildText('BINVAL')?.replace(/\s+/g, '');
    // XEP-0054 allows an address in its place
    if (text === undefined || text === '') return [];
    if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw new StanzaError('bad-request', 'a picture is in base64');
    return createHash('sha1').update(Buffer.from(text, 'base64')).digest('hex');
  });
}

/** XEP-0153 4.1, from the room; 4.3 where there is no picture any more. */
function presenceOf({ jid }: Room, [hash]: readonly string[]): Element {
  const photo = el('photo', NS.vcardUpdate, undefined, ...(hash === undefined ? [] : [hash]));
  return el('presence', null, { from: jid.full }, el('x', NS.vcardUpdate, undefined, photo));
}
