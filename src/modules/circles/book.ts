// Circles, as they are stored and changed. The row is changed first, in one step with all nodes; what follows from it (contacts, affiliations,
// bookmarks) may be done again, and is done again when somebody is added who is in already.
import { randomBytes } from 'node:crypto';
import { type AdminCircles, type Circle, type CircleChat, CircleRefusal } from '../../core/circles.ts';
import type { AdminRooms } from '../../core/commands.ts';
import type { MapStore } from '../../storage/ports.ts';
import { el } from '../../xml/element.ts';
import { Jid, prepareLocal } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import type { PersonalNodes } from '../pep/service.ts';
import type { Subscribing } from '../presence/subscriptions.ts';
import type { Roster } from '../roster/index.ts';

/** As stored, by id. */
export type CircleRow = Omit<Circle, 'id'>;

/** The rooms of a domain. */
export interface Rooms {
  readonly domain: string;
  readonly admin: AdminRooms;
}

export interface CirclesParts {
  readonly domain: string;
  readonly rows: MapStore<CircleRow>;
  readonly exists: (user: string) => boolean | Promise<boolean>;
  readonly roster: Roster;
  readonly subscribing: Subscribing;
  readonly pep: () => PersonalNodes | undefined;
  /** Undefined where there are none. */
  readonly rooms: () => Promise<Rooms | undefined>;
  /** People of one circle, and circles of one host, at most. */
  readonly most: { readonly members: number; readonly circles: number };
}

/** All of a host have it as owner. */
const HOST = '';
const LONGEST_NAME = 200;
const MOST_CHATS = 50;
const ID = /^[a-z0-9]{12}$/;
const newId = (): string => randomBytes(8).toString('hex').slice(0, 12);
const byName = (a: Circle, b: Circle): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : a.id < b.id ? -1 : 1);

export class Circles implements AdminCircles {
  private readonly parts: CirclesParts;

  constructor(parts: CirclesParts) {
    this.parts = parts;
  }

  async list(): Promise<readonly Circle[]> {
    return [...(await this.parts.rows.all(HOST))].map(([id, row]) => ({ ...row, id })).sort(byName);
  }

  async show(id: string): Promise<Circle | undefined> {
    const row = ID.test(id) ? await this.parts.rows.get(HOST, id) : undefined;
    return row && { ...row, id };
  }

  async create(name: string): Promise<Circle> {
    const all = await this.parts.rows.all(HOST);
    if (all.size >= this.parts.most.circles)
      throw new CircleRefusal('too-many', `there are ${all.size} circles already`);
    const [id, row] = [newId(), { name: checked(name), members: [], chats: [] }];
    await this.parts.rows.set(HOST, id, row);
    return { ...row, id };
  }

  rename(id: string, name: string): Promise<Circle> {
    const called = checked(name);
    return this.change(id, (row) => ({ ...row, name: called }));
  }

  async remove(id: string): Promise<void> {
    const { chats } = await this.need(id);
    // the rooms first: without the circle nobody would know of them
    for (const { id: chat } of chats) await this.removeChat(id, chat);
    await this.parts.rows.set(HOST, id, undefined);
  }

  async add(id: string, given: string): Promise<Circle> {
    const user = prepareLocal(given);
    if (user === undefined || !(await this.parts.exists(user))) {
      throw new CircleRefusal('no-account', `there is no account ${given}@${this.parts.domain}`);
    }
    const { members: most } = this.parts.most;
    const circle = await this.change(id, (row) => {
      if (row.members.includes(user)) return row;
      if (row.members.length >= most) throw new CircleRefusal('too-many', `a circle has ${most} members at most`);
      return { ...row, members: [...row.members, user].sort() };
    });
    for (const other of circle.members) if (other !== user) await this.acquaint(user, other, circle.name);
    for (const chat of circle.chats) await this.letIn(chat, [user]);
    return circle;
  }

  async drop(id: string, given: string): Promise<Circle> {
    const user = prepareLocal(given) ?? given;
    const circle = await this.change(id, (row) => ({ ...row, members: row.members.filter((one) => one !== user) }));
    for (const chat of circle.chats) await this.putOut(chat, [user]);
    return circle;
  }

  /** An account is about to go: it is in no circle any more. Its rooms forget it by themselves. */
  async forget(user: string): Promise<void> {
    for (const { id, members } of await this.list()) {
      if (members.includes(user))
        await this.change(id, (row) => ({ ...row, members: row.members.filter((one) => one !== user) }));
    }
  }

  async addChat(id: string, given: string): Promise<CircleChat> {
    const name = checked(given);
    const before = await this.need(id);
    if (before.chats.length >= MOST_CHATS)
      throw new CircleRefusal('too-many', `a circle has ${MOST_CHATS} rooms at most`);
    const rooms = await this.rooms();
    const room = newId();
    const chat: CircleChat = { id: room, jid: `${room}@${rooms.domain}`, name };
    // first in the list: a room that there is not can be removed, one that nobody knows of cannot
    const circle = await this.change(id, (row) => ({ ...row, chats: [...row.chats, chat] }));
    await rooms.admin.create(room, {
      roomname: [name],
      publicroom: ['0'],
      membersonly: ['1'],
      allowinvites: ['0'],
      moderatedroom: ['0'],
      whois: ['anyone'],
    });
    await this.letIn(chat, circle.members);
    return chat;
  }

  async removeChat(id: string, chat: string): Promise<void> {
    const circle = await this.need(id);
    const found = circle.chats.find((one) => one.id === chat);
    if (found === undefined) throw new CircleRefusal('no-chat', `the circle has no room ${chat}`);
    await this.forgetChat(found, circle.members);
    await (await this.rooms()).admin.destroy(chat, { reason: 'the circle has this room no more' });
    await this.change(id, (row) => ({ ...row, chats: row.chats.filter((one) => one.id !== chat) }));
  }

  /** Each sees the other, and has them in a group that is called as the circle is. */
  private async acquaint(one: string, other: string, group: string): Promise<void> {
    const { roster, subscribing } = this.parts;
    const [a, b] = [this.jidOf(one), this.jidOf(other)];
    for (const [account, contact] of [
      [a, b],
      [b, a],
    ] as const) {
      await subscribing.approve(account, contact);
      await subscribing.request(contact, account);
    }
    for (const [account, contact] of [
      [a, b],
      [b, a],
    ] as const) {
      const item = await roster.get(account.local, contact.bare);
      const groups = item?.groups ?? [];
      if (!groups.includes(group)) await roster.set(account, contact, item?.name, [...groups, group]);
    }
  }

  private async letIn({ id, jid, name }: CircleChat, users: readonly string[]): Promise<void> {
    if (users.length === 0) return;
    const rooms = await this.rooms();
    await rooms.admin.affiliate(id, new Map(users.map((user) => [this.jidOf(user).bare, 'member'])));
    const conference = el('conference', NS.bookmarks, { name, autojoin: 'true' });
    for (const user of users) await this.parts.pep()?.publish(user, NS.bookmarks, conference, { id: jid });
  }

  private async putOut(chat: CircleChat, users: readonly string[]): Promise<void> {
    const rooms = await this.rooms();
    await rooms.admin.affiliate(chat.id, new Map(users.map((user) => [this.jidOf(user).bare, 'none'])));
    await this.forgetChat(chat, users);
  }

  private async forgetChat({ jid }: CircleChat, users: readonly string[]): Promise<void> {
    for (const user of users) {
      const [item] = (await this.parts.pep()?.items(user, NS.bookmarks, { ids: [jid] })) ?? [];
      if (item !== undefined) await this.parts.pep()?.retract(user, NS.bookmarks, [jid]);
    }
  }

  private async rooms(): Promise<Rooms> {
    const rooms = await this.parts.rooms();
    if (rooms === undefined) throw new CircleRefusal('no-rooms', `${this.parts.domain} has no rooms`);
    return rooms;
  }

  private async need(id: string): Promise<Circle> {
    const circle = await this.show(id);
    if (circle === undefined) throw noCircle(id);
    return circle;
  }

  private async change(id: string, change: (row: CircleRow) => CircleRow): Promise<Circle> {
    const row = ID.test(id) ? await this.parts.rows.update(HOST, id, (old) => old && change(old)) : undefined;
    if (row === undefined) throw noCircle(id);
    return { ...row, id };
  }

  private jidOf(user: string): Jid {
    return Jid.of(user, this.parts.domain);
  }
}

const noCircle = (id: string): CircleRefusal => new CircleRefusal('no-circle', `there is no circle ${id}`);

/** @throws CircleRefusal */
function checked(name: string): string {
  const text = name.trim();
  if (text === '' || text.length > LONGEST_NAME)
    throw new CircleRefusal('bad-name', `a name has 1 to ${LONGEST_NAME} characters`);
  return text;
}
