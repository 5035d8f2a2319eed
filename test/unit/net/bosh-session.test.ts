// The rules of BOSH for requests and responses (XEP-0124 7 to 15, 17), with a stream behind it that only writes down what it is told.
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Bosh } from '../../../src/net/bosh.ts';
import { Flusher, type Transport } from '../../../src/net/transport.ts';
import { type BodyAttrs, BoshClient, bodyXml, type Exchange, exchange, wrapperOf } from '../../kit/bosh-client.ts';
import { FakeClock, turn } from '../../kit/clock.ts';

const domain = 'verona.test';
const features = '<stream:features/>';
const message = (id: number): string => `<message xmlns='jabber:client' id='${id}'/>`;

interface Peer {
  readonly transport: Transport;
  /** Everything that the stream was told: bodies, as text, and how it ended. */
  readonly told: string[];
  /** Whether a body is handled at once; otherwise it is when `transport.handled` is called. */
  isPrompt: boolean;
  bytes: number;
  overflows: number;
}

/** Turns until it is so: the requests of tests take their time on the way. */
async function until(isSo: () => boolean): Promise<void> {
  const end = Date.now() + 3_000;
  while (!isSo()) {
    if (Date.now() > end) throw new Error('it did not become so');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

interface WireWishes {
  readonly isPrompt?: boolean;
  /** Whether the stream writes its features at once. */
  readonly greets?: boolean;
}

class Wire {
  readonly clock = new FakeClock();
  readonly peers: Peer[] = [];
  readonly bosh: Bosh;
  /** Requests that have come in whole. */
  arrived = 0;
  private readonly server: Server;

  private constructor(wishes: WireWishes) {
    this.bosh = new Bosh({
      accept: (transport) => this.accept(transport, wishes),
      domainOf: (to) => (to === domain ? to : undefined),
      mayEnter: () => true,
      secureUri: () => undefined,
      networkOf: (address) => address,
      limits: () => ({
        stanzaBytesBeforeAuth: 10_000,
        stanzaBytes: 100_000,
        queuedBytes: 1_000_000,
        uploadsPerAddress: 20,
      }),
      flusher: new Flusher(),
      clock: this.clock,
    });
    this.server = createServer((request, response) => {
      request.on('end', () => this.arrived++);
      const { headers, socket } = request;
      this.bosh.handle(request, response, {
        address: socket.remoteAddress ?? '',
        isConfidential: headers['x-plain'] === undefined,
        isProxied: false,
        authority: headers.host,
      });
    });
  }

  static async open(wishes: WireWishes = {}): Promise<Wire> {
    const wire = new Wire(wishes);
    await new Promise<void>((resolve) => wire.server.listen(0, '127.0.0.1', resolve));
    return wire;
  }

  get address() {
    const { address, port } = this.server.address() as AddressInfo;
    return { address, port };
  }

  /** The stream behind the latest session. */
  get peer(): Peer {
    return this.peers.at(-1)!;
  }

  /** A client whose session has begun. */
  async enter(attrs: BodyAttrs = {}): Promise<BoshClient> {
    const client = new BoshClient(this.address);
    await client.create({ to: domain, ...attrs });
    return client;
  }

  /** Sends a request, and waits until it has come. */
  async post(text: string): Promise<Exchange> {
    const { arrived } = this;
    const sent = exchange(this.address, text);
    await until(() => this.arrived > arrived);
    await turn();
    return sent;
  }

  close(): void {
    this.bosh.close();
    this.server.closeAllConnections();
    this.server.close();
  }

  private accept(transport: Transport, { isPrompt = true, greets = true }: WireWishes): void {
    const peer: Peer = { transport, told: [], isPrompt, bytes: 0, overflows: 0 };
    this.peers.push(peer);
    transport.allow?.(20_000);
    transport.attach({
      data: () => peer.told.push('data'),
      frame: () => peer.told.push('frame'),
      traffic: (bytes) => {
        peer.bytes += bytes;
      },
      body: (body) => {
        const text = String(body);
        peer.told.push(text.slice(text.indexOf('>') + 1, -'</body>'.length));
        if (greets && peer.told.length === 1) transport.write(features);
        if (peer.isPrompt) transport.handled?.();
      },
      closed: (error) => peer.told.push(`closed: ${error?.message ?? 'in order'}`),
      overflow: () => {
        peer.overflows++;
        transport.destroy();
      },
    });
  }
}

let wire: Wire;
afterEach(() => wire.close());

const textOf = async (sent: Exchange): Promise<string> => (await sent.answer).text;
const conditionOf = async (sent: Exchange): Promise<string | undefined> => {
  const { attrs } = wrapperOf(await sent.answer);
  return attrs.type === 'terminate' ? attrs.condition : undefined;
};
const empty = "<body xmlns='http://jabber.org/protocol/httpbind'/>";
const isPending = async (sent: Exchange): Promise<boolean> => {
  const nothing = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 30));
  return (await Promise.race([sent.answer, nothing])) === undefined;
};

describe('the session creation response (XEP-0124 6.2, XEP-0206 4)', () => {
  test('says all that was agreed upon, with the features', async () => {
    wire = await Wire.open();
    const client = new BoshClient(wire.address);
    const body = await client.create({ to: domain, ver: '1.99', wait: 30, hold: 2 });
    const { sid, ...others } = body.attrs;
    expect(sid).toMatch(/^[\w-]{24}$/);
    expect(others).toEqual({
      xmlns: 'http://jabber.org/protocol/httpbind',
      'xmlns:stream': 'http://etherx.jabber.org/streams',
      'xmlns:xmpp': 'urn:xmpp:xbosh',
      'xmpp:version': '1.0',
      'xmpp:restartlogic': 'true',
      wait: '30',
      hold: '2',
      requests: '3',
      polling: '5',
      inactivity: '60',
      maxpause: '120',
      ver: '1.11',
      from: domain,
    });
    expect(body.getChild('features')).toBeDefined();
  });

  test('never exceeds what the client asked for, nor what is sensible', async () => {
    wire = await Wire.open();
    const terms = async (attrs: BodyAttrs) => {
      const { wait, hold, requests, inactivity, ver } = (
        await new BoshClient(wire.address).create({ to: domain, ...attrs })
      ).attrs;
      return { wait, hold, requests, inactivity, ver };
    };
    expect(await terms({ wait: 5, hold: 1 })).toMatchObject({ wait: '5', hold: '1', requests: '2', ver: '1.6' });
    expect(await terms({ wait: 100_000, hold: 100 })).toMatchObject({ wait: '120', hold: '4', requests: '5' });
    expect(await terms({ wait: 0 })).toMatchObject({ wait: '0', requests: '2', inactivity: '120' });
    expect(await terms({ hold: 0 })).toMatchObject({ hold: '0', requests: '1', inactivity: '120' });
  });

  test('sessions have identifiers of their own', async () => {
    wire = await Wire.open();
    const sids = new Set<string>();
    for (let i = 0; i < 20; i++) sids.add((await wire.enter()).sid);
    expect(sids.size).toBe(20);
    expect(wire.bosh.table.open).toBe(20);
  });

  test.each([
    [{}, 'improper-addressing'],
    [{ to: '' }, 'improper-addressing'],
    [{ to: 'mantua.test' }, 'host-unknown'],
    [{ to: domain, wait: 'soon' }, 'bad-request'],
    [{ to: domain, hold: -1 }, 'bad-request'],
    [{ to: domain, ver: 'x' }, 'bad-request'],
    [{ to: domain, content: 'text/html&#xD;&#xA;Set-Cookie: a=b' }, 'bad-request'],
    [{ to: domain, rid: 0 }, 'bad-request'],
    [{ to: domain, rid: 'x' }, 'bad-request'],
    [{ to: domain, rid: '9007199254740992' }, 'bad-request'],
  ])('a request with %j is refused as %s, and no session begins', async (attrs, condition) => {
    wire = await Wire.open();
    const text = bodyXml({ rid: 7, ver: '1.6', ...attrs } as BodyAttrs);
    expect(await conditionOf(exchange(wire.address, text))).toBe(condition);
    expect(wire.peers).toEqual([]);
  });

  test('a client of the time before conditions gets codes of HTTP instead (XEP-0124 17.1)', async () => {
    wire = await Wire.open();
    const statusOf = async (text: string) => (await exchange(wire.address, text).answer).status;
    expect(await statusOf(bodyXml({ rid: 7, to: domain, wait: 'x' }))).toBe(400);
    const client = new BoshClient(wire.address);
    const { sid } = wrapperOf(await client.raw(bodyXml({ rid: client.rid, to: domain })).answer).attrs;
    expect(await statusOf(bodyXml({ rid: client.rid + 9, sid }))).toBe(404);
    // these have no code
    expect(await statusOf(bodyXml({ rid: 7, to: 'mantua.test' }))).toBe(200);
  });

  test('the type of all responses is the one that was asked for', async () => {
    wire = await Wire.open();
    const client = new BoshClient(wire.address);
    const first = await client.raw(
      bodyXml({ rid: client.rid, to: domain, ver: '1.6', wait: 0, content: 'text/html; charset=utf-8' }),
    ).answer;
    client.sid = wrapperOf(first).attrs.sid;
    const second = await client.send().answer;
    for (const { headers } of [first, second]) {
      expect(headers['content-type']).toBe('text/html; charset=utf-8');
      // shown as a page it does nothing
      expect(headers['content-security-policy']).toContain('sandbox');
    }
  });

  test('whoever is gone before it leaves no session behind', async () => {
    wire = await Wire.open({ greets: false });
    const { request } = await wire.post(bodyXml({ rid: 7, to: domain, wait: 60, hold: 1, ver: '1.6' }));
    expect(wire.bosh.table.open).toBe(1);
    request.destroy();
    await until(() => wire.bosh.table.open === 0);
    expect(wire.peer.told.at(-1)).toBe('closed: the client was gone before the session began');
  });
});

describe('requests and responses (XEP-0124 7)', () => {
  test('what is written goes out at once, on a request that waits', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const held = await wire.post(client.next());
    expect(await isPending(held)).toBe(true);
    wire.peer.transport.write(message(1));
    wire.peer.transport.write(message(2));
    expect(await textOf(held)).toBe(empty.replace('/>', `>${message(1)}${message(2)}</body>`));
  });

  test('what is written meanwhile waits for the next request', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    wire.peer.transport.write(message(1));
    expect(wire.peer.transport.queuedBytes).toBe(message(1).length);
    expect(await textOf(client.send())).toContain(message(1));
    expect(wire.peer.transport.queuedBytes).toBe(0);
  });

  test('a new request takes the place of the one that waits', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const first = await wire.post(client.next());
    const second = await wire.post(client.next(message(1)));
    expect(await textOf(first)).toBe(empty);
    expect(await isPending(second)).toBe(true);
    expect(wire.peer.told.slice(1)).toEqual(['', message(1)]);
  });

  test('as many wait as may be held', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ hold: 2 });
    const held = [await wire.post(client.next()), await wire.post(client.next(message(1)))];
    for (const one of held) expect(await isPending(one)).toBe(true);
    const third = await wire.post(client.next(message(2)));
    expect(await textOf(held[0]!)).toBe(empty);
    expect(await isPending(held[1]!)).toBe(true);
    wire.peer.transport.write(message(3));
    expect(await textOf(held[1]!)).toContain(message(3));
    expect(await isPending(third)).toBe(true);
  });

  test('nothing waits longer than agreed', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ wait: 10 });
    const held = await wire.post(client.next());
    await wire.clock.advance(8_000);
    expect(await isPending(held)).toBe(true);
    await wire.clock.advance(2_000);
    expect(await textOf(held)).toBe(empty);
  });

  test('what is much goes out in several responses, none of them long', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const large = `<message xmlns='jabber:client'><body>${'x'.repeat(100_000)}</body></message>`;
    for (let i = 0; i < 5; i++) wire.peer.transport.write(large);
    const lengths: number[] = [];
    for (let i = 0; i < 3; i++) lengths.push((await textOf(client.send())).split('<message').length - 1);
    expect(lengths).toEqual([2, 2, 1]);
  });

  test('clients that ask for acknowledgements get them (XEP-0124 8.1)', async () => {
    wire = await Wire.open();
    const client = new BoshClient(wire.address);
    expect((await client.create({ to: domain, ack: 1 })).attrs.ack).toBe(String(client.rid));
    const first = await wire.post(client.next());
    await wire.post(client.next(message(1)));
    expect(wrapperOf(await first.answer).attrs.ack).toBe(String(client.rid));
    wire.peer.transport.write(message(2));
    const third = await wire.post(client.next());
    wire.peer.transport.write(message(3));
    expect(wrapperOf(await third.answer).attrs.ack).toBeUndefined();
  });
});

describe('order (XEP-0124 14.2)', () => {
  test('requests that come in another order are taken, and answered, in theirs', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ hold: 2 });
    const texts = [client.next(message(1)), client.next(message(2)), client.next(message(3))] as const;
    const third = await wire.post(texts[2]);
    const second = await wire.post(texts[1]);
    expect(wire.peer.told).toHaveLength(1);
    const first = await wire.post(texts[0]);
    expect(await textOf(first)).toBe(empty);
    expect(wire.peer.told.slice(1)).toEqual([message(1), message(2), message(3)]);
    wire.peer.transport.write(message(4));
    expect(await textOf(second)).toContain(message(4));
    wire.peer.transport.write(message(5));
    expect(await textOf(third)).toContain(message(5));
  });

  test('one beyond the window ends the session, and those that wait learn that it was another (XEP-0124 17.2)', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const held = await wire.post(client.next());
    const far = client.raw(bodyXml({ rid: client.rid + 3, sid: client.sid }));
    expect(await conditionOf(far)).toBe('item-not-found');
    expect(await conditionOf(held)).toBe('other-request');
    expect(wire.peer.told.at(-1)).toBe('closed: BOSH: item-not-found');
    expect(await conditionOf(client.send())).toBe('item-not-found');
  });

  test('one that was too early and is gone is taken when it comes again', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const [first, second] = [client.next(message(1)), client.next(message(2))];
    (await wire.post(second)).request.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await wire.post(first);
    expect(wire.peer.told.slice(1)).toEqual([message(1)]);
    await wire.post(second);
    expect(wire.peer.told.slice(1)).toEqual([message(1), message(2)]);
  });

  test('one that was too early and comes again is taken once', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const [first, second] = [client.next(message(1)), client.next(message(2))];
    const early = await wire.post(second);
    await wire.post(second);
    expect(wrapperOf(await early.answer).attrs).toMatchObject({ type: 'error' });
    await wire.post(first);
    expect(wire.peer.told.slice(1)).toEqual([message(1), message(2)]);
  });
});

describe('lost connections (XEP-0124 14.3)', () => {
  test('a response that was lost is given again, and the request is not taken again', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const text = client.next(message(1));
    const first = await wire.post(text);
    wire.peer.transport.write(message(2));
    const answer = await textOf(first);
    expect(answer).toContain(message(2));
    expect(await textOf(client.raw(text))).toBe(answer);
    expect(await textOf(client.raw(text))).toBe(answer);
    expect(wire.peer.told.slice(1)).toEqual([message(1)]);
  });

  test('nothing is written to a request whose connection is gone: it waits until it comes again', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const text = client.next();
    const held = await wire.post(text);
    held.request.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    wire.peer.transport.write(message(1));
    await turn();
    expect(wire.peer.transport.queuedBytes).toBeGreaterThan(0);
    expect(await textOf(client.raw(text))).toContain(message(1));
  });

  test('a client that sends another request instead loses nothing', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const lost = client.next();
    (await wire.post(lost)).request.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    wire.peer.transport.write(message(1));
    expect(await textOf(client.send(message(2)))).toContain(message(1));
    // and its response is there too, should it still be asked for
    expect(await textOf(client.raw(lost))).toBe(empty);
  });

  test('a repeated request takes the place of itself', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const text = client.next();
    const first = await wire.post(text);
    const second = await wire.post(text);
    expect(wrapperOf(await first.answer).attrs).toMatchObject({ type: 'error' });
    wire.peer.transport.write(message(1));
    expect(await textOf(second)).toContain(message(1));
  });

  test('what nobody can want any more is not kept', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const texts: string[] = [];
    for (let i = 0; i < 4; i++) {
      texts.push(client.next(message(i)));
      const sent = await wire.post(texts[i]!);
      wire.peer.transport.write(message(100 + i));
      await sent.answer;
    }
    expect(await textOf(client.raw(texts[3]!))).toContain("id='103'");
    expect(await textOf(client.raw(texts[2]!))).toContain("id='102'");
    expect(await conditionOf(client.raw(texts[1]!))).toBe('item-not-found');
    expect(wire.peer.told.at(-1)).toBe('closed: BOSH: item-not-found');
  });

  test('repeating is no way to get the same thing for ever', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const text = client.next();
    const sent = await wire.post(text);
    wire.peer.transport.write(message(1));
    await sent.answer;
    for (let i = 0; i < 10; i++) expect(await textOf(client.raw(text))).toContain(message(1));
    expect(await conditionOf(client.raw(text))).toBe('policy-violation');
  });
});

describe('inactivity and pauses (XEP-0124 9)', () => {
  test('who does not ask for too long is gone, as if it had never been', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    await wire.clock.advance(59_000);
    expect(wire.peer.told).toHaveLength(1);
    await wire.clock.advance(3_000);
    expect(wire.peer.told.at(-1)).toBe('closed: no request came for too long');
    expect(await conditionOf(client.send())).toBe('item-not-found');
    expect(wire.bosh.table.size).toBe(0);
    // and no clockwork goes on for nobody
    await wire.clock.advance(1_000);
    expect(wire.clock.pending).toBe(0);
  });

  test('a request that waits is activity, one whose connection is gone is not', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ wait: 120 });
    const held = await wire.post(client.next());
    await wire.clock.advance(100_000);
    expect(wire.bosh.table.open).toBe(1);
    held.request.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await wire.clock.advance(62_000);
    expect(wire.bosh.table.open).toBe(0);
  });

  test('a pause is answered at once and empty, with all that waits, and gives the time that it asks for', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const held = await wire.post(client.next());
    wire.peer.transport.pause();
    const pause = await wire.post(client.next('', { pause: 120 }));
    wire.peer.transport.resume();
    await turn();
    wire.peer.transport.write(message(1));
    expect(await textOf(held)).toBe(empty);
    expect(await textOf(pause)).toBe(empty);
    await wire.clock.advance(110_000);
    expect(wire.bosh.table.open).toBe(1);
    // and what was written meanwhile is for the next request, after which the usual time holds
    expect(await textOf(client.send())).toContain(message(1));
    await wire.clock.advance(62_000);
    expect(wire.bosh.table.open).toBe(0);
  });

  test('one may pause with all requests in use', async () => {
    wire = await Wire.open({ isPrompt: false });
    const client = await wire.enter();
    const large = `<message xmlns='jabber:client'>${'x'.repeat(18_000)}</message>`;
    await wire.post(client.next(large));
    await wire.post(client.next(large));
    await wire.post(client.next('', { pause: 60 }));
    expect(wire.bosh.table.open).toBe(1);
  });

  test('a pause longer than allowed is none', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const sent = await wire.post(client.next('', { pause: 121 }));
    expect(await isPending(sent)).toBe(true);
  });
});

describe('overactivity and polling (XEP-0124 10, 11)', () => {
  test('more requests at once than agreed upon end the session', async () => {
    wire = await Wire.open({ isPrompt: false });
    const client = await wire.enter();
    const large = `<message xmlns='jabber:client'>${'x'.repeat(18_000)}</message>`;
    const held = [await wire.post(client.next(large)), await wire.post(client.next(large))];
    const third = await wire.post(client.next(large));
    expect(await conditionOf(third)).toBe('policy-violation');
    for (const one of held) expect(await conditionOf(one)).toBe('other-request');
    expect(wire.peer.told.at(-1)).toBe('closed: BOSH: policy-violation');
  });

  test('empty requests that come in too short a time end it', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    await wire.post(client.next());
    await wire.clock.advance(4_000);
    expect(await conditionOf(await wire.post(client.next()))).toBe('policy-violation');
  });

  test('those that do not, and those that say something, are fine', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    await wire.post(client.next());
    await wire.clock.advance(5_000);
    await wire.post(client.next());
    await wire.post(client.next(message(1)));
    const restart = await wire.post(client.next('', { 'xmpp:restart': 'true' }));
    expect(await isPending(restart)).toBe(true);
    expect(wire.bosh.table.open).toBe(1);
  });

  test.each([{ hold: 0 }, { wait: 0 }])('a session with %j gets its responses at once', async (attrs) => {
    wire = await Wire.open();
    const client = await wire.enter(attrs);
    expect(await textOf(client.send(message(1)))).toBe(empty);
    await wire.clock.advance(5_000);
    expect(await textOf(client.send())).toBe(empty);
    wire.peer.transport.write(message(2));
    await wire.clock.advance(5_000);
    expect(await textOf(client.send())).toContain(message(2));
    // there was something: so there may be more
    expect(await textOf(client.send())).toBe(empty);
    await wire.clock.advance(110_000);
    expect(await textOf(client.send())).toBe(empty);
  });

  test.each([{ hold: 0 }, { wait: 0 }])('a session with %j must not poll too often', async (attrs) => {
    wire = await Wire.open();
    const client = await wire.enter(attrs);
    expect(await textOf(client.send())).toBe(empty);
    await wire.clock.advance(4_000);
    expect(await conditionOf(client.send())).toBe('policy-violation');
  });

  test('who polls gets what comes of the request, however long that takes', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ hold: 0 });
    wire.peer.isPrompt = false;
    const sent = await wire.post(client.next(message(1)));
    expect(await isPending(sent)).toBe(true);
    wire.peer.transport.write(message(2));
    wire.peer.transport.handled?.();
    expect(await textOf(sent)).toContain(message(2));
  });
});

describe('the end (XEP-0124 13, 17.2)', () => {
  test('ours is told on the oldest connection, with all that is left; the others are let go', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ hold: 2 });
    const held = [await wire.post(client.next()), await wire.post(client.next(message(1)))] as const;
    wire.peer.transport.write(message(2));
    wire.peer.transport.end();
    wire.peer.transport.write(message(3));
    expect(await textOf(held[0])).toBe(empty.replace('/>', ` type='terminate'>${message(2)}</body>`));
    expect(await textOf(held[1])).toBe(empty);
    expect(wire.peer.told.at(-1)).toBe('closed: in order');
  });

  test('a stream error goes inside, behind what came before it', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const held = await wire.post(client.next());
    wire.peer.transport.write(message(1));
    wire.peer.transport.write("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    wire.peer.transport.end();
    const body = wrapperOf(await held.answer);
    expect(body.attrs).toMatchObject({ type: 'terminate', condition: 'remote-stream-error' });
    expect(body.attrs['xmlns:stream']).toBe('http://etherx.jabber.org/streams');
    expect(body.getChildElements().map(({ name }) => name)).toEqual(['message', 'stream:error']);
  });

  test('whoever asks for nothing at that time is told when it asks, and again when that is lost', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    wire.peer.transport.write("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>");
    wire.peer.transport.end();
    wire.peer.transport.destroy();
    expect(wire.peer.told.at(-1)).toBe('closed: in order');
    const text = client.next();
    for (let i = 0; i < 2; i++) expect(await conditionOf(client.raw(text))).toBe('remote-stream-error');
    expect(await conditionOf(client.send())).toBe('item-not-found');
    await wire.clock.advance(62_000);
    expect(wire.bosh.table.size).toBe(0);
  });

  test('a connection that is dropped says so', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const held = await wire.post(client.next());
    wire.peer.transport.destroy();
    expect(await conditionOf(held)).toBe('remote-connection-failed');
  });

  test('a slow reader is dropped, and what waited for it is not kept', async () => {
    wire = await Wire.open();
    await wire.enter();
    for (let i = 0; i < 11; i++) wire.peer.transport.write(`<message>${'x'.repeat(100_000)}</message>`);
    await turn();
    expect(wire.peer.overflows).toBe(1);
    expect(wire.peer.transport.queuedBytes).toBe(0);
    expect(wire.bosh.table.open).toBe(0);
  });

  test('of many that are over only some are remembered', async () => {
    wire = await Wire.open();
    for (let i = 0; i < 1_010; i++) {
      const client = new BoshClient(wire.address);
      await client.create({ to: domain });
      wire.peer.transport.destroy();
    }
    await wire.clock.advance(1_000);
    expect(wire.bosh.table.size).toBe(1_000);
  });
});

describe('back-pressure', () => {
  test('bodies are handed on one after the other, and none while the stream takes nothing', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    wire.peer.isPrompt = false;
    await wire.post(client.next(message(1)));
    await wire.post(client.next(message(2)));
    expect(wire.peer.told.slice(1)).toEqual([message(1)]);
    wire.peer.transport.pause();
    wire.peer.transport.handled?.();
    expect(wire.peer.told.slice(1)).toEqual([message(1)]);
    wire.peer.transport.resume();
    expect(wire.peer.told.slice(1)).toEqual([message(1), message(2)]);
  });

  test('while little waits, responses go on; a request behind much has to wait itself', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    wire.peer.isPrompt = false;
    const small = await wire.post(client.next(message(1)));
    wire.peer.transport.write(message(9));
    expect(await textOf(small)).toContain(message(9));
    const large = await wire.post(client.next(`<message xmlns='jabber:client'>${'x'.repeat(18_000)}</message>`));
    wire.peer.transport.write(message(10));
    expect(await isPending(large)).toBe(true);
    wire.peer.transport.handled?.();
    wire.peer.transport.handled?.();
    expect(await textOf(large)).toContain(message(10));
  });

  test('what was said before the silence is heard', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ hold: 2 });
    wire.peer.isPrompt = false;
    (await wire.post(client.next(message(1)))).request.destroy();
    (await wire.post(client.next(message(2)))).request.destroy();
    await new Promise((resolve) => setTimeout(resolve, 20));
    await wire.clock.advance(62_000);
    expect(wire.peer.told.slice(1)).toEqual([message(1), message(2), 'closed: no request came for too long']);
  });

  test('all that comes is counted, repeats too', async () => {
    wire = await Wire.open();
    const client = await wire.enter();
    const { bytes } = wire.peer;
    const text = client.next(message(1));
    await wire.post(text);
    expect(wire.peer.bytes - bytes).toBe(text.length);
    await wire.post(text);
    expect(wire.peer.bytes - bytes).toBe(2 * text.length);
  });
});

describe('keys (XEP-0124 15)', () => {
  const keys = ['seed'];
  while (keys.length < 6) keys.push(createHash('sha1').update(keys.at(-1)!).digest('hex'));

  test('those in the sequence open, whatever their case, and a new sequence may follow', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ wait: 0, newkey: keys[5]!.toUpperCase() });
    expect(await textOf(client.send(message(1), { key: keys[4]! }))).toBe(empty);
    const other = createHash('sha1').update('another').digest('hex');
    expect(await textOf(client.send(message(2), { key: keys[3]!, newkey: other }))).toBe(empty);
    expect(await textOf(client.send(message(3), { key: 'another' }))).toBe(empty);
  });

  test.each([[{}], [{ key: 'x' }], [{ key: keys[5]! }], [{ key: keys[3]! }]])(
    '%j in its place ends the session, and what came with it is not taken',
    async (attrs) => {
      wire = await Wire.open();
      const client = await wire.enter({ newkey: keys[5]! });
      expect(await conditionOf(client.send(message(1), attrs as BodyAttrs))).toBe('item-not-found');
      expect(wire.peer.told.slice(1)).toEqual(['closed: BOSH: item-not-found']);
    },
  );

  test('a repeat has to show the key again', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ wait: 0, newkey: keys[5]! });
    const text = client.next(message(1), { key: keys[4]! });
    await client.raw(text).answer;
    expect(await textOf(client.raw(text))).toBe(empty);
    expect(await conditionOf(client.raw(text.replace(/ key='\w+'/, '')))).toBe('item-not-found');
  });
});

test('a request in the clear is not let into a session that is not, and cannot end it (XEP-0124 19.1)', async () => {
  wire = await Wire.open();
  const client = await wire.enter();
  const thief = client.raw(client.next('', { type: 'terminate' }), { headers: { 'x-plain': 'yes' } });
  await expect(thief.answer).rejects.toThrow();
  client.rid--;
  wire.peer.transport.write(message(1));
  expect(await textOf(client.send())).toContain(message(1));
});

describe('floods', () => {
  test('only so many requests of one address may be under way', async () => {
    wire = await Wire.open();
    const slow = Array.from({ length: 20 }, () => {
      const one = exchange(wire.address, '', { headers: { 'content-length': '100' } });
      one.request.write('<body');
      return one;
    });
    await new Promise((resolve) => setTimeout(resolve, 100));
    const { status, headers } = await exchange(wire.address, bodyXml({ rid: 7, to: domain })).answer;
    expect([status, headers.connection]).toEqual([429, 'close']);
    for (const { request } of slow) request.destroy();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect((await wire.enter()).sid).not.toBe('');
  });

  test('what does not come in is not waited for', async () => {
    wire = await Wire.open();
    const slow = exchange(wire.address, '', { headers: { 'content-length': '100' } });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await wire.clock.advance(32_000);
    await expect(slow.answer).rejects.toThrow();
  });

  test('without a session not much may be sent', async () => {
    wire = await Wire.open();
    const text = bodyXml({ rid: 7, to: domain }, ' '.repeat(100_000));
    expect(await conditionOf(exchange(wire.address, text))).toBe('policy-violation');
    const unknown = bodyXml({ rid: 7, sid: 'unknown' }, ' '.repeat(100_000));
    expect(await conditionOf(exchange(wire.address, unknown))).toBe('policy-violation');
    expect(wire.peers).toEqual([]);
  });

  test('with one, more; but not without bounds', async () => {
    wire = await Wire.open();
    const client = await wire.enter({ wait: 0 });
    expect(await textOf(client.send(`<a>${'x'.repeat(70_000)}</a>`))).toBe(empty);
    expect(await conditionOf(client.send(`<a>${'x'.repeat(90_000)}</a>`))).toBe('policy-violation');
    expect(wire.peer.told.at(-1)).toBe('closed: BOSH: policy-violation');
  });
});
