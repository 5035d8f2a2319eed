// What was sent to a session at a node that is no more, or that does not have it, where the session lives on at another node: it is
// given it there, and is acknowledged to its sender only when that is sure.
import { afterEach, expect, test } from 'vitest';
import type { Cluster, Frame, NodeId } from '../../src/cluster/cluster.ts';
import type { StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';
import { type GroupNode, NodeGroup } from '../kit/node-group.ts';
import { Device, domain, Story } from './devices.ts';

const SM = 'urn:xmpp:sm:3';

let group: NodeGroup;
let story: Story;
afterEach(() => group.stop());

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Romeo's phone has moved from the second node to the third, and the first has not heard of it. */
async function open(): Promise<{ nodes: readonly GroupNode[]; phone: Device; juliet: StreamClient }> {
  group = await NodeGroup.start({ hosts: { [domain]: {} } }, { nodes: 3, isLate: true });
  story = new Story();
  const { nodes } = group;
  const [first, second, third] = nodes as [GroupNode, GroupNode, GroupNode];
  for (const user of ['romeo', 'juliet']) await first.server.server.accounts.create(`${user}@${domain}`, 'secret');
  const { client: juliet } = await logIn(first.server.c2s, { user: 'juliet', password: 'secret', domain });
  juliet.write(`<enable xmlns='${SM}'/>`);
  await juliet.next();
  const phone = new Device('phone', story);
  await phone.come(second.server.c2s);
  phone.client?.write('<presence/>');
  await phone.client?.fence();
  await group.settle();
  juliet.write(`<message type='chat' id='m0' to='romeo@${domain}'><body>m0</body></message>`);
  await juliet.fence();
  await group.settle();
  group.bus.freeze(first.id, true);
  await phone.cut();
  await phone.resume(third.server.c2s);
  await phone.client?.fence();
  return { nodes, phone, juliet };
}

/** What a node sends to another goes another way. */
function divert(from: GroupNode, to: GroupNode, way: (go: () => void) => Promise<void>): void {
  const cluster = group.bus.clusters.find(({ self }) => self === from.id) as Cluster;
  const send = cluster.send.bind(cluster);
  cluster.send = (node: NodeId, frame: Frame) =>
    node === to.id ? way(() => void send(node, frame)) : send(node, frame);
}

test('a node that has stopped: its session has the message on the node to which it went, and is acknowledged only then', async () => {
  const { nodes, phone, juliet } = await open();
  const [first, second, third] = nodes as [GroupNode, GroupNode, GroupNode];
  let release = (): void => {};
  divert(first, second, () => Promise.reject(new Error('that node is no more')));
  divert(first, third, async (go) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    go();
  });
  juliet.write(`<message type='chat' id='m1' to='romeo@${domain}'><body>m1</body></message><r xmlns='${SM}'/>`);
  await pause(100);
  expect(await juliet.next(50)).toBeUndefined();
  release();
  const item = await juliet.next();
  expect(item?.kind === 'element' && item.element.name).toBe('a');
  await group.settle();
  await phone.client?.fence();
  expect([...story.arrived]).toEqual(['m0', 'm1']);
  group.bus.freeze(first.id, false);
  await group.settle();
  expect(story.problems).toEqual([]);
  await Promise.all([phone.cut(), juliet.destroy()]);
});

test('a node that does not have it says so: the session has the message where it is, unless it is just that node that should have it', async () => {
  const { nodes, phone, juliet } = await open();
  const [first, second] = nodes as [GroupNode, GroupNode, GroupNode];
  group.bus.freeze(first.id, false);
  await group.settle();
  // as what is left of a dead node's inbox is dealt with
  const heir = group.bus.clusters.find(({ self }) => self === first.id) as Cluster;
  const other = group.bus.clusters.find(({ self }) => self === nodes[2]!.id) as Cluster;
  const [entry] = await other.directory.sessions(`romeo@${domain}` as never, true);
  const xml = `<message type='chat' id='m2' from='juliet@${domain}/x' to='romeo@${domain}'><body>m2</body></message>`;
  void other.send(heir.self, { kind: 'undelivered', to: [{ jid: entry!.jid.full, sid: entry!.sid }], xml });
  await group.settle();
  await phone.client?.fence();
  expect([...story.arrived].includes('m2'), String(story)).toBe(false);
  void (group.bus.clusters.find(({ self }) => self === second.id) as Cluster).send(heir.self, {
    kind: 'undelivered',
    to: [{ jid: entry!.jid.full, sid: entry!.sid }],
    xml: xml.replaceAll('m2', 'm3'),
  });
  await group.settle();
  await phone.client?.fence();
  expect([...story.arrived]).toEqual(['m0', 'm3']);
  await Promise.all([phone.cut(), juliet.destroy()]);
});
