// From tags and text to elements: names, attributes and namespaces (XML 1.0 3.1, Namespaces in XML 1.0).
import { Attributes, noAttributes } from './attributes.ts';
import { ascii, NAME, NAME_START, ncName, SPACE, VALUE_STOP } from './chars.ts';
import { Element, type Node } from './element.ts';
import { flatten } from './flatten.ts';
import { malformed, tooMuch } from './parse-error.ts';
import { normaliseValue } from './references.ts';

export const CLIENT_NS = 'jabber:client';
const CONTENT_NAMESPACES = [CLIENT_NS, 'jabber:server', 'jabber:component:accept'];
const XML_NS = 'http://www.w3.org/XML/1998/namespace';
const XMLNS_NS = 'http://www.w3.org/2000/xmlns/';

/** How large things may get; whoever exceeds one gets `policy-violation`. */
export interface ParserLimits {
  /** A child of the root, in bytes, from its first character to its last. */
  readonly stanzaBytes: number;
  /** Elements inside each other, the child of the root included. */
  readonly depth: number;
  /** Attributes of one element, namespace declarations included. */
  readonly attributes: number;
  /** Namespace prefixes in scope at one place. */
  readonly prefixes: number;
  /** One tag, in UTF-16 units: bytes where it is ASCII, and never more than the bytes. */
  readonly startTagBytes: number;
  /** What waits while the parser is suspended. */
  readonly keptBytes: number;
}

/** The start tag of a stream's root. */
export interface StreamHeader {
  readonly prefix: string;
  readonly name: string;
  /** The namespace of the root itself. */
  readonly ns: string;
  /** The content namespace (RFC 6120 4.8.2), as far as the root tells. */
  readonly contentNs: string | undefined;
  /** Keyed as in {@link Element}. */
  readonly attrs: Readonly<Record<string, string>>;
  /** The prefixes that the root declares. */
  readonly namespaces: ReadonlyMap<string, string>;
}

// Prefixes in scope, the latest first.
interface Scope {
  readonly prefix: string;
  readonly uri: string;
  readonly next: Scope | undefined;
  readonly count: number;
}

// An element whose end tag is still to come. `uri` is its namespace, `ns` the same as an Element has it.
interface Frame {
  readonly parent: Frame | undefined;
  readonly depth: number;
  readonly qname: string;
  readonly name: string;
  readonly uri: string;
  readonly ns: string | null;
  readonly attrs: Readonly<Record<string, string>>;
  readonly defaultNs: string;
  readonly scope: Scope | undefined;
  /** Where its children begin in the list of nodes. */
  readonly first: number;
}

const noChildren: readonly Node[] = Object.freeze([]);

const TAB = 0x09;
const SLASH = 0x2f;
const COLON = 0x3a;
const EQUALS = 0x3d;
const GREATER = 0x3e;
const QUOTE = 0x22;
const APOSTROPHE = 0x27;

/** How many pieces a text is made of before they are joined in memory. */
const PIECES = 1024;

export class Tree {
  limits: ParserLimits;
  /** How many elements are open, the root not counted; -1 before there is a root. */
  depth = -1;
  /** Set by {@link openTag} when that was the root's. */
  header: StreamHeader | undefined;
  /** Set by {@link openTag} or {@link closeTag} when a child of the root is complete. */
  element: Element | undefined;
  /** Set by {@link closeTag} when the root was closed. */
  ended = false;
  private readonly assumedContentNs: string | undefined;
  private readonly isWrapped: boolean;
  private contentNs: string | undefined;
  private frame: Frame | undefined;
  private readonly nodes: Node[] = [];
  private text = '';
  private pieces = 0;
  private colon = 0;
  private end = 0;
  // where the inner source of the present child of the root begins; -1 when its source is not fit to be sent on
  private bodyStart = -1;

  /** @param isWrapped the root is none of a stream: it does not choose the content namespace */
  constructor(limits: ParserLimits, contentNs: string | undefined, isWrapped = false) {
    this.limits = limits;
    this.isWrapped = isWrapped;
    this.assumedContentNs = contentNs;
  }

  /** Begins a stream whose root is still to come. */
  reset(): void {
    this.depth = -1;
    this.frame = undefined;
    this.contentNs = undefined;
    this.drop();
  }

  /** Begins without a root: the next element stands alone, in a place with that default namespace. */
  resetTo(defaultNs: string): void {
    this.drop();
    this.depth = 0;
    this.contentNs = this.assumedContentNs;
    this.frame = {
      parent: undefined,
      depth: 0,
      qname: '',
      name: '',
      uri: defaultNs,
      ns: null,
      attrs: noAttributes,
      defaultNs,
      scope: undefined,
      first: 0,
    };
  }

  /** Says that the source of the present element does not lie in one string. */
  spoil(): void {
    this.bodyStart = -1;
  }

  addText(text: string): void {
    this.text += text;
    if (++this.pieces === PIECES) {
      // a string of many pieces takes many times the memory of a flat one
      this.text = flatten(this.text);
      this.pieces = 0;
    }
  }

  /**
   * Reads the start tag at `start`; returns where it ends, or -1 when the source ends first. Nothing has changed when it
   * returns -1 or throws, so that the same tag can be read again.
   */
  openTag(source: string, start: number): number {
    const { length } = source;
    const { frame, limits } = this;
    const nameStart = start + 1;
    let i = this.readName(source, nameStart);
    if (i === length) return -1;
    const nameEnd = i;
    const nameColon = this.colon;
    let attrs: Record<string, string> | undefined;
    let prefixed: string[] | undefined;
    let declared: string | undefined;
    let scope = frame?.scope;
    let count = 0;
    let isEmpty = false;
    let isPlain = nameColon === 0;
    for (;;) {
      const afterPrevious = i;
      let char = source.charCodeAt(i);
      while (char < 0x80 && (ascii[char]! & SPACE) !== 0) {
        if (++i === length) return -1;
        char = source.charCodeAt(i);
      }
      if (char === GREATER) break;
      if (char === SLASH) {
        if (++i === length) return -1;
        if (source.charCodeAt(i) !== GREATER) malformed('"/" inside a tag');
        isEmpty = true;
        break;
      }
      if (i === afterPrevious) malformed('no white space before an attribute');
      if (++count > limits.attributes) tooMuch('too many attributes');
      const keyStart = i;
      i = this.readName(source, i);
      const keyEnd = i;
      const { colon } = this;
      i = skipSpace(source, i);
      if (i >= length) return -1;
      if (source.charCodeAt(i) !== EQUALS) malformed('an attribute without a value');
      i = skipSpace(source, i + 1);
      if (i >= length) return -1;
      const quote = source.charCodeAt(i);
      if (quote !== APOSTROPHE && quote !== QUOTE) malformed('the value of an attribute without quotes');
      const value = this.readValue(source, i + 1, quote);
      if (value === undefined) return -1;
      i = this.end + 1;
      if (i === length) return -1;
      const key = source.slice(keyStart, keyEnd);
      if (colon === 0) {
        if (key !== 'xmlns') {
          if (attrs === undefined) attrs = new Attributes();
          else if (attrs[key] !== undefined) malformed('an attribute is there twice');
          attrs[key] = value;
        } else {
          if (declared !== undefined) malformed('an attribute is there twice');
          if (value === XML_NS || value === XMLNS_NS) malformed('a reserved namespace as the default one');
          declared = value;
        }
      } else if (key.startsWith('xml:')) {
        attrs ??= new Attributes();
        if (attrs[key] !== undefined) malformed('an attribute is there twice');
        attrs[key] = value;
      } else if (key.startsWith('xmlns:')) {
        scope = declare(scope, frame?.scope, key.slice(6), value);
        if (scope !== undefined && scope.count > limits.prefixes) tooMuch('too many namespace prefixes');
        isPlain = false;
      } else {
        prefixed ??= [];
        prefixed.push(source.slice(keyStart, colon), source.slice(colon + 1, keyEnd), value);
        isPlain = false;
      }
    }
    if (++i - start > limits.startTagBytes) tooMuch('the tag is too long');
    if (prefixed !== undefined) {
      attrs ??= new Attributes();
      for (let n = 0; n < prefixed.length; n += 3) {
        const key = `{${lookUp(scope, prefixed[n]!)}}${prefixed[n + 1]}`;
        if (attrs[key] !== undefined) malformed('an attribute is there twice');
        attrs[key] = prefixed[n + 2]!;
      }
    }
    const defaultNs = declared ?? (frame === undefined ? '' : frame.defaultNs);
    const name = source.slice(nameColon === 0 ? nameStart : nameColon + 1, nameEnd);
    const uri = nameColon === 0 ? defaultNs : lookUp(scope, source.slice(nameStart, nameColon));
    if (frame === undefined) {
      const prefix = nameColon === 0 ? '' : source.slice(nameStart, nameColon);
      this.openRoot(prefix, name, uri, declared, attrs ?? noAttributes, scope);
      if (isEmpty) this.closeRoot();
      return i;
    }
    const depth = frame.depth + 1;
    if (depth > limits.depth) tooMuch('too many elements inside each other');
    const ns = this.neutralise(uri, frame);
    if (depth === 1) this.bodyStart = isPlain ? i - 1 : -1;
    else if (!isPlain || (declared !== undefined && !isPortable(declared, frame.ns, this.contentNs)))
      this.bodyStart = -1;
    if (this.text !== '') this.flush();
    if (isEmpty) this.finish(depth, new Element(name, ns, attrs ?? noAttributes, noChildren));
    else {
      this.depth = depth;
      this.frame = {
        parent: frame,
        depth,
        qname: nameColon === 0 ? name : source.slice(nameStart, nameEnd),
        name,
        uri,
        ns,
        attrs: attrs ?? noAttributes,
        defaultNs,
        scope,
        first: this.nodes.length,
      };
    }
    return i;
  }

  /** Reads the end tag at `start`; returns and promises what {@link openTag} does. */
  closeTag(source: string, start: number): number {
    const { frame } = this;
    if (frame === undefined || (frame.depth === 0 && frame.qname === ''))
      return malformed('an end tag without a start tag');
    let i = start + 2 + frame.qname.length;
    if (!source.startsWith(frame.qname, start + 2) || source.charCodeAt(i) !== GREATER) {
      const end = source.indexOf('>', start);
      if (end === -1) return -1;
      if (!source.startsWith(frame.qname, start + 2) || skipSpace(source, i) !== end) {
        malformed('an end tag that does not match its start tag');
      }
      if (end + 1 - start > this.limits.startTagBytes) tooMuch('the tag is too long');
      i = end;
    }
    if (frame.depth === 0) {
      this.closeRoot();
      return i + 1;
    }
    const { nodes, text } = this;
    const { first, depth } = frame;
    let children: readonly Node[];
    if (nodes.length === first) children = text === '' ? noChildren : [text];
    else {
      if (text !== '') nodes.push(text);
      children = nodes.slice(first);
      nodes.length = first;
    }
    this.text = '';
    this.pieces = 0;
    this.frame = frame.parent;
    this.depth = depth - 1;
    // the source is as good as what the serialiser would make of the same children
    const body =
      depth === 1 && this.bodyStart !== -1
        ? { xml: `${source.slice(this.bodyStart, start)}</${frame.name}>`, nodes: undefined }
        : undefined;
    this.finish(depth, new Element(frame.name, frame.ns, frame.attrs, children, body));
    return i + 1;
  }

  private finish(depth: number, element: Element): void {
    if (depth === 1) this.element = element;
    else this.nodes.push(element);
  }

  private flush(): void {
    this.nodes.push(this.text);
    this.text = '';
    this.pieces = 0;
  }

  private drop(): void {
    this.header = undefined;
    this.element = undefined;
    this.ended = false;
    this.nodes.length = 0;
    this.text = '';
    this.pieces = 0;
    this.bodyStart = -1;
  }

  // The root lives as long as the stream: nothing of it may keep the chunk alive that it came in.
  private openRoot(
    prefix: string,
    name: string,
    uri: string,
    declared: string | undefined,
    attrs: Readonly<Record<string, string>>,
    scope: Scope | undefined,
  ): void {
    const namespaces = new Map<string, string>();
    let flatScope: Scope | undefined;
    const scopes: Scope[] = [];
    for (let each = scope; each !== undefined; each = each.next) scopes.unshift(each);
    for (const each of scopes) {
      const entry = { prefix: flatten(each.prefix), uri: flatten(each.uri), next: flatScope, count: each.count };
      namespaces.set(entry.prefix, entry.uri);
      flatScope = entry;
    }
    const flatAttrs = new Attributes();
    for (const key in attrs) flatAttrs[flatten(key)] = flatten(attrs[key]!);
    const defaultNs = flatten(declared ?? '');
    const ns = flatten(uri);
    const flatName = flatten(name);
    const flatPrefix = flatten(prefix);
    // RFC 6120 4.8.2: the default namespace, unless that is the root's own; else whichever a prefix stands for
    const declaredContent =
      defaultNs !== '' && defaultNs !== ns
        ? defaultNs
        : CONTENT_NAMESPACES.find((content) => scopes.some((each) => each.uri === content));
    this.contentNs = this.isWrapped ? this.assumedContentNs : (declaredContent ?? this.assumedContentNs);
    this.depth = 0;
    this.frame = {
      parent: undefined,
      depth: 0,
      qname: flatPrefix === '' ? flatName : `${flatPrefix}:${flatName}`,
      name: flatName,
      uri: ns,
      ns,
      attrs: noAttributes,
      defaultNs: this.isWrapped && defaultNs === ns ? (this.contentNs ?? '') : defaultNs,
      scope: flatScope,
      first: 0,
    };
    this.header = { prefix: flatPrefix, name: flatName, ns, contentNs: this.contentNs, attrs: flatAttrs, namespaces };
  }

  private closeRoot(): void {
    this.ended = true;
    this.frame = undefined;
    this.depth = -1;
  }

  // The content namespace is neutral; so is jabber:client inside something foreign, whatever the stream's content
  // namespace is: that is how stanzas travel inside stanzas (XEP-0297 3).
  private neutralise(uri: string, parent: Frame): string | null {
    if (uri === this.contentNs) return null;
    return uri === CLIENT_NS && parent.depth > 0 && parent.uri !== this.contentNs ? null : uri;
  }

  // The end of the name at `start`; where its colon is, is left behind.
  private readName(source: string, start: number): number {
    const { length } = source;
    let isWide = false;
    let colon = 0;
    let i = start;
    for (; i < length; i++) {
      const char = source.charCodeAt(i);
      if (char >= 0x80) isWide = true;
      else if ((ascii[char]! & NAME) === 0) {
        if (char !== COLON || colon !== 0) break;
        colon = i;
      }
    }
    this.colon = colon;
    if (i === length) return i;
    if (isWide) {
      if (colon !== 0 && !ncName.test(source.slice(start, colon))) malformed('a name that is not allowed');
      if (!ncName.test(source.slice(colon === 0 ? start : colon + 1, i))) malformed('a name that is not allowed');
    } else if (!isNameStart(source.charCodeAt(start)) || (colon !== 0 && !isNameStart(source.charCodeAt(colon + 1)))) {
      malformed('a name that is not allowed');
    }
    return i;
  }

  // The value from `start` to its closing quote, whose place is left behind; undefined when there is none.
  private readValue(source: string, start: number, quote: number): string | undefined {
    const { length } = source;
    for (let i = start; i < length; i++) {
      const char = source.charCodeAt(i);
      if (char === quote) {
        this.end = i;
        return source.slice(start, i);
      }
      if (char < 0x80 ? (ascii[char]! & VALUE_STOP) !== 0 : char >= 0xfffe) {
        this.end = source.indexOf(quote === QUOTE ? '"' : "'", i);
        return this.end === -1 ? undefined : normaliseValue(source.slice(start, this.end));
      }
    }
    return undefined;
  }
}

function isNameStart(char: number): boolean {
  return char < 0x80 && (ascii[char]! & NAME_START) !== 0;
}

function skipSpace(source: string, start: number): number {
  let i = start;
  for (; ; i++) {
    const char = source.charCodeAt(i);
    if (char > 0x20 || char < TAB || i >= source.length || (ascii[char]! & SPACE) === 0) return i;
  }
}

/** Adds a declaration to those of the same tag and of the elements around it (Namespaces in XML 1.0 3, 6.3). */
function declare(scope: Scope | undefined, outer: Scope | undefined, prefix: string, uri: string): Scope | undefined {
  if (prefix === 'xmlns' || uri === XMLNS_NS || (prefix === 'xml') !== (uri === XML_NS)) {
    malformed('a reserved namespace or prefix');
  }
  if (uri === '') malformed('a prefix for no namespace');
  for (let each = scope; each !== outer; each = each!.next) {
    if (each!.prefix === prefix) malformed('an attribute is there twice');
  }
  return { prefix, uri, next: scope, count: (scope?.count ?? 0) + 1 };
}

function lookUp(scope: Scope | undefined, prefix: string): string {
  if (prefix === 'xml') return XML_NS;
  for (let each = scope; each !== undefined; each = each.next) if (each.prefix === prefix) return each.uri;
  return malformed('a prefix that is not declared');
}

/** Whether a default namespace declared inside a stanza means the same when the stanza travels on any other stream. */
function isPortable(declared: string, parentNs: string | null, contentNs: string | undefined): boolean {
  return declared === CLIENT_NS ? parentNs !== null : declared !== contentNs;
}
