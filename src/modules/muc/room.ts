// A room as it lives on its owner: who is in it, who has which affiliation, its configuration and subject. State and look-ups; what
// happens in a room is in the files beside this one, a section of XEP-0045 each.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import { Turns } from '../../base/turns.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { mayAs } from './associations.ts';
import type { Affiliation, RoomConfig } from './config.ts';
import { Held } from './held.ts';
import { likeness } from './nicks.ts';
import type { Device, Occupant } from './occupant.ts';
import type { RoomPorts } from './ports.ts';
import type { AffiliationRow, RoomRow, Subject } from './rows.ts';
import { Slotted } from './slots.ts';
import { Versions } from './versions.ts';

/** What a room is made of, when it is created or comes from the stores or another node. */
export interface RoomState extends RoomRow {
  readonly affiliations: ReadonlyMap<BareJid, AffiliationRow>;
  readonly slots?: Readonly<Record<string, unknown>> | undefined;
}

/** So many pieces of work may wait for their turn. */
const MOST_WAITING = 1000;

export class Room extends Slotted {
  /** Its bare JID. */
  readonly jid: Jid;
  readonly ports: RoomPorts;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  config: RoomConfig;
  subject: Subject | undefined;
  isLocked: boolean;
  /** It was destroyed, or has gone with its last occupant; it acts no more. */
  isOver = false;
  /** By bare JID, and by domain where all of it is banned; nobody's is `none`. `changeAffiliations` changes it. */
  readonly affiliations: ReadonlyMap<BareJid, AffiliationRow>;
  /** By nick. */
  readonly occupants = new Map<string, Occupant>();
  /** Devices for which history is being read. */
  readonly waiting = new Set<Device>();
  readonly versions: Versions;
  private readonly rows: Map<BareJid, AffiliationRow>;
  /** By the real full JID of each of their devices. */
  private readonly byDevice = new Map<string, Occupant>();
  /** By what their nicks look like: one, or several that are the same person. */
  private readonly alike = new Map<string, Occupant | readonly Occupant[]>();
  /** Whose registered nicks look so. */
  private readonly registered = new Map<string, BareJid>();
  private devices: Jid[] | undefined;
  private readonly turns = new Turns<''>();
  private waitingWork = 0;

  constructor(jid: Jid, state: RoomState, ports: RoomPorts) {
    super(state.slots);
    this.jid = jid;
    this.ports = ports;
    this.config = state.config;
    this.subject = state.subject;
    this.createdAt = state.createdAt;
    this.isLocked = state.isLocked ?? false;
    this.versions = new Versions(state.affiliations, state.versionFloor);
    this.rows = new Map([...state.affiliations].filter(([, { affiliation }]) => affiliation !== 'none'));
    this.affiliations = this.rows;
    for (const [person, { nick }] of this.rows) if (nick !== undefined) this.registered.set(likeness(nick), person);
  }

  /** The occupant that a device is, by its real full JID. */
  occupantOf(device: Jid): Occupant | undefined {
    return this.byDevice.get(device.full);
  }

  /** Every occupant that a person is: with several nicks, there are several. */
  *occupantsOf(person: BareJid): Generator<Occupant> {
    for (const occupant of this.occupants.values()) if (occupant.bare === person) yield occupant;
  }

  /** The affiliation of a person; that of the domain, where all of it is banned (9.2). */
  affiliationOf(person: Jid): Affiliation {
    const own = this.rows.get(person.bare)?.affiliation;
    if (own !== undefined && own !== 'none') return own;
    return this.rows.get(person.domain as BareJid)?.affiliation ?? 'none';
  }

  /** Whether an occupant may see real JIDs (4.2). */
  showsJidsTo(occupant: Occupant): boolean {
    return this.config.whois === 'anyone' || mayAs(occupant.role, 'moderator');
  }

  /** Whether a nick, or one that looks like it, is worn or registered by another person (7.2.8). */
  isNickOfAnother(nick: string, person: BareJid): boolean {
    const look = likeness(nick);
    const worn = [this.alike.get(look) ?? []].flat()[0]?.bare ?? person;
    return worn !== person || (this.registered.get(look) ?? person) !== person;
  }

  /** Whose registered nick this is. */
  ownerOf(nick: string): BareJid | undefined {
    const owner = this.registered.get(likeness(nick));
    return owner !== undefined && this.rows.get(owner)?.nick === nick ? owner : undefined;
  }

  /** The devices that everything goes to, at once. */
  get audience(): readonly Jid[] {
    if (this.devices !== undefined) return this.devices;
    this.devices = [];
    for (const occupant of this.occupants.values()) {
      for (const device of occupant.devices) if (device.held === undefined) this.devices.push(device.jid);
    }
    return this.devices;
  }

  get deviceCount(): number {
    return this.byDevice.size;
  }

  /** Puts an occupant with its devices, or with a new nick, where it is found. */
  place(occupant: Occupant): void {
    this.occupants.set(occupant.nick, occupant);
    const look = likeness(occupant.nick);
    const others = this.alike.get(look);
    this.alike.set(look, others === undefined ? occupant : [others, occupant].flat());
    for (const device of occupant.devices) this.seat(occupant, device);
  }

  /** Adds a device to an occupant that is here: it is the one that is shown from now on. */
  placeDevice(occupant: Occupant, device: Device): void {
    occupant.devices.push(device);
    this.seat(occupant, device);
  }

  /** A device has entered anew. */
  replaceDevice(occupant: Occupant, former: Device, device: Device): void {
    occupant.devices[occupant.devices.indexOf(former)] = device;
    this.waiting.delete(former);
    // (it goes on waiting for what the one before waited for, where that is the same session)
    if (device.held !== former.held) former.held?.settle();
    this.devices = undefined;
  }

  private seat(occupant: Occupant, device: Device): void {
    this.byDevice.set(device.jid.full, occupant);
    if (device.held !== undefined) this.waiting.add(device);
    this.devices = undefined;
  }

  /** Takes a device out; the occupant goes with its last one. */
  removeDevice(occupant: Occupant, device: Device): void {
    occupant.devices.splice(occupant.devices.indexOf(device), 1);
    this.byDevice.delete(device.jid.full);
    this.waiting.delete(device);
    this.devices = undefined;
    if (occupant.devices.length === 0) this.displace(occupant);
  }

  /** Takes an occupant away from its nick, to go or to come back with another one. */
  displace(occupant: Occupant): void {
    this.occupants.delete(occupant.nick);
    const look = likeness(occupant.nick);
    const left = [this.alike.get(look) ?? []].flat().filter((other) => other !== occupant);
    if (left.length === 0) this.alike.delete(look);
    else this.alike.set(look, left);
    for (const device of occupant.devices) {
      this.byDevice.delete(device.jid.full);
      this.waiting.delete(device);
    }
    this.devices = undefined;
  }

  /** What comes from now on waits until {@link release}. */
  hold(device: Device): void {
    device.held ??= new Held();
    this.waiting.add(device);
    this.devices = undefined;
  }

  /** Sends what has waited for a device. */
  release(device: Device): void {
    const { held } = device;
    if (held === undefined) return;
    device.held = undefined;
    this.waiting.delete(device);
    this.devices = undefined;
    const sent = held.items.map(([element, from]) => this.ports.multicast(element, from, [device.jid]));
    // what is said last is on its way last
    held.settle(sent.at(-1));
  }

  /** Only `changeAffiliations` calls this, when the row is written. */
  setRow(person: BareJid, row: AffiliationRow | undefined): void {
    const before = this.rows.get(person);
    if (before?.nick !== undefined) this.registered.delete(likeness(before.nick));
    if (row === undefined) this.rows.delete(person);
    else this.rows.set(person, row);
    if (row?.nick !== undefined) this.registered.set(likeness(row.nick), person);
  }

  /**
   * What happens in a room happens one after another, also where something has to be waited for.
   * @throws StanzaError where too much waits already
   */
  run<T>(work: () => MaybePromise<T>): MaybePromise<T> {
    if (this.waitingWork >= MOST_WAITING) throw new StanzaError('resource-constraint', 'too much waits for this room');
    this.waitingWork++;
    let result: MaybePromise<T>;
    try {
      result = this.turns.run('', work);
    } catch (error) {
      this.waitingWork--;
      throw error;
    }
    if (isPromise(result)) {
      return result.finally(() => {
        this.waitingWork--;
      });
    }
    this.waitingWork--;
    return result;
  }

  /** Nothing is under way that is waited for. */
  get isQuiet(): boolean {
    return this.waitingWork === 0 && this.waiting.size === 0;
  }

  /** The room's own row. */
  row(): RoomRow {
    const { config, subject, createdAt, isLocked } = this;
    const { floor } = this.versions;
    return {
      config,
      createdAt,
      ...(subject && { subject }),
      ...(isLocked && { isLocked }),
      ...(floor > 0 && { versionFloor: floor }),
    };
  }

  /** Writes the room's own row: configuration, subject, lock. */
  save(): Promise<void> {
    return this.ports.rows.saveRoom(this.row());
  }
}
