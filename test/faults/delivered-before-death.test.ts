// Two sessions of one account are given a message; one acknowledges it, the other waits for its client for good. Should the node die
// where it was acknowledged, nobody is shown it again (XEP-0198 4).
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { type GroupNode, NodeGroup } from '../kit/node-group.ts';
import { Device, domain, Story } from './devices.ts';

/** How long it may take until the other nodes know of an acknowledgement, in milliseconds: docs/cluster.md says so. */
const KNOWN = 500;
const RESUME = 11 * 60_000;

let group: NodeGroup;
let nodes: GroupNode[];
let story: Story;
let juliet: StreamClient | undefined;
const devices: Device[] = [];

beforeEach(async () => {
  group = await NodeGroup.start({ hosts: { [domain]: {} } }, { nodes: 4 });
  nodes = [...group.nodes];
  for (const user of ['romeo', 'juliet']) await nodes[0]!.server.server.accounts.create(`${user}@${domain}`, 'secret');
  story = new Story();
});
afterEach(async () => {
  await juliet?.destroy();
  juliet = undefined;
  for (const device of devices.splice(0)) await device.cut();
  await group.stop();
});

async function come(name: string, node: number): Promise<Device> {
  const device = new Device(name, story);
  devices.push(device);
  await device.come(nodes[node]!.server.c2s);
  device.client?.write('<presence/>');
  await device.client?.fence();
  await group.settle();
  return device;
}

async function say(node: number, id: string): Promise<void> {
  juliet ??= (await logIn(nodes[node]!.server.c2s, { domain, user: 'juliet', password: 'secret' })).client;
  juliet.write(`<message type='chat' id='${id}' to='romeo@${domain}'><body>${id}</body></message>`);
  await juliet.fence();
  await group.settle();
}

/** The session that waits is over, and somebody comes who reads what was kept. */
async function expire(node: number): Promise<unknown[]> {
  await group.clock.advance(RESUME);
  await group.settle();
  const late = new Story();
  const reader = new Device('reader', late);
  devices.push(reader);
  await reader.come(nodes[node]!.server.c2s, false);
  reader.client?.write('<presence/>');
  await reader.client?.fence();
  await group.settle();
  return [...late.arrived];
}

/** A phone whose client is gone, on the first node; a laptop on the second; what is said is said on the third. */
async function read(): Promise<Device> {
  const phone = await come('phone', 0);
  await phone.cut();
  await group.settle();
  const laptop = await come('laptop', 1);
  await say(2, 'a');
  expect([...story.arrived]).toEqual(['a']);
  return laptop;
}

test.each([
  ['that of its reader', [1]],
  ['those of its reader and of its sender', [1, 2]],
])('of the nodes %s die: what was acknowledged is not shown again', async (_which, dying) => {
  const laptop = await read();
  await laptop.ack();
  await group.clock.advance(KNOWN);
  await group.settle();
  for (const node of dying) group.kill(nodes[node]!);
  await group.settle();
  expect(await expire(3)).toEqual([]);
});

test('what was acknowledged on a node that died before it could say so is shown again, and so is what never was', async () => {
  const laptop = await read();
  await laptop.ack();
  await group.clock.advance(KNOWN);
  await group.settle();
  await say(2, 'b');
  await laptop.ack();
  await say(2, 'c');
  group.kill(nodes[1]!);
  await group.settle();
  expect(await expire(3)).toEqual(['b', 'c']);
});

test('a session that waits, and goes to another node, takes along what is known', async () => {
  const laptop = await read();
  await laptop.ack();
  await group.clock.advance(KNOWN);
  await group.settle();
  // where it goes nobody was told
  for (const node of [1, 2]) group.kill(nodes[node]!);
  await group.settle();
  await group.leave(nodes[0]!);
  await group.settle();
  expect(await expire(3)).toEqual([]);
});
