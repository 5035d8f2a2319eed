// Elements: immutable, with the namespace resolved, cheap to re-address and to serialise more than once.
import { Attributes, noAttributes } from './attributes.ts';
import { escapeAttr, escapeText } from './escape.ts';

/** Trusted XML that is already serialised for a place where the content namespace is the default one (archive replay). */
export interface RawXml {
  readonly raw: string;
}
export type Node = Element | string | RawXml;
/** Attributes as written by a caller; `undefined` leaves one out, or takes it away in {@link Element.with}. */
export type Attrs = Readonly<Record<string, string | undefined>>;

/** What a neutral element is called where it stands inside a foreign one (XEP-0297 3: forwarded stanzas). */
const NEUTRAL = 'jabber:client';

// Shared by every re-addressed copy of an element, so that the inner XML is made, or read, once for all of them.
interface Body {
  xml: string | undefined;
  /** What was read from it, where the element came as text and somebody has asked. */
  nodes: readonly Node[] | undefined;
}

/** Reads the children of an element from its XML, where nobody has asked for them yet. */
type Unfold = (xml: string) => readonly Node[];

/**
 * An XML element. Never changes once made.
 *
 * `ns` is the namespace name, or `null` for the content namespace of whatever stream the element travels on
 * (`jabber:client`, `jabber:server`): one body then serves every kind of stream.
 *
 * Attribute keys are local names; `xml:lang` and its kin keep their prefix; an attribute of any other namespace
 * is keyed `{namespace}local`.
 */
export class Element {
  readonly name: string;
  readonly ns: string | null;
  readonly attrs: Readonly<Record<string, string>>;
  private nodes: readonly Node[] | Unfold;
  private body: Body | undefined;
  /** All of its XML, where it was read from that. */
  private text: string | undefined = undefined;

  /** Use {@link el}; the parser calls this directly with attributes in an {@link Attributes} that it gives away. */
  constructor(
    name: string,
    ns: string | null,
    attrs: Readonly<Record<string, string>>,
    children: readonly Node[] | Unfold,
    body?: Body,
  ) {
    this.name = name;
    this.ns = ns;
    this.attrs = attrs;
    this.nodes = children;
    this.body = body;
  }

  /**
   * An element in the content namespace whose children are read when they are asked for.
   * @param text its XML, as this class writes it
   * @param start where what follows the attributes begins there
   */
  static folded(
    name: string,
    attrs: Readonly<Record<string, string>>,
    text: string,
    start: number,
    unfold: Unfold,
  ): Element {
    const element = new Element(name, null, attrs, unfold, { xml: text.slice(start), nodes: undefined });
    element.text = text;
    return element;
  }

  get children(): readonly Node[] {
    const { nodes } = this;
    return typeof nodes === 'function' ? this.unfolded(nodes) : nodes;
  }

  private unfolded(unfold: Unfold): readonly Node[] {
    const body = this.body!;
    body.nodes ??= unfold(`<${this.name}${body.xml!}`);
    this.nodes = body.nodes;
    return body.nodes;
  }

  /** Whether this is `name` in `ns`. */
  is(name: string, ns: string | null): boolean {
    return this.name === name && this.ns === ns;
  }

  /** The first child element of that name; its namespace is this element's own unless another is given. */
  getChild(name: string, ns: string | null = this.ns): Element | undefined {
    // (every message is looked through a few times: an index makes nothing)
    const { children } = this;
    for (let i = 0; i < children.length; i++) {
      const child = children[i];
      if (child instanceof Element && child.name === name && child.ns === ns) return child;
    }
    return undefined;
  }

  /** Every child element of that name; its namespace is this element's own unless another is given. */
  getChildren(name: string, ns: string | null = this.ns): Element[] {
    return this.elements().filter((child) => child.name === name && child.ns === ns);
  }

  /** Every child that is an element. */
  elements(): Element[] {
    return this.children.filter((child) => child instanceof Element);
  }

  /** The text of the first such child, or undefined when there is no such child. */
  getChildText(name: string, ns: string | null = this.ns): string | undefined {
    return this.getChild(name, ns)?.getText();
  }

  /** The character data directly inside this element. */
  getText(): string {
    let text = '';
    for (const child of this.children) if (typeof child === 'string') text += child;
    return text;
  }

  /** A copy with attributes set, or removed where `undefined`; it shares the children and their serialised form. */
  with(attrs: Attrs): Element {
    this.body ??= { xml: undefined, nodes: undefined };
    return new Element(this.name, this.ns, merge(this.attrs, attrs), this.nodes, this.body);
  }

  /** A copy with more children at the end. */
  append(...nodes: Node[]): Element {
    const kept = this.body?.xml;
    const body = kept === undefined ? undefined : { xml: longer(kept, this, nodes), nodes: undefined };
    return new Element(this.name, this.ns, this.attrs, [...this.children, ...nodes], body);
  }

  /** A copy without the child elements that match; itself when none does. */
  without(match: (child: Element) => boolean): Element {
    const kept = this.children.filter((child) => !(child instanceof Element && match(child)));
    return kept.length === this.children.length ? this : new Element(this.name, this.ns, this.attrs, kept);
  }

  /** Serialises once for many recipients: the function returned gives the XML with that `to` in a few nanoseconds. */
  addressed(): (to: string) => string {
    const head = `<${this.name}${namespaceOf(this.ns, null)}${attributes(this.attrs, 'to')} to='`;
    const tail = `'${this.rest()}`;
    return (to) => head + escapeAttr(to) + tail;
  }

  /** The XML, for a place whose default namespace is `inside` (the content namespace unless said otherwise). */
  toXml(inside: string | null = null): string {
    if (this.text !== undefined && inside === null) return this.text;
    return `<${this.name}${namespaceOf(this.ns, inside)}${attributes(this.attrs)}${this.rest()}`;
  }

  // What follows the attributes; kept, so that the next serialisation of this element or of a copy is a concatenation.
  private rest(): string {
    this.body ??= { xml: undefined, nodes: undefined };
    this.body.xml ??= restOf(this);
    return this.body.xml;
  }

  /** For {@link restOf}: the kept form, when there is one. */
  static kept(element: Element): string | undefined {
    return element.body?.xml;
  }
}

/** Makes an element; `ns` null is the content namespace of the stream. Attributes that are `undefined` are left out. */
export function el(name: string, ns: string | null, attrs?: Attrs, ...children: Node[]): Element {
  return new Element(name, ns, attrs === undefined ? noAttributes : merge(noAttributes, attrs), children);
}

function merge(base: Readonly<Record<string, string>>, changes: Attrs): Readonly<Record<string, string>> {
  const merged = new Attributes();
  for (const key in base) {
    const value = Object.hasOwn(changes, key) ? changes[key] : base[key];
    if (value !== undefined) merged[key] = value;
  }
  for (const key in changes) {
    const value = changes[key];
    if (value !== undefined) merged[key] = value;
  }
  return merged;
}

function namespaceOf(ns: string | null, inside: string | null): string {
  return ns === inside ? '' : ` xmlns='${ns === null ? NEUTRAL : escapeAttr(ns)}'`;
}

function attributes(attrs: Readonly<Record<string, string>>, except?: string): string {
  let xml = '';
  let foreign = 0;
  for (const key in attrs) {
    if (key === except) continue;
    const value = escapeAttr(attrs[key]!);
    if (key.charCodeAt(0) === 0x7b /* { */) {
      const end = key.lastIndexOf('}');
      foreign++;
      xml += ` xmlns:a${foreign}='${escapeAttr(key.slice(1, end))}' a${foreign}:${key.slice(end + 1)}='${value}'`;
    } else xml += ` ${key}='${value}'`;
  }
  return xml;
}

function restOf(element: Element): string {
  const { children, ns } = element;
  return children.length === 0 ? '/>' : `>${contents(children, ns)}</${element.name}>`;
}

function contents(children: readonly Node[], ns: string | null): string {
  let xml = '';
  for (const child of children) {
    if (typeof child === 'string') xml += escapeText(child);
    else if (child instanceof Element) {
      xml += `<${child.name}${namespaceOf(child.ns, ns)}${attributes(child.attrs)}${Element.kept(child) ?? restOf(child)}`;
    } else xml += child.raw;
  }
  return xml;
}

// What follows the attributes once there are more children.
function longer(rest: string, { name, ns }: Element, nodes: readonly Node[]): string {
  const end = `</${name}>`;
  return `${rest === '/>' ? '>' : rest.slice(0, -end.length)}${contents(nodes, ns)}${end}`;
}
