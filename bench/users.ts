// The accounts that a load test logs in with, written in the form each server takes them in.

import { createHash, createHmac } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { saltedPassword } from './load/sasl.ts';

export interface UserList {
  readonly domain: string;
  readonly users: number;
  readonly userPrefix: string;
  readonly password: string;
}

export const userFormats = ['parley', 'prosody', 'ejabberd'] as const;
export type UserFormat = (typeof userFormats)[number];

/** The text of a batch file for `parley user add --batch`, or of a shell script of prosodyctl or ejabberdctl commands. */
export function userBatch(format: UserFormat, list: UserList): string {
  const lines = userNames(list).map((user) => {
    switch (format) {
      case 'parley':
        return `${user}@${list.domain} ${list.password}`;
      case 'prosody':
        return `prosodyctl register ${user} ${list.domain} ${list.password}`;
      case 'ejabberd':
        return `ejabberdctl register ${user} ${list.domain} ${list.password}`;
    }
    throw new Error(`no such format: ${format satisfies never}`);
  });
  return `${lines.join('\n')}\n`;
}

export function userNames(list: UserList): string[] {
  return Array.from({ length: list.users }, (_, i) => `${list.userPrefix}${i + 1}`);
}

/** Writes Prosody's account files (storage `internal`, `internal_hashed`, SCRAM-SHA-1) directly: prosodyctl takes a process per user. */
export function writeProsodyAccounts(dataDir: string, list: UserList, iterations = 10_000): void {
  // The same salt for all: these accounts protect nothing, and the keys are derived once.
  const salt = 'load-test';
  const secret = saltedPassword(list.password, Buffer.from(salt).toString('base64'), iterations);
  const storedKey = createHash('sha1').update(hmac(secret, 'Client Key')).digest('hex');
  const serverKey = hmac(secret, 'Server Key').toString('hex');
  const account =
    `return {\n\t["iteration_count"] = ${iterations};\n\t["salt"] = "${salt}";\n` +
    `\t["stored_key"] = "${storedKey}";\n\t["server_key"] = "${serverKey}";\n};\n`;
  writeProsodyStore(dataDir, list, 'accounts', () => account);
}

/** Writes Prosody's rosters likewise: the first user and all others see each other's presence. */
export function writeProsodyRosters(dataDir: string, list: UserList): void {
  const [first = '', ...others] = userNames(list);
  const roster = (contacts: readonly string[]): string =>
    `return {\n\t[false] = { ["version"] = 1; };\n${contacts
      .map((user) => `\t["${user}@${list.domain}"] = { ["subscription"] = "both"; ["groups"] = {}; };\n`)
      .join('')}};\n`;
  const hub = roster(others);
  const spoke = roster([first]);
  writeProsodyStore(dataDir, list, 'roster', (user) => (user === first ? hub : spoke));
}

function writeProsodyStore(dataDir: string, list: UserList, store: string, textOf: (user: string) => string): void {
  const domain = list.domain.replace(/[^A-Za-z0-9]/g, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  const dir = join(dataDir, domain, store);
  mkdirSync(dir, { recursive: true });
  for (const user of userNames(list)) writeFileSync(join(dir, `${user}.dat`), textOf(user));
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha1', key).update(text).digest();
}
