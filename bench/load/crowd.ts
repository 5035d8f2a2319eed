// Rooms full of occupants (XEP-0045): the work of one worker. Users join, talk in turns and leave; what each of them gets is
// counted, timed and checked for its order.

import { Client, nowMicros } from './client.ts';
import { markNumber, markOf, senderName, type TakeMark, TEXT, takeMarks } from './mark.ts';
import { sendAtRate, untilNone, untilQuiet, within } from './pace.ts';
import { eachLimited, numberOption, type Share, type Steps, sleep, usersOf } from './profile.ts';
import { StanzaCutter } from './stanzas.ts';
import { Tally } from './tally.ts';

const LOGINS_AT_ONCE = 32;
/** Bytes of a message that is to fill buffers. */
const LETTER = 16 * 1024;
const MUC = 'http://jabber.org/protocol/muc';

/** How the users are spread over rooms: each alone, in a number of rooms, or all in one. */
export const layouts = ['solo', 'rooms', 'big'] as const;
export type Layout = (typeof layouts)[number];

/** One user in one room. */
interface Seat {
  readonly client: Client;
  readonly room: Room;
  /** How many are seen by it when the room is full, itself among them. */
  readonly neighbours: number;
  /** Of presence, whatever its type, since the room was joined. */
  presences: number;
  /** Told when all that follows a join has come, or that the user has left. */
  joined: (() => void) | undefined;
  left: (() => void) | undefined;
  refused: ((error: Error) => void) | undefined;
  /** The beginning of a mark that is not complete yet. */
  rest: string;
  cutter: StanzaCutter;
  readonly take: TakeMark;
  sent: number;
  /** Messages that came, and a sum over them that depends on their order. */
  received: number;
  order: number;
  /** By sender, the least number that its next message may have. */
  readonly due: Map<string, number>;
  readonly head: string;
  readonly sender: string;
  /** Whom it hands the word to. */
  next: Seat | undefined;
  isStalled: boolean;
}

interface Room {
  readonly address: string;
  readonly size: number;
  /** Of this worker. */
  readonly seats: Seat[];
}

export class Crowd {
  private readonly share: Share;
  private readonly clients = new Map<number, Client>();
  private rooms: Room[] = [];
  /** Whether what comes is looked at for messages only. */
  private isTalking = false;
  private isSending = false;
  private byWindow = false;
  private tally = new Tally();
  private latency = this.tally.time('latency');
  private sent = 0;
  /** Of the messages sent by this worker, how many came to seats of this worker, and how many have to. */
  private ownReceived = 0;
  private ownDue = 0;
  private received = 0;
  private readonly padding: string;

  constructor(share: Share) {
    this.share = share;
    this.padding = 'x'.repeat(numberOption(share.options, 'padding'));
  }

  steps(): Steps {
    const steps: Record<string, Steps[string]> = {
      'log in': () => this.logIn(),
      settle: (seconds) => this.settle(seconds),
      leave: () => this.leave(),
      stall: () => this.stall(),
      visit: () => this.visit(),
      window: (seconds) => this.talk(seconds, true),
      pace: (seconds) => this.talk(seconds, false),
      cut: () => this.cut(),
    };
    for (const layout of layouts) {
      steps[`make ${layout}`] = () => this.make(layout);
      steps[`fill ${layout}`] = () => this.fill();
    }
    return steps;
  }

  private async logIn(): Promise<Tally> {
    const tally = new Tally();
    const { target, workers } = this.share;
    await eachLimited(usersOf(this.share), LOGINS_AT_ONCE / workers, async (number) => {
      const client = new Client(target, number);
      await client.login();
      client.onChunk = () => undefined;
      client.onLost = (why) => this.tally.fail(`${client.user}: ${why}`);
      this.clients.set(number, client);
    });
    return tally;
  }

  /** The rooms, with their first occupants, who accept what is configured (XEP-0045 10.1.2). */
  private async make(layout: Layout): Promise<Tally> {
    this.tally = new Tally();
    const { options, users } = this.share;
    const [count, size] =
      layout === 'solo'
        ? [numberOption(options, 'solo'), 1]
        : layout === 'rooms'
          ? [numberOption(options, 'rooms'), numberOption(options, 'occupants')]
          : [1, numberOption(options, 'big')];
    if (count * size > users) throw new Error(`${count} rooms of ${size} take more than ${users} users`);
    const host = String(options['rooms-domain'] || `groups.${this.share.target.domain}`);
    const first: Seat[] = [];
    this.rooms = [];
    this.isTalking = false;
    for (let i = 0; i < count; i++) {
      const room: Room = { address: `${layout}${i + 1}@${host}`, size, seats: [] };
      for (let number = i * size + 1; number <= (i + 1) * size; number++) {
        const client = this.clients.get(number);
        if (client === undefined) continue;
        const isFirst = number === i * size + 1;
        const seat = this.seat(client, room, isFirst);
        room.seats.push(seat);
        if (isFirst) first.push(seat);
      }
      for (const [k, seat] of room.seats.entries()) seat.next = room.seats[(k + 1) % room.seats.length];
      this.rooms.push(room);
    }
    await eachLimited(first, LOGINS_AT_ONCE, async (seat) => {
      await this.join(seat, async () => {
        await this.ask(
          seat,
          `<iq type='set' id='own' to='${seat.room.address}'><query xmlns='${MUC}#owner'>${this.form()}</query></iq>`,
        );
      });
    });
    return this.tally;
  }

  private form(): string {
    if (this.share.options.quiet !== true) return "<x xmlns='jabber:x:data' type='submit'/>";
    return (
      `<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>${MUC}#roomconfig</value></field>` +
      "<field var='muc#roomconfig_presencebroadcast'><value>moderator</value></field></x>"
    );
  }

  private seat(client: Client, room: Room, isFirst: boolean): Seat {
    const sender = senderName(client.index);
    const seat: Seat = {
      client,
      room,
      // of a quiet room: its owner's and one's own
      neighbours: this.share.options.quiet === true ? (isFirst ? 1 : 2) : room.size,
      presences: 0,
      joined: undefined,
      left: undefined,
      refused: undefined,
      rest: '',
      cutter: new StanzaCutter((xml) => this.take(seat, xml)),
      take: (from, number, delay) => this.note(seat, from, number, delay),
      sent: 0,
      received: 0,
      order: 0,
      due: new Map(),
      head: `<message to='${room.address}' type='groupchat' id='g${sender}`,
      sender,
      next: undefined,
      isStalled: false,
    };
    return seat;
  }

  /** All others come in. Done when everybody has the presence of everybody. */
  private async fill(): Promise<Tally> {
    this.tally = new Tally();
    const { options, workers } = this.share;
    const width = Math.max(1, Math.round(numberOption(options, 'joins-at-once') / workers));
    const before = this.sum((seat) => seat.presences);
    // room by room in turns, so that all of them grow
    const queue: Seat[] = [];
    for (let i = 0; this.rooms.some(({ seats }) => i < seats.length); i++) {
      for (const { seats } of this.rooms)
        if (seats[i] !== undefined && seats[i]!.presences === 0) queue.push(seats[i]!);
    }
    await eachLimited(queue, width, (seat) => this.join(seat));
    const missing = () => this.sum(({ neighbours, presences }) => Math.abs(neighbours - presences));
    await this.until(missing);
    if (missing() > 0) this.tally.fail(`presence of occupants is missing or came twice: ${missing()}`);
    this.tally.count('presences', this.sum((seat) => seat.presences) - before);
    return this.tally;
  }

  private async join(seat: Seat, opened?: () => Promise<void>): Promise<void> {
    const { client, room } = seat;
    client.onChunk = (chunk) => this.read(seat, chunk);
    const start = nowMicros();
    const joined = new Promise<void>((resolve, reject) => {
      seat.joined = resolve;
      seat.refused = reject;
    });
    client.send(
      `<presence to='${room.address}/${client.user}'><x xmlns='${MUC}'><history maxstanzas='0'/></x></presence>`,
    );
    await this.bounded(joined, `${client.user} does not get into ${room.address}`);
    this.tally.time('join').record(nowMicros() - start);
    await opened?.();
  }

  private read(seat: Seat, chunk: Buffer): void {
    const text = chunk.toString('latin1');
    if (this.isTalking) seat.rest = takeMarks(seat.rest + text, seat.take);
    else seat.cutter.feed(text);
  }

  /** While occupants come and go. */
  private take(seat: Seat, xml: string): void {
    if (xml.startsWith('<presence')) {
      const head = xml.slice(0, xml.indexOf('>'));
      if (/type=["']error/.test(head)) {
        const error = new Error(`refused: ${xml.slice(0, 400)}`);
        seat.refused?.(error);
        this.tally.fail(error);
        return;
      }
      // XEP-0486 2: the room itself may tell of its avatar
      if (!/from=["'][^"'/]*\//.test(head)) return;
      seat.presences++;
      if (seat.left !== undefined && /type=["']unavailable/.test(head) && /code=["']110/.test(xml)) seat.left();
    } else if (xml.startsWith('<message')) {
      // XEP-0045 7.2.2: the subject is what ends a join
      if (xml.includes('<subject')) seat.joined?.();
    } else if (xml.startsWith('<iq') && /id=["']own["']/.test(xml)) {
      if (/^<iq[^>]*type=["']result/.test(xml)) seat.left?.();
      else seat.refused?.(new Error(`refused: ${xml.slice(0, 400)}`));
    }
  }

  private async ask(seat: Seat, xml: string): Promise<void> {
    const answered = new Promise<void>((resolve, reject) => {
      seat.left = resolve;
      seat.refused = reject;
    });
    seat.client.send(xml);
    await this.bounded(answered, `${seat.client.user} gets no answer from ${seat.room.address}`);
    seat.left = undefined;
  }

  private async leave(): Promise<Tally> {
    this.tally = new Tally();
    this.isTalking = false;
    for (const room of this.rooms) {
      await eachLimited(room.seats, LOGINS_AT_ONCE, async (seat) => {
        if (seat.isStalled) return;
        seat.cutter = new StanzaCutter((xml) => this.take(seat, xml));
        await this.ask(seat, `<presence type='unavailable' to='${room.address}/${seat.client.user}'/>`);
      });
    }
    for (const client of this.clients.values()) client.onChunk = () => undefined;
    this.rooms = [];
    return this.tally;
  }

  /** One more user comes into the full room and goes again, some times over. */
  private async visit(): Promise<Tally> {
    this.tally = new Tally();
    const { options, worker, workers, users } = this.share;
    const visits = numberOption(options, 'visits');
    const isQuiet = options.quiet === true;
    const [room] = this.rooms;
    const before = this.sum((seat) => seat.presences);
    const client = this.clients.get(users);
    let visitor: Seat | undefined;
    if (room !== undefined && client !== undefined && (users - 1) % workers === worker) {
      visitor = this.seat(client, room, false);
      for (let i = 0; i < visits; i++) {
        visitor.presences = 0;
        await this.join(visitor);
        if (visitor.presences !== (isQuiet ? 2 : room.size + 1))
          this.tally.fail(`a visitor saw ${visitor.presences} occupants`);
        this.tally.count('presences', visitor.presences + 1);
        await this.ask(visitor, `<presence type='unavailable' to='${room.address}/${client.user}'/>`);
      }
      client.onChunk = () => undefined;
    }
    const due = before + (isQuiet ? 0 : 2 * visits * (room?.seats.length ?? 0));
    const missing = () => due - this.sum((seat) => seat.presences);
    await this.until(missing);
    if (missing() !== 0) this.tally.fail(`presence of visitors is missing: ${missing()}`);
    this.tally.count('presences', this.sum((seat) => seat.presences) - before);
    return this.tally;
  }

  /** The last occupant of each room stops reading, without a word, and is sent so much that its buffers are full. */
  private async stall(): Promise<Tally> {
    const letter = 'x'.repeat(LETTER);
    const letters = Math.ceil((numberOption(this.share.options, 'backlog') * 2 ** 20) / LETTER);
    for (const { seats, size } of this.rooms) {
      const last = seats.at(-1);
      if (last === undefined || last.client.index % size !== 0) continue;
      last.client.cut('silent');
      last.isStalled = true;
      seats.pop();
      for (const [k, seat] of seats.entries()) seat.next = seats[(k + 1) % seats.length];
      const { client: writer } = seats[0]!;
      for (let i = 0; i < letters; i++) {
        writer.send(`<message to='${last.client.jid}' type='chat' id='s${i}'><body>${letter}</body></message>`);
      }
      await writer.ping();
    }
    return new Tally();
  }

  private async talk(seconds: number, byWindow: boolean): Promise<Tally> {
    this.tally = new Tally();
    this.latency = this.tally.time('latency');
    this.isTalking = true;
    this.byWindow = byWindow;
    this.sent = 0;
    this.received = 0;
    this.ownReceived = 0;
    this.ownDue = 0;
    for (const { seats } of this.rooms) {
      for (const seat of seats) {
        seat.order = 0;
        seat.received = 0;
      }
    }
    this.isSending = true;
    if (byWindow) await this.sendByWindow(seconds);
    else await this.sendAtRate(seconds);
    this.isSending = false;
    const missing = () => this.ownDue - this.ownReceived;
    await this.until(missing);
    if (missing() > 0) this.tally.count('lost', missing());
    this.tally.count('messages', this.sent);
    return this.tally;
  }

  /** What other workers sent has come, too, when nothing more does; then every occupant of a room has seen the same in the same order. */
  private async settle(seconds: number): Promise<Tally> {
    await untilQuiet(() => this.received, seconds, this.share.workers);
    const tally = new Tally();
    tally.count('delivered', this.received);
    for (const { seats } of this.rooms) {
      const [first] = seats;
      for (const { received, order } of seats) {
        if (received !== first!.received || order !== first!.order) tally.count('seen in another order');
      }
    }
    return tally;
  }

  private async sendByWindow(seconds: number): Promise<void> {
    const window = Math.max(1, Math.round(numberOption(this.share.options, 'window') / this.share.workers));
    for (const { seats } of this.rooms) {
      for (let i = 0; i < window && seats.length > 0; i++) this.say(seats[(i * 7) % seats.length]!);
    }
    await sleep(seconds);
  }

  private async sendAtRate(seconds: number): Promise<void> {
    const { options, workers } = this.share;
    const talkative = this.rooms.filter(({ seats }) => seats.length > 0);
    const [some] = talkative;
    if (some === undefined) return;
    const rate = numberOption(options, 'rate') / some.size / workers;
    const unsent = await sendAtRate(rate, seconds, (number) => {
      const { seats } = talkative[number % talkative.length]!;
      this.say(seats[Math.floor(number / talkative.length) % seats.length]!);
    });
    if (unsent > 0) this.tally.count('unsent', unsent);
  }

  private say(seat: Seat): void {
    const number = markNumber(seat.sent++);
    const { head, sender } = seat;
    this.sent++;
    this.ownDue += seat.room.seats.length;
    seat.client.send(
      `${head}-${number}'><body>${markOf(sender, number)} ${TEXT}${this.padding}</body>` +
        `<active xmlns='http://jabber.org/protocol/chatstates'/><origin-id xmlns='urn:xmpp:sid:0' id='g${sender}-${number}'/></message>`,
    );
  }

  private note(seat: Seat, sender: string, number: number, delay: number): void {
    if (number < (seat.due.get(sender) ?? 0)) this.tally.count('misordered');
    else seat.due.set(sender, number + 1);
    seat.order = (Math.imul(seat.order, 31) + Math.imul(Number(sender), 65_537) + number) | 0;
    seat.received++;
    this.received++;
    this.latency.record(delay);
    const said = this.clients.get(Number(sender));
    if (said === undefined) return;
    this.ownReceived++;
    // the word goes round: each says something when it has heard the one before it
    if (this.byWindow && this.isSending && said === seat.client && seat.next !== undefined) this.say(seat.next);
  }

  private async cut(): Promise<Tally> {
    for (const client of this.clients.values()) {
      client.onLost = undefined;
      client.cut();
    }
    return new Tally();
  }

  /** Waits as long as something moves. */
  private until(missing: () => number): Promise<void> {
    return untilNone(missing, numberOption(this.share.options, 'patience'));
  }

  private bounded(work: Promise<void>, what: string): Promise<void> {
    return within(4 * numberOption(this.share.options, 'patience'), work, what);
  }

  private sum(value: (seat: Seat) => number): number {
    let total = 0;
    for (const { seats } of this.rooms) for (const seat of seats) total += value(seat);
    return total;
  }
}
