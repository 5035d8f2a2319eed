// A session that can be resumed goes from one node to another: what the two say to each other. The node that has it freezes it, and
// keeps taking what comes for it; the other one becomes its node in the directory, by a single change of the entry, so that the session
// is there all the time; then it takes what waits, and the first one lets go. What still comes there follows. Until the other node
// has said that it has everything, the first one keeps what it gave, and gives it back should that node fail. Where the first one does not
// answer in time, the client is told that there is no such session, and the node, when it listens, that it has ended.
import type { NodeId } from '../cluster/cluster.ts';
import type { SavedSession } from '../core/sessions.ts';
import type { SavedStream } from './sm-session.ts';

/** Names of the calls between nodes. */
export const moveCalls = {
  freeze: 'sm.freeze',
  take: 'sm.take',
  done: 'sm.done',
  holds: 'sm.holds',
  adopt: 'sm.adopt',
  forsake: 'sm.forsake',
} as const;

/** A session by its SM-ID, and whose it has to be. */
export interface Wanted {
  readonly id: string;
  readonly account: string;
}

/** `h`: what its client was told, or would have been, of one that is over; `at`: where it has gone. */
export type FreezeAnswer =
  | { readonly kind: 'frozen'; readonly token: string; readonly handled: number; readonly session: SavedSession }
  | { readonly kind: 'unknown'; readonly h?: number; readonly at?: NodeId };

/** One move of one session. */
export interface Move {
  readonly id: string;
  readonly token: string;
}

export interface TakeRequest extends Move {
  /** How much of what waits is there already. */
  readonly from: number;
}

/** `over`: nobody has the session any more; `stays`: the node that had it goes on with it. */
export type TakeAnswer =
  | {
      readonly kind: 'part';
      readonly stream: Omit<SavedStream, 'waiting'>;
      readonly waiting: SavedStream['waiting'];
      readonly isLast: boolean;
    }
  | { readonly kind: 'over' }
  | { readonly kind: 'stays' };

/** Whether the other node has all of a session. */
export type HoldsAnswer = 'yes' | 'no' | 'not yet';

/** What waits for a session is taken so many characters at a time. */
const PART = 256 * 1024;

export function partOf({ waiting, ...stream }: SavedStream, from: number): TakeAnswer {
  let end = from;
  for (let size = 0; end < waiting.length && size < PART; end++) size += waiting[end]!.xml.length;
  return { kind: 'part', stream, waiting: waiting.slice(from, end), isLast: end >= waiting.length };
}
