// The archive of an account in its file (XEP-0227 4.10), message by message, and its preferences (XEP-0441).
//
// An archive has ids of its own making. Those of another Parley are kept; of a foreign one an id is made that says the same time and is
// always the same, so that what is read twice is there once. Clients that remember the foreign id ask anew for what they have.
import { createHash } from 'node:crypto';
import type { Portion, PortionReader, Reading } from '../../core/portion.ts';
import { idAt, idTime, isId } from '../../storage/ids.ts';
import type { ArchiveStore, NewArchived } from '../../storage/ports.ts';
import type { Element } from '../../xml/element.ts';
import { escapeAttr } from '../../xml/escape.ts';
import { formatDateTime, parseDateTime } from '../../xmpp/datetime.ts';
import { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';
import { type Prefs, parsePrefs, prefsElement } from '../mam/prefs.ts';
import { refBy, senderOf } from '../mam/references.ts';
import { withoutStanzaIds } from '../mam/stanza-ids.ts';
import { isNamed, pages, standingAlone } from './xml.ts';

export interface ArchivePortionParts {
  readonly messages: ArchiveStore;
  /** What an account has said of what is kept; undefined where it has said nothing. */
  prefsOf(user: string): Promise<Prefs | undefined>;
  setPrefs(user: string, prefs: Prefs): Promise<void>;
}

/** Messages that are read, or written, together. */
const TOGETHER = 250;

export function archivePortion(parts: ArchivePortionParts): Portion {
  const isArchive = isNamed('archive', NS.pieMam);
  const isPrefs = isNamed('prefs', NS.mam);
  return {
    takes: (element) => isArchive(element) || isPrefs(element),
    opens: (tag, around) => around.length === 0 && isArchive(tag),
    async *write({ local }) {
      const prefs = await parts.prefsOf(local);
      if (prefs !== undefined) yield prefsElement(prefs).toXml();
      let hasBegun = false;
      const read = (after: string | undefined) =>
        parts.messages.find(local, { limit: TOGETHER, ...(after !== undefined && { after }) });
      for await (const entries of pages(read)) {
        if (!hasBegun) yield `<archive xmlns='${NS.pieMam}'>`;
        hasBegun = true;
        yield entries.map(({ id, at, xml }) => resultXml(id, at, xml)).join('\n');
      }
      if (hasBegun) yield '</archive>';
    },
    read: (reading) => new ArchiveReader(parts, reading),
  };
}

function resultXml(id: string, at: number, xml: string): string {
  const delay = `<delay xmlns='${NS.delay}' stamp='${formatDateTime(at)}'/>`;
  const forwarded = `<forwarded xmlns='${NS.forward}'>${delay}${standingAlone(xml)}</forwarded>`;
  return `<result xmlns='${NS.mam}' id='${escapeAttr(id)}'>${forwarded}</result>`;
}

type Wanted = NewArchived & { readonly id: string };

class ArchiveReader implements PortionReader {
  private readonly parts: ArchivePortionParts;
  private readonly reading: Reading;
  /** By id: a file may have a message twice. */
  private waiting = new Map<string, Wanted>();
  /** The millisecond of the last message with a foreign id, and how many there were of it. */
  private last = { at: -1, count: 0 };

  constructor(parts: ArchivePortionParts, reading: Reading) {
    this.parts = parts;
    this.reading = reading;
  }

  async take(element: Element, around: readonly Element[]): Promise<void> {
    if (around.length === 0) return this.takePrefs(element);
    const message = this.wanted(element);
    if (typeof message === 'string') {
      this.reading.notes.ignored('messages', message);
      return;
    }
    this.waiting.set(message.id, message);
    if (this.waiting.size >= TOGETHER) await this.flush();
  }

  close(): Promise<void> {
    return this.flush();
  }

  private async takePrefs(element: Element): Promise<void> {
    const { notes, user, isDry } = this.reading;
    const prefs = parsePrefs(element);
    const there = await this.parts.prefsOf(user.local);
    if (there === undefined) {
      notes.added('preferences');
      if (!isDry) await this.parts.setPrefs(user.local, prefs);
    } else if (prefsElement(there).toXml() === prefsElement(prefs).toXml()) notes.same('preferences');
    else notes.kept('preferences', 'what is kept of conversations');
  }

  /** A message as it is stored, or why it cannot be. */
  private wanted(result: Element): Wanted | string {
    const forwarded = result.getChild('forwarded', NS.forward);
    const message = forwarded?.elements().find((child) => child.is('message', null));
    const at = parseDateTime(forwarded?.getChild('delay', NS.delay)?.attrs.stamp ?? '');
    if (message === undefined || at === undefined || at <= 0) return 'a message or its time is missing';
    const { user } = this.reading;
    const from = message.attrs.from === undefined ? user : Jid.parse(message.attrs.from);
    const to = message.attrs.to === undefined ? user : Jid.parse(message.attrs.to);
    if (from === undefined || to === undefined) return 'an address is none';
    // what was said in a room, and came by there, is to nobody of the account
    const other = from.bare === user.bare ? to : from;
    const stored = withoutStanzaIds(message, user.bare);
    return {
      id: this.idFor(result.attrs.id ?? '', at, stored),
      with: other.bare,
      resource: other.resource,
      xml: stored.toXml(),
      ref: refBy(stored, senderOf(stored, from)),
    };
  }

  private idFor(id: string, at: number, message: Element): string {
    if (isId(id) && idTime(id) === at) return id;
    this.last = at === this.last.at ? { at, count: this.last.count + 1 } : { at, count: 0 };
    const known = createHash('sha256')
      .update(id === '' ? message.toXml() : id)
      .digest();
    return idAt(at, this.last.count, known);
  }

  private async flush(): Promise<void> {
    const { reading } = this;
    const waiting = [...this.waiting.values()];
    if (waiting.length === 0) return;
    this.waiting.clear();
    const { messages } = this.parts;
    const { local } = reading.user;
    const there = await this.known(waiting);
    const wanted = waiting.filter(({ id }) => !there.has(markOf(id)));
    reading.notes.same('messages', waiting.length - wanted.length);
    reading.notes.added('messages', wanted.length);
    if (reading.isDry) return;
    await Promise.all(wanted.map((message) => messages.append(local, message).durable));
  }

  /** What is in the archive of the time of these. */
  private async known(waiting: readonly Wanted[]): Promise<ReadonlySet<string>> {
    const times = waiting.map(({ id }) => idTime(id));
    const range = { start: Math.min(...times), end: Math.max(...times) };
    const found = new Set<string>();
    const read = (after: string | undefined) =>
      this.parts.messages.find(this.reading.user.local, {
        ...range,
        limit: 1000,
        ...(after !== undefined && { after }),
      });
    for await (const entries of pages(read)) for (const { id } of entries) found.add(markOf(id));
    return found;
  }
}

/** What of an id does not depend on what stands before it in the file. */
const markOf = (id: string): string => id.slice(0, 10) + id.slice(13);
