// Turns: work for one key runs one piece after another; work for different keys does not wait for each other.
import { isPromise, type MaybePromise } from './maybe.ts';

/** Queues that exist only while somebody waits: a piece of work that needs no promise costs a look-up. */
export class Turns<K> {
  private readonly last = new Map<K, Promise<unknown>>();

  /** Nothing is under way. */
  get isIdle(): boolean {
    return this.last.size === 0;
  }

  /** Whether work of that key is under way. */
  has(key: K): boolean {
    return this.last.has(key);
  }

  /** Runs the work now when nothing of that key is under way, else after it; whatever it throws reaches only the caller. */
  run<T>(key: K, work: () => MaybePromise<T>): MaybePromise<T> {
    const before = this.last.get(key);
    const result = before === undefined ? work() : before.then(work);
    if (!isPromise(result)) return result;
    const settled: Promise<void> = result.then(nothing, nothing).then(() => {
      if (this.last.get(key) === settled) this.last.delete(key);
    });
    this.last.set(key, settled);
    return result;
  }
}

function nothing(): void {}
