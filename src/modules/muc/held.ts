// What waits for a device while history is read for it, and who waits until that is on its way.
import type { MaybePromise } from '../../base/maybe.ts';
import type { Element } from '../../xml/element.ts';
import type { Jid } from '../../xmpp/jid.ts';

export class Held {
  /** What is to be sent after the history, and from whom. */
  readonly items: [element: Element, from: Jid][] = [];
  private promise: Promise<void> | undefined;
  private resolve: ((sent: MaybePromise<void>) => void) | undefined;

  /** Resolves when other nodes have it, or nobody is there any more to have it: an acknowledgement waits for that. */
  get sent(): Promise<void> {
    this.promise ??= new Promise((resolve) => {
      this.resolve = resolve;
    });
    return this.promise;
  }

  /** Nothing more waits here; `sent` is its way. */
  settle(sent?: MaybePromise<void>): void {
    this.resolve?.(sent);
  }
}
