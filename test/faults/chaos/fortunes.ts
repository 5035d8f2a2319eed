// What clients of a chaos run went through.

/** What clients went through, of all of them. */
export interface Fortunes {
  resumed: number;
  /** Sessions that were over, or that could not be had any more. */
  begun: number;
  cuts: number;
  /** Attempts that failed, by what they failed with. */
  readonly setbacks: Map<string, number>;
  /** The longest that somebody was not served, in milliseconds, from the first thing on that was not answered. */
  longestGap: number;
  /** The longest that something said was waited for until it was acknowledged on the session that it was said on. */
  longestWait: number;
}

export const noFortunes = (): Fortunes => ({
  resumed: 0,
  begun: 0,
  cuts: 0,
  setbacks: new Map(),
  longestGap: 0,
  longestWait: 0,
});
