// Nodes that stop or drain while something goes wrong: nothing of the sessions that they give away is lost, or there twice.
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { Cluster } from '../../../src/cluster/cluster.ts';
import { Components } from '../../../src/s2s/components.ts';
import { Federation } from '../../../src/s2s/federation.ts';
import { StorageUnavailable } from '../../../src/storage/errors.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { type Item, StreamClient } from '../../kit/client.ts';
import { authenticate, logIn, openStream } from '../../kit/login.ts';
import { type GroupNode, NodeGroup } from '../../kit/node-group.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';

let group: NodeGroup;
let one: GroupNode;
let two: GroupNode;
let three: GroupNode;
const clients: StreamClient[] = [];

beforeEach(async () => {
  group = await NodeGroup.start({ hosts: { [domain]: {} } }, { nodes: 3, timeout: 150 });
  [one, two, three] = group.nodes as [GroupNode, GroupNode, GroupNode];
  for (const user of ['romeo', 'juliet']) await one.server.server.accounts.create(`${user}@${domain}`, 'secret');
});
afterEach(async () => {
  for (const client of clients.splice(0)) await client.destroy();
  await group.stop();
});

const clusterOf = (node: GroupNode): Cluster => group.bus.clusters.find(({ self }) => self === node.id)!;

async function enter(node: GroupNode, user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(node.server.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

async function enable(client: StreamClient): Promise<string> {
  client.write(`<enable xmlns='${SM}' resume='true'/>`);
  const item = await client.next();
  return item?.kind === 'element' ? String(item.element.attrs.id) : '';
}

/** Romeo is on a node, away from his screen, and a message waits for him. Returns the SM-ID. */
async function leaveWaiting(node: GroupNode): Promise<string> {
  const romeo = await enter(node, 'romeo', 'orchard');
  const id = await enable(romeo);
  romeo.write('<presence/>');
  await romeo.fence();
  await romeo.destroy();
  await group.settle();
  const juliet = await enter(three, 'juliet', 'balcony');
  juliet.write(`<message type='chat' id='a' to='romeo@${domain}'><body>a</body></message>`);
  await juliet.fence();
  await group.settle();
  return id;
}

async function resume(node: GroupNode, id: string): Promise<{ client: StreamClient; answered: string | undefined }> {
  const client = await StreamClient.connect(node.server.c2s);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user: 'romeo', password: 'secret' });
  await openStream(client, domain);
  client.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  const item = await client.next();
  return { client, answered: item?.kind === 'element' ? item.element.name : undefined };
}

const messagesIn = (items: readonly Item[]): unknown[] =>
  items.flatMap((item) => (item.kind === 'element' && item.element.name === 'message' ? [item.element.attrs.id] : []));

async function heard(client: StreamClient): Promise<unknown[]> {
  await group.settle();
  await client.fence();
  return messagesIn(client.inbox);
}

/** How many sessions of Romeo each node has. */
async function places(): Promise<Record<string, number>> {
  const entries = await group.bus.clusters[0]!.directory.sessions(Jid.of('romeo', domain).bare, true);
  const counts: Record<string, number> = {};
  for (const { node } of entries) counts[node] = (counts[node] ?? 0) + 1;
  return counts;
}

/** Once a node asks for something, `before` runs ahead of that. */
function onCall(node: GroupNode, method: string, before: () => Promise<unknown>): void {
  const cluster = clusterOf(node);
  const call = cluster.call.bind(cluster);
  cluster.call = async (to, what, body) => {
    if (what !== method) return call(to, what, body);
    cluster.call = call;
    await before();
    return call(to, what, body);
  };
}

/** Something that is waited for, and what says that it has come. */
function latch(): readonly [Promise<void>, () => void] {
  let come = (): void => {};
  const waited = new Promise<void>((resolve) => {
    come = resolve;
  });
  return [waited, () => come()];
}

/** Stops a node, however much of its time it takes; returns how long that was, in milliseconds. */
async function leaveInTime(node: GroupNode): Promise<number> {
  const { clock } = group;
  const begun = clock.now();
  let isOver = false;
  const stopped = group.leave(node).then(() => {
    isOver = true;
  });
  for (let i = 0; i < 200 && !isOver; i++) {
    await clock.advance(250);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await stopped;
  return clock.now() - begun;
}

test('a session that is about to be taken while its node stops is either taken or stored', async () => {
  const id = await leaveWaiting(one);
  const cluster = clusterOf(one);
  const close = cluster.close.bind(cluster);
  const [isStored, take] = latch();
  const [isAsked, ask] = latch();
  // everything is written down, and the node not gone yet
  cluster.close = async () => {
    take();
    await group.settle();
    await close();
  };
  onCall(two, 'sm.take', () => {
    ask();
    return isStored;
  });
  const asked = resume(two, id);
  await isAsked;
  // (what it could hand over is asked for already)
  clusterOf(one).members = () => [];
  await group.leave(one);
  const { client, answered } = await asked;
  await group.settle();
  const back = answered === 'resumed' ? client : (await resume(two, id)).client;
  expect(await heard(back)).toEqual(['a']);
  // nothing of it was put aside for anybody else
  const garden = await enter(two, 'romeo', 'garden');
  garden.write('<presence/>');
  expect(await heard(garden)).toEqual([]);
});

test('a session of which only a part was taken when its node stops is stored', async () => {
  const id = await leaveWaiting(one);
  const juliet = clients.at(-1)!;
  const body = 'x'.repeat(60_000);
  const ids = ['b', 'c', 'd', 'e', 'f', 'g'];
  for (const more of ids) {
    juliet.write(`<message type='chat' id='${more}' to='romeo@${domain}/orchard'><body>${body}</body></message>`);
  }
  await juliet.fence();
  await group.settle();
  const [asked, isAsked] = latch();
  const [gone, goOn] = latch();
  onCall(two, 'sm.take', async () => {
    onCall(two, 'sm.take', () => {
      isAsked();
      return gone;
    });
  });
  const attempt = resume(two, id);
  await asked;
  await leaveInTime(one);
  goOn();
  await group.settle();
  // the node that has some of it cannot go on with that
  expect((await attempt).answered).toBe('failed');
  await group.settle();
  const back = await enter(three, 'romeo', 'orchard');
  back.write('<presence/>');
  expect(await heard(back)).toEqual(['a', ...ids]);
});

test('a node that stops is given no sessions, whatever others believe of it', async () => {
  const id = await leaveWaiting(one);
  await clusterOf(one).call(two.id, 'admin.drain', true);
  await group.settle();
  const cluster = clusterOf(one);
  const members = cluster.members.bind(cluster);
  cluster.members = async () =>
    (await members()).map((one) => ({ ...one, isDraining: false, sessions: one.node === three.id ? 100 : 0 }));
  await group.leave(one);
  expect(await places()).toEqual({ [three.id]: 1 });
  expect((await resume(three, id)).answered).toBe('resumed');
});

test('where a node does not answer, its share goes to the others', async () => {
  const id = await leaveWaiting(one);
  const cluster = clusterOf(one);
  const members = cluster.members.bind(cluster);
  cluster.members = async () => (await members()).map((one) => ({ ...one, sessions: one.node === three.id ? 100 : 0 }));
  group.bus.freeze(two.id, true);
  await group.leave(one);
  group.bus.freeze(two.id, false);
  await group.settle();
  expect(await places()).toEqual({ [three.id]: 1 });
  const { client, answered } = await resume(three, id);
  expect(answered).toBe('resumed');
  expect(await heard(client)).toEqual(['a']);
});

test('what comes for a session while it is written down is not lost', async () => {
  const id = await leaveWaiting(one);
  for (const { id: node } of group.nodes) clusterOf({ id: node } as GroupNode).members = () => [];
  const cluster = clusterOf(one);
  const close = cluster.close.bind(cluster);
  cluster.close = async () => {
    const [juliet] = clients.slice(-1);
    juliet!.write(`<message type='chat' id='b' to='romeo@${domain}/orchard'><body>b</body></message>`);
    await juliet!.fence();
    await group.settle();
    await close();
  };
  await group.leave(one);
  await group.settle();
  const { client, answered } = await resume(two, id);
  expect(answered).toBe('resumed');
  expect(await heard(client)).toEqual(['a']);
  const garden = await enter(two, 'romeo', 'garden');
  garden.write('<presence/>');
  expect(await heard(garden)).toEqual(['b']);
});

test('contacts of a session that is stored do not see it go', async () => {
  const juliet = await enter(three, 'juliet', 'balcony');
  const romeo = await enter(one, 'romeo', 'orchard');
  const id = await enable(romeo);
  romeo.write(`<presence/><presence to='juliet@${domain}/balcony'/>`);
  await romeo.fence();
  await group.settle();
  await juliet.fence();
  juliet.inbox.length = 0;
  clusterOf(one).members = () => [];
  await group.leave(one);
  await group.settle();
  await juliet.fence();
  expect(juliet.inbox.filter((item) => item.kind === 'element' && item.element.name === 'presence')).toEqual([]);
  expect((await resume(two, id)).answered).toBe('resumed');
});

test('where nobody knows who is there, sessions are stored all the same', async () => {
  const id = await leaveWaiting(one);
  clusterOf(one).members = () => Promise.reject(new Error('no answer'));
  await group.leave(one);
  await group.settle();
  const { client, answered } = await resume(two, id);
  expect(answered).toBe('resumed');
  expect(await heard(client)).toEqual(['a']);
});

test('a stored session that cannot be brought back now waits on', async () => {
  const id = await leaveWaiting(one);
  for (const node of [one, two]) clusterOf(node).members = () => [];
  // nobody takes what is left
  for (const node of [two, three]) clusterOf(node).owner = () => one.id;
  await group.leave(one);
  const { directory } = clusterOf(two);
  const put = directory.put.bind(directory);
  directory.put = () => Promise.reject(new StorageUnavailable('away'));
  expect((await resume(two, id)).answered).toBe('failed');
  directory.put = put;
  const { client, answered } = await resume(three, id);
  expect(answered).toBe('resumed');
  expect(await heard(client)).toEqual(['a']);
});

test('an undone draining hands nothing more over', async () => {
  const romeo = await enter(one, 'romeo', 'orchard');
  await enable(romeo);
  const cluster = clusterOf(one);
  const members = cluster.members.bind(cluster);
  cluster.members = async () => {
    cluster.members = members;
    await clusterOf(two).call(one.id, 'admin.drain', false);
    return members();
  };
  await clusterOf(two).call(one.id, 'admin.drain', true);
  await group.settle();
  expect(await places()).toEqual({ [one.id]: 1 });
  expect(romeo.inbox.filter(({ kind }) => kind === 'end')).toEqual([]);
});

test('whatever hangs, there is time to write down what has to be kept', async () => {
  const id = await leaveWaiting(one);
  group.bus.freeze(two.id, true);
  group.bus.freeze(three.id, true);
  const { clock } = group;
  const hang = (deadline: number): Promise<void> => new Promise((resolve) => void clock.after(deadline, resolve));
  vi.spyOn(Components.prototype, 'close').mockImplementationOnce(hang);
  vi.spyOn(Federation.prototype, 'close').mockImplementationOnce(hang);
  // (an answer may take longer than a stop)
  clusterOf(one).call = () => new Promise(() => {});
  expect(await leaveInTime(one)).toBeLessThan(11_000);
  group.bus.freeze(two.id, false);
  group.bus.freeze(three.id, false);
  await group.settle();
  const { client, answered } = await resume(two, id);
  expect(answered).toBe('resumed');
  expect(await heard(client)).toEqual(['a']);
});

test('those that cannot be handed over are not all sent away in the same moment', async () => {
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => enter(one, 'romeo', `r${i}`)));
  let gone = 0;
  for (const client of many) void client.closed().then(() => gone++);
  const stopped = group.leave(one);
  await expect.poll(() => gone).toBe(16);
  await group.settle();
  expect(gone).toBe(16);
  while (gone < 20) await group.clock.advance(100);
  await stopped;
});

test('what a client has read in the archive before it moved is not sent to it again', async () => {
  const juliet = await enter(three, 'juliet', 'balcony');
  juliet.write(`<message type='chat' id='a' to='romeo@${domain}'><body>a</body></message>`);
  await juliet.fence();
  const romeo = await enter(one, 'romeo', 'orchard');
  const id = await enable(romeo);
  romeo.write(`<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>`);
  await romeo.fence();
  expect(messagesIn(romeo.inbox)).toHaveLength(1);
  const { length } = romeo.inbox.filter((item) => item.kind === 'element' && item.element.name !== 'a');
  await romeo.destroy();
  await group.settle();
  const client = await StreamClient.connect(two.server.c2s);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user: 'romeo', password: 'secret' });
  await openStream(client, domain);
  client.write(`<resume xmlns='${SM}' previd='${id}' h='${length}'/>`);
  await client.next();
  client.write('<presence/>');
  expect(await heard(client)).toEqual([]);
});
