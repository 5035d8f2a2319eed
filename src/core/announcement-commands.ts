// The administrative commands for what the server says to its people.
import { z } from 'zod';
import { domain, hostOf } from './admin-common.ts';
import type { AdminAnnouncements } from './admin-services.ts';
import { type AdminContext, type AnyCommand, CommandError, defineCommand } from './commands.ts';

/** Characters of a text; each is sent to everybody. */
const LONGEST = 10_000;
const text = z
  .string()
  .trim()
  .min(1, { error: 'the text is empty' })
  .max(LONGEST, {
    error: `the text is longer than ${LONGEST} characters`,
  });

async function find(
  context: AdminContext,
  given: string | undefined,
): Promise<{ readonly host: string; readonly service: AdminAnnouncements }> {
  const host = hostOf(context, given);
  const service = await context.announcementsOf(host);
  if (service === undefined) throw new CommandError('not-found', `${host} makes no announcements: the module is off`);
  return { host, service };
}

const announce = defineCommand({
  name: 'announce',
  summary: 'Tell something to everybody who is connected now',
  args: z.strictObject({
    text: text.describe('What is said'),
    subject: z.string().max(200).optional().describe('What it is about'),
    host: domain,
  }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    const connected = (await context.sessions()).filter(({ jid }) =>
      jid.slice(jid.indexOf('@') + 1).startsWith(`${host}/`),
    );
    await service.announce(args.text, args.subject);
    return { host, sessions: connected.length };
  },
  render: ({ sessions }) => `told to ${sessions} ${sessions === 1 ? 'session' : 'sessions'}`,
});

const motdShow = defineCommand({
  name: 'motd show',
  readOnly: true,
  summary: 'Show the message of the day',
  args: z.strictObject({ host: domain }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    const motd = await service.motd();
    return { host, ...(motd === undefined ? {} : { text: motd }) };
  },
  render: ({ text: motd }) => motd ?? 'there is none',
});

const motdSet = defineCommand({
  name: 'motd set',
  summary: 'Set a message of the day: everybody is told once, now or when they come next',
  args: z.strictObject({
    text: text.describe('What is said'),
    correction: z.boolean().prefault(false).describe('Whether who has seen the last one is not told again'),
    host: domain,
  }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    await service.setMotd(args.text, args.correction);
    return { host, text: args.text };
  },
  render: ({ host }) => `${host} has a message of the day`,
});

const motdRm = defineCommand({
  name: 'motd rm',
  summary: 'Remove the message of the day: nobody is told any more',
  args: z.strictObject({ host: domain }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    await service.setMotd(undefined);
    return { host };
  },
  render: ({ host }) => `${host} has no message of the day`,
});

const welcomeShow = defineCommand({
  name: 'welcome show',
  readOnly: true,
  summary: 'Show what new people are told',
  args: z.strictObject({ host: domain }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    const welcome = await service.welcome();
    return { host, ...(welcome === undefined ? {} : { text: welcome }) };
  },
  render: ({ text: welcome }) => welcome ?? 'nothing',
});

const welcomeSet = defineCommand({
  name: 'welcome set',
  summary: 'Set what new people are told when they first log in',
  args: z.strictObject({ text: text.describe('What is said'), host: domain }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    await service.setWelcome(args.text);
    return { host, text: args.text };
  },
  render: ({ host }) => `${host} welcomes new people`,
});

const welcomeRm = defineCommand({
  name: 'welcome rm',
  summary: 'Tell new people nothing any more',
  args: z.strictObject({ host: domain }),
  async run(context, args) {
    const { host, service } = await find(context, args.host);
    await service.setWelcome(undefined);
    return { host };
  },
  render: ({ host }) => `${host} says nothing to new people`,
});

export const announcementCommands: readonly AnyCommand[] = [
  announce,
  motdShow,
  motdSet,
  motdRm,
  welcomeShow,
  welcomeSet,
  welcomeRm,
];
