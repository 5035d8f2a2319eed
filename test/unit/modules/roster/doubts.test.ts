// Changes of a roster of which nobody knows whether they were stored: devices are told what holds all the same.
import { afterEach, expect, test } from 'vitest';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { Driver, MapStore } from '../../../../src/storage/ports.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { FakeClock, turn } from '../../../kit/clock.ts';
import { logIn } from '../../../kit/login.ts';
import { TestServer } from '../../../kit/test-server.ts';

const domain = 'verona.test';
let server: TestServer;
const clients: StreamClient[] = [];
/** The connection to the database breaks while a contact is written: before that is done, or after. */
let breaks: 'before' | 'after' | undefined;

afterEach(async () => {
  breaks = undefined;
  for (const client of clients.splice(0)) await client.destroy();
  await server.stop();
});

function fragile(driver: Driver): Driver {
  return {
    ...driver,
    async open(host, module, specs) {
      const stores = (await driver.open(host, module, specs)) as Record<string, unknown>;
      if (module !== 'roster') return stores;
      const items = stores.items as MapStore<unknown>;
      const update: typeof items.update = async (owner, key, change) => {
        if (breaks === 'before') throw new StorageUnavailable('the connection broke');
        const value = await items.update(owner, key, change);
        if (breaks === 'after') throw new StorageUnavailable('the connection broke');
        return value;
      };
      return { ...stores, items: { ...items, update } };
    },
  };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    for (const client of clients) await client.fence();
    await turn();
  }
}

const heard = ({ inbox }: StreamClient): readonly string[] =>
  inbox.splice(0).flatMap((item) => (item.kind === 'element' ? [`${item.element}`] : []));

test.each([
  ['after', 'name="Romeo"'],
  ['before', 'subscription="remove"'],
] as const)('a name is pushed as it is in the end, where the connection broke %s it was stored', async (when, item) => {
  const clock = new FakeClock();
  const driver = fragile(createMemoryDriver(clock));
  server = await TestServer.start({ hosts: { [domain]: {} } }, { clock, driver });
  await server.server.accounts.create(`juliet@${domain}`, 'secret');
  for (const resource of ['balcony', 'chamber']) {
    const { client } = await logIn(server.c2s, { domain, user: 'juliet', password: 'secret', resource });
    clients.push(client);
    client.write("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>");
  }
  await settle();
  const [balcony, chamber] = clients as [StreamClient, StreamClient];
  for (const client of clients) heard(client);
  breaks = when;
  balcony.write(
    "<iq type='set' id='s'><query xmlns='jabber:iq:roster'><item jid='romeo@verona.test' name='Romeo'/></query></iq>",
  );
  await settle();
  expect(heard(balcony).join()).toContain('resource-constraint');
  // as long as the database is away, nobody knows
  await clock.advance(1_500);
  await settle();
  expect(heard(chamber)).toEqual([]);
  breaks = undefined;
  await clock.advance(1_500);
  await settle();
  for (const client of clients) {
    const pushes = heard(client).filter((text) => text.includes('push-'));
    expect(pushes).toHaveLength(1);
    expect(pushes[0]).toContain(item);
  }
});
