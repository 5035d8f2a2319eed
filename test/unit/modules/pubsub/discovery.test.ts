import { expect, test } from 'vitest';
import { on } from '../../../../src/core/module.ts';
import { featuresWith, listNodes } from '../../../../src/modules/pubsub/discovery.ts';
import { nodeInfo } from '../../../../src/modules/pubsub/hooks.ts';
import { el } from '../../../../src/xml/element.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { jid, TestShelf } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';

async function names(shelf: TestShelf, asker: string): Promise<string[]> {
  const query = el('query', NS.discoItems);
  return (await listNodes(shelf.shelf, jid(asker), query)).map(({ node, name }) =>
    name === undefined ? node! : `${node}: ${name}`,
  );
}

test('nodes are listed with their titles, those with a whitelist for those on it', async () => {
  const shelf = await TestShelf.open();
  await shelf.create('b', { title: 'Second' });
  await shelf.create('a');
  await shelf.create('closed', { access_model: 'whitelist' });
  await shelf.create('asked', { access_model: 'authorize' });
  await shelf.create('gone');
  await shelf.setAsOwner(ROMEO, "<delete node='gone'><redirect uri='xmpp:a'/></delete>");
  expect(await names(shelf, ROMEO)).toEqual(['a', 'asked', 'b: Second', 'closed']);
  expect(await names(shelf, JULIET)).toEqual(['a', 'asked', 'b: Second']);
  await shelf.setAsOwner(
    ROMEO,
    "<affiliations node='closed'><affiliation jid='juliet@verona.test' affiliation='member'/></affiliations>",
  );
  expect(await names(shelf, JULIET)).toContain('closed');
});

test('a node tells what it is, who it belongs to, and how many have subscribed', async () => {
  const shelf = await TestShelf.open({ handlers: [on(nodeInfo, ({ features }) => void features.push('urn:extra'))] });
  await shelf.create('musings', { title: 'Musings', type: 'urn:note', language: 'en', max_items: '5' });
  await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
  const told = await shelf.discover(JULIET, 'info', 'musings');
  expect(told).toContain("<identity category='pubsub' type='leaf' name='Musings'/>");
  expect(told).toContain("<feature var='http://jabber.org/protocol/pubsub'/><feature var='urn:extra'/>");
  for (const [name, value] of [
    ['type', 'urn:note'],
    ['creator', 'romeo@verona.test'],
    ['creation_date', '2026-01-15T12:00:00.000Z'],
    ['title', 'Musings'],
    ['language', 'en'],
    ['access_model', 'open'],
    ['publish_model', 'publishers'],
    ['max_items', '5'],
    ['owner', 'romeo@verona.test'],
    ['num_subscribers', '1'],
  ]) {
    expect(told).toMatch(new RegExp(`var='pubsub#${name}'[^>]*><value>${value}</value>`));
  }
});

test('items are listed by id, the newest first, page by page', async () => {
  const shelf = await TestShelf.open();
  await shelf.create('musings');
  for (const id of ['1', '2', '3']) await shelf.publish('musings', id);
  const item = (id: string): string => `<item jid='pubsub.verona.test' name='${id}'/>`;
  expect(await shelf.discover(JULIET, 'items', 'musings')).toBe(['3', '2', '1'].map(item).join(''));
  const page = await shelf.discover(
    JULIET,
    'items',
    'musings',
    "<set xmlns='http://jabber.org/protocol/rsm'><max>1</max><after>3</after></set>",
  );
  expect(page).toContain(item('2'));
  expect(page).toContain('<count>3</count>');
});

test.each([
  ['that is not there', {}, 'other', 'item-not-found', 'item-not-found'],
  ['with a whitelist', { access_model: 'whitelist' }, 'musings', 'not-allowed closed-node', 'not-allowed closed-node'],
  [
    'for contacts',
    { access_model: 'presence' },
    'musings',
    'not-authorized presence-subscription-required',
    'not-authorized presence-subscription-required',
  ],
])('of a node %s strangers learn nothing', async (_what, fields, node, info, items) => {
  const shelf = await TestShelf.open();
  await shelf.create('musings', fields as Record<string, string>);
  expect(await shelf.discover(JULIET, 'info', node)).toBe(info);
  expect(await shelf.discover(JULIET, 'items', node)).toBe(items);
});

test('a node that asks its owners first tells what it is, and not what it has', async () => {
  const shelf = await TestShelf.open();
  await shelf.create('musings', { access_model: 'authorize' });
  expect(await shelf.discover(JULIET, 'info', 'musings')).toContain("type='leaf'");
  expect(await shelf.discover(JULIET, 'items', 'musings')).toBe('not-authorized not-subscribed');
});

test('a service has each feature once', () => {
  const features = featuresWith('auto-create', 'get-pending');
  expect(features).toContain('http://jabber.org/protocol/pubsub#publish-options');
  expect(features).toContain('http://jabber.org/protocol/pubsub#access-open');
  expect(features).toContain('http://jabber.org/protocol/pubsub#auto-create');
  expect(new Set(features).size).toBe(features.length);
});
