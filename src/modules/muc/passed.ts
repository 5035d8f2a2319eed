// A stanza on its way to the node that has its room: as it is where that is this one, as text where it is another.
import type { Life } from '../../core/transit.ts';
import { unfoldable } from '../../xml/document.ts';
import type { Element } from '../../xml/element.ts';
import { Jid } from '../../xmpp/jid.ts';
import { type Stanza, stanzaOf } from '../../xmpp/stanza.ts';
import { lifeOf } from './lives.ts';

/** As it travels. */
interface Written {
  readonly from: string;
  readonly to: string;
  readonly xml: string;
  readonly isInstead?: true;
  readonly life?: Life;
}

export class Passed {
  readonly stanza: Stanza;
  /** This server says it instead of a device of its own people's. */
  readonly isInstead: boolean;
  /** The session of this server's people that says it, or that it is said of; undefined where there is none, or nobody can tell. */
  readonly life: Life | undefined;

  constructor(stanza: Stanza, isInstead = false, life?: Life) {
    this.stanza = stanza;
    this.isInstead = isInstead;
    this.life = life;
  }

  toJSON(): Written {
    const { from, to, el } = this.stanza;
    const life = this.life && lifeOf(this.life);
    return {
      from: from.full,
      to: to.full,
      xml: el.toXml(),
      ...(this.isInstead && { isInstead: true }),
      ...(life && { life }),
    };
  }

  /** What came to a room, from this node or another. */
  static read(given: Passed | Written): Passed {
    if (given instanceof Passed) return given;
    const from = Jid.parse(given.from);
    const to = Jid.parse(given.to);
    if (from === undefined || to === undefined) throw new Error('a stanza without addresses came from another node');
    const element: Element = unfoldable(given.xml);
    return new Passed(stanzaOf(element, from, to), given.isInstead, given.life);
  }
}
