import { describe, expect, test } from 'vitest';
import { on } from '../../../../src/core/module.ts';
import { plainConfig } from '../../../../src/modules/pubsub/config.ts';
import { chosen } from '../../../../src/modules/pubsub/forms.ts';
import {
  nodeConfigured,
  nodeConfiguring,
  nodeCreated,
  nodeCreating,
  nodeDefaults,
  nodeDeleted,
  nodeFields,
  nodePurged,
} from '../../../../src/modules/pubsub/hooks.ts';
import { booleanField } from '../../../../src/xmpp/dataform.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { form, TestShelf } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';

const configure = (fields: Record<string, string>): string => form(NS.pubsubNodeConfig, fields);

/** The value of a field in a form. */
function fieldOf(xml: string, name: string): string | undefined {
  return new RegExp(`var='pubsub#${name}'[^>]*>(?:<desc>[^<]*</desc>)?<value>([^<]*)</value>`).exec(xml)?.[1];
}

describe('a node is made', () => {
  test('under a name, and is its creator’s', async () => {
    const shelf = await TestShelf.open();
    expect(await shelf.set(ROMEO, "<create node='musings'/>")).toBe("<create node='musings'/>");
    expect(await shelf.get(ROMEO, '<affiliations/>')).toBe(
      "<affiliations><affiliation node='musings' affiliation='owner'/></affiliations>",
    );
    shelf.restart();
    expect(await shelf.getAsOwner(ROMEO, "<affiliations node='musings'/>")).toBe(
      "<affiliations node='musings'><affiliation jid='romeo@verona.test' affiliation='owner'/></affiliations>",
    );
  });

  test('under a name of the service’s where it is given none', async () => {
    const shelf = await TestShelf.open();
    expect(await shelf.set(ROMEO, '<create/>')).toMatch(/^<create node='id\d+'\/>$/);
    expect(await shelf.set(ROMEO, "<create node=''/>")).toMatch(/^<create node='id\d+'\/>$/);
  });

  test('with a configuration, of which the difference is stored', async () => {
    const shelf = await TestShelf.open();
    const fields = { title: 'Musings', access_model: 'whitelist', max_items: '10', persist_items: '1' };
    await shelf.set(ROMEO, `<create node='musings'/><configure>${configure(fields)}</configure>`);
    const row = await shelf.stores.nodes.get('pubsub', 'musings');
    expect(row?.config).toEqual({ title: 'Musings', accessModel: 'whitelist', maxItems: 10 });
    shelf.restart();
    const told = await shelf.getAsOwner(ROMEO, "<configure node='musings'/>");
    expect([fieldOf(told, 'title'), fieldOf(told, 'access_model'), fieldOf(told, 'max_items')]).toEqual([
      'Musings',
      'whitelist',
      '10',
    ]);
  });

  test('once, of those who ask at a time', async () => {
    const shelf = await TestShelf.open();
    const answers = await Promise.all([ROMEO, JULIET].map((who) => shelf.set(who, "<create node='musings'/>")));
    expect(answers).toEqual(["<create node='musings'/>", 'conflict']);
  });

  test.each<[string, string, string]>([
    ['a name that is taken', "<create node='there'/>", 'conflict'],
    ['a name of too many bytes', `<create node='${'ü'.repeat(512)}'/>`, 'not-acceptable nodeid-required'],
    [
      'an access model that is none',
      `<create node='a'/><configure>${configure({ access_model: 'friends' })}</configure>`,
      'not-acceptable unsupported-access-model',
    ],
    [
      'a number that is none',
      `<create node='a'/><configure>${configure({ max_items: 'many' })}</configure>`,
      'not-acceptable',
    ],
    [
      'more items than may be',
      `<create node='a'/><configure>${configure({ max_items: '1001' })}</configure>`,
      'not-acceptable',
    ],
    [
      'a collection',
      `<create node='a'/><configure>${configure({ node_type: 'collection' })}</configure>`,
      'not-acceptable',
    ],
    ['a configuration before it', `<configure>${configure({})}</configure><create node='a'/>`, 'bad-request'],
    ['a configuration of another', `<create node='a'/><configure node='b'>${configure({})}</configure>`, 'bad-request'],
    ['another form', `<create node='a'/><configure>${form('urn:other', {})}</configure>`, 'bad-request'],
  ])('not with %s', async (_what, request, outcome) => {
    const shelf = await TestShelf.open();
    await shelf.create('there');
    expect(await shelf.set(ROMEO, request)).toBe(outcome);
    expect(await shelf.stores.nodes.get('pubsub', 'a')).toBeUndefined();
  });

  test('not by those who may not, nor beyond their number', async () => {
    const shelf = await TestShelf.open({ policy: { mayCreate: (who) => who.local === 'romeo', mostNodes: 2 } });
    expect(await shelf.set(JULIET, "<create node='a'/>")).toBe('forbidden');
    for (const name of ['a', 'b']) expect(await shelf.set(ROMEO, `<create node='${name}'/>`)).toContain('<create');
    expect(await shelf.set(ROMEO, "<create node='c'/>")).toBe('policy-violation max-nodes-exceeded');
  });

  test('without the owners of one that a dead server has left behind', async () => {
    const shelf = await TestShelf.open();
    await shelf.stores.entities.set('pubsub', 'musings', 'tybalt@verona.test', { affiliation: 'owner' });
    await shelf.create('musings');
    shelf.restart();
    expect(await shelf.getAsOwner('tybalt@verona.test/x', "<configure node='musings'/>")).toBe('forbidden');
    expect(await shelf.get('tybalt@verona.test/x', '<affiliations/>')).toBe('<affiliations/>');
  });
});

describe('a node is configured', () => {
  test('by its owner, who sees what holds', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    expect(fieldOf(await shelf.getAsOwner(ROMEO, "<configure node='musings'/>"), 'access_model')).toBe('open');
    expect(
      await shelf.setAsOwner(
        ROMEO,
        `<configure node='musings'>${configure({ access_model: 'whitelist', title: 'X' })}</configure>`,
      ),
    ).toBe('');
    const told = await shelf.getAsOwner(ROMEO, "<configure node='musings'/>");
    expect([fieldOf(told, 'access_model'), fieldOf(told, 'title'), fieldOf(told, 'publish_model')]).toEqual([
      'whitelist',
      'X',
      'publishers',
    ]);
  });

  test('not when its owner cancels', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    expect(
      await shelf.setAsOwner(ROMEO, "<configure node='musings'><x xmlns='jabber:x:data' type='cancel'/></configure>"),
    ).toBe('');
    expect(await shelf.setAsOwner(ROMEO, "<configure node='musings'/>")).toBe('bad-request');
  });

  test.each([
    ['others', JULIET, "<configure node='musings'/>", 'forbidden'],
    ['nobody, where there is none', ROMEO, "<configure node='other'/>", 'item-not-found'],
    ['nobody, without a name', ROMEO, '<configure/>', 'bad-request nodeid-required'],
  ])('not by %s', async (_who, from, request, outcome) => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    expect(await shelf.getAsOwner(from, request)).toBe(outcome);
    expect(await shelf.setAsOwner(from, request)).toBe(outcome);
  });

  test.each([
    [
      'with it where payloads are sent',
      '1',
      /configuration \[x xmlns=jabber:x:data type=result\]|configuration \[x type=result\]/,
    ],
    ['alone where they are not', '0', /configuration$/],
  ])('and subscribers are told, where they are to: %s', async (_how, payloads, expected) => {
    const shelf = await TestShelf.open();
    await shelf.create('musings', { deliver_payloads: payloads });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.setAsOwner(ROMEO, `<configure node='musings'>${configure({ title: 'a' })}</configure>`);
    expect(shelf.heard()).toEqual([]);
    await shelf.setAsOwner(ROMEO, `<configure node='musings'>${configure({ notify_config: '1' })}</configure>`);
    expect(shelf.heard()).toEqual([expect.stringMatching(expected)]);
  });

  test('to keep less: what does not fit goes, and subscribers are told', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    for (const id of ['1', '2', '3']) await shelf.publish('musings', id);
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    shelf.told.length = 0;
    await shelf.setAsOwner(ROMEO, `<configure node='musings'>${configure({ max_items: '1' })}</configure>`);
    expect(shelf.heard()).toEqual(['juliet@verona.test: items [retract id=1 retract id=2]']);
    await shelf.setAsOwner(ROMEO, `<configure node='musings'>${configure({ persist_items: '0' })}</configure>`);
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe("<items node='musings'/>");
    expect((await shelf.stores.items.usage('pubsub', 'musings')).items).toBe(0);
  });

  test('with fields that modules add, which are kept, and are preconditions like others', async () => {
    const pinned = { name: 'x-pinned', field: booleanField('Pinned'), fallback: false };
    const shelf = await TestShelf.open({ handlers: [on(nodeFields, ({ fields }) => void fields.push(pinned))] });
    await shelf.create('musings');
    const x = (value: string, type: string): string =>
      form(type, {}).replace('</x>', `<field var='x-pinned'><value>${value}</value></field></x>`);
    await shelf.setAsOwner(ROMEO, `<configure node='musings'>${x('1', NS.pubsubNodeConfig)}</configure>`);
    shelf.restart();
    const node = await shelf.shelf.get('musings');
    expect(chosen(node.config, pinned)).toBe(true);
    const publish = "<publish node='musings'><item><note xmlns='urn:note'/></item></publish>";
    const options = (value: string): string =>
      `<publish-options>${x(value, NS.pubsubPublishOptions)}</publish-options>`;
    expect(await shelf.set(ROMEO, publish + options('true'))).toContain('<publish');
    expect(await shelf.set(ROMEO, publish + options('0'))).toBe('conflict precondition-not-met');
  });
});

describe('what a new node is', () => {
  test('is told to those who ask, as a form', async () => {
    const shelf = await TestShelf.open();
    const told = await shelf.getAsOwner(JULIET, '<default/>');
    expect([fieldOf(told, 'access_model'), fieldOf(told, 'persist_items'), fieldOf(told, 'max_items')]).toEqual([
      'open',
      '1',
      'max',
    ]);
    expect(await shelf.getAsOwner(JULIET, "<default type='leaf'/>")).toBe(told);
    expect(await shelf.getAsOwner(JULIET, "<default type='collection'/>")).toBe(
      'feature-not-implemented unsupported(collections)',
    );
  });

  test('may depend on its name', async () => {
    const shelf = await TestShelf.open({
      handlers: [
        on(nodeDefaults, (event) => {
          if (event.name === 'secret') event.config = { ...event.config, accessModel: 'whitelist' };
        }),
      ],
    });
    await shelf.create('secret');
    await shelf.create('open');
    expect(await shelf.get(JULIET, "<items node='secret'/>")).toBe('not-allowed closed-node');
    expect(await shelf.get(JULIET, "<items node='open'/>")).toBe("<items node='open'/>");
    expect((await shelf.stores.nodes.get('pubsub', 'secret'))?.config).toEqual({});
  });
});

describe('a node is deleted', () => {
  test('with all that it has, and everybody who has to do with it is told', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings', { access_model: 'authorize' });
    await shelf.publish('musings', '1');
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    shelf.listeners = ['nurse@verona.test/chamber'];
    shelf.told.length = 0;
    expect(await shelf.setAsOwner(ROMEO, "<delete node='musings'/>")).toBe('');
    // (her subscription was pending)
    expect(shelf.heard().sort()).toEqual(['juliet@verona.test: delete', 'nurse@verona.test/chamber: delete']);
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe('item-not-found');
    for (const list of ['<subscriptions/>', '<affiliations/>']) expect(await shelf.get(ROMEO, list)).toBe(list);
    await shelf.create('musings', {}, JULIET);
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe("<items node='musings'/>");
    expect(await shelf.getAsOwner(ROMEO, "<configure node='musings'/>")).toBe('forbidden');
  });

  test('and says where it goes on, also after a restart, until there is another', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.setAsOwner(ROMEO, "<delete node='musings'><redirect uri='xmpp:a?;node=b'/></delete>");
    expect(shelf.heard()).toEqual(['juliet@verona.test: delete [redirect uri=xmpp:a?;node=b]']);
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toBe('gone xmpp:a?;node=b');
    shelf.restart();
    expect(await shelf.publish('musings', '1')).toBe('gone xmpp:a?;node=b');
    await shelf.create('musings');
    expect(await shelf.publish('musings', '1')).toContain('<publish');
  });

  test('silently where that is wanted', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings', { notify_delete: '0' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.setAsOwner(ROMEO, "<delete node='musings'/>");
    expect(shelf.heard()).toEqual([]);
  });

  test.each([
    ['others', JULIET, "<delete node='musings'/>", 'forbidden'],
    ['nobody where there is none', ROMEO, "<delete node='other'/>", 'item-not-found'],
    [
      'nobody for nothing that is an address',
      ROMEO,
      "<delete node='musings'><redirect uri=''/></delete>",
      'bad-request',
    ],
  ])('not by %s', async (_who, from, request, outcome) => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    expect(await shelf.setAsOwner(from, request)).toBe(outcome);
  });
});

describe('all items are removed at once', () => {
  test('and subscribers are told so in one message', async () => {
    const shelf = await TestShelf.open();
    await shelf.create('musings');
    for (const id of ['1', '2']) await shelf.publish('musings', id);
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    shelf.told.length = 0;
    expect(await shelf.setAsOwner(ROMEO, "<purge node='musings'/>")).toBe('');
    expect(shelf.heard()).toEqual(['juliet@verona.test: purge']);
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe("<items node='musings'/>");
  });

  test.each<[string, Record<string, string>, string, string, string]>([
    ['by others', {}, JULIET, 'musings', 'forbidden'],
    [
      'of a node that keeps none',
      { persist_items: '0' },
      ROMEO,
      'musings',
      'feature-not-implemented unsupported(persistent-items)',
    ],
    ['of a node that is not there', {}, ROMEO, 'other', 'item-not-found'],
  ])('not %s', async (_what, fields, from, node, outcome) => {
    const shelf = await TestShelf.open();
    await shelf.create('musings', fields);
    expect(await shelf.setAsOwner(from, `<purge node='${node}'/>`)).toBe(outcome);
  });
});

test('modules may refuse nodes and their configuration, and hear of what becomes of them', async () => {
  const heard: string[] = [];
  const shelf = await TestShelf.open({
    handlers: [
      on(nodeCreating, { phase: 'check' }, ({ name }) =>
        name === 'bad' ? new StanzaError('policy-violation') : undefined,
      ),
      on(nodeConfiguring, { phase: 'check' }, ({ config }) =>
        config.title === 'bad' ? new StanzaError('policy-violation') : undefined,
      ),
      on(nodeCreated, ({ node, creator }) => void heard.push(`created ${node.name} ${creator.full}`)),
      on(nodeConfigured, ({ node, before }) => void heard.push(`configured ${before.title} ${node.config.title}`)),
      on(nodePurged, ({ node }) => void heard.push(`purged ${node.name}`)),
      on(nodeDeleted, ({ node }) => void heard.push(`deleted ${node.name}`)),
    ],
  });
  expect(await shelf.set(ROMEO, "<create node='bad'/>")).toBe('policy-violation');
  await shelf.create('musings', { title: 'a' });
  expect(await shelf.setAsOwner(ROMEO, `<configure node='musings'>${configure({ title: 'bad' })}</configure>`)).toBe(
    'policy-violation',
  );
  await shelf.setAsOwner(ROMEO, `<configure node='musings'>${configure({ title: 'b' })}</configure>`);
  await shelf.setAsOwner(ROMEO, "<purge node='musings'/>");
  await shelf.setAsOwner(ROMEO, "<delete node='musings'/>");
  expect(heard).toEqual([`created musings ${ROMEO}`, 'configured a b', 'purged musings', 'deleted musings']);
});

test('every field of a configuration can be told, and be read again', async () => {
  const shelf = await TestShelf.open();
  const fields = {
    title: 'a',
    description: 'b',
    type: 'c',
    language: 'en',
    contact: 'a@b.test|c@d.test',
    access_model: 'roster',
    roster_groups_allowed: 'Friends|Foes',
    publish_model: 'open',
    persist_items: '0',
    max_items: '7',
    item_expire: '60',
    publish_node_full: 'reject',
    max_payload_size: '99',
    subscribe: '0',
    deliver_notifications: '0',
    deliver_payloads: '0',
    notify_config: '1',
    notify_delete: '0',
    notify_retract: '0',
    notify_sub: '1',
    notification_type: 'normal',
    send_last_published_item: 'never',
    presence_based_delivery: '1',
    itemreply: 'publisher',
    tempsub: '1',
  };
  await shelf.create('musings', fields);
  const { config } = await shelf.shelf.get('musings');
  for (const [name, value] of Object.entries(plainConfig))
    expect([name, config[name as keyof typeof config]]).not.toEqual([name, value]);
  const told = await shelf.getAsOwner(ROMEO, "<configure node='musings'/>");
  for (const [name, value] of Object.entries(fields)) {
    const first = value.split('|')[0]!;
    expect([name, fieldOf(told, name)]).toEqual([name, first]);
  }
});
