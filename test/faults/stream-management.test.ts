// Connections that break while much is under way: nothing is lost, nothing comes twice (XEP-0198).
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StreamClient } from '../kit/client.ts';
import { authenticate, logIn, openStream } from '../kit/login.ts';
import { TestServer } from '../kit/test-server.ts';
import { ending } from './kit.ts';

const domain = 'verona.test';
const SM = 'urn:xmpp:sm:3';

let server: TestServer;
let clients: StreamClient[] = [];

beforeEach(async () => {
  // so little is sent ahead that a reader who does not read is soon too slow
  server = await TestServer.start({ hosts: { [domain]: {} }, limits: { 'send-queue-bytes': '500kB' } });
  for (const user of ['romeo', 'juliet']) await server.server.accounts.create(`${user}@${domain}`, 'secret');
});

afterEach(async () => {
  for (const client of clients) await client.destroy();
  clients = [];
  expect(server.errors).toEqual([]);
  await server.stop();
});

async function enter(user: string, resource: string): Promise<StreamClient> {
  const { client } = await logIn(server.c2s, { domain, user, password: 'secret', resource });
  clients.push(client);
  return client;
}

async function comeBack(user: string): Promise<StreamClient> {
  const client = await StreamClient.connect(server.c2s);
  clients.push(client);
  await openStream(client, domain);
  await authenticate(client, { user, password: 'secret' });
  await openStream(client, domain);
  return client;
}

/** A client that keeps the rules of XEP-0198, over as many connections as it takes. */
class Phone {
  client!: StreamClient;
  readonly heard: string[] = [];
  private id = '';
  /** Stanzas that came. */
  private h = 0;
  /** What was sent and is not known to be handled, and how many are. */
  private unacked: string[] = [];
  private acked = 0;
  private readonly user: string;

  constructor(user: string) {
    this.user = user;
  }

  async start(): Promise<void> {
    this.client = await enter(this.user, 'phone');
    this.client.write(`<enable xmlns='${SM}' resume='true'/>`);
    const enabled = await this.client.next();
    this.id = String(enabled?.kind === 'element' && enabled.element.attrs.id);
  }

  /** How much it has sent since it began, handled or not. */
  get sent(): number {
    return this.acked + this.unacked.length;
  }

  /** Asks how much is handled, which is said when all before it is. */
  async count(): Promise<number> {
    this.client.write(`<r xmlns='${SM}'/>`);
    await this.client.fence();
    this.read();
    return this.acked;
  }

  send(xml: string): void {
    this.unacked.push(xml);
    this.client.writeQuietly(xml);
  }

  /** Sends some bytes of the next stanza, and is gone. */
  async breakOff(xml: string, at: number, how: 'destroy' | 'reset'): Promise<void> {
    this.unacked.push(xml);
    this.client.writeQuietly(xml.slice(0, at));
    // what was written is to be on its way, or not: both are worth trying
    if (at % 2 === 0) await new Promise((resolve) => setImmediate(resolve));
    await this.client[how]();
    this.read();
  }

  async resume(): Promise<void> {
    this.client = await comeBack(this.user);
    this.client.write(`<resume xmlns='${SM}' previd='${this.id}' h='${this.h}'/>`);
    const resumed = await this.client.next();
    if (resumed?.kind !== 'element' || resumed.element.name !== 'resumed') throw new Error('the session is gone');
    this.takeAck(Number(resumed.element.attrs.h));
    for (const xml of this.unacked) this.client.writeQuietly(xml);
  }

  /** Takes what has come. */
  read(): void {
    for (const item of this.client.inbox.splice(0)) {
      if (item.kind !== 'element') continue;
      const { name, attrs } = item.element;
      if (name === 'a') this.takeAck(Number(attrs.h));
      if (name !== 'message' && name !== 'iq' && name !== 'presence') continue;
      this.h++;
      if (name === 'message') this.heard.push(String(attrs.id));
    }
  }

  private takeAck(h: number): void {
    if (h > this.sent) throw new Error(`${h} are said to be handled, more than were sent`);
    this.unacked = this.unacked.slice(h - this.acked);
    this.acked = h;
  }
}

const message = (to: string, id: number): string =>
  `<message to='${to}@${domain}/phone' type='chat' id='${id}'><body>${'x'.repeat(id % 50)}</body></message>`;

const numbers = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

describe('connections that break anywhere', () => {
  test.each(['destroy', 'reset'] as const)('both sides have everything once and in order: %s', async (how) => {
    const [romeo, juliet] = [new Phone('romeo'), new Phone('juliet')];
    await Promise.all([romeo.start(), juliet.start()]);
    let sent = 0;
    for (let round = 0; round < 60; round++) {
      for (let i = 0; i < round % 4; i++, sent++) {
        romeo.send(message('juliet', sent));
        juliet.send(message('romeo', sent));
      }
      // one of them, or both, break off in the middle of a stanza, each time a few bytes further
      const next = sent++;
      const [his, hers] = [message('juliet', next), message('romeo', next)];
      const at = (round * 7) % (his.length + 1);
      if (round % 3 === 2) juliet.send(hers);
      else await juliet.breakOff(hers, at, how);
      if (round % 3 === 1) romeo.send(his);
      else await romeo.breakOff(his, his.length - at, how);
      if (round % 3 !== 2) await juliet.resume();
      if (round % 3 !== 1) await romeo.resume();
      romeo.read();
      juliet.read();
    }
    for (const phone of [romeo, juliet, romeo, juliet]) {
      await phone.client.fence();
      phone.read();
    }
    expect(romeo.heard).toEqual(numbers(sent));
    expect(juliet.heard).toEqual(numbers(sent));
  });

  test('what is said in a room, by others and by oneself, is counted as it was sent', async () => {
    const room = `hall@groups.${domain}`;
    const [romeo, juliet] = [new Phone('romeo'), new Phone('juliet')];
    await Promise.all([romeo.start(), juliet.start()]);
    const enterAs = (nick: string): string =>
      `<presence to='${room}/${nick}'><x xmlns='http://jabber.org/protocol/muc'/></presence>`;
    romeo.send(enterAs('romeo'));
    const asItIs =
      "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
    romeo.send(`<iq type='set' to='${room}' id='c'>${asItIs}</iq>`);
    expect(await romeo.count()).toBe(2);
    juliet.send(enterAs('juliet'));
    expect(await juliet.count()).toBe(1);
    const said = (id: string): string => `<message to='${room}' type='groupchat' id='${id}'><body>x</body></message>`;
    const own: string[] = [];
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < round % 5; i++) {
        own.push(`r${round}.${i}`);
        romeo.send(said(`r${round}.${i}`));
        juliet.send(said(`j${round}.${i}`));
      }
      own.push(`r${round}`);
      const next = said(`r${round}`);
      await romeo.breakOff(next, (round * 11) % (next.length + 1), round % 2 === 0 ? 'destroy' : 'reset');
      juliet.send(said(`j${round}`));
      await romeo.resume();
    }
    expect(await romeo.count()).toBe(romeo.sent);
    expect(await juliet.count()).toBe(juliet.sent);
    expect(romeo.heard.filter((id) => id.startsWith('r'))).toEqual(own);
    expect(romeo.heard.filter((id) => id.startsWith('j'))).toEqual(own.map((id) => id.replace('r', 'j')));
  });
});

test('of many that resume a session at once one is left, and it has everything once', async () => {
  const romeo = await enter('romeo', 'phone');
  const juliet = await enter('juliet', 'balcony');
  romeo.write(`<enable xmlns='${SM}' resume='true'/>`);
  const enabled = await romeo.next();
  const id = String(enabled?.kind === 'element' && enabled.element.attrs.id);
  for (let i = 0; i < 20; i++) juliet.write(message('romeo', i));
  await juliet.fence();
  const rivals = await Promise.all(Array.from({ length: 12 }, () => comeBack('romeo')));
  for (const rival of rivals) rival.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  await expect.poll(() => rivals.filter((rival) => rival.isClosed).length).toBe(11);
  expect(await romeo.closed()).toBe(true);
  const left = rivals.find((rival) => !rival.isClosed)!;
  await left.fence();
  for (let i = 20; i < 25; i++) juliet.write(message('romeo', i));
  await juliet.fence();
  await left.fence();
  const ids = left.inbox.flatMap((item) =>
    item.kind === 'element' && item.element.name === 'message' ? [item.element.attrs.id] : [],
  );
  expect(ids).toEqual(numbers(25));
  const ends = await Promise.all(rivals.filter((rival) => rival !== left).map((rival) => ending(rival)));
  expect(new Set(ends)).toEqual(new Set(['conflict']));
});

test('a flood of requests for acknowledgement is answered, each of them', async () => {
  const romeo = await enter('romeo', 'phone');
  romeo.write(`<enable xmlns='${SM}'/>`);
  await romeo.next();
  romeo.writeQuietly(`<presence/><r xmlns='${SM}'/>`.repeat(2_000));
  let [answers, last] = [0, 0];
  while (answers < 2_000) {
    const item = await romeo.next();
    if (item?.kind !== 'element') throw new Error(`only ${answers} answers came`);
    if (item.element.name !== 'a') continue;
    expect(Number(item.element.attrs.h)).toBeGreaterThanOrEqual(last);
    last = Number(item.element.attrs.h);
    answers++;
  }
  expect(last).toBe(2_000);
});

test('who does not read is cut off, and can come back for what it missed', async () => {
  const romeo = await enter('romeo', 'phone');
  const juliet = await enter('juliet', 'balcony');
  romeo.write(`<enable xmlns='${SM}' resume='true'/>`);
  const enabled = await romeo.next();
  const id = String(enabled?.kind === 'element' && enabled.element.attrs.id);
  romeo.pause();
  const body = 'x'.repeat(100_000);
  let sent = 0;
  const isCut = (): boolean => server.log.some((line) => line.message === 'a reader was too slow');
  // what the operating systems hold is not known
  while (!isCut() && sent < 70) {
    juliet.writeQuietly(
      `<message to='romeo@${domain}/phone' type='chat' id='${sent++}'><body>${body}</body></message>`,
    );
    await juliet.fence();
  }
  expect(isCut()).toBe(true);
  await romeo.destroy();
  const again = await comeBack('romeo');
  again.write(`<resume xmlns='${SM}' previd='${id}' h='0'/>`);
  const ids: unknown[] = [];
  while (ids.length < sent) {
    const item = await again.next();
    if (item?.kind !== 'element') throw new Error(`only ${ids.length} of ${sent} messages came`);
    if (item.element.name === 'message') ids.push(item.element.attrs.id);
    // what it missed comes as fast as it takes it
    if (item.element.name === 'r') again.write(`<a xmlns='${SM}' h='${ids.length}'/>`);
  }
  expect(ids).toEqual(numbers(sent));
});
