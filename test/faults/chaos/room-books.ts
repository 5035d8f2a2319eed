// What was said in which room, what its sender knows of that, who was there, and what became of it: the books of rooms in a chaos run.
import type { Hearing, SessionMark } from './books.ts';
import { Excuses } from './excuses.ts';
import { Findings } from './findings.ts';
import { Troubles } from './troubles.ts';

/** One message, sent once: what is sent again is another one. */
export interface Spoken {
  readonly room: number;
  readonly from: number;
  readonly number: number;
  readonly body: string;
  /** The session of its sender. */
  readonly session: number;
  /** Where it was written, and when: once more where its session was resumed. */
  readonly routes: { readonly node: string; readonly at: number }[];
  isAcknowledged: boolean;
  /** Its sender has found it in the room's archive, after a session that ended before the acknowledgement came. */
  isKnown: boolean;
  /** Came back as an error: for the moment (type `wait`: it may have been done), or for good. */
  refused: 'no' | 'wait' | 'for good';
  /** Its sender did not find it in the archive, and says it again: when that was. */
  givenUpAt: number | undefined;
  /** The ids under which it was heard by occupants, and those under which it is in the room's archive. */
  readonly heardAs: Set<string>;
  readonly archivedAs: string[];
}

/** Somebody in a room: from entering until leaving. */
export interface Stay {
  readonly room: number;
  readonly person: number;
  readonly session: SessionMark;
  readonly from: number;
  /** When the client was last sure to be there. */
  sureAt: number;
  hasEnded: boolean;
  /** The first and the last id that were heard. */
  first: string | undefined;
  last: string | undefined;
}

/** What is told, and is no fault. */
const TOLD = [
  'sent',
  'acknowledged',
  /** Copies that occupants were shown. */
  'heard',
  'refused',
  /** Refused for the moment, or said again, and done all the same. */
  'unknown',
  /** Heard by some, never acknowledged, and in no archive. */
  'unarchived',
  /** Shown again under the same stanza-id on one session. */
  'twice',
  /** Found out of a room, whose list Redis had forgotten. */
  'forgotten',
] as const;

/** What must not be. */
const WRONG = [
  /** Taken for said by its sender, and not in the room's archive. */
  'lost',
  /** More than once in the archive, although it was sent once. */
  'doubled',
  /** Heard under another id than that in the archive, or archived otherwise for another reader: two have had the room. */
  'divided',
  /** Came while somebody was in the room, who was not shown it. */
  'missed',
  'reshown',
  /** Came although its sender was told that it would not. */
  'undead',
  'misordered',
  'unanswered',
  /** Nobody has said that, or somebody else. */
  'invented',
  /** Out of a room, though the session went on. */
  'expelled',
] as const;

type Told = (typeof TOLD)[number];
type Wrong = (typeof WRONG)[number];
export type RoomAccount = Readonly<Record<Told | Wrong, number>>;

const BODY = /<body>in (\d+) (\d+) (\d+)<\/body>/;
const ID = / id=['"]in-(\d+)-(\d+)-(\d+)['"]/;
const EXAMPLES = 4;

export class RoomBooks {
  private readonly excuses: Excuses;
  private readonly entries = new Map<string, Spoken>();
  private readonly numbers = new Map<string, number>();
  private readonly stays: Stay[] = [];
  /** When a session was shown a message, by both and the room. */
  private readonly shown = new Map<string, Hearing[]>();
  /** What a room's archive has, in its order: as the first one reads it. */
  private readonly archives = new Map<number, (readonly [id: string, spoken: Spoken])[]>();
  private readonly found = new Findings(TOLD, WRONG, EXAMPLES, 'in rooms ');

  constructor(troubles = new Troubles()) {
    this.excuses = new Excuses(troubles);
  }

  /** The next thing that somebody says in that room, on that session. */
  say(room: number, from: number, session: number): Spoken {
    const lane = `${room} ${from}`;
    const number = (this.numbers.get(lane) ?? 0) + 1;
    this.numbers.set(lane, number);
    const spoken: Spoken = {
      room,
      from,
      number,
      body: `in ${lane} ${number}`,
      session,
      routes: [],
      isAcknowledged: false,
      isKnown: false,
      refused: 'no',
      givenUpAt: undefined,
      heardAs: new Set(),
      archivedAs: [],
    };
    this.entries.set(`${lane} ${number}`, spoken);
    return spoken;
  }

  /** It is written to a connection with that node. */
  write({ routes }: Spoken, node: string, at = performance.now()): void {
    routes.push({ node, at });
  }

  enter(room: number, person: number, session: SessionMark, at = performance.now()): Stay {
    const stay = { room, person, session, from: at, sureAt: at, hasEnded: false, first: undefined, last: undefined };
    this.stays.push(stay);
    return stay;
  }

  /** The session is over, or was ended: nothing more is asked of that stay than what was before its last message. */
  end(stay: Stay): void {
    stay.hasEnded = true;
  }

  /** The room says that somebody is not in it, who has not left. */
  expel(stay: Stay, how: string, at = performance.now()): void {
    if (stay.hasEnded) return;
    stay.hasEnded = true;
    const { room, person, sureAt, session } = stay;
    this.found.unless(
      () => this.excuses.isForgottenInRoom(stay, at),
      'forgotten',
      'expelled',
      `user${person} from room ${room} at ${clock(at)}, sure to be there at ${clock(sureAt)}, session ${session.number} on ${[...session.nodes].join(', ')}: ${how}`,
    );
  }

  /** What a room said to a session; `stay` where its client has been told that it is in. Returns the entry, if it is of these books. */
  hear(
    person: number,
    session: SessionMark,
    stay: Stay | undefined,
    xml: string,
    count = 0,
    at = performance.now(),
  ): Spoken | undefined {
    const head = xml.slice(0, xml.indexOf('>') + 1);
    if (/ type=['"]error['"]/.test(head)) return this.refuse(person, xml, head);
    const spoken = this.find(BODY, xml);
    if (spoken === undefined) {
      if (BODY.test(xml)) this.found.wrong('invented', `user${person} has ${xml}`);
      return undefined;
    }
    const id = roomIdOf(xml, spoken.room);
    if (id === undefined || !isFrom(head, spoken)) {
      this.found.wrong('invented', `user${person} has ${xml}`);
      return undefined;
    }
    spoken.heardAs.add(id);
    this.found.sum.heard++;
    const key = keyOf(person, session, spoken);
    const before = this.shown.get(key) ?? [];
    this.shown.set(key, [...before, { session, count, at, id }]);
    const same = before.filter((one) => one.id === id);
    if (same.length > 0) {
      const isExcused = (): boolean => same.length === 1 && this.excuses.isShownAgain(same[0]!, session);
      const what = `to user${person} on session ${session.number}: ${describe(spoken)}`;
      this.found.unless(isExcused, 'twice', 'reshown', what);
      return spoken;
    }
    if (stay === undefined || stay.hasEnded) return spoken;
    stay.sureAt = at;
    stay.first ??= id;
    if (stay.last !== undefined && id <= stay.last) {
      this.found.wrong(
        'misordered',
        `to user${person} on session ${session.number}, after ${stay.last}: ${describe(spoken)}`,
      );
    } else stay.last = id;
    return spoken;
  }

  /** A message that somebody found in a room's archive on the way back to it. */
  recognize(xml: string): Spoken | undefined {
    return this.find(BODY, xml);
  }

  /** All of a room's archive at the end, as one of its people reads it. */
  readArchive(room: number, results: readonly string[]): void {
    const read: (readonly [string, Spoken])[] = [];
    let last = '';
    for (const xml of results) {
      const spoken = this.find(BODY, xml);
      const id = / id=['"]([^'"]*)['"]/.exec(/<result [^>]*>/.exec(xml)?.[0] ?? '')?.[1] ?? '';
      if (spoken === undefined || spoken.room !== room) {
        if (BODY.test(xml)) this.found.wrong('invented', `room ${room} has ${xml}`);
        continue;
      }
      if (id <= last)
        this.found.wrong('divided', `the archive of room ${room} has ${id} after ${last}: ${describe(spoken)}`);
      last = id;
      read.push([id, spoken]);
    }
    const before = this.archives.get(room);
    if (before === undefined) this.archives.set(room, read);
    else if (before.map(([id]) => id).join() !== read.map(([id]) => id).join()) {
      this.found.wrong(
        'divided',
        `room ${room} has ${before.length} messages for one reader, ${read.length} for another`,
      );
    }
  }

  get sent(): number {
    return this.entries.size;
  }

  /** How often something was heard. */
  get heard(): number {
    return this.found.sum.heard;
  }

  /** What all comes to, when the archives were read; and the first few of what is wrong, in words. */
  close(): { readonly account: RoomAccount; readonly examples: readonly string[] } {
    this.found.settle();
    this.found.sum.sent = this.entries.size;
    for (const archive of this.archives.values()) this.judgeOrder(archive);
    for (const spoken of this.entries.values()) this.judgeFate(spoken);
    for (const stay of this.stays) this.judgeStay(stay);
    return { account: this.found.sum, examples: this.found.examples };
  }

  /** In the order in which each sender said it on one session; notes what is there. */
  private judgeOrder(archive: readonly (readonly [string, Spoken])[]): void {
    const last = new Map<string, number>();
    for (const [id, spoken] of archive) {
      spoken.archivedAs.push(id);
      if (spoken.archivedAs.length > 1) continue;
      // what somebody said on another session may have taken another way (RFC 6120 10.1)
      const lane = `${spoken.from} ${spoken.session}`;
      const before = last.get(lane) ?? 0;
      if (spoken.number > before) last.set(lane, spoken.number);
      else this.found.wrong('misordered', `in the archive, after ${before}: ${describe(spoken)}`);
    }
  }

  private judgeFate(spoken: Spoken): void {
    const { archivedAs, heardAs, isAcknowledged, isKnown, refused, givenUpAt } = spoken;
    const isThere = archivedAs.length > 0;
    if (archivedAs.length > 1) this.found.wrong('doubled', describe(spoken));
    else if (new Set([...archivedAs, ...heardAs]).size > 1) this.found.wrong('divided', describe(spoken));
    if (refused !== 'no') {
      this.found.sum.refused++;
      if (refused === 'for good' && (isThere || heardAs.size > 0)) this.found.wrong('undead', describe(spoken));
      else if (isThere) this.found.sum.unknown++;
      else if (heardAs.size > 0) this.found.sum.unarchived++;
    } else if (isAcknowledged || isKnown) {
      this.found.sum.acknowledged++;
      if (!isThere) this.found.wrong('lost', describe(spoken));
    } else if (givenUpAt === undefined) this.found.wrong('unanswered', describe(spoken));
    else if (isThere && this.excuses.isSaidAgain(spoken, givenUpAt)) this.found.sum.unknown++;
    else if (isThere) this.found.wrong('undead', describe(spoken));
    else if (heardAs.size > 0) this.found.sum.unarchived++;
  }

  /** Nothing that was acknowledged is missing between the first and the last message, nor after that where the stay did not end. */
  private judgeStay(stay: Stay): void {
    const { room, person, session, from, first, last, hasEnded } = stay;
    for (const [id, spoken] of this.archives.get(room) ?? []) {
      if (!spoken.isAcknowledged || spoken.refused !== 'no') continue;
      const hasBegun = (first !== undefined && id > first) || spoken.routes[0]!.at > from;
      const isOver = hasEnded && (last === undefined || id > last);
      if (!hasBegun || isOver || this.shown.has(keyOf(person, session, spoken))) continue;
      this.found.wrong('missed', `by user${person} on session ${session.number}: ${describe(spoken)}`);
    }
  }

  /** Whoever is told of an error has said what it is about. */
  private refuse(person: number, xml: string, head: string): Spoken | undefined {
    const spoken = this.find(ID, head);
    if (spoken === undefined || spoken.from !== person) return undefined;
    spoken.refused = /<error [^>]*type=['"]wait['"]/.test(xml) ? 'wait' : 'for good';
    return spoken;
  }

  private find(pattern: RegExp, xml: string): Spoken | undefined {
    return this.entries.get(pattern.exec(xml)?.slice(1).join(' ') ?? '');
  }
}

/** The room's stanza-id (XEP-0359 3): another one says nothing here. */
export function roomIdOf(xml: string, room: number): string | undefined {
  for (const [tag] of xml.matchAll(/<stanza-id [^>]*>/g)) {
    if (new RegExp(` by=['"]room${room}@`).test(tag)) return / id=['"]([^'"]*)['"]/.exec(tag)?.[1];
  }
  return undefined;
}

const isFrom = (head: string, { room, from }: Spoken): boolean =>
  new RegExp(` from=['"]room${room}@[^'"/]*/p${from}['"]`).test(head);

const keyOf = (person: number, session: SessionMark, { body }: Spoken): string => `${person} ${session.number} ${body}`;

const clock = (at: number): string => new Date(performance.timeOrigin + at).toISOString().slice(11, 23);

function describe(spoken: Spoken): string {
  const { body, routes, isAcknowledged, isKnown, refused, heardAs, archivedAs, session, givenUpAt } = spoken;
  const sent = routes.map(({ node, at }) => `${node} at ${clock(at)}`).join(', ');
  const fate = [
    ...(isAcknowledged ? ['acknowledged'] : []),
    ...(isKnown ? ['known'] : []),
    ...(refused === 'no' ? [] : [`refused (${refused})`]),
    ...(givenUpAt === undefined ? [] : [`given up at ${clock(givenUpAt)}`]),
  ];
  return `"${body}", session ${session} (${sent}) ${fate.join(', ')}; heard as ${[...heardAs].join(' ') || 'nothing'}; archived as ${archivedAs.join(' ') || 'nothing'}`;
}
