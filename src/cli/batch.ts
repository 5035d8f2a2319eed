// `parley user add --batch FILE`: one "JID password" a line.
import { readFileSync } from 'node:fs';
import { type AnyCommand, CommandError } from '../core/commands.ts';
import type { Remote } from './remote.ts';

export interface BatchEntry {
  readonly line: number;
  readonly jid: string;
  readonly password: string;
}
export interface BatchFailure {
  readonly line: number;
  readonly message: string;
}
export interface BatchResult {
  readonly created: number;
  readonly failed: readonly BatchFailure[];
}

/** Accounts and bad lines of a batch file. Empty lines and those that begin with `#` are passed over. */
export function parseBatch(text: string): {
  readonly entries: readonly BatchEntry[];
  readonly failed: readonly BatchFailure[];
} {
  const entries: BatchEntry[] = [];
  const failed: BatchFailure[] = [];
  text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .forEach((content, i) => {
      const line = i + 1;
      if (/^\s*(#|$)/.test(content)) return;
      // a password may hold blanks: it is all that follows the first ones
      const [, jid, password] = /^\s*(\S+)(?:[ \t]+(.*))?$/.exec(content) ?? [];
      if (jid === undefined || !password)
        failed.push({ line, message: 'a line is "JID password"; the password is missing' });
      else entries.push({ line, jid, password });
    });
  return { entries, failed };
}

/** How many accounts go to the server in one request. */
const CHUNK = 250;

/** Makes the accounts of a file (`-`: standard input). Bad lines are passed over and told. */
export async function runBatch(file: string, remote: Remote, command: AnyCommand): Promise<BatchResult> {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CommandError('refused', `${file} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
  const { entries, failed: bad } = parseBatch(text);
  const failed = [...bad];
  let created = 0;
  for (let from = 0; from < entries.length; from += CHUNK) {
    const result = (await remote.run(command, { accounts: entries.slice(from, from + CHUNK) })) as BatchResult;
    created += result.created;
    failed.push(...result.failed.map(({ line, message }) => ({ line, message })));
  }
  return { created, failed: failed.sort((a, b) => a.line - b.line) };
}
