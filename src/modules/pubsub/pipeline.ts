// What one asker asks of one service, in order (RFC 6120 10.1), though his stream does not wait for the disk: publications follow each other (a
// node has them in their order, shelf.ts), and whatever else is asked comes after them.
import { isPromise, type MaybePromise } from '../../base/maybe.ts';
import type { IqRequest } from '../../core/module.ts';
import type { Jid } from '../../xmpp/jid.ts';
import { NS } from '../../xmpp/ns.ts';

export class Pipeline {
  /** Publications that are under way, by asker and service. */
  private readonly underWay = new Map<string, Promise<unknown>>();

  /** Answers a request, in its place. */
  answer<T>(request: IqRequest, work: () => MaybePromise<T>): MaybePromise<T> {
    const { from, to, type } = request.iq;
    if (type !== 'set' || request.payload.getChild('publish', NS.pubsub) === undefined)
      return this.after(from, to, work);
    const answer = work();
    if (isPromise(answer)) {
      this.begin(keyOf(from, to), answer);
      request.release();
    }
    return answer;
  }

  /** Does something else when what somebody publishes at a service is there. */
  after<T>(asker: Jid, service: Jid, work: () => MaybePromise<T>): MaybePromise<T> {
    const before = this.underWay.size === 0 ? undefined : this.underWay.get(keyOf(asker, service));
    return before === undefined ? work() : before.then(work);
  }

  private begin(key: string, answer: Promise<unknown>): void {
    const before = this.underWay.get(key);
    const all = answer
      .then(nothing, nothing)
      .then(() => before)
      .then(() => {
        if (this.underWay.get(key) === all) this.underWay.delete(key);
      });
    this.underWay.set(key, all);
  }
}

const keyOf = (asker: Jid, service: Jid): string => `${asker.full} ${service.full}`;

function nothing(): void {}
