// What a room needs of the world: where its stanzas and its rows go, what time it is, and who listens to its hooks. The engine knows
// nothing else, so that it runs in a test as it does in the server.
import type { Host } from '../../core/host.ts';
import type { Element } from '../../xml/element.ts';
import type { BareJid, Jid } from '../../xmpp/jid.ts';
import type { AffiliationRow, MembershipRow, OccupantRow, RoomRow } from './rows.ts';

/** The hooks of the host, in `hooks.ts`. */
export type RoomHooks = Pick<Host, 'gate' | 'collect' | 'notify' | 'listens'>;

/** The stores; each write looks first whether the room is still this node's, and rejects when it is not. */
export interface RoomRows {
  /** `undefined` removes. */
  saveRoom(row: RoomRow | undefined): Promise<void>;
  saveAffiliation(jid: BareJid, row: AffiliationRow | undefined): Promise<void>;
  /** What a person has to do with this room: the row of that account; no rows are written for bans of domains. */
  saveMembership(jid: BareJid, row: MembershipRow | undefined): Promise<void>;
  /** The occupants' list that outlives a crash. Nobody waits for it. */
  saveOccupant(device: string, row: OccupantRow | undefined): void;
}

export interface RoomPorts {
  readonly hooks: RoomHooks;
  readonly rows: RoomRows;
  /** Milliseconds since 1970. */
  now(): number;
  /** An id of a stanza that the room makes: short, and never the same twice. */
  newId(): string;
  /** One element, without `to`, to many full JIDs. */
  multicast(element: Element, from: Jid, to: Iterable<Jid>): void;
  /** One element to one address; `from` and `to` are set on it. Errors come back to the room as stanzas. */
  send(element: Element, from: Jid, to: Jid): void;
  /** Work that nobody waits for: its failure is logged. */
  background(work: Promise<unknown>, what: string): void;
}
