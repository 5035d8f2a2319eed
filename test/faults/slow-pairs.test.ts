// Between servers only those wait for something slow who have to do with it: a disk that is slow for one account, a server that does
// not read.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { ArchiveStore, Driver, KvStore } from '../../src/storage/ports.ts';
import { TestAuthority } from '../kit/certificates.ts';
import type { StreamClient } from '../kit/client.ts';
import { enter, TestFederation } from '../kit/federation.ts';
import { authenticateAs, ScriptedServer, told } from '../kit/server-peer.ts';
import type { TestServer } from '../kit/test-server.ts';

/** A disk that makes one account wait until it is let go. */
class SlowDisk {
  readonly driver: Driver;
  private owner: string | undefined;
  private isReadingSlow = false;
  private gate: Promise<void> = Promise.resolve();
  private open: () => void = () => {};

  constructor() {
    const inner = createMemoryDriver({ now: Date.now, after: () => () => {} });
    this.driver = {
      open: async (host, module, specs) => {
        const stores = await inner.open(host, module, specs);
        if (module !== 'mam') return stores;
        return Object.fromEntries(Object.entries(stores).map(([name, store]) => [name, this.slow(store)]));
      },
      purge: (host, owner) => inner.purge(host, owner),
      identify: (life) => inner.identify(life),
      fence: (life) => inner.fence(life),
      ping: () => inner.ping(),
      close: () => inner.close(),
    };
  }

  /** From now on whatever the archive writes for this account takes until `release`; what it reads as well, unless said. */
  hold(owner: string, isReadingToo = true): void {
    this.owner = owner;
    this.isReadingSlow = isReadingToo;
    this.gate = new Promise((resolve) => {
      this.open = resolve;
    });
  }

  release(): void {
    this.owner = undefined;
    this.open();
  }

  private slow(store: unknown): unknown {
    const self = this;
    return new Proxy(store as KvStore<unknown> & ArchiveStore, {
      get(target, name: keyof KvStore<unknown> & keyof ArchiveStore) {
        const method = target[name] as unknown;
        if (typeof method !== 'function') return method;
        return (owner: string, ...rest: unknown[]) => {
          const result = method.call(target, owner, ...rest) as unknown;
          if (self.owner === undefined || owner !== self.owner) return result;
          const gate = self.gate;
          if ((name as string) !== 'append') return self.isReadingSlow ? gate.then(() => result) : result;
          const { id, durable } = result as ReturnType<ArchiveStore['append']>;
          return { id, durable: gate.then(() => durable) };
        };
      },
    });
  }
}

let world: TestFederation;
let disks: { readonly verona: SlowDisk; readonly mantua: SlowDisk };
let verona: TestServer;
let mantua: TestServer;
beforeEach(async () => {
  world = new TestFederation();
  disks = { verona: new SlowDisk(), mantua: new SlowDisk() };
  verona = await world.add('verona.test', {}, { driver: disks.verona.driver });
  mantua = await world.add('mantua.test', {}, { driver: disks.mantua.driver });
});
afterEach(async () => {
  disks.verona.release();
  disks.mantua.release();
  await world.stop();
});

type Person = Awaited<ReturnType<typeof enter>>;

const say = (from: Person, to: Person, body: string): void =>
  from.client.write(`<message to='${to.jid}' type='chat'><body>${body}</body></message>`);

/** In this order; errors may come in between. */
async function hears({ client }: Person, ...bodies: readonly string[]): Promise<void> {
  for (const body of bodies) {
    let came = told(await client.next(5_000));
    while (came.includes('type="error"')) came = told(await client.next(5_000));
    expect(came).toContain(`<body>${body}</body>`);
  }
}

const waiting = (server: TestServer): number =>
  server.server.federation().reduce((sum, stream) => sum + stream.waiting, 0);

describe('a disk that is slow for one account', () => {
  test('of the reader holds up its pairs, in order, and nobody else', async () => {
    const [romeo, mercutio] = [await enter(verona, 'romeo@verona.test'), await enter(verona, 'mercutio@verona.test')];
    const [juliet, nurse] = [await enter(mantua, 'juliet@mantua.test'), await enter(mantua, 'nurse@mantua.test')];
    disks.mantua.hold('juliet');
    for (const body of ['1', '2', '3']) say(romeo, juliet, body);
    say(romeo, nurse, 'for you');
    say(mercutio, nurse, 'and from me');
    await hears(nurse, 'for you', 'and from me');
    expect(juliet.client.inbox).toEqual([]);
    say(nurse, romeo, 'and back');
    await hears(romeo, 'and back');
    disks.mantua.release();
    await hears(juliet, '1', '2', '3');
  });

  test('holds up no delivery where only the writing is slow, but what the other server is told of', async () => {
    const romeo = await enter(verona, 'romeo@verona.test');
    const [juliet, nurse] = [await enter(mantua, 'juliet@mantua.test'), await enter(mantua, 'nurse@mantua.test')];
    say(romeo, juliet, 'first');
    await hears(juliet, 'first');
    await expect.poll(() => waiting(verona)).toBe(0);
    disks.mantua.hold('juliet', false);
    for (const body of ['1', '2']) say(romeo, juliet, body);
    await hears(juliet, '1', '2');
    say(romeo, nurse, 'for you');
    await hears(nurse, 'for you');
    // an acknowledgement is asked for after 100 ms
    await new Promise((resolve) => setTimeout(resolve, 250));
    expect(waiting(verona)).toBe(3);
    disks.mantua.release();
    await expect.poll(() => waiting(verona)).toBe(0);
  });

  test('of the writer holds up what that one sends, in order, and nobody else', async () => {
    const [romeo, mercutio] = [await enter(verona, 'romeo@verona.test'), await enter(verona, 'mercutio@verona.test')];
    const juliet = await enter(mantua, 'juliet@mantua.test');
    disks.verona.hold('romeo');
    for (const body of ['1', '2', '3']) say(romeo, juliet, body);
    say(mercutio, juliet, 'mine');
    await hears(juliet, 'mine');
    say(juliet, mercutio, 'yours');
    await hears(mercutio, 'yours');
    expect(juliet.client.inbox).toEqual([]);
    disks.verona.release();
    await hears(juliet, '1', '2', '3');
  });
});

describe('a server that does not read', () => {
  const authority = new TestAuthority('Everybody trusts me');
  const folder = mkdtempSync(join(tmpdir(), 'parley slow '));
  const ca = join(folder, 'ca.pem');
  writeFileSync(ca, authority.certificate);
  const identity = authority.issue({ names: ['mute.test'] });
  const settings = { tls: { ca }, s2s: { 'send-queue-bytes': '256kB' } };
  const big = 'x'.repeat(100_000);
  const given: AsyncDisposable[] = [];
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  afterEach(async () => {
    for (const one of given.splice(0)) await one[Symbol.asyncDispose]();
  });

  const isCut = (server: TestServer): boolean => server.log.some((line) => line.message === 'a reader was too slow');

  /** What is between others goes on, in order, while much is sent to the one that does not read. */
  async function goOn(padua: TestServer, bianca: Person, flood: () => void): Promise<void> {
    const juliet = await enter(mantua, 'juliet@mantua.test');
    for (let i = 0; i < 60; i++) {
      flood();
      say(bianca, juliet, `b${i}`);
      say(juliet, bianca, `j${i}`);
    }
    await hears(juliet, ...Array.from({ length: 60 }, (_, i) => `b${i}`));
    await hears(bianca, ...Array.from({ length: 60 }, (_, i) => `j${i}`));
    await expect.poll(() => isCut(padua), { timeout: 10_000 }).toBe(true);
    expect(padua.errors).toEqual([]);
  }

  test('what goes to it over a stream of ours is no matter to others, from the same client either', async () => {
    const padua = await world.add('padua.test', settings);
    const external =
      "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>";
    const mute = await ScriptedServer.start('mute.test', identity, external, (socket, said) => {
      if (said.includes('<auth')) socket.write("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>");
      if (said.includes('<message')) socket.pause();
    });
    given.push(mute);
    world.names.set('mute.test', { port: mute.port });
    const bianca = await enter(padua, 'bianca@padua.test');
    await goOn(padua, bianca, () => bianca.client.write(`<message to='x@mute.test'><body>${big}</body></message>`));
  }, 30_000);

  test('nor what goes back to it over its own stream (XEP-0288)', async () => {
    const padua = await world.add('padua.test', settings);
    const bianca = await enter(padua, 'bianca@padua.test');
    const bidi = "<bidi xmlns='urn:xmpp:bidi'/>";
    const mute: StreamClient = await authenticateAs(padua.addressOf('s2s'), 'mute.test', 'padua.test', identity, bidi);
    mute.write(`<message from='x@mute.test' to='${bianca.jid}'><body>hello</body></message>`);
    await hears(bianca, 'hello');
    mute.pause();
    await goOn(padua, bianca, () => bianca.client.write(`<message to='x@mute.test'><body>${big}</body></message>`));
    await mute.destroy();
  }, 30_000);
});
