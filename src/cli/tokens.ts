// `parley token`: tokens for the REST interface.
import { type Command, Option } from 'commander';

interface TokenOptions {
  readonly scope?: readonly string[];
  readonly ttl?: string;
  readonly name?: string;
  readonly host?: string;
}
/** Adds a command that is passed on as it is. */
type Add = (
  parent: Command,
  usage: string,
  name: string,
  args: (argument: string | undefined, options: TokenOptions) => object,
) => Command;

export function addTokenCommands(token: Command, add: Add): void {
  add(token, 'create', 'token create', (_, { scope, ttl, name, host }) => ({ scope, ttl, name, host }))
    .addOption(
      new Option('--scope <scopes>', 'what it may do: users:read,rooms:write; *:write is all')
        .argParser((text: string) => text.split(',').map((one) => one.trim()))
        .makeOptionMandatory(),
    )
    .option('--ttl <duration>', 'how long it is good: 90d (unless given), 1y, forever')
    .option('--name <text>', 'what it is for')
    .option('--host <domain>', 'only for this domain and its services');
  add(token, 'ls', 'token ls', () => ({}));
  add(token, 'revoke <id>', 'token revoke', (id) => ({ id }));
}
