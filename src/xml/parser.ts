// The parser: bytes to elements, as they come in (XML 1.0, Namespaces in XML 1.0, RFC 6120 4.8, 11).
//
// A token is read in place when all of it is there. What is cut off by the end of a chunk waits: a tag until its end is
// seen (looking only at what is new), anything else as the few characters that are not understood yet. So the cost is
// linear however the input is cut, and no more is ever kept than the limits allow.
import { ascii, hasForbidden, isBlank, SPACE, TEXT_STOP } from './chars.ts';
import type { Element } from './element.ts';
import { malformed, type ParseCondition, ParseError, tooMuch } from './parse-error.ts';
import { endOfReference, resolveReference } from './references.ts';
import { CLIENT_NS, type ParserLimits, type StreamHeader, Tree } from './tree.ts';
import { Utf8Decoder } from './utf8.ts';

export { type ParseCondition, ParseError } from './parse-error.ts';
export type { ParserLimits, StreamHeader } from './tree.ts';

export interface ParserHandlers {
  /** The root's start tag. */
  onHeader(header: StreamHeader): void;
  /** A whole child of the root, and how many bytes it was. */
  onElement(element: Element, bytes: number): void;
  /** The root's end tag; what follows is ignored until {@link Parser.restart}. */
  onEnd(): void;
  /** Something was refused; nothing more comes after it. */
  onError(condition: ParseCondition, text: string): void;
}

export interface ParserOptions {
  /** Every text is one whole element and there is no root (RFC 7395 3.3). */
  readonly framed?: boolean;
  /** The content namespace where the root does not tell: prefix-free streams (RFC 6120 4.8.2), and frames. */
  readonly contentNs?: string;
  /** The default namespace that surrounds a frame; none unless given (RFC 7395 3.3.3). */
  readonly defaultNs?: string;
}

export const defaultLimits: ParserLimits = {
  stanzaBytes: 256 * 1024,
  depth: 64,
  attributes: 64,
  prefixes: 128,
  startTagBytes: 16 * 1024,
  keptBytes: 1024 * 1024,
};

type Event = 'header' | 'element' | 'end';
/** `first`: a byte order mark may come. `start`: an XML declaration may. `prolog`: the root must. `ended`: nothing is read. */
type Phase = 'first' | 'start' | 'prolog' | 'content' | 'ended';

/** How much is decoded at once, whatever is written. */
const CHUNK = 64 * 1024;
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

const nothing: (Buffer | string)[] = [];

const declaration =
  /^<\?xml[ \t\r\n]+version[ \t\r\n]*=[ \t\r\n]*(['"])1\.[0-9]+\1(?:[ \t\r\n]+encoding[ \t\r\n]*=[ \t\r\n]*(['"])([A-Za-z][A-Za-z0-9._-]*)\2)?(?:[ \t\r\n]+standalone[ \t\r\n]*=[ \t\r\n]*(['"])(?:yes|no)\4)?[ \t\r\n]*\?>$/;

export class Parser {
  private readonly handlers: ParserHandlers;
  private readonly options: ParserOptions;
  private readonly decoder = new Utf8Decoder();
  private readonly tree: Tree;
  private phase: Phase = 'first';
  private hasFailed = false;
  private isRestarted = false;
  private isSuspended = false;
  private isRunning = false;
  // what is being parsed, from `position` on
  private input = '';
  private position = 0;
  private isAscii = true;
  /** What follows the input is not UTF-8. */
  private isBroken = false;
  /** What is left of the input is only understood with more behind it. */
  private isWaiting = true;
  private isInCdata = false;
  // a tag whose end is still to come, and the quotation mark it is inside of
  private tag = '';
  private tagPieces = 0;
  private quote = 0;
  // of the present child of the root: its bytes in earlier chunks, and from where to count in this one
  private bytes = 0;
  private countFrom = 0;
  private queue: (Buffer | string)[] = nothing;

  constructor(handlers: ParserHandlers, limits: Partial<ParserLimits> = {}, options: ParserOptions = {}) {
    this.handlers = handlers;
    this.options = options;
    this.tree = new Tree(
      { ...defaultLimits, ...limits },
      options.contentNs ?? (options.framed === true ? CLIENT_NS : undefined),
    );
  }

  /** Bytes that wait for {@link resume}. */
  get keptBytes(): number {
    let bytes = this.isWaiting ? 0 : this.sizeOf(this.position, this.input.length);
    for (const chunk of this.queue) bytes += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
    return bytes;
  }

  /** Parses bytes. Throws nothing but what a handler throws. */
  write(chunk: Buffer): void {
    this.take(chunk);
  }

  /** Parses text; in framed mode, one whole frame. Throws nothing but what a handler throws. */
  writeText(text: string): void {
    this.take(text);
  }

  /** Stops behind the present element; for handlers. What comes in is kept. */
  suspend(): void {
    this.isSuspended = true;
  }

  /** Goes on: at once with what was kept, or when the handler returns that calls this. */
  resume(): void {
    this.isSuspended = false;
    this.run();
  }

  /** A new stream begins with the first byte that is not parsed yet. */
  restart(): void {
    if (this.hasFailed) return;
    this.tree.reset();
    this.phase = 'start';
    this.isRestarted = true;
    this.forget();
  }

  /** Drops what was written and is not parsed yet, and says how many bytes that was: 0 for mere white space. */
  discard(): number {
    const ahead = `${this.tag}${this.input.slice(this.position)}${this.queue.join('')}`;
    const dropped = isBlank(ahead) && !this.isBroken ? this.decoder.pending : Buffer.byteLength(ahead);
    this.input = '';
    this.position = 0;
    this.isBroken = false;
    this.isWaiting = true;
    this.queue = nothing;
    this.decoder.reset();
    this.forget();
    return dropped;
  }

  /** As new, for another connection. */
  reset(): void {
    this.discard();
    this.hasFailed = false;
    this.restart();
    this.phase = 'first';
    this.isRestarted = false;
    this.isSuspended = false;
  }

  /** Changes some limits, from the next element on. */
  setLimits(limits: Partial<ParserLimits>): void {
    this.tree.limits = { ...this.tree.limits, ...limits };
  }

  private forget(): void {
    this.tag = '';
    this.tagPieces = 0;
    this.quote = 0;
    this.isInCdata = false;
    this.bytes = 0;
    this.countFrom = 0;
  }

  private take(chunk: Buffer | string): void {
    if (this.phase === 'ended' || chunk.length === 0) return;
    if (!this.isRunning && !this.isSuspended && this.queue.length === 0 && chunk.length <= CHUNK) {
      this.run(chunk);
      return;
    }
    if (this.queue === nothing) this.queue = [];
    this.queue.push(chunk);
    if (!this.isSuspended) this.run();
    else if (this.keptBytes > this.tree.limits.keptBytes) {
      this.fail(new ParseError('policy-violation', 'too much is waiting to be handled'));
    }
  }

  // Parses until there is nothing left to parse, or a handler says stop.
  private run(chunk?: Buffer | string): void {
    if (this.isRunning) return;
    this.isRunning = true;
    let next = chunk;
    try {
      while (!this.isSuspended && this.phase !== 'ended') {
        if (this.isWaiting) {
          next ??= this.dequeue();
          if (next === undefined) break;
        }
        let event: Event | undefined;
        try {
          if (next !== undefined) this.load(next);
          event = this.options.framed === true ? this.parseFrame() : this.parse();
        } catch (error) {
          if (!(error instanceof ParseError)) throw error;
          this.fail(error);
          return;
        }
        next = undefined;
        if (event !== undefined) this.emit(event);
      }
    } finally {
      this.isRunning = false;
    }
  }

  private dequeue(): Buffer | string | undefined {
    const chunk = this.queue[0];
    if (chunk === undefined) return undefined;
    if (typeof chunk === 'string' || chunk.length <= CHUNK || this.options.framed === true) {
      this.queue.shift();
      if (this.queue.length === 0) this.queue = nothing;
      return chunk;
    }
    this.queue[0] = chunk.subarray(CHUNK);
    return chunk.subarray(0, CHUNK);
  }

  private load(chunk: Buffer | string): void {
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

  private emit(event: Event): void {
    const { tree, handlers } = this;
    if (event === 'element') {
      const element = tree.element!;
      tree.element = undefined;
      handlers.onElement(element, this.bytes);
    } else if (event === 'header') {
      const header = tree.header!;
      tree.header = undefined;
      this.phase = 'content';
      handlers.onHeader(header);
    } else {
      this.discard();
      this.phase = 'ended';
      handlers.onEnd();
    }
  }

  private fail(error: ParseError): void {
    this.discard();
    this.tree.reset();
    this.phase = 'ended';
    this.hasFailed = true;
    this.handlers.onError(error.condition, error.text);
  }

  // Each frame is a document of its own.
  private parseFrame(): Event | undefined {
    this.phase = 'start';
    this.tree.resetTo(this.options.defaultNs ?? '');
    this.forget();
    const event = this.parse();
    if (this.isBroken || this.decoder.pending > 0) throw new ParseError('unsupported-encoding', 'not UTF-8');
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

  // The next thing to tell; nothing when that takes more input.
  private parse(): Event | undefined {
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
    if (this.phase === 'content' || this.phase === 'prolog') return true;
    const { input } = this;
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
    this.phase = this.tree.depth === 0 ? 'content' : 'prolog';
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
      if (this.tree.depth === 0 && this.options.framed !== true) {
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
    this.tag = input.slice(start);
    this.checkTag(this.tag.length);
    if (this.findEndOfTag(start + 1) !== -1) malformed('a broken tag');
    return this.wait(input.length);
  }

  private checkTag(length: number): void {
    if (length > this.tree.limits.startTagBytes) tooMuch('the tag is too long');
  }

  // Where the tag ends that goes on at `start`: at a ">" outside quotation marks, or a "<", which must not be in a tag.
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
        // to read a string of many pieces is to join it in memory
        tag.charCodeAt(0);
        this.tagPieces = 0;
      }
      return false;
    }
    this.tag = '';
    this.tagPieces = 0;
    this.quote = 0;
    tree.spoil();
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
      if (tree.depth === 0 && this.options.framed !== true) throw new ParseError('bad-format', 'text between elements');
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
