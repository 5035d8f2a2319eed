// Keys to log in with, in the file of an account (XEP-0227 4.3). Passwords are never written: there are none here. One that a file has is hashed.
import type { Accounts } from '../../auth/accounts.ts';
import {
  type CredentialSet,
  digestSize,
  type ScramCredentials,
  type ScramHash,
  scramHashes,
} from '../../auth/credentials.ts';
import { type Element, el } from '../../xml/element.ts';
import { NS } from '../../xmpp/ns.ts';

/** More would let a file make each login cost seconds. */
const MOST_ITERATIONS = 1_000_000;

const mechanismOf = (hash: ScramHash): string => `SCRAM-${hash.toUpperCase()}`;

export function credentialElements(set: CredentialSet): readonly Element[] {
  return scramHashes.flatMap((hash) => {
    const keys = set[hash];
    if (keys === undefined) return [];
    const child = (name: string, text: string): Element => el(name, NS.pieScram, undefined, text);
    return el(
      'scram-credentials',
      NS.pieScram,
      { mechanism: mechanismOf(hash) },
      child('iter-count', String(keys.iterations)),
      child('salt', keys.salt),
      child('server-key', keys.serverKey),
      child('stored-key', keys.storedKey),
    );
  });
}

/** The keys of one element, and for what; undefined where they are none that logins could be checked against. */
export function readCredentials(element: Element): readonly [ScramHash, ScramCredentials] | undefined {
  const hash = scramHashes.find((one) => mechanismOf(one) === element.attrs.mechanism);
  const text = (name: string): string => element.getChildText(name)?.trim() ?? '';
  const count = text('iter-count');
  if (hash === undefined || !/^[1-9]\d{0,6}$/.test(count) || Number(count) > MOST_ITERATIONS) return undefined;
  const written = [text('salt'), text('server-key'), text('stored-key')] as const;
  const isRight = ([salt, ...keys]: readonly string[]): boolean =>
    bytesIn(salt!) > 0 && keys.every((key) => bytesIn(key) === digestSize(hash));
  // ejabberd writes base64 of what is base64 already
  const found = [written, written.map(decoded)].find(isRight);
  if (found === undefined) return undefined;
  const [salt, serverKey, storedKey] = found as unknown as readonly [string, string, string];
  return [hash, { salt, iterations: Number(count), serverKey, storedKey }];
}

const decoded = (text: string): string => Buffer.from(text, 'base64').toString('latin1');

/** Of what base64 says; 0 for what is none. */
function bytesIn(text: string): number {
  return /^[A-Za-z0-9+/]+={0,2}$/.test(text) && text.length % 4 === 0 ? Buffer.from(text, 'base64').length : 0;
}

/** Whether an account has these keys. */
export async function hasKeys(accounts: Accounts, user: string, keys: CredentialSet): Promise<boolean> {
  const there = (await accounts.credentialsOf(user)) ?? {};
  return scramHashes.every((hash) => keys[hash] === undefined || keys[hash].storedKey === there[hash]?.storedKey);
}
