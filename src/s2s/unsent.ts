// What was written to a stream and certainly never left this process, because the peer had stopped reading when the stream was cut: it can
// be sent again, or given back, without anybody having it twice. Of what the operating system took nothing is known without stream
// management (XEP-0198).
import type { Clock } from '../base/clock.ts';
import type { Transport } from '../net/transport.ts';
import { keep, type Queued } from './queued.ts';

/** What waits for longer is copied out of what came in with it, in milliseconds. */
const KEEP_AFTER = 1_000;
/** So many that have left are forgotten in one go. */
const FORGET = 1024;

export class Unsent {
  private readonly transport: Transport;
  private readonly clock: Clock;
  private list: Queued[] = [];
  /** Where each of them begins in what was written. */
  private starts: number[] = [];
  /** How many at the beginning of the list have left, and how many are copied. */
  private left = 0;
  private kept = 0;
  private since = 0;

  constructor(transport: Transport, clock: Clock) {
    this.transport = transport;
    this.clock = clock;
  }

  /** A stanza was written, just now. */
  add(queued: Queued): void {
    const { progress } = this.transport;
    if (progress === undefined) return;
    const start = progress.written - queued.xml.length;
    if (progress.handedOver >= start) {
      this.forget(this.list.length);
      this.since = this.clock.now();
    } else if (this.clock.now() - this.since > KEEP_AFTER) {
      this.skip(progress.handedOver);
      if (this.left >= FORGET) this.forget(this.left);
      this.keepAll();
    }
    this.list.push(queued);
    this.starts.push(start);
  }

  /** The stream is over: what never left, in order. */
  take(): readonly Queued[] {
    const { progress } = this.transport;
    if (progress !== undefined) this.skip(progress.handedOver);
    this.keepAll();
    const unsent = this.list.slice(this.left);
    this.forget(this.list.length);
    return unsent;
  }

  private skip(handedOver: number): void {
    while (this.left < this.list.length && this.starts[this.left]! < handedOver) this.left++;
  }

  private forget(count: number): void {
    if (count === 0) return;
    this.list = this.list.slice(count);
    this.starts = this.starts.slice(count);
    this.left = Math.max(0, this.left - count);
    this.kept = Math.max(0, this.kept - count);
  }

  private keepAll(): void {
    for (this.kept = Math.max(this.kept, this.left); this.kept < this.list.length; this.kept++) {
      keep(this.list[this.kept]!);
    }
  }
}
