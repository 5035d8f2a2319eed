// Devices of one account, for tests that count what comes to them: no message twice, none that was acknowledged (XEP-0198 4).
import { type Address, type Item, StreamClient } from '../kit/client.ts';
import { authenticate, logIn, openStream } from '../kit/login.ts';

export const domain = 'verona.test';
export const CARBONS = 'urn:xmpp:carbons:2';
const SM = 'urn:xmpp:sm:3';

/** Mulberry32: the same numbers for the same seed. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** One device: sessions one after the other, each over as many connections as it takes. */
export class Device {
  readonly name: string;
  client: StreamClient | undefined;
  jid = '';
  /** Messages that came in this session. */
  private seen: string[] = [];
  /** Messages to it that it has acknowledged, in any session. */
  readonly acked = new Set<string>();
  private direct: { readonly id: string; readonly at: number }[] = [];
  private id = '';
  private h = 0;
  address: Address | undefined;
  private sessions = 0;
  private readonly story: Story;

  constructor(name: string, story: Story) {
    this.name = name;
    this.story = story;
  }

  get isConnected(): boolean {
    return this.client !== undefined && !this.client.isClosed;
  }

  get canResume(): boolean {
    return this.id !== '' && !this.isConnected;
  }

  async come(address: Address, isManaged = true): Promise<void> {
    this.forget();
    this.address = address;
    const resource = `${this.name}${++this.sessions}`;
    const { client, jid } = await logIn(address, { domain, user: 'romeo', password: 'secret', resource });
    this.client = client;
    this.jid = jid;
    this.listen(client);
    if (!isManaged) return;
    client.write(`<enable xmlns='${SM}' resume='true'/>`);
    const item = await client.next();
    if (item?.kind !== 'element' || item.element.name !== 'enabled') throw new Error(`no <enabled/>: ${item}`);
    this.id = item.element.attrs.id ?? '';
    this.h = 0;
  }

  /** @param address where, if not where it was before */
  async resume(address = this.address!): Promise<void> {
    this.address = address;
    // what still comes over the old connection has not arrived
    if (this.client !== undefined) this.client.watcher = {};
    const client = await StreamClient.connect(address);
    await openStream(client, domain);
    await authenticate(client, { user: 'romeo', password: 'secret' });
    await openStream(client, domain);
    this.client = client;
    this.listen(client);
    const { h } = this;
    client.write(`<resume xmlns='${SM}' previd='${this.id}' h='${h}'/>`);
    const item = await client.next();
    if (item?.kind === 'element' && item.element.name === 'resumed') {
      this.noteAcked(h);
      return;
    }
    await client.destroy();
    this.forget();
  }

  async cut(): Promise<void> {
    await this.client?.destroy();
  }

  async ack(): Promise<void> {
    const { client, h } = this;
    client?.write(`<a xmlns='${SM}' h='${h}'/>`);
    await client?.fence();
    // else it may have come too late
    if (client?.isClosed === false) this.noteAcked(h);
  }

  async close(): Promise<void> {
    this.client?.write('</stream:stream>');
    await this.client?.closed();
    await this.client?.destroy();
    this.forget();
  }

  private noteAcked(h: number): void {
    for (const { id, at } of this.direct) if (at <= h) this.acked.add(id);
  }

  private forget(): void {
    this.client = undefined;
    this.id = '';
    this.seen = [];
    this.direct = [];
  }

  private listen(client: StreamClient): void {
    client.watcher = { received: (item) => this.take(item) };
  }

  private take(item: Item): void {
    if (item.kind !== 'element' || !['message', 'presence', 'iq'].includes(item.element.name)) return;
    const { element } = item;
    if (element.getChild('success') !== undefined || this.jid === '') return;
    this.h++;
    if (element.name !== 'message') return;
    const copy = element.getChild('received', CARBONS)?.getChild('forwarded')?.getChild('message');
    const id = String((copy ?? element).attrs.id);
    this.story.tell(`  ${this.name} has ${id}${copy === undefined ? '' : ' as a copy'}`);
    if (this.seen.includes(id)) this.story.fail(`${id} came twice to one session of ${this.name}`);
    if (this.acked.has(id)) this.story.fail(`${id} came to ${this.name}, which had acknowledged it`);
    this.seen.push(id);
    if (copy === undefined) this.direct.push({ id, at: this.h });
    this.story.arrived.add(id);
  }
}

/** What happened, for whoever has to find out why. */
export class Story {
  readonly arrived = new Set<string>();
  readonly problems: string[] = [];
  private readonly lines: string[] = [];

  tell(line: string): void {
    this.lines.push(line);
  }

  fail(problem: string): void {
    this.tell(`! ${problem}`);
    this.problems.push(problem);
  }

  toString(): string {
    return this.lines.join('\n');
  }
}
