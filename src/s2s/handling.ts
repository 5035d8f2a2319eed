// Handling of stanzas from outside: in which order, and how many at a time.
//
// Order is kept for each pair of bare JIDs. A stanza that waits (for the disk, say) holds up those of its own pair; the stream itself
// only when too much waits.
import type { Logger } from '../base/log.ts';
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import { Turns } from '../base/turns.ts';
import type { Router, Unsettled } from '../core/router.ts';
import type { Element } from '../xml/element.ts';
import type { Jid } from '../xmpp/jid.ts';
import type { HandledCounter } from '../xmpp/sm-counters.ts';

/** What may wait to be handled before the stream is read no further. */
const MOST_WAITING = 1024;
const MOST_WAITING_BYTES = 4 * 1024 * 1024;

export class Handling {
  private readonly router: Router;
  private readonly log: Logger;
  private readonly turns = new Turns<string>();
  private count = 0;
  private waitingBytes = 0;
  private whenRoom: (() => void) | undefined;

  constructor(router: Router, log: Logger) {
    this.router = router;
    this.log = log;
  }

  /** How many stanzas are being handled. */
  get waiting(): number {
    return this.count;
  }

  /**
   * Handles a stanza between two addresses that were checked, as many bytes long.
   * @param handled counts it when it is done
   * @returns a promise to wait for when too much is being handled
   */
  take(element: Element, from: Jid, to: Jid, bytes: number, handled?: HandledCounter): MaybePromise<void> {
    const { router } = this;
    // the key is only made where somebody has to wait
    const isFree = this.turns.isIdle;
    const first = isFree ? router.fromServer(element, from, to) : undefined;
    let work: Promise<unknown> | undefined;
    if (isFree && !isPromise(first)) work = first?.settled;
    else {
      const turn = this.turns.run(`${from.bare} ${to.bare}`, () =>
        isFree ? first : router.fromServer(element, from, to),
      );
      work = isPromise(turn) ? this.settled(turn) : turn?.settled;
    }
    // one of those that may wait, until its work is done
    handled?.add(work);
    return work && this.wait(work, bytes);
  }

  private async settled(work: Promise<Unsettled | undefined>): Promise<void> {
    try {
      const unsettled = await work;
      await unsettled?.settled;
    } catch (error) {
      this.log.error({ err: error }, 'a stanza from outside failed');
    }
  }

  private wait(work: Promise<unknown>, bytes: number): MaybePromise<void> {
    this.count++;
    this.waitingBytes += bytes;
    const done = (): void => {
      this.count--;
      this.waitingBytes -= bytes;
      if (this.whenRoom === undefined || this.isFull) return;
      this.whenRoom();
      this.whenRoom = undefined;
    };
    void work.then(done);
    if (!this.isFull) return;
    return new Promise((resolve) => {
      this.whenRoom = resolve;
    });
  }

  /** Whether the stream is to wait. */
  get isFull(): boolean {
    return this.count >= MOST_WAITING || this.waitingBytes >= MOST_WAITING_BYTES;
  }
}
