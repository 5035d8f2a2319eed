// The administrative commands there are. A new one is added to the list at the end, and every interface offers it.
import { z } from 'zod';
import { duration } from '../config/schema.ts';
import { since, time } from './admin-common.ts';
import { announcementCommands } from './announcement-commands.ts';
import { archiveCommands } from './archive-commands.ts';
import { circleCommands } from './circle-commands.ts';
import { clusterCommands } from './cluster-commands.ts';
import { type AnyCommand, defineCommand } from './commands.ts';
import { invitationCommands } from './invitation-commands.ts';
import { logLevels } from './log.ts';
import { moveCommands } from './move-commands.ts';
import { peerCommands } from './peer-commands.ts';
import { peopleCommands } from './people-commands.ts';
import { pubsubCommands } from './pubsub-commands.ts';
import { reportCommands } from './report-commands.ts';
import { roomCommands } from './room-commands.ts';
import { s2sCommands } from './s2s-commands.ts';
import { sessionCommands } from './session-commands.ts';
import { tokenCommands } from './token-commands.ts';
import { transferCommands } from './transfer-commands.ts';
import { uploadCommands } from './upload-commands.ts';
import { userCommands } from './user-commands.ts';
import { workspaceCommands } from './workspace-commands.ts';

const reload = defineCommand({
  name: 'reload',
  summary: 'Read the configuration again, without disconnecting anybody',
  args: z.strictObject({}),
  run: (context) => context.reload(),
  render: ({ applied, restart, differs = [] }) =>
    [
      ...(applied.length + restart.length === 0 ? ['nothing has changed'] : []),
      ...applied.map((path) => `applied          ${path}`),
      ...restart.map((path) => `needs a restart  ${path}`),
      ...differs.map((node) => `differs          ${node} has other hosts or components: reload there, too`),
    ].join('\n'),
});

const stop = defineCommand({
  name: 'stop',
  summary: 'Stop the server in an orderly way',
  args: z.strictObject({}),
  async run(context) {
    const { pid } = await context.status();
    context.stop();
    return { stopping: true, pid };
  },
  render: () => 'stopping',
});

const DAY = 86_400_000;

const status = defineCommand({
  name: 'status',
  readOnly: true,
  summary: 'How the server is',
  args: z.strictObject({}),
  async run(context) {
    const now = Date.now();
    const { started, certificates, errors, ...others } = await context.status();
    return {
      ...others,
      started: time(started),
      uptime: Math.round((now - started) / 1000),
      certificates: certificates.map(({ expires, ...certificate }) => ({
        ...certificate,
        expires: time(expires),
        days: Math.floor((expires - now) / DAY),
      })),
      errors: errors.map(({ at, message }) => ({ at: time(at), message })),
    };
  },
  render: (server) =>
    [
      `parley ${server.version}, process ${server.pid}, up ${since(server.uptime * 1000)}`,
      `config        ${server.config ?? 'none: defaults and environment'}`,
      `data          ${server.data}`,
      `database      ${server.database.kind}, ${server.database.ok ? 'answers' : `FAILS: ${server.database.problem ?? 'no answer'}`}`,
      `hosts         ${server.hosts.join(', ')}`,
      ...(server.rooms.length === 0 ? [] : [`rooms         ${server.rooms.join(', ')}`]),
      ...(server.pubsub.length === 0 ? [] : [`pubsub        ${server.pubsub.join(', ')}`]),
      `sessions      ${server.sessions}`,
      ...(server.nodes === undefined ? [] : [`nodes         ${server.nodes.join(', ')}`]),
      ...(server.unknown === undefined ? [] : [`not known     ${server.unknown.join(', ')}, since Redis fails`]),
      ...(server.draining === true ? ['draining      nobody new is let in ("parley drain off" ends that)'] : []),
      ...server.listeners.map(({ name, address, port }) => `${name.padEnd(14)}${formatEndpoint(address, port)}`),
      ...server.components.map(
        ({ domain, connected, address }) =>
          `component     ${domain}: ${connected ? `connected from ${address}` : 'not connected'}`,
      ),
      ...server.certificates.map(
        ({ host, issuer, days }) => `certificate   ${host}: ${issuer}, ${days < 0 ? 'EXPIRED' : `${days} days left`}`,
      ),
      ...server.errors.slice(0, 5).map(({ at, message }) => `error         ${at} ${message}`),
    ].join('\n'),
});

/** `127.0.0.1:5222`, `[::1]:5222` */
export function formatEndpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const logLevel = defineCommand({
  name: 'log level',
  summary: 'Change what is logged, for a while or until the next start',
  args: z.strictObject({
    module: z.string().min(1).describe('The part of the server, such as c2s or mam; "*" for all'),
    level: z.enum(logLevels as readonly ['debug', 'info', 'warn', 'error']).describe('debug, info, warn or error'),
    for: duration().optional().describe('How long, such as 10m'),
  }),
  async run(context, args) {
    await context.logLevel(args.module, args.level, args.for);
    return { module: args.module, level: args.level, ...(args.for === undefined ? {} : { seconds: args.for / 1000 }) };
  },
  render: (result) =>
    `${result.module} logs from ${result.level} on${result.seconds === undefined ? '' : `, for ${since(result.seconds * 1000)}`}`,
});

/** All of them. */
export const adminCommands: readonly AnyCommand[] = [
  status,
  reload,
  stop,
  ...userCommands,
  ...moveCommands,
  ...invitationCommands,
  ...peopleCommands,
  ...announcementCommands,
  ...archiveCommands,
  ...roomCommands,
  ...pubsubCommands,
  ...workspaceCommands,
  ...uploadCommands,
  ...tokenCommands,
  ...circleCommands,
  ...sessionCommands,
  ...s2sCommands,
  ...peerCommands,
  ...reportCommands,
  ...clusterCommands,
  logLevel,
];

/** With those that are for the command line of the machine alone. */
export const localCommands: readonly AnyCommand[] = [...adminCommands, ...transferCommands];
