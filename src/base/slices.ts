// Slices: long lists are gone through a piece at a time, so that nothing else has to wait for all of it.
import { isPromise, type MaybePromise } from './maybe.ts';

export class Slices {
  private readonly most: number;
  private readonly waiting: (() => void)[] = [];

  /** @param most what one turn of the event loop may take of a list */
  constructor(most: number) {
    this.most = most;
  }

  /**
   * Does something with every piece of a list, in order: with the first at once, with each of the others in a turn of its own, which
   * no other list has a piece in. The list must not change meanwhile.
   * @returns when all is done that `step` returned; rejects with the first of its failures
   */
  run<T>(list: readonly T[], step: (piece: readonly T[]) => MaybePromise<void>): MaybePromise<void> {
    return list.length <= this.most ? step(list) : this.inPieces(list, step);
  }

  private async inPieces<T>(list: readonly T[], step: (piece: readonly T[]) => MaybePromise<void>): Promise<void> {
    const works: Promise<void>[] = [];
    for (let at = 0; at < list.length; at += this.most) {
      if (at > 0) await this.turn();
      const work = step(list.slice(at, at + this.most));
      if (!isPromise(work)) continue;
      // its failure is told in the end
      work.catch(() => {});
      works.push(work);
    }
    await Promise.all(works);
  }

  private turn(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
      if (this.waiting.length === 1) setImmediate(() => this.next());
    });
  }

  private next(): void {
    const first = this.waiting.shift();
    if (this.waiting.length > 0) setImmediate(() => this.next());
    first?.();
  }
}
