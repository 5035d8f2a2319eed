// Who does not publish is not named (XEP-0485 6).

import type { Element } from 'ltx';
import { expect, test } from 'vitest';
import { NS } from '../../../src/xmpp/ns.ts';
import { FakeClock } from '../../kit/clock.ts';
import { TestFederation } from '../../kit/federation.ts';
import { logIn } from '../../kit/login.ts';
import type { TestServer } from '../../kit/test-server.ts';

test('a server that does not publish is counted, and not named', async () => {
  const clock = new FakeClock();
  await using federation = new TestFederation();
  const add = (domain: string, publish: boolean): Promise<TestServer> =>
    federation.add(domain, { modules: { 'server-information': { publish } } }, { clock });
  const verona = await add('verona.test', true);
  await add('mantua.test', false);
  await verona.server.accounts.create('romeo@verona.test', 'secret');
  const { client } = await logIn(verona.c2s, { domain: 'verona.test', user: 'romeo', password: 'secret' });
  const ask = async (to: string, payload: string): Promise<Element> => {
    client.write(`<iq type='get' id='1' to='${to}'>${payload}</iq>`);
    const item = await client.next();
    if (item?.kind !== 'element') throw new Error('no answer');
    return item.element;
  };
  await ask('mantua.test', "<ping xmlns='urn:xmpp:ping'/>");
  await clock.advance(61_000);
  const items = `<pubsub xmlns='${NS.pubsub}'><items node='serverinfo'/></pubsub>`;
  const published = async (): Promise<string> => String(await ask('pubsub.verona.test', items));
  await expect.poll(published).toContain('<remote-domain><connection type="bidi"/></remote-domain>');
  expect(await published()).not.toContain('mantua');
  await client.destroy();
});
