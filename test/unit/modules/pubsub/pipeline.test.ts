// A client that does not wait for answers while it publishes: its stream goes on, and everything has its order all the same.
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { StorageUnavailable, UnstorableValue } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Driver, ItemsStore } from '../../../../src/storage/ports.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';

/** A store that keeps what is published when it is let, in its order; it reads only what is kept, when it is kept. */
class Disk {
  /** Ends the wait of each that is to be kept. */
  readonly waiting: (() => void)[] = [];
  /** Why nothing is kept any more. */
  failure: Error | undefined;
  private last: Promise<unknown> = Promise.resolve();

  driver(clock: FakeClock): Driver {
    const memory = createMemoryDriver(clock);
    return {
      ...memory,
      open: async (host, module, specs) => {
        const opened = await memory.open(host, module, specs);
        if (module !== 'pubsub' && module !== 'pep') return opened;
        const items = opened.items as ItemsStore;
        const put: ItemsStore['put'] = (...args) => {
          const kept = Promise.all([this.last, new Promise<void>((resolve) => this.waiting.push(resolve))]).then(() => {
            if (this.failure !== undefined) throw this.failure;
            return items.put(...args);
          });
          this.last = kept.catch(() => {});
          return kept;
        };
        return { ...opened, items: { ...items, put } satisfies ItemsStore };
      },
    };
  }

  /** Lets everything be kept that waits, the last first. */
  keep(): void {
    for (const end of this.waiting.splice(0).reverse()) end();
  }
}

describe.each([
  ['a host', `pubsub.${domain}`],
  ['an account', `romeo@${domain}`],
])('at %s', (_, service) => {
  let disk: Disk;
  let server: TestServer;
  let romeo: StreamClient;

  const ask = (id: string, type: 'get' | 'set', children: string): void =>
    romeo.write(`<iq type='${type}' id='${id}' to='${service}'><pubsub xmlns='${NS.pubsub}'>${children}</pubsub></iq>`);
  const publish = (id: string, node = 'urn:tune'): void =>
    ask(id, 'set', `<publish node='${node}'><item id='${id}'><tune xmlns='urn:tune'/></item></publish>`);
  /** The next so many answers, by id and type. */
  async function answers(count: number): Promise<string[]> {
    const found: string[] = [];
    while (found.length < count) {
      const item = await romeo.next();
      if (item?.kind !== 'element') throw new Error(`only ${found} came`);
      const { id, type } = item.element.attrs;
      if (item.element.name === 'iq') found.push(`${id} ${type}`);
    }
    return found;
  }

  beforeEach(async () => {
    const clock = new FakeClock();
    disk = new Disk();
    server = await TestServer.start(
      { hosts: { [domain]: {} }, modules: { pubsub: { 'auto-create': true } } },
      { clock, driver: disk.driver(clock) },
    );
    await server.server.accounts.create(`romeo@${domain}`, 'secret');
    romeo = (await logIn(server.c2s, { domain, user: 'romeo', password: 'secret' })).client;
  });
  afterEach(async () => {
    disk.keep();
    await romeo.destroy();
    await server.stop();
  });

  test('what comes after publications does not wait for the disk; their answers come in their order', async () => {
    for (const id of ['a', 'b', 'c']) publish(id);
    // (an answer to something else comes)
    await romeo.fence();
    expect(romeo.inbox).toEqual([]);
    expect(disk.waiting).toHaveLength(3);
    disk.keep();
    expect(await answers(3)).toEqual(['a result', 'b result', 'c result']);
  });

  test('whoever reads after publishing reads what was published', async () => {
    publish('a');
    ask('i', 'get', "<items node='urn:tune'/>");
    romeo.write(
      `<iq type='get' id='d' to='${service}'><query xmlns='${NS.discoItems}' node='urn:tune'/></iq>` +
        `<iq type='get' id='l' to='${service}'><query xmlns='${NS.discoItems}'/></iq>`,
    );
    while (disk.waiting.length === 0) await new Promise(setImmediate);
    expect(romeo.inbox).toEqual([]);
    disk.keep();
    const texts: string[] = [];
    for (let i = 0; i < 4; i++) {
      const item = await romeo.next();
      texts.push(item?.kind === 'element' ? item.element.toString() : '');
    }
    expect(texts[0]).toContain('id="a"');
    expect(texts[1]).toMatch(/id="i".*<item id="a"/);
    expect(texts[2]).toMatch(/id="d".*name="a"/);
    expect(texts[3]).toMatch(/id="l".*node="urn:tune"/);
  });

  test.each([
    [new StorageUnavailable('the database is away'), 'resource-constraint'],
    [new UnstorableValue('too long'), 'bad-request'],
  ])('what is refused is answered, at once or when it could not be kept: %s', async (failure, condition) => {
    publish('a');
    while (disk.waiting.length === 0) await new Promise(setImmediate);
    ask('n', 'set', "<publish node='urn:tune'><item/><item/></publish>");
    expect(await answers(1)).toEqual(['n error']);
    disk.failure = failure;
    disk.keep();
    const refused = await romeo.next();
    expect(refused?.kind === 'element' && refused.element.toString()).toMatch(new RegExp(`id="a".*<${condition}`));
    expect(server.errors).toEqual([]);
  });
});
