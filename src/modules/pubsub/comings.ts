// Who comes and goes, as a service hears of it: no more than one piece of work for a resource at a time, however often it says so. Whether it has
// been here before is for those to know who tell: the server tells of its people when that changes, others tell of themselves as they like.
import type { Jid } from '../../xmpp/jid.ts';
import type { Presence } from '../../xmpp/stanza.ts';

export interface ComingsParts {
  /** Tells the nodes that heed it. */
  tell(who: Jid, is: 'coming' | 'going'): Promise<void>;
  /** Work that nobody waits for. */
  background(work: Promise<unknown>, what: string): void;
}

export class Comings {
  private readonly parts: ComingsParts;
  /** By full JID; what has come meanwhile, of which the last counts. */
  private readonly underWay = new Map<string, 'coming' | 'going' | undefined>();

  constructor(parts: ComingsParts) {
    this.parts = parts;
  }

  /** Presence of any type, from a full JID. */
  take({ from, type }: Pick<Presence, 'from' | 'type'>): void {
    if (type !== 'available' && type !== 'unavailable') return;
    const is = type === 'available' ? 'coming' : 'going';
    if (this.underWay.has(from.full)) this.underWay.set(from.full, is);
    else this.parts.background(this.follow(from, is), 'following who is online');
  }

  private async follow(who: Jid, first: 'coming' | 'going'): Promise<void> {
    let is: 'coming' | 'going' | undefined = first;
    try {
      while (is !== undefined) {
        this.underWay.set(who.full, undefined);
        await this.parts.tell(who, is);
        is = this.underWay.get(who.full);
      }
    } finally {
      this.underWay.delete(who.full);
    }
  }
}
