// Devices of one account on three nodes that stop, die and are joined by others at random, while the devices come, vanish and resume
// anywhere and somebody writes to them: no message comes to a session twice, and none is lost but what a node had in its memory when
// it died.
import { afterEach, describe, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { type GroupNode, NodeGroup } from '../kit/node-group.ts';
import { CARBONS, Device, domain, randomFrom, Story } from './devices.ts';

const SEEDS = Number(process.env.PARLEY_TEST_SEEDS ?? 60) / 3;
const STEPS = 40;
const MOST_NODES = 3;
const TEN_MINUTES = 11 * 60_000;

class Play {
  readonly story = new Story();
  private readonly group: NodeGroup;
  private readonly below: (below: number) => number;
  private readonly devices: Device[];
  private readonly writers = new Map<GroupNode, StreamClient>();
  private readonly sent: string[] = [];
  /** Messages that may have been in the memory of a node that died. */
  private readonly excused = new Set<string>();

  constructor(group: NodeGroup, seed: number) {
    this.group = group;
    this.below = randomFrom(seed);
    this.devices = ['phone', 'laptop', 'tablet'].map((name) => new Device(name, this.story));
  }

  private pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  async run(mayDie: boolean): Promise<void> {
    const { group, story, devices, below } = this;
    for (const user of ['romeo', 'juliet']) {
      await group.nodes[0]!.server.server.accounts.create(`${user}@${domain}`, 'secret');
    }
    for (let step = 0; step < STEPS; step++) {
      const choice = below(20);
      if (choice < 8) await this.write();
      else if (choice < 17) await this.act(this.pick(devices));
      else if (choice === 17) {
        story.tell('time passes');
        await group.clock.advance(TEN_MINUTES);
      } else await this.changeNodes(mayDie);
      if (below(3) > 0) await group.settle();
    }
    await this.end();
  }

  private async writerAt(node: GroupNode): Promise<StreamClient> {
    const known = this.writers.get(node);
    if (known !== undefined) return known;
    const { client } = await logIn(node.server.c2s, { user: 'juliet', password: 'secret', domain });
    this.writers.set(node, client);
    return client;
  }

  private async write(): Promise<void> {
    const id = `m${this.sent.length}`;
    const to = this.below(3) > 0 ? `romeo@${domain}` : this.pick(this.devices).jid || `romeo@${domain}`;
    const node = this.pick(this.group.nodes);
    const client = await this.writerAt(node);
    this.story.tell(`${id} to ${to} from ${node.id}`);
    this.sent.push(id);
    client.write(`<message type='chat' id='${id}' to='${to}'><body>${id}</body></message>`);
    if (this.below(4) > 0) await client.fence();
  }

  private async act(device: Device): Promise<void> {
    const { below, story } = this;
    const node = this.pick(this.group.nodes);
    if (!device.isConnected) {
      const isResuming = device.canResume && below(5) > 0;
      story.tell(`${device.name} ${isResuming ? 'resumes' : 'comes'} on ${node.id}`);
      if (isResuming) return device.resume(node.server.c2s);
      await device.come(node.server.c2s);
      if (below(4) > 0) device.client?.write(`<iq type='set' id='c${below(1e6)}'><enable xmlns='${CARBONS}'/></iq>`);
      device.client?.write('<presence/>');
      return;
    }
    const what = this.pick([
      'ack',
      'ack',
      'cut',
      'cut',
      'half-open',
      'half-open',
      'close',
      'priority',
      'away',
    ] as const);
    story.tell(`${device.name}: ${what}`);
    switch (what) {
      case 'ack':
        return device.ack();
      case 'cut':
        return device.cut();
      case 'half-open':
        // the node does not know that it is gone
        return device.resume(node.server.c2s);
      case 'close':
        return device.close();
      case 'priority':
        device.client?.write(`<presence><priority>${this.pick([-1, 0, 0, 5])}</priority></presence>`);
        return;
      case 'away':
        device.client?.write("<presence type='unavailable'/>");
    }
  }

  private async changeNodes(mayDie: boolean): Promise<void> {
    const { group, story, below } = this;
    if (group.nodes.length < MOST_NODES && below(2) === 0) {
      story.tell(`${(await group.join()).id} joins`);
      return;
    }
    const node = this.pick(group.nodes);
    for (const client of this.writers.values()) await client.fence();
    await group.settle();
    await this.writers.get(node)?.destroy();
    this.writers.delete(node);
    if (mayDie && group.nodes.length > 1 && below(2) === 0) {
      story.tell(`${node.id} dies`);
      await this.kill(node);
    } else {
      story.tell(`${node.id} stops`);
      const next = group.nodes.length === 1;
      await group.leave(node);
      if (next) story.tell(`${(await group.join()).id} joins`);
    }
    // a session that acknowledged something, and was on a node that is no more, is no witness of that
    for (const device of this.devices) device.acked.clear();
  }

  private async kill(node: GroupNode): Promise<void> {
    const { group } = this;
    group.kill(node);
    for (const device of this.devices) {
      if (device.address?.port === node.server.c2s.port) await device.client?.destroy();
    }
    for (const id of this.sent) if (!this.story.arrived.has(id)) this.excused.add(id);
    await group.settle();
  }

  // all that is not acknowledged is given back, and somebody reads what was kept
  private async end(): Promise<void> {
    const { group, story } = this;
    for (const client of this.writers.values()) await client.fence();
    await group.settle();
    for (const device of this.devices) await device.cut();
    for (let i = 0; i < 3; i++) {
      await group.settle();
      await group.clock.advance(TEN_MINUTES);
    }
    await group.settle();
    story.tell('the reader comes');
    const reader = new Device('reader', story);
    await reader.come(this.pick(group.nodes).server.c2s, false);
    reader.client?.write('<presence/>');
    for (let i = 0; i < 3; i++) {
      await reader.client?.fence();
      await group.settle();
    }
    for (const id of this.sent) {
      if (!story.arrived.has(id) && !this.excused.has(id)) story.fail(`${id} is lost`);
    }
    await reader.cut();
    for (const client of this.writers.values()) await client.destroy();
  }
}

let group: NodeGroup | undefined;
afterEach(async () => {
  await group?.stop();
  group = undefined;
});

describe.each([
  { name: 'that stop and join', isLate: false, mayDie: false },
  { name: 'that stop, die and join', isLate: false, mayDie: true },
  { name: 'that stop and join, and learn late of one another', isLate: true, mayDie: false },
])('on nodes $name', ({ isLate, mayDie }) => {
  test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))(
    'no message comes twice, and none is lost: %i',
    async (seed) => {
      group = await NodeGroup.start({ hosts: { [domain]: {} } }, { nodes: 2 + (seed % 2), isLate });
      const play = new Play(group, seed);
      await play.run(mayDie);
      expect(play.story.problems, String(play.story)).toEqual([]);
      expect(group.errors).toEqual([]);
    },
  );
});
