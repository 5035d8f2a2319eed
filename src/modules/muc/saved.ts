// Occupants, written down and brought back: when a room moves, when the server stops, and after the death of the room's node.
import { Jid } from '../../xmpp/jid.ts';
import { type Device, Occupant } from './occupant.ts';
import { isBroadcast } from './presence.ts';
import type { Room } from './room.ts';
import type { OccupantRow, SavedOccupant } from './rows.ts';

/** What a room hands over to its next owner, beside its rows: JSON. */
export interface Handed {
  readonly occupants: readonly SavedOccupant[];
  readonly slots?: Readonly<Record<string, unknown>> | undefined;
  /** Somebody may be gone who is among them: that was to be found out. */
  readonly isUncertain?: boolean;
}

export function handOver(room: Room): Handed {
  const slots = room.saveSlots();
  return { occupants: [...room.occupants.values()].map(saveOccupant), ...(slots && { slots }) };
}

function saveOccupant(occupant: Occupant): SavedOccupant {
  const { nick, role, devices } = occupant;
  const slots = occupant.saveSlots();
  return {
    nick,
    role,
    devices: devices.map(({ jid, presence, follows, life }) => ({
      jid: jid.full,
      xml: presence,
      ...(follows && { follows }),
      ...(life && { life }),
    })),
    ...(slots && { slots }),
  };
}

/**
 * Puts occupants back where they were, without a word to anybody: they have not been away.
 * @param isUncertain what was said of them last is not known
 */
export function bringIn(room: Room, occupants: readonly SavedOccupant[], isUncertain: boolean): void {
  for (const { nick, role, devices, slots } of occupants) {
    const here = devices.flatMap(({ jid, xml, follows = false, life }): Device[] => {
      const real = Jid.parse(jid);
      return real === undefined ? [] : [{ jid: real, presence: xml, held: undefined, follows, life }];
    });
    const first = here[0]?.jid;
    if (first === undefined) continue;
    const affiliation = room.affiliationOf(first);
    const jid = room.jid.withResource(nick);
    const occupant = new Occupant(jid, first.withResource('').bare, role, affiliation, slots);
    occupant.devices.push(...here);
    occupant.isShown = isBroadcast(room, occupant);
    occupant.isUncertain = isUncertain;
    room.place(occupant);
  }
}

/** The same from the rows that outlive a crash, each of one device. */
export function fromRows(rows: ReadonlyMap<string, OccupantRow>): readonly SavedOccupant[] {
  const byNick = new Map<string, SavedOccupant & { devices: SavedOccupant['devices'][number][] }>();
  for (const [jid, { nick, role, ...device }] of rows) {
    const found = byNick.get(nick);
    if (found === undefined) byNick.set(nick, { nick, role, devices: [{ jid, ...device }] });
    else found.devices.push({ jid, ...device });
  }
  return [...byNick.values()];
}
