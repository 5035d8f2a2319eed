// The steps of reaching another server, for the log and for people who ask why it cannot be reached.
import type { Clock } from '../base/clock.ts';

export type StepKind = 'dns' | 'tcp' | 'tls' | 'stream' | 'certificate' | 'authentication';

export interface Step {
  readonly kind: StepKind;
  /** A sentence for people. */
  readonly text: string;
  readonly isOk: boolean;
  /** Milliseconds since the first step began. */
  readonly at: number;
}

/** Bounded: a peer that lets every address fail must not fill the memory. */
const MOST_STEPS = 64;

export class Trace {
  private readonly clock: Clock;
  private readonly began: number;
  private readonly list: Step[] = [];

  constructor(clock: Clock) {
    this.clock = clock;
    this.began = clock.now();
  }

  get steps(): readonly Step[] {
    return this.list;
  }

  /** What went wrong last. */
  get problem(): string | undefined {
    return this.list.findLast((step) => !step.isOk)?.text;
  }

  add(kind: StepKind, text: string, isOk = true): void {
    if (this.list.length < MOST_STEPS) this.list.push({ kind, text, isOk, at: this.clock.now() - this.began });
  }
}
