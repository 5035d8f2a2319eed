// An occupant: one person, one nick, one or more devices. Kept small: there may be thousands in a room.
import type { Element } from '../../xml/element.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { Affiliation, Role } from './config.ts';
import { Slotted } from './slots.ts';

/** One client of an occupant's. */
export interface Device {
  /** Its real full JID. */
  readonly jid: Jid;
  /** The children of its presence, serialised, without what is of rooms only. */
  presence: string;
  /** While the history for somebody who has just come is read: what is to be sent after it. */
  held: Element[] | undefined;
}

export class Occupant extends Slotted {
  /** The occupant JID: the room's with the nick as its resource. */
  jid: Jid;
  /** The real bare JID. */
  readonly bare: BareJid;
  role: Role;
  affiliation: Affiliation;
  /** Never empty while it is in the room; the last one is the one whose presence is shown. */
  readonly devices: Device[] = [];
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
}
