// What XEP-0352 is for, measured: an hour of a busy account over TLS, with somebody looking at the phone and without.
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import { parseConfig } from '../../../../src/config/load.ts';
import { loadModules } from '../../../../src/index.ts';
import { Server } from '../../../../src/server.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { stanzaOf } from '../../../../src/xmpp/stanza.ts';
import type { Address } from '../../../kit/client.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';

const domain = 'verona.test';
const HOUR = 3_600_000;
/** How long a phone's radio stays awake after a packet, in milliseconds; about what mobile networks ask for. */
const AWAKE = 10_000;

interface Event {
  /** Milliseconds since the beginning of the hour. */
  readonly at: number;
  readonly from: string;
  readonly xml: string;
  readonly isImportant: boolean;
}

/** Numbers between 0 and 1, always the same ones. */
function dice(): () => number {
  let state = 42;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

const caps =
  "<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='https://conversations.im' ver='p2SZCjzV0xIc1PmRQ2lxNa4Yszk='/>";
const state = (name: string): string => `<${name} xmlns='http://jabber.org/protocol/chatstates'/>`;
const item = (node: string, id: string, payload: string): string =>
  `<event xmlns='http://jabber.org/protocol/pubsub#event'><items node='${node}'><item id='${id}'>${payload}</item></items></event>`;

/** 200 contacts, most of them on phones: they come and go, write, change their avatars and keys. And a few have something to say. */
function busyHour(): Event[] {
  const next = dice();
  const contact = (): string => `contact${Math.floor(next() * 200)}@capulet.test/Conversations.aB3x`;
  const events: Event[] = [];
  const add = (times: number, isImportant: boolean, make: (i: number) => readonly [from: string, ...xml: string[]]) => {
    for (let i = 0; i < times; i++) {
      const [from, ...stanzas] = make(i);
      const begin = next() * (HOUR - 60_000);
      for (const [nth, xml] of stanzas.entries()) events.push({ at: begin + nth * 5_000, from, xml, isImportant });
    }
  };
  add(800, false, (i) => [
    contact(),
    `<presence>${i % 3 === 0 ? '' : '<show>away</show>'}<status>Back at ${i % 24}</status>${caps}</presence>`,
  ]);
  add(200, false, () => [contact(), "<presence type='unavailable'/>"]);
  add(40, false, () => [
    contact(),
    ...['composing', 'paused', 'composing', 'active'].map((name) => `<message type='chat'>${state(name)}</message>`),
  ]);
  add(30, false, (i) => [
    contact().split('/')[0]!,
    `<message type='headline'>${item('http://jabber.org/protocol/tune', 'current', `<tune xmlns='http://jabber.org/protocol/tune'><artist>Prokofiev</artist><title>Op. 64, ${i}</title></tune>`)}</message>`,
  ]);
  add(30, false, (i) => [
    contact().split('/')[0]!,
    `<message type='headline'>${item('eu.siacs.conversations.axolotl.devicelist', 'current', `<list xmlns='eu.siacs.conversations.axolotl'><device id='${1000000 + i}'/><device id='31415'/></list>`)}</message>`,
  ]);
  add(20, false, (i) => [
    contact(),
    `<message type='chat' id='seen${i}'><displayed xmlns='urn:xmpp:chat-markers:0' id='m${i}'/></message>`,
  ]);
  add(6, true, (i) => [
    contact(),
    `<message type='chat' id='said${i}'><body>It is the east, and Juliet is the sun.</body>${state('active')}</message>`,
  ]);
  add(1, true, () => [contact(), "<message id='call'><propose xmlns='urn:xmpp:jingle-message:0' id='c'/></message>"]);
  add(1, true, () => ['nurse@capulet.test', "<presence type='subscribe' id='request'/>"]);
  return events.sort((a, b) => a.at - b.at);
}

interface Figures {
  /** Records of TLS with application data, and their bytes. */
  records: number;
  bytes: number;
}

/** Carries TLS between a client and a server, and counts what the server sends. */
async function openCounter(target: Address): Promise<{ address: Address; figures: Figures; close(): void }> {
  const figures: Figures = { records: 0, bytes: 0 };
  const sockets: Socket[] = [];
  const listener = createServer((client) => {
    const server = connect({ host: target.address, port: target.port, noDelay: true });
    sockets.push(client, server);
    for (const socket of [client, server]) socket.on('error', () => {});
    client.pipe(server);
    server.pipe(client);
    let waiting = Buffer.alloc(0);
    server.on('data', (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      while (waiting.length >= 5) {
        const size = 5 + waiting.readUInt16BE(3);
        if (waiting.length < size) break;
        // RFC 8446 5.1: 23 is application data
        if (waiting[0] === 23) figures.records++;
        figures.bytes += size;
        waiting = waiting.subarray(size);
      }
    });
  });
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const close = (): void => {
    listener.close();
    for (const socket of sockets) socket.destroy();
  };
  return { address: listener.address() as AddressInfo, figures, close };
}

interface Outcome extends Figures {
  /** How long the radio was awake. */
  readonly minutes: number;
  readonly stanzas: number;
  /** Ids of important stanzas that were written when they came. */
  readonly onTime: readonly string[];
  /** What the client knows of each contact's presence in the end. */
  readonly known: ReadonlyMap<string, string>;
}

async function live(events: readonly Event[], isInactive: boolean): Promise<Outcome> {
  const clock = new FakeClock();
  const config = parseConfig({
    database: 'memory',
    limits: { enabled: false, 'idle-timeout': '100d' },
    listen: { address: ['127.0.0.1'], c2s: null, 'c2s-tls': 0, s2s: null, http: null },
    hosts: { [domain]: {} },
  });
  await using server = await Server.start(config, { modules: await loadModules(config), clock, iterations: 1 });
  await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
  const counter = await openCounter(server.address('c2s-tls')!);
  const { client, jid } = await logIn(counter.address, { domain, user: 'romeo', password: 'secret', tls: 'direct' });
  const session = server.sessions.get(jid)!;
  const stream = session.stream!;
  let written: string[] = [];
  session.stream = {
    address: stream.address,
    transport: stream.transport,
    queuedBytes: 0,
    send(xml) {
      written.push(xml);
      stream.send(xml);
    },
    close: (error) => stream.close(error),
  };
  if (isInactive) client.write("<inactive xmlns='urn:xmpp:csi:0'/>");
  await client.fence();
  Object.assign(counter.figures, { records: 0, bytes: 0 });

  const known = new Map<string, string>();
  const onTime: string[] = [];
  let [awake, lastPacket, stanzas, now] = [0, Number.NEGATIVE_INFINITY, 0, 0];
  const look = (at: number): void => {
    if (written.length === 0) return;
    awake += Math.min(AWAKE, at - lastPacket);
    lastPacket = at;
    stanzas += written.length;
    for (const xml of written) {
      const { name, attrs } = parseElement(xml);
      if (name === 'presence' && attrs.id === undefined) known.set(attrs.from!, attrs.type ?? 'available');
    }
  };
  for (const { at, from, xml, isImportant } of events) {
    await clock.advance(at - now);
    now = at;
    written = [];
    const element = parseElement(xml).with({ from, to: session.jid.bare });
    session.deliver(stanzaOf(element, Jid.parse(from)!, session.jid.withResource('')));
    // out with it: what is written later is a packet of its own
    await turn();
    look(at);
    const { id } = element.attrs;
    if (isImportant && parseElement(written.at(-1) ?? '<none/>').attrs.id === id) onTime.push(id!);
  }
  // the hour is over: its owner looks at the phone
  written = [];
  client.write("<active xmlns='urn:xmpp:csi:0'/>");
  await client.fence();
  written = written.filter((xml) => !xml.startsWith('<iq'));
  look(HOUR);
  await client.destroy();
  counter.close();
  return { ...counter.figures, minutes: Math.round(awake / 6_000) / 10, stanzas, onTime, known };
}

test('an hour of a busy account costs a phone nobody looks at a fraction, and nothing important is late', async () => {
  const events = busyHour();
  const active = await live(events, false);
  const inactive = await live(events, true);
  const { known, onTime, ...figures } = active;
  if (process.env.PARLEY_TEST_FIGURES !== undefined) {
    const { known: _known, onTime: _onTime, ...quiet } = inactive;
    console.log({ active: figures, inactive: quiet });
  }

  expect(active.stanzas).toBe(events.length);
  expect(active.records).toBeGreaterThanOrEqual(events.length);
  const important = events.filter((event) => event.isImportant).map(({ xml }) => parseElement(xml).attrs.id);
  expect(important).toHaveLength(8);
  expect(active.onTime).toEqual(important);
  expect(inactive.onTime).toEqual(important);
  expect(inactive.known).toEqual(known);

  // once for each that is important, and once to look
  expect(inactive.minutes).toBeLessThanOrEqual(((important.length + 1) * AWAKE) / 60_000);
  expect(active.minutes).toBeGreaterThan(30 * inactive.minutes);
  expect(active.records).toBeGreaterThan(50 * inactive.records);
  expect(inactive.stanzas).toBeLessThan(active.stanzas * 0.65);
  expect(inactive.bytes).toBeLessThan(active.bytes * 0.7);
});
