// Budgets: how many bytes and how many elements may come in how short a time, from one stream or from several together.
import { type Rate, TokenBucket } from './token-bucket.ts';

export interface Allowance {
  /** Bytes a second. */
  readonly bytes: Rate;
  /** Elements a second. */
  readonly elements: Rate;
}

export class Budget {
  private readonly bytes: TokenBucket;
  private readonly elements: TokenBucket;

  /** @param now milliseconds */
  constructor(allowance: Allowance, now: number) {
    this.bytes = new TokenBucket(allowance.bytes, now);
    this.elements = new TokenBucket(allowance.elements, now);
  }

  /** Counts bytes; returns for how many milliseconds to read no more. */
  takeBytes(count: number, now: number): number {
    return this.bytes.take(count, now);
  }

  /** Counts an element; returns for how many milliseconds to read no more. */
  takeElement(now: number): number {
    return this.elements.take(1, now);
  }
}

/** Budgets that several share, by what they share; kept for as long as anybody uses them, and until their debt is paid. */
export class SharedBudgets {
  private readonly entries = new Map<string, { readonly budget: Budget; users: number }>();
  private readonly later: (ms: number, fn: () => void) => void;

  /** @param later runs something after so many milliseconds */
  constructor(later: (ms: number, fn: () => void) => void) {
    this.later = later;
  }

  get size(): number {
    return this.entries.size;
  }

  /** The budget of a key, made when nobody has it. Give it back with {@link release}. */
  acquire(key: string, allowance: Allowance, now: number): Budget {
    let entry = this.entries.get(key);
    if (entry === undefined) {
      entry = { budget: new Budget(allowance, now), users: 0 };
      this.entries.set(key, entry);
    }
    entry.users++;
    return entry.budget;
  }

  release(key: string, now: number): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    entry.users--;
    if (entry.users > 0) return;
    // coming back with a new connection must not wipe out what the old one owes
    const owed = Math.max(entry.budget.takeBytes(0, now), 0);
    if (owed === 0) this.entries.delete(key);
    else this.later(owed, () => entry.users === 0 && this.entries.get(key) === entry && this.entries.delete(key));
  }
}
