// `parley export` and `parley import`: accounts with all they have (XEP-0227), of a running server or of a stopped one.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Common } from './common.ts';

/** What of the command line is needed for them. */
interface Tools {
  common(command: Command): Command;
  runAnywhere(name: string, args: object, options: Common): Promise<void>;
}

export function addTransferCommands(program: Command, tools: Tools): void {
  tools
    .common(program.command('export <file>').description('Write accounts with all they have into a file (XEP-0227)'))
    .option('--host <domain>', 'only the accounts of this domain')
    .option('--user <jid>', 'only this account')
    .action((file: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<Common & { host?: string; user?: string }>();
      const { host, user } = options;
      const args = { file: resolve(file), ...(host !== undefined && { host }), ...(user !== undefined && { user }) };
      return tools.runAnywhere('export', args, options);
    });
  tools
    .common(program.command('import <path>').description('Take accounts from a file, or a folder of files (XEP-0227)'))
    .option('--dry-run', 'only tell what would be done')
    .action((path: string, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<Common & { dryRun?: boolean }>();
      return tools.runAnywhere('import', { path: resolve(path), dry: options.dryRun === true }, options);
    });
}
