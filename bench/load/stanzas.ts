// Cuts what a server sends into the children of the stream's root, looking at nothing but tags: as cheap as counting them can be.

const LESS = 60;
const SLASH = 47;
const GREATER = 62;
const QUOTE = 34;
const APOSTROPHE = 39;

export class StanzaCutter {
  private readonly take: (xml: string) => void;
  /** From the beginning of the child that is not complete yet. */
  private rest = '';
  /** How far `rest` has been looked through. */
  private at = 0;
  private depth = 0;

  /** `take` gets each child whole, and `</stream:stream>` when it comes. */
  constructor(take: (xml: string) => void) {
    this.take = take;
  }

  /** Takes text as latin1: nothing here looks at anything but ASCII. */
  feed(chunk: string): void {
    const text = this.rest === '' ? chunk : this.rest + chunk;
    let start = 0;
    let at = this.at;
    for (;;) {
      const open = text.indexOf('<', at);
      if (open < 0) {
        at = text.length;
        // white space between stanzas
        if (this.depth === 0) start = at;
        break;
      }
      const close = endOfTag(text, open + 1);
      if (close < 0) {
        if (this.depth === 0) start = open;
        at = open;
        break;
      }
      if (this.depth === 0) start = open;
      if (text.charCodeAt(open + 1) === SLASH) this.depth = Math.max(0, this.depth - 1);
      else if (text.charCodeAt(close - 1) !== SLASH) this.depth++;
      at = close + 1;
      if (this.depth === 0) {
        this.take(text.slice(start, at));
        start = at;
      }
    }
    this.rest = start === 0 ? text : text.slice(start);
    this.at = at - start;
  }
}

/** The `>` that ends the tag, not one within an attribute; -1 when it has not come yet. */
function endOfTag(text: string, from: number): number {
  let quote = 0;
  for (let i = from; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (quote !== 0) {
      if (c === quote) quote = 0;
    } else if (c === GREATER) return i;
    else if (c === QUOTE || c === APOSTROPHE) quote = c;
    else if (c === LESS) throw new Error(`a tag within a tag: ${text.slice(from - 1, i + 20)}`);
  }
  return -1;
}
