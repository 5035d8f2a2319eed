// Somebody's client in rooms while the service breaks: it enters with each new session, asks now and then whether it is still inside
// (XEP-0410), enters again where it is not, and says again what is neither acknowledged nor in the room's archive.
import { ArchiveReader, type Page } from '../../../bench/load/archive.ts';
import { attribute } from '../../../bench/load/client.ts';
import type { SessionMark } from './books.ts';
import type { Line } from './line.ts';
import { type RoomBooks, roomIdOf, type Spoken, type Stay } from './room-books.ts';
import { roomAddress } from './service.ts';

/** How long an answer may take, in milliseconds, and how often a client asks whether it is inside. */
const PATIENCE = 15_000;
const PINGS = 6_000;
const PAGE = 50;

export const nickOf = (number: number): string => `p${number}`;

/** One room, as one client has it. */
interface Visit {
  readonly room: number;
  readonly address: string;
  state: 'out' | 'entering' | 'in';
  stay: Stay | undefined;
  /** When it has last asked to enter, and whether it is inside; the latter's id while that is not answered. */
  enteredAt: number;
  pingedAt: number;
  ping: string | undefined;
  /** Nicks of those inside, as far as it was told. */
  readonly told: Set<string>;
  /** Sent on a session that is over, and not known to be taken. */
  doubtful: Spoken[];
  /** The session on which it looks into the archive for these. */
  lookingOn: SessionMark | undefined;
  /** How much has to be said again. */
  owed: number;
  reader: ArchiveReader | undefined;
  /** The last id that is known. */
  mark: string;
  /** What was known when each was sent. */
  readonly marks: Map<Spoken, string>;
}

export class Guest {
  private readonly number: number;
  private readonly books: RoomBooks;
  private readonly line: Line;
  private readonly visits: readonly Visit[];
  private asked = 0;

  constructor(number: number, rooms: readonly number[], books: RoomBooks, line: Line) {
    this.number = number;
    this.books = books;
    this.line = line;
    this.visits = rooms.map((room) => ({
      room,
      address: roomAddress(room),
      state: 'out',
      stay: undefined,
      enteredAt: 0,
      pingedAt: 0,
      ping: undefined,
      told: new Set(),
      doubtful: [],
      lookingOn: undefined,
      owed: 0,
      reader: undefined,
      mark: '',
      marks: new Map(),
    }));
  }

  get rooms(): readonly number[] {
    return this.visits.map(({ room }) => room);
  }

  /** It is in all its rooms, and knows of all that it said there. */
  get isSettled(): boolean {
    return this.visits.every(({ state, doubtful }) => state === 'in' && doubtful.length === 0);
  }

  /** For when it is not served. */
  get state(): string {
    return this.visits
      .map(({ room, state, doubtful }) => `room ${room}: ${state}, ${doubtful.length} doubtful`)
      .join('; ');
  }

  /** Nicks of those in a room, as far as it was told. */
  told(room: number): ReadonlySet<string> {
    return this.visits.find((one) => one.room === room)!.told;
  }

  /** A session is over, with what was not acknowledged of it. */
  sessionOver(open: readonly Spoken[]): void {
    for (const visit of this.visits) {
      visit.doubtful.push(...open.filter(({ room, refused }) => room === visit.room && refused === 'no'));
      this.goOut(visit);
      visit.reader = undefined;
    }
  }

  /** What is due; called about as often as its person says something. */
  tick(now = performance.now()): void {
    if (!this.line.isConnected) return;
    for (const visit of this.visits) {
      if (visit.state === 'in') this.stay(visit, now);
      else if (visit.state === 'out' || now - visit.enteredAt > PATIENCE) this.enter(visit, now);
    }
  }

  /** Says something in a room that it is in, if there is one. */
  speak(random: number): void {
    const inside = this.visits.filter(({ state }) => state === 'in');
    const visit = inside[Math.floor(random * inside.length)];
    if (visit !== undefined) this.say(visit);
  }

  /** Whether a stanza was a room's. */
  take(xml: string): boolean {
    const head = xml.slice(0, xml.indexOf('>') + 1);
    const from = attribute(head, 'from') ?? '';
    const visit = this.visits.find(({ address }) => from === address || from.startsWith(`${address}/`));
    if (visit === undefined) return false;
    if (visit.reader?.take(xml) === true) return true;
    if (xml.startsWith('<iq')) return this.answer(visit, xml, head);
    if (xml.startsWith('<presence')) this.see(visit, xml, head, from.slice(visit.address.length + 1));
    else if (!xml.includes('<result ')) this.hear(visit, xml);
    return true;
  }

  /** Everything in a room's archive. Throws where the connection ends over it. */
  async readAll(room: number, bounded: (work: Promise<Page>) => Promise<Page>): Promise<readonly string[]> {
    const visit = this.visits.find((one) => one.room === room)!;
    const results: string[] = [];
    for (let mark = ''; ; ) {
      const page = await bounded(this.page(visit, mark));
      results.push(...page.results);
      if (page.last !== '') mark = page.last;
      if (page.isComplete || page.results.length === 0) return results;
    }
  }

  private enter(visit: Visit, now: number): void {
    if (visit.state === 'entering') this.line.setback('a room did not let in in time');
    visit.state = 'entering';
    visit.enteredAt = now;
    visit.told.clear();
    this.line.send(
      `<presence to='${visit.address}/${nickOf(this.number)}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`,
    );
  }

  private stay(visit: Visit, now: number): void {
    const { session } = this.line;
    if (visit.doubtful.length > 0 && visit.lookingOn !== session) {
      visit.lookingOn = session;
      this.look(visit, session)
        .catch((error: unknown) => this.line.setback(`a room: ${error}`))
        .finally(() => {
          if (visit.lookingOn === session) visit.lookingOn = undefined;
        });
    }
    if (visit.owed > 0 && visit.doubtful.length === 0 && this.line.isTalking) {
      visit.owed--;
      this.say(visit);
    }
    if (now - visit.pingedAt < PINGS) return;
    if (visit.ping !== undefined && now - visit.pingedAt < PATIENCE) return;
    visit.pingedAt = now;
    visit.ping = `self ${visit.room} ${++this.asked}`;
    this.line.send(
      `<iq type='get' id='${visit.ping}' to='${visit.address}/${nickOf(this.number)}'><ping xmlns='urn:xmpp:ping'/></iq>`,
    );
  }

  private say(visit: Visit): void {
    const { books, line, number } = this;
    const spoken = books.say(visit.room, number, line.session.number);
    const id = spoken.body.replaceAll(' ', '-');
    visit.marks.set(spoken, visit.mark);
    books.write(spoken, line.nodeName);
    line.send(
      `<message to='${visit.address}' type='groupchat' id='${id}'><body>${spoken.body}</body><origin-id xmlns='urn:xmpp:sid:0' id='${id}'/></message>`,
      spoken,
    );
  }

  private goOut(visit: Visit): void {
    if (visit.stay !== undefined) this.books.end(visit.stay);
    visit.state = 'out';
    visit.stay = visit.ping = undefined;
    visit.told.clear();
  }

  private expelled(visit: Visit, how: string): void {
    if (visit.stay !== undefined) this.books.expel(visit.stay, how);
    this.goOut(visit);
    this.line.setback('out of a room');
  }

  private hear(visit: Visit, xml: string): void {
    const { client, session } = this.line;
    const spoken = this.books.hear(this.number, session, visit.stay, xml, client.sm?.received);
    const id = roomIdOf(xml, visit.room);
    if (id !== undefined && id > visit.mark) visit.mark = id;
    if (spoken === undefined) return;
    if (spoken.from === this.number) visit.marks.delete(spoken);
    if (!/^<message [^>]*type=['"]error['"]/.test(xml)) return;
    this.line.setback(`a room refused: ${conditionOf(xml)}`);
    visit.owed++;
    if (xml.includes('<not-acceptable') && visit.state === 'in') this.expelled(visit, xml);
  }

  private see(visit: Visit, xml: string, head: string, nick: string): void {
    const type = attribute(head, 'type');
    const isSelf = /<status [^>]*code=['"]110['"]/.test(xml);
    if (type === 'error') {
      this.line.setback(`a room did not let in: ${conditionOf(xml)}`);
      if (visit.state === 'entering') visit.state = 'out';
    } else if (type === 'unavailable') {
      visit.told.delete(nick);
      if (isSelf && visit.state === 'in') this.expelled(visit, xml);
    } else {
      visit.told.add(nick);
      if (!isSelf || visit.state !== 'entering') return;
      visit.state = 'in';
      visit.pingedAt = performance.now();
      visit.stay = this.books.enter(visit.room, this.number, this.line.session);
    }
  }

  /** Whether it was asked here. */
  private answer(visit: Visit, xml: string, head: string): boolean {
    const id = attribute(head, 'id');
    if (id?.startsWith('self ') !== true) return false;
    if (id !== visit.ping) return true;
    visit.ping = undefined;
    if (visit.stay === undefined) return true;
    if (attribute(head, 'type') === 'result') {
      visit.stay.sureAt = performance.now();
      return true;
    }
    // XEP-0410 3.3: by these it is inside, and by the next two nobody knows
    if (/<(?:service-unavailable|feature-not-implemented|item-not-found)/.test(xml)) return true;
    if (/<remote-server-(?:not-found|timeout)|type=['"]wait['"]/.test(xml))
      this.line.setback('a self-ping without answer');
    else this.expelled(visit, xml);
    return true;
  }

  /** Which of the doubtful ones the archive has; the others are said again. */
  private async look(visit: Visit, session: SessionMark): Promise<void> {
    const { doubtful } = visit;
    const missing = new Set(doubtful);
    let mark = visit.mark;
    for (const one of doubtful) {
      const then = visit.marks.get(one) ?? '';
      if (then < mark) mark = then;
    }
    for (;;) {
      const page = await this.page(visit, mark).catch((error: unknown) => {
        // the last that came may never have reached the disk: then all is read
        if (mark === '' || !String(error).includes('item-not-found')) throw error;
        mark = '';
        return undefined;
      });
      if (this.line.session !== session) return;
      if (page === undefined) continue;
      for (const xml of page.results) {
        const spoken = this.books.recognize(xml);
        if (spoken !== undefined && missing.delete(spoken)) spoken.isKnown = true;
      }
      if (page.last !== '') mark = page.last;
      if (page.isComplete || page.results.length === 0) break;
    }
    for (const one of missing) {
      one.givenUpAt = performance.now();
      visit.owed++;
    }
    for (const one of doubtful) visit.marks.delete(one);
    visit.doubtful = [];
  }

  private page(visit: Visit, mark: string): Promise<Page> {
    visit.reader ??= new ArchiveReader(this.line.client, { room: visit.address });
    return visit.reader.ask(PAGE, mark === '' ? '' : `<after>${mark}</after>`);
  }
}

const conditionOf = (xml: string): string => /<error[\s\S]*?<([a-z-]+) /.exec(xml)?.[1] ?? xml.slice(0, 160);
