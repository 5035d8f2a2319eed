// What message archives are keyed by in PostgreSQL: numbers and uuids, which compare faster and take less room than text.
// An archive, a conversation and a reference are each a keyed digest of 64 bits: no dictionary has to be asked before a row can be
// written, and nobody can choose an address or an id that falls together with another's.
import { hash } from 'node:crypto';
import { LruCache } from '../../base/lru.ts';
import { beyondIds, idFloor } from '../ids.ts';
import type { ArchiveQuery, MessageRef } from '../ports.ts';

const remembered = 50_000;

/** The keys of one host; numbers are text, as PostgreSQL reads bigint. */
export class ArchiveKeys {
  readonly #secret: string;
  readonly #host: string;
  readonly #owners = new LruCache<string, string>(remembered);
  readonly #talks = new LruCache<string, string>(remembered);
  // both parties of a message within a host archive it, one after the other
  #ref = '';
  #refKey = '';

  constructor(secret: string, host: string) {
    this.#secret = secret;
    this.#host = host;
  }

  owner(owner: string): string {
    return this.#remember(this.#owners, 'o', owner);
  }

  /** A conversation of an owner with a bare JID. */
  talk(owner: string, party: string): string {
    return this.#remember(this.#talks, 't', `${owner}\0${party}`);
  }

  ref(ref: MessageRef): string {
    const name = `${ref.sender}\0${ref.id}`;
    if (name !== this.#ref) {
      this.#refKey = digest(`${this.#secret}r${name}`);
      this.#ref = name;
    }
    return this.#refKey;
  }

  #remember(cache: LruCache<string, string>, kind: string, name: string): string {
    let key = cache.get(name);
    if (key === undefined) {
      key = digest(`${this.#secret}${kind}${this.#host}\0${name}`);
      cache.set(name, key);
    }
    return key;
  }
}

function digest(text: string): string {
  return BigInt.asIntN(64, BigInt(`0x${hash('sha256', text).slice(0, 16)}`)).toString();
}

const values = new Uint8Array(128);
for (const [value, digit] of [...'0123456789abcdefghijklmnopqrstuv'].entries()) values[digit.charCodeAt(0)] = value;
const hex2 = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));
const hex3 = Array.from({ length: 4096 }, (_, i) => i.toString(16).padStart(3, '0'));
const rest = '0000000';

export const firstUuid = '0'.repeat(32);
export const lastUuid = 'f'.repeat(32);

/** 20 digits in base 32 are the first 25 in base 16 of a uuid, which sorts alike. */
function hexOf(id: string): string {
  let hex = '';
  for (let i = 0; i < 20; i += 4) {
    const high = (values[id.charCodeAt(i)]! << 15) | (values[id.charCodeAt(i + 1)]! << 10);
    const four = high | (values[id.charCodeAt(i + 2)]! << 5) | values[id.charCodeAt(i + 3)]!;
    hex += hex3[four >> 8]! + hex2[four & 255]!;
  }
  return hex;
}

/** The uuid of an id that was minted by us. */
export const uuidOf = (id: string): string => hexOf(id) + rest;

/** The id that a uuid stands for, as PostgreSQL writes uuids. */
export function idOf(uuid: string): string {
  const hex = uuid.replaceAll('-', '');
  let id = '';
  for (let i = 0; i < 25; i += 5) {
    id += Number.parseInt(hex.slice(i, i + 5), 16)
      .toString(32)
      .padStart(4, '0');
  }
  return id;
}

/** The uuid before which nothing has an id of this time or later, in milliseconds since 1970. */
export function uuidFloor(at: number): string {
  const floor = idFloor(at);
  if (floor === beyondIds) return lastUuid;
  return uuidOf(floor.padEnd(20, '0'));
}

/** Where a page or a range lies; ids in it are ids of ours. */
export type Span = Pick<ArchiveQuery, 'start' | 'end' | 'afterId' | 'beforeId' | 'after' | 'before'>;

/** The uuids from which and up to (not including) which it reaches; `undefined` where it is open. */
export function uuidBounds(span: Span): { readonly from: string | undefined; readonly to: string | undefined } {
  const { start, end } = span;
  let from = start === undefined || start <= 0 ? undefined : uuidFloor(start);
  let to = end === undefined || end === Number.POSITIVE_INFINITY ? undefined : uuidFloor(Math.floor(end) + 1);
  for (const after of [span.afterId, span.after]) {
    if (after === undefined) continue;
    const next = `${hexOf(after)}0000001`;
    if (from === undefined || next > from) from = next;
  }
  for (const before of [span.beforeId, span.before]) {
    if (before === undefined) continue;
    const own = uuidOf(before);
    if (to === undefined || own < to) to = own;
  }
  return { from, to };
}
