// What only the owner of a thing may do for it (core/owners): after whatever was waited for it looks first whether the thing is still its own.
import { isPromise, type MaybePromise } from '../base/maybe.ts';
import type { Lease } from '../cluster/cluster.ts';
import { StanzaError } from '../xmpp/errors.ts';
import type { Collect, Gate, Notify, Verdict } from './hooks.ts';
import type { Host } from './host.ts';

/** Resolves when a thing is certainly this node's of the cluster. @throws StanzaError where it is not any more */
export async function confirm(lease: Lease): Promise<void> {
  while (!lease.isValid) {
    if (!(await lease.confirm())) throw new StanzaError('remote-server-timeout', 'it has gone to another node');
  }
}

/** The hooks of a host. Where a promise was waited for, the thing is still this node's when it is settled; else it rejects. */
export interface LeasedHooks {
  gate<E>(hook: Gate<E>, event: E): MaybePromise<Verdict | undefined>;
  collect<E>(hook: Collect<E>, event: E): MaybePromise<void>;
  notify<E>(hook: Notify<E>, event: E): void;
}

export function hooksUnder(host: Pick<Host, 'gate' | 'collect' | 'notify'>, lease: Lease): LeasedHooks {
  /** What was waited for may have taken longer than the lease. */
  const ours = async <T>(work: Promise<T>): Promise<T> => {
    const result = await work;
    await confirm(lease);
    return result;
  };
  return {
    gate(hook, event) {
      const verdict = host.gate(hook, event);
      return isPromise(verdict) ? ours(verdict) : verdict;
    },
    collect(hook, event) {
      const done = host.collect(hook, event);
      return isPromise(done) ? ours(done) : undefined;
    },
    notify: (hook, event) => host.notify(hook, event),
  };
}

/** What is written for a thing. */
export class LeasedWrites {
  private readonly lease: Lease;
  private readonly underWay = new Set<Promise<unknown>>();

  constructor(lease: Lease) {
    this.lease = lease;
  }

  /** Begins at once where that may be: what is written first is there first. @throws StanzaError where the thing is somebody else's now */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.whenOurs(work);
    this.underWay.add(done);
    const end = (): void => void this.underWay.delete(done);
    done.then(end, end);
    return done;
  }

  /** Resolves when nothing is under way any more. */
  async settled(): Promise<void> {
    while (this.underWay.size > 0) await Promise.allSettled(this.underWay);
  }

  private async whenOurs<T>(work: () => Promise<T>): Promise<T> {
    if (!this.lease.isValid) await confirm(this.lease);
    return work();
  }
}
