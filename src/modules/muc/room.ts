// A room as it lives on its owner: who is in it, who has which affiliation, its configuration and subject. State and look-ups; what
// happens in a room is in the files beside this one, a section of XEP-0045 each.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { mayAs } from './associations.ts';
import type { Affiliation, RoomConfig } from './config.ts';
import type { Device, Occupant } from './occupant.ts';
import type { RoomPorts } from './ports.ts';
import type { AffiliationRow, RoomRow, Subject } from './rows.ts';
import { Slotted } from './slots.ts';

/** What a room is made of, when it is created or comes from the stores or another node. */
export interface RoomState extends RoomRow {
  readonly affiliations: ReadonlyMap<BareJid, AffiliationRow>;
  readonly slots?: Readonly<Record<string, unknown>>;
}

export class Room extends Slotted {
  /** Its bare JID. */
  readonly jid: Jid;
  readonly ports: RoomPorts;
  readonly createdAt: number;
  config: RoomConfig;
  subject: Subject | undefined;
  isLocked: boolean;
  /** It was destroyed, or has gone with its last occupant; it acts no more. */
  isOver = false;
  /** By bare JID, and by domain where all of it is banned; `none` only with a registered nick. Change it by `setAffiliation`. */
  readonly affiliations: Map<BareJid, AffiliationRow>;
  /** By nick. */
  readonly occupants = new Map<string, Occupant>();
  /** By the real full JID of each of their devices. */
  private readonly byDevice = new Map<string, Occupant>();
  private readonly turns = new Turns<''>();

  constructor(jid: Jid, state: RoomState, ports: RoomPorts) {
    super(state.slots);
    this.jid = jid;
    this.ports = ports;
    this.config = state.config;
    this.subject = state.subject;
    this.createdAt = state.createdAt;
    this.isLocked = state.isLocked ?? false;
    this.affiliations = new Map(state.affiliations);
  }

  /** The occupant that a device is, by its real full JID. */
  occupantOf(device: Jid): Occupant | undefined {
    return this.byDevice.get(device.full);
  }

  /** The affiliation of a person; of a ban of the whole domain, too (9.1). */
  affiliationOf(person: Jid): Affiliation {
    const own = this.affiliations.get(person.bare)?.affiliation ?? 'none';
    if (own !== 'none') return own;
    return this.affiliations.get(person.domain as BareJid)?.affiliation ?? 'none';
  }

  /** Whether somebody may see real JIDs (4.2). */
  showsJidsTo(occupant: Occupant): boolean {
    return this.config.whois === 'anyone' || mayAs(occupant.role, 'moderator');
  }

  /** How many devices are here, of all occupants. */
  get deviceCount(): number {
    return this.byDevice.size;
  }

  /** Puts an occupant and its devices into the look-ups. */
  place(occupant: Occupant): void {
    this.occupants.set(occupant.nick, occupant);
    for (const { jid } of occupant.devices) this.byDevice.set(jid.full, occupant);
  }

  /** Adds a device to an occupant that is here. */
  placeDevice(occupant: Occupant, device: Device): void {
    occupant.devices.push(device);
    this.byDevice.set(device.jid.full, occupant);
  }

  /** Takes a device out; the occupant goes with its last one. */
  removeDevice(occupant: Occupant, device: Device): void {
    occupant.devices.splice(occupant.devices.indexOf(device), 1);
    this.byDevice.delete(device.jid.full);
    if (occupant.devices.length === 0) this.occupants.delete(occupant.nick);
  }

  /** Takes an occupant out, with all its devices (which it keeps, to be told). */
  remove(occupant: Occupant): void {
    this.occupants.delete(occupant.nick);
    for (const { jid } of occupant.devices) this.byDevice.delete(jid.full);
  }

  /** What happens in a room happens one after another, also where something has to be waited for. */
  run<T>(work: () => MaybePromise<T>): MaybePromise<T> {
    return this.turns.run('', work);
  }

  /** Nothing is under way that was waited for. */
  get isQuiet(): boolean {
    return this.turns.isIdle;
  }

  /** The room's own row. */
  row(): RoomRow {
    const { config, subject, createdAt, isLocked } = this;
    return { config, createdAt, ...(subject && { subject }), ...(isLocked && { isLocked }) };
  }

  /** Writes the room's own row: configuration, subject, lock. */
  save(): Promise<void> {
    return this.ports.rows.saveRoom(this.row());
  }
}

/** Waits for both, where there is something to wait for. */
export function both(one: MaybePromise<unknown>, other: MaybePromise<unknown>): MaybePromise<void> {
  if (isPromise(one)) return Promise.all([one, other]).then(() => {});
  return isPromise(other) ? other.then(() => {}) : undefined;
}
