// What is kept back from one session, in the order in which it came. Kept as flat text: an element would keep alive the
// whole chunk of input that it was cut from.
import { parseElement } from '../../xml/document.ts';
import { flatten } from '../../xml/flatten.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { type Message, type Reach, type Stanza, stanzaOf } from '../../xmpp/stanza.ts';

/** A stanza as it is kept. */
interface Kept {
  readonly xml: string;
  readonly from: Jid;
  readonly to: Jid;
  readonly reach: Reach | undefined;
  /** When it came, in milliseconds since 1970. */
  readonly at: number;
}

/** A stanza, and when it came, in milliseconds since 1970. */
export interface Taken {
  readonly stanza: Stanza;
  readonly at: number;
}

/** Stanzas that wait for a session, oldest first. */
export class Shelf {
  private kept = new Map<string, Kept>();
  private unnamed = 0;
  private size = 0;

  /** How many stanzas are kept. */
  get count(): number {
    return this.kept.size;
  }

  /** What they take, in bytes, roughly: characters beyond Latin-1 take two in memory. */
  get bytes(): number {
    return this.size;
  }

  /**
   * Keeps a stanza; what was kept under the same key is dropped. Returns whether something was.
   * @param at when it came, in milliseconds since 1970
   */
  put(stanza: Stanza, key: string | undefined, at: number): boolean {
    // a key of ours begins with a word
    const name = key ?? String(this.unnamed++);
    const had = key !== undefined && this.drop(key);
    const { from, to } = stanza;
    const reach = stanza.kind === 'message' ? stanza.reach : undefined;
    const entry: Kept = { xml: flatten(stanza.el.toXml()), from, to, reach, at };
    this.size += entry.xml.length + name.length;
    // at the end: the order of what one sender sent stays
    this.kept.set(name, entry);
    return had;
  }

  /** Drops what is kept under a key. Returns whether there was something. */
  drop(key: string): boolean {
    const had = this.kept.get(key);
    if (had === undefined) return false;
    this.size -= had.xml.length + key.length;
    return this.kept.delete(key);
  }

  /** Takes everything out, in order. */
  take(): Taken[] {
    const entries = [...this.kept.values()];
    this.kept = new Map();
    this.size = 0;
    // one document, one parser
    const elements = parseElement(`<kept>${entries.map(({ xml }) => xml).join('')}</kept>`).elements();
    return entries.map(({ from, to, reach, at }, i) => {
      const stanza = stanzaOf(elements[i]!, from, to);
      return { stanza: reach === undefined ? stanza : ({ ...stanza, reach } as Message), at };
    });
  }
}
