// Requests that wait for a component: how many there may be, and what becomes of them when it comes anew.
import { afterEach, expect, test } from 'vitest';
import type { StreamClient } from '../../../kit/client.ts';
import { connectComponent } from '../../../kit/component.ts';
import { enter } from '../../../kit/federation.ts';
import { told } from '../../../kit/server-peer.ts';
import { TestServer } from '../../../kit/test-server.ts';

const namespace = 'urn:example:x';
const pubsub = 'pep.verona.test';

const ended: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end();
});

async function start() {
  const server = await TestServer.start({
    hosts: { 'verona.test': {} },
    components: { [pubsub]: { secret: 'sesame', delegate: [{ namespace }] } },
    listen: { component: 0 },
  });
  ended.push(() => server.stop());
  const person = async (name: string): Promise<StreamClient> => {
    const { client } = await enter(server, `${name}@verona.test`);
    ended.push(() => client.destroy());
    return client;
  };
  const component = async (): Promise<StreamClient> => {
    const client = await connectComponent(server.addressOf('component'), pubsub, 'sesame');
    ended.push(() => client.destroy());
    return client;
  };
  return { person, component };
}

/** Reads up to what matches. */
async function reads(client: StreamClient, pattern: RegExp): Promise<string> {
  for (;;) {
    const text = told(await client.next(10_000));
    if (pattern.test(text)) return text;
    if (text === 'nothing') throw new Error(`${pattern} never came`);
  }
}

const request = (id: string, content = ''): string =>
  `<iq type='set' id='${id}' to='verona.test'><query xmlns='${namespace}'>${content}</query></iq>`;

test('what the old connection of a component was asked is refused when there is a new one, at once', async () => {
  const { person, component } = await start();
  const old = await component();
  const romeo = await person('romeo');
  romeo.write(request('one'));
  await reads(old, /id="one"/);
  const fresh = await component();
  expect(await reads(romeo, /id="one"/)).toContain('<service-unavailable');
  // and what comes from now on is for the new one
  romeo.write(request('two'));
  await reads(fresh, /id="two"/);
});

test('one account does not take the places of all others', async () => {
  const { person, component } = await start();
  const silent = await component();
  const [romeo, juliet] = [await person('romeo'), await person('juliet')];
  romeo.write(Array.from({ length: 501 }, (_, i) => request(`r${i}`)).join(''));
  expect(await reads(romeo, /type="error"/)).toMatch(/id="r500".*<service-unavailable/);
  juliet.write(request('j'));
  await reads(silent, /id="j"/);
}, 30_000);

test('nor by requests that are large', async () => {
  const { person, component } = await start();
  const silent = await component();
  const [romeo, juliet] = [await person('romeo'), await person('juliet')];
  const large = 'a'.repeat(200_000);
  romeo.write(Array.from({ length: 25 }, (_, i) => request(`r${i}`, large)).join(''));
  expect(await reads(romeo, /type="error"/)).toMatch(/id="r20".*<service-unavailable/);
  juliet.write(request('j', large));
  await reads(silent, /id="j"/);
}, 30_000);
