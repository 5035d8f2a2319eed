import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Direction, isEligible } from '../../../src/modules/carbons.ts';
import { createMemoryDriver } from '../../../src/storage/memory.ts';
import { parseElement } from '../../../src/xml/document.ts';
import type { BareJid } from '../../../src/xmpp/jid.ts';
import { Jid } from '../../../src/xmpp/jid.ts';
import { messageOf } from '../../../src/xmpp/stanza.ts';
import type { StreamClient } from '../../kit/client.ts';
import { FakeClock, turn } from '../../kit/clock.ts';
import { createNodes, type Nodes } from '../../kit/cluster-pair.ts';
import { logIn } from '../../kit/login.ts';
import { TestServer } from '../../kit/test-server.ts';

const full = Jid.parse('romeo@example.net/orchard')!;
const bare = full.withResource('');
const isCopied = (xml: string, direction: Direction, from = full, to = full): boolean =>
  isEligible(messageOf(parseElement(xml), from, to), direction);

const receipt = "<request xmlns='urn:xmpp:receipts'/>";
const room = "<x xmlns='http://jabber.org/protocol/muc#user'/>";
const invitation = "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='a@b.example'/></x>";
const directInvitation = "<x xmlns='jabber:x:conference' jid='a@b.example'/>";
const privacy = "<private xmlns='urn:xmpp:carbons:2'/>";

describe('a message is copied, whether it is sent or received', () => {
  test.each([
    // XEP-0280 6.1: chat, whatever is in it
    "<message type='chat'><body>hi</body></message>",
    "<message type='chat'/>",
    // normal with a body; an unknown type is normal (RFC 6121 5.2.2)
    '<message><body>hi</body></message>',
    "<message type='normal'><body/></message>",
    "<message type='whisper'><body>hi</body></message>",
    // what is usual between people
    `<message>${receipt}</message>`,
    "<message><received xmlns='urn:xmpp:receipts' id='1'/></message>",
    "<message><gone xmlns='http://jabber.org/protocol/chatstates'/></message>",
    "<message><markable xmlns='urn:xmpp:chat-markers:0'/></message>",
    `<message type='headline'><body>news</body>${receipt}</message>`,
    // what takes the place of a body
    "<message><encryption xmlns='urn:xmpp:eme:0' namespace='urn:example'/></message>",
    "<message><encrypted xmlns='urn:xmpp:omemo:2'/></message>",
    "<message><encrypted xmlns='eu.siacs.conversations.axolotl'/></message>",
    // invitations
    `<message>${invitation}</message>`,
    `<message>${directInvitation}</message>`,
    // only what is private in this sense is private
    "<message type='chat'><private xmlns='urn:example'/></message>",
    "<message type='chat'><no-store xmlns='urn:xmpp:hints'/></message>",
    `<message type='chat'><wrapped xmlns='urn:example'>${privacy}</wrapped></message>`,
  ])('%s', (xml) => {
    expect(isCopied(xml, 'sent')).toBe(true);
    expect(isCopied(xml, 'received')).toBe(true);
  });
});

describe('a message is not copied, neither sent nor received', () => {
  test.each([
    '<message/>',
    '<message><subject>hi</subject></message>',
    "<message><body xmlns='urn:example'>hi</body></message>",
    "<message type='headline'><body>news</body></message>",
    "<message type='groupchat'><body>hi</body></message>",
    `<message type='groupchat'><body>hi</body>${receipt}</message>`,
    `<message type='groupchat'>${invitation}</message>`,
    // an error is judged by what it answers
    "<message type='error'><body>hi</body></message>",
    `<message type='chat'><body>hi</body>${privacy}</message>`,
    `<message>${invitation}${privacy}</message>`,
    // XEP-0334 4.3
    "<message type='chat'><body>hi</body><no-copy xmlns='urn:xmpp:hints'/></message>",
    // a registration form for a room, say
    "<message><x xmlns='jabber:x:data'/></message>",
  ])('%s', (xml) => {
    expect(isCopied(xml, 'sent')).toBe(false);
    expect(isCopied(xml, 'received')).toBe(false);
  });
});

// XEP-0280 6.1: an occupant has a full JID, the room a bare one
test.each([
  { xml: `<message type='chat'><body>hi</body>${room}</message>`, sent: true, received: false },
  { xml: `<message><body>hi</body>${room}</message>`, sent: true, received: false },
  { xml: `<message>${room}</message>`, sent: true, received: false },
  { xml: `<message>${room}${receipt}</message>`, sent: true, received: false },
  { xml: `<message>${room}${directInvitation}</message>`, sent: true, received: true },
  { xml: `<message type='groupchat'>${room}</message>`, sent: false, received: false },
  { xml: `<message>${room}${privacy}</message>`, sent: false, received: false },
])('a private message in a room, to or from an occupant: $xml', ({ xml, sent, received }) => {
  expect(isCopied(xml, 'sent')).toBe(sent);
  expect(isCopied(xml, 'received')).toBe(received);
});

test.each([
  [`<message>${room}</message>`, false],
  [`<message><body>hi</body>${room}</message>`, true],
])('to or from the room itself, %s is like any other', (xml, expected) => {
  expect(isCopied(xml, 'sent', full, bare)).toBe(expected);
  expect(isCopied(xml, 'received', bare, full)).toBe(expected);
});

describe('when a device leaves while something is on its way from another node', () => {
  const domain = 'verona.test';
  const romeo = `romeo@${domain}` as BareJid;
  let nodes: Nodes;
  let servers: TestServer[];
  let clients: StreamClient[];

  beforeEach(async () => {
    const clock = new FakeClock();
    nodes = createNodes();
    servers = [];
    clients = [];
    const driver = createMemoryDriver(clock);
    for (const cluster of nodes.clusters)
      servers.push(await TestServer.start({ hosts: { [domain]: {} } }, { clock, cluster, driver }));
    for (const user of ['romeo', 'juliet']) await servers[0]!.server.accounts.create(`${user}@${domain}`, 'secret');
  });
  afterEach(async () => {
    nodes.hold(false);
    for (const client of clients) await client.destroy();
    await settle();
    expect(servers.flatMap((server) => server.errors)).toEqual([]);
    for (const server of servers) await server.stop();
  });

  const settle = async (): Promise<void> => {
    for (let round = 0; round < 4; round++) {
      await turn();
      await nodes.idle();
    }
    for (const client of clients) if (!client.isClosed) await client.fence();
  };

  /** Logs in, asks for copies perhaps, and is online with that priority. */
  async function enter(node: 0 | 1, user: string, resource: string, priority: number, wants = false) {
    const { client } = await logIn(servers[node]!.c2s, { domain, user, password: 'secret', resource });
    clients.push(client);
    if (wants) client.write("<iq type='set' id='c'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
    client.write(`<presence><priority>${priority}</priority></presence>`);
    await settle();
    return client;
  }

  async function leave(client: StreamClient, resource: string): Promise<void> {
    await client.destroy();
    const isThere = async (): Promise<boolean> =>
      (await nodes.clusters[0]!.directory.sessions(romeo)).some((entry) => entry.jid.resource === resource);
    for (let rounds = 0; rounds < 200 && (await isThere()); rounds++) await turn();
    expect(await isThere()).toBe(false);
  }

  const messages = (client: StreamClient) =>
    client.inbox.flatMap((item) => (item.kind === 'element' && item.element.name === 'message' ? [item.element] : []));

  // 2: clients that do not know of copies must not get any
  test('its copy is given to nobody else', async () => {
    const juliet = await enter(0, 'juliet', 'balcony', 0);
    const orchard = await enter(0, 'romeo', 'orchard', 5);
    const garden = await enter(1, 'romeo', 'garden', 0, true);
    nodes.hold(true);
    juliet.write(`<message to='${romeo}' type='chat' id='m'><body>Romeo</body></message>`);
    await juliet.fence();
    await turn();
    await leave(garden, 'garden');
    nodes.hold(false);
    await settle();
    expect(messages(orchard).map(({ attrs }) => attrs.from)).toEqual([`juliet@${domain}/balcony`]);
    expect(messages(juliet)).toEqual([]);
  });

  test('the message goes to another device, and is not copied again', async () => {
    const juliet = await enter(0, 'juliet', 'balcony', 0);
    const garden = await enter(0, 'romeo', 'garden', 0);
    const wall = await enter(0, 'romeo', 'wall', -1, true);
    const orchard = await enter(1, 'romeo', 'orchard', 5);
    nodes.hold(true);
    juliet.write(`<message to='${romeo}' type='chat' id='m'><body>Romeo</body></message>`);
    await juliet.fence();
    await turn();
    await leave(orchard, 'orchard');
    nodes.hold(false);
    await settle();
    expect(messages(garden).map(({ attrs }) => attrs.id)).toEqual(['m']);
    expect(messages(wall)).toHaveLength(1);
  });
});
