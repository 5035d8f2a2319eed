// What changes while people are there (XEP-0215 3.2).
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ConfigInput } from '../../../src/config/server.ts';
import type { Server } from '../../../src/server.ts';
import { parseElement } from '../../../src/xml/document.ts';
import type { Element } from '../../../src/xml/element.ts';
import { NS } from '../../../src/xmpp/ns.ts';
import type { StreamClient } from '../../kit/client.ts';
import { logIn } from '../../kit/login.ts';
import { startServer, testConfig } from '../../kit/test-server.ts';

type Services = NonNullable<ConfigInput['external-services']>;

const host = 'verona.test';
const one = { type: 'turn', host: 'one.test', secret: 'apothecary' } as const;
const two = { type: 'turn', host: 'two.test', secret: 'apothecary' } as const;
const stun = { type: 'stun', host: 'one.test' } as const;
const settings = (services: Services): ConfigInput => ({ hosts: { [host]: { 'external-services': services } } });

let server: Server;
let client: StreamClient;

beforeEach(async () => {
  server = await startServer(settings([one, stun]));
  await server.hosts.get(host)!.accounts.create('romeo', 'secret');
  ({ client } = await logIn(server.address('c2s')!, {
    domain: host,
    user: 'romeo',
    password: 'secret',
    resource: 'a',
  }));
});
afterEach(async () => {
  await client.destroy();
  await server.stop();
});

const reload = (services: Services): Promise<unknown> => server.reload(testConfig(settings(services)));

async function ask(type?: string): Promise<void> {
  const attribute = type === undefined ? '' : ` type='${type}'`;
  client.write(`<iq type='get' id='1' to='${host}'><services xmlns='${NS.extdisco}'${attribute}/></iq>`);
  await client.next();
}

/** What was pushed until now. */
async function pushed(): Promise<Element[]> {
  await client.fence();
  return client.inbox
    .splice(0)
    .flatMap((item) => (item.kind === 'element' ? [parseElement(String(item.element))] : []));
}
const actions = (push: Element | undefined): string[] =>
  (push?.getChild('services', NS.extdisco)?.getChildren('service', NS.extdisco) ?? []).map(
    ({ attrs }) => `${attrs.action} ${attrs.type} ${attrs.host}`,
  );

test('who has asked is told what is new, what is gone and what is different', async () => {
  client.write('<presence/>');
  await ask();
  await pushed();
  await reload([{ ...one, secret: 'another' }, two]);
  const [push, ...more] = await pushed();
  expect(more).toEqual([]);
  expect(push?.attrs).toMatchObject({ type: 'set', from: host, to: `romeo@${host}/a` });
  expect(actions(push)).toEqual(['modify turn one.test', 'add turn two.test', 'delete stun one.test']);
  const [modified, added, deleted] = push!.getChild('services', NS.extdisco)!.getChildren('service', NS.extdisco);
  for (const { attrs } of [modified!, added!]) expect(attrs.password).toMatch(/=$/);
  expect(deleted!.attrs).toEqual({ action: 'delete', type: 'stun', host: 'one.test', port: '3478', transport: 'udp' });
  // and only once
  await reload([{ ...one, secret: 'another' }, two]);
  expect(await pushed()).toEqual([]);
});

test('who has asked for one kind is told of that only', async () => {
  client.write('<presence/>');
  await ask('stun');
  await pushed();
  await reload([two, stun]);
  expect(await pushed()).toEqual([]);
  await reload([two]);
  expect((await pushed()).map(actions)).toEqual([['delete stun one.test']]);
});

test('who has not asked, or is not there by presence, is told nothing', async () => {
  client.write('<presence/>');
  await pushed();
  await reload([two]);
  expect(await pushed()).toEqual([]);
  client.write("<presence type='unavailable'/>");
  await ask();
  await pushed();
  await reload([one]);
  expect(await pushed()).toEqual([]);
});
