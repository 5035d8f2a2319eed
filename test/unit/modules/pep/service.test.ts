// What the server does in the name of an account, and what modules say of nodes by their names.
import { afterEach, beforeEach, expect, test } from 'vitest';
import { defineModule, on } from '../../../../src/core/module.ts';
import { loadModules } from '../../../../src/index.ts';
import { type PersonalNodes, pep } from '../../../../src/modules/pep/service.ts';
import { itemPublish, nodeDefaults } from '../../../../src/modules/pubsub/hooks.ts';
import { Server } from '../../../../src/server.ts';
import { el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { logIn } from '../../../kit/login.ts';
import { testConfig } from '../../../kit/test-server.ts';

const domain = 'verona.test';
const note = (text: string) => el('note', 'urn:note', undefined, text);
let server: Server;
let nodes: PersonalNodes;

const probe = defineModule({
  summary: 'Hands out what accounts work with',
  xeps: [],
  needs: [pep],
  setup({ use }) {
    nodes = use(pep);
    return {
      handlers: [
        on(nodeDefaults, (event) => {
          if (event.name === 'urn:keys') event.config = { ...event.config, accessModel: 'open', maxItems: 'max' };
        }),
        on(itemPublish, { phase: 'check' }, ({ node, payload }) =>
          node.name === 'urn:keys' && payload?.getText() === 'bad' ? new StanzaError('not-acceptable') : undefined,
        ),
        on(itemPublish, { phase: 'change' }, (event) => {
          if (event.payload?.getText() === 'plain') event.payload = note('changed');
        }),
      ],
    };
  },
});

beforeEach(async () => {
  const config = testConfig({ hosts: { [domain]: {} } });
  const modules = new Map([...(await loadModules(config)), ['probe', probe as never] as const]);
  server = await Server.start(config, { modules, iterations: 1 });
  await server.hosts.get(domain)!.accounts.create('romeo', 'secret');
});
afterEach(() => server.stop());

const texts = async (...query: Parameters<PersonalNodes['items']>): Promise<string[]> =>
  (await nodes.items(...query)).map(({ id, payload }) => `${id}: ${payload?.getText()}`);

test('publishes, reads, configures, takes back and deletes', async () => {
  expect(await nodes.items('romeo', 'urn:notes')).toEqual([]);
  expect(await nodes.config('romeo', 'urn:notes')).toBeUndefined();
  const expected = { access_model: 'whitelist', max_items: 'max' };
  expect(await nodes.publish('romeo', 'urn:notes', note('one'), { id: 'a', expected })).toBe('a');
  await nodes.publish('romeo', 'urn:notes', note('two'), { id: 'b', expected });
  expect(await nodes.publish('romeo', 'urn:notes', note('three'))).not.toBe('');
  expect(await nodes.config('romeo', 'urn:notes')).toMatchObject({ accessModel: 'whitelist', maxItems: 'max' });
  expect((await texts('romeo', 'urn:notes')).map((text) => text.replace(/^.*: /, ''))).toEqual(['three', 'two', 'one']);
  expect(await texts('romeo', 'urn:notes', { most: 1 })).toHaveLength(1);
  expect(await texts('romeo', 'urn:notes', { ids: ['a', 'x'] })).toEqual(['a: one']);
  await nodes.configure('romeo', 'urn:notes', { access_model: 'open', title: 'Notes' });
  expect(await nodes.config('romeo', 'urn:notes')).toMatchObject({ accessModel: 'open', title: 'Notes' });
  await nodes.retract('romeo', 'urn:notes', ['b']);
  expect(await texts('romeo', 'urn:notes', { ids: ['a', 'b'] })).toEqual(['a: one']);
  await nodes.remove('romeo', 'urn:notes');
  expect(await nodes.config('romeo', 'urn:notes')).toBeUndefined();
});

test('is refused what does not hold', async () => {
  await nodes.publish('romeo', 'urn:notes', note('one'));
  await expect(
    nodes.publish('romeo', 'urn:notes', note('two'), { expected: { access_model: 'open' } }),
  ).rejects.toMatchObject({ condition: 'conflict' });
  await expect(nodes.retract('romeo', 'urn:notes', ['x'])).rejects.toMatchObject({ condition: 'item-not-found' });
  await expect(nodes.remove('romeo', 'urn:other')).rejects.toMatchObject({ condition: 'item-not-found' });
});

test('devices hear of it as of what one of them has published', async () => {
  let client: StreamClient | undefined;
  try {
    const address = server.address('c2s')!;
    ({ client } = await logIn(address, { domain, user: 'romeo', password: 'secret' }));
    client.write(
      "<iq type='set' id='s' to='romeo@verona.test'><pubsub xmlns='http://jabber.org/protocol/pubsub'><create node='urn:notes'/></pubsub></iq>",
    );
    client.write(
      "<presence/><iq type='set' id='t'><pubsub xmlns='http://jabber.org/protocol/pubsub'><subscribe node='urn:notes' jid='romeo@verona.test'/></pubsub></iq>",
    );
    await client.fence();
    client.inbox.splice(0);
    await nodes.publish('romeo', 'urn:notes', note('one'), { id: 'a' });
    const item = await client.next();
    expect(item?.kind === 'element' && item.element.toString()).toMatch(
      /<message from="romeo@verona.test".*urn:note">one/,
    );
  } finally {
    await client?.destroy();
  }
});

test('a node is what modules say of its name, and they look at what is published', async () => {
  await nodes.publish('romeo', 'urn:keys', note('good'), { id: 'a' });
  await nodes.publish('romeo', 'urn:keys', note('plain'), { id: 'b' });
  expect(await nodes.config('romeo', 'urn:keys')).toMatchObject({ accessModel: 'open', maxItems: 'max' });
  expect(await texts('romeo', 'urn:keys')).toEqual(['b: changed', 'a: good']);
  await expect(nodes.publish('romeo', 'urn:keys', note('bad'))).rejects.toMatchObject({ condition: 'not-acceptable' });
});
