// The administrative commands for rooms (XEP-0045).
import { z } from 'zod';
import { jid } from '../config/schema.ts';
import { split, table } from './admin-common.ts';
import { type AdminContext, type AdminRooms, CommandError, defineCommand } from './commands.ts';

const room = jid().describe('The room, as name@groups.domain');

/** @throws CommandError `not-found` for a domain that has no rooms, `refused` for what the room refuses */
async function withRooms<T>(
  context: AdminContext,
  domain: string,
  work: (rooms: AdminRooms) => Promise<T>,
): Promise<T> {
  const rooms = await context.roomsOf(domain);
  if (rooms === undefined) {
    const known = context.rooms.length === 0 ? 'there are none' : `they are at ${context.rooms.join(', ')}`;
    throw new CommandError('not-found', `there are no rooms at ${domain}; ${known}`);
  }
  try {
    return await work(rooms);
  } catch (error) {
    if (error instanceof Error && error.name === 'RoomRefusal') throw new CommandError('refused', error.message);
    throw error;
  }
}

const missing = (address: string): CommandError => new CommandError('not-found', `there is no room ${address}`);

const list = defineCommand({
  name: 'room ls',
  readOnly: true,
  summary: 'List the rooms, hidden ones too',
  args: z.strictObject({ domain: z.string().optional().describe('The domain they are at; all, unless said') }),
  async run(context, { domain }) {
    const domains = domain === undefined ? context.rooms : [domain];
    const all = await Promise.all(domains.map((one) => withRooms(context, one, (rooms) => rooms.list())));
    return { rooms: all.flat() };
  },
  render: ({ rooms }) =>
    rooms.length === 0
      ? 'there are no rooms'
      : table(
          ['room', 'name', 'listed', 'entry', 'kept'],
          rooms.map(({ jid: address, name, public: isPublic, membersOnly, persistent }) => [
            address,
            name,
            isPublic ? 'yes' : 'no',
            membersOnly ? 'members' : 'open',
            persistent ? 'yes' : 'no',
          ]),
        ),
});

const show = defineCommand({
  name: 'room show',
  readOnly: true,
  summary: 'Show what a room is',
  args: z.strictObject({ jid: room }),
  async run(context, args) {
    const { user, host } = split(args.jid);
    const found = await withRooms(context, host, (rooms) => rooms.show(user));
    if (found === undefined) throw missing(args.jid);
    return found;
  },
  render: ({ jid: address, occupants, subject, settings }) =>
    table(
      ['room', address],
      [
        ['occupants', String(occupants)],
        ...(subject === undefined ? [] : [['subject', subject]]),
        ...Object.entries(settings).map(([name, values]) => [name, values.join(', ')]),
      ],
    ),
});

const settings = z
  .array(z.string().regex(/^[^=]+=/, 'Write name=value, such as roomname=Kitchen'))
  .prefault([])
  .describe('Settings as name=value, by the names that "room show" shows; several values are parted by commas');

/** Lists are written with commas. */
const lists: ReadonlySet<string> = new Set(['roomowners', 'roomadmins', 'presencebroadcast']);

function parsed(given: readonly string[]): Record<string, readonly string[]> {
  return Object.fromEntries(
    given.map((text) => {
      const at = text.indexOf('=');
      const [name, value] = [text.slice(0, at), text.slice(at + 1)];
      return [name, lists.has(name) ? value.split(',').filter((one) => one !== '') : [value]];
    }),
  );
}

const create = defineCommand({
  name: 'room create',
  summary: 'Make a room that stays',
  args: z.strictObject({ jid: room, owner: jid().describe('Whose it is'), settings }),
  async run(context, args) {
    const { user, host } = split(args.jid);
    const wanted = { ...parsed(args.settings), roomowners: [args.owner] };
    const isMade = await withRooms(context, host, (rooms) => rooms.create(user, wanted));
    if (!isMade) throw new CommandError('exists', `there is a room ${args.jid} already`);
    return { jid: args.jid, owner: args.owner };
  },
  render: (result) => `${result.jid} is there now, and ${result.owner} owns it`,
});

const set = defineCommand({
  name: 'room set',
  summary: 'Change the settings of a room',
  args: z.strictObject({ jid: room, settings }),
  async run(context, args) {
    const { user, host } = split(args.jid);
    if (args.settings.length === 0) throw new CommandError('bad-arguments', 'room set: nothing is to be set');
    if (!(await withRooms(context, host, (rooms) => rooms.set(user, parsed(args.settings))))) throw missing(args.jid);
    return { jid: args.jid };
  },
  render: (result) => `${result.jid} is changed`,
});

const destroy = defineCommand({
  name: 'room destroy',
  summary: 'Remove a room, with everybody in it',
  args: z.strictObject({
    jid: room,
    venue: jid().optional().describe('A room to go to instead'),
    reason: z.string().optional().describe('Told to those who are in it'),
  }),
  async run(context, { jid: address, venue, reason }) {
    const { user, host } = split(address);
    if (!(await withRooms(context, host, (rooms) => rooms.destroy(user, { venue, reason })))) throw missing(address);
    return { jid: address };
  },
  render: (result) => `${result.jid} is gone`,
});

export const roomCommands = [list, show, create, set, destroy];
