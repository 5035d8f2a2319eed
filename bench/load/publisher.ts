// A user publishes at a node of the account (XEP-0163) what contacts hear of by `+notify`: the work of one worker. What each contact gets is
// counted, timed and checked for its order.

import { type Friend, Friends } from './friends.ts';
import { markNumber, markOf, senderName, TEXT, takeMarks } from './mark.ts';
import { sendAtRate, untilNone, untilQuiet } from './pace.ts';
import { numberOption, type OptionValues, type Share, type Steps, sleep } from './profile.ts';
import { Shelf } from './shelf.ts';
import { Tally } from './tally.ts';

const NODE = 'http://jabber.org/protocol/tune';
/** Seconds until who has not heard of an item is taken not to. */
const DEAF_AFTER = 3;
const SENDER = senderName(1);
/** Items that go in one round, at most; rounds there are 100, as many as the number in a mark has room for. */
const ROUND = 1_000_000;

/** How many contacts are there, in one stage after the other. */
export function stagesOf(options: OptionValues): readonly number[] {
  return String(options.contacts)
    .split(',')
    .map(Number)
    .sort((a, b) => a - b);
}

export class Publisher {
  private readonly share: Share;
  private readonly friends: Friends;
  private readonly shelf: Shelf;
  private tally = new Tally();
  private latency = this.tally.time('latency');
  private isSending = false;
  private byWindow = false;
  private published = 0;
  private answered = 0;
  private received = 0;
  /** Of the items that are on their way, how many contacts of this worker have heard. */
  private readonly heard = new Map<number, number>();
  /** What is published belongs to one, and what comes of earlier ones does not count: the same in all workers. */
  private round = 0;
  private number = 0;
  private stage = 0;
  /** Contacts who did not hear what was published for them to hear. */
  private deaf = new Set<Friend>();
  /** Contacts who come, and have heard nothing yet. */
  private coming: readonly Friend[] = [];

  constructor(share: Share) {
    this.share = share;
    this.friends = new Friends(share, [NODE]);
    this.shelf = new Shelf(share, this.friends.hub);
    this.friends.onHubStanza = (xml) => this.take(xml);
  }

  steps(): Steps {
    const { friends } = this;
    return {
      'log in': () => friends.logIn(),
      'ask roster': () => friends.askRoster(),
      show: () => friends.show(true),
      befriend: () => friends.befriend(),
      hide: () => friends.show(false),
      announce: () => this.announce(),
      attempt: () => this.attempt(),
      listen: () => this.listen(),
      window: (seconds) => this.publishAll(seconds, true),
      pace: (seconds) => this.publishAll(seconds, false),
      settle: (seconds) => this.settle(seconds),
      ...this.shelf.steps(),
      cut: () => friends.cut(),
    };
  }

  private async announce(): Promise<Tally> {
    this.coming = await this.friends.announce(stagesOf(this.share.options)[this.stage++]!);
    this.deaf.clear();
    return this.friends.ended();
  }

  /** One item, for each contact who has come to hear: whoever does not is counted. */
  private async attempt(): Promise<Tally> {
    const { friends, coming } = this;
    const round = this.begin();
    friends.announceAgain(this.deaf);
    const deaf = new Set(coming);
    this.deaf = deaf;
    const before = coming.map(({ client }) => client.onChunk);
    for (const friend of coming) {
      const { client } = friend;
      const goOn = client.onChunk;
      let rest = '';
      client.onChunk = (chunk) => {
        goOn?.(chunk);
        rest = takeMarks(rest + chunk.toString('latin1'), (_, number) => {
          if (roundOf(number) === round) deaf.delete(friend);
        });
      };
    }
    if (friends.hub !== undefined) this.publish();
    await untilNone(() => deaf.size, DEAF_AFTER);
    for (const [i, { client }] of coming.entries()) client.onChunk = before[i];
    const tally = friends.ended();
    tally.count('deaf', deaf.size);
    return tally;
  }

  /** From here on contacts who have come look at nothing but what was published. */
  private async listen(): Promise<Tally> {
    for (const { client } of this.coming) {
      let rest = '';
      let last = -1;
      const take = (_: string, number: number, delay: number): void => {
        // servers may send once more what was published before somebody came
        if (number === last || roundOf(number) !== this.round) return;
        if (number < last) this.tally.count('misordered');
        else last = number;
        this.received++;
        this.latency.record(delay);
        this.note(number);
      };
      client.onChunk = (chunk) => {
        rest = takeMarks(rest + chunk.toString('latin1'), take);
      };
    }
    return new Tally();
  }

  /** @returns the number of the round */
  private begin(): number {
    this.number = 0;
    return ++this.round;
  }

  private async publishAll(seconds: number, byWindow: boolean): Promise<Tally> {
    const { options } = this.share;
    const { hub, present } = this.friends;
    this.begin();
    this.tally = this.friends.ended();
    this.latency = this.tally.time('latency');
    this.received = 0;
    this.published = 0;
    this.answered = 0;
    this.heard.clear();
    if (hub === undefined) {
      await sleep(seconds);
      return this.tally;
    }
    this.isSending = true;
    this.byWindow = byWindow;
    if (byWindow) {
      for (let i = 0; i < numberOption(options, 'window'); i++) this.publish();
      await sleep(seconds);
    } else {
      const rate = numberOption(options, 'rate') / stagesOf(options)[this.stage - 1]!;
      const unsent = await sendAtRate(rate, seconds, () => this.publish());
      if (unsent > 0) this.tally.count('unsent', unsent);
    }
    this.isSending = false;
    const missing = (): number =>
      this.published * present.length - this.received + Math.max(0, this.published - this.answered);
    await untilNone(missing, numberOption(options, 'patience'));
    this.tally.count('items', this.published);
    this.tally.count('unanswered', this.published - this.answered);
    return this.tally;
  }

  /** What was published has come to contacts of other workers, too, when nothing more comes. */
  private async settle(seconds: number): Promise<Tally> {
    await untilQuiet(() => this.received, seconds, this.share.workers);
    const tally = this.friends.ended();
    tally.count('delivered', this.received);
    return tally;
  }

  private publish(): void {
    const number = markNumber(this.round * ROUND + this.number++);
    this.published++;
    this.friends.hub?.send(
      `<iq type='set' id='tune${number}'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='${NODE}'><item id='current'>` +
        `<tune xmlns='${NODE}'><artist>Sergei Prokofiev</artist><length>228</length>` +
        `<title>${markOf(SENDER, number)} ${TEXT}</title></tune></item></publish></pubsub></iq>`,
    );
  }

  /** An item that all contacts of this worker have heard makes room for the next one. */
  private note(number: number): void {
    if (this.friends.hub === undefined || !this.byWindow) return;
    const heard = (this.heard.get(number) ?? 0) + 1;
    if (heard < this.friends.present.length) {
      this.heard.set(number, heard);
      return;
    }
    this.heard.delete(number);
    if (this.isSending) this.publish();
  }

  private take(xml: string): void {
    if (!/^<iq[^>]*id=["']tune/.test(xml)) {
      this.shelf.take(xml);
      return;
    }
    this.answered++;
    if (!/^<iq[^>]*type=["']result/.test(xml)) this.tally.fail(`refused: ${xml.slice(0, 400)}`);
  }
}

const roundOf = (number: number): number => Math.floor(number / ROUND);
