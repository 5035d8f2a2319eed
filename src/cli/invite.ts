// `parley invite`: the command line of invitations, with a QR code where it is wanted.
import type { Command } from 'commander';
import { qrForTerminal } from '../base/qr.ts';
import type { AnyCommand } from '../core/commands.ts';

/** What `parley invite` may be given. */
export interface InviteOptions {
  readonly json?: boolean;
  readonly config?: string;
  readonly host?: string;
  readonly admin?: boolean;
  readonly role?: string;
  readonly user?: string;
  readonly contact?: string;
  readonly reset?: string;
  readonly ttl?: string;
  readonly uses?: string;
  readonly note?: string;
  readonly qr?: boolean;
  readonly all?: boolean;
}

export interface InviteParts {
  readonly find: (name: string) => AnyCommand;
  /** What every command has. */
  readonly common: (command: Command) => Command;
  /** Runs a command, and answers as it renders its result. */
  readonly run: (
    name: string,
    args: object,
    options: InviteOptions,
    render?: (result: object) => string,
  ) => Promise<void>;
}

export function addInviteCommands(program: Command, { find, common, run }: InviteParts): void {
  const optionsOf = (command: Command): InviteOptions => command.optsWithGlobals<InviteOptions>();
  const invite = common(program.command('invite').description(find('invite').summary))
    .option('--host <domain>', 'the domain, where there are several')
    .option('--admin', 'the account will administer the domain')
    .option('--role <name>', 'the role that the account will have')
    .option('--user <name>', 'the name of the account; it is kept until then')
    .option('--contact <jid>', 'to become a contact of this account')
    .option('--reset <jid>', 'to choose a new password for this account')
    .option('--ttl <duration>', 'how long it holds, such as 7d')
    .option('--uses <number>', 'how many may use it')
    .option('--note <text>', 'to find it again')
    .option('--qr', 'show a QR code too')
    .action((_: unknown, command: Command) => {
      const { json: _json, config: _config, qr, all: _all, ...args } = optionsOf(command);
      const { render } = find('invite');
      return run('invite', args, optionsOf(command), (result) => {
        const { page, uri } = result as { readonly page?: string; readonly uri: string };
        return qr === true ? `${render(result)}\n\n${qrForTerminal(page ?? uri)}` : render(result);
      });
    });
  common(invite.command('ls').description(find('invite ls').summary))
    .option('--all', 'also those that cannot be used any more')
    .action((_: unknown, command: Command) => {
      const options = optionsOf(command);
      return run('invite ls', { host: options.host, all: options.all }, options);
    });
  for (const name of ['show', 'revoke']) {
    common(invite.command(`${name} <token>`).description(find(`invite ${name}`).summary)).action(
      (token: string, _: unknown, command: Command) => {
        const options = optionsOf(command);
        return run(`invite ${name}`, { token, host: options.host }, options);
      },
    );
  }
}
