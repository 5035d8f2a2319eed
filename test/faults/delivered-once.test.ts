// Devices of one account on two nodes that come, go, vanish and return at random, while somebody writes to them: no message comes
// to a session twice, none comes back to a device that acknowledged it, and none is lost (XEP-0198 4).
import { afterEach, describe, expect, test } from 'vitest';
import { type Address, type Item, StreamClient } from '../kit/client.ts';
import { authenticate, logIn, openStream } from '../kit/login.ts';
import { lateNodes, type RunningWorld, worlds } from '../kit/worlds.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';
const CARBONS = 'urn:xmpp:carbons:2';
const CSI = 'urn:xmpp:csi:0';
const SEEDS = Number(process.env.PARLEY_TEST_SEEDS ?? 60);
const STEPS = 30;

/** Mulberry32: the same numbers for the same seed. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * below);
  };
}

/** One device: sessions one after the other, each over as many connections as it takes. */
class Device {
  readonly name: string;
  client: StreamClient | undefined;
  jid = '';
  /** Messages that came in this session. */
  private seen: string[] = [];
  /** Messages to it that it has acknowledged, in any session. */
  private readonly acked = new Set<string>();
  private direct: { readonly id: string; readonly at: number }[] = [];
  private id = '';
  private h = 0;
  private address: Address | undefined;
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

  async resume(): Promise<void> {
    const client = await StreamClient.connect(this.address!);
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
class Story {
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

const writer = { user: 'juliet', password: 'secret', domain };

async function play(world: RunningWorld, seed: number): Promise<Story> {
  const below = randomFrom(seed);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const addresses = [world.nextAddress(), world.nextAddress()];
  for (const user of ['romeo', 'juliet']) await world.createAccount(`${user}@${domain}`, 'secret');
  const story = new Story();
  const devices = ['phone', 'laptop', 'tablet'].map((name) => new Device(name, story));
  const writers = await Promise.all(addresses.map(async (address) => (await logIn(address, writer)).client));
  const sent: string[] = [];
  const say = (device: Device, xml: string): void => device.client?.write(xml);
  const presence = (): string => `<presence><priority>${pick([-1, 0, 0, 0, 5])}</priority></presence>`;
  const carbons = (on: boolean): string =>
    `<iq type='set' id='c${below(1e6)}'><${on ? 'enable' : 'disable'} xmlns='${CARBONS}'/></iq>`;

  async function write(): Promise<void> {
    const id = `m${sent.length}`;
    const to = below(3) > 0 ? `romeo@${domain}` : pick(devices).jid || `romeo@${domain}`;
    story.tell(`${id} to ${to}`);
    sent.push(id);
    const client = pick(writers);
    client.write(`<message type='chat' id='${id}' to='${to}'><body>${id}</body></message>`);
    if (below(4) > 0) await client.fence();
  }

  async function act(device: Device): Promise<void> {
    if (!device.isConnected) {
      const isResuming = device.canResume && below(3) > 0;
      story.tell(`${device.name} ${isResuming ? 'resumes' : 'comes'}`);
      if (isResuming) return device.resume();
      await device.come(pick(addresses));
      if (below(4) > 0) say(device, carbons(true));
      return say(device, presence());
    }
    const what = pick([
      'ack',
      'ack',
      'cut',
      'cut',
      'cut',
      'close',
      'priority',
      'carbons',
      'away',
      'csi',
      'read',
    ] as const);
    story.tell(`${device.name}: ${what}`);
    switch (what) {
      case 'ack':
        return device.ack();
      case 'cut':
        return device.cut();
      case 'close':
        return device.close();
      case 'priority':
        return say(device, presence());
      case 'away':
        return say(device, "<presence type='unavailable'/>");
      case 'carbons':
        return say(device, carbons(below(2) === 0));
      case 'csi':
        return say(device, `<${pick(['active', 'inactive'])} xmlns='${CSI}'/>`);
      case 'read':
        return device.client?.fence();
    }
  }

  for (let step = 0; step < STEPS; step++) {
    const choice = below(10);
    if (choice < 4) await write();
    else if (choice < 9) await act(pick(devices));
    else {
      story.tell('time passes');
      await world.clock.advance(11 * 60_000);
    }
    if (below(3) > 0) await world.settle();
  }
  // all that is not acknowledged is given back, and somebody reads what was kept
  for (const client of writers) await client.fence();
  await world.settle();
  for (const device of devices) await device.cut();
  for (let i = 0; i < 3; i++) {
    await world.settle();
    await world.clock.advance(11 * 60_000);
  }
  await world.settle();
  story.tell('the reader comes');
  const reader = new Device('reader', story);
  await reader.come(pick(addresses), false);
  say(reader, '<presence/>');
  for (let i = 0; i < 3; i++) {
    await reader.client?.fence();
    await world.settle();
  }
  for (const id of sent) if (!story.arrived.has(id)) story.fail(`${id} is lost`);
  await reader.cut();
  for (const client of writers) await client.destroy();
  return story;
}

let world: RunningWorld | undefined;
afterEach(async () => {
  await world?.stop();
  world = undefined;
});

describe.each([...worlds, lateNodes])('on $name', ({ start }) => {
  test.each(Array.from({ length: SEEDS / 3 }, (_, i) => i + 1))(
    'no message comes twice, and none is lost: %i',
    async (seed) => {
      world = await start({ hosts: { [domain]: {} } });
      const story = await play(world, seed);
      expect(story.problems, String(story)).toEqual([]);
      expect(world.errors).toEqual([]);
    },
  );
});
