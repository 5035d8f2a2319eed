// Lives of full JIDs (core/transit.ts) in rooms. A device is in a room by one session. Who comes back under the same address, after the node
// of the session before has died or lost its way to the others, is another one; and what was said of that one may be heard after the
// next one has entered, since it comes from another node. Of those of other servers nothing of the kind is known.
import type { Life } from '../../core/transit.ts';

/** Nothing but what tells one life from another. */
export function lifeOf({ sid, since }: Life): Life {
  return { sid, ...(since !== undefined && { since }) };
}

/** Whether these are known to be two. */
export function areTwo(one: Life | undefined, other: Life | undefined): boolean {
  return one !== undefined && other !== undefined && one.sid !== other.sid;
}

/** Whether a life ended before another one of the same address began; also where nobody can tell. All nodes have one clock. */
export function isBefore(one: Life, other: Life): boolean {
  return one.since === undefined || (other.since !== undefined && one.since < other.since);
}
