// How the sessions of an account are written down in Redis, and what nodes tell one another of them: the account's whole state, with
// its version, so that one message makes up for all that were lost before it. Parts are divided by U+0000, which no XML can hold.
//
// A session: its sid, a blank, and JSON: [available, priority, shared, node], where later releases may add more and what is empty at
// the end is left out. The node is only there where the sid does not end in it.
import { type BareJid, Jid } from '../../xmpp/jid.ts';
import type { NodeId, SessionEntry } from '../cluster.ts';

/** An account's sessions as Redis had them at a version; later ones have a higher version. */
export interface StoredState {
  readonly version: number;
  /** When its part of the directory was begun, in microseconds since 1970; 0: not yet. Where that is later, Redis has lost what it had. */
  readonly birth: number;
  readonly user: BareJid;
  /** Resource and value in turn. */
  readonly fields: readonly string[];
  /** All of this as it is written. */
  readonly packed: string;
}

type Shared = SessionEntry['shared'];
type Details = readonly [available?: number, priority?: number, shared?: Shared, node?: string];

/** @throws TypeError for a sid with a blank in it */
export function encodeEntry({ sid, node, available, priority, shared }: SessionEntry): string {
  if (sid.includes(' ')) throw new TypeError(`"${sid}" cannot be the name of a session`);
  const details: (number | Shared | string)[] = [available ? 1 : 0, priority, shared];
  if (!sid.endsWith(`.${node}`)) details.push(node);
  else if (isEmpty(shared)) {
    details.pop();
    if (priority === 0) details.pop();
  }
  return `${sid} ${JSON.stringify(details)}`;
}

function isEmpty(shared: Shared): boolean {
  for (const _name in shared) return false;
  return true;
}

/** Undefined for a value that this program cannot read. */
export function decodeEntry(jid: Jid, value: string): SessionEntry | undefined {
  const blank = value.indexOf(' ');
  if (blank <= 0) return undefined;
  const sid = value.slice(0, blank);
  const details = parseDetails(value.slice(blank + 1));
  if (details === undefined) return undefined;
  const [available = 0, priority = 0, shared = {}, node = sid.slice(sid.indexOf('.') + 1)] = details;
  return { jid, node: node as NodeId, sid, available: available === 1, priority, shared };
}

function parseDetails(json: string): Details | undefined {
  try {
    const details: unknown = JSON.parse(json);
    return Array.isArray(details) ? (details as unknown as Details) : undefined;
  } catch {
    return undefined;
  }
}

/** Reads what the scripts return and publish; undefined for what they did not write. */
export function parseState(packed: string): StoredState | undefined {
  const [birth, changes, user, ...fields] = packed.split('\0');
  const version = Number(birth) + Number(changes);
  if (user === undefined || fields.length % 2 !== 0 || !Number.isFinite(version)) return undefined;
  return { version, birth: Number(birth), user: user as BareJid, fields, packed };
}

/** Writes a state with other fields. */
export function packState({ version, birth, user }: StoredState, fields: readonly string[]): string {
  return [birth, version - birth, user, ...fields].join('\0');
}

/** The sid of a session, by its value. */
export const sidOf = (value: string): string => value.slice(0, value.indexOf(' '));

/** The node of a session, by its value; undefined for one that this program cannot read. */
export function nodeOf(value: string): NodeId | undefined {
  // only a node is written as a string in the end
  if (value.endsWith('"]')) return parseDetails(value.slice(value.indexOf(' ') + 1))?.[3] as NodeId | undefined;
  const sid = sidOf(value);
  return sid.slice(sid.indexOf('.') + 1) as NodeId;
}

export function entriesOf({ user, fields }: StoredState): readonly SessionEntry[] {
  if (fields.length === 0) return nobody;
  const bare = Jid.parse(user);
  const entries: SessionEntry[] = [];
  for (let i = 0; bare !== undefined && i < fields.length; i += 2) {
    const entry = decodeEntry(bare.withResource(fields[i]!), fields[i + 1]!);
    if (entry !== undefined) entries.push(entry);
  }
  return entries;
}

export const nobody: readonly SessionEntry[] = [];

/** Into so many parts the directory is divided, each in one slot of a Redis Cluster. The same in all releases. */
export const shards = 128;

/** The part that an account is in (FNV-1a of its UTF-16 code units). */
export function shardOf(user: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < user.length; i++) hash = Math.imul(hash ^ user.charCodeAt(i), 0x01000193);
  return (hash ^ (hash >>> 16)) & (shards - 1);
}
