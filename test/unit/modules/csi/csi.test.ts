import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { parseConfig } from '../../../../src/config/load.ts';
import type { ConfigInput } from '../../../../src/config/server.ts';
import { bind2Features, bind2Inline } from '../../../../src/core/events.ts';
import type { Session } from '../../../../src/core/sessions.ts';
import { loadModules } from '../../../../src/index.ts';
import { Server } from '../../../../src/server.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { stanzaOf } from '../../../../src/xmpp/stanza.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';

const domain = 'verona.test';
const juliet = Jid.parse('juliet@capulet.test/balcony')!;

let clock: FakeClock;
let server: Server;
let phone: StreamClient;
let session: Session;
/** What was written to the phone since it was last looked at. */
let written: string[];

const settings = (csi: Record<string, unknown> | false): ConfigInput => ({
  database: 'memory',
  tls: { required: false },
  limits: { enabled: false, 'idle-timeout': '100d' },
  listen: { address: ['127.0.0.1'], c2s: 0, 'c2s-tls': null, s2s: null, http: null },
  hosts: { [domain]: { modules: { csi, mam: false } } },
});

beforeEach(async () => {
  clock = new FakeClock();
  const config = parseConfig(settings({}));
  server = await Server.start(config, { modules: await loadModules(config), clock, iterations: 1 });
  await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
  const { client, jid } = await logIn(server.address('c2s')!, { domain, user: 'romeo', password: 'secret' });
  phone = client;
  session = server.sessions.get(jid)!;
  const stream = session.stream!;
  written = [];
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
});

afterEach(async () => {
  await phone.destroy();
  await server.stop();
});

const deliver = (xml: string, from = juliet): void => session.deliver(stanzaOf(parseElement(xml), from, session.jid));
const presence = (id: string): void => deliver(`<presence id='${id}'/>`);
const receipt = (id: string): void =>
  deliver(`<message id='${id}'><received xmlns='${NS.receipts}' id='a'/></message>`);
const message = (id: string): void => deliver(`<message id='${id}'><body>hi</body></message>`);

/** The phone tells its state; what is written in answer to the ping that proves it is left out. */
async function become(state: 'active' | 'inactive'): Promise<void> {
  phone.write(`<${state} xmlns='${NS.csi}'/>`);
  await phone.fence();
  written = written.filter((xml) => !xml.startsWith('<iq'));
}

/** What was written, by id, with the time that it says it is from. */
function taken(): (readonly [string | undefined, string | undefined])[] {
  return written.splice(0).map((xml) => {
    const element = parseElement(xml);
    return [element.attrs.id, element.getChild('delay', NS.delay)?.attrs.stamp] as const;
  });
}
const ids = (): (string | undefined)[] => taken().map(([id]) => id);

const reload = async (csi: Record<string, unknown> | false): Promise<void> => server.reload(parseConfig(settings(csi)));

test('nothing is written while it can wait, and then all of it in order', async () => {
  await become('inactive');
  presence('a');
  receipt('b');
  presence('c');
  receipt('d');
  expect(ids()).toEqual([]);
  await become('active');
  expect(ids()).toEqual(['b', 'c', 'd']);
  presence('e');
  expect(ids()).toEqual(['e']);
});

// XEP-0203 2
test('what waited says when it came, unless it says already when it was sent', async () => {
  await become('inactive');
  presence('replaced');
  await clock.advance(60_000);
  deliver(`<presence id='sent earlier'><delay xmlns='${NS.delay}' stamp='2020-01-01T00:00:00Z'/></presence>`);
  receipt('long ago');
  deliver("<presence id='gone' type='unavailable'/>", Jid.parse('nurse@capulet.test/hall')!);
  // what somebody is now needs no date
  deliver("<presence id='current'/>", Jid.parse('tybalt@capulet.test/street')!);
  await clock.advance(60_000);
  receipt('just now');
  message('now');
  expect(taken()).toEqual([
    ['sent earlier', '2020-01-01T00:00:00Z'],
    ['long ago', '2026-01-15T12:01:00.000Z'],
    ['gone', '2026-01-15T12:01:00.000Z'],
    ['current', undefined],
    ['just now', undefined],
    ['now', undefined],
  ]);
});

test('whatever comes, it is written once and in order, but for what a later one made obsolete', () => {
  const kinds = {
    message: { xml: (id: string) => `<message id='${id}'><body>hi</body></message>`, canWait: false, isLatest: false },
    receipt: {
      xml: (id: string) => `<message id='${id}'><received xmlns='${NS.receipts}' id='a'/></message>`,
      canWait: true,
      isLatest: false,
    },
    presence: { xml: (id: string) => `<presence id='${id}'/>`, canWait: true, isLatest: true },
    marker: {
      xml: (id: string) => `<message id='${id}'><displayed xmlns='${NS.chatMarkers}' id='a'/></message>`,
      canWait: true,
      isLatest: true,
    },
  };
  const senders = ['juliet@capulet.test/balcony', 'juliet@capulet.test/garden', 'nurse@capulet.test/hall'];
  const change = fc.constantFrom('active' as const, 'inactive' as const);
  const stanza = fc.record({
    kind: fc.constantFrom(...(Object.keys(kinds) as (keyof typeof kinds)[])),
    sender: fc.constantFrom(...senders),
  });
  const tell = (state: 'active' | 'inactive'): void =>
    void session.host.nonzas.find(NS.csi, state)!({ session, element: el(state, NS.csi) });
  const property = fc.property(
    fc.array(fc.oneof({ weight: 5, arbitrary: stanza }, change), { maxLength: 40 }),
    (script) => {
      written = [];
      const expected: string[] = [];
      let waiting: { readonly id: string; readonly key: string | undefined }[] = [];
      const flush = (): void => {
        expected.push(...waiting.map(({ id }) => id));
        waiting = [];
      };
      let isInactive = false;
      for (const [i, event] of [...script, 'active' as const].entries()) {
        if (typeof event === 'string') {
          isInactive = event === 'inactive';
          tell(event);
        } else {
          const { xml, canWait, isLatest } = kinds[event.kind];
          deliver(xml(`s${i}`), Jid.parse(event.sender)!);
          const key = isLatest ? `${event.kind} ${event.sender}` : undefined;
          if (key !== undefined) waiting = waiting.filter((one) => one.key !== key);
          waiting.push({ id: `s${i}`, key });
          if (!isInactive || !canWait) flush();
        }
        if (!isInactive) flush();
        expect(written.map((one) => parseElement(one).attrs.id)).toEqual(expected);
      }
    },
  );
  fc.assert(property, { numRuns: 200 });
});

test('a client that is inactive already stays so, with what waits for it', async () => {
  await become('inactive');
  receipt('a');
  session.host.nonzas.find(NS.csi, 'inactive')!({ session, element: el('inactive', NS.csi) });
  receipt('b');
  expect(ids()).toEqual([]);
  session.host.nonzas.find(NS.csi, 'active')!({ session, element: el('active', NS.csi) });
  expect(ids()).toEqual(['a', 'b']);
});

test('more stanzas than may wait are all written, and it goes on', async () => {
  await reload({ 'max-stanzas': 2 });
  await become('inactive');
  receipt('a');
  receipt('b');
  expect(ids()).toEqual([]);
  receipt('c');
  expect(ids()).toEqual(['a', 'b', 'c']);
  receipt('d');
  expect(ids()).toEqual([]);
});

test('more bytes than may wait are all written', async () => {
  await reload({ 'max-bytes': 1024 });
  await become('inactive');
  const long = (id: string): void => deliver(`<presence id='${id}'><status>${'x'.repeat(500)}</status></presence>`);
  // the latest only counts once
  for (const id of ['a', 'b', 'c']) long(id);
  expect(ids()).toEqual([]);
  deliver(`<presence id='d'><status>${'x'.repeat(500)}</status></presence>`, Jid.parse('nurse@capulet.test/hall')!);
  expect(ids()).toEqual(['c', 'd']);
  deliver(`<presence id='e'><status>${'x'.repeat(5000)}</status></presence>`);
  expect(ids()).toEqual(['e']);
});

test('more than may wait for all clients is written to whom most waits for', async () => {
  await reload({ 'total-bytes': 1024 });
  await become('inactive');
  const long = (size: number, from: string): void =>
    deliver(
      `<presence id='${from}'><status>${'x'.repeat(size)}</status></presence>`,
      Jid.parse(`${from}@capulet.test/hall`)!,
    );
  long(400, 'nurse');
  long(300, 'tybalt');
  expect(ids()).toEqual([]);
  long(300, 'paris');
  expect(ids()).toEqual(['nurse', 'tybalt', 'paris']);
  // what was written counts no more
  long(700, 'nurse');
  expect(ids()).toEqual([]);
});

test('new settings write what waits, and hold for whoever is inactive already', async () => {
  await become('inactive');
  presence('a');
  await reload({ hold: ['receipts'] });
  expect(ids()).toEqual(['a']);
  presence('b');
  expect(ids()).toEqual(['b']);
  receipt('c');
  expect(ids()).toEqual([]);
  await become('active');
  expect(ids()).toEqual(['c']);
});

test('switched off, nothing waits any more', async () => {
  await become('inactive');
  presence('a');
  await reload(false);
  expect(ids()).toEqual(['a']);
  presence('b');
  expect(ids()).toEqual(['b']);
});

// XEP-0386 3, 4.2
test('it is offered inside of Bind 2, where the state can be told at once', async () => {
  const namespaces: string[] = [];
  await session.host.collect(bind2Features, { stream: session.stream as never, namespaces });
  expect(namespaces).toContain(NS.csi);
  const begin = async (...states: string[]): Promise<void> => {
    const request = el('bind', 'urn:example:bind', undefined, ...states.map((state) => el(state, NS.csi)));
    const bound: Element[] = [];
    await session.host.collect(bind2Inline, { session, request, bound });
    expect(bound).toEqual([]);
  };
  await begin();
  presence('none');
  await begin('active');
  presence('active');
  expect(ids()).toEqual(['none', 'active']);
  await begin('inactive');
  presence('inactive');
  expect(ids()).toEqual([]);
});

// XEP-0045 7.2, 7.6, 7.14
test('what a client is called in a room is what it said last', async () => {
  const send = async (to: string, inside = '', type = ''): Promise<void> => {
    phone.write(`<presence to='${to}'${type}>${inside}</presence>`);
    await become('inactive');
    written = [];
  };
  const isWritten = (nick: string): boolean => {
    const from = Jid.parse(`ball@rooms.test/${nick}`)!;
    deliver(`<presence><x xmlns='${NS.mucUser}'/></presence>`, from);
    return written.splice(0).some((xml) => xml.startsWith('<presence'));
  };
  await send('ball@rooms.test/goat');
  expect(isWritten('goat')).toBe(false);
  await send('ball@rooms.test/goat', `<x xmlns='${NS.muc}'/>`);
  expect(isWritten('goat')).toBe(true);
  expect(isWritten('tybalt')).toBe(false);
  await send('ball@rooms.test/sheep');
  expect(isWritten('goat')).toBe(false);
  expect(isWritten('sheep')).toBe(true);
  await send('ball@rooms.test/sheep', '', " type='unavailable'");
  expect(isWritten('sheep')).toBe(false);
});

test('a client in very many rooms is known by its name in some of them', async () => {
  for (let i = 0; i < 510; i++) phone.write(`<presence to='r${i}@rooms.test/goat'><x xmlns='${NS.muc}'/></presence>`);
  await become('inactive');
  written = [];
  for (let i = 0; i < 510; i++) {
    deliver(`<presence><x xmlns='${NS.mucUser}'/></presence>`, Jid.parse(`r${i}@rooms.test/goat`)!);
  }
  expect(written).toHaveLength(500);
});

describe('what waits for a client that just leaves', () => {
  const enter = async (user: string, resource: string): Promise<StreamClient> => {
    const { client } = await logIn(server.address('c2s')!, { domain, user, password: 'secret', resource });
    client.write('<presence/>');
    await client.fence();
    return client;
  };
  const messages = (client: StreamClient): (string | undefined)[] =>
    client.inbox.flatMap((item) =>
      item.kind === 'element' && item.element.name === 'message' ? [item.element.attrs.id as string | undefined] : [],
    );
  const toAll = `<message to='romeo@${domain}' type='chat' id='seen'><received xmlns='${NS.receipts}' id='a'/></message>`;
  let sender: StreamClient;
  beforeEach(async () => {
    await server.hosts.get(domain)!.accounts.create('juliet', 'secret');
    sender = await enter('juliet', 'balcony');
    phone.write('<presence/>');
    await become('inactive');
  });
  afterEach(() => sender.destroy());

  async function leave(): Promise<void> {
    await phone.destroy();
    await vi.waitFor(() => expect(server.sessions.get(session.jid.full)).toBeUndefined());
    await sender.fence();
  }

  // XEP-0198 4, XEP-0160 3
  test('is kept for the account', async () => {
    sender.write(toAll);
    sender.write(`<message to='romeo@${domain}' type='chat'><composing xmlns='${NS.chatStates}'/></message>`);
    await sender.fence();
    expect(written.filter((xml) => xml.startsWith('<message'))).toEqual([]);
    await leave();
    const desk = await enter('romeo', 'desk');
    await vi.waitFor(() => expect(messages(desk)).toEqual(['seen']));
    await desk.destroy();
  });

  test('is not told again where it was told', async () => {
    const desk = await enter('romeo', 'desk');
    sender.write(toAll);
    await sender.fence();
    await leave();
    await desk.fence();
    expect(messages(desk)).toEqual(['seen']);
    await desk.destroy();
    const wall = await enter('romeo', 'wall');
    await wall.fence();
    expect(messages(wall)).toEqual([]);
    await wall.destroy();
  });
});

test('figures say how much it saves', async () => {
  await become('inactive');
  presence('a');
  presence('b');
  receipt('c');
  message('d');
  const metrics = await server.metrics.text();
  const value = (name: string): number =>
    Number(new RegExp(`^parley_csi_${name}_total{host="${domain}"} (\\d+)$`, 'm').exec(metrics)?.[1]);
  expect(value('held')).toBe(3);
  expect(value('superseded')).toBe(1);
  expect(value('flushes')).toBe(1);
});
