// From text to tokens: what is cut off by the end of a chunk waits (XML 1.0, RFC 6120 11).
//
// A token is read in place when all of it is there. Of a cut one, a tag waits until its end is seen (looking only at what
// is new), anything else as the few characters that are not understood yet. So the cost is linear however the input is
// cut, no more is kept than the limits allow, and it makes no difference to what is told where the cuts are.
import { ascii, hasForbidden, SPACE, TEXT_STOP } from './chars.ts';
import { flatten } from './flatten.ts';
import { malformed, ParseError, tooMuch } from './parse-error.ts';
import { endOfReference, resolveReference } from './references.ts';
import type { Tree } from './tree.ts';
import { Utf8Decoder } from './utf8.ts';

export type Event = 'header' | 'element' | 'end';
/** `first`: a byte order mark may come. `start`: an XML declaration may. `content`: neither. */
type Phase = 'first' | 'start' | 'content';

const LONGEST_DECLARATION = 256;
/** Pieces of a tag before they are joined in memory. */
const PIECES = 256;

const CDATA = '<![CDATA[';
const XML_DECLARATION = '<?xml';
const LESS = 0x3c;
const GREATER = 0x3e;
const SLASH = 0x2f;
const BANG = 0x21;
const QUESTION = 0x3f;
const AMPERSAND = 0x26;
const BRACKET = 0x5d;
const RETURN = 0x0d;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;
const NEWLINE = 0x0a;
const BYTE_ORDER_MARK = 0xfeff;

const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(['"])1\.[0-9]+\1(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(['"])([A-Za-z][A-Za-z0-9._-]*)\2)?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(['"])(?:yes|no)\4)?[ \t\r\n]*\?>$/;

export class Lexer {
  /** What is left of the input is only understood with more behind it. */
  isWaiting = true;
  /** How large the element was that was told of last. */
  bytes = 0;
  private readonly tree: Tree;
  private readonly isFramed: boolean;
  private readonly decoder = new Utf8Decoder();
  private phase: Phase = 'first';
  private isRestarted = false;
  // what is being parsed, from `position` on
  private input = '';
  private position = 0;
  private isAscii = true;
  /** What follows the input is not UTF-8. */
  private isBroken = false;
  private isInCdata = false;
  // a tag whose end is still to come, and the quotation mark it is inside of
  private tag = '';
  private tagPieces = 0;
  private quote = 0;
  // of the present child of the root: from where its bytes are to be counted
  private countFrom = 0;

  constructor(tree: Tree, isFramed: boolean) {
    this.tree = tree;
    this.isFramed = isFramed;
  }

  /** What was loaded and not told of yet. */
  get unread(): string {
    return this.tag + this.input.slice(this.position);
  }

  /** How much of that could be read at once, in bytes. */
  get readableBytes(): number {
    return this.isWaiting ? 0 : this.sizeOf(this.position, this.input.length);
  }

  /** Bytes of a character that is not complete. */
  get pendingBytes(): number {
    return this.decoder.pending;
  }

  /** The root of another stream is to come, with what is unread. */
  restart(): void {
    this.phase = 'start';
    this.isRestarted = true;
    this.forget();
  }

  /** Drops what is unread. */
  clear(): void {
    this.input = '';
    this.position = 0;
    this.isBroken = false;
    this.isWaiting = true;
    this.decoder.reset();
    this.forget();
  }

  /** As new. */
  reset(): void {
    this.clear();
    this.phase = 'first';
    this.isRestarted = false;
  }

  /** Takes in what comes next. Throws a {@link ParseError}. */
  load(chunk: Buffer | string): void {
    let text: string;
    let isAscii = false;
    if (typeof chunk === 'string') {
      text = chunk;
      if (!isWellFormed(text)) malformed('half a surrogate pair');
    } else {
      const decoded = this.decoder.decode(chunk);
      text = decoded.text;
      isAscii = decoded.ascii;
      this.isBroken = decoded.broken;
    }
    // the rest is a few characters
    const rest = this.position < this.input.length ? this.input.slice(this.position) : '';
    this.input = rest === '' ? text : rest + text;
    this.isAscii = isAscii && (rest === '' || this.isAscii);
    this.position = 0;
    this.countFrom = rest.length;
    this.isWaiting = false;
    this.tree.spoil();
  }

  private forget(): void {
    this.tag = '';
    this.tagPieces = 0;
    this.quote = 0;
    this.isInCdata = false;
    this.bytes = 0;
    this.countFrom = 0;
  }

  /** Parses all that was loaded, as a document of its own. Throws a {@link ParseError}. */
  parseFrame(defaultNs: string): Event | undefined {
    this.tree.resetTo(defaultNs);
    this.restart();
    const event = this.parse();
    if (this.isBroken || this.pendingBytes > 0) throw new ParseError('unsupported-encoding', 'not UTF-8');
    if (event === undefined) {
      if (this.tree.depth > 0 || this.tag !== '' || this.position < this.input.length) malformed('half an element');
      return undefined;
    }
    if (this.skipSpace(this.position) < this.input.length) malformed('something behind the element');
    this.input = '';
    this.position = 0;
    this.isWaiting = true;
    return event;
  }

  /** The next thing to tell of a document that was loaded whole. Throws a {@link ParseError}. */
  parseWhole(): Event {
    const event = this.parse() ?? malformed('half a document');
    if (event === 'end') {
      if (this.isBroken || this.pendingBytes > 0) throw new ParseError('unsupported-encoding', 'not UTF-8');
      if (this.skipSpace(this.position) < this.input.length) malformed('something behind the root');
      this.input = '';
      this.position = 0;
      this.isWaiting = true;
    }
    return event;
  }

  /** The next thing to tell; nothing when that takes more input. Throws a {@link ParseError}. */
  parse(): Event | undefined {
    if (this.tree.ended) return 'end';
    const event = this.isPastDeclaration() && this.isPastTag() ? this.parseContent() : undefined;
    if (event === 'element') this.count(this.position);
    else if (event === undefined) {
      this.isWaiting = true;
      if (this.tree.depth > 0 || this.tag !== '') this.count(this.input.length);
      if (this.position === this.input.length) {
        this.input = '';
        this.position = 0;
      }
      if (this.isBroken) throw new ParseError('unsupported-encoding', 'not UTF-8');
    }
    return event;
  }

  private count(end: number): void {
    this.bytes += this.sizeOf(this.countFrom, end);
    this.countFrom = end;
    if (this.bytes > this.tree.limits.stanzaBytes) tooMuch('the element is too large');
  }

  private sizeOf(start: number, end: number): number {
    return this.isAscii ? end - start : Buffer.byteLength(this.input.slice(start, end));
  }

  // What may come before the root: a byte order mark, and an XML declaration (RFC 6120 11.5).
  private isPastDeclaration(): boolean {
    if (this.phase === 'content') return true;
    const { input } = this;
    if (this.position === input.length) return false;
    if (this.phase === 'first') {
      if (input.charCodeAt(this.position) === BYTE_ORDER_MARK) this.position++;
      this.phase = 'start';
    }
    // white space that was sent after the last element of the former stream
    if (this.isRestarted) this.position = this.skipSpace(this.position);
    const start = input.slice(this.position, this.position + LONGEST_DECLARATION);
    if (start.length <= XML_DECLARATION.length && XML_DECLARATION.startsWith(start)) return false;
    if (start.startsWith(XML_DECLARATION) && (ascii[start.charCodeAt(XML_DECLARATION.length)]! & SPACE) !== 0) {
      const end = start.indexOf('?>');
      if (end === -1) {
        if (start.length === LONGEST_DECLARATION) tooMuch('the XML declaration is too long');
        return false;
      }
      const match = declaration.exec(start.slice(0, end + 2)) ?? malformed('a broken XML declaration');
      if (match[3] !== undefined && match[3].toLowerCase() !== 'utf-8') {
        throw new ParseError('unsupported-encoding', 'the encoding must be UTF-8');
      }
      this.position += end + 2;
    }
    this.phase = 'content';
    return true;
  }

  private parseContent(): Event | undefined {
    const { input, tree } = this;
    const { length } = input;
    let i = this.position;
    for (;;) {
      if (tree.depth <= 0) {
        if (tree.element !== undefined || tree.header !== undefined || tree.ended) {
          this.position = i;
          return tree.element !== undefined ? 'element' : tree.header !== undefined ? 'header' : 'end';
        }
        if (i < length && input.charCodeAt(i) !== LESS) i = this.skipBetween(i);
        this.bytes = 0;
        this.countFrom = i;
      }
      if (i === length) break;
      if (this.isInCdata) i = this.readCdata(i);
      else if (input.charCodeAt(i) === LESS) i = this.readMarkup(i);
      else i = this.readText(i);
      if (i < 0) return undefined;
    }
    this.position = length;
    return undefined;
  }

  // What is left of the input has to wait for more; the answer of the reading functions below in this case.
  private wait(position: number): number {
    this.position = position;
    return -1;
  }

  private skipSpace(start: number): number {
    const { input } = this;
    let i = start;
    while (i < input.length && input.charCodeAt(i) <= 0x20 && (ascii[input.charCodeAt(i)]! & SPACE) !== 0) i++;
    return i;
  }

  // White space between stanzas keeps the connection alive (RFC 6120 4.6.1); other text has no place there.
  private skipBetween(start: number): number {
    const i = this.skipSpace(start);
    if (i < this.input.length && this.input.charCodeAt(i) !== LESS) {
      if (this.tree.depth === 0 && !this.isFramed) {
        throw new ParseError('bad-format', 'text between elements');
      }
      malformed('text outside the root');
    }
    return i;
  }

  private readMarkup(start: number): number {
    const { input, tree } = this;
    if (start + 1 === input.length) return this.wait(start);
    const next = input.charCodeAt(start + 1);
    if (next === BANG || next === QUESTION) return this.readSpecial(start, next);
    let end: number;
    try {
      end = next === SLASH ? tree.closeTag(input, start) : tree.openTag(input, start);
    } catch (error) {
      // what is wrong is told when the tag is complete, so that it does not matter where the input is cut
      if (!(error instanceof ParseError)) throw error;
      const last = this.findEndOfTag(start + 1);
      if (last !== -1) {
        this.checkTag(last + 1 - start);
        throw error;
      }
      end = -1;
    }
    if (end !== -1) return end;
    this.quote = 0;
    this.tag = input.slice(start);
    this.checkTag(this.tag.length);
    if (this.findEndOfTag(start + 1) !== -1) malformed('a broken tag');
    return this.wait(input.length);
  }

  private checkTag(length: number): void {
    if (length > this.tree.limits.startTagBytes) tooMuch('the tag is too long');
  }

  // Where the tag ends that goes on at `start`, in the quotation mark that was left behind: at a ">" outside quotation marks, or a "<", which must not be in a tag.
  private findEndOfTag(start: number): number {
    const { input } = this;
    let { quote } = this;
    for (let i = start; i < input.length; i++) {
      const char = input.charCodeAt(i);
      if (char === LESS || (char === GREATER && quote === 0)) return i;
      if (char === QUOTE || char === APOSTROPHE) {
        if (quote === 0) quote = char;
        else if (quote === char) quote = 0;
      }
    }
    this.quote = quote;
    return -1;
  }

  // Goes on with a tag that was cut; false when its end is still not there.
  private isPastTag(): boolean {
    if (this.tag === '') return true;
    const { input, tree } = this;
    const last = this.findEndOfTag(this.position);
    const end = last === -1 ? input.length : last + 1;
    const tag = this.tag + input.slice(this.position, end);
    this.position = end;
    this.checkTag(tag.length);
    if (last === -1) {
      this.tag = tag;
      if (++this.tagPieces === PIECES) {
        // a string of many pieces takes many times the memory of a flat one
        this.tag = flatten(tag);
        this.tagPieces = 0;
      }
      return false;
    }
    this.tag = '';
    this.tagPieces = 0;
    this.quote = 0;
    const read = tag.charCodeAt(1) === SLASH ? tree.closeTag(tag, 0) : tree.openTag(tag, 0);
    if (read !== tag.length) malformed('a broken tag');
    tree.spoil();
    return true;
  }

  // Comments, processing instructions and document types are refused (RFC 6120 11.1); CDATA sections are text.
  private readSpecial(start: number, kind: number): number {
    const { input, tree } = this;
    if (kind === QUESTION) throw new ParseError('restricted-xml', 'processing instructions are not allowed');
    const opening = input.slice(start, start + CDATA.length);
    if (opening === CDATA) {
      if (tree.depth === 0 && !this.isFramed) throw new ParseError('bad-format', 'text between elements');
      if (tree.depth <= 0) malformed('text outside the root');
      tree.spoil();
      this.isInCdata = true;
      return start + CDATA.length;
    }
    if (CDATA.startsWith(opening)) return this.wait(start);
    if (opening.startsWith('<!-') || opening.startsWith('<!D')) {
      throw new ParseError('restricted-xml', 'comments and document types are not allowed');
    }
    return malformed('markup that is not XML');
  }

  private readCdata(start: number): number {
    const { input } = this;
    const end = input.indexOf(']]>', start);
    let stop = end;
    if (end === -1) {
      // the last characters may be part of the end, or of a line's end
      stop = Math.max(start, input.length - 2);
      if (stop > start && input.charCodeAt(stop - 1) === RETURN) stop--;
    }
    const text = input.slice(start, stop);
    if (hasForbidden(text)) malformed('a character that is not allowed');
    this.tree.addText(text.includes('\r') ? text.replace(/\r\n?/g, '\n') : text);
    if (end === -1) return this.wait(stop);
    this.isInCdata = false;
    return end + 3;
  }

  private readText(start: number): number {
    const { input, tree } = this;
    const { length } = input;
    let i = start;
    for (; i < length; i++) {
      const char = input.charCodeAt(i);
      if (char < 0x80 ? (ascii[char]! & TEXT_STOP) === 0 : char < 0xfffe) continue;
      if (char !== BRACKET || i + 1 === length || input.charCodeAt(i + 1) === BRACKET) break;
    }
    if (i > start) tree.addText(input.slice(start, i));
    if (i === length) return i;
    const char = input.charCodeAt(i);
    if (char === LESS) return i;
    if (char === AMPERSAND) {
      const end = endOfReference(input, i);
      if (end === -1) return this.wait(i);
      tree.addText(resolveReference(input.slice(i, end)));
      return end;
    }
    if (char === RETURN) {
      if (i + 1 === length) return this.wait(i);
      tree.addText('\n');
      return input.charCodeAt(i + 1) === NEWLINE ? i + 2 : i + 1;
    }
    if (char !== BRACKET) malformed('a character that is not allowed');
    if (i + 2 >= length) return this.wait(i);
    if (input.charCodeAt(i + 2) === GREATER) malformed('"]]>" in text');
    tree.addText(']');
    return i + 1;
  }
}

// (in Node since 20, in the language's own types since ES2024)
function isWellFormed(text: string): boolean {
  return (text as string & { isWellFormed(): boolean }).isWellFormed();
}
