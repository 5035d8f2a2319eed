// Profanity, of Debian's packages, in a terminal of its own, as somebody uses it who types.
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type ChildServer, passwordOf } from './child-server.ts';
import { Terminal } from './terminal.ts';

const program = '/usr/bin/profanity';

/** Starts it with the home that a user has here, and logs in: after another one of the same user has ended, as that one would. */
export async function startProfanity(server: ChildServer, domain: string, user: string): Promise<Terminal> {
  if (!existsSync(program)) throw new Error('profanity is missing; run: node scripts/test-deps.js');
  const home = profanityHome(server, user);
  mkdirSync(home, { recursive: true });
  const terminal = await Terminal.start(program, { HOME: home });
  try {
    await terminal.shows('Type /help for help information.');
    const { address, port } = server.address('c2s');
    // (that the machine does not know the certificate's authority is what the last word is about)
    terminal.type(`/connect ${user}@${domain} server ${address} port ${port} tls trust`);
    await terminal.shows('Enter password:');
    terminal.type(passwordOf(user));
    await terminal.shows('logged in successfully');
    await terminal.shows('[TLS]');
    return terminal;
  } catch (error) {
    await terminal[Symbol.asyncDispose]();
    throw error;
  }
}

export const profanityHome = (server: ChildServer, user: string): string => join(server.folder, user);

/** Sets a field of the form that is shown, found by its label, which is the only one that begins so. */
export async function fillIn(terminal: Terminal, label: string, value: string): Promise<void> {
  await terminal.shows(`] ${label}`);
  const field = new RegExp(`\\[(field\\d+)\\] ${label}`).exec(terminal.text)?.[1];
  terminal.type(`/${field} ${value}`);
  await terminal.shows(new RegExp(`Field updated\\.\\.\\..*\\[${field}\\] ${label}`));
}
