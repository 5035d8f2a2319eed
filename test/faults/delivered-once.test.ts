// Devices of one account on two nodes that come, go, vanish and return at random, while somebody writes to them: no message comes
// to a session twice, none comes back to a device that acknowledged it, and none is lost (XEP-0198 4).
import { afterEach, describe, expect, test } from 'vitest';
import { logIn } from '../kit/login.ts';
import { lateNodes, type RunningWorld, worlds } from '../kit/worlds.ts';
import { CARBONS, Device, domain, randomFrom, Story } from './devices.ts';

const CSI = 'urn:xmpp:csi:0';
const SEEDS = Number(process.env.PARLEY_TEST_SEEDS ?? 60);
const STEPS = 30;

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
      if (isResuming) return device.resume(pick(addresses));
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
