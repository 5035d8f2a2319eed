// The wire form between nodes. What a node sends to another goes in batches, each one entry of the other's inbox: a text that starts
// with the version of the form, who sent it, and its number among all batches between the two; then items, one after another:
//
//   1 host-1:Xb3k9aQ2 17\n
//   d31,208;romeo@verona.test/orchard\tsid<message ...>...</message>
//
// An item is a letter for its kind, the lengths of its parts (in UTF-16 units), and the parts. A node skips kinds it does not know,
// and parts beyond those it knows, so that releases which add some can run beside those before them. Bodies of calls and topics are
// JSON; stanzas stand as they are. Nothing that is read here is ever executed, or made into more than plain values. Texts of frames are
// slices of their batch, as those of a stanza are of what came over its stream: whoever keeps one flattens it.
import { flatten } from '../../xml/flatten.ts';
import type { Holders } from '../../xmpp/stanza.ts';
import type { Addressee, Frame, NodeId } from '../cluster.ts';

export type Content =
  | { readonly kind: 'frame'; readonly frame: Frame }
  | { readonly kind: 'topic'; readonly topic: string; readonly body: unknown }
  | { readonly kind: 'call'; readonly id: number; readonly method: string; readonly body: unknown }
  | { readonly kind: 'reply'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly message: string };

export interface Batch {
  readonly from: NodeId;
  /** Counts the batches from that node to this one, from 1. */
  readonly number: number;
  /** The rest, for `readItems`. */
  readonly items: string;
}

const VERSION = '1';

/** A whole batch. */
export function writeBatch(from: NodeId, number: number, items: string): string {
  return `${VERSION} ${from} ${number}\n${items}`;
}

/** @throws Error where it is not a batch, or one of a later version of the form. */
export function readBatch(text: string): Batch {
  const end = text.indexOf('\n');
  const [version, from, number] = text.slice(0, Math.max(0, end)).split(' ');
  if (version !== VERSION || !from || !/^[1-9]\d{0,15}$/.test(number ?? '')) {
    throw new Error(`an entry of the inbox is not a batch of version ${VERSION}: ${JSON.stringify(text.slice(0, 80))}`);
  }
  return { from: flatten(from) as NodeId, number: Number(number), items: text.slice(end + 1) };
}

export function writeFrame(frame: Frame): string {
  if (frame.kind === 'stanza') return item('s', frame.xml);
  const { kind, to, xml, had, each } = frame;
  const letter = kind === 'deliver' ? 'd' : 'u';
  const first = to[0];
  // neither addresses nor names of sessions have control characters
  const list = to.length === 1 ? `${first!.jid}\t${first!.sid}` : to.map(({ jid, sid }) => `${jid}\t${sid}`).join('\t');
  // (a release before this part leaves the address out, which clients do without)
  if (each !== undefined) {
    const mark = `+${each}`;
    return `${letter}${list.length},${xml.length},0,${mark.length};${list}${xml}${mark}`;
  }
  if (had === undefined) return `${letter}${list.length},${xml.length};${list}${xml}`;
  const holders = JSON.stringify(had);
  return `${letter}${list.length},${xml.length},${holders.length};${list}${xml}${holders}`;
}

export function writeTopic(topic: string, body: unknown): string {
  return item('t', topic, json(body));
}

export function writeCall(id: number, method: string, body: unknown): string {
  return item('c', String(id), method, json(body));
}

export function writeReply(id: number, body: unknown): string {
  return item('r', String(id), json(body));
}

export function writeFailure(id: number, message: string): string {
  return item('f', String(id), message);
}

/** What cannot be said in JSON counts as nothing said, as it does for `undefined`. */
function json(body: unknown): string {
  return body === undefined ? '' : JSON.stringify(body);
}

function item(letter: string, ...parts: readonly string[]): string {
  return `${letter}${parts.map(({ length }) => length).join(',')};${parts.join('')}`;
}

/**
 * Calls back for each item of a kind that is known; items that cannot be read are skipped.
 * @param onBad what was skipped though its kind is known
 * @throws Error where the text is cut off: what came before has been handed out
 */
export function readItems(items: string, fn: (content: Content) => void, onBad: (err: unknown) => void): void {
  let at = 0;
  while (at < items.length) {
    const letter = items[at]!;
    const lengths: number[] = [];
    let from = readLengths(items, at + 1, lengths);
    const parts: string[] = [];
    for (const length of lengths) {
      const to = from + length;
      if (to > items.length) throw new Error('a batch is cut off');
      parts.push(items.slice(from, to));
      from = to;
    }
    at = from;
    let content: Content | undefined;
    try {
      content = contentOf(letter, parts);
    } catch (err) {
      onBad(err);
    }
    if (content !== undefined) fn(content);
  }
}

/** Reads `31,208;`, and returns where that ends. */
function readLengths(items: string, start: number, lengths: number[]): number {
  let length = 0;
  for (let at = start; at < items.length; at++) {
    const char = items.charCodeAt(at);
    if (char >= 0x30 && char <= 0x39) length = 10 * length + char - 0x30;
    else if (char === 0x2c /* , */ || char === 0x3b /* ; */) {
      lengths.push(length);
      length = 0;
      if (char === 0x3b) return at + 1;
    } else break;
  }
  throw new Error('a batch is cut off');
}

function contentOf(
  letter: string,
  [first = '', second = '', third = '', fourth = '']: readonly string[],
): Content | undefined {
  switch (letter) {
    case 'd':
      return { kind: 'frame', frame: frameOf('deliver', first, second, third, fourth) };
    case 'u':
      return { kind: 'frame', frame: frameOf('undelivered', first, second, third, fourth) };
    case 's':
      return { kind: 'frame', frame: { kind: 'stanza', xml: first } };
    case 't':
      return { kind: 'topic', topic: first, body: parse(second) };
    case 'c':
      return { kind: 'call', id: Number(first), method: second, body: parse(third) };
    case 'r':
      return { kind: 'reply', id: Number(first), body: parse(second) };
    case 'f':
      return { kind: 'failure', id: Number(first), message: second };
    default:
      return undefined;
  }
}

function frameOf(kind: 'deliver' | 'undelivered', list: string, xml: string, had: string, each: string): Frame {
  if (each !== '') return { kind, to: addressees(list), xml, each: Number(each.slice(1)) };
  return had === '' ? { kind, to: addressees(list), xml } : { kind, to: addressees(list), xml, had: holders(had) };
}

function addressees(list: string): Addressee[] {
  const found: Addressee[] = [];
  for (let at = 0; at < list.length; ) {
    const middle = list.indexOf('\t', at);
    if (middle < 0) break;
    const tab = list.indexOf('\t', middle + 1);
    const end = tab < 0 ? list.length : tab;
    found.push({ jid: list.slice(at, middle), sid: list.slice(middle + 1, end) });
    at = end + 1;
  }
  return found;
}

function holders(text: string): Holders {
  const { home, id, to, copied } = JSON.parse(text) as Holders;
  return { home, id, to, copied };
}

function parse(body: string): unknown {
  return body === '' ? undefined : JSON.parse(body);
}
