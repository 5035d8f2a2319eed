// The rooms of an account, as the nodes of a server know them from the stores alone.
import { afterEach, expect, test } from 'vitest';
import { type RoomList, roomList } from '../../../src/modules/room-list.ts';
import type { Server } from '../../../src/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import type { BareJid } from '../../../src/xmpp/jid.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock } from '../../kit/clock.ts';
import { createNodes } from '../../kit/cluster-pair.ts';
import { logIn } from '../../kit/login.ts';
import { startServer } from '../../kit/test-server.ts';

const domain = 'verona.test';
const rooms = `groups.${domain}`;
const juliet = `juliet@${domain}` as BareJid;
const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

async function startNodes(driver = createMemoryDriver(new FakeClock())) {
  const clock = new FakeClock();
  const nodes = createNodes();
  const servers: Server[] = [];
  for (const cluster of nodes.clusters) {
    const server = await startServer({ hosts: { [domain]: {} } }, { clock, cluster, driver });
    ended.push(() => server.stop());
    servers.push(server);
  }
  const [one, two] = servers as [Server, Server];
  return { one, two, clock, driver };
}

const listOf = (server: Server): RoomList => {
  const { installed } = server.hosts.get(rooms)!.instances.find(({ name }) => name === 'room-list')!;
  const [provided] = (installed.handlers ?? []).filter(
    (one) => one.kind === 'provide' && one.service.name === roomList.name,
  );
  return (provided as { implementation: unknown } | undefined)?.implementation as RoomList;
};

async function enter(server: Server, user: string): Promise<StreamClient> {
  await server.hosts.get(domain)!.accounts.create(user, 'secret');
  const { client } = await logIn(server.address('c2s')!, { domain, user, password: 'secret', resource: 'here' });
  ended.push(() => client.destroy());
  return client;
}

const join = (room: string, nick: string): string =>
  `<presence id='join' to='${room}@${rooms}/${nick}'><x xmlns='http://jabber.org/protocol/muc'><history maxstanzas='0'/></x></presence>`;
const say = (room: string, id: string, body: string): string =>
  `<message to='${room}@${rooms}' type='groupchat' id='${id}'>${body}</message>`;
const own = (room: string, fields: string): string =>
  `<iq type='set' id='own' to='${room}@${rooms}'><query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field>${fields}</x></query></iq>`;
const field = (name: string, value: string): string =>
  `<field var='muc#roomconfig_${name}'><value>${value}</value></field>`;
const affiliate = (room: string, jid: string, affiliation: string): string =>
  `<iq type='set' id='aff' to='${room}@${rooms}'><query xmlns='http://jabber.org/protocol/muc#admin'><item jid='${jid}' affiliation='${affiliation}'/></query></iq>`;

/** The next element that is an answer, or a message with this id. */
async function until(client: StreamClient, id: string): Promise<string> {
  for (;;) {
    const item = await client.next();
    if (item?.kind !== 'element') throw new Error(`no ${id} came, but ${item?.kind}`);
    if (item.element.attrs.id !== id) continue;
    return String(item.element.getChild('stanza-id')?.attrs.id);
  }
}
const brief = async (list: RoomList, account = juliet): Promise<unknown[]> =>
  (await list.roomsOf(account)).map(({ room, name, affiliation, nick, unread }) => [
    room.local,
    name,
    affiliation,
    nick,
    unread,
  ]);

test('the rooms of an account are listed with what others have said since it has read, on each node', async () => {
  const { one, two } = await startNodes();
  const romeo = await enter(one, 'romeo');
  const client = await enter(two, 'juliet');
  for (const room of ['hall', 'coven', 'cellar']) {
    romeo.write(join(room, 'Romeo'));
    romeo.write(own(room, field('persistentroom', '1') + field('roomname', room === 'hall' ? 'The Hall' : '')));
    await until(romeo, 'own');
    romeo.write(affiliate(room, juliet, room === 'cellar' ? 'outcast' : 'member'));
    await until(romeo, 'aff');
    romeo.write(say(room, '1', '<body>a</body>'));
    await until(romeo, '1');
  }
  for (const list of [listOf(one), listOf(two)]) {
    expect(await brief(list)).toEqual([
      ['coven', 'coven', 'member', undefined, 1],
      ['hall', 'The Hall', 'member', undefined, 1],
    ]);
  }

  client.write(join('hall', 'Juliet'));
  await until(client, 'join');
  romeo.write(say('hall', '2', '<body>b</body>'));
  const read = await until(client, '2');
  romeo.write(say('hall', '3', "<reactions xmlns='urn:xmpp:reactions:0' id='x'><reaction>+</reaction></reactions>"));
  romeo.write(say('hall', '4', '<body>c</body>'));
  await until(client, '4');
  client.write(say('hall', '5', '<body>my own</body>'));
  client.write(say('hall', '6', `<displayed xmlns='urn:xmpp:chat-markers:0' id='${read}'/>`));
  await until(romeo, '6');
  const wanted = [
    ['coven', 'coven', 'member', undefined, 1],
    ['hall', 'The Hall', 'member', undefined, 1],
  ];
  await expect.poll(async () => (await listOf(one).roomsOf(juliet))[1]?.lastRead).toBe(read);
  expect(await brief(listOf(one))).toEqual(wanted);
  expect(await brief(listOf(two))).toEqual(wanted);
  expect((await listOf(two).roomsOf(juliet, 0)).map(({ unread }) => unread)).toEqual([0, 0]);
});

test('nobody reads backwards, or what nobody has said yet; who only reads a room has it in the list while it is open', async () => {
  const { one } = await startNodes();
  const romeo = await enter(one, 'romeo');
  const client = await enter(one, 'juliet');
  romeo.write(join('coven', 'Romeo'));
  romeo.write(own('coven', field('persistentroom', '1')));
  await until(romeo, 'own');
  client.write(join('coven', 'Juliet'));
  await until(client, 'join');
  romeo.write(say('coven', '1', '<body>a</body>'));
  const first = await until(client, '1');
  romeo.write(say('coven', '2', '<body>b</body>'));
  const second = await until(client, '2');
  const list = listOf(one);
  for (const id of [second, first, 'v'.repeat(20), 'no id']) {
    client.write(say('coven', id, `<displayed xmlns='urn:xmpp:chat-markers:0' id='${id}'/>`));
    await until(romeo, id);
  }
  await expect.poll(async () => (await list.roomsOf(juliet))[0]?.lastRead).toBe(second);
  expect(await brief(list)).toEqual([['coven', 'coven', 'none', undefined, 0]]);
  romeo.write(own('coven', field('membersonly', '1')));
  await until(romeo, 'own');
  expect(await brief(list)).toEqual([]);
});

test('a list is there after a restart, without anybody in the rooms', async () => {
  const { one, driver } = await startNodes();
  const romeo = await enter(one, 'romeo');
  romeo.write(join('coven', 'Romeo'));
  romeo.write(own('coven', field('persistentroom', '1')));
  await until(romeo, 'own');
  romeo.write(affiliate('coven', juliet, 'member'));
  await until(romeo, 'aff');
  romeo.write(say('coven', '1', '<body>a</body>'));
  await until(romeo, '1');
  const again = await startNodes(driver);
  expect(await brief(listOf(again.two))).toEqual([['coven', 'coven', 'member', undefined, 1]]);
});
