// Another configuration of a room, and what follows from it (XEP-0045 10.2).
import type { Jid } from '../../xmpp/jid.ts';
import { isAtLeast } from './associations.ts';
import type { RoomConfig } from './config.ts';
import { evict, vanishIfEmpty } from './exit.ts';
import { announce } from './fan-out.ts';
import { roomChanged } from './hooks.ts';
import { isBroadcast, showToOthers } from './presence.ts';
import type { Room } from './room.ts';

/**
 * Gives the room another configuration, and unlocks it (10.1.3). Whether that may be is checked already.
 * @param by the real JID of who did it; undefined: an operator
 * @returns when it is stored and holds: how to tell everybody
 */
export async function reconfigure(room: Room, config: RoomConfig, by: Jid | undefined): Promise<() => void> {
  const before = room.config;
  const wasLocked = room.isLocked;
  await room.ports.rows.saveRoom({ ...room.row(), config, isLocked: false });
  room.config = config;
  room.isLocked = false;
  const steps = [...withoutStrangers(room), ...withOtherPresence(room)];
  return () => {
    for (const step of steps) step();
    const codes = wasLocked ? [] : changeCodes(before, config);
    if (codes.length > 0) announce(room, ...codes);
    room.ports.hooks.notify(roomChanged, { room, before, by });
    vanishIfEmpty(room);
  };
}

/** 10.2: who may not be in it any more, goes. */
function withoutStrangers(room: Room): (() => void)[] {
  if (!room.config.isMembersOnly) return [];
  const strangers = [...room.occupants.values()].filter(({ affiliation }) => !isAtLeast(affiliation, 'member'));
  return strangers.map((stranger) => evict(room, stranger, { codes: [322] }));
}

/** Who is seen now, or is not any more. */
function withOtherPresence(room: Room): (() => void)[] {
  const changed = [...room.occupants.values()].filter((occupant) => isBroadcast(room, occupant) !== occupant.isShown);
  return changed.map((occupant) => () => showToOthers(room, occupant));
}

/** Settings of which everybody is to know what they are from now on, and by which codes (10.2.1). */
const telling: { readonly [K in keyof RoomConfig]?: (config: RoomConfig) => number } = {
  isLogged: ({ isLogged }) => (isLogged ? 170 : 171),
  whois: ({ whois }) => (whois === 'anyone' ? 172 : 173),
};

/** 10.2.1: 104 for all that has no code of its own. */
function changeCodes(before: RoomConfig, config: RoomConfig): number[] {
  const codes = new Set<number>();
  for (const key of Object.keys(config) as (keyof RoomConfig)[]) {
    if (JSON.stringify(before[key]) !== JSON.stringify(config[key])) codes.add(telling[key]?.(config) ?? 104);
  }
  return [...codes].sort((one, other) => one - other);
}
