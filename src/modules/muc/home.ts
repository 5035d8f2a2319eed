// The place of a room: a name at the host, on the node that owns it, whether there is a room or not. Here rooms are made by those who
// enter them (XEP-0045 10.1), and here they come from the stores, from another node, or from what a dead one has left.
import { andThen, isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { Lease } from '../../cluster/cluster.ts';
import type { Life } from '../../core/transit.ts';
import { StorageUnavailable } from '../../storage/errors.ts';
import { el } from '../../xml/element.ts';
import { StanzaError } from '../../xmpp/errors.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { errorReply, type Stanza } from '../../xmpp/stanza.ts';
import { operator } from './actor.ts';
import { changeAffiliations } from './affiliations.ts';
import { arrive, type Bringer, isEntering } from './arrivals.ts';
import { plainConfig } from './config.ts';
import { goneError, mayFollow } from './destroy.ts';
import { checkNick, enter, notInside } from './enter.ts';
import { endRoom, evictAll, removeGhost, vanishIfEmpty } from './exit.ts';
import { welcome } from './fan-out.ts';
import { roomCreated, roomCreating, roomOpening } from './hooks.ts';
import { type Device, deviceRow } from './occupant.ts';
import { isOperator } from './operator.ts';
import { Passed } from './passed.ts';
import type { RoomPorts } from './ports.ts';
import { Room } from './room.ts';
import type { AffiliationRow } from './rows.ts';
import { bringIn, fromRows, type Handed, handOver } from './saved.ts';
import { type RoomStores, StoredRows } from './stores.ts';

export interface HomeParts {
  readonly stores: RoomStores;
  readonly isShared: () => boolean;
  /** What rooms need of the world, for one that this node owns. */
  readonly ports: (rows: StoredRows, lease: Lease, isDropped: () => boolean) => RoomPorts;
  /** Rooms that one person may own; 0: no limit. */
  readonly mostOwned: number;
  /** The session that has an address, if there is one; undefined where that is for another server to know. */
  readonly sessionAt: (device: Jid) => MaybePromise<{ readonly sid: string | undefined } | undefined>;
  /** Whether that is for another server to know. */
  readonly isForeign: (device: Jid) => boolean;
  readonly fault: (error: unknown) => void;
}

export class Home {
  readonly key: string;
  room: Room | undefined;
  private readonly parts: HomeParts;
  private readonly jid: Jid;
  private readonly rows: StoredRows;
  private readonly ports: RoomPorts;
  /** A room is being made: what comes meanwhile comes after that. */
  private making: Promise<unknown> | undefined;
  /** Nothing is written or said any more. */
  private isDropped = false;
  /** It is being found out who is here still. */
  private searches = 0;

  private constructor(parts: HomeParts, jid: Jid, lease: Lease) {
    this.parts = parts;
    this.key = jid.local;
    this.jid = jid;
    const { stores, isShared } = parts;
    this.rows = new StoredRows({ key: this.key, lease, stores, isShared });
    this.ports = parts.ports(this.rows, lease, () => this.isDropped);
  }

  /** Reads what is there under a name, and who is in it. */
  static async open(parts: HomeParts, jid: Jid, lease: Lease, handed: Handed | undefined): Promise<Home> {
    const home = new Home(parts, jid, lease);
    const { stores } = parts;
    const { key } = home;
    const row = await stores.rooms.get(key);
    home.rows.gone = row === undefined ? await stores.gone.get(key) : undefined;
    if (row === undefined) {
      await home.clearAway();
      return home;
    }
    const affiliations = (await stores.affiliations.all(key)) as ReadonlyMap<BareJid, AffiliationRow>;
    const parked = await stores.parked.get(key);
    const room = new Room(jid, { ...row, affiliations, slots: handed?.slots }, home.ports);
    home.room = room;
    await home.ports.hooks.collect(roomOpening, { room });
    const left = lease.isAfterDeath ? fromRows(await stores.occupants.all(key)) : parked?.occupants;
    bringIn(room, handed?.occupants ?? left ?? [], handed === undefined && lease.isAfterDeath);
    if (parked !== undefined) home.ports.background(home.rows.park(undefined), 'forgetting who was in a room');
    vanishIfEmpty(room);
    return home;
  }

  /** What is left of a room whose end its server did not live to see is ended now: nobody is anything in the next one by that. */
  private async clearAway(): Promise<void> {
    const affiliations = (await this.parts.stores.affiliations.all(this.key)) as ReadonlyMap<BareJid, AffiliationRow>;
    if (affiliations.size === 0) return;
    const room = new Room(this.jid, { config: plainConfig, createdAt: 0, affiliations }, this.ports);
    await this.ports.hooks.collect(roomOpening, { room });
    await endRoom(room, false);
  }

  /**
   * Does what a stanza is about; resolves when what it wrote is stored.
   * @throws StanzaError where a message is refused: its sender's node answers, since it knows whether the sender is there to hear it,
   * and counts the message as handled only then. Everything else is answered from here.
   */
  handle(given: Parameters<typeof Passed.read>[0]): MaybePromise<void> {
    const { stanza, isInstead, life } = Passed.read(given);
    const { from } = stanza;
    if (this.room !== undefined && this.parts.isForeign(from)) {
      const device = this.room.occupantOf(from)?.device(from);
      if (device !== undefined) device.heardAt = this.ports.now();
    }
    let works: Promise<unknown>[] | undefined;
    const bringer: Bringer = {
      keep: (work) => {
        works ??= [];
        works.push(work);
      },
      refuse: (error) => this.refuse(stanza, error),
      look: isInstead ? (device) => this.look([device]) : undefined,
      life,
      isThere: this.isThere,
    };
    const settled = (): MaybePromise<void> => {
      if (works === undefined) return;
      return Promise.all(works).then(
        () => {},
        (error) => this.turnDown(stanza, error),
      );
    };
    return andThen(this.take(stanza, bringer), settled);
  }

  /** Looks who of these, which may be gone, is not connected any more: they have left the room. */
  look(suspects: readonly Jid[]): void {
    const { room } = this;
    if (room === undefined || this.isGone(room)) return;
    // (whoever enters meanwhile is another device)
    const here = suspects.flatMap((jid) => room.occupantOf(jid)?.device(jid) ?? []);
    if (here.length > 0) this.search(this.lookFor(room, here));
  }

  /**
   * Looks who of all is not connected any more.
   * @param doubted resolves when those who are not found then are gone for certain; to false where there is no time to wait for that
   */
  lookForAll(doubted: () => MaybePromise<boolean>): void {
    const { room } = this;
    if (room === undefined || this.isGone(room)) return;
    const look = async (): Promise<void> => {
      const gone = await this.missing(room);
      if (gone.length > 0 && (await doubted())) await this.lookFor(room, gone);
    };
    this.search(look());
  }

  /**
   * Asks people of other servers who have said nothing since then whether they are there: where nobody speaks, nothing comes back from a
   * server that has died.
   * @param most so many are asked; the others next time
   * @returns how many were asked
   */
  askSilent(since: number, most: number): number {
    const { room } = this;
    if (room === undefined || this.isGone(room)) return 0;
    let asked = 0;
    for (const device of devicesOf(room)) {
      if (asked === most) break;
      if (!this.parts.isForeign(device.jid)) continue;
      // (who has just come is not asked)
      const { heardAt } = device;
      if (heardAt !== undefined && heardAt > since) continue;
      device.heardAt = this.ports.now();
      if (heardAt === undefined) continue;
      this.ask(device.jid);
      asked++;
    }
    return asked;
  }

  /** Those who seem to be gone. */
  private async missing(room: Room): Promise<readonly Device[]> {
    const gone: Device[] = [];
    for (const device of devicesOf(room)) {
      const fate = await this.fateOf(device);
      if (this.isGone(room)) return [];
      if (fate === 'unknown') this.ask(device.jid);
      else if (fate !== 'here') gone.push(device);
    }
    return gone;
  }

  private search(work: Promise<void>): void {
    this.searches++;
    const done = work.finally(() => {
      this.searches--;
    });
    this.ports.background(done, 'looking who is still in a room');
  }

  private async fateOf({ jid, life }: Device): Promise<'here' | 'gone' | 'succeeded' | 'unknown'> {
    const found = await this.parts.sessionAt(jid);
    if (found === undefined) return 'unknown';
    if (found.sid === undefined) return 'gone';
    return life === undefined || found.sid === life.sid ? 'here' : 'succeeded';
  }

  private readonly isThere = (device: Jid, { sid }: Life): MaybePromise<boolean> =>
    andThen(this.parts.sessionAt(device), (found) => found?.sid === sid);

  /** An account is no more, and neither is what it was here. */
  async forget(person: Jid): Promise<void> {
    while (this.making !== undefined) await this.making;
    const { room } = this;
    if (room === undefined || room.isOver || !room.affiliations.has(person.bare)) return;
    const change = { jid: person, affiliation: 'none', nick: '' } as const;
    await room.run(async () => (await changeAffiliations(room, operator, [change], 'removal'))());
  }

  /** All that is to outlive this life is stored when it resolves. */
  async freeze(): Promise<Handed | undefined> {
    const { room } = this;
    await this.rows.settled();
    if (room === undefined || room.isOver) return undefined;
    // who waits for history goes on without it: it stays here
    for (const device of [...room.waiting]) welcome(room, device);
    const isUncertain = this.searches > 0;
    const handed = { ...handOver(room), ...(isUncertain && { isUncertain }) };
    // what is found out from now on is for its next owner to find out
    this.isDropped = true;
    if (handed.occupants.length > 0) await this.rows.park({ occupants: handed.occupants, at: this.ports.now() });
    return handed;
  }

  /** Somebody else has it: nothing is written or said any more. */
  drop(): void {
    this.isDropped = true;
  }

  /** Nobody is in it, and nothing under way. */
  get isIdle(): boolean {
    const { room } = this;
    return this.making === undefined && (room === undefined || (room.occupants.size === 0 && room.isQuiet));
  }

  /** Says again who is here, for the next owner after a crash; as soon as it is known that the room is this node's. */
  async shareAgain(): Promise<void> {
    if (!(await this.rows.isOurs())) return;
    for (const occupant of this.room?.occupants.values() ?? []) {
      for (const device of occupant.devices) this.rows.saveDevice(device.jid, deviceRow(occupant, device));
    }
  }

  private take(stanza: Stanza, bringer: Bringer): MaybePromise<void> {
    if (this.making !== undefined) return this.making.then(() => this.take(stanza, bringer));
    const { room } = this;
    try {
      const done =
        room === undefined || room.isOver
          ? this.withoutRoom(stanza, bringer)
          : room.run(() => (room.isOver ? this.take(stanza, bringer) : arrive(room, stanza, bringer)));
      return isPromise(done) ? done.catch((error: unknown) => this.turnDown(stanza, error)) : undefined;
    } catch (error) {
      this.turnDown(stanza, error);
    }
  }

  private withoutRoom(stanza: Stanza, bringer: Bringer): MaybePromise<void> {
    const { el: element, from, to, type } = stanza;
    // whoever leaves, and what answers, needs no room
    const isAsking = stanza.kind === 'presence' ? type === 'available' : type !== 'error' && type !== 'result';
    if (!isAsking) return;
    if (stanza.kind === 'iq' && stanza.type === 'set' && isOperator(from, to.domain))
      return this.makeEmpty(stanza, bringer);
    const { gone } = this.rows;
    if (gone !== undefined && mayFollow(gone, from)) throw goneError(gone);
    if (stanza.kind !== 'presence') throw new StanzaError('item-not-found', 'there is no such room');
    checkNick(this.jid, to.resource);
    if (isEntering(element)) {
      // the name waits for those who are told where the room is
      if (gone !== undefined) throw new StanzaError('not-allowed', 'no room may be made under this name');
      return this.make(stanza, bringer);
    }
    this.ports.send(notInside(this.jid, to.resource), to, from);
  }

  /** 10.1.1: entering a room that is not there makes one, which is locked until its owner has configured it. */
  private make(stanza: Stanza, bringer: Bringer): MaybePromise<void> {
    const { hooks } = this.ports;
    const creator = stanza.from;
    const event = { room: this.jid, creator, config: plainConfig };
    // read at the same time as what modules want to know
    const tooMany = this.refusalOfMore(creator);
    // (where a module refuses, nobody asks)
    if (isPromise(tooMany)) tooMany.catch(() => {});
    const made = andThen(hooks.gate(roomCreating, event), (verdict) => {
      if (verdict instanceof StanzaError) throw verdict;
      if (verdict !== undefined) return;
      return andThen(tooMany, (refusal) => {
        if (refusal !== undefined) throw refusal;
        return this.begin(event.config, stanza, bringer);
      });
    });
    if (!isPromise(made)) return;
    const over = (): void => {
      this.making = undefined;
    };
    this.making = made.then(over, over);
    return made;
  }

  /** An operator makes a room by configuring it; where it has gone elsewhere, it is here again. */
  private makeEmpty(stanza: Stanza, bringer: Bringer): MaybePromise<void> {
    if (stanza.kind !== 'iq' || stanza.payload?.getChild('x', NS.dataForms) === undefined) {
      throw new StanzaError('item-not-found', 'there is no such room');
    }
    const state = { config: plainConfig, createdAt: this.ports.now(), isLocked: true, affiliations: new Map() };
    const room = new Room(this.jid, state, this.ports);
    this.room = room;
    if (this.rows.gone !== undefined) bringer.keep(this.rows.saveGone(undefined));
    const made = room.run(() => arrive(room, stanza, bringer));
    // what is refused has made nothing
    const end = (): void => {
      if (room.isLocked) room.isOver = true;
    };
    return isPromise(made) ? made.finally(end) : end();
  }

  /** For who has made as many rooms as may be. */
  private refusalOfMore(creator: Jid): MaybePromise<StanzaError | undefined> {
    const { mostOwned, stores } = this.parts;
    if (mostOwned === 0) return undefined;
    return andThen(stores.memberships.all(creator.withResource('').bare), (all) => {
      let owned = 0;
      for (const { affiliation } of all.values()) if (affiliation === 'owner') owned++;
      if (owned < mostOwned) return undefined;
      return new StanzaError('not-allowed', `nobody may make more than ${mostOwned} rooms`);
    });
  }

  private begin(config: typeof plainConfig, { from, to, el: presence }: Stanza, bringer: Bringer): MaybePromise<void> {
    const owner = from.withResource('').bare;
    const row: AffiliationRow = { affiliation: 'owner', at: this.ports.now() };
    const state = { config, createdAt: this.ports.now(), isLocked: true, affiliations: new Map([[owner, row]]) };
    const room = new Room(this.jid, state, this.ports);
    this.room = room;
    const stored = Promise.all([room.save(), this.rows.saveAffiliations(new Map([[owner, row]]))]);
    bringer.keep(stored);
    // a room that is nowhere is none
    stored.catch(() => void room.run(() => this.unmake(room)));
    this.ports.hooks.notify(roomCreated, { room, creator: from });
    // refused after all: nothing is left of it
    const end = (): void => vanishIfEmpty(room);
    try {
      const inside = room.run(() => enter(room, from, to.resource, presence, bringer.life, true));
      return isPromise(inside) ? inside.finally(end) : undefined;
    } catch (error) {
      end();
      throw error;
    }
  }

  private unmake(room: Room): void {
    if (room.isOver) return;
    evictAll(room, { codes: [333] });
    this.ports.background(endRoom(room, false), 'removing a room that could not be stored');
  }

  private async lookFor(room: Room, devices: readonly Device[]): Promise<void> {
    for (const device of devices) {
      const fate = await this.fateOf(device);
      if (this.isGone(room)) return;
      if (fate !== 'gone' && fate !== 'succeeded') continue;
      await room.run(() => (this.isGone(room) ? undefined : removeGhost(room, device, fate === 'succeeded')));
    }
  }

  private isGone(room: Room): boolean {
    return this.isDropped || room.isOver;
  }

  /** Its server tells where it is gone. */
  private ask(device: Jid): void {
    const ping = el('ping', NS.ping);
    const iq = el('iq', null, { type: 'get', id: this.ports.newId(), from: this.jid.full }, ping);
    this.ports.send(iq, this.jid, device);
  }

  private turnDown(stanza: Stanza, error: unknown): void {
    if (stanza.kind !== 'message') {
      this.refuse(stanza, error);
      return;
    }
    const { condition, text, type, extra, content } = this.explain(error);
    throw new StanzaError(condition, text, {
      type,
      ...(extra !== undefined && { extra }),
      ...(content !== undefined && { content }),
      by: this.jid.full,
    });
  }

  private refuse({ el: element, from, to }: Stanza, error: unknown): void {
    const explained = this.explain(error);
    const reply = errorReply(element, to.full, from.full, explained, this.jid.full);
    if (reply === undefined) return;
    // 8.4: "along with the offending item(s)"
    const changes = explained.condition === 'not-allowed' ? element.getChild('query', NS.mucAdmin) : undefined;
    this.ports.send(
      changes === undefined ? reply : el(reply.name, null, reply.attrs, changes, ...reply.children),
      to,
      from,
    );
  }

  /** Never more than the condition when the fault is ours. */
  private explain(error: unknown): StanzaError {
    if (error instanceof StanzaError) return error;
    if (error instanceof StorageUnavailable) return new StanzaError('resource-constraint', undefined, { type: 'wait' });
    this.parts.fault(error);
    return new StanzaError('internal-server-error');
  }
}

function devicesOf(room: Room): readonly Device[] {
  return [...room.occupants.values()].flatMap(({ devices }) => devices);
}
