// Values and keys on their way into a store: JSON that every database can hold.
// PostgreSQL has neither U+0000 nor unpaired surrogates in text and jsonb (PostgreSQL manual, 8.14 and RFC 7493 2.1).
import { UnstorableValue } from './errors.ts';

const unpairedOrNul = /[\0\p{Surrogate}]/u;
// in what JSON.stringify writes: an escape that is not itself an escaped backslash
const escapedUnpairedOrNul = /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f][0-9a-f]{2})/;

/** The JSON of a value. Throws {@link UnstorableValue} where there is none, or where text in it cannot be stored. */
export function encode(value: unknown): string {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined) throw new UnstorableValue(`a ${typeof value} is not JSON`);
  if (json.includes('\\u') && escapedUnpairedOrNul.test(json)) {
    throw new UnstorableValue('text with U+0000 or half a surrogate pair cannot be stored');
  }
  return json;
}

/** Throws {@link UnstorableValue} for an owner, a key or an indexed text that no database can hold. */
export function checkText(text: string): string {
  if (unpairedOrNul.test(text)) {
    throw new UnstorableValue('a key with U+0000 or half a surrogate pair cannot be stored');
  }
  return text;
}

/** Freezes a JSON value all the way down. */
export function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    for (const inner of Object.values(value)) freeze(inner);
    Object.freeze(value);
  }
  return value;
}

/** What would come back from a database, shared and therefore frozen. */
export function stored<T>(value: T): T {
  return freeze(JSON.parse(encode(value)) as T);
}
