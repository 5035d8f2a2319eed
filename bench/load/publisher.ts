// A user publishes at a node of the account (XEP-0163) what contacts hear of by `+notify`: the work of one worker. What each contact gets is
// counted, timed and checked for its order.

import { type Friend, Friends } from './friends.ts';
import { markNumber, markOf, senderName, TEXT, takeMarks } from './mark.ts';
import { sendAtRate, untilNone } from './pace.ts';
import { numberOption, type Share, type Steps, sleep } from './profile.ts';
import { Shelf } from './shelf.ts';
import { Tally } from './tally.ts';

const NODE = 'http://jabber.org/protocol/tune';
/** Seconds until who has not heard of an item is taken not to. */
const DEAF_AFTER = 3;
const SENDER = senderName(1);

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
  private number = 0;

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
      befriend: () => friends.befriend(),
      announce: () => friends.announce(),
      attempt: () => this.attempt(),
      listen: () => this.listen(),
      window: (seconds) => this.publishAll(seconds, true),
      pace: (seconds) => this.publishAll(seconds, false),
      settle: (seconds) => this.settle(seconds),
      ...this.shelf.steps(),
      cut: () => friends.cut(),
    };
  }

  /** One item, for each contact to hear: whoever does not yet is counted. */
  private async attempt(): Promise<Tally> {
    const { hub, contacts } = this.friends;
    const deaf = new Set<Friend>(contacts);
    const before = contacts.map(({ client }) => client.onChunk);
    for (const friend of contacts) {
      const { client } = friend;
      const goOn = client.onChunk;
      let rest = '';
      client.onChunk = (chunk) => {
        goOn?.(chunk);
        rest = takeMarks(rest + chunk.toString('latin1'), () => deaf.delete(friend));
      };
    }
    if (hub !== undefined) this.publish();
    await untilNone(() => deaf.size, DEAF_AFTER);
    for (const [i, { client }] of contacts.entries()) client.onChunk = before[i];
    const tally = this.friends.ended();
    tally.count('deaf', deaf.size);
    return tally;
  }

  /** From here on contacts look at nothing but what was published. */
  private async listen(): Promise<Tally> {
    for (const { client } of this.friends.contacts) {
      let rest = '';
      let due = 0;
      const take = (_: string, number: number, delay: number): void => {
        if (number < due) this.tally.count('misordered');
        else due = number + 1;
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

  private async publishAll(seconds: number, byWindow: boolean): Promise<Tally> {
    const { options } = this.share;
    const { hub, contacts } = this.friends;
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
      const rate = numberOption(options, 'rate') / Math.max(1, this.share.users - 1);
      const unsent = await sendAtRate(rate, seconds, () => this.publish());
      if (unsent > 0) this.tally.count('unsent', unsent);
    }
    this.isSending = false;
    const missing = (): number =>
      this.published * contacts.length - this.received + Math.max(0, this.published - this.answered);
    await untilNone(missing, numberOption(options, 'patience'));
    this.tally.count('items', this.published);
    this.tally.count('unanswered', this.published - this.answered);
    return this.tally;
  }

  /** What was published has come to contacts of other workers, too, when nothing more comes. */
  private async settle(seconds: number): Promise<Tally> {
    let before = -1;
    while (before !== this.received && this.share.workers > 1) {
      before = this.received;
      await sleep(seconds);
    }
    const tally = this.friends.ended();
    tally.count('delivered', this.received);
    return tally;
  }

  private publish(): void {
    const number = markNumber(this.number++);
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
    if (heard < this.friends.contacts.length) {
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
