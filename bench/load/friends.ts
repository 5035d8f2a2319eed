// A user and the contacts of that user (RFC 6121 3), whose clients say what they want to hear of (XEP-0115): one worker's part of them.

import { createHash } from 'node:crypto';
import { attribute, Client } from './client.ts';
import { within } from './pace.ts';
import { eachLimited, numberOption, type Share, usersOf } from './profile.ts';
import { StanzaCutter } from './stanzas.ts';
import { Tally } from './tally.ts';

const LOGINS_AT_ONCE = 32;
const REQUESTS_AT_ONCE = 16;
const DISCO = 'http://jabber.org/protocol/disco#info';
const CAPS = 'http://jabber.org/protocol/caps';

const GONE = "<presence type='unavailable'/>";

/** A client as others know it: some programs are in use by many. */
interface Kind {
  readonly node: string;
  readonly ver: string;
  /** What it answers to who asks. */
  readonly info: string;
}

export interface Friend {
  readonly client: Client;
  readonly kind: Kind;
}

export class Friends {
  /** The first user, if it is this worker's. */
  readonly hub: Client | undefined;
  readonly contacts: readonly Friend[];
  /** Those of them who have come. */
  present: readonly Friend[] = [];
  /** Gets the stanzas that come to the hub, whole, but for those that friendship takes. */
  onHubStanza: ((xml: string) => void) | undefined;
  private readonly share: Share;
  private tally = new Tally();
  /** Requests for the presence of contacts that are on their way, by bare JID. */
  private readonly requests = new Map<string, { isSeen: boolean; isShown: boolean; done: () => void }>();
  private befriended: ((roster: string) => void) | undefined;
  /** Bare JIDs, for the hub. */
  private strangers: readonly string[] = [];

  /** @param wanted the nodes that contacts want to hear of */
  constructor(share: Share, wanted: readonly string[]) {
    this.share = share;
    const kinds = Array.from({ length: numberOption(share.options, 'kinds') }, (_, i) => kindOf(i + 1, wanted));
    const clients = usersOf(share).map((number) => new Client(share.target, number));
    this.hub = clients.find(({ index }) => index === 1);
    this.contacts = clients
      .filter((client) => client !== this.hub)
      .map((client) => ({ client, kind: kinds[client.index % kinds.length]! }));
  }

  /** All are there, but for the hub nobody knows. */
  async logIn(): Promise<Tally> {
    const { hub, contacts } = this;
    const clients = [...(hub ? [hub] : []), ...contacts.map(({ client }) => client)];
    await eachLimited(clients, LOGINS_AT_ONCE / this.share.workers, async (client) => {
      await client.login({ presence: client === hub });
      client.onLost = (why) => this.tally.fail(`${client.user}: ${why}`);
    });
    if (hub !== undefined) hub.onChunk = cutterOf((xml) => this.takeAtHub(hub, xml));
    for (const { client, kind } of contacts) client.onChunk = cutterOf((xml) => takeAtContact(client, kind, xml));
    return this.ended();
  }

  /** Finds out who is no contact of the hub's yet. */
  async askRoster(): Promise<Tally> {
    const { hub, share } = this;
    if (hub === undefined) return this.ended();
    const roster = await within(this.patience, this.roster(hub), 'the roster does not come');
    const known = new Set(
      [...roster.matchAll(/<item [^>]*>/g)]
        .filter(([item]) => attribute(item, 'subscription') === 'both')
        .map(([item]) => attribute(item, 'jid')),
    );
    const others = Array.from({ length: share.users - 1 }, (_, i) => new Client(share.target, i + 2).bareJid);
    this.strangers = others.filter((jid) => !known.has(jid));
    this.tally.count('strangers', this.strangers.length);
    return this.ended();
  }

  /** Contacts are there for a while, without capabilities, or no more. */
  async show(isShown: boolean): Promise<Tally> {
    const presence = isShown ? '<presence/>' : GONE;
    for (const { client } of this.contacts) client.send(presence);
    return this.settled(this.contacts);
  }

  /** Strangers and the hub come to see each other's presence. */
  async befriend(): Promise<Tally> {
    const { hub } = this;
    if (hub === undefined) return this.ended();
    await eachLimited(this.strangers, REQUESTS_AT_ONCE, async (jid) => {
      const answered = new Promise<void>((done) => {
        this.requests.set(jid, { isSeen: false, isShown: false, done });
      });
      hub.send(`<presence type='subscribe' to='${jid}'/>`);
      await within(this.patience, answered, `${jid} does not become a contact`);
      this.requests.delete(jid);
    });
    return this.ended();
  }

  /**
   * The first so many contacts come, those who have not yet, and tell what their clients are: the server has that when this is done, and
   * may ask about it still.
   * @returns whom of this worker's that brings
   */
  async announce(upTo: number): Promise<readonly Friend[]> {
    const all = this.contacts.filter(({ client }) => client.index <= 1 + upTo);
    const coming = all.slice(this.present.length);
    this.present = all;
    for (const friend of coming) friend.client.send(presenceOf(friend));
    await this.settled(coming);
    return coming;
  }

  /** Contacts go and come, as people do whose client hears nothing. */
  announceAgain(friends: Iterable<Friend>): void {
    for (const friend of friends) friend.client.send(GONE + presenceOf(friend), 2);
  }

  async cut(): Promise<Tally> {
    for (const client of [this.hub, ...this.contacts.map((contact) => contact.client)]) {
      if (client === undefined) continue;
      client.onLost = undefined;
      client.cut();
    }
    return new Tally();
  }

  /** What went wrong since this was called last. */
  ended(): Tally {
    const { tally } = this;
    this.tally = new Tally();
    return tally;
  }

  /** The server has dealt with all that they sent. */
  private async settled(friends: readonly Friend[]): Promise<Tally> {
    await eachLimited(friends, LOGINS_AT_ONCE, ({ client }) => client.ping());
    return this.ended();
  }

  private get patience(): number {
    return 4 * numberOption(this.share.options, 'patience');
  }

  private roster(hub: Client): Promise<string> {
    return new Promise((resolve) => {
      this.befriended = resolve;
      hub.send("<iq type='get' id='friends'><query xmlns='jabber:iq:roster'/></iq>");
    });
  }

  private takeAtHub(hub: Client, xml: string): void {
    if (xml.startsWith('<presence')) {
      const head = xml.slice(0, xml.indexOf('>') + 1);
      const type = attribute(head, 'type');
      const from = attribute(head, 'from')?.replace(/\/.*/, '') ?? '';
      const request = this.requests.get(from);
      if (type === 'error') this.tally.fail(`refused: ${xml.slice(0, 400)}`);
      if (type === 'subscribe') {
        hub.send(`<presence type='subscribed' to='${from}'/>`);
        if (request) request.isShown = true;
      } else if (type === 'subscribed' && request) request.isSeen = true;
      if (request?.isSeen && request.isShown) request.done();
    } else if (xml.startsWith('<iq') && /^<iq[^>]*id=["']friends["']/.test(xml)) this.befriended?.(xml);
    else this.onHubStanza?.(xml);
  }
}

function presenceOf({ kind: { node, ver } }: Friend): string {
  return `<presence><c xmlns='${CAPS}' hash='sha-1' node='${node}' ver='${ver}'/></presence>`;
}

function cutterOf(take: (xml: string) => void): (chunk: Buffer) => void {
  const cutter = new StanzaCutter(take);
  return (chunk) => cutter.feed(chunk.toString('latin1'));
}

function takeAtContact(client: Client, kind: Kind, xml: string): void {
  const head = xml.slice(0, xml.indexOf('>') + 1);
  const from = attribute(head, 'from') ?? '';
  if (head.startsWith('<presence') && attribute(head, 'type') === 'subscribe') {
    const to = from.replace(/\/.*/, '');
    client.send(`<presence type='subscribed' to='${to}'/><presence type='subscribe' to='${to}'/>`, 2);
  } else if (head.startsWith('<iq') && attribute(head, 'type') === 'get' && xml.includes(DISCO)) {
    const node = attribute(/<query[^>]*>/.exec(xml)?.[0] ?? '', 'node');
    const at = node === undefined ? '' : ` node='${node}'`;
    const to = from === '' ? '' : ` to='${from}'`;
    client.send(
      `<iq type='result' id='${attribute(head, 'id')}'${to}><query xmlns='${DISCO}'${at}>${kind.info}</query></iq>`,
    );
  }
}

/** XEP-0115 5.1: what is announced is the hash of what is answered. */
function kindOf(number: number, wanted: readonly string[]): Kind {
  const features = [
    CAPS,
    DISCO,
    'urn:xmpp:ping',
    'urn:xmpp:receipts',
    ...wanted.map((node) => `${node}+notify`),
  ].sort();
  const name = `Bench ${number}`;
  const text = `client/pc//${name}<${features.map((feature) => `${feature}<`).join('')}`;
  return {
    node: `https://bench.example.org/${number}`,
    ver: createHash('sha1').update(text).digest('base64'),
    info:
      `<identity category='client' type='pc' name='${name}'/>` +
      features.map((feature) => `<feature var='${feature}'/>`).join(''),
  };
}
