// The REST interface: which request is which administrative command. Everything else is derived from the commands themselves: what a
// request takes from the schema of the arguments, what it needs from its first segment and from whether the command changes anything.
import { adminCommands } from '../../core/admin-commands.ts';
import type { Access, ScopeGroup } from '../../core/api-scopes.ts';
import type { AnyCommand } from '../../core/commands.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

type Line = readonly [
  method: Method,
  /** Below `/api/v1`; what stands for `:name` is the argument of that name. */
  path: `/${ScopeGroup}${string}`,
  command: string,
  /** 201 for what makes something; 200 otherwise. */
  status?: 201,
];

const lines: readonly Line[] = [
  ['GET', '/users', 'user ls'],
  ['POST', '/users', 'user add', 201],
  ['GET', '/users/:jid', 'user show'],
  ['DELETE', '/users/:jid', 'user rm'],
  ['PUT', '/users/:jid/password', 'user passwd'],
  ['PUT', '/users/:jid/role', 'user role'],
  ['POST', '/users/:jid/move', 'user move'],
  ['POST', '/users/:jid/disable', 'user disable'],
  ['POST', '/users/:jid/enable', 'user enable'],
  ['DELETE', '/users/:jid/clients/:client', 'client revoke'],
  ['GET', '/users/:jid/archive', 'archive show'],
  ['PUT', '/users/:jid/archive/retention', 'archive retention'],
  ['DELETE', '/users/:jid/archive', 'archive purge'],
  ['GET', '/users/:jid/uploads', 'upload ls'],
  ['DELETE', '/users/:jid/uploads', 'upload purge'],
  ['GET', '/users/:jid/roster', 'user roster'],
  ['GET', '/users/:jid/last', 'user last'],
  ['GET', '/users/:jid/stats', 'user stats'],
  ['GET', '/sessions', 'session ls'],
  ['DELETE', '/sessions/:jid', 'session kick'],
  ['GET', '/rooms', 'room ls'],
  ['POST', '/rooms', 'room create', 201],
  ['GET', '/rooms/:jid', 'room show'],
  ['PATCH', '/rooms/:jid', 'room set'],
  ['DELETE', '/rooms/:jid', 'room destroy'],
  ['GET', '/rooms/:jid/archive', 'archive show'],
  ['PUT', '/rooms/:jid/archive/retention', 'archive retention'],
  ['DELETE', '/rooms/:jid/archive', 'archive purge'],
  ['GET', '/pubsub', 'pubsub ls'],
  ['GET', '/pubsub/:service/:node', 'pubsub show'],
  ['DELETE', '/pubsub/:service/:node', 'pubsub delete'],
  ['GET', '/invitations', 'invite ls'],
  ['POST', '/invitations', 'invite', 201],
  ['GET', '/invitations/:token', 'invite show'],
  ['DELETE', '/invitations/:token', 'invite revoke'],
  ['GET', '/circles', 'circle ls'],
  ['POST', '/circles', 'circle create', 201],
  ['GET', '/circles/:id', 'circle show'],
  ['PATCH', '/circles/:id', 'circle rename'],
  ['DELETE', '/circles/:id', 'circle rm'],
  ['PUT', '/circles/:id/members/:jid', 'circle add'],
  ['DELETE', '/circles/:id/members/:jid', 'circle drop'],
  ['POST', '/circles/:id/chats', 'circle chat add', 201],
  ['DELETE', '/circles/:id/chats/:chat', 'circle chat rm'],
  ['GET', '/reports', 'report ls'],
  ['GET', '/reports/:id', 'report show'],
  ['POST', '/reports/:id/close', 'report close'],
  ['GET', '/federation', 's2s ls'],
  ['PATCH', '/federation/blocked', 's2s blocked'],
  ['PATCH', '/federation/allowed', 's2s allowed'],
  ['DELETE', '/federation/:domain', 's2s close'],
  ['POST', '/federation/:domain/test', 's2s test'],
  ['GET', '/cluster', 'cluster status'],
  ['PUT', '/cluster/drain', 'drain'],
  ['GET', '/server', 'status'],
  ['GET', '/server/users', 'user count'],
  ['POST', '/server/announcements', 'announce'],
  ['GET', '/server/motd', 'motd show'],
  ['PUT', '/server/motd', 'motd set'],
  ['DELETE', '/server/motd', 'motd rm'],
  ['GET', '/server/welcome', 'welcome show'],
  ['PUT', '/server/welcome', 'welcome set'],
  ['DELETE', '/server/welcome', 'welcome rm'],
  ['POST', '/server/reload', 'reload'],
  ['PUT', '/server/log-level', 'log level'],
  ['GET', '/server/uploads', 'upload usage'],
  ['DELETE', '/server/uploads/:file', 'upload rm'],
  ['GET', '/server/workspaces/:domain', 'workspace show'],
  ['PATCH', '/server/workspaces/:domain', 'workspace set'],
];

/** Commands that are for whoever is at the machine. */
export const leftOut: Readonly<Record<string, string>> = {
  stop: 'whoever stops a server has to be able to start it',
  restart: 'the processes of a machine are replaced where they can be watched',
  'user batch':
    'it takes the lines of a file; a program makes one request for each account, and may make several at a time',
  'token create': 'a token cannot beget others that may do more, or live longer',
  'token ls': 'as for those that make them',
  'token revoke': 'as for those that make them',
};

export interface Endpoint {
  readonly method: Method;
  /** As in the table. */
  readonly path: string;
  readonly status: 200 | 201;
  readonly command: AnyCommand;
  readonly group: ScopeGroup;
  readonly access: Access;
  /** The arguments that stand in the path. */
  readonly named: readonly string[];
  /** It answers with a list, in pages. */
  readonly isList: boolean;
}

/** All of them. @throws Error where the table names a command that there is not */
export function endpoints(): readonly Endpoint[] {
  const commands = new Map(adminCommands.map((command) => [command.name, command]));
  return lines.map(([method, path, name, status]): Endpoint => {
    const command = commands.get(name);
    if (command === undefined) throw new Error(`there is no command "${name}" for ${method} ${path}`);
    const segments: readonly string[] = path.split('/').slice(1);
    return {
      method,
      path,
      status: status ?? 200,
      command,
      group: segments[0] as ScopeGroup,
      access: command.readOnly === true ? 'read' : 'write',
      isList: name.endsWith(' ls'),
      named: segments.flatMap((segment) => (segment.startsWith(':') ? [segment.slice(1)] : [])),
    };
  });
}
