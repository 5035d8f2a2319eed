// A stanza on its way to the node that has its room: as it is where that is this one, as text where it is another.
import { unfoldable } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { type Stanza, stanzaOf } from '../../xmpp/stanza.ts';

/** As it travels. */
interface Written {
  readonly from: string;
  readonly to: string;
  readonly xml: string;
}

export class Passed {
  readonly stanza: Stanza;

  constructor(stanza: Stanza) {
    this.stanza = stanza;
  }

  toJSON(): Written {
    const { from, to, el } = this.stanza;
    return { from: from.full, to: to.full, xml: el.toXml() };
  }

  /** What came to a room, from this node or another. */
  static read(given: Passed | Written): Stanza {
    if (given instanceof Passed) return given.stanza;
    const from = Jid.parse(given.from);
    const to = Jid.parse(given.to);
    if (from === undefined || to === undefined) throw new Error('a stanza without addresses came from another node');
    const element: Element = unfoldable(given.xml);
    return stanzaOf(element, from, to);
  }
}
