// Addresses (RFC 7622): parsing, preparation, and the one form of an address that is stored and compared.
import { LruCache } from '../base/lru.ts';
import { prepareHost } from './idna.ts';
import { opaqueString, usernameCaseMapped } from './precis.ts';

export type BareJid = string & { readonly __brand: 'bare' };

/** RFC 7622 3.2, 3.3, 3.4: octets of a part, after preparation. */
const MAX_PART = 1023;
/** RFC 1035 2.3.4, without the root: characters of a host name. */
const MAX_HOST = 253;
const MAX_LABEL = 63;
/** Code units of an address before preparation, which is then refused without a closer look. */
const MAX_INPUT = 4096;
/** Code units of a part before preparation: NFC makes at most three of them into two octets. */
const MAX_PART_INPUT = 1536;

/** An address whose parts are all prepared. Two addresses are the same exactly when their `full` are. */
export class Jid {
  readonly local: string;
  readonly domain: string;
  /** `''` in a bare JID. */
  readonly resource: string;
  readonly bare: BareJid;
  readonly full: string;

  private constructor(local: string, domain: string, resource: string, bare: string, full: string) {
    this.local = local;
    this.domain = domain;
    this.resource = resource;
    this.bare = bare as BareJid;
    this.full = full;
  }

  /**
   * The address that a text stands for; undefined where it stands for none. The result keeps nothing of the text alive
   * but a copy of its own: a slice of a network chunk may be given.
   */
  static parse(given: string): Jid | undefined {
    if (given.length > MAX_INPUT) return undefined;
    const text = flatten(given);
    // RFC 7622 3.1: the first slash ends the bare part, and the first at-sign before it the localpart.
    const slash = text.indexOf('/');
    const end = slash === -1 ? text.length : slash;
    let at = text.indexOf('@');
    if (at > end) at = -1;
    const givenLocal = at === -1 ? '' : text.slice(0, at);
    const givenDomain = text.slice(at + 1, end);
    const givenResource = slash === -1 ? '' : text.slice(slash + 1);
    const local = at === -1 ? '' : localOf(givenLocal);
    if (local === undefined) return undefined;
    const domain = domainOf(givenDomain);
    if (domain === undefined) return undefined;
    const resource = slash === -1 ? '' : resourceOf(givenResource);
    if (resource === undefined) return undefined;
    // Most addresses arrive prepared: then their strings are slices of the one given, which costs least.
    if (local === givenLocal && domain === givenDomain && resource === givenResource) {
      return new Jid(local, domain, resource, slash === -1 ? text : text.slice(0, end), text);
    }
    return Jid.of(local, domain, resource);
  }

  /** An address of parts that are prepared (and copied) already by the functions below; `''` for a local or a resource that is not there. */
  static of(local: string, domain: string, resource = ''): Jid {
    const bare = local === '' ? domain : `${local}@${domain}`;
    return new Jid(local, domain, resource, bare, resource === '' ? bare : `${bare}/${resource}`);
  }

  /** An address of parts as somebody typed them; `''` for a local or a resource that is not there. */
  static prepare(local: string, domain: string, resource = ''): Jid | undefined {
    const preparedLocal = local === '' ? '' : prepareLocal(local);
    const preparedDomain = prepareDomain(domain);
    const preparedResource = resource === '' ? '' : prepareResource(resource);
    if (preparedLocal === undefined || preparedDomain === undefined || preparedResource === undefined) return undefined;
    return Jid.of(preparedLocal, preparedDomain, preparedResource);
  }

  get isBare(): boolean {
    return this.resource === '';
  }

  /** The same account or host with another resource, which is prepared already; `''` gives the bare JID. */
  withResource(resource: string): Jid {
    if (resource === this.resource) return this;
    const full = resource === '' ? this.bare : `${this.bare}/${resource}`;
    return new Jid(this.local, this.domain, resource, this.bare, full);
  }

  toString(): string {
    return this.full;
  }
}

/** A localpart: UsernameCaseMapped without the characters of RFC 7622 3.3.1; undefined when it is not one. */
export function prepareLocal(text: string): string | undefined {
  return text.length > MAX_PART_INPUT ? undefined : localOf(flatten(text));
}

/** A domainpart: a host name of U-labels in lower case, an IPv4 address or an IPv6 address in brackets. */
export function prepareDomain(text: string): string | undefined {
  return text.length > MAX_PART_INPUT ? undefined : domainOf(flatten(text));
}

/** A resourcepart: OpaqueString; undefined when it is not one. */
export function prepareResource(text: string): string | undefined {
  return text.length > MAX_PART_INPUT ? undefined : resourceOf(flatten(text));
}

// A copy that does not keep the string alive that `text` may be a slice of (a 64 KiB chunk of a stream): joining
// makes a new string, and taking a slice of it writes it out.
function flatten(text: string): string {
  return ` ${text}`.slice(1);
}

// Parsing plain ASCII costs about what looking it up would, so whole addresses are not cached. What is cached are
// the parts that take PRECIS or IDNA (1 to 20 us): module-level state by exception, for it is the memo of a pure
// function and nothing but time and memory can tell it from its absence. Bounded: 10,240 strings of at most 128 code
// units with their prepared form, 6 MB at the very worst; what is malformed is not kept, and flooding it makes others
// pay for a preparation, nothing more.
const MAX_MEMO = 128;

function memo(capacity: number, prepare: (text: string) => string | undefined): (text: string) => string | undefined {
  const cache = new LruCache<string, string>(capacity);
  return (text) => {
    if (text.length > MAX_MEMO) return prepare(text);
    const known = cache.get(text);
    if (known !== undefined) return known;
    const key = flatten(text);
    const prepared = prepare(key);
    if (prepared !== undefined) cache.set(key, prepared);
    return prepared;
  };
}

// What each ASCII character may do, as bits of one table.
const LOCAL = 1;
const HOST = 2;
const UPPER = 4;
const ascii = new Uint8Array(128);
for (let code = 0x21; code < 0x7f; code++) {
  const char = String.fromCharCode(code);
  ascii[code] =
    // RFC 7622 3.3.1: what a localpart excludes although IdentifierClass has it.
    ('"&\'/:<>@'.includes(char) ? 0 : LOCAL) | (/[a-z0-9.-]/i.test(char) ? HOST : 0) | (/[A-Z]/.test(char) ? UPPER : 0);
}

function localOf(text: string): string | undefined {
  let upper = 0;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 128) return text.length > MAX_PART_INPUT ? undefined : prepareOtherLocal(text);
    const flags = ascii[code]!;
    if ((flags & LOCAL) === 0) return undefined;
    upper |= flags;
  }
  if (text.length === 0 || text.length > MAX_PART) return undefined;
  return (upper & UPPER) === 0 ? text : text.toLowerCase();
}

const prepareOtherLocal = memo(2048, (text) => {
  const prepared = usernameCaseMapped(text);
  if (prepared === undefined || /["&'/:<>@]/.test(prepared) || Buffer.byteLength(prepared) > MAX_PART) return undefined;
  return prepared;
});

function domainOf(text: string): string | undefined {
  let upper = 0;
  let label = 0; // where the current label began
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 128) return prepareOtherDomain(text);
    const flags = ascii[code]!;
    if ((flags & HOST) === 0) return code === 0x5b /* [ */ && i === 0 ? prepareOtherDomain(text) : undefined;
    upper |= flags;
    if (code === 0x2e /* . */) {
      if (!isLdhLabel(text, label, i)) return undefined;
      label = i + 1;
    } else if (code === 0x2d /* - */ && i === label + 3 && text.charCodeAt(i - 1) === 0x2d) {
      // RFC 5890 2.3.1: hyphens in the third and fourth place belong to A-labels, which become U-labels.
      return prepareOtherDomain(text);
    }
  }
  // RFC 7622 3.2: the final dot of the root is stripped.
  const length = label === text.length && label > 0 ? label - 1 : text.length;
  if (length === 0 || length > MAX_HOST) return undefined;
  if (length === text.length && !isLdhLabel(text, label, length)) return undefined;
  const name = length === text.length ? text : text.slice(0, length);
  return (upper & UPPER) === 0 ? name : name.toLowerCase();
}

const prepareOtherDomain = memo(1024, prepareHost);

function isLdhLabel(text: string, start: number, end: number): boolean {
  const length = end - start;
  return (
    length > 0 &&
    length <= MAX_LABEL &&
    text.charCodeAt(start) !== 0x2d /* - */ &&
    text.charCodeAt(end - 1) !== 0x2d /* - */
  );
}

function resourceOf(text: string): string | undefined {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 128) return text.length > MAX_PART_INPUT ? undefined : prepareOtherResource(text);
    if (code < 0x20 || code === 0x7f) return undefined;
  }
  return text.length === 0 || text.length > MAX_PART ? undefined : text;
}

const prepareOtherResource = memo(2048, (text) => {
  const prepared = opaqueString(text);
  return prepared === undefined || Buffer.byteLength(prepared) > MAX_PART ? undefined : prepared;
});
