// The commands about relays for calls: they need the configuration, and no running server.
import type { Command } from 'commander';
import type { Config } from '../config/server.ts';
import { CommandError } from '../core/commands.ts';
import type { Check } from './check.ts';
import type { Common } from './common.ts';
import { systemDns } from './doctor.ts';
import { bind, checkTurn, coturnConfig, relay } from './turn.ts';

/** What the command line does for all commands. */
interface Tools {
  common(command: Command): Command;
  load(options: Common): Config;
  answer(options: Common, result: object, render: () => string): void;
  tell(checks: readonly Check[], options: Common): void;
}

export function addTurnCommands(turn: Command, tools: Tools): void {
  tools
    .common(turn.command('check').description('Ask STUN and TURN services whether they do what they should'))
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals<Common>();
      const config = tools.load(options);
      const { addresses } = systemDns(config.dns.servers);
      tools.tell(await checkTurn(config, { addresses, bind, relay }, Date.now()), options);
    });
  tools
    .common(turn.command('print-coturn [domain]').description('A turnserver.conf for coturn, with the same secret'))
    .action((given: string | undefined, _: unknown, command: Command) => {
      const options = command.optsWithGlobals<Common>();
      const config = tools.load(options);
      const domain = given ?? Object.keys(config.hosts)[0]!;
      const text = coturnConfig(config, domain);
      if (text === undefined) {
        throw new CommandError('not-found', `${domain} has no TURN service with a secret in "external-services"`);
      }
      tools.answer(options, { domain, config: text }, () => text.trimEnd());
    });
}
