// What sessions that wait to be resumed take of the memory, all together: when it is too much, the largest end early.
import type { ManagedSession } from './sm-session.ts';

/** What a session takes that has nothing to say, and a stanza beside its text, in bytes, roughly. */
const SESSION = 4096;
const STANZA = 128;
/** So much of the limit is left when it was passed, so that room is not made for every stanza anew. */
const RELIEF = 0.9;

export class Hibernation {
  private readonly weights = new Map<ManagedSession, number>();
  private total = 0;
  private readonly limit: () => number;
  private readonly end: (managed: ManagedSession) => void;

  /**
   * @param limit in characters
   * @param end is called for a session that has to make room
   */
  constructor(limit: () => number, end: (managed: ManagedSession) => void) {
    this.limit = limit;
    this.end = end;
  }

  /** Counts a session as it is now, whether it was counted before or not. */
  count(managed: ManagedSession): void {
    const { queue } = managed;
    const weight = SESSION + queue.size + STANZA * queue.length;
    this.total += weight - (this.weights.get(managed) ?? 0);
    this.weights.set(managed, weight);
    if (this.total > this.limit()) this.makeRoom();
  }

  /** Whether there is room for more without driving anybody out. */
  get hasRoom(): boolean {
    return this.total <= this.limit() * RELIEF;
  }

  forget(managed: ManagedSession): void {
    this.total -= this.weights.get(managed) ?? 0;
    this.weights.delete(managed);
  }

  /** Whoever takes most goes first: nobody can drive out others by what is sent to himself. Of equals, the oldest. */
  private makeRoom(): void {
    const goal = this.limit() * RELIEF;
    const largest = [...this.weights].sort(([, a], [, b]) => b - a);
    for (const [managed] of largest) {
      if (this.total <= goal) return;
      this.forget(managed);
      this.end(managed);
    }
  }
}
