// A node stops while something that a client has sent is not done: what is done behind it is not done again when the client, which cannot
// know that, sends all of it again (XEP-0198 5).
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Cluster } from '../../../src/cluster/cluster.ts';
import type { ArchiveStore, Driver } from '../../../src/storage/ports.ts';
import { HOST, joinRoom, makeRoom } from '../../faults/rooms.ts';
import { type Item, StreamClient } from '../../kit/client.ts';
import { authenticate, logIn, openStream } from '../../kit/login.ts';
import { type GroupNode, NodeGroup } from '../../kit/node-group.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';

let group: NodeGroup;
let one: GroupNode;
let two: GroupNode;
let romeo: StreamClient;
let juliet: StreamClient;
let id: string;
/** What says so is not written before `write` is called. */
const HELD = 'hold it';
let write: () => void;
const clients: StreamClient[] = [];

/** The archives of a module write what is held when the test says so. */
function slow(module: string, driver: Driver): Driver {
  const written = new Promise<void>((resolve) => {
    write = resolve;
  });
  return {
    ...driver,
    async open(host, name, specs) {
      const opened = await driver.open(host, name, specs);
      if (name !== module) return opened;
      const messages = opened.messages as ArchiveStore;
      const append: ArchiveStore['append'] = (owner, message) => {
        const done = messages.append(owner, message);
        return JSON.stringify(message).includes(HELD) ? { ...done, durable: written.then(() => done.durable) } : done;
      };
      return { ...opened, messages: { ...messages, append } };
    },
  };
}

async function enter(node: GroupNode, user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(node.server.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

/** Romeo is on the first node, with stream management, Juliet on the second. */
async function begin(module: string): Promise<void> {
  group = await NodeGroup.start({ hosts: { [domain]: {} } }, { wrap: (driver) => slow(module, driver), timeout: 150 });
  [one, two] = group.nodes as [GroupNode, GroupNode];
  for (const user of ['romeo', 'juliet', 'mercutio'])
    await one.server.server.accounts.create(`${user}@${domain}`, 'secret');
  juliet = await enter(two, 'juliet', 'balcony');
  juliet.write('<presence/>');
  (await enter(two, 'mercutio', 'square')).write('<presence/>');
  romeo = await enter(one, 'romeo', 'orchard');
  romeo.write(`<enable xmlns='${SM}' resume='true'/>`);
  const item = await romeo.next();
  id = item?.kind === 'element' ? String(item.element.attrs.id) : '';
  await juliet.fence();
}

beforeEach(() => {
  write = () => {};
});
afterEach(async () => {
  write();
  for (const client of clients.splice(0)) await client.destroy();
  await group.stop();
});

async function resume(node: GroupNode): Promise<{ client: StreamClient; h: string }> {
  const client = await StreamClient.connect(node.server.c2s);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user: 'romeo', password: 'secret' });
  await openStream(client, domain);
  client.write(`<resume xmlns='${SM}' previd='${id}' h='${had(romeo).length}'/>`);
  const item = await client.next();
  return { client, h: item?.kind === 'element' ? `${item.element.name} ${item.element.attrs.h}` : 'nothing' };
}

const had = ({ inbox }: StreamClient): Item[] =>
  inbox.filter((item) => item.kind === 'element' && ['message', 'iq', 'presence'].includes(item.element.name));
const messagesOf = (client: StreamClient): string[] =>
  had(client).flatMap((item) =>
    item.kind === 'element' && item.element.name === 'message' && !item.element.getChild('subject')
      ? [`${item.element.attrs.type} ${item.element.attrs.id}`]
      : [],
  );

const say = (text: string, to = 'juliet'): string =>
  `<message type='chat' id='${text}' to='${to}@${domain}'><body>${text}</body></message>`;

/** A room that falls to that node. */
function nameOn(node: GroupNode): string {
  const [cluster] = group.bus.clusters as [Cluster];
  for (let i = 0; ; i++) if (cluster.owner(`${HOST}/muc.room hall${i}`) === node.id) return `hall${i}`;
}

/** Stops a node, however much of its time it takes. */
async function leave(node: GroupNode): Promise<void> {
  let isOver = false;
  const stopped = group.leave(node).then(() => {
    isOver = true;
  });
  for (let i = 0; i < 200 && !isOver; i++) {
    await group.clock.advance(250);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  await stopped;
  await group.settle();
}

test('what was done behind it is heard once, and what was not done is done', async () => {
  await begin('mam');
  romeo.write(say('a') + say(HELD, 'mercutio') + say('b') + say('c'));
  await expect.poll(() => messagesOf(juliet)).toEqual(['chat a', 'chat b', 'chat c']);
  await group.settle();
  await leave(one);
  const { client, h } = await resume(two);
  expect(h).toBe('resumed 1');
  // (not all is sent again, and something comes that was never sent)
  client.write(say(HELD, 'mercutio') + say('b') + say('new') + say('c') + say('d'));
  await expect.poll(() => messagesOf(juliet)).toEqual(['chat a', 'chat b', 'chat c', 'chat new', 'chat d']);
  client.write(`<r xmlns='${SM}'/>`);
  write();
  const acknowledged = (): unknown[] =>
    client.inbox.flatMap((item) =>
      item.kind === 'element' && item.element.name === 'a' ? [item.element.attrs.h] : [],
    );
  await expect.poll(acknowledged).toEqual(['6']);
  expect(messagesOf(juliet)).toHaveLength(5);
});

test('what was asked of a room that does not answer is refused, and nothing comes twice', async () => {
  await begin('room-archive');
  const room = nameOn(two);
  await makeRoom(juliet, room, 'Juliet');
  await joinRoom(romeo, room, 'Romeo');
  juliet.inbox.length = 0;
  romeo.write(`<message type='groupchat' id='r' to='${room}@${HOST}'><body>${HELD}</body></message>${say('b')}`);
  await expect.poll(() => messagesOf(juliet)).toEqual(['groupchat r', 'chat b']);
  await group.settle();
  await leave(one);
  const { client, h } = await resume(two);
  expect(h).toBe('resumed 3');
  await client.fence();
  expect(messagesOf(client)).toContain('error r');
  write();
  await group.settle();
  expect(messagesOf(juliet)).toEqual(['groupchat r', 'chat b']);
});
