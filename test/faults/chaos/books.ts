// What was said to whom, what the server acknowledged of it, and what became of it: the books of a chaos run.

import { Excuses } from './excuses.ts';
import { Findings } from './findings.ts';
import { Troubles } from './troubles.ts';

/** One session of somebody, as its client sees it. */
export interface SessionMark {
  readonly number: number;
  /** When it began, or was resumed last. */
  placed: number;
  /** The names of the nodes that it has been on; the last one is the one that it is on. */
  readonly nodes: Set<string>;
  /** How many of the stanzas that came the server is known to know of: it has answered what was sent after they were acknowledged. */
  confirmed: number;
  /** When how many of them were acknowledged. */
  readonly told: { readonly count: number; readonly at: number }[];
}

/** One time that a message turned up on a session. */
export interface Hearing {
  readonly session: SessionMark;
  /** Which of the session's stanzas it was. */
  readonly count: number;
  readonly at: number;
  readonly id: string | undefined;
}

export interface Entry {
  readonly from: number;
  readonly to: number;
  readonly number: number;
  readonly body: string;
  /** The session of its sender. */
  readonly session: number;
  /** How often its sender has sent it: more than once only over the end of a session that may have taken it. */
  attempts: number;
  /** Where it was written, and when: each attempt, and once more where its session was resumed. */
  readonly routes: { readonly node: string; readonly at: number; readonly attempt: number }[];
  isAcknowledged: boolean;
  /** Its sender has found it in its own archive, after a session that ended before the acknowledgement came. */
  isKnown: boolean;
  /** Came back as an error: the sender knows that it was not taken. */
  isRefused: boolean;
  readonly hearings: Hearing[];
  /** It was read in the archive on the way back to the service. */
  isCaughtUp: boolean;
  /** It came only when its recipient was made to log in once more, after all was over. */
  isOverdue: boolean;
  /** The stanza-ids (XEP-0359) under which the recipient knows it. */
  readonly ids: Set<string>;
  /** How often it is in the archives of both at the end. */
  archived: number;
  kept: number;
}

/** What is told, and is no fault. */
const TOLD = [
  /** Messages that were said, those of them that were acknowledged, and those that came to their recipients. */
  'sent',
  'acknowledged',
  'received',
  'refused',
  /** Sent once more after the end of a session, and had twice, under two ids and one origin-id. */
  'repeated',
  /** Never acknowledged, but in the archive of its sender, who does not send it again; its recipient was not shown it. */
  'half',
  /** Shown again under the same stanza-id: on the same session, and on another one. */
  'twice',
  'again',
  /** Came on a session after later ones, as its sender's node did not know of that session. */
  'late',
  /** Kept for the next login of somebody who was there, as nobody remembered that. */
  'waited',
] as const;

/** What must not be. */
const WRONG = [
  /** Acknowledged, and its recipient has it neither from sessions nor from the archive. */
  'lost',
  /** Its sender takes it for sent, and it is not in both archives. */
  'unkept',
  /** Its sender takes it for sent, and it is in the archive, but neither a session nor catching up has shown it. */
  'unseen',
  /** More often than it was sent, or than what broke excuses: in an archive, or under different ids. */
  'doubled',
  /** Shown again under the same id, with nothing to excuse it. */
  'reshown',
  /** Came although its sender was told that it would not. */
  'undead',
  /** Later than one of the same pair that was sent after it, on a session or in an archive. */
  'misordered',
  /** Neither acknowledged nor refused in the end. */
  'unanswered',
  /** Nobody has said that. */
  'invented',
] as const;

type Told = (typeof TOLD)[number];
type Wrong = (typeof WRONG)[number];
export type Account = Readonly<Record<Told | Wrong, number>>;

const BODY = /<body>say (\d+) (\d+) (\d+)<\/body>/;
const ID = / id=['"]say-(\d+)-(\d+)-(\d+)['"]/;
const STANZA_ID = /<stanza-id [^>]*>/g;
const EXAMPLES = 4;
/** Dealt with twice, by a node that died and by the one that took over. */
const MOST_AGAIN = 2;

/** Where a message turned up: on a session, as its client caught up, or when all is read at the end. */
export type Place = 'session' | 'catching up' | 'end';

export class Books {
  private readonly excuses: Excuses;
  private readonly entries = new Map<string, Entry>();
  private readonly numbers = new Map<string, number>();
  /** The last number, by place and pair. */
  private readonly last = new Map<string, number>();
  private readonly found = new Findings(TOLD, WRONG, EXAMPLES);
  /** How often something was heard. */
  heard = 0;
  /** All is over, and those who were not shown something log in once more. */
  isLastLook = false;

  constructor(troubles = new Troubles()) {
    this.excuses = new Excuses(troubles);
  }

  /** The next message of that pair, which is sent on that session. */
  say(from: number, to: number, session: number): Entry {
    const pair = `${from} ${to}`;
    const number = (this.numbers.get(pair) ?? 0) + 1;
    this.numbers.set(pair, number);
    const entry: Entry = {
      from,
      to,
      number,
      body: `say ${pair} ${number}`,
      session,
      attempts: 1,
      routes: [],
      isAcknowledged: false,
      isKnown: false,
      isRefused: false,
      hearings: [],
      isCaughtUp: false,
      isOverdue: false,
      ids: new Set(),
      archived: 0,
      kept: 0,
    };
    this.entries.set(`${pair} ${number}`, entry);
    return entry;
  }

  /** It is written to a connection with that node. */
  write({ routes, attempts }: Entry, node: string, at = performance.now()): void {
    routes.push({ node, at, attempt: attempts });
  }

  /**
   * A message or an archive's result that `person` got, on which of that person's sessions, as its how manieth stanza. Returns the entry, if it
   * is of these books.
   */
  hear(person: number, session: SessionMark, place: Place, xml: string, count = 0): Entry | undefined {
    // an error need not hold what it is about; the id is there
    const isError = / type=['"]error['"]/.test(xml.slice(0, xml.indexOf('>')));
    const found = (isError ? ID : BODY).exec(xml);
    if (found === null) return undefined;
    const [from, to, number] = found.slice(1).map(Number) as [number, number, number];
    const entry = this.entries.get(`${from} ${to} ${number}`);
    this.heard++;
    if (entry === undefined || (from !== person && to !== person)) {
      this.found.wrong('invented', `user${person} has ${xml}`);
      return undefined;
    }
    if (isError) {
      entry.isRefused = true;
      return entry;
    }
    if (entry.to === person) {
      const id = place === 'session' ? stanzaIdFor(person, xml) : resultId(xml);
      if (this.isLastLook && place !== 'end' && !isSeen(entry)) entry.isOverdue = true;
      if (place === 'session') this.show(entry, { session, count, at: performance.now(), id });
      else if (place === 'catching up') entry.isCaughtUp = true;
      else entry.archived++;
      if (id !== undefined) entry.ids.add(id);
    } else if (place === 'end') entry.kept++;
    // what is there again is judged as that
    const copies = place === 'session' ? entry.hearings.length : entry.to === person ? entry.archived : entry.kept;
    if (copies > 1) return entry;
    if (place === 'session') this.order(`session ${session.number} of ${person}: ${from} to ${to}`, entry, session);
    else if (place === 'end') this.order(`archive of ${person}: ${from} to ${to}`, entry, undefined);
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

  /** Those who have not been shown what somebody takes for sent. */
  get waiting(): ReadonlySet<number> {
    const isSure = ({ isAcknowledged, isKnown, isRefused }: Entry): boolean =>
      !isRefused && (isAcknowledged || isKnown);
    return new Set([...this.entries.values()].filter((one) => isSure(one) && !isSeen(one)).map(({ to }) => to));
  }

  get sent(): number {
    return this.entries.size;
  }

  /** What all comes to, when the archives were read; and the first few of what is wrong, in words. */
  close(): { readonly account: Account; readonly examples: readonly string[] } {
    this.found.settle();
    this.found.sum.sent = this.entries.size;
    for (const entry of this.entries.values()) {
      this.judgeCopies(entry);
      this.judgeFate(entry);
    }
    return { account: this.found.sum, examples: this.found.examples };
  }

  /** Nothing is there more often than it was sent, nor than it has to be. */
  private judgeCopies(entry: Entry): void {
    const { ids, archived, kept, attempts } = entry;
    const most = Math.max(archived, kept, ids.size);
    if (most < 2) return;
    if (most <= attempts && this.excuses.isSentTwice(entry)) this.found.sum.repeated++;
    else this.found.wrong('doubled', describe(entry));
  }

  /** What its sender believes of it is so. */
  private judgeFate(entry: Entry): void {
    const { archived, kept, attempts, isAcknowledged, isKnown, isRefused, isOverdue } = entry;
    const wasSeen = isSeen(entry);
    if (wasSeen) this.found.sum.received++;
    if (isRefused) {
      this.found.sum.refused++;
      // of what was sent twice, one may have been refused
      if (attempts === 1 && (wasSeen || archived > 0)) this.found.wrong('undead', describe(entry));
      return;
    }
    if (isAcknowledged) this.found.sum.acknowledged++;
    else if (!isKnown) {
      this.found.wrong('unanswered', describe(entry));
      return;
    }
    if (!wasSeen && archived === 0) this.found.wrong('lost', describe(entry));
    else if (archived === 0 || kept === 0) this.found.wrong('unkept', describe(entry));
    else if (wasSeen && !isOverdue) return;
    else if (isOverdue && this.excuses.isForgotten(entry)) this.found.sum.waited++;
    else if (!isAcknowledged && this.excuses.isHalf(entry)) this.found.sum.half++;
    else this.found.wrong('unseen', describe(entry));
  }

  private show(entry: Entry, hearing: Hearing): void {
    const { session, id } = hearing;
    // both what its node gave back and what it had not cut off may come, one after the other
    const before = entry.hearings.filter((one) => one.id === id);
    if (before.length > 0) {
      const isExcused = (): boolean =>
        before.length <= MOST_AGAIN && before.some((one) => this.excuses.isShownAgain(one, session));
      const told = before.at(-1)!.session === session ? 'twice' : 'again';
      this.found.unless(isExcused, told, 'reshown', describe({ ...entry, hearings: [...entry.hearings, hearing] }));
    }
    entry.hearings.push(hearing);
  }

  /** In a session, or in an archive. */
  private order(place: string, entry: Entry, session: SessionMark | undefined): void {
    // what was sent again came late, and may
    if (entry.attempts > 1) return;
    // what somebody said on another session may have taken another way (RFC 6120 10.1)
    const lane = `${place}, of session ${entry.session}`;
    const last = this.last.get(lane) ?? 0;
    if (entry.number > last) this.last.set(lane, entry.number);
    else {
      const isExcused = (): boolean => session !== undefined && this.excuses.isLate(entry, session);
      this.found.unless(isExcused, 'late', 'misordered', `${lane}, after ${last}: ${describe(entry)}`);
    }
  }
}

const isSeen = ({ hearings, isCaughtUp }: Entry): boolean => hearings.length > 0 || isCaughtUp;

function describe(entry: Entry): string {
  const { body, attempts, hearings, routes, isCaughtUp, isOverdue, archived, kept, ids, isAcknowledged } = entry;
  const clock = (at: number): string => new Date(performance.timeOrigin + at).toISOString().slice(11, 23);
  const shown = hearings.map(
    ({ session, count, at }) =>
      `${session.number} (${[...session.nodes].join(', ')}) at ${clock(at)} as stanza ${count} of ${session.confirmed} known to be had`,
  );
  const sent = routes.map(({ node, at }) => `${node} at ${clock(at)}`);
  return (
    `"${body}", sent ${attempts} times (${sent.join(', ')})${isAcknowledged ? ', acknowledged' : ''}; on sessions ${shown.join(', ') || 'none'}` +
    `${isCaughtUp ? ', caught up' : ''}${isOverdue ? ', not before the last login' : ''}; in archives ${archived} and ${kept}; ids ${[...ids].join(' ') || 'none'}`
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
