import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BytestreamRelay, type StreamTerms } from '../../../src/net/bytestreams.ts';
import { type Listener, listenTcp } from '../../../src/net/listener.ts';
import { FakeClock } from '../../kit/clock.ts';
import { greeting, Peer, requestFor, streamName } from '../../kit/socks5.ts';

const NAME = streamName('sid', 'romeo@verona.test/orchard', 'juliet@verona.test/balcony');
const terms: StreamTerms = { owner: 'romeo@verona.test', bytesPerSecond: Infinity, idle: 120_000, longest: 3_600_000 };

let clock: FakeClock;
let relay: BytestreamRelay;
let listener: Listener;
const peers: Peer[] = [];

beforeEach(async () => {
  clock = new FakeClock();
  relay = new BytestreamRelay(clock, () => listener.port);
  listener = await listenTcp('files', ['127.0.0.1'], 0, (socket) => relay.accept(socket));
});
afterEach(async () => {
  for (const peer of peers.splice(0)) peer.socket.destroy();
  relay.close();
  await listener.close();
});

async function join(name = NAME): Promise<Peer> {
  const peer = await Peer.join(listener.port, name);
  peers.push(peer);
  return peer;
}
function open(): Peer {
  const peer = new Peer(listener.port);
  peers.push(peer);
  return peer;
}

/** Two that talk. */
async function pair(more: Partial<StreamTerms> = {}, ended: (bytes: number) => void = () => {}) {
  const [one, other] = [await join(), await join()];
  expect(relay.activate(NAME, { ...terms, ...more }, ended)).toBe(true);
  return [one, other] as const;
}

describe('a stream', () => {
  test('goes both ways, and ends when both have ended', async () => {
    let passed: number | undefined;
    const [one, other] = await pair({}, (bytes) => {
      passed = bytes;
    });
    const file = randomBytes(5_000_000);
    one.socket.end(file);
    expect((await other.has(file.length)).equals(file)).toBe(true);
    await other.ended();
    other.socket.end('thanks');
    expect((await one.has(6)).toString()).toBe('thanks');
    await expect.poll(() => passed).toBe(file.length + 6);
    expect(relay.active).toBe(0);
    expect(relay.activeOf(terms.owner)).toBe(0);
  });

  test('passes on what was sent before somebody hung up, and nothing of it is lost', async () => {
    const [one, other] = await pair();
    other.socket.pause();
    const file = randomBytes(3_000_000);
    one.socket.end(file);
    one.socket.on('finish', () => one.socket.destroySoon());
    await sleep(50);
    other.socket.resume();
    expect((await other.has(file.length)).equals(file)).toBe(true);
  });

  test('who does not read is not read for: nothing piles up', async () => {
    const [one, other] = await pair();
    other.socket.pause();
    const before = process.memoryUsage().arrayBuffers;
    const chunk = Buffer.alloc(1_000_000);
    for (let i = 0; i < 64; i++) one.socket.write(chunk);
    await sleep(400);
    // what the operating system does not take stays with the sender
    expect(one.socket.writableLength).toBeGreaterThan(32_000_000);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8_000_000);
    expect(relay.active).toBe(1);
  });

  test('is slowed down to its rate', async () => {
    const [one, other] = await pair({ bytesPerSecond: 100_000 });
    one.socket.write(Buffer.alloc(1_000_000));
    await other.has(100_000);
    await sleep(100);
    const first = other.received.length;
    expect(first).toBeLessThan(400_000);
    for (let second = 0; second < 15 && other.received.length < 1_000_000; second++) {
      await clock.advance(1000);
      await sleep(30);
    }
    expect(other.received.length).toBe(1_000_000);
  });

  test('on which nothing passes is cut off, and so is one that lasts too long', async () => {
    const [one, other] = await pair();
    await clock.advance(100_000);
    one.socket.write('still there');
    await other.has(11);
    await clock.advance(100_000);
    expect(relay.active).toBe(1);
    await clock.advance(21_000);
    await one.ended();
    await expect.poll(() => relay.active).toBe(0);
    const [third] = await pair({ idle: 10_000_000 });
    await clock.advance(3_600_000);
    await third.ended();
    await expect.poll(() => relay.active).toBe(0);
  });

  test('a connection that breaks breaks the other, which must not take half a file for a whole one', async () => {
    const [one, other] = await pair();
    const reset = vi.fn();
    other.socket.on('error', reset);
    one.socket.write('half');
    await other.has(4);
    one.socket.resetAndDestroy();
    await once(other.socket, 'close').catch(() => {});
    expect(other.isEnded).toBe(false);
    expect(reset).toHaveBeenCalledOnce();
  });
});

describe('before that', () => {
  test('two wait for each other, and for the activation; what is sent meanwhile is ignored (XEP-0065 8.2)', async () => {
    expect(relay.activate(NAME, terms, () => {})).toBe(false);
    const one = await join();
    expect(relay.waiting(NAME.toUpperCase())).toBe(1);
    expect(relay.activate(NAME, terms, () => {})).toBe(false);
    const other = await join(NAME.toUpperCase());
    one.socket.write('too early');
    await sleep(30);
    expect(relay.activate(NAME, terms, () => {})).toBe(true);
    expect(relay.waiting(NAME)).toBe(0);
    one.socket.write('now');
    expect((await other.has(3)).toString()).toBe('now');
  });

  test('a third is refused: one target for each stream (XEP-0065 8.2)', async () => {
    await join();
    await join();
    await expect(join()).rejects.toThrow('refused with 2');
    expect(relay.waiting(NAME)).toBe(2);
  });

  test('who hangs up waits no more', async () => {
    const one = await join();
    one.socket.end();
    await expect.poll(() => relay.waiting(NAME)).toBe(0);
  });

  test('greeting and request may come byte by byte, or all at once', async () => {
    const slow = open();
    for (const byte of Buffer.concat([greeting, requestFor(NAME)])) {
      slow.socket.write(Buffer.from([byte]));
      await sleep(1);
    }
    const answer = await slow.has(2 + 7 + 40);
    expect(answer.subarray(0, 7).toJSON().data).toEqual([5, 0, 5, 0, 0, 3, 40]);
    // XEP-0065 5.3.2: the destination comes back as it was
    expect(answer.toString('latin1', 7)).toBe(`${NAME}\0\0`);
    const quick = open();
    quick.socket.write(Buffer.concat([greeting, requestFor(NAME)]));
    expect((await quick.has(49)).length).toBe(49);
    expect(relay.waiting(NAME)).toBe(2);
  });

  test.each([
    ['another protocol', Buffer.from('GET / HTTP/1.1\r\n\r\n'), []],
    ['SOCKS4', Buffer.from([4, 1, 0, 80, 127, 0, 0, 1, 0]), []],
    ['no method that we have (RFC 1928 3)', Buffer.from([5, 1, 2]), [5, 0xff]],
    ['another version after the greeting', Buffer.concat([greeting, Buffer.from([4, 1, 0, 3, 1])]), [5, 0, 5, 1]],
    ['BIND', Buffer.concat([greeting, requestFor(NAME, { command: 2 })]), [5, 0, 5, 7]],
    ['UDP', Buffer.concat([greeting, requestFor(NAME, { command: 3 })]), [5, 0, 5, 7]],
    [
      'an address (RFC 1928 5)',
      Buffer.concat([greeting, Buffer.from([5, 1, 0, 1, 127, 0, 0, 1, 0, 80])]),
      [5, 0, 5, 8],
    ],
    ['a name that is no hash', Buffer.concat([greeting, requestFor('example.org')]), [5, 0, 5, 2]],
  ])('%s is refused, and the connection ended', async (_, bytes, answer) => {
    const peer = open();
    peer.socket.write(bytes);
    await peer.ended();
    expect(peer.received.subarray(0, answer.length).toJSON().data).toEqual(answer);
    expect(relay.waiting(NAME)).toBe(0);
  });

  test('who says nothing, or too slowly, is cut off; who waits for nobody, too', async () => {
    const silent = open();
    const slow = open();
    await once(slow.socket, 'connect');
    slow.socket.write(greeting);
    await slow.has(2);
    await clock.advance(10_000);
    await silent.ended();
    await slow.ended();
    const waiting = await join();
    await clock.advance(110_000);
    expect(relay.waiting(NAME)).toBe(1);
    await clock.advance(11_000);
    await waiting.ended();
    await expect.poll(() => relay.waiting(NAME)).toBe(0);
  });

  test('one address keeps only so many connections that are of no use yet', async () => {
    const many = Array.from({ length: 50 }, open);
    await Promise.all(many.map(({ socket }) => once(socket, 'connect')));
    many[0]!.socket.write(greeting);
    await many[0]!.has(2);
    const late = open();
    await late.ended();
    expect(late.received.length).toBe(0);
    many[1]!.socket.destroy();
    await expect
      .poll(() =>
        join().then(
          () => true,
          () => false,
        ),
      )
      .toBe(true);
  });
});
