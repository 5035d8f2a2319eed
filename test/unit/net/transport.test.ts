// What is written to a socket: when it is handed to the operating system, and what certainly never was.
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Flusher, SocketTransport } from '../../../src/net/transport.ts';
import { turn } from '../../kit/clock.ts';

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function pair(maxQueued = 100_000_000) {
  const server = createServer({ allowHalfOpen: true });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const port = (server.address() as { port: number }).port;
  const peer = connect(port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  const transport = new SocketTransport(socket, new Flusher(), maxQueued);
  const events: string[] = [];
  transport.attach({
    data: () => {},
    frame: () => {},
    body: () => {},
    traffic: () => {},
    closed: () => void events.push('closed'),
    overflow: () => void events.push('overflow'),
  });
  let text = '';
  peer.setEncoding('utf8');
  peer.on('data', (data: string) => {
    text += data;
  });
  peer.on('error', () => {});
  ends.push(() => {
    peer.destroy();
    transport.destroy();
    server.close();
  });
  return { transport, peer, events, heard: () => text };
}

const numbers = (text: string): number[] => [...text.matchAll(/<(\d+)[a]*>/g)].map(([, n]) => Number(n));
const numbered = (n: number): string => `<${n}${'a'.repeat(100_000)}>`;

test('what is written in one turn is handed over once', async () => {
  const { transport, heard } = await pair();
  for (let i = 0; i < 3; i++) transport.write(`<${i}>`);
  expect(transport.progress).toEqual({ written: 9, handedOver: 0 });
  await expect.poll(heard).toBe('<0><1><2>');
  expect(transport.progress).toEqual({ written: 9, handedOver: 9 });
});

test('many sockets are written to in several turns, in order, and each takes what came meanwhile', async () => {
  const flusher = new Flusher();
  const flushed: string[] = [];
  const waiting = new Map<number, string>();
  const write = (n: number, text: string): void => {
    const before = waiting.get(n);
    waiting.set(n, (before ?? '') + text);
    const flush = (): void => {
      flushed.push(`${n}${waiting.get(n)}`);
      waiting.delete(n);
    };
    if (before === undefined) flusher.add({ flush });
  };
  for (let n = 0; n < 1200; n++) write(n, 'a');
  await turn();
  expect(flushed.length).toBeGreaterThan(0);
  expect(flushed.length).toBeLessThan(1200);
  write(1199, 'b');
  write(0, 'b');
  await expect.poll(() => waiting.size).toBe(0);
  const all = Array.from({ length: 1200 }, (_, n) => `${n}a`);
  expect(flushed).toEqual([...all.with(1199, '1199ab'), '0b']);
});

test('what is large goes bit by bit, and no character is torn apart', async () => {
  const { transport, peer, heard } = await pair();
  peer.pause();
  const text = `a${'\u{1f496}'.repeat(4_000_000)}ä`;
  transport.write(text);
  await turn();
  expect(transport.progress.handedOver).toBeLessThan(text.length);
  transport.write('z');
  peer.resume();
  await expect.poll(() => heard().length, { timeout: 5_000 }).toBe(text.length + 1);
  expect(heard() === `${text}z`).toBe(true);
});

test('all arrives in order, however slowly it is read', async () => {
  const { transport, peer, heard } = await pair();
  peer.pause();
  for (let i = 0; i < 200; i++) {
    transport.write(numbered(i));
    await turn();
  }
  expect(transport.queuedBytes).toBeGreaterThan(1_000_000);
  transport.end();
  transport.write('<never>');
  peer.resume();
  await once(peer, 'end');
  expect(numbers(heard())).toEqual(Array.from({ length: 200 }, (_, i) => i));
  expect(heard()).not.toContain('never');
});

test('what was not handed over has not left when the connection is dropped', async () => {
  const { transport, peer, heard, events } = await pair();
  peer.pause();
  const starts: number[] = [];
  for (let i = 0; i < 200; i++) {
    starts.push(transport.progress.written);
    transport.write(numbered(i));
    // some by themselves, some many at a time
    if (i < 20 || i === 100) await turn();
  }
  await turn();
  const { handedOver } = transport.progress;
  transport.destroy();
  expect(transport.progress.handedOver).toBe(handedOver);
  peer.resume();
  await once(peer, 'close');
  expect(events).toEqual(['closed']);
  const unsent = starts.flatMap((start, i) => (start >= handedOver ? [i] : []));
  const whole = numbers(heard());
  expect(whole.length).toBeGreaterThan(0);
  expect(unsent.length).toBeGreaterThan(10);
  expect(unsent.at(-1)).toBe(199);
  // nothing is in both; and between them is no more than what was being written
  expect(unsent[0]! - whole.at(-1)!).toBeGreaterThan(0);
  expect(unsent[0]! - whole.at(-1)!).toBeLessThanOrEqual(4);
});

test('a reader that is too slow is told of, whatever waits where', async () => {
  const { transport, peer, events } = await pair(1_000_000);
  peer.pause();
  for (let i = 0; i < 300 && events.length === 0; i++) {
    transport.write(numbered(i));
    await turn();
  }
  expect(events[0]).toBe('overflow');
  expect(transport.queuedBytes).toBeLessThan(1_500_000);
});
