// Somebody who takes part in a test of durability: sends at full load, asks for acknowledgements, loses connections and resumes.

import { ArchiveReader } from '../../../bench/load/archive.ts';
import { Client, type Cut, type Target } from '../../../bench/load/client.ts';
import type { Ledger, Place } from './ledger.ts';

/** Messages that a sender has on their way to the server at most, and how many it writes at once. */
const WINDOW = 200;
const BATCH = 10;
const PAGE = 70;

interface Outgoing {
  readonly xml: string;
  /** The count of stanzas sent up to and with it: acknowledged when the server says as much. */
  readonly count: number;
  acknowledge(): void;
}

export class Person {
  readonly number: number;
  client: Client;
  /** Sends to these, as long as it `isTalking`. */
  recipients: readonly number[] = [];
  isTalking = false;
  /** Messages that came to sessions. */
  messages = 0;
  /** Why connections ended that nobody here has ended. */
  readonly losses: string[] = [];
  private readonly ledger: Ledger;
  private target: Target;
  private readonly outbox: Outgoing[] = [];
  private reader: ArchiveReader;
  private place: Place = 'live';
  /** Where the archive was read up to. */
  private mark = '';
  private turn: number;

  constructor(number: number, target: Target, ledger: Ledger) {
    this.number = number;
    this.target = target;
    this.ledger = ledger;
    this.turn = number;
    this.client = this.makeClient();
    this.reader = new ArchiveReader(this.client);
  }

  /** Logs in with a new session; `isPresent`: sends presence, so that messages come. */
  async logIn(isPresent: boolean, resource = 'bench'): Promise<void> {
    this.outbox.length = 0;
    this.place = 'live';
    this.client = this.makeClient();
    this.reader = new ArchiveReader(this.client);
    await this.client.login({ sm: true, carbons: true, presence: isPresent, resource });
  }

  /** After the server has moved to another port. */
  moveTo(target: Target): void {
    this.target = target;
    this.client.target = target;
  }

  cut(how: Cut): void {
    this.client.cut(how);
  }

  /** Takes the session up again; what the server has not had is sent once more. Throws when the server refuses. */
  async resume(): Promise<void> {
    await this.client.resume();
    this.acknowledge(this.client.sm!.acked);
    const { outbox } = this;
    const { sent, acked } = this.client.sm!;
    if (acked + outbox.length !== sent)
      throw new Error(`the server counted ${acked} of ${sent}; ${outbox.length} open`);
    if (outbox.length > 0) {
      const xml = outbox.map((message) => message.xml).join('');
      // they were counted when they were sent first
      this.client.send(xml, 0, true);
    }
    this.talk();
  }

  /** Sends as much as the window allows; goes on by itself with each acknowledgement. */
  talk(): void {
    while (this.isTalking && this.client.isConnected && this.outbox.length + BATCH <= WINDOW) this.say(BATCH);
  }

  /** Sends `n` messages, whatever waits to be acknowledged. */
  say(n: number): void {
    let xml = '';
    let count = this.client.sm!.sent;
    for (let i = 0; i < n; i++) {
      const to = this.recipients[this.turn++ % this.recipients.length]!;
      const { entry, body } = this.ledger.say(this.number, to);
      const address = `${this.target.userPrefix}${to}@${this.target.domain}`;
      const id = body.replaceAll(' ', '-');
      const message =
        `<message to='${address}' type='chat' id='${id}'><body>${body}</body>` +
        `<origin-id xmlns='urn:xmpp:sid:0' id='${id}'/></message>`;
      const acknowledge = () => {
        entry.isAcknowledged = true;
      };
      this.outbox.push({ xml: message, count: ++count, acknowledge });
      xml += message;
    }
    this.client.send(xml, n, true);
  }

  /** Asks the server for an acknowledgement of what is open. */
  ask(): void {
    if (this.client.isConnected) this.client.send('', 0, true);
  }

  /** Reads the archive from where it was left, page by page. Returns how many messages of this test were there. */
  async catchUp(fromTheBeginning = false): Promise<number> {
    let n = 0;
    if (fromTheBeginning) this.mark = '';
    for (;;) {
      const { results, last, isComplete } = await this.reader.ask(PAGE, this.mark ? `<after>${this.mark}</after>` : '');
      for (const xml of results) if (fromTheBeginning || this.ledger.hear(this.number, 'archive', xml)) n++;
      if (last !== '') this.mark = last;
      if (isComplete || results.length === 0) return n;
    }
  }

  /** Sends presence: from now on what comes had waited offline. */
  becomePresent(): void {
    this.place = 'offline';
    this.client.send('<presence/>');
  }

  private makeClient(): Client {
    const client = new Client(this.target, this.number);
    client.onStanza = (xml) => {
      if (this.reader.take(xml) || !xml.startsWith('<message')) return;
      if (this.ledger.hear(this.number, this.place, xml)) this.messages++;
    };
    client.onAck = (acked) => {
      this.acknowledge(acked);
      this.talk();
    };
    client.onLost = (why) => this.losses.push(why);
    return client;
  }

  private acknowledge(acked: number): void {
    const { outbox } = this;
    let n = 0;
    while (n < outbox.length && outbox[n]!.count <= acked) outbox[n++]!.acknowledge();
    outbox.splice(0, n);
  }
}
