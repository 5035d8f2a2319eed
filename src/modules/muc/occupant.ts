// An occupant: one person, one nick, one or more devices. Kept small: there may be thousands in a room.
import type { Life } from '../../core/transit.ts';
import type { Element } from '../../xml/element.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { Affiliation, Role } from './config.ts';
import type { Held } from './held.ts';
import type { OccupantRow } from './rows.ts';
import { Slotted } from './slots.ts';

/** One client of an occupant's, from when it has entered: who enters anew is another one. */
export interface Device {
  /** Its real full JID. */
  readonly jid: Jid;
  /** Its presence without what belongs to rooms, as `<presence/>` without addresses: XML. */
  presence: string;
  /** While history is read for somebody who has just come: what is to be sent after it. */
  held: Held | undefined;
  /** It keeps track of affiliations by their versions (XEP-0463). */
  follows: boolean;
  /** Of another server's: when something of it was heard, or it was asked whether it is there, in milliseconds since 1970. */
  heardAt?: number;
  /** The session that has entered; undefined where another server knows of it. */
  readonly life?: Life | undefined;
}

export class Occupant extends Slotted {
  /** The occupant JID: the room's with the nick as its resource. */
  jid: Jid;
  /** The real bare JID. */
  readonly bare: BareJid;
  role: Role;
  affiliation: Affiliation;
  /** The last one is that whose presence is shown. Empty when it is no longer in the room. */
  readonly devices: Device[] = [];
  /** The others know of it: its role is one of those whose presence is broadcast. */
  isShown = false;
  /** They may believe something else: the room's node has died, and what it said last is not known. */
  isUncertain = false;
  /** Its presence as others see it, with and without the real JID, while it has not changed. */
  seen: { full: Element | undefined; plain: Element | undefined } | undefined;

  constructor(
    jid: Jid,
    bare: BareJid,
    role: Role,
    affiliation: Affiliation,
    slots?: Readonly<Record<string, unknown>>,
  ) {
    super(slots);
    this.jid = jid;
    this.bare = bare;
    this.role = role;
    this.affiliation = affiliation;
  }

  get nick(): string {
    return this.jid.resource;
  }

  /** The device whose presence is shown. */
  get shown(): Device {
    return this.devices.at(-1)!;
  }

  /** One of its devices, by its real full JID. */
  device(jid: Jid): Device | undefined {
    return this.devices.find((device) => device.jid.full === jid.full);
  }
}

/** What outlives a crash of one of an occupant's devices. */
export function deviceRow({ nick, role }: Pick<Occupant, 'nick' | 'role'>, device: Device): OccupantRow {
  return {
    nick,
    role,
    xml: device.presence,
    ...(device.follows && { follows: true }),
    ...(device.life && { life: device.life }),
  };
}
