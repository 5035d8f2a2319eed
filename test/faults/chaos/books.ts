// What was said to whom, what the server acknowledged of it, and what became of it: the books of a chaos run.

/** One session of somebody, and when it began. */
export interface SessionMark {
  readonly number: number;
  readonly began: number;
}

export interface Entry {
  readonly from: number;
  readonly to: number;
  readonly number: number;
  readonly body: string;
  readonly at: number;
  /** The session of its sender. */
  readonly session: number;
  /** How often its sender has sent it: more than once only over the end of a session that may have taken it. */
  attempts: number;
  isAcknowledged: boolean;
  /** Its sender has found it in its own archive, after a session that ended before the acknowledgement came. */
  isKnown: boolean;
  /** Came back as an error: the sender knows that it was not taken. */
  isRefused: boolean;
  /** On which of the recipient's sessions it came, one mention for each time. */
  readonly sessions: number[];
  /** It was read in the archive on the way back to the service. */
  isCaughtUp: boolean;
  /** The stanza-ids (XEP-0359) under which the recipient knows it. */
  readonly ids: Set<string>;
  /** How often it is in the archives of both at the end. */
  archived: number;
  kept: number;
}

/** All but the first group are to be zero. */
export interface Account {
  readonly sent: number;
  readonly acknowledged: number;
  readonly refused: number;
  /** Sent once more after the end of a session, and had twice, under two ids and one origin-id. */
  readonly repeated: number;
  /** Never acknowledged, but in the archive of its sender, who does not send it again; its recipient was not shown it. */
  readonly half: number;
  /** Came twice on one session under the same stanza-id, as a node died that had just handled it. */
  readonly twice: number;
  /** Came on a session, and again on the next one under the same stanza-id, as the first died before its client's word of it arrived. */
  readonly again: number;
  /** Was sent to a session that was over, and came on the next one after later ones. */
  readonly late: number;

  /** Acknowledged, and its recipient has it neither from sessions nor from the archive. */
  readonly lost: number;
  /** Acknowledged, and not in both archives. */
  readonly unkept: number;
  /** Acknowledged and in the archive, but neither a session nor catching up has shown it. */
  readonly unseen: number;
  /** More often than it was sent: in an archive, or under different ids. */
  readonly doubled: number;
  /** Later than one of the same pair that was sent after it, on a session or in an archive. */
  readonly misordered: number;
  /** Neither acknowledged nor refused in the end. */
  readonly unanswered: number;
}

const BODY = /<body>say (\d+) (\d+) (\d+)<\/body>/;
const ID = / id=['"]say-(\d+)-(\d+)-(\d+)['"]/;
const STANZA_ID = /<stanza-id [^>]*>/g;
const EXAMPLES = 12;

/** Where a message turned up: on a session, as its client caught up, or when all is read at the end. */
export type Place = 'session' | 'catching up' | 'end';

export class Books {
  /**
   * For how long a node may not hear that somebody has another session, in milliseconds: what it sends meanwhile comes back, and
   * goes to the new session after what others have sent there.
   */
  private readonly deafness: number;
  private readonly entries = new Map<string, Entry>();
  private readonly numbers = new Map<string, number>();
  /** The last number, by place and pair. */
  private readonly last = new Map<string, number>();
  private misordered = 0;
  private late = 0;
  /** How often something was heard. */
  heard = 0;
  private readonly examples: string[] = [];

  constructor(deafness = 0) {
    this.deafness = deafness;
  }

  /** The next message of that pair. */
  say(from: number, to: number, session: number): Entry {
    const pair = `${from} ${to}`;
    const number = (this.numbers.get(pair) ?? 0) + 1;
    this.numbers.set(pair, number);
    const entry: Entry = {
      from,
      to,
      number,
      body: `say ${pair} ${number}`,
      at: performance.now(),
      session,
      attempts: 1,
      isAcknowledged: false,
      isKnown: false,
      isRefused: false,
      sessions: [],
      isCaughtUp: false,
      ids: new Set(),
      archived: 0,
      kept: 0,
    };
    this.entries.set(`${pair} ${number}`, entry);
    return entry;
  }

  /** A message or an archive's result that `person` got, on which of that person's sessions. Returns the entry, if it is of these books. */
  hear(person: number, session: SessionMark, place: Place, xml: string): Entry | undefined {
    // an error need not hold what it is about; the id is there
    const isError = / type=['"]error['"]/.test(xml.slice(0, xml.indexOf('>')));
    const found = (isError ? ID : BODY).exec(xml);
    if (found === null) return undefined;
    const [from, to, number] = found.slice(1).map(Number) as [number, number, number];
    const entry = this.entries.get(`${from} ${to} ${number}`);
    if (entry === undefined) throw new Error(`nobody has said ${found[0]}`);
    this.heard++;
    if (isError) {
      entry.isRefused = true;
      return entry;
    }
    if (entry.to === person) {
      const id = place === 'session' ? stanzaIdFor(person, xml) : resultId(xml);
      if (id !== undefined) entry.ids.add(id);
      if (place === 'session') entry.sessions.push(session.number);
      else if (place === 'catching up') entry.isCaughtUp = true;
      else entry.archived++;
    } else if (place === 'end') entry.kept++;
    if (place === 'session')
      this.order(`session ${session.number} of ${person}: ${from} to ${to}`, entry, session.began);
    else if (place === 'end') this.order(`archive of ${person}: ${from} to ${to}`, entry, 0);
    return entry;
  }

  /** Messages that nobody has acknowledged or refused. */
  get open(): number {
    let n = 0;
    for (const { isAcknowledged, isKnown, isRefused } of this.entries.values()) {
      if (!isAcknowledged && !isKnown && !isRefused) n++;
    }
    return n;
  }

  get sent(): number {
    return this.entries.size;
  }

  /** What all comes to, when the archives were read; and the first few of what is wrong, in words. */
  close(): { readonly account: Account; readonly examples: readonly string[] } {
    const sum = {
      acknowledged: 0,
      refused: 0,
      repeated: 0,
      half: 0,
      twice: 0,
      again: 0,
      lost: 0,
      unkept: 0,
      unseen: 0,
      doubled: 0,
      unanswered: 0,
    };
    const wrong = (what: 'lost' | 'unkept' | 'unseen' | 'doubled' | 'unanswered', entry: Entry): void => {
      sum[what]++;
      this.note(`${what}: ${describe(entry)}`);
    };
    for (const entry of this.entries.values()) {
      const { sessions, ids, archived, kept, attempts, isAcknowledged, isRefused } = entry;
      const onOne = Math.max(
        0,
        ...[...new Set(sessions)].map((session) => sessions.filter((one) => one === session).length),
      );
      const most = Math.max(archived, kept, ids.size);
      if (most > attempts) wrong('doubled', entry);
      else if (most > 1) sum.repeated++;
      else if (onOne > 1) sum.twice++;
      else if (sessions.length > 1) sum.again++;
      if (isRefused) sum.refused++;
      else if (entry.isKnown && !isAcknowledged) {
        if (sessions.length === 0 && !entry.isCaughtUp) sum.half++;
      } else if (!isAcknowledged) wrong('unanswered', entry);
      else {
        sum.acknowledged++;
        const isSeen = sessions.length > 0 || entry.isCaughtUp;
        if (!isSeen && archived === 0) wrong('lost', entry);
        else if (archived === 0 || kept === 0) wrong('unkept', entry);
        else if (!isSeen) wrong('unseen', entry);
      }
    }
    return {
      account: { ...sum, sent: this.entries.size, late: this.late, misordered: this.misordered },
      examples: this.examples,
    };
  }

  /** Those that were sent again came late, and may. */
  private order(place: string, entry: Entry, began: number): void {
    if (entry.attempts > 1) return;
    // what somebody said on another session may have taken another way (RFC 6120 10.1)
    const lane = `${place}, of session ${entry.session}`;
    const last = this.last.get(lane) ?? 0;
    if (entry.number > last) this.last.set(lane, entry.number);
    else if (entry.number === last) return;
    else if (entry.at < began + this.deafness) this.late++;
    else {
      this.misordered++;
      this.note(`out of order: ${lane}, ${entry.number} after ${last}`);
    }
  }

  private note(what: string): void {
    if (this.examples.length < EXAMPLES) this.examples.push(what);
  }
}

function describe(entry: Entry): string {
  const { body, attempts, sessions, isCaughtUp, archived, kept, ids, isAcknowledged } = entry;
  return (
    `"${body}", sent ${attempts} times${isAcknowledged ? ', acknowledged' : ''}; on sessions ${sessions.join(' ') || 'none'}` +
    `${isCaughtUp ? ', caught up' : ''}; in archives ${archived} and ${kept}; ids ${[...ids].join(' ') || 'none'}`
  );
}

function resultId(xml: string): string | undefined {
  return / id=['"]([^'"]*)['"]/.exec(/<result [^>]*>/.exec(xml)?.[0] ?? '')?.[1];
}

/** What the archive of that person calls it: others' ids say nothing here. */
export function stanzaIdFor(person: number, xml: string): string | undefined {
  for (const [tag] of xml.matchAll(STANZA_ID)) {
    if (new RegExp(` by=['"]user${person}@`).test(tag)) return / id=['"]([^'"]*)['"]/.exec(tag)?.[1];
  }
  return undefined;
}
