// What the tests of faults share: how a stream ended, whether a server still serves, and what a process takes.
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { expect } from 'vitest';
import type { Address, StreamClient } from '../kit/client.ts';
import { logIn } from '../kit/login.ts';

export const header = (to: string): string =>
  `<?xml version='1.0'?><stream:stream to='${to}' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>`;

/** Reads up to the end of the connection; the condition of the stream error, or how else it ended. */
export async function ending(client: StreamClient, ms = 3_000): Promise<string> {
  let condition = 'closed without a word';
  for (;;) {
    const item = await client.next(ms);
    if (item === undefined) return client.isClosed ? condition : 'still open';
    if (item.kind === 'element' && item.element.name === 'stream:error') {
      condition = String((item.element.children[0] as { name?: string } | undefined)?.name);
    }
  }
}

/** Somebody comes in, asks something and goes: the server is in order. */
export async function expectService(address: Address, domain: string, user: string, password: string): Promise<void> {
  const { client } = await logIn(address, { user, password, domain });
  await client.fence();
  expect(client.isClosed).toBe(false);
  await client.destroy();
}

/** A bare TCP connection that keeps what it is sent as text. */
export async function openSocket({ address, port }: Address): Promise<{
  readonly socket: Socket;
  readonly closed: Promise<void>;
  text(): string;
}> {
  const socket = connect({ host: address, port, noDelay: true });
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => socket.on('close', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return { socket, closed, text: () => text };
}

/** Resident memory of a process, in bytes (proc(5)). */
export function residentBytes(pid: number | 'self'): number {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1]);
  return pages * 4096;
}

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether a promise is settled within `ms` milliseconds. */
export async function settles(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const done = await Promise.race([promise.then(() => true as const), late]);
  clearTimeout(timer);
  return done;
}
