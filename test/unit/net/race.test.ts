import { createServer, type Server, Socket } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { connectFirst, NoAddress } from '../../../src/net/race.ts';
import { FakeClock, turn } from '../../kit/clock.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** Sockets that never connect by themselves: the test says what becomes of them. */
class Attempts {
  readonly made: { readonly address: string; readonly socket: Socket }[] = [];
  readonly dial = (address: string): Socket => {
    const socket = new Socket();
    this.made.push({ address, socket });
    return socket;
  };
  get addresses(): string[] {
    return this.made.map(({ address }) => address);
  }
  fail(index: number, code = 'ECONNREFUSED'): void {
    this.made[index]!.socket.destroy(Object.assign(new Error(code), { code }));
  }
}

interface Race {
  readonly four?: readonly string[] | Promise<readonly string[]>;
  readonly six?: readonly string[] | Promise<readonly string[]>;
}

function race({ four = [], six = [] }: Race) {
  const clock = new FakeClock();
  const attempts = new Attempts();
  const told: string[] = [];
  const won = connectFirst({
    addresses: async (family) => (family === 4 ? four : six),
    port: 5269,
    clock,
    attemptTimeout: 10_000,
    tell: (text) => told.push(text),
    dial: attempts.dial,
  });
  won.catch(() => {});
  return { clock, attempts, told, won };
}

describe('addresses of both families', () => {
  test('are tried by turns, IPv6 first, each with a quarter of a second to itself', async () => {
    const { clock, attempts } = race({ four: ['192.0.2.1', '192.0.2.2'], six: ['2001:db8::1', '2001:db8::2'] });
    await turn();
    expect(attempts.addresses).toEqual(['2001:db8::1']);
    await clock.advance(249);
    expect(attempts.addresses).toHaveLength(1);
    await clock.advance(1);
    expect(attempts.addresses).toEqual(['2001:db8::1', '192.0.2.1']);
    await clock.advance(500);
    expect(attempts.addresses).toEqual(['2001:db8::1', '192.0.2.1', '2001:db8::2', '192.0.2.2']);
  });

  test('the next follows at once when one fails', async () => {
    const { attempts } = race({ four: ['192.0.2.1'], six: ['2001:db8::1'] });
    await turn();
    attempts.fail(0);
    await turn();
    expect(attempts.addresses).toEqual(['2001:db8::1', '192.0.2.1']);
  });

  test('IPv4 waits a twentieth of a second for IPv6, and no longer', async () => {
    const { clock, attempts } = race({ four: ['192.0.2.1'], six: new Promise(() => {}) });
    await turn();
    expect(attempts.addresses).toEqual([]);
    await clock.advance(50);
    expect(attempts.addresses).toEqual(['192.0.2.1']);
  });

  test('addresses that come late are tried too', async () => {
    let answer = (_: readonly string[]): void => {};
    const six = new Promise<readonly string[]>((resolve) => {
      answer = resolve;
    });
    const { clock, attempts } = race({ four: ['192.0.2.1'], six });
    await turn();
    await clock.advance(50);
    attempts.fail(0);
    await turn();
    answer(['2001:db8::1']);
    await turn();
    expect(attempts.addresses).toEqual(['192.0.2.1', '2001:db8::1']);
  });

  test('addresses that come late do not wait for an attempt that hangs', async () => {
    let answer = (_: readonly string[]): void => {};
    const six = new Promise<readonly string[]>((resolve) => {
      answer = resolve;
    });
    const { clock, attempts } = race({ four: ['192.0.2.1'], six });
    await turn();
    await clock.advance(400);
    expect(attempts.addresses).toEqual(['192.0.2.1']);
    answer(['2001:db8::1', '2001:db8::2']);
    await turn();
    expect(attempts.addresses).toEqual(['192.0.2.1', '2001:db8::1']);
    await clock.advance(250);
    expect(attempts.addresses).toEqual(['192.0.2.1', '2001:db8::1', '2001:db8::2']);
  });

  test('the first that connects wins, and the others are dropped', async () => {
    const { clock, attempts, won } = race({ four: ['192.0.2.1'], six: ['2001:db8::1'] });
    await turn();
    await clock.advance(250);
    attempts.made[1]!.socket.emit('connect');
    expect(await won).toBe(attempts.made[1]!.socket);
    expect(attempts.made[0]!.socket.destroyed).toBe(true);
    await clock.advance(60_000);
    expect(attempts.made).toHaveLength(2);
    (await won).destroy();
  });
});

describe('failure', () => {
  test('tells of every address', async () => {
    const { attempts, told, won } = race({ four: ['192.0.2.1'], six: ['2001:db8::1'] });
    await turn();
    attempts.fail(0);
    await turn();
    attempts.fail(1, 'EHOSTUNREACH');
    await expect(won).rejects.toThrow('192.0.2.1 port 5269: there is no way to that address');
    expect(told).toEqual([
      '2001:db8::1 port 5269: nobody listens there',
      '192.0.2.1 port 5269: there is no way to that address',
    ]);
  });

  test('an address that does not answer is given up in time', async () => {
    const { clock, won } = race({ four: ['192.0.2.1'] });
    await turn();
    await clock.advance(10_000);
    await expect(won).rejects.toThrow('192.0.2.1 port 5269: no answer');
  });

  test('a machine without addresses is told apart from one that does not answer', async () => {
    await expect(race({}).won).rejects.toBeInstanceOf(NoAddress);
    const unknown = race({ four: Promise.reject(new Error('the name servers do not answer')) }).won;
    await expect(unknown).rejects.toThrow('the name servers do not answer');
    await expect(unknown).rejects.not.toBeInstanceOf(NoAddress);
  });
});

test('real sockets connect', async () => {
  const server = createServer((socket) => socket.destroy());
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const socket = await connectFirst({
    addresses: async (family) => (family === 4 ? ['127.0.0.1'] : []),
    port,
    clock: { now: Date.now, after: (ms, fn) => clearTimeout.bind(undefined, setTimeout(fn, ms)) },
    attemptTimeout: 2_000,
    tell: () => {},
  });
  expect(socket.remotePort).toBe(port);
  socket.destroy();
});
