// Somebody's contacts while the service breaks: asks for subscriptions, gives contacts names, and keeps what it is told of them
// (RFC 6121 2 to 4).
import { attribute } from '../../../bench/load/client.ts';
import { pause } from '../kit.ts';
import type { Line } from './line.ts';
import { itemsOf, type RosterItem } from './roster.ts';
import { domain } from './service.ts';

/** How long it waits until it asks again for what was refused, in milliseconds. */
const AGAIN = 1_500;

const addressOf = (number: number): string => `user${number}@${domain}`;

export class Friends {
  /** Numbers of those with whom there is a subscription both ways. */
  contacts: readonly number[] = [];
  /** The full JIDs of contacts that are available, as far as this client was told. */
  readonly seen = new Set<string>();
  /** What each contact is called, and how the two stand, as far as this client was told. */
  readonly roster = new Map<string, RosterItem>();
  /** For each contact the name that the server has confirmed last, and those that it was asked for after that. */
  readonly names = new Map<string, string[]>();
  private readonly number: number;
  private readonly line: Line;

  constructor(number: number, line: Line) {
    this.number = number;
    this.line = line;
  }

  /** A session is over. */
  forget(): void {
    this.seen.clear();
    this.roster.clear();
  }

  /** Asks for subscriptions to those that have higher numbers (RFC 6121 3.1); whoever asks here is granted one, and asked for one. */
  befriend(): void {
    for (const number of this.contacts) {
      if (number > this.number) this.line.send(`<presence to='${addressOf(number)}' type='subscribe'/>`);
    }
  }

  /** Says once more what may have been lost with a session: that does no harm. */
  befriendAgain(): void {
    if (!this.line.isConnected) return;
    for (const number of this.contacts) {
      const to = addressOf(number);
      if (this.roster.get(to)?.subscription === 'both') continue;
      this.line.setback('a subscription asked for again');
      this.propose(to);
    }
  }

  /** Gives a contact another name. */
  rename(contact: number, name: string): void {
    const jid = addressOf(contact);
    const names = this.names.get(jid) ?? [''];
    names.push(name);
    this.names.set(jid, names);
    this.line.send(
      `<iq type='set' id='name ${jid} ${name}'><query xmlns='jabber:iq:roster'><item jid='${jid}' name='${name}'/></query></iq>`,
    );
  }

  /** A presence stanza, by its start tag. */
  see(head: string): void {
    const from = attribute(head, 'from') ?? '';
    const type = attribute(head, 'type');
    if (type === undefined && from !== this.line.client.jid) this.seen.add(from);
    else if (type === 'unavailable') this.seen.delete(from);
    else if (type === 'error') this.refused(from);
    else if (type === 'subscribe') {
      this.line.send(`<presence to='${from}' type='subscribed'/>`);
      if (numberOf(from) < this.number) this.line.send(`<presence to='${from}' type='subscribe'/>`);
    }
  }

  /** A roster push (RFC 6121 2.1.6), or the roster itself. */
  learn(xml: string): void {
    for (const [jid, item] of itemsOf(xml)) this.roster.set(jid, item);
  }

  /** Whether what was answered by that id is a name. */
  isNamed(id: string, type: string | undefined): boolean {
    const [kind, contact, name] = id.split(' ');
    if (kind !== 'name') return false;
    const names = this.names.get(contact!)!;
    if (type === 'result') names.splice(0, names.indexOf(name!));
    return true;
  }

  /** What was asked has to be asked again (RFC 6120 8.3.2, `wait`). */
  private refused(by: string): void {
    if (this.roster.get(by)?.subscription === 'both') {
      this.line.setback('a probe refused');
      return;
    }
    this.line.setback('a subscription refused');
    void pause(AGAIN).then(() => {
      if (this.line.client.isConnected) this.propose(by);
    });
  }

  private propose(to: string): void {
    for (const type of ['subscribed', 'subscribe']) this.line.send(`<presence to='${to}' type='${type}'/>`);
  }
}

const numberOf = (jid: string): number => Number(/^user(\d+)@/.exec(jid)?.[1]);
