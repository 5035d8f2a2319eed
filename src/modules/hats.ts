// XEP-0317: Hats. Admins of a room make hats, and give them to people, who wear them in their presence; beside `<x/>`, where clients expect
// nothing but XEP-0045. By ad-hoc commands (XEP-0050) of the room. What somebody sends of the kind themselves is taken out by the room.
//
// - 4.3: the form that destroys a hat calls it `hats#uri`, as what is submitted does in the example, and as the registry has it.
// - 4.1 MAY: a hat does not say in which language its title is, and there is nothing in it.
import { createHash } from 'node:crypto';
import { type Command, type CommandResult, defineModule, type IqRequest, on } from '../core/module.ts';
import { map, type Opened } from '../storage/specs.ts';
import { type Element, el } from '../xml/element.ts';
import {
  choiceField,
  type Field,
  type Fields,
  type Form,
  formElement,
  jidField,
  readForm,
  tableElement,
  textField,
} from '../xmpp/dataform.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { BareJid, Jid } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';
import { isAtLeast } from './muc/associations.ts';
import { announce } from './muc/fan-out.ts';
import { roomDestroyed, roomInfo, roomOpening, roomPresence } from './muc/hooks.ts';
import { showPresence } from './muc/presence.ts';
import { roomOf } from './muc/request.ts';
import type { Room } from './muc/room.ts';
import { defineRoomSlot } from './muc/slots.ts';

interface Hat {
  readonly title: string;
  /** An angle on the wheel of colours, in degrees; `''`: none. */
  readonly hue: string;
}

/** Hats in a room. */
const MOST_HATS = 100;
/** Hats that one person wears. */
const MOST_WORN = 20;
/** UTF-16 units. */
const LONGEST_TITLE = 100;
const LONGEST_URI = 1024;

/** The owner is the room's localpart. */
const stores = {
  /** By their URIs. */
  hats: map<Hat>(),
  /** The URIs of what somebody wears, by bare JID. */
  worn: map<readonly string[]>(),
};
type Stores = Opened<typeof stores>;

/** What there is in a room, and who wears it. */
interface Wardrobe {
  readonly hats: Map<string, Hat>;
  readonly worn: Map<BareJid, readonly string[]>;
}
const wardrobe = defineRoomSlot<Wardrobe>('hats');

export default defineModule({
  xeps: ['XEP-0317 0.3.1'],
  summary: 'Lets people in rooms wear hats',
  hosts: ['rooms'],
  stores,

  setup: ({ stores }) => ({
    commands: [
      command(
        'create',
        'Create or change a hat',
        isAdmin,
        () => createForm,
        (request, x) => create(stores, request, x!),
      ),
      command('destroy', 'Destroy a hat', isAdmin, destroyForm, (request, x) => destroy(stores, request, x!)),
      command('list', 'List hats', isInside, undefined, list),
      command('assign', 'Assign a hat', isAdmin, assignForm, (request, x) => assign(stores, request, x!)),
      command('unassign', 'Remove a hat', isAdmin, unassignForm, (request, x) => unassign(stores, request, x!)),
      command('list-assigned', 'List assigned hats', maySeeJids, undefined, listAssigned),
    ],
    handlers: [
      on(roomOpening, async ({ room }) => {
        const key = room.jid.local;
        const [hats, worn] = await Promise.all([stores.hats.all(key), stores.worn.all(key)]);
        if (hats.size === 0) return;
        room.set(wardrobe, { hats: new Map(hats), worn: new Map(worn as ReadonlyMap<BareJid, readonly string[]>) });
      }),
      on(roomPresence, ({ room, occupant, isLeaving, children }) => {
        const own = isLeaving ? undefined : room.get(wardrobe);
        const worn = own?.worn.get(occupant.bare);
        if (own !== undefined && worn !== undefined) children.push(hatsElement(own, worn));
      }),
      on(roomInfo, ({ context, features, fields, values }) => {
        features.push(NS.hats);
        const { hats } = wardrobeOf(context.room);
        if (hats.size === 0) return;
        fields['hats#hash'] = textField('Hats hash');
        values['hats#hash'] = hashOf(hats);
      }),
      on(roomDestroyed, ({ room }) => {
        const { hats, worn } = wardrobeOf(room);
        const key = room.jid.local;
        return room.ports.rows.write(() =>
          Promise.all([
            ...[...hats.keys()].map((uri) => stores.hats.set(key, uri, undefined)),
            ...[...worn.keys()].map((person) => stores.worn.set(key, person, undefined)),
          ]),
        );
      }),
    ],
  }),
});

function command(
  name: string,
  title: string,
  mayRun: Command['mayRun'],
  form: ((room: Room) => Form<Fields>) | undefined,
  run: Command['run'],
): Command {
  return {
    target: 'room',
    node: `${NS.hatCommands}:${name}`,
    name: title,
    mayRun,
    ...(form && { form: (request: IqRequest) => formElement(form(roomOf(request).room)) }),
    run,
  };
}

function isAdmin(request: IqRequest): boolean {
  return isAtLeast(roomOf(request).affiliation, 'admin');
}

/** Who is in the room sees hats anyway. */
function isInside(request: IqRequest): boolean {
  const { occupant, affiliation } = roomOf(request);
  return occupant !== undefined || isAtLeast(affiliation, 'member');
}

function maySeeJids(request: IqRequest): boolean {
  return isAdmin(request) || (isInside(request) && roomOf(request).room.config.whois === 'anyone');
}

function wardrobeOf(room: Room): Wardrobe {
  const found = room.get(wardrobe) ?? { hats: new Map(), worn: new Map() };
  room.set(wardrobe, found);
  return found;
}

const title = textField('Hat Title', { required: true });
const uri = textField('Hat URI', { required: true });
const hue = textField('Hat Hue');
const person = jidField('User Address', { required: true });

const createForm = {
  formType: NS.hatCommands,
  title: 'Creating a Hat',
  instructions: 'Fill out this form to create a hat, or to change the one with that URI.',
  fields: { 'hats#title': title, 'hats#uri': uri, 'hats#hue': hue },
} as const;

/** One of the hats that there are. */
function hatField(room: Room): Field<string> {
  const hats = [...wardrobeOf(room).hats].map(([name, hat]) => [name, hat.title] as const);
  return choiceField<string>('The hat', Object.fromEntries(hats), { required: true });
}

function destroyForm(room: Room) {
  return {
    formType: NS.hatCommands,
    title: 'Destroying a Hat',
    instructions: 'Fill out this form to destroy a hat.',
    fields: { 'hats#uri': hatField(room) },
  };
}

function assignForm(room: Room) {
  return {
    formType: NS.hatCommands,
    title: 'Assigning a Hat',
    instructions: 'Fill out this form to assign a hat.',
    fields: { 'hats#jid': person, 'hats#uri': hatField(room) },
  };
}

function unassignForm(room: Room) {
  return { ...assignForm(room), title: 'Removing a Hat', instructions: 'Fill out this form to remove a hat.' };
}

/** 4.2. */
async function create({ hats: store }: Stores, request: IqRequest, x: Element): Promise<void> {
  const { room } = roomOf(request);
  const { 'hats#title': text = '', 'hats#uri': name = '', 'hats#hue': angle = '' } = readForm(createForm, x);
  const hat: Hat = { title: text.trim(), hue: angle.trim() };
  if (hat.title === '' || hat.title.length > LONGEST_TITLE) throw unfit(title, 'that is no title');
  if (name.length > LONGEST_URI || !/^[a-z][a-z0-9+.-]*:[^\s<>"]+$/i.test(name)) throw unfit(uri, 'that is no URI');
  if (hat.hue !== '' && !(/^\d+(\.\d+)?$/.test(hat.hue) && Number(hat.hue) <= 360)) {
    throw unfit(hue, 'that is no angle between 0 and 360');
  }
  const { hats, worn } = wardrobeOf(room);
  if (!hats.has(name) && hats.size >= MOST_HATS)
    throw new StanzaError('resource-constraint', 'there are too many hats');
  await room.ports.rows.write(() => store.set(room.jid.local, name, hat));
  hats.set(name, hat);
  const wearers = [...worn].flatMap(([bare, names]) => (names.includes(name) ? bare : []));
  request.afterReply(() => tellOfHats(room, wearers, true));
}

/** 4.3: it is gone for all who wear it. */
async function destroy({ hats: store, worn: wornStore }: Stores, request: IqRequest, x: Element): Promise<void> {
  const { room } = roomOf(request);
  const name = readForm(destroyForm(room), x)['hats#uri']!;
  const { hats, worn } = wardrobeOf(room);
  const key = room.jid.local;
  const left = new Map<BareJid, readonly string[] | undefined>();
  for (const [bare, names] of worn) if (names.includes(name)) left.set(bare, without(names, name));
  await room.ports.rows.write(async () => {
    await Promise.all([...left].map(([bare, names]) => wornStore.set(key, bare, names)));
    await store.set(key, name, undefined);
  });
  hats.delete(name);
  for (const [bare, names] of left) put(worn, bare, names);
  request.afterReply(() => tellOfHats(room, [...left.keys()], true));
}

/** 4.4. */
function list(request: IqRequest): CommandResult {
  const rows = [...wardrobeOf(roomOf(request).room).hats].map(([name, hat]) => rowOf(name, hat));
  return { form: tableElement('Hats List', columns, rows) };
}

/** 4.5. */
async function assign({ worn: store }: Stores, request: IqRequest, x: Element): Promise<void> {
  const { room } = roomOf(request);
  const { 'hats#jid': jid, 'hats#uri': name } = readForm(assignForm(room), x);
  const { worn } = wardrobeOf(room);
  const bare = wearerOf(room, jid!);
  const names = worn.get(bare) ?? [];
  if (names.includes(name!)) return;
  if (names.length >= MOST_WORN) throw new StanzaError('resource-constraint', 'nobody wears that many hats');
  const now = [...names, name!];
  await room.ports.rows.write(() => store.set(room.jid.local, bare, now));
  worn.set(bare, now);
  request.afterReply(() => tellOfHats(room, [bare], false));
}

/** 4.6. */
async function unassign({ worn: store }: Stores, request: IqRequest, x: Element): Promise<void> {
  const { room } = roomOf(request);
  const { 'hats#jid': jid, 'hats#uri': name } = readForm(unassignForm(room), x);
  const { worn } = wardrobeOf(room);
  const bare = wearerOf(room, jid!);
  const names = worn.get(bare);
  if (names === undefined || !names.includes(name!)) return;
  const now = without(names, name!);
  await room.ports.rows.write(() => store.set(room.jid.local, bare, now));
  put(worn, bare, now);
  request.afterReply(() => tellOfHats(room, [bare], false));
}

/** 4.7. */
function listAssigned(request: IqRequest): CommandResult {
  const { hats, worn } = wardrobeOf(roomOf(request).room);
  const rows = [...worn].flatMap(([bare, names]) =>
    names.flatMap((name) => {
      const hat = hats.get(name);
      return hat === undefined ? [] : [{ 'hats#jid': bare, ...rowOf(name, hat) }];
    }),
  );
  return { form: tableElement('Assigned Hats List', { 'hats#jid': 'User Address', ...columns }, rows) };
}

const columns = { 'hats#title': 'Hat Title', 'hats#uri': 'Hat URI', 'hats#hue': 'Hat Hue' };

function rowOf(name: string, hat: Hat): Record<keyof typeof columns, string> {
  return { 'hats#title': hat.title, 'hats#uri': name, 'hats#hue': hat.hue };
}

/** Also by the occupant JID: who does not know real addresses may be an admin all the same. */
function wearerOf(room: Room, jid: Jid): BareJid {
  if (jid.bare !== room.jid.bare) return jid.withResource('').bare;
  const occupant = room.occupants.get(jid.resource);
  if (occupant === undefined) throw new StanzaError('item-not-found', 'nobody in the room has that nick');
  return occupant.bare;
}

/** 4.2 to 4.6: all who are told of presence see what somebody wears now; 104 where the list is another one. */
function tellOfHats(room: Room, wearers: readonly BareJid[], isList: boolean): void {
  if (isList) announce(room, 104);
  for (const bare of wearers) for (const occupant of room.occupantsOf(bare)) showPresence(room, occupant);
}

function hatsElement({ hats }: Wardrobe, worn: readonly string[]): Element {
  const children = worn.flatMap((name) => {
    const hat = hats.get(name);
    if (hat === undefined) return [];
    return [el('hat', NS.hats, { title: hat.title, uri: name, hue: hat.hue || undefined })];
  });
  return el('hats', NS.hats, undefined, ...children);
}

/** 3: another one when the list is another one. */
function hashOf(hats: ReadonlyMap<string, Hat>): string {
  const lines = [...hats].map(([name, hat]) => JSON.stringify([name, hat.title, hat.hue])).sort();
  return createHash('sha1').update(lines.join('\n')).digest('hex');
}

/** Undefined where nothing is left. */
function without(names: readonly string[], name: string): readonly string[] | undefined {
  const left = names.filter((one) => one !== name);
  return left.length === 0 ? undefined : left;
}

function put(worn: Wardrobe['worn'], bare: BareJid, names: readonly string[] | undefined): void {
  if (names === undefined) worn.delete(bare);
  else worn.set(bare, names);
}

function unfit({ label }: Field<string>, why: string): StanzaError {
  return new StanzaError('not-acceptable', `"${label}": ${why}`);
}
