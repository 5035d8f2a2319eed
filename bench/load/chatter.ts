// Pairs of users that send each other messages of some 350 bytes, at a set rate or as fast as a window allows: the work of one worker.

import { Client, type LoginOptions, nowMicros } from './client.ts';
import { markNumber, markOf, senderName, type TakeMark, TEXT, takeMarks } from './mark.ts';
import { sendAtRate, untilNone } from './pace.ts';
import { eachLimited, numberOption, type Share, type Steps, sleep } from './profile.ts';
import type { ReportBuilder } from './report.ts';
import { Tally } from './tally.ts';

const LOGINS_AT_ONCE = 32;

/** Options of every profile that chats. */
export const chatOptions = {
  pairs: { value: 50, help: 'pairs of users, each sending to the other' },
  rate: { value: 4000, help: 'messages per second in all, when there is no window' },
  window: { value: 0, help: 'messages on their way in each direction of a pair; 0: send at --rate' },
  seconds: { value: 10, help: 'how long to measure' },
  warmup: { value: 3, help: 'seconds of the same load before measuring' },
  patience: { value: 15, help: 'seconds without any delivery after which what is missing counts as lost' },
  to: { value: 'bare', help: 'send to the bare or to the full JID' },
  sm: { value: false, help: 'stream management: acknowledge what the server asks about, and ask' },
  'ack-every': { value: 10, help: 'with --sm: ask after so many messages of a client' },
  carbons: { value: false, help: 'enable carbons' },
  devices: {
    value: 1,
    help: 'clients of each user; those beyond the first only listen (with --carbons, to copies, too)',
  },
} as const;

/** Why a run does not count, if something went wrong before or in what was measured. */
export function reportFailures(report: ReportBuilder, before: readonly Tally[], measured: readonly Tally[]): void {
  const parts = [...before, ...measured];
  for (const part of parts) report.failuresOf(part);
  for (const what of ['lost', 'misordered', 'bounced', 'unacknowledged', 'not copied']) {
    const n = sum(parts, (part) => part.get(what));
    if (n > 0) report.fail(`${n} messages ${what}`);
  }
  const behind = sum(measured, (part) => part.get('unsent'));
  if (behind > 0) report.fail(`the load generator fell behind: ${behind} messages were not sent in time`);
}

/** One direction of a pair. */
interface Lane {
  readonly from: Client;
  readonly to: Client;
  readonly sender: string;
  readonly head: string;
  sent: number;
  /** The least number that the next message received may have. */
  due: number;
  /** What the server was asked about and has not acknowledged: a count of stanzas, and when it was asked. */
  readonly asked: { readonly count: number; readonly at: number }[];
}

export class Chatter {
  private readonly share: Share;
  private readonly pairs: number;
  private readonly seat: (pair: number) => readonly [Client, Client];
  private readonly window: number;
  private readonly lanes: Lane[] = [];
  private tally = new Tally();
  private latency = this.tally.time('latency');
  private acknowledged = this.tally.time('acknowledged');
  private isSending = false;
  private received = 0;
  private sent = 0;
  private readonly ackEvery: number;
  private readonly devices: number;
  /** Those that only listen, and how many messages came to them. */
  private readonly listeners: Client[] = [];
  private copies = 0;

  /**
   * @param pairs how many there are, of all workers together
   * @param seat makes the two clients of a pair; pairs count from 0
   */
  constructor(share: Share, pairs: number, seat: (pair: number) => readonly [Client, Client]) {
    this.share = share;
    this.pairs = pairs;
    this.seat = seat;
    this.window = numberOption(share.options, 'window');
    this.ackEvery = share.options.sm === true ? numberOption(share.options, 'ack-every') : 0;
    this.devices = numberOption(share.options, 'devices');
  }

  steps(): Record<'open' | 'chat' | 'close', Steps[string]> {
    return { open: () => this.open(), chat: (seconds) => this.chat(seconds), close: () => this.close() };
  }

  private async open(): Promise<Tally> {
    const { share } = this;
    const tally = new Tally();
    const pairs: number[] = [];
    for (let pair = share.worker; pair < this.pairs; pair += share.workers) pairs.push(pair);
    await eachLimited(pairs, LOGINS_AT_ONCE / share.workers, async (pair) => {
      const [a, b] = this.seat(pair);
      const options = { sm: share.options.sm === true, carbons: share.options.carbons === true };
      await a.login(options);
      await b.login(options);
      for (const { target, index } of [a, b]) {
        for (let device = 2; device <= this.devices; device++) {
          await this.listen(new Client(target, index), device, options);
        }
      }
      this.join(a, b, 2 * pair + 1);
      this.join(b, a, 2 * pair + 2);
      tally.count('pairs');
    });
    return tally;
  }

  private join(from: Client, to: Client, number: number): void {
    const address = this.share.options.to === 'full' ? to.jid : to.bareJid;
    const sender = senderName(number);
    const lane: Lane = {
      from,
      to,
      sender,
      head: `<message to='${address}' type='chat' id='b${sender}`,
      sent: 0,
      due: 0,
      asked: [],
    };
    from.onAck = (acked) => {
      while (lane.asked.length > 0 && lane.asked[0]!.count <= acked) {
        this.acknowledged.record(nowMicros() - lane.asked.shift()!.at);
      }
    };
    this.lanes.push(lane);
    let rest = '';
    let n = 0;
    const take: TakeMark = (from, number, delay) => {
      n++;
      this.take(lane, from, number, delay);
    };
    to.onChunk = (chunk) => {
      n = 0;
      rest = takeMarks(rest + chunk.toString('latin1'), take);
      if (n > 0 && this.window > 0 && this.isSending) this.send(lane, n);
    };
    from.onLost = (why) => this.tally.fail(`${from.user}: ${why}`);
  }

  private async listen(client: Client, device: number, options: LoginOptions): Promise<void> {
    await client.login({ ...options, resource: `bench${device}` });
    let rest = '';
    const take = (): void => {
      this.copies++;
    };
    client.onChunk = (chunk) => {
      rest = takeMarks(rest + chunk.toString('latin1'), take);
    };
    client.onLost = (why) => this.tally.fail(`${client.user}/bench${device}: ${why}`);
    this.listeners.push(client);
  }

  private take(lane: Lane, sender: string, number: number, delay: number): void {
    if (sender !== lane.sender) {
      this.tally.count('bounced'); // one's own message, come back as an error
      return;
    }
    // A gap is either a loss, which the sum at the end shows, or closed too late; the latter is what is counted here.
    if (number < lane.due) this.tally.count('misordered');
    else lane.due = number + 1;
    this.received++;
    this.latency.record(delay);
  }

  private send(lane: Lane, n: number): void {
    let xml = '';
    const time = nowMicros();
    for (let i = 0; i < n; i++) {
      const number = markNumber(lane.sent++);
      xml +=
        `${lane.head}-${number}'><body>${markOf(lane.sender, number, time)} ${TEXT}</body>` +
        `<active xmlns='http://jabber.org/protocol/chatstates'/><request xmlns='urn:xmpp:receipts'/>` +
        `<origin-id xmlns='urn:xmpp:sid:0' id='b${lane.sender}-${number}'/></message>`;
    }
    this.sent += n;
    const every = this.ackEvery;
    const asks = every > 0 && Math.floor(lane.sent / every) > Math.floor((lane.sent - n) / every);
    lane.from.send(xml, n, asks);
    if (asks) lane.asked.push({ count: lane.from.sm!.sent, at: nowMicros() });
  }

  private async chat(seconds: number): Promise<Tally> {
    this.tally = new Tally();
    this.latency = this.tally.time('latency');
    this.acknowledged = this.tally.time('acknowledged');
    this.sent = 0;
    this.received = 0;
    this.copies = 0;
    this.isSending = true;
    if (this.window > 0) await this.sendByWindow(seconds);
    else await this.sendAtRate(seconds);
    this.isSending = false;
    await this.drain();
    this.tally.count('delivered', this.received);
    if (this.sent > this.received) this.tally.count('lost', this.sent - this.received);
    if (this.copies !== this.expectedCopies()) this.tally.count('not copied', this.expectedCopies() - this.copies);
    for (const { asked } of this.lanes) if (asked.length > 0) this.tally.count('unacknowledged', asked.length);
    return this.tally;
  }

  private async sendByWindow(seconds: number): Promise<void> {
    for (const lane of this.lanes) this.send(lane, this.window);
    await sleep(seconds);
  }

  private async sendAtRate(seconds: number): Promise<void> {
    const { lanes } = this;
    const rate = numberOption(this.share.options, 'rate') / this.share.workers;
    const unsent = await sendAtRate(rate, seconds, (number) => this.send(lanes[number % lanes.length]!, 1));
    if (unsent > 0) this.tally.count('unsent', unsent);
  }

  private drain(): Promise<void> {
    const missing = () =>
      this.sent - this.received + this.expectedCopies() - this.copies + sum(this.lanes, ({ asked }) => asked.length);
    return untilNone(missing, numberOption(this.share.options, 'patience'));
  }

  /** To the bare JID all devices of the recipient get it; those of the sender get a copy, as do the recipient's others otherwise. */
  private expectedCopies(): number {
    const { carbons, to } = this.share.options;
    const listening = (carbons ? 1 : 0) + (carbons || to !== 'full' ? 1 : 0);
    return this.sent * (this.devices - 1) * listening;
  }

  private async close(): Promise<Tally> {
    await Promise.all([...this.lanes.map((lane) => lane.from), ...this.listeners].map((client) => client.close()));
    return new Tally();
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
