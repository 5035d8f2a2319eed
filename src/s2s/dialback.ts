// Server dialback (XEP-0220 1.1.1) with keys as XEP-0185 makes them: what is said, and what an answer belongs to. No sockets in here.
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { type Element, el } from '../xml/element.ts';
import { escapeAttr, escapeText } from '../xml/escape.ts';
import { type Condition, isCondition, StanzaError } from '../xmpp/errors.ts';
import { prepareDomain } from '../xmpp/jid.ts';
import { NS } from '../xmpp/ns.ts';

/** XEP-0185: bound to both domains and to the stream, so that it is of no use anywhere else. */
export function dialbackKey(secret: string, receiving: string, originating: string, streamId: string): string {
  const key = createHash('sha256').update(secret).digest('hex');
  return createHmac('sha256', key).update(`${receiving} ${originating} ${streamId}`).digest('hex');
}

/** Compares in constant time. */
export function isDialbackKey(
  given: string,
  secret: string,
  receiving: string,
  originating: string,
  streamId: string,
): boolean {
  const expected = Buffer.from(dialbackKey(secret, receiving, originating, streamId));
  const actual = Buffer.from(given);
  return actual.length === expected.length && timingSafeEqual(actual, expected);
}

/** A pair of domains, as one of the two servers sees it. */
export interface DomainPair {
  readonly from: string;
  readonly to: string;
}

export type DialbackOutcome = 'valid' | 'invalid' | StanzaError;

/** What came from a peer: a request has a key, an answer has an outcome. */
export type DialbackMessage = DomainPair &
  (
    | { readonly name: 'result'; readonly key: string }
    | { readonly name: 'verify'; readonly id: string; readonly key: string }
    | { readonly name: 'result'; readonly outcome: DialbackOutcome }
    | { readonly name: 'verify'; readonly id: string; readonly outcome: DialbackOutcome }
  );

/** Reads an element of the dialback namespace; undefined for what is none of its messages. */
export function readDialback(element: Element): DialbackMessage | undefined {
  const { name, attrs } = element;
  const from = prepareDomain(attrs.from ?? '');
  const to = prepareDomain(attrs.to ?? '');
  if (from === undefined || to === undefined || (name !== 'result' && name !== 'verify')) return undefined;
  const { id, type } = attrs;
  if (name === 'verify' && id === undefined) return undefined;
  const outcome = type === undefined ? undefined : outcomeOf(type, element);
  if (type !== undefined && outcome === undefined) return undefined;
  const what = outcome === undefined ? { key: element.getText().trim() } : { outcome };
  return (name === 'result' ? { name, from, to, ...what } : { name, from, to, id, ...what }) as DialbackMessage;
}

function outcomeOf(type: string, element: Element): DialbackOutcome | undefined {
  if (type === 'valid' || type === 'invalid') return type;
  if (type !== 'error') return undefined;
  const found = element
    .getChild('error', null)
    ?.elements()
    .find((child) => child.ns === NS.stanzas && isCondition(child.name));
  return new StanzaError((found?.name as Condition | undefined) ?? 'undefined-condition');
}

/** XEP-0220 2.4.1: some only take the prefix "db", which our stream headers declare. */
function write(name: 'result' | 'verify', attrs: Readonly<Record<string, string>>, inner: string): string {
  let xml = `<db:${name}`;
  for (const [key, value] of Object.entries(attrs)) xml += ` ${key}='${escapeAttr(value)}'`;
  return inner === '' ? `${xml}/>` : `${xml}>${inner}</db:${name}>`;
}

function writeOutcome(
  name: 'result' | 'verify',
  attrs: Readonly<Record<string, string>>,
  outcome: DialbackOutcome,
): string {
  if (typeof outcome === 'string') return write(name, { ...attrs, type: outcome }, '');
  return write(name, { ...attrs, type: 'error' }, outcome.toElement().toXml());
}

/** Step 1: "I am `from`; here is a key to prove it." */
export function writeResultRequest({ from, to }: DomainPair, key: string): string {
  return write('result', { from, to }, escapeText(key));
}

/** Step 4. The pair is that of the request: what was from is to. */
export function writeResult({ from, to }: DomainPair, outcome: DialbackOutcome): string {
  return writeOutcome('result', { from: to, to: from }, outcome);
}

/** Step 2: "Did you give this key to a server for the stream `id`?" */
export function writeVerifyRequest({ from, to }: DomainPair, id: string, key: string): string {
  return write('verify', { from, to, id }, escapeText(key));
}

/** Step 3. The pair is that of the request. */
export function writeVerify({ from, to }: DomainPair, id: string, outcome: DialbackOutcome): string {
  return writeOutcome('verify', { from: to, to: from, id }, outcome);
}

/** XEP-0220 2.4.2. */
export const dialbackFeature: Element = el('dialback', NS.dialbackFeature, undefined, el('errors', NS.dialbackFeature));

/** The requests that one stream has open, so that only answers to them count (XEP-0220 4.1). */
export class DialbackRequests<T> {
  private readonly open = new Map<string, T>();

  get size(): number {
    return this.open.size;
  }

  /** Whether such a request is under way already. */
  has(pair: DomainPair, id = ''): boolean {
    return this.open.has(keyOf(pair, id));
  }

  add(pair: DomainPair, value: T, id = ''): void {
    this.open.set(keyOf(pair, id), value);
  }

  /** What an answer belongs to; `pair` is that of the answer. Undefined for one that nobody asked for. */
  take(pair: DomainPair, id = ''): T | undefined {
    const key = keyOf({ from: pair.to, to: pair.from }, id);
    const value = this.open.get(key);
    this.open.delete(key);
    return value;
  }

  /** Removes and returns all. */
  drain(): readonly T[] {
    const all = [...this.open.values()];
    this.open.clear();
    return all;
  }
}

function keyOf({ from, to }: DomainPair, id: string): string {
  return `${from} ${to} ${id}`;
}
