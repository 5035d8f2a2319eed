// What a server does when it starts does not grow with what people keep: not with rooms, not with nodes, not with accounts (XEP-0045, XEP-0060).
import { expect, test } from 'vitest';
import { createMemoryDriver } from '../../src/storage/memory.ts';
import type { Driver } from '../../src/storage/ports.ts';
import { FakeClock } from '../kit/clock.ts';
import { logIn } from '../kit/login.ts';
import { TestServer } from '../kit/test-server.ts';

type Methods = Readonly<Record<string, (...args: unknown[]) => unknown>>;

/** The same driver, which counts the questions that are put to its stores. */
function counting(driver: Driver): Driver & { asked: number } {
  const counted = {
    ...driver,
    asked: 0,
    async open(host: string, module: string, specs: Parameters<Driver['open']>[2]) {
      const stores = await driver.open(host, module, specs);
      const wrap = (store: unknown): unknown =>
        Object.fromEntries(
          Object.entries(store as Methods).map(([name, method]) => [
            name,
            (...args: unknown[]) => {
              counted.asked++;
              return method(...args);
            },
          ]),
        );
      return Object.fromEntries(Object.entries(stores).map(([name, store]) => [name, wrap(store)]));
    },
  };
  return counted;
}

/** How many questions a start asks where so many accounts, nodes and rooms are kept. */
async function costOfStart(count: number): Promise<number> {
  const clock = new FakeClock();
  const driver = counting(createMemoryDriver(clock));
  const settings = { hosts: { 'verona.test': {} } };
  await using first = await TestServer.start(settings, { driver, clock });
  for (let i = 0; i < count; i++) await first.server.accounts.create(`user${i}@verona.test`, 'secret');
  const { client } = await logIn(first.c2s, { user: 'user0', password: 'secret', domain: 'verona.test' });
  const answered = async (xml: string): Promise<void> => {
    client.write(xml);
    for (;;) {
      const item = await client.next();
      if (item?.kind !== 'element') throw new Error('no answer came');
      if (item.element.name !== 'iq') continue;
      expect(item.element.attrs.type, String(item.element)).toBe('result');
      return;
    }
  };
  for (let i = 0; i < count; i++) {
    const publish = `<publish node='node${i}'><item id='a'><x xmlns='urn:example'/></item></publish>`;
    await answered(`<iq type='set' id='p'><pubsub xmlns='http://jabber.org/protocol/pubsub'>${publish}</pubsub></iq>`);
    const create = `<create node='node${i}'/>`;
    await answered(
      `<iq type='set' id='c' to='pubsub.verona.test'><pubsub xmlns='http://jabber.org/protocol/pubsub'>${create}</pubsub></iq>`,
    );
    const room = `room${i}@groups.verona.test`;
    client.write(`<presence to='${room}/me'><x xmlns='http://jabber.org/protocol/muc'/></presence>`);
    const form =
      "<x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE'><value>http://jabber.org/protocol/muc#roomconfig</value></field><field var='muc#roomconfig_persistentroom'><value>1</value></field></x>";
    await answered(
      `<iq type='set' id='r' to='${room}'><query xmlns='http://jabber.org/protocol/muc#owner'>${form}</query></iq>`,
    );
    client.write(`<presence to='${room}/me' type='unavailable'/>`);
  }
  await client.destroy();
  await first.stop();
  driver.asked = 0;
  await using second = await TestServer.start(settings, { driver, clock });
  const asked = driver.asked;
  await second.stop();
  return asked;
}

test('a start asks for as much where a hundred accounts, nodes and rooms are kept as where there are five', async () => {
  const few = await costOfStart(5);
  expect(await costOfStart(100)).toBeLessThanOrEqual(few + 2);
});
