// A domain that several nodes serve, and another server: whichever node a stream comes to or goes from, everybody is reached.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import { createNodes, type Nodes } from '../kit/cluster-pair.ts';
import { enter, TestFederation } from '../kit/federation.ts';
import { logIn } from '../kit/login.ts';
import { told } from '../kit/server-peer.ts';
import type { TestServer } from '../kit/test-server.ts';

let world: TestFederation;
let nodes: Nodes;
/** The nodes of verona.test. Others find the second one. */
let verona: readonly TestServer[];
let mantua: TestServer;

beforeEach(async () => {
  world = new TestFederation();
  nodes = createNodes();
  const driver = createMemoryDriver();
  const [one, two] = nodes.clusters;
  verona = [
    await world.add('verona.test', { s2s: { bidi: false } }, { cluster: one!, driver }),
    await world.add('verona.test', { s2s: { bidi: false } }, { cluster: two!, driver }),
  ];
  mantua = await world.add('mantua.test', { s2s: { bidi: false } });
});
afterEach(() => world.stop());

type Person = Awaited<ReturnType<typeof enter>>;

/** A second device, on any node. */
const device = (server: TestServer, user: string, resource: string): Promise<Person> =>
  logIn(server.c2s, { domain: 'verona.test', user, password: 'secret', resource });

const hears = async (person: Person, pattern: RegExp): Promise<string> => {
  for (;;) {
    const text = told(await person.client.next(5_000));
    if (pattern.test(text)) return text;
  }
};
const write = (from: Person, to: string, body: string): void =>
  from.client.write(`<message type='chat' to='${to}'><body>${body}</body></message>`);

const streamsOf = (server: TestServer): readonly string[] =>
  server.server.federation().map(({ direction, proof, state }) => `${direction} ${proof} ${state}`);

const friends = async (romeo: Person, juliet: Person): Promise<void> => {
  for (const person of [romeo, juliet]) person.client.write('<presence/>');
  romeo.client.write("<presence type='subscribe' to='juliet@mantua.test'/>");
  await hears(juliet, /type="subscribe"/);
  juliet.client.write("<presence type='subscribed' to='romeo@verona.test'/>");
  juliet.client.write("<presence type='subscribe' to='romeo@verona.test'/>");
  await hears(romeo, /type="subscribe"/);
  romeo.client.write("<presence type='subscribed' to='juliet@mantua.test'/>");
  await hears(juliet, /from="romeo@verona.test\/here"(?!.*type=)/);
};

describe('streams that end at another node', () => {
  test('a key that one node made is verified by another, and what arrives there reaches people on the first', async () => {
    const romeo = await enter(verona[0]!, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    write(romeo, juliet.jid, 'Wherefore?');
    await hears(juliet, /Wherefore/);
    // mantua.test asked the second node about the key, which had nothing to do with the stream
    expect(streamsOf(verona[0]!)).toEqual(['out dialback open']);
    write(juliet, romeo.jid, 'Deny thy father');
    await hears(romeo, /Deny thy father/);
    expect(streamsOf(verona[0]!)).toEqual(['out dialback open']);
    expect(streamsOf(verona[1]!)).toContain('in dialback open');
  });

  test('each node has an outgoing stream of its own, and all are one domain to the other side', async () => {
    const romeo = await enter(verona[0]!, 'romeo@verona.test');
    const nurse = await enter(verona[1]!, 'nurse@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    write(romeo, juliet.jid, 'from the first');
    await hears(juliet, /from the first/);
    write(nurse, juliet.jid, 'from the second');
    await hears(juliet, /from the second/);
    expect(streamsOf(mantua).filter((stream) => stream.startsWith('in'))).toHaveLength(2);
  });

  test('what is written to one address keeps its order, both ways', async () => {
    const romeo = await enter(verona[0]!, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    const numbers = Array.from({ length: 300 }, (_, i) => i);
    const hear = async (person: Person): Promise<readonly number[]> => {
      const heard: number[] = [];
      while (heard.length < numbers.length) {
        const found = /<body>(\d+)</.exec(told(await person.client.next(5_000)));
        if (found !== null) heard.push(Number(found[1]));
      }
      return heard;
    };
    for (const i of numbers) {
      write(romeo, juliet.jid, String(i));
      write(juliet, romeo.jid, String(i));
    }
    expect(await Promise.all([hear(romeo), hear(juliet)])).toEqual([numbers, numbers]);
  });

  test('requests and their replies find their way, and all devices of an account hear what is for all', async () => {
    const romeo = await enter(verona[0]!, 'romeo@verona.test');
    const phone = await device(verona[1]!, 'romeo', 'phone');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    juliet.client.write(`<iq type='get' id='q' to='${romeo.jid}'><ping xmlns='urn:xmpp:ping'/></iq>`);
    await hears(romeo, /urn:xmpp:ping/);
    romeo.client.write(`<iq type='result' id='q' to='${juliet.jid}'/>`);
    await hears(juliet, /<iq[^>]*id="q"[^>]*type="result"|<iq[^>]*type="result"[^>]*id="q"/);
    for (const person of [romeo, phone]) person.client.write('<presence/>');
    await nodes.idle();
    write(juliet, 'romeo@verona.test', 'to all of thee');
    await Promise.all([hears(romeo, /to all of thee/), hears(phone, /to all of thee/)]);
    juliet.client.write("<iq type='get' id='none' to='romeo@verona.test/nowhere'><ping xmlns='urn:xmpp:ping'/></iq>");
    await hears(juliet, /service-unavailable/);
  });

  test('contacts at other servers see people whose node has died go offline', async () => {
    const romeo = await enter(verona[0]!, 'romeo@verona.test');
    const juliet = await enter(mantua, 'juliet@mantua.test');
    await friends(romeo, juliet);
    nodes.kill(nodes.clusters[0]!.self);
    await hears(
      juliet,
      /from="romeo@verona.test\/here".*type="unavailable"|type="unavailable".*from="romeo@verona.test\/here"/,
    );
    // and those who come back are seen, through the node that is left
    const again = await device(verona[1]!, 'romeo', 'again');
    again.client.write('<presence/>');
    await hears(juliet, /from="romeo@verona.test\/again"/);
    await hears(again, /from="juliet@mantua.test\/here"/);
  });
});
