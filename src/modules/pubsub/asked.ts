// A request to a service on its way to the node of the cluster that owns what it is about, and its answer on the way back: as they are where that
// is this node, as text where it is another.
import { parseElement } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';

/** As it travels. */
interface Written {
  readonly from: string;
  readonly type: 'get' | 'set';
  readonly xml: string;
}

/** A request, from whomever: what is in an IQ. */
export class Asked {
  readonly from: Jid;
  readonly type: 'get' | 'set';
  /** `<pubsub/>`, or `<query/>` of service discovery. */
  readonly payload: Element;

  constructor(from: Jid, type: 'get' | 'set', payload: Element) {
    this.from = from;
    this.type = type;
    this.payload = payload;
  }

  toJSON(): Written {
    return { from: this.from.full, type: this.type, xml: this.payload.toXml() };
  }

  /** What came, from this node or another. */
  static read(given: Asked | Written): Asked {
    if (given instanceof Asked) return given;
    const from = Jid.parse(given.from);
    if (from === undefined) throw new Error('a request of nobody came from another node');
    return new Asked(from, given.type, parseElement(given.xml));
  }
}

/** What answers a request: an element, or nothing but that it was done. */
export class Answered {
  readonly element: Element | undefined;

  constructor(element: Element | undefined) {
    this.element = element;
  }

  toJSON(): { readonly xml?: string } {
    return this.element === undefined ? {} : { xml: this.element.toXml() };
  }

  /** What came back, from this node or another. */
  static read(given: Answered | { readonly xml?: string }): Element | undefined {
    if (given instanceof Answered) return given.element;
    return given.xml === undefined ? undefined : parseElement(given.xml);
  }
}
