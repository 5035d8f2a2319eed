// XEP-0421: Occupant identifiers for semi-anonymous MUCs. A person has one in each room, whatever the nick and the device, on all nodes and
// after every restart: the HMAC of room and bare JID with a secret of the host's rooms that never leaves the store. What somebody sends of
// the kind themselves is taken out by the room (`isReserved`, muc/fan-out.ts).
//
// - 4, "every message and every presence": of what an occupant says and is, errors to private messages too. What the room itself says is nobody's.
import { createHmac, randomBytes } from 'node:crypto';
import { defineModule, defineService, on, provide } from '../core/module.ts';
import { kv } from '../storage/specs.ts';
import { type Element, el } from '../xml/element.ts';
import type { BareJid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { roomInfo, roomMessage, roomPresence, roomPrivate } from './muc/hooks.ts';
import type { Occupant } from './muc/occupant.ts';
import type { Room } from './muc/room.ts';
import { defineRoomSlot } from './muc/slots.ts';

/** What others know people in rooms by. */
export interface OccupantIds {
  /** The id of a person in a room, who need not be there. */
  of(room: Room, person: BareJid): string;
}
export const occupantIds = defineService<OccupantIds>('occupant-ids');

/** `<occupant-id/>`, once made: it is never another one. */
const made = defineRoomSlot<Element>('occupant-id');

export default defineModule({
  xeps: ['XEP-0421 1.0.1'],
  summary: 'Gives people in rooms an id that outlives their nicks',
  hosts: ['rooms'],
  provides: [occupantIds],
  /** The secret, in base64, of the owner `''`. */
  stores: { secrets: kv<string>() },

  async setup({ stores }) {
    // of several nodes that start together, all take that of the first
    const stored = await stores.secrets.update('', (old) => old ?? randomBytes(32).toString('base64'));
    const secret = Buffer.from(stored!, 'base64');

    const idOf = ({ jid }: Room, person: BareJid): string =>
      createHmac('sha256', secret).update(`${jid.bare}\0${person}`).digest('base64url');

    const elementOf = (room: Room, occupant: Occupant): Element => {
      const found = occupant.get(made);
      if (found !== undefined) return found;
      const element = el('occupant-id', NS.occupantId, { id: idOf(room, occupant.bare) });
      occupant.set(made, element);
      return element;
    };

    return {
      features: { server: [NS.occupantId] },
      handlers: [
        provide(occupantIds, { of: idOf }),
        on(roomInfo, ({ features }) => void features.push(NS.occupantId)),
        on(roomPresence, ({ room, occupant, children }) => void children.push(elementOf(room, occupant))),
        on(roomMessage, { phase: 'change' }, (event) => {
          if (event.occupant !== undefined) event.element = event.element.append(elementOf(event.room, event.occupant));
        }),
        on(roomPrivate, { phase: 'change' }, (event) => {
          event.element = event.element.append(elementOf(event.room, event.occupant));
        }),
      ],
    };
  },
});
