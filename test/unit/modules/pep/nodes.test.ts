// The nodes of an account in a cluster, of which a node stops or dies; and of an account that is removed.
import { expect, test } from 'vitest';
import { el } from '../../../../src/xml/element.ts';
import { capsVer } from '../../../../src/xmpp/caps.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import type { StreamClient } from '../../../kit/client.ts';
import { pairForEach } from '../../../kit/pair-for-each.ts';

const domain = 'verona.test';
const pair = pairForEach();
const { enter, settle } = pair;

const answer = el(
  'query',
  NS.discoInfo,
  undefined,
  el('identity', NS.discoInfo, { category: 'client', type: 'pc' }),
  el('feature', NS.discoInfo, { var: 'urn:tune+notify' }),
);

/** Becomes available, wanting to hear of `urn:tune`. */
async function listen(client: StreamClient): Promise<void> {
  const c = el('c', NS.caps, { hash: 'sha-1', node: 'urn:x', ver: capsVer(answer)! });
  client.write(el('presence', null, undefined, c).toXml());
  await settle();
  for (const item of client.inbox.splice(0)) {
    if (item.kind !== 'element' || item.element.name !== 'iq') continue;
    const { id, from } = item.element.attrs;
    client.write(el('iq', null, { type: 'result', id: String(id), to: String(from) }, answer).toXml());
  }
  await settle();
}

const publish = (id: string, options = ''): string =>
  `<iq type='set' id='p'><pubsub xmlns='${NS.pubsub}'><publish node='urn:tune'><item id='${id}'><tune xmlns='urn:tune'/></item></publish>${options}</pubsub></iq>`;
const transient = `<publish-options><x xmlns='jabber:x:data' type='submit'><field var='FORM_TYPE' type='hidden'><value>${NS.pubsubPublishOptions}</value></field><field var='pubsub#persist_items'><value>false</value></field></x></publish-options>`;

/** Asks, and waits for the answer. */
async function ask(client: StreamClient, xml: string): Promise<string> {
  client.inbox.splice(0);
  client.write(xml);
  await settle();
  return heard(client, 'iq').join();
}

function heard(client: StreamClient, name: string): string[] {
  return client.inbox.flatMap((item) =>
    item.kind === 'element' && item.element.name === name ? [item.element.toString()] : [],
  );
}

const items = (client: StreamClient, to = ''): Promise<string> =>
  ask(client, `<iq type='get' id='i' ${to}><pubsub xmlns='${NS.pubsub}'><items node='urn:tune'/></pubsub></iq>`);

test.each(['stops', 'dies'])('what was published is there, and is heard, when a node %s', async (how) => {
  const [orchard, garden] = [await enter(0, 'romeo', 'orchard'), await enter(1, 'romeo', 'garden')];
  await listen(orchard);
  await listen(garden);
  expect(await ask(orchard, publish('a'))).toContain('type="result"');
  expect(heard(orchard, 'message')).toHaveLength(1);
  expect(heard(garden, 'message')).toHaveLength(1);
  const { group } = pair;
  const [first] = group.nodes;
  if (how === 'dies') {
    group.kill(first!);
    await orchard.destroy();
  } else await group.leave(first!);
  await settle();
  await group.clock.advance(60_000);
  expect(await items(garden)).toContain('id="a"');
  expect(await ask(garden, publish('b'))).toContain('type="result"');
  expect(heard(garden, 'message')).toHaveLength(1);
  expect(await items(garden)).toContain('id="b"');
});

test('a node that keeps nothing has its last item also when it moves', async () => {
  const [orchard, garden] = [await enter(0, 'romeo', 'orchard'), await enter(1, 'romeo', 'garden')];
  expect(await ask(orchard, publish('a', transient))).toContain('type="result"');
  await pair.group.leave(pair.group.nodes[0]!);
  await settle();
  garden.inbox.splice(0);
  await listen(garden);
  expect(heard(garden, 'message').join()).toContain('id="a"');
});

test('of an account that is removed nothing is left, and nothing comes back', async () => {
  const orchard = await enter(0, 'romeo', 'orchard');
  expect(await ask(orchard, publish('a'))).toContain('type="result"');
  const { accounts } = pair.group.nodes[0]!.server.server;
  await accounts.remove(`romeo@${domain}`);
  await settle();
  await accounts.create(`romeo@${domain}`, 'secret');
  const again = await enter(1, 'romeo', 'garden');
  expect(await items(again)).toContain('item-not-found');
  expect(await ask(again, publish('b'))).toContain('type="result"');
  expect(await items(again)).not.toContain('id="a"');
});
