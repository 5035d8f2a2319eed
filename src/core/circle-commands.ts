// The administrative commands for circles: people who are each other's contacts, and in rooms together.
import { z } from 'zod';
import { jid } from '../config/schema.ts';
import { split, table } from './admin-common.ts';
import { type AdminCircles, type Circle, type CircleProblem, CircleRefusal } from './circles.ts';
import { type AdminContext, CommandError, type CommandErrorCode, defineCommand } from './commands.ts';

const host = z.string().optional().describe('The domain; it may be left out where there is one');
const id = z.string().min(1).describe('Its id, as "circle ls" tells it');
const name = z.string().trim().min(1).describe('What it is called');
const member = jid().describe('The account, as name@domain');
const chat = z.string().min(1).describe('The id of the room, as "circle show" tells it');

const codes: Partial<Record<CircleProblem, CommandErrorCode>> = {
  'no-circle': 'not-found',
  'no-account': 'not-found',
  'no-chat': 'not-found',
  'bad-name': 'bad-arguments',
};

/** @throws CommandError for a domain that has no circles, where it has to be said which, and for what the work refuses */
async function within<T>(
  context: AdminContext,
  given: string | undefined,
  work: (circles: AdminCircles, domain: string) => Promise<T>,
): Promise<T> {
  const [only, ...others] = context.hosts;
  if (given === undefined && others.length > 0) {
    throw new CommandError('bad-arguments', `which domain? They are: ${context.hosts.join(', ')}`);
  }
  const domain = given ?? only ?? '';
  const circles = await context.circlesOf(domain);
  if (circles === undefined) {
    throw new CommandError('not-found', `${domain} has no circles; the domains are: ${context.hosts.join(', ')}`);
  }
  try {
    return await work(circles, domain);
  } catch (error) {
    if (!(error instanceof CircleRefusal)) throw error;
    throw new CommandError(codes[error.problem] ?? 'refused', error.message);
  }
}

const described = (domain: string, { id: its, name: called, members, chats }: Circle) => ({
  host: domain,
  id: its,
  name: called,
  members: members.map((user) => `${user}@${domain}`),
  chats,
});

const list = defineCommand({
  name: 'circle ls',
  readOnly: true,
  summary: 'List circles: people who are each other’s contacts, and in rooms together',
  args: z.strictObject({ host }),
  async run(context, args) {
    const domains = args.host === undefined ? context.hosts : [args.host];
    const found = await Promise.all(
      domains.map((one) =>
        within(context, one, async (circles) => (await circles.list()).map((circle) => described(one, circle))),
      ),
    );
    return { circles: found.flat() };
  },
  render: ({ circles }) =>
    circles.length === 0
      ? 'there are no circles'
      : table(
          ['CIRCLE', 'NAME', 'DOMAIN', 'MEMBERS', 'ROOMS'],
          circles.map((one) => [one.id, one.name, one.host, String(one.members.length), String(one.chats.length)]),
        ),
});

const show = defineCommand({
  name: 'circle show',
  readOnly: true,
  summary: 'Show who is in a circle, and its rooms',
  args: z.strictObject({ id, host }),
  run: (context, args) =>
    within(context, args.host, async (circles, domain) => {
      const circle = await circles.show(args.id);
      if (circle === undefined) throw new CircleRefusal('no-circle', `there is no circle ${args.id}`);
      return described(domain, circle);
    }),
  render: (circle) =>
    [
      `circle  ${circle.name} (${circle.id}) at ${circle.host}`,
      ...circle.members.map((one) => `member  ${one}`),
      ...circle.chats.map((one) => `room    ${one.name}: ${one.jid} (${one.id})`),
    ].join('\n'),
});

const create = defineCommand({
  name: 'circle create',
  summary: 'Make a circle',
  args: z.strictObject({ name, host }),
  run: (context, args) =>
    within(context, args.host, async (circles, domain) => described(domain, await circles.create(args.name))),
  render: (circle) => `${circle.name} is there now, as ${circle.id}`,
});

const rename = defineCommand({
  name: 'circle rename',
  summary: 'Call a circle otherwise',
  args: z.strictObject({ id, name, host }),
  run: (context, args) =>
    within(context, args.host, async (circles, domain) => described(domain, await circles.rename(args.id, args.name))),
  render: (circle) => `${circle.id} is called ${circle.name} now`,
});

const remove = defineCommand({
  name: 'circle rm',
  summary: 'Remove a circle and its rooms; its people keep one another as contacts',
  args: z.strictObject({ id, host }),
  run: (context, args) =>
    within(context, args.host, async (circles) => {
      await circles.remove(args.id);
      return { id: args.id };
    }),
  render: (result) => `${result.id} is gone`,
});

/** @throws CommandError where somebody is not of the domain */
function userOf(address: string, domain: string): string {
  const { user, host: of } = split(address);
  if (of !== domain) throw new CommandError('bad-arguments', `${address} is not at ${domain}`);
  return user;
}

const add = defineCommand({
  name: 'circle add',
  summary: 'Put somebody into a circle: a contact of all others, and in all its rooms',
  args: z.strictObject({ id, jid: member, host }),
  run: (context, args) =>
    within(context, args.host, async (circles, domain) =>
      described(domain, await circles.add(args.id, userOf(args.jid, domain))),
    ),
  render: (circle) => `${circle.name} has ${circle.members.length} members now`,
});

const drop = defineCommand({
  name: 'circle drop',
  summary: 'Take somebody out of a circle and its rooms; contacts stay',
  args: z.strictObject({ id, jid: member, host }),
  run: (context, args) =>
    within(context, args.host, async (circles, domain) =>
      described(domain, await circles.drop(args.id, userOf(args.jid, domain))),
    ),
  render: (circle) => `${circle.name} has ${circle.members.length} members now`,
});

const addChat = defineCommand({
  name: 'circle chat add',
  summary: 'Make a room that all members of a circle are in',
  args: z.strictObject({ id, name, host }),
  run: (context, args) => within(context, args.host, (circles) => circles.addChat(args.id, args.name)),
  render: (room) => `${room.name} is there now: ${room.jid}`,
});

const removeChat = defineCommand({
  name: 'circle chat rm',
  summary: 'Remove a room of a circle, with all that was said there',
  args: z.strictObject({ id, chat, host }),
  run: (context, args) =>
    within(context, args.host, async (circles) => {
      await circles.removeChat(args.id, args.chat);
      return { id: args.id, chat: args.chat };
    }),
  render: (result) => `${result.chat} is gone`,
});

export const circleCommands = [list, show, create, rename, remove, add, drop, addChat, removeChat];
