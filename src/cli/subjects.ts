// The commands that the command line passes on to the server as they are typed, by subject.
import { type Command, Option } from 'commander';
import { readPicture } from './picture.ts';

/** The options of those that are passed on as they are. */
export interface AdminOptions {
  readonly name?: string;
  readonly color?: string;
  /** A file, or the empty text. */
  readonly icon?: string;
  readonly owner?: string;
  readonly set?: readonly string[];
  readonly venue?: string;
  readonly reason?: string;
  readonly before?: string;
  readonly scope?: readonly string[];
  readonly ttl?: string;
  readonly host?: string;
  readonly subject?: string;
  readonly correction?: boolean;
  readonly note?: string;
  readonly add?: readonly string[];
  readonly remove?: readonly string[];
  readonly state?: string;
  readonly limit?: string;
  readonly after?: string;
}

/** What a command is given, from what was typed. */
export type PassedOn = (argument: string | undefined, options: AdminOptions, second: string | undefined) => object;

/** What the command line does with them. */
export interface Cli {
  common(command: Command): Command;
  /** @param usage as Commander has it: `kick <jid>` */
  admin(parent: Command, usage: string, name: string, args: PassedOn): Command;
}

export function addSubjects(program: Command, cli: Cli): void {
  const { common, admin } = cli;
  const session = common(program.command('session').description('Who is connected'));
  admin(session, 'ls [jid-or-domain]', 'session ls', (of) => ({ of }));
  admin(session, 'kick <jid>', 'session kick', (jid, options) => ({ jid, reason: options.reason })).option(
    '--reason <text>',
    'told to the client',
  );
  const s2s = common(program.command('s2s').description('Other servers'));
  admin(s2s, 'ls [domain]', 's2s ls', (domain) => ({ domain }));
  admin(s2s, 'close <domain>', 's2s close', (domain) => ({ domain }));
  for (const list of ['blocked', 'allowed']) {
    admin(s2s, list, `s2s ${list}`, (_, { host, add, remove, set }) => ({ host, add, remove, set }))
      .option('--add <jid...>', 'put domains, accounts or resources on the list')
      .option('--remove <jid...>', 'take them off')
      .option('--set <jid...>', 'all that is to be on the list')
      .option('--host <domain>', OURS);
  }
  addAnnouncements(cli, program);
  const reports = common(program.command('report').description('What people say of those they block'));
  admin(reports, 'ls', 'report ls', (_, { state, host }) => ({ state, host }))
    .option('--state <state>', 'open or closed')
    .option('--host <domain>', OURS);
  admin(reports, 'show <id>', 'report show', (id, { host }) => ({ id, host })).option('--host <domain>', OURS);
  admin(reports, 'close <id>', 'report close', (id, { note, host }) => ({ id, note, host }))
    .option('--note <text>', 'what was done')
    .option('--host <domain>', OURS);
  const clients = common(program.command('client').description('Programs that log in'));
  admin(clients, 'revoke <jid> <id>', 'client revoke', (jid, _, id) => ({ jid, client: id }));
  addArchiveCommands(cli, common(program.command('archive').description('Message archives')));
  addRoomCommands(cli, common(program.command('room').description('Rooms')));
  addCircleCommands(cli, common(program.command('circle').description('People who know one another')));
  addTokenCommands(cli, common(program.command('token').description('Tokens for the REST interface')));
  const nodes = common(program.command('pubsub').description('Nodes of publish-subscribe'));
  admin(nodes, 'ls [domain]', 'pubsub ls', (service) => ({ service }));
  admin(nodes, 'show <domain> <node>', 'pubsub show', (service, _, node) => ({ service, node }));
  admin(nodes, 'delete <domain> <node>', 'pubsub delete', (service, _, node) => ({ service, node }));
  const upload = common(program.command('upload').description('Files that people have sent'));
  admin(upload, 'ls <jid>', 'upload ls', (jid) => ({ jid }));
  admin(upload, 'usage [domain]', 'upload usage', (domain) => ({ domain }));
  admin(upload, 'rm <address>', 'upload rm', (file) => ({ file }));
  admin(upload, 'purge <jid>', 'upload purge', (jid) => ({ jid }));
  const workspace = common(program.command('workspace').description('What clients call a domain'));
  admin(workspace, 'show [domain]', 'workspace show', (domain) => ({ domain }));
  admin(workspace, 'set [domain]', 'workspace set', (domain, { name, color, icon }) => ({
    domain,
    name,
    color,
    icon: icon === undefined || icon === '' ? icon : readPicture(icon),
  }))
    .option('--name <text>', 'what it is called')
    .option('--color <#rrggbb>', 'its colour')
    .option('--icon <file>', 'its icon; "" for none');
}

function addCircleCommands({ common, admin }: Cli, circle: Command): void {
  const at = (command: Command): Command => command.option('--host <domain>', 'the domain, where there are several');
  at(admin(circle, 'ls', 'circle ls', (_, { host }) => ({ host })));
  at(admin(circle, 'show <id>', 'circle show', (id, { host }) => ({ id, host })));
  at(admin(circle, 'create <name>', 'circle create', (name, { host }) => ({ name, host })));
  at(admin(circle, 'rename <id> <name>', 'circle rename', (id, { host }, name) => ({ id, name, host })));
  at(admin(circle, 'rm <id>', 'circle rm', (id, { host }) => ({ id, host })));
  at(admin(circle, 'add <id> <jid>', 'circle add', (id, { host }, jid) => ({ id, jid, host })));
  at(admin(circle, 'drop <id> <jid>', 'circle drop', (id, { host }, jid) => ({ id, jid, host })));
  const chat = common(circle.command('chat').description('Rooms of a circle'));
  at(admin(chat, 'add <id> <name>', 'circle chat add', (id, { host }, name) => ({ id, name, host })));
  at(admin(chat, 'rm <id> <chat>', 'circle chat rm', (id, { host }, room) => ({ id, chat: room, host })));
}

const OURS = 'the domain of ours, where there are several';

function addAnnouncements({ common, admin }: Cli, program: Command): void {
  admin(program, 'announce <text>', 'announce', (text, { subject, host }) => ({ text, subject, host }))
    .option('--subject <text>', 'what it is about')
    .option('--host <domain>', OURS);
  for (const [name, what] of [
    ['motd', 'What everybody is told once'],
    ['welcome', 'What new people are told'],
  ] as const) {
    const text = common(program.command(name).description(what));
    admin(text, 'show', `${name} show`, (_, { host }) => ({ host })).option('--host <domain>', OURS);
    admin(text, 'rm', `${name} rm`, (_, { host }) => ({ host })).option('--host <domain>', OURS);
    const set = admin(text, 'set <text>', `${name} set`, (said, { host, correction }) => ({
      text: said,
      host,
      correction,
    })).option('--host <domain>', OURS);
    if (name === 'motd') set.option('--correction', 'who has seen the last one is not told again');
  }
}

/** What is told of accounts. */
export function addPeople({ admin }: Cli, user: Command): void {
  admin(user, 'ls [host]', 'user ls', (host, { state, limit, after }) => ({
    host,
    state,
    limit: limit === undefined ? undefined : Number(limit),
    after,
  }))
    .option('--state <state>', 'registered, disabled, online, active or idle')
    .option('--limit <number>', 'so many at most')
    .option('--after <jid>', 'those that come after this one');
  admin(user, 'count [host]', 'user count', (host) => ({ host }));
  for (const name of ['roster', 'last', 'stats']) admin(user, `${name} <jid>`, `user ${name}`, (jid) => ({ jid }));
}

function addTokenCommands({ admin }: Cli, token: Command): void {
  admin(token, 'create', 'token create', (_, { scope, ttl, name, host }) => ({ scope, ttl, name, host }))
    .addOption(
      new Option('--scope <scopes>', 'what it may do: users:read,rooms:write; *:write is all')
        .argParser((text: string) => text.split(',').map((one) => one.trim()))
        .makeOptionMandatory(),
    )
    .option('--ttl <duration>', 'how long it is good: 90d (unless given), 1y, forever')
    .option('--name <text>', 'what it is for')
    .option('--host <domain>', 'only for this domain and its services');
  admin(token, 'ls', 'token ls', () => ({}));
  admin(token, 'revoke <id>', 'token revoke', (id) => ({ id }));
}

function addArchiveCommands({ admin }: Cli, archive: Command): void {
  admin(archive, 'show <jid>', 'archive show', (jid) => ({ jid }));
  admin(archive, 'retention <jid> <length>', 'archive retention', (jid, _, keep) => ({ jid, keep }));
  admin(archive, 'purge <jid>', 'archive purge', (jid, { before }) => ({ jid, before })).option(
    '--before <date>',
    'only what is older: 2026-01-31, or 2026-01-31T12:00:00Z',
  );
}

function addRoomCommands({ admin }: Cli, room: Command): void {
  admin(room, 'ls [domain]', 'room ls', (domain) => ({ domain }));
  admin(room, 'show <jid>', 'room show', (jid) => ({ jid }));
  admin(room, 'create <jid>', 'room create', (jid, { owner, set }) => ({ jid, owner, settings: set }))
    .requiredOption('--owner <jid>', 'whose it is')
    .option('--set <name=value...>', 'settings, as "room show" names them');
  admin(room, 'set <jid>', 'room set', (jid, { set }) => ({ jid, settings: set })).requiredOption(
    '--set <name=value...>',
    'settings, as "room show" names them',
  );
  admin(room, 'destroy <jid>', 'room destroy', (jid, { venue, reason }) => ({ jid, venue, reason }))
    .option('--venue <jid>', 'a room to go to instead')
    .option('--reason <text>', 'told to those who are in it');
}
