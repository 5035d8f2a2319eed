// What is taken back in a room leaves a tombstone in its archive: by whoever said it (XEP-0424), under whatever nick, or by a moderator.
import { defineService } from '../../core/module.ts';
import type { Archived, ArchiveStore, Unread } from '../../storage/ports.ts';
import { parseElement } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import type { BareJid } from '../../xmpp/jid.ts';
import { bury, isBeyondRetraction, retractedElement } from '../mam/retract.ts';
import type { Room } from '../muc/room.ts';
import { isIdentity, speakerOf } from './said.ts';

/** The archives of rooms, for what others do with messages that were said. */
export interface RoomArchive {
  /** What may be taken back of what was said in a room, by its id there; undefined where there is no such message, or nothing left of it. */
  find(room: Room, id: string): Promise<Element | undefined>;
  /** How many messages there are to read in many rooms, up to `most` in each. */
  unread(asked: readonly Unread[], most: number): Promise<readonly number[]>;
  /** Puts a tombstone in the place of a message and its corrections. */
  retract(room: Room, id: string, what: Retracted): Promise<void>;
}
export const roomArchive = defineService<RoomArchive>('room-archive');

export interface Retracted {
  /** The `id` of the message that says so. */
  readonly by: string;
  /** When, in milliseconds since 1970. */
  readonly at: number;
  /** What else there is to say of it. */
  readonly more?: readonly Element[];
}

export class Graves implements RoomArchive {
  private readonly store: ArchiveStore;
  private readonly buried: (message: Element, by: string, place: BareJid) => void;

  /** @param buried is told of each message that is gone, and who had said it in which room */
  constructor(store: ArchiveStore, buried: (message: Element, by: string, place: BareJid) => void) {
    this.store = store;
    this.buried = buried;
  }

  async find(room: Room, id: string): Promise<Element | undefined> {
    const found = await this.entry(room, id);
    const message = found && parseElement(found.xml);
    return message === undefined || isBeyondRetraction(message) ? undefined : message;
  }

  unread(asked: readonly Unread[], most: number): Promise<readonly number[]> {
    return this.store.unread(asked, most);
  }

  async retract(room: Room, id: string, what: Retracted): Promise<void> {
    const found = await this.entry(room, id);
    if (found !== undefined) await this.replace(room, found, speakerOf(parseElement(found.xml)), what);
  }

  /** XEP-0424 5: somebody takes back something, which is called by its id here, or by one of its sender's. */
  async retractOwn(room: Room, speaker: BareJid, name: string, what: Retracted): Promise<void> {
    const found =
      (await this.entry(room, name)) ??
      (await this.store.lookup(room.jid.local, { with: speaker, ref: { sender: speaker, id: name } }));
    if (found === undefined || found.at < room.createdAt) return;
    if (speakerOf(parseElement(found.xml)) === speaker) await this.replace(room, found, speaker, what);
  }

  private async entry(room: Room, id: string): Promise<Archived | undefined> {
    const page = await this.store.find(room.jid.local, { ids: [id], start: room.createdAt, limit: 1 });
    return page?.entries[0];
  }

  private async replace(room: Room, found: Archived, speaker: string | undefined, what: Retracted): Promise<void> {
    await room.ports.ours();
    const sender = speaker ?? room.jid.bare;
    await bury(this.store, room.jid.local, found, {
      with: sender,
      sender,
      senderOf: speakerOf,
      stone: retractedElement(what.by, what.at, ...(what.more ?? [])),
      isKept: isIdentity,
      buried: (message) => this.buried(message, sender, room.jid.bare),
    });
  }
}
