// The counters of stream management (XEP-0198 4): what was sent and not acknowledged, what came and was handled. Pure.
import type { Element } from '../xml/element.ts';
import { markOf } from './sm-marks.ts';

/** Counters are unsigned and start again at zero after 2^32-1 (XEP-0198 4). */
const wrap = (count: number): number => count >>> 0;

/** A stanza that its reader has not acknowledged yet. */
export interface Unacknowledged<R> {
  /** As it was written. */
  xml: string;
  /** The text is a copy of its own (see flatten.ts). */
  isFlat: boolean;
  /** When it was delivered, in milliseconds since 1970. */
  readonly at: number;
  /** Who else has it. */
  readonly reach: R | undefined;
}

// How many acknowledged places may lead the list before it is moved together.
const SLACK = 64;

// most sessions have nothing that waits, most of the time: they share this
const none: never[] = Object.freeze([]) as never;

/** What was sent and is not acknowledged, in order. */
export class UnackedQueue<R = never> {
  /** How many the peer has acknowledged. */
  acked: number;
  /** Characters that wait. */
  size = 0;
  private entries: Unacknowledged<R>[] = none;
  private head = 0;

  /** @param start where the counter begins */
  constructor(start = 0) {
    this.acked = wrap(start);
  }

  get length(): number {
    return this.entries.length - this.head;
  }

  /** How many were sent. */
  get sent(): number {
    return wrap(this.acked + this.length);
  }

  push(entry: Unacknowledged<R>): void {
    if (this.entries === none) this.entries = [entry];
    else this.entries.push(entry);
    this.size += entry.xml.length;
  }

  /**
   * Forgets what the peer has handled; false, and nothing is forgotten, when it cannot have handled so many.
   * @param listener hears of what others have, too
   */
  acknowledge(h: number, listener?: { had(reach: R): void }): boolean {
    const count = wrap(h - this.acked);
    if (count > this.length) return false;
    this.acked = wrap(h);
    for (let i = 0; i < count; i++) {
      const { xml, reach } = this.entries[this.head]!;
      this.size -= xml.length;
      if (reach !== undefined) listener?.had(reach);
      // the place may stay in the list for a while, its text must not
      this.entries[this.head++] = undefined as never;
    }
    if (this.head === this.entries.length) {
      this.entries = none;
      this.head = 0;
    } else if (this.head > SLACK && this.head * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.head);
      this.head = 0;
    }
    return true;
  }

  /** One of those that wait, counted from the oldest. */
  at(index: number): Unacknowledged<R> {
    return this.entries[this.head + index]!;
  }

  /** What waits, the oldest first. */
  waiting(): Unacknowledged<R>[] {
    return this.entries.slice(this.head);
  }
}

/** So many refusals are remembered, the last ones. */
const MOST_REFUSALS = 256;

/** Of so many stanzas behind `h` it is known which they were. */
const MOST_MARKED = 512;
/** A stanza that is sent again may have come to stand so much further back, behind others that its sender had not sent before. */
const SLIP = 16;

/** A stanza that was handled although one before it was not: where it stands, as `h` counts, and what it is known by. */
export type Marked = readonly [number: number, mark: string];

/** Work that a stanza's sender is not to hear of before it is done. */
interface Step {
  isDone: boolean;
  /** It is done, and was not handled. */
  isLost: boolean;
  /** The stanza itself, and those behind it that had nothing to wait for. */
  stanzas: number;
  /** Acknowledgements that were asked for behind those. */
  asked: number;
  /** The stanza itself, until it is done; then what it is known by, where it is done before others that came before it. */
  element: Element | undefined;
  mark: string | undefined;
  /** What those behind it are known by. */
  behind: string[] | undefined;
}

const nothing: Step[] = Object.freeze([]) as never;

/** How the work of a stanza ended that was answered by an error: the answer was written. */
export const refused = 'refused';

/** A stanza that was refused. */
interface Refusal {
  readonly step: Step;
  /** Counted as `h` is. */
  readonly number: number;
  /** How much was sent to the peer by then, the answer being part of it. */
  readonly sent: number;
}

/** Who tells the peer what was handled. */
export interface Answering {
  sendAck(): void;
  /** What was sent to the peer so far, where that is counted. */
  readonly sent?: number;
}

/** What came from the peer and was handled: the longest run of stanzas all of whose work is done. */
export class HandledCounter {
  h: number;
  // most sessions wait for nothing most of the time
  private steps = nothing;
  private whenIdle: (() => void)[] | undefined;
  private isHalted = false;
  private refusals: Refusal[] | undefined;
  /** How many stanzas have come that `h` does not count. */
  private open = 0;
  /** What another process has handled and could not count: its sender sends it again. */
  private repeats: Marked[] | undefined;
  private readonly answers: Answering;

  /**
   * @param answers is told once for each acknowledgement that was asked for, when it may be given
   * @param start where the counter begins
   */
  constructor(answers: Answering, start = 0) {
    this.h = wrap(start);
    this.answers = answers;
    this.whenIdle = undefined;
    this.refusals = undefined;
    this.repeats = undefined;
  }

  /**
   * A stanza was handled; `work` is what it still waits for. The promise must not reject; where it resolves to false the stanza was
   * not handled after all, and counting ends before it. Where it resolves to {@link refused}, that is known in the end: see `end`.
   * @param stanza for who has to know which were handled: see `ahead`
   */
  add(work?: Promise<unknown>, stanza?: Element): void {
    if (this.isHalted) return;
    const last = this.steps.at(-1);
    if (work === undefined && last === undefined) {
      this.h = wrap(this.h + 1);
      return;
    }
    const element = ++this.open > MOST_MARKED ? undefined : stanza;
    if (work === undefined) {
      this.addBehind(last!, element);
      return;
    }
    const step: Step = {
      isDone: false,
      isLost: false,
      stanzas: 1,
      asked: 0,
      element,
      mark: undefined,
      behind: undefined,
    };
    if (last === undefined) this.steps = [step];
    else this.steps.push(step);
    void work.then((outcome) => {
      if (outcome === refused) this.refuse(step);
      step.isLost = outcome === false;
      step.isDone = true;
      if (step.element !== undefined && !step.isLost && this.steps[0] !== step) step.mark = markOf(step.element);
      step.element = undefined;
      this.advance();
    });
  }

  /** It had nothing to wait for but what came before it. */
  private addBehind(last: Step, element: Element | undefined): void {
    const mark = element && markOf(element);
    if (last.asked > 0) {
      const step = { isDone: true, isLost: false, stanzas: 1, asked: 0, element: undefined, mark, behind: undefined };
      this.steps.push(step);
      return;
    }
    last.stanzas++;
    if (mark !== undefined) {
      last.behind ??= [];
      last.behind.push(mark);
    }
  }

  /**
   * Those that were handled although `h` does not count them, as one before them was not: their sender will send them again to whoever
   * goes on from `h`. At most the first few hundred.
   */
  ahead(): Marked[] {
    const marked = this.stillToCome(wrap(this.h + 1));
    let number = wrap(this.h + 1);
    for (const { mark, behind = [], stanzas } of this.steps) {
      if (mark !== undefined) marked.push([number, mark]);
      for (const [i, one] of behind.entries()) marked.push([wrap(number + 1 + i), one]);
      number = wrap(number + stanzas);
    }
    return marked;
  }

  /** Goes on from the `h` of another process, with what was `ahead` of it there. */
  expect(repeats: readonly Marked[]): void {
    this.repeats = repeats.length === 0 ? undefined : [...repeats];
  }

  /**
   * Whether a stanza that has just come was handled already, by another process that could not say so: then it only counts. It is known by
   * where it stands and by what it says, so that nothing else is taken for it, whatever a client sends again or leaves out.
   */
  isRepeat(stanza: Element): boolean {
    if (this.repeats === undefined) return false;
    const rest = this.stillToCome(wrap(this.h + this.open + 1));
    const mark = rest.length === 0 ? undefined : markOf(stanza);
    const at = rest.findIndex(([, one]) => one === mark);
    if (at >= 0) rest.splice(at, 1);
    this.repeats = rest.length === 0 ? undefined : rest;
    return at >= 0;
  }

  /** What may be sent again yet, when the next stanza has that number. */
  private stillToCome(next: number): Marked[] {
    return (this.repeats ?? []).filter(([number]) => !isBehind(wrap(number + SLIP), next));
  }

  /**
   * Nothing more will be sent to the peer, which has acknowledged so much of what was. It has not read the other refusals: what they were
   * about does not count as handled, and it says that again.
   */
  end(acknowledged: number): void {
    const unread = this.refusals?.find(({ sent }) => isBehind(acknowledged, sent));
    if (unread === undefined) return;
    unread.step.isLost = true;
    if (this.steps.includes(unread.step)) this.advance();
    else {
      this.h = wrap(unread.number - 1);
      this.isHalted = true;
      this.finish();
    }
  }

  private refuse(step: Step): void {
    const { sent } = this.answers;
    if (sent === undefined || this.isHalted) return;
    let number = this.h + 1;
    for (const before of this.steps) {
      if (before === step) break;
      number += before.stanzas;
    }
    this.refusals ??= [];
    this.refusals.push({ step, number, sent });
    if (this.refusals.length > MOST_REFUSALS) this.refusals.shift();
  }

  /** The peer wants to know: it is told when everything that came before is done. */
  ask(): void {
    const last = this.steps.at(-1);
    if (last === undefined) this.answers.sendAck();
    else last.asked++;
  }

  /** Nobody is there to be told any more. */
  forgetAsked(): void {
    for (const step of this.steps) step.asked = 0;
  }

  get isIdle(): boolean {
    return this.steps.length === 0;
  }

  /** Resolves when everything that came is done. */
  idle(): Promise<void> {
    if (this.isIdle) return Promise.resolve();
    return new Promise((resolve) => {
      this.whenIdle ??= [];
      this.whenIdle.push(resolve);
    });
  }

  private advance(): void {
    let done = 0;
    for (const { isDone, isLost, stanzas, asked } of this.steps) {
      if (isLost) {
        this.isHalted = true;
        this.steps.splice(0, done);
        this.repeats = this.ahead();
        this.finish();
        return;
      }
      if (!isDone) break;
      done++;
      this.h = wrap(this.h + stanzas);
      this.open -= stanzas;
      for (let i = 0; i < asked; i++) this.answers.sendAck();
    }
    if (done < this.steps.length) {
      this.steps.splice(0, done);
      return;
    }
    this.finish();
  }

  private finish(): void {
    this.steps = nothing;
    this.open = 0;
    for (const resolve of this.whenIdle?.splice(0) ?? []) resolve();
  }
}

/** Whether one count is less than another: both go on at 0 after the greatest, and are never far apart. */
function isBehind(one: number, other: number): boolean {
  return one !== other && wrap(other - one) < 2 ** 31;
}
