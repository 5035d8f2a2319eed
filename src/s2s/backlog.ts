// Stanzas that wait for a stream, in order and within bounds.
import type { Queued } from './queued.ts';

export class Backlog {
  private entries: Queued[] = [];
  private bytes = 0;
  private readonly limits: { readonly queueStanzas: number; readonly queueBytes: number };

  constructor(limits: { readonly queueStanzas: number; readonly queueBytes: number }) {
    this.limits = limits;
  }

  get length(): number {
    return this.entries.length;
  }

  /** False, and nothing is added, where there is no room. */
  add(queued: Queued): boolean {
    if (this.entries.length >= this.limits.queueStanzas) return false;
    if (this.bytes + queued.xml.length > this.limits.queueBytes) return false;
    this.entries.push(queued);
    this.bytes += queued.xml.length;
    return true;
  }

  /** Puts others in front of all that wait; returns those for which there is no room, from the end. */
  addFirst(list: readonly Queued[]): readonly Queued[] {
    const all = [...list, ...this.take()];
    const full = all.findIndex((queued) => !this.add(queued));
    return full === -1 ? [] : all.slice(full);
  }

  /** Removes and returns everything. */
  take(): readonly Queued[] {
    const all = this.entries;
    this.entries = [];
    this.bytes = 0;
    return all;
  }
}
