// One stanza to many: whom it reaches, as what, in which order, and who is told that it did not.
import { afterEach, describe, expect, test } from 'vitest';
import type { NodeId } from '../../../src/cluster/cluster.ts';
import { createSolo } from '../../../src/cluster/solo.ts';
import type { ConfigInput } from '../../../src/config/server.ts';
import type { Host } from '../../../src/core/host.ts';
import { Multicast } from '../../../src/core/multicast.ts';
import type { Sessions } from '../../../src/core/sessions.ts';
import type { Server } from '../../../src/server.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { type Element, el } from '../../../src/xml/element.ts';
import { type BareJid, Jid } from '../../../src/xmpp/jid.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { createNodes } from '../../kit/cluster-pair.ts';
import { TestNames } from '../../kit/federation.ts';
import { domain, enterAs, type RoomsOptions, said, speaker, startRooms } from '../../kit/rooms-host.ts';
import { WebSocketClient } from '../../kit/websocket-client.ts';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});
const start = (more?: ConfigInput, options?: RoomsOptions) => startRooms(ended, more, options);
const enter = (server: Server, user: string, at?: string) => enterAs(ended, server, user, at);

async function hears(client: StreamClient): Promise<string> {
  const item = await client.next();
  return item?.kind === 'element'
    ? `${item.element.attrs.to} ${item.element.getChildText('body')}`
    : String(item?.kind);
}

const romeo = `romeo@${domain}/here`;
const juliet = `juliet@${domain}/here`;
const gone = `nurse@${domain}/here`;

describe('on one node', () => {
  test('each hears it as said to them, in order, over any transport; and what was not acknowledged waits', async () => {
    const { server, rooms } = await start();
    const one = await enter(server, 'romeo');
    const two = await enter(server, 'juliet');
    two.write("<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
    await two.next();
    await server.hosts.get(domain)!.accounts.create('benvolio', 'secret');
    const web = await WebSocketClient.logIn(server.address('http')!, {
      domain,
      user: 'benvolio',
      password: 'secret',
      resource: 'here',
    });
    ended.push(() => web[Symbol.asyncDispose]());
    for (const text of ['a', 'b']) expect(rooms.say(text, romeo, juliet, web.jid)).toBeUndefined();
    for (const [client, jid] of [
      [one, romeo],
      [two, juliet],
    ] as const) {
      expect([await hears(client), await hears(client)]).toEqual([`${jid} a`, `${jid} b`]);
    }
    await expect.poll(() => web.frames.at(-1)).toContain('<body>b</body>');
    expect(web.frames.at(-1)).toMatch(/^<message xmlns='jabber:client' /);
    expect(web.frames.at(-1)).toContain(`to='${web.jid}'`);
    const { outbox } = server.sessions.get(juliet)!;
    expect(outbox!.room!.stanzas).toBe(server.config['stream-management']['queue-stanzas'] - 2);
  });

  test('a phone that nobody looks at gets it when it is worth that, with what was held back before it', async () => {
    const { server, rooms } = await start();
    const phone = await enter(server, 'romeo');
    phone.write("<inactive xmlns='urn:xmpp:csi:0'/>");
    await phone.fence();
    const typing = el(
      'message',
      null,
      { from: speaker.full, type: 'groupchat' },
      el('composing', 'http://jabber.org/protocol/chatstates'),
    );
    await rooms.router.multicast(typing, speaker, [Jid.parse(romeo)!], rooms.host);
    await turn();
    expect(phone.inbox).toEqual([]);
    const presence = el('presence', null, { from: speaker.full });
    await rooms.router.multicast(presence, speaker, [Jid.parse(romeo)!], rooms.host);
    await rooms.say('romeo, come home', romeo);
    phone.write("<active xmlns='urn:xmpp:csi:0'/>");
    await phone.fence();
    const names = phone.inbox.map((item) =>
      item.kind === 'element' ? [item.element.name, item.element.attrs.to] : [],
    );
    expect(names).toContainEqual(['presence', romeo]);
    expect(names.at(-1)).toEqual(['message', romeo]);
  });

  test('whoever is not there is answered for, by an error, when the room has spoken', async () => {
    const { server, rooms } = await start();
    const one = await enter(server, 'romeo');
    void rooms.say('a', gone, romeo, `groups.${domain}`);
    expect(rooms.heard).toEqual([]);
    expect(await hears(one)).toBe(`${romeo} a`);
    await turn();
    expect(rooms.heard).toEqual([
      `message error service-unavailable ${gone} > ${speaker.full}`,
      `message error service-unavailable groups.${domain} > ${speaker.full}`,
    ]);
  });

  test('nobody is nobody', async () => {
    const { rooms } = await start();
    expect(rooms.say('a')).toBeUndefined();
  });
});

describe('on two nodes', () => {
  async function twoNodes() {
    const nodes = createNodes();
    const driver = createMemoryDriver(new FakeClock());
    const [here, there] = nodes.clusters;
    return {
      nodes,
      one: await start({}, { cluster: here!, driver }),
      two: await start({}, { cluster: there!, driver }),
    };
  }

  test('it goes to the other node once, and is waited for until it is there', async () => {
    const { nodes, one, two } = await twoNodes();
    const clients = [
      await enter(one.server, 'romeo'),
      await enter(two.server, 'juliet'),
      await enter(two.server, 'nurse'),
    ];
    const frames: unknown[] = [];
    const { send } = nodes.clusters[0]!;
    nodes.clusters[0]!.send = (node, frame) => {
      frames.push(frame);
      return send.call(nodes.clusters[0], node, frame);
    };
    for (const text of ['a', 'b']) await one.rooms.say(text, romeo, juliet, gone);
    await nodes.idle();
    const jids = [romeo, juliet, gone];
    for (const [i, client] of clients.entries()) {
      expect([await hears(client), await hears(client)]).toEqual([`${jids[i]} a`, `${jids[i]} b`]);
    }
    expect(frames).toHaveLength(2);
    expect(frames[0]).toMatchObject({ kind: 'deliver', each: 0, to: [{ jid: juliet }, { jid: gone }] });
  });

  test('whoever has left the other node meanwhile is answered for', async () => {
    const { nodes, one, two } = await twoNodes();
    const client = await enter(two.server, 'juliet');
    // the word of it comes later than what the room says
    const [entry] = await nodes.clusters[0]!.directory.sessions(Jid.parse(juliet)!.bare);
    await client.destroy();
    await expect.poll(() => two.server.sessions.count).toBe(0);
    Object.assign(nodes.clusters[0]!, { directory: { ...nodes.clusters[0]!.directory, sessions: () => [entry] } });
    await one.rooms.say('a', juliet);
    await nodes.idle();
    await turn();
    expect([...one.rooms.heard, ...two.rooms.heard]).toEqual([
      `message error service-unavailable ${juliet} > ${speaker.full}`,
    ]);
  });

  test('a session that has just moved is followed, from here and from the node that had it', async () => {
    const { nodes, one, two } = await twoNodes();
    const client = await enter(two.server, 'juliet');
    const { sid } = two.server.sessions.get(juliet)!;
    const { directory, self } = nodes.clusters[0]!;
    const [entry] = await directory.sessions(Jid.parse(juliet)!.bare);
    // the directory says it is here, or on a third node, which has sent it on: both know where it went
    const moved = { ...entry!, node: self };
    Object.assign(nodes.clusters[0]!, { directory: { ...directory, sessions: () => [moved] } });
    one.server.sessions.moves.left(sid, two.server.sessions.moves.nodeOf(sid));
    await one.rooms.say('a', juliet);
    expect(await hears(client)).toBe(`${juliet} a`);
    const third = nodes.add('three');
    const frame = { kind: 'deliver', to: [{ jid: juliet, sid }], xml: said('b').toXml(), each: 0 } as const;
    third.receive(() => {});
    await third.send(self, frame);
    expect(await hears(client)).toBe(`${juliet} b`);
    expect([...one.rooms.heard, ...two.rooms.heard]).toEqual([]);
  });

  test('what is said under a lease that was lost nobody hears after what was said under the next one', async () => {
    const { nodes, one, two } = await twoNodes();
    const client = await enter(two.server, 'juliet');
    const { sid } = two.server.sessions.get(juliet)!;
    const say = ({ rooms }: typeof one, text: string, lease: number) =>
      rooms.router.multicast(said(text), speaker, [Jid.parse(juliet)!], rooms.host, lease);
    const [here, there] = nodes.clusters;
    const late = (text: string, each: number) =>
      here!.send(there!.self, { kind: 'deliver', to: [{ jid: juliet, sid }], xml: said(text).toXml(), each });
    await late('first', 4);
    await nodes.idle();
    // its own node speaks by now, and what was under way comes after that
    await say(two, 'second', 5);
    await late('too late', 4);
    await say(two, 'not any more', 4);
    await say(one, 'third', 6);
    await nodes.idle();
    expect([await hears(client), await hears(client), await hears(client)]).toEqual(
      ['first', 'second', 'third'].map((text) => `${juliet} ${text}`),
    );
    expect([...one.rooms.heard, ...two.rooms.heard]).toEqual([]);
  });

  test('who may only be forgotten for the moment is waited for, and what is said later does not overtake', async () => {
    const { nodes, one, two } = await twoNodes();
    const client = await enter(two.server, 'juliet');
    const { directory } = nodes.clusters[0]!;
    const here = await enter(one.server, 'romeo');
    let isForgotten = true;
    const sessions = async (user: BareJid) => (isForgotten ? [] : directory.sessions(user));
    const known = { ...directory, isInDoubt: true, sessions };
    Object.assign(nodes.clusters[0]!, { directory: known });
    const all = [one.rooms.say('a', juliet, gone, romeo), one.rooms.say('b', juliet, romeo)];
    // nobody else waits
    expect([await hears(here), await hears(here)]).toEqual([`${romeo} a`, `${romeo} b`]);
    expect(one.rooms.heard).toEqual([]);
    isForgotten = false;
    expect([await hears(client), await hears(client)]).toEqual([`${juliet} a`, `${juliet} b`]);
    // and when all is known again, who is not found is not there
    known.isInDoubt = false;
    await Promise.all(all);
    await expect.poll(() => one.rooms.heard).toEqual([`message error service-unavailable ${gone} > ${speaker.full}`]);
  });

  test('a session is followed that was thought to be on a node that has died', async () => {
    const { nodes, one, two } = await twoNodes();
    const client = await enter(two.server, 'juliet');
    const { directory } = nodes.clusters[0]!;
    const [entry] = await directory.sessions(Jid.parse(juliet)!.bare);
    const dead = 'three' as NodeId;
    const { send } = nodes.clusters[0]!;
    nodes.clusters[0]!.send = (node, frame) =>
      node === dead ? Promise.reject(new Error('it is no more')) : send.call(nodes.clusters[0], node, frame);
    const late = { ...entry!, node: dead };
    const sessions = (user: BareJid, isFresh?: boolean) => (isFresh === true ? directory.sessions(user) : [late]);
    Object.assign(nodes.clusters[0]!, { directory: { ...directory, sessions } });
    await one.rooms.say('a', juliet);
    expect(await hears(client)).toBe(`${juliet} a`);
    expect(one.rooms.heard).toEqual([]);
  });

  test('where nobody can be asked for a reader, what is said under a lease waits, in order, and is not acknowledged', async () => {
    const { nodes, one, two } = await twoNodes();
    const client = await enter(two.server, 'juliet');
    const here = await enter(one.server, 'romeo');
    const { directory } = nodes.clusters[0]!;
    let isAway = true;
    const sessions = (user: BareJid) => (isAway ? Promise.reject(new Error('away')) : directory.sessions(user));
    Object.assign(nodes.clusters[0]!, { directory: { ...directory, sessions } });
    const readers = [juliet, romeo].map((text) => Jid.parse(text)!);
    const say = (text: string, lease: number) =>
      one.rooms.router.multicast(said(text), speaker, readers, one.rooms.host, lease);
    let isAcknowledged = false;
    const all = Promise.all([say('a', 4), say('b', 4)]).then(() => {
      isAcknowledged = true;
    });
    // nobody else waits
    expect([await hears(here), await hears(here)]).toEqual([`${romeo} a`, `${romeo} b`]);
    await new Promise((resolve) => setTimeout(resolve, 150));
    expect(isAcknowledged).toBe(false);
    isAway = false;
    await all;
    expect([await hears(client), await hears(client)]).toEqual([`${juliet} a`, `${juliet} b`]);
    expect(one.rooms.heard).toEqual([]);
  });

  test('where it is not known who is there nobody is taken for gone', async () => {
    const { nodes, one, two } = await twoNodes();
    await enter(two.server, 'juliet');
    const failing = { ...nodes.clusters[0]!.directory, sessions: () => Promise.reject(new Error('away')) };
    Object.assign(nodes.clusters[0]!, { directory: failing });
    await one.rooms.say('a', juliet);
    await turn();
    expect(one.rooms.heard).toEqual([`message error resource-constraint ${juliet} > ${speaker.full}`]);
  });
});

describe('to other servers', () => {
  test('each of their people gets one, and a server that is not there answers for all of its people', async () => {
    const names = new TestNames();
    const { server, rooms } = await start({}, { names });
    const mantua = await start({}, { names, at: 'mantua.test' });
    const here = await enter(server, 'romeo');
    const there = await enter(mantua.server, 'juliet', 'mantua.test');
    await rooms.say('a', romeo, 'juliet@mantua.test/here', 'paris@padua.test/here');
    expect(await hears(here)).toBe(`${romeo} a`);
    expect(await hears(there)).toBe('juliet@mantua.test/here a');
    await expect
      .poll(() => rooms.heard)
      .toEqual([`message error remote-server-not-found paris@padua.test/here > ${speaker.full}`]);
  });
});

describe('to thousands', () => {
  /** Readers who all are here, and note what they hear and when. */
  function crowd(count: number) {
    const readers = Array.from({ length: count }, (_, i) => Jid.parse(`user${i}@${domain}/here`)!);
    const heard: string[] = [];
    const sessions = new Map(
      readers.map((jid) => [
        jid.full,
        { jid, deliver: ({ el: { attrs } }: { readonly el: Element }) => heard.push(`${attrs.id} ${attrs.to}`) },
      ]),
    );
    const multicast = new Multicast({
      hosts: new Map(),
      sessions: sessions as unknown as Sessions,
      cluster: createSolo(),
      abroad() {},
      undelivered() {},
      refuse() {},
    });
    const from = speaker;
    const send = (text: string, to: readonly Jid[] = readers) => multicast.send(said(text), from, to, {} as Host);
    return { readers, heard, send };
  }

  test('the event loop goes on between, nobody hears two things in the wrong order, and changes of the list are not seen', async () => {
    const { readers, heard, send } = crowd(24_000);
    const all = [...readers];
    let turns = 0;
    const count = (): void => {
      if (++turns < 100) setImmediate(count);
    };
    setImmediate(count);
    const first = send('a', all);
    all.length = 0;
    const second = send('b', readers.slice(-1));
    expect(heard).toHaveLength(10_000);
    await Promise.all([first, second]);
    expect(turns).toBeGreaterThan(1);
    expect(heard).toEqual([...readers.map(({ full }) => `a ${full}`), `b ${readers.at(-1)!.full}`]);
    // and then nothing is left to wait for
    expect(send('c', readers.slice(0, 3))).toBeUndefined();
    expect(heard.slice(-3)).toEqual(readers.slice(0, 3).map(({ full }) => `c ${full}`));
  });
});
