// XML as the tests see it: read and printed by ltx, so that another library judges ours; namespaces are resolved here.
import type { EventEmitter } from 'node:events';
import { Element, Parser, parse } from 'ltx';

/** An element with its namespace and the text directly inside it; formatting white space is gone. */
export interface View {
  readonly name: string;
  readonly ns: string;
  readonly attrs: Readonly<Record<string, string>>;
  readonly children: readonly View[];
  readonly text: string;
}

/** Prefixes and the namespaces they stand for; the default one is ''. */
type Scope = Readonly<Record<string, string>>;

/** What every stanza of a client's stream inherits from the root. */
const clientScope: Scope = {
  '': 'jabber:client',
  stream: 'http://etherx.jabber.org/streams',
  xml: 'http://www.w3.org/XML/1998/namespace',
};

/** The view of an element that stands on a client's stream. */
export function viewOf(element: Element, outer: Scope = clientScope): View {
  const scope: Record<string, string> = { ...outer };
  const attrs: Record<string, string> = {};
  for (const [key, value] of Object.entries(element.attrs as Record<string, string>)) {
    if (key === 'xmlns') scope[''] = value;
    else if (key.startsWith('xmlns:')) scope[key.slice(6)] = value;
    else attrs[key] = value;
  }
  const [prefix, name] = splitName(element.name);
  const ns = scope[prefix];
  if (ns === undefined) throw new Error(`the prefix of <${element.name}/> is bound to nothing`);
  const children = element.children.filter((child) => child instanceof Element);
  const text = element.children.filter((child) => typeof child === 'string').join('');
  return {
    name,
    ns,
    attrs,
    children: children.map((child) => viewOf(child, scope)),
    // between elements white space is formatting, alone it is content
    text: children.length > 0 ? text.trim() : text,
  };
}

function splitName(name: string): [prefix: string, local: string] {
  const colon = name.indexOf(':');
  return colon < 0 ? ['', name] : [name.slice(0, colon), name.slice(colon + 1)];
}

/** Reads one element as it was written into a test: line breaks and indentation between elements do not count. */
export function readXml(text: string): Element {
  const element = parse(text.trim()) as Element;
  return withoutFormatting(element);
}

function withoutFormatting(element: Element): Element {
  const hasElements = element.children.some((child) => child instanceof Element);
  element.children = element.children.filter(
    (child) => child instanceof Element || !hasElements || child.trim() !== '',
  );
  for (const child of element.children) if (child instanceof Element) withoutFormatting(child);
  return element;
}

interface Sax extends EventEmitter {
  write(text: string): void;
}
const Sax = (Parser as unknown as { prototype: { DefaultParser: new () => Sax } }).prototype.DefaultParser;

export interface StreamReaderHandlers {
  header(element: Element): void;
  element(element: Element): void;
  end(): void;
}

/** Reads one XML stream: a header, its children, its end. A restarted stream needs a new reader. */
export class StreamReader {
  private readonly sax = new Sax();

  constructor(handlers: StreamReaderHandlers) {
    let isOpen = false;
    let current: Element | undefined;
    this.sax.on('startElement', (name: string, attrs: Record<string, string>) => {
      const element = new Element(name, attrs);
      if (!isOpen) {
        isOpen = true;
        handlers.header(element);
      } else current = current === undefined ? element : current.cnode(element);
    });
    this.sax.on('endElement', (name: string) => {
      if (current === undefined) return handlers.end();
      if (name !== current.name) throw new Error(`the server closed <${current.name}> with </${name}>`);
      const done = current;
      current = done.parent ?? undefined;
      if (current === undefined) handlers.element(done);
    });
    this.sax.on('text', (text: string) => {
      current?.t(text);
    });
  }

  write(text: string): void {
    this.sax.write(text);
  }
}

/** One line of XML, the whole of it. */
export function print(element: Element): string {
  return element.toString();
}
