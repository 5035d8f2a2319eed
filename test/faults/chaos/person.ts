// Somebody who uses the service while it breaks, with a client that does what a good one does: it resumes its session on any node, and
// where that is over begins another, catches up from the archive, and sends again what nobody has taken.
import { ArchiveReader, type Page } from '../../../bench/load/archive.ts';
import { attribute, type Cut } from '../../../bench/load/client.ts';
import { until } from '../../kit/child-server.ts';
import { pause } from '../kit.ts';
import { type Books, type Entry, type SessionMark, stanzaIdFor } from './books.ts';
import type { Fortunes } from './fortunes.ts';
import { Friends } from './friends.ts';
import { Guest } from './guest.ts';
import { KeepingClient, type Unacknowledged } from './keeping-client.ts';
import type { Line } from './line.ts';
import type { RoomBooks, Spoken } from './room-books.ts';
import { itemsOf, type Roster } from './roster.ts';
import { domain, roomAddress, type Service, type ServiceNode } from './service.ts';

/** How long a client waits for an answer, and for any word at all while something is open, in milliseconds. */
const PATIENCE = 15_000;
const SILENCE = 10_000;
/** How long it waits at most until it tries again. */
const AGAIN = 1_500;
/** How often it asks for what is looked at in the end. */
const ATTEMPTS = 5;
const PAGE = 50;
const FAILED = /<failed[\s\S]*/;
/** How much of what guests say they say in rooms. */
const IN_ROOMS = 0.6;

export class Person implements Line {
  readonly number: number;
  readonly address: string;
  client: KeepingClient;
  readonly friends: Friends;
  isTalking = false;
  /** Its part in rooms, where it has one. */
  guest: Guest | undefined;
  private readonly service: Service;
  private readonly books: Books;
  private readonly fortunes: Fortunes;
  private roomBooks: RoomBooks | undefined;
  private readonly random: () => number;
  private reader: ArchiveReader;
  session: SessionMark = { number: 0, placed: 0, nodes: new Set(), confirmed: 0, told: [] };
  private node: ServiceNode;
  /** Since when something was not answered, while it is not served. */
  private awaySince: number | undefined;
  /** Sent on a session that is over, and not known to be taken. */
  private doubtful: Unacknowledged[] = [];
  /** What a new session has not done yet. */
  private readonly due = { roster: false, archive: false, presence: false };
  /** The last of the archive that is known. */
  private mark = '';
  private isLeaving = false;
  /** Until when it tries to come in. */
  private giveUpAt = Infinity;
  private work: Promise<void> | undefined;
  private lost: ((error: Error) => void) | undefined;
  private asked = 0;
  private readonly answers = new Map<string, (xml: string) => void>();

  constructor(number: number, service: Service, books: Books, fortunes: Fortunes, random: () => number) {
    this.number = number;
    this.address = `user${number}@${domain}`;
    this.friends = new Friends(number, this);
    this.service = service;
    this.books = books;
    this.fortunes = fortunes;
    this.random = random;
    this.node = service.nodes[0]!;
    this.client = this.makeClient();
    this.reader = new ArchiveReader(this.client);
  }

  get isConnected(): boolean {
    const { roster, archive, presence } = this.due;
    return this.client.isConnected && !roster && !archive && !presence;
  }

  /** It has closed its stream, and is not to come back. */
  get hasLeft(): boolean {
    return this.isLeaving;
  }

  /** For when it is not served. */
  get state(): string {
    const { client, due, doubtful } = this;
    const here = `${client.isConnected ? 'connected' : 'not connected'}, ${client.open.length} open, ${doubtful.length} doubtful, due: ${JSON.stringify(due)}`;
    return this.guest === undefined ? here : `${here}; ${this.guest.state}`;
  }

  get nodeName(): string {
    return this.node.name;
  }

  get jid(): string {
    return this.client.jid;
  }

  /** Nothing is left to be acknowledged or sent again. */
  get isSettled(): boolean {
    return (
      this.isConnected && this.client.open.length === 0 && this.doubtful.length === 0 && this.guest?.isSettled !== false
    );
  }

  /** Uses the service until `leave`: says something about every `interval` milliseconds while it `isTalking`. */
  live(interval: number): void {
    this.work = this.use(interval);
  }

  /** From now on it is in these rooms, too. */
  visit(rooms: readonly number[], books: RoomBooks): void {
    this.guest = new Guest(this.number, rooms, books, this);
    this.roomBooks = books;
  }

  send(xml: string, spoken?: Spoken): void {
    this.client.spoken = spoken;
    this.client.send(xml, 1, spoken !== undefined);
  }

  /** The nicks of those in a room, as it says itself. */
  async askWhoIsIn(room: number): Promise<ReadonlySet<string>> {
    const xml = await this.patiently(() =>
      this.question(`<query xmlns='http://jabber.org/protocol/disco#items'/>`, roomAddress(room)),
    );
    return new Set([...xml.matchAll(/<item [^>]*>/g)].map(([item]) => attribute(item, 'name') ?? ''));
  }

  /** Everything in a room's archive. */
  readRoom(room: number): Promise<readonly string[]> {
    return this.patiently(() => this.guest!.readAll(room, (work) => this.unlessLost(work)));
  }

  /** Closes the stream in good order. */
  async leave(): Promise<void> {
    this.isLeaving = true;
    // a session that waits for its client could not be closed
    this.giveUpAt = performance.now() + 2 * PATIENCE;
    await this.work;
    await this.client.close();
  }

  /** Ends the session in good order, and begins another. */
  async comeAgain(): Promise<void> {
    const { number } = this.session;
    await this.client.close();
    await until(PATIENCE, () => this.session.number > number && this.isSettled);
  }

  /** The connection breaks. */
  cut(how: Cut): void {
    if (!this.client.isConnected) return;
    this.fortunes.cuts++;
    this.goneAway();
    this.client.cut(how);
    this.lost?.(new Error('cut'));
  }

  /** The roster as the server has it, for sure. */
  readRoster(): Promise<Roster> {
    return this.patiently(async () => new Map(itemsOf(await this.fetchRoster())));
  }

  private fetchRoster(): Promise<string> {
    return this.question(`<query xmlns='jabber:iq:roster'/>`);
  }

  /** Reads everything that is in its archive. */
  async readAll(): Promise<void> {
    const all = await this.patiently(async () => {
      const results: string[] = [];
      for (let mark = ''; ; ) {
        const page = await this.page(mark);
        results.push(...page.results);
        if (page.last !== '') mark = page.last;
        if (page.isComplete || page.results.length === 0) return results;
      }
    });
    for (const xml of all) this.books.hear(this.number, this.session, 'end', xml);
  }

  /** Asks again where the machine is too busy to answer in time. */
  private async patiently<T>(work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      await until(2 * PATIENCE, () => this.isConnected);
      try {
        return await work();
      } catch (error) {
        if (attempt === ATTEMPTS) throw error;
      }
    }
  }

  private async use(interval: number): Promise<void> {
    for (;;) {
      if (!this.isConnected) await this.comeIn();
      if (this.isLeaving) return;
      await pause(interval * (0.25 + 1.5 * this.random()));
      if (!this.isConnected || this.isLeaving) continue;
      if (performance.now() - (this.client.askedAt ?? Infinity) > SILENCE) {
        this.setback('heard nothing');
        this.goneAway();
        this.client.cut('reset');
      } else {
        this.guest?.tick();
        this.speak();
      }
    }
  }

  private speak(): void {
    if (!this.isTalking) {
      // what is open is asked after
      if (this.client.open.length > 0) this.client.send('', 0, true);
      return;
    }
    if (this.random() < 0.05) {
      this.friends.rename(this.pick(this.friends.contacts), `n${++this.asked}`);
      return;
    }
    if (this.guest !== undefined && this.random() < IN_ROOMS) this.guest.speak(this.random());
    else this.say(this.books.say(this.number, this.pick(this.friends.contacts), this.session.number));
  }

  private say(entry: Entry): void {
    const id = entry.body.replaceAll(' ', '-');
    this.client.entry = entry;
    this.client.mark = this.mark;
    this.books.write(entry, this.node.name);
    this.client.send(
      `<message to='user${entry.to}@${domain}' type='chat' id='${id}'><body>${entry.body}</body>` +
        `<origin-id xmlns='urn:xmpp:sid:0' id='${id}'/></message>`,
      1,
      true,
    );
  }

  /** Until it is there. */
  private async comeIn(): Promise<void> {
    while (!this.isConnected && performance.now() < this.giveUpAt) {
      try {
        if (!this.client.isConnected) await this.connect();
        await this.settleIn();
        this.isBack();
        return;
      } catch (error) {
        this.setback(String(error));
        await pause(AGAIN * this.random());
      }
    }
  }

  private async connect(): Promise<void> {
    const node = this.pick(this.service.nodes);
    if (this.client.sm !== undefined) {
      this.client.target = this.service.target(node);
      try {
        await this.client.resume();
        this.fortunes.resumed++;
        this.isPlaced(node);
        this.acknowledge(this.client.sm.acked);
        this.repeat();
        return;
      } catch (error) {
        const [refusal] = FAILED.exec(String(error)) ?? [];
        if (refusal === undefined) throw error;
        if (!refusal.includes('item-not-found')) this.setback(refusal);
        const h = attribute(refusal.slice(0, refusal.indexOf('>') + 1), 'h');
        if (h !== undefined) this.acknowledge(Number(h));
      }
    }
    await this.begin(node);
  }

  /** What the server has not had on a session that goes on. */
  private repeat(): void {
    const { open } = this.client;
    if (open.length === 0) return;
    for (const { entry, spoken } of open) {
      if (entry !== undefined) this.books.write(entry, this.node.name);
      if (spoken !== undefined) this.roomBooks!.write(spoken, this.node.name);
    }
    // they were counted when they were sent first
    this.client.send(open.map(({ xml }) => xml).join(''), 0, true);
  }

  /** The session is on that node from now on. */
  private isPlaced(node: ServiceNode): void {
    this.node = node;
    this.session.nodes.delete(node.name);
    this.session.nodes.add(node.name);
    this.session.placed = performance.now();
  }

  private goneAway(): void {
    this.awaySince ??= this.client.open[0]?.at ?? performance.now();
  }

  private isBack(): void {
    const { awaySince, fortunes } = this;
    this.awaySince = undefined;
    if (awaySince === undefined) return;
    fortunes.longestGap = Math.max(fortunes.longestGap, performance.now() - awaySince);
  }

  /** A new session. */
  private async begin(node: ServiceNode): Promise<void> {
    this.doubtful.push(...this.client.open.filter(({ entry }) => entry !== undefined));
    this.guest?.sessionOver(this.client.open.flatMap(({ spoken }) => spoken ?? []));
    this.due.archive = this.session.number > 0;
    this.due.roster = this.due.presence = true;
    this.session = { number: this.session.number + 1, placed: 0, nodes: new Set(), confirmed: 0, told: [] };
    this.fortunes.begun++;
    this.client = this.makeClient(node);
    this.isPlaced(node);
    this.reader = new ArchiveReader(this.client);
    this.friends.forget();
    // every other one keeps its resource, and takes it from what is left of its former session
    const resource = this.number % 2 === 0 ? 'phone' : `phone${this.session.number}`;
    await this.client.login({ sm: true, presence: false, resource });
  }

  /** What a new session has to do, or to finish where the last connection broke over it. */
  private async settleIn(): Promise<void> {
    const { due } = this;
    if (due.roster) {
      this.friends.learn(await this.fetchRoster());
      due.roster = false;
    }
    // some first say that they are there, some first look into the archive
    if (due.archive && this.number % 4 < 2) await this.catchUp();
    if (due.presence) this.client.send('<presence/>', 1, true);
    due.presence = false;
    if (due.archive) await this.catchUp();
  }

  /** Reads what came since, and sends again what the archive does not have. */
  private async catchUp(): Promise<void> {
    const doubtful = new Map(this.doubtful.map((one) => [one.entry!, one]));
    // what was sent and not acknowledged may be in the archive before the last that came
    let mark = this.mark;
    for (const { mark: then } of doubtful.values()) if (then < mark) mark = then;
    for (;;) {
      const page = await this.page(mark).catch((error: unknown) => {
        // the last that came may never have reached the disk (XEP-0313 4.3.2): then all is read
        if (mark === '' || !String(error).includes('item-not-found')) throw error;
        mark = '';
        return undefined;
      });
      if (page === undefined) continue;
      for (const xml of page.results) {
        const entry = this.books.hear(this.number, this.session, 'catching up', xml);
        if (entry?.from !== this.number || !doubtful.delete(entry)) continue;
        entry.isKnown = true;
      }
      if (page.last !== '') mark = page.last;
      if (page.isComplete || page.results.length === 0) break;
    }
    if (mark > this.mark) this.mark = mark;
    this.due.archive = false;
    this.doubtful = [];
    for (const entry of doubtful.keys()) {
      if (entry.isRefused) continue;
      entry.attempts++;
      this.say(entry);
    }
  }

  private page(mark: string): Promise<Page> {
    return this.unlessLost(this.reader.ask(PAGE, mark === '' ? '' : `<after>${mark}</after>`));
  }

  /** What the server answers. */
  private async question(content: string, to?: string): Promise<string> {
    const id = `q ${++this.asked}`;
    const answer = new Promise<string>((resolve) => this.answers.set(id, resolve));
    const target = to === undefined ? '' : ` to='${to}'`;
    this.client.send(`<iq type='get' id='${id}'${target}>${content}</iq>`);
    const xml = await this.unlessLost(answer);
    if (attribute(xml.slice(0, xml.indexOf('>') + 1), 'type') !== 'result') throw new Error(`no answer: ${xml}`);
    return xml;
  }

  private async unlessLost<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const lost = new Promise<never>((_, reject) => {
      this.lost = reject;
      timer = setTimeout(() => reject(new Error('no answer in time')), PATIENCE);
    });
    try {
      return await Promise.race([work, lost]);
    } catch (error) {
      // an answer that comes later is none
      if (String(error).includes('in time') && this.client.isConnected) {
        this.goneAway();
        this.client.cut('reset');
      }
      throw error;
    } finally {
      clearTimeout(timer);
      this.lost = undefined;
    }
  }

  private makeClient(node = this.service.nodes[0]!): KeepingClient {
    const client = new KeepingClient(this.service.target(node), this.number);
    client.patience = PATIENCE;
    client.onStanza = (xml) => {
      if (client === this.client) this.hear(xml);
    };
    client.onTold = (count) => {
      if (client === this.client) this.session.told.push({ count, at: performance.now() });
    };
    client.onAck = (acked) => {
      if (client === this.client) this.acknowledge(acked);
    };
    client.onLost = (why) => {
      if (client !== this.client) return;
      this.goneAway();
      this.lost?.(new Error(why));
      this.setback(why);
    };
    return client;
  }

  private hear(xml: string): void {
    this.client.askedAt = undefined;
    if (this.guest?.take(xml) === true || this.reader.take(xml)) return;
    if (xml.startsWith('<message')) {
      // a page that was asked for before the connection broke
      if (xml.includes('<result ')) return;
      const entry = this.books.hear(this.number, this.session, 'session', xml, this.client.sm!.received);
      const id = stanzaIdFor(this.number, xml);
      if (entry !== undefined && id !== undefined && id > this.mark) this.mark = id;
      return;
    }
    const head = xml.slice(0, xml.indexOf('>') + 1);
    if (xml.startsWith('<presence')) this.see(head);
    else this.takeAnswer(xml, head);
  }

  private see(head: string): void {
    const isOwn = (attribute(head, 'from') ?? '').startsWith(this.address);
    if (attribute(head, 'type') !== 'error' || !isOwn) this.friends.see(head);
    else {
      // to be said again (RFC 6120 8.3.2, `wait`)
      this.setback('presence refused');
      this.due.presence = true;
    }
  }

  private takeAnswer(xml: string, head: string): void {
    const id = attribute(head, 'id') ?? '';
    const type = attribute(head, 'type');
    if (type === 'set') {
      this.friends.learn(xml);
      this.client.send(`<iq type='result' id='${id}'/>`);
      return;
    }
    if (this.friends.isNamed(id, type)) return;
    this.answers.get(id)?.(xml);
    this.answers.delete(id);
  }

  private acknowledge(acked: number): void {
    this.client.askedAt = undefined;
    const { open } = this.client;
    let n = 0;
    while (n < open.length && open[n]!.count <= acked) {
      const { entry, spoken, told, at } = open[n++]!;
      this.session.confirmed = Math.max(this.session.confirmed, told);
      if (spoken !== undefined) spoken.isAcknowledged = true;
      if (entry === undefined) continue;
      entry.isAcknowledged = true;
      this.fortunes.longestWait = Math.max(this.fortunes.longestWait, performance.now() - at);
    }
    open.splice(0, n);
  }

  setback(why: string): void {
    const { setbacks } = this.fortunes;
    const short = why.replace(/\s+/g, ' ').slice(0, 160);
    setbacks.set(short, (setbacks.get(short) ?? 0) + 1);
  }

  private pick<T>(items: readonly T[]): T {
    return items[Math.floor(this.random() * items.length)]!;
  }
}
