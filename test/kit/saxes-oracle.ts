// A second opinion on XML streams: the same events as src/xml/parser.ts, made with saxes and with nothing of ours but Element.
//
// saxes checks well-formedness and namespaces. What RFC 6120 adds is done here: no comments, processing instructions or
// DTDs, no text between stanzas, nothing behind the first error.
import { SaxesParser, type SaxesTagNS } from 'saxes';
import { Element, type Node } from '../../src/xml/element.ts';

export interface OracleEvent {
  readonly kind: 'header' | 'element' | 'end' | 'error';
  /** Of headers and elements. */
  readonly element?: Element;
  /** What saxes or this file says about an error. */
  readonly problem?: string;
}

interface Open {
  readonly element: Element;
  readonly uri: string;
  readonly children: Node[];
}

class Refused extends Error {}

const CLIENT = 'jabber:client';

export class SaxesOracle {
  readonly events: OracleEvent[] = [];
  private readonly saxes = new SaxesParser({ xmlns: true, position: false });
  private readonly stack: Open[] = [];
  private text: string | undefined;
  private contentNs: string | undefined;
  private isOver = false;
  // saxes tells of an element's end before it finds that the end tag was another's
  private held: OracleEvent | undefined;
  private readonly onEvent: ((event: OracleEvent) => void) | undefined;

  constructor(onEvent?: (event: OracleEvent) => void) {
    this.onEvent = onEvent;
    const { saxes } = this;
    saxes.on('error', (error) => {
      throw new Refused(error.message);
    });
    for (const what of ['comment', 'processinginstruction', 'doctype'] as const) {
      saxes.on(what, () => {
        throw new Refused(what);
      });
    }
    saxes.on('xmldecl', ({ encoding }) => {
      if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') throw new Refused('encoding');
    });
    saxes.on('text', (text) => this.addText(text));
    saxes.on('cdata', (text) => {
      if (this.stack.length < 2) throw new Refused('text between stanzas');
      this.addText(text);
    });
    saxes.on('opentag', (tag) => this.open(tag));
    saxes.on('closetag', () => this.close());
  }

  /** Never throws; says nothing more once there was an error, or the end. */
  write(text: string): void {
    if (this.isOver) return;
    try {
      this.saxes.write(text);
      this.release();
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      if (error.message.includes('unexpected close tag')) this.held = undefined;
      // what saxes finds behind the end of the root is not looked at
      else if (this.release()?.kind === 'end') return;
      if (this.isOver && this.events.at(-1)?.kind === 'end') return;
      this.isOver = true;
      this.tell({ kind: 'error', problem: error.message });
    }
  }

  private release(): OracleEvent | undefined {
    const { held } = this;
    this.held = undefined;
    if (held !== undefined) this.tell(held);
    return held;
  }

  private tell(event: OracleEvent): void {
    if (this.onEvent === undefined) this.events.push(event);
    else this.onEvent(event);
  }

  private addText(text: string): void {
    this.release();
    if (this.isOver) return;
    if (this.stack.length < 2) {
      if (/[^ \t\r\n]/.test(text)) throw new Refused('text between stanzas');
    } else this.text = (this.text ?? '') + text;
  }

  private flush(): void {
    if (this.text !== undefined && this.text !== '') this.stack.at(-1)!.children.push(this.text);
    this.text = undefined;
  }

  private open(tag: SaxesTagNS): void {
    this.release();
    if (this.isOver) return;
    this.flush();
    const attrs = Object.create(null) as Record<string, string>;
    for (const { prefix, local, uri, value } of Object.values(tag.attributes)) {
      if (prefix === 'xmlns' || (prefix === '' && local === 'xmlns')) continue;
      attrs[prefix === '' ? local : prefix === 'xml' ? `xml:${local}` : `{${uri}}${local}`] = value;
    }
    const depth = this.stack.length;
    const parent = this.stack.at(-1);
    if (depth === 0) this.contentNs = contentNsOf(tag);
    const isNeutral =
      depth > 0 && (tag.uri === this.contentNs || (tag.uri === CLIENT && depth > 1 && parent!.uri !== this.contentNs));
    const children: Node[] = [];
    const element = new Element(tag.local, isNeutral ? null : tag.uri, attrs, children);
    this.stack.push({ element, uri: tag.uri, children });
    if (depth === 0) this.tell({ kind: 'header', element });
  }

  private close(): void {
    this.release();
    if (this.isOver) return;
    this.flush();
    const { element } = this.stack.pop()!;
    if (this.stack.length === 0) {
      this.isOver = true;
      this.held = { kind: 'end' };
    } else if (this.stack.length === 1) this.held = { kind: 'element', element };
    else this.stack.at(-1)!.children.push(element);
  }
}

/** RFC 6120 4.8.2: the default namespace of the root, or what it declares with a prefix. */
function contentNsOf({ ns, uri }: SaxesTagNS): string | undefined {
  const { '': byDefault, ...prefixed } = ns;
  if (byDefault !== undefined && byDefault !== '' && byDefault !== uri) return byDefault;
  return [CLIENT, 'jabber:server', 'jabber:component:accept'].find((each) => Object.values(prefixed).includes(each));
}
