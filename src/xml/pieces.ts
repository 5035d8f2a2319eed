// Reads a document of any length piece by piece: start tags of what is to be opened, whole elements of everything else. Each piece is cut out here and
// parsed by the parser that all of XMPP goes through: no entities, no document types, bounded in size.
import { parseElement } from './document.ts';
import type { Element } from './element.ts';
import { malformed, tooMuch } from './parse-error.ts';

export type Piece =
  /** The start tag of something that is read piece by piece. */
  | { readonly kind: 'open'; readonly tag: Element }
  | { readonly kind: 'element'; readonly element: Element }
  /** The end of what was opened last. */
  | { readonly kind: 'close'; readonly tag: Element };

export interface PiecesOptions {
  /**
   * Whether an element is to be opened, by its start tag and those around it, the outermost first. The root always is.
   */
  opens(tag: Element, around: readonly Element[]): boolean;
  /** UTF-16 units of one piece, at most. */
  readonly mostLength?: number;
}

interface Opened {
  readonly tag: Element;
  readonly qname: string;
  /** Namespace declarations in scope, by attribute name, as they are written. */
  readonly scope: ReadonlyMap<string, string>;
}

const MOST_LENGTH = 16 * 1024 * 1024;
/** Of one tag, with all its attributes. */
const MOST_TAG = 256 * 1024;
const attribute = /\s+([^\s=/>]+)\s*=\s*("[^"]*"|'[^']*')/y;
const WRAPPER = 'in';

export class Pieces {
  private readonly options: PiecesOptions;
  private readonly mostLength: number;
  private readonly open: Opened[] = [];
  private rest = '';
  private at = 0;
  /** Of the piece that is being read: elements that are open in it; 0 between pieces. */
  private depth = 0;
  /** What was read of it, without comments. */
  private piece = '';
  private isOver = false;
  private hasBegun = false;

  constructor(options: PiecesOptions) {
    this.options = options;
    this.mostLength = options.mostLength ?? MOST_LENGTH;
  }

  /** Start tags of what is open now, the outermost first. */
  get around(): readonly Element[] {
    return this.open.map(({ tag }) => tag);
  }

  /** Takes more of the document, and gives what is whole by then. @throws ParseError */
  *write(text: string): Generator<Piece, void, undefined> {
    this.rest = this.rest.slice(this.at) + text;
    this.at = 0;
    for (;;) {
      const next = this.rest.indexOf('<', this.at);
      this.takeText(next < 0 ? this.rest.length : next);
      if (next < 0) return;
      const end = this.endOfMarkup(next);
      if (end < 0) {
        const length = this.rest.length - next;
        // (a tag is looked at from its beginning each time that more of it comes)
        if (length > (this.rest.startsWith('<!', next) ? this.mostLength - this.piece.length : MOST_TAG))
          tooMuch('a piece is too long');
        return;
      }
      const markup = this.rest.slice(next, end);
      this.at = end;
      yield* this.take(markup);
    }
  }

  /** The document is over. @throws ParseError where it is not whole */
  end(): void {
    if (!this.isOver) malformed('the document ends too early');
    if (this.rest.slice(this.at).trim() !== '') malformed('something follows the document');
  }

  private takeText(end: number): void {
    const text = this.rest.slice(this.at, end);
    this.at = end;
    if (this.depth > 0) this.grow(text);
    else if (text.trim().replace(/^\ufeff/, '') !== '') malformed('text where there is to be none');
  }

  private grow(text: string): void {
    this.piece += text;
    if (this.piece.length > this.mostLength) tooMuch('a piece is too long');
  }

  /** Where the markup that begins there ends; -1 where more has to come. */
  private endOfMarkup(start: number): number {
    const { rest } = this;
    const until = (mark: string): number => {
      const found = rest.indexOf(mark, start);
      return found < 0 ? -1 : found + mark.length;
    };
    const third = rest.charAt(start + 1);
    if (third === '') return -1;
    if (third === '?') return until('?>');
    if (third === '!') {
      if (rest.startsWith('<!--', start)) {
        const found = rest.indexOf('-->', start + 4);
        return found < 0 ? -1 : found + 3;
      }
      if (rest.startsWith('<![CDATA[', start)) return until(']]>');
      if ('<!--'.startsWith(rest.slice(start)) || '<![CDATA['.startsWith(rest.slice(start))) return -1;
      return malformed('a document type');
    }
    return this.endOfTag(start);
  }

  private endOfTag(start: number): number {
    const { rest } = this;
    for (let i = start + 1; i < rest.length; i++) {
      const char = rest.charAt(i);
      if (char === '>') return i + 1;
      if (char === '<') malformed('"<" inside a tag');
      if (char !== '"' && char !== "'") continue;
      i = rest.indexOf(char, i + 1);
      if (i < 0) return -1;
    }
    return -1;
  }

  private *take(markup: string): Generator<Piece, void, undefined> {
    if (markup.startsWith('<!--')) return;
    if (markup.startsWith('<?')) return this.takeInstruction(markup);
    if (this.isOver) malformed('something follows the document');
    if (markup.startsWith('<![')) {
      if (this.depth === 0) malformed('text where there is to be none');
      return this.grow(markup);
    }
    if (markup.startsWith('</')) yield* this.takeEnd(markup);
    else yield* this.takeStart(markup);
  }

  private takeInstruction(markup: string): void {
    if (this.hasBegun || !/^<\?xml\s/.test(markup)) malformed('a processing instruction');
    const encoding = /\sencoding\s*=\s*["']([^"']*)["']/.exec(markup)?.[1] ?? 'utf-8';
    if (!/^(utf-?8|us-ascii)$/i.test(encoding)) malformed(`the encoding ${encoding.slice(0, 40)}`);
    this.hasBegun = true;
  }

  private *takeStart(markup: string): Generator<Piece, void, undefined> {
    this.hasBegun = true;
    const isEmpty = markup.endsWith('/>');
    if (this.depth > 0) {
      this.grow(markup);
      if (!isEmpty) this.depth++;
      return;
    }
    const tag = this.parse(isEmpty ? markup : `${markup.slice(0, -1)}/>`);
    if (this.open.length > 0 && !this.options.opens(tag, this.around)) {
      if (isEmpty) yield { kind: 'element', element: tag };
      else {
        this.piece = markup;
        this.depth = 1;
      }
      return;
    }
    yield { kind: 'open', tag };
    if (isEmpty) yield* this.closed(tag);
    else {
      const qname = /^<([^\s/>]+)/.exec(markup)?.[1] ?? '';
      this.open.push({ tag, qname, scope: new Map([...this.scope, ...declarations(markup)]) });
    }
  }

  private *takeEnd(markup: string): Generator<Piece, void, undefined> {
    if (this.depth > 0) {
      this.grow(markup);
      if (--this.depth > 0) return;
      const text = this.piece;
      this.piece = '';
      yield { kind: 'element', element: this.parse(text) };
      return;
    }
    const last = this.open.pop();
    if (last === undefined || markup.slice(2, -1).trimEnd() !== last.qname) malformed('an end tag without a start tag');
    yield* this.closed(last!.tag);
  }

  private *closed(tag: Element): Generator<Piece, void, undefined> {
    if (this.open.length === 0) this.isOver = true;
    yield { kind: 'close', tag };
  }

  private get scope(): ReadonlyMap<string, string> {
    return this.open.at(-1)?.scope ?? new Map();
  }

  private parse(text: string): Element {
    const scope = new Map([['xmlns', "''"], ...this.scope]);
    const declared = [...scope].map(([name, value]) => ` ${name}=${value}`).join('');
    const wrapped = parseElement(`<${WRAPPER}${declared}>${text}</${WRAPPER}>`);
    const [element, ...others] = wrapped.elements();
    if (element === undefined || others.length > 0) malformed('a piece that is not one element');
    return element!;
  }
}

/** The namespaces that a start tag declares, as they are written. */
function declarations(markup: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  attribute.lastIndex = /^<[^\s/>]+/.exec(markup)?.[0].length ?? 0;
  for (let match = attribute.exec(markup); match !== null; match = attribute.exec(markup)) {
    const [, name = '', value = ''] = match;
    if (name === 'xmlns' || name.startsWith('xmlns:')) found.set(name, value);
  }
  return found;
}
