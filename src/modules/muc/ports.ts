// What a room needs of the world: where its stanzas and its rows go, what time it is, and who listens to its hooks. The engine knows
// nothing else, so that it runs in a test as it does in the server.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Collect, Gate, Notify } from '../../core/hooks.ts';
import type { LeasedHooks } from '../../core/leased.ts';
import type { IqHandler } from '../../core/module.ts';
import type { Element } from '../../xml/element.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { IqType } from '../../xmpp/stanza.ts';
import type { AffiliationRow, GoneRow, OccupantRow, RoomRow } from './rows.ts';

/** The hooks of the host, for as long as the room is this node's. */
export interface RoomHooks extends LeasedHooks {
  listens(hook: Gate<never> | Collect<never> | Notify<never>): boolean;
}

/** The stores; each write looks first whether the room is still this node's, and rejects when it is not. */
export interface RoomRows {
  /** `undefined` removes. */
  saveRoom(row: RoomRow | undefined): Promise<void>;
  /** The rows of the room, all or none; then those of the people (except for domains): what somebody has to do with which rooms. */
  saveAffiliations(rows: ReadonlyMap<BareJid, AffiliationRow | undefined>): Promise<void>;
  /** Up to where in the room's archive a person has read (`at`, in milliseconds since 1970); nobody reads backwards. */
  saveRead(person: BareJid, id: string, at: number): Promise<void>;
  /** Where the room goes on when it is over (10.9). */
  saveGone(row: GoneRow): Promise<void>;
  /** What modules keep of the room in stores of their own; `work` writes it. */
  write(work: () => Promise<unknown>): Promise<void>;
  /** The list of devices that outlives a crash. Nobody waits for it. */
  saveDevice(device: Jid, row: OccupantRow | undefined): void;
}

export interface RoomPorts {
  readonly hooks: RoomHooks;
  readonly rows: RoomRows;
  /** Occupants that any room of the host may have, at most. */
  readonly mostOccupants: number;
  /** Nothing where the room is certainly this node's; else resolves in the turn in which it is, or rejects because it has gone. */
  ours(): MaybePromise<void>;
  /** Milliseconds since 1970. */
  now(): number;
  /** An id for a stanza that the room makes, never the same twice. */
  newId(): string;
  /**
   * One element, which has its `from` and no `to`, to full JIDs. What a room says this way arrives in order, whoever it is for. What
   * cannot be delivered comes back to the room. When what is returned is settled, it is before whatever is sent from then on.
   */
  multicast(element: Element, from: Jid, to: readonly Jid[]): MaybePromise<void>;
  /** One element to one address; `to` is set on it here. */
  send(element: Element, from: Jid, to: Jid): void;
  /** The same; it is on its way when what is returned is settled. */
  answer(element: Element, from: Jid, to: Jid): MaybePromise<void>;
  /** Who answers such requests to a room. */
  handler(type: IqType, ns: string | null, name: string): IqHandler | undefined;
  /** Work that nobody waits for: its failure is logged. */
  background(work: Promise<unknown>, what: string): void;
}
