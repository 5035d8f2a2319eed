// The parser: bytes to elements, as they come in (XML 1.0, Namespaces in XML 1.0, RFC 6120 4.8, 11).
import { isBlank } from './chars.ts';
import type { Element } from './element.ts';
import { type Event, Lexer } from './lexer.ts';
import { type ParseCondition, ParseError } from './parse-error.ts';
import { CLIENT_NS, type ParserLimits, type StreamHeader, Tree } from './tree.ts';

export { type ParseCondition, ParseError } from './parse-error.ts';
export type { ParserLimits, StreamHeader } from './tree.ts';

export interface ParserHandlers {
  /** The root's start tag. */
  onHeader(header: StreamHeader): void;
  /** A whole child of the root, and how many bytes it was. */
  onElement(element: Element, bytes: number): void;
  /** The root's end tag; what follows is ignored until {@link Parser.restart}, or is another document where those come. */
  onEnd(): void;
  /** Something was refused; nothing more comes after it. */
  onError(condition: ParseCondition, text: string): void;
}

export interface ParserOptions {
  /** Every text is one whole element and there is no root (RFC 7395 3.3). */
  readonly framed?: boolean;
  /**
   * Every text is one whole document, whose root wraps elements of `contentNs` (XEP-0124 5): a default namespace that is the
   * root's own counts as that one for what inherits it (XEP-0206 2).
   */
  readonly wrapped?: boolean;
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

/** How much is decoded at once, whatever is written. */
const CHUNK = 64 * 1024;

export class Parser {
  private readonly handlers: ParserHandlers;
  private readonly isFramed: boolean;
  private readonly isWrapped: boolean;
  private readonly defaultNs: string;
  private readonly tree: Tree;
  private readonly lexer: Lexer;
  private hasFailed = false;
  private isSuspended = false;
  private isRunning = false;
  /** Nothing is read any more: behind the root's end, or an error. */
  private isOver = false;
  private queue: (Buffer | string)[] | undefined;
  private queuedBytes = 0;

  constructor(handlers: ParserHandlers, limits: Partial<ParserLimits> = {}, options: ParserOptions = {}) {
    this.handlers = handlers;
    this.isFramed = options.framed === true;
    this.isWrapped = options.wrapped === true;
    this.defaultNs = options.defaultNs ?? '';
    const contentNs = options.contentNs ?? (this.isFramed || this.isWrapped ? CLIENT_NS : undefined);
    this.tree = new Tree({ ...defaultLimits, ...limits }, contentNs, this.isWrapped);
    this.lexer = new Lexer(this.tree, this.isFramed);
  }

  /** Bytes that wait for {@link resume}. */
  get keptBytes(): number {
    return this.queuedBytes + this.lexer.readableBytes;
  }

  /** Parses bytes. Throws nothing but what a handler throws. */
  write(chunk: Buffer): void {
    this.take(chunk);
  }

  /** Parses text; one whole frame or wrapper, where those come. Throws nothing but what a handler throws. */
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
    this.lexer.restart();
    this.isOver = false;
  }

  /** Drops what was written and is not parsed yet, and says how many bytes that was: 0 for mere white space. */
  discard(): number {
    const ahead = this.lexer.unread + (this.queue?.join('') ?? '');
    const dropped = (isBlank(ahead) ? 0 : Buffer.byteLength(ahead)) + this.lexer.pendingBytes;
    this.clear();
    return dropped;
  }

  /** As new, for another connection. */
  reset(): void {
    this.clear();
    this.tree.reset();
    this.lexer.reset();
    this.hasFailed = false;
    this.isOver = false;
    this.isSuspended = false;
  }

  /** Changes some limits, from the next element on. */
  setLimits(limits: Partial<ParserLimits>): void {
    this.tree.limits = { ...this.tree.limits, ...limits };
  }

  private clear(): void {
    this.queue = undefined;
    this.queuedBytes = 0;
    this.lexer.clear();
  }

  private take(chunk: Buffer | string): void {
    if (this.isOver || chunk.length === 0) return;
    if (!this.isRunning && !this.isSuspended && this.queue === undefined && (chunk.length <= CHUNK || this.isWrapped)) {
      this.run(chunk);
      return;
    }
    this.queue ??= [];
    this.queue.push(chunk);
    this.queuedBytes += sizeOf(chunk);
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
      while (!this.isSuspended && !this.isOver) {
        if (this.lexer.isWaiting) {
          next ??= this.dequeue();
          if (next === undefined) break;
        }
        let event: Event | undefined;
        try {
          if (next !== undefined) this.lexer.load(next);
          event = this.isWrapped ? this.parseWrapped(next !== undefined) : this.parseNext();
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

  private parseNext(): Event | undefined {
    return this.isFramed ? this.lexer.parseFrame(this.defaultNs) : this.lexer.parse();
  }

  private parseWrapped(isNew: boolean): Event {
    if (isNew) {
      this.tree.reset();
      this.lexer.restart();
    }
    return this.lexer.parseWhole();
  }

  private dequeue(): Buffer | string | undefined {
    const first = this.queue?.[0];
    if (this.queue === undefined || first === undefined) return undefined;
    let chunk = first;
    if (typeof first === 'string' || first.length <= CHUNK || this.isFramed || this.isWrapped) {
      this.queue.shift();
      if (this.queue.length === 0) this.queue = undefined;
    } else {
      chunk = first.subarray(0, CHUNK);
      this.queue[0] = first.subarray(CHUNK);
    }
    this.queuedBytes -= sizeOf(chunk);
    return chunk;
  }

  private emit(event: Event): void {
    const { tree, handlers } = this;
    if (event === 'element') {
      const element = tree.element!;
      tree.element = undefined;
      handlers.onElement(element, this.lexer.bytes);
    } else if (event === 'header') {
      const header = tree.header!;
      tree.header = undefined;
      handlers.onHeader(header);
    } else {
      if (!this.isWrapped) {
        this.clear();
        this.isOver = true;
      }
      handlers.onEnd();
    }
  }

  private fail(error: ParseError): void {
    this.clear();
    this.tree.reset();
    this.isOver = true;
    this.hasFailed = true;
    this.handlers.onError(error.condition, error.text);
  }
}

function sizeOf(chunk: Buffer | string): number {
  return typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
}
