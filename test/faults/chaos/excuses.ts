// What the books of a chaos run do not hold against the server: each is a sentence of docs/cluster.md, and holds only for what was where
// something broke, when it did.
import type { Entry, Hearing, SessionMark } from './books.ts';
import type { Spoken, Stay } from './room-books.ts';
import { type Kind, kinds, type Trouble, type Troubles } from './troubles.ts';

/** How long it takes until a node that nothing keeps from it hears of a session, in milliseconds, on a busy machine. */
const WORD = 2_000;
/** Until the cluster has given up a node that is silent: five to six seconds, and what a busy machine adds. */
const DEATH = 8_000;
/** How long a node takes to be itself again when nothing is broken any more: about two seconds, and what a busy machine adds. */
const RECOVERY = 10_000;
/** Until rooms have written down again who is in them: a beat of their node or two, and what a busy machine adds. */
const LISTING = 5_000;
/** How long it takes until a client on a busy machine reads what it was sent. */
const READING = 2_000;
/** What a node has handled, and not yet cut off: half a second; and until a client reads it. */
const HANDLING = 500 + READING;
/** Until the other nodes have heard of an acknowledgement: half a second. */
const NEWS = 500 + READING;
/** Until who has sent something knows that it was handled: a second. */
const BEAT = 1_000 + READING;

const set = (...some: Kind[]): ReadonlySet<Kind> => new Set<Kind>(some);
/** Others' words do not come through. */
const DEAFENS = set('freeze', 'no-redis', 'neither', 'redis-restart', 'redis-empty');
/** The life of a node ends without a word, or does where it lasts. */
const ENDS_LIVES = set('kill', 'freeze', 'no-redis', 'neither');
/** What was said cannot be acknowledged, and may be dealt with later: so it is with all but an orderly end and connections that are cut. */
const DELAYS = set(...kinds.filter((kind) => kind !== 'stop' && kind !== 'cuts'));
/** Nothing is written down. */
const STORELESS = set('no-postgres', 'neither', 'postgres-restart', 'postgres-kill');
const KILLS = set('kill');
const FORGETS = set('redis-empty');
const HOLDS = set('no-redis', 'neither', 'redis-restart', 'redis-empty');

export class Excuses {
  private readonly troubles: Troubles;

  constructor(troubles: Troubles) {
    this.troubles = troubles;
  }

  /**
   * Came on a session after what was said later. It may where the node that it was said on did not know yet that the recipient has that
   * session, or has it there: what it sent to where the recipient was before comes back, or is passed on ("a node hears of a change
   * late", "when Redis cannot be reached from one node, what is for others waits"). Or where it was to be kept and the database was away
   * there: nobody waits for that for longer than two seconds ("then the later message comes first").
   */
  isLate({ routes }: Entry, { placed }: SessionMark): boolean {
    return routes.some(
      ({ node, at }) =>
        at < placed + WORD ||
        this.troubles.some(DEAFENS, node, ({ from, to }) => from <= placed + WORD && at <= to + RECOVERY) ||
        this.troubles.some(STORELESS, node, ({ from, to }) => from <= at + WORD && at <= to + WORD),
    );
  }

  /**
   * Was shown again under the same stanza-id. It may on another session, where the one before ended before its client's word of the
   * message had arrived. Else only where a node of that session died: within half a second of passing it on, or of its
   * acknowledgement ("dealt with twice if it dies just then", "is shown again if it waits for another session, too"); or
   * after Redis had come back empty within a second ("and dies before it has reached Redis again").
   */
  isShownAgain(before: Hearing, mark: SessionMark): boolean {
    const { session, count, at } = before;
    if (session !== mark && count > session.confirmed) return true;
    const toldAt = session.told.find((one) => one.count >= count)?.at ?? at;
    return [...session.nodes].some((node) =>
      this.troubles.some(ENDS_LIVES, node, ({ from }) => {
        if (Math.abs(from - at) < HANDLING || (from >= toldAt && from < toldAt + NEWS)) return true;
        return this.troubles.some(
          FORGETS,
          undefined,
          (loss) => Math.abs(loss.from - at) < BEAT && from >= loss.from && from < loss.to + RECOVERY,
        );
      }),
    );
  }

  /**
   * Is there twice, as its client has sent it twice, with one origin-id. It may be where something kept the node that had it first from
   * dealing with it until the client had looked into the archive elsewhere.
   */
  isSentTwice({ routes, attempts }: Entry): boolean {
    const last = Math.max(...routes.filter(({ attempt }) => attempt === attempts).map(({ at }) => at));
    return routes.some(
      ({ node, at, attempt }) =>
        attempt < attempts && this.troubles.some(DELAYS, node, ({ from, to }) => from <= last && to + RECOVERY >= at),
    );
  }

  /**
   * Was kept for the next login of somebody who was there all the time. It may where Redis came back empty, and the node had to ask it
   * ("a message for an account that nobody remembers is stored like any message for somebody offline, and is in the archive").
   */
  isForgotten({ routes }: Entry): boolean {
    return routes.some(({ node, at }) => {
      // what is held back is looked up when that is over
      let until = at + HANDLING;
      this.troubles.some(HOLDS, node, ({ from, to }) => {
        if (from <= at + HANDLING && at <= to + HANDLING) until = Math.max(until, to + RECOVERY);
        return false;
      });
      return this.troubles.some(FORGETS, node, ({ from, to }) => from <= until && at <= to + RECOVERY);
    });
  }

  /**
   * Is in both archives, was never acknowledged, and its recipient was not shown it: the node was killed between writing to the archives and
   * handing on, which takes as long as Redis is away.
   */
  isHalf({ routes }: Entry): boolean {
    return routes.some(({ node, at }) =>
      this.troubles.some(KILLS, node, ({ from: killed }) => {
        if (killed < at) return false;
        return (
          killed < at + HANDLING ||
          this.troubles.some(HOLDS, node, ({ from, to }) => from <= at + HANDLING && to + DEATH >= killed)
        );
      }),
    );
  }

  /**
   * Is in a room's archive although its sender did not find it there, and said it again under another id. It may be where something kept what
   * it was written to, or the room, from dealing with it until then ("nobody can tell what was done of it", and a node that goes on deals
   * with what it had read).
   */
  isSaidAgain({ routes }: Spoken, givenUpAt: number): boolean {
    return routes.some(({ at }) =>
      this.troubles.some(DELAYS, undefined, ({ from, to }) => from <= givenUpAt && to + RECOVERY >= at),
    );
  }

  /**
   * Was out of a room without having left. It may be where Redis came back empty, and the room's node died before it had written down again
   * who is there ("takes the lists of its rooms with it").
   */
  isForgottenInRoom({ sureAt }: Stay, at: number): boolean {
    return this.troubles.some(FORGETS, undefined, ({ from, to }) => {
      const listed = this.listedBy(to);
      // the list goes with the node, which is given up after some seconds
      return this.troubles.some(
        ENDS_LIVES,
        undefined,
        (end) =>
          end.from + DEATH >= from && end.from <= listed && end.from <= at && end.from + DEATH + RECOVERY >= sureAt,
      );
    });
  }

  /** When rooms have written down again who is there, after Redis is back: later where it goes away once more before that. */
  private listedBy(back: number): number {
    let listed = back + LISTING;
    const extend = ({ from, to }: Trouble): boolean => {
      if (from > listed || to + LISTING <= listed) return false;
      listed = to + LISTING;
      return true;
    };
    while (this.troubles.some(HOLDS, undefined, extend));
    return listed;
  }
}
