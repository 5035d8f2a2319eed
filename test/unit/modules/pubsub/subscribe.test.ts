import { describe, expect, test } from 'vitest';
import { on } from '../../../../src/core/module.ts';
import { nodeSubscribed } from '../../../../src/modules/pubsub/hooks.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { form, TestShelf, type TestShelfOptions } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';

async function withNode(fields: Record<string, string> = {}, options: TestShelfOptions = {}): Promise<TestShelf> {
  const shelf = await TestShelf.open(options);
  await shelf.create('musings', fields);
  return shelf;
}

const options = (fields: Record<string, string>): string => form(NS.pubsubSubscribeOptions, fields);
const subscribe = "<subscribe node='musings' jid='juliet@verona.test'/>";
const never = `<options>${options({ deliver: '0' })}</options>`;

/** The subids in an answer. */
function subids(xml: string): string[] {
  return [...xml.matchAll(/subid='([^']*)'/g)].map(([, subid]) => subid!);
}

/** Subscribes twice, by other options. */
async function twice(shelf: TestShelf): Promise<[string, string]> {
  const [first] = subids(await shelf.set(JULIET, subscribe));
  const lease = `<options>${options({ expire: '2030-01-01T00:00:00Z' })}</options>`;
  const [second] = subids(await shelf.set(JULIET, subscribe + lease));
  shelf.told.length = 0;
  return [first!, second!];
}

describe('subscribing', () => {
  test('by a bare address, which the answer names with a subid', async () => {
    const shelf = await withNode();
    expect(await shelf.set(JULIET, subscribe)).toMatch(
      /^<subscription node='musings' jid='juliet@verona.test' subid='[^']+' subscription='subscribed'\/>$/,
    );
  });

  test('once more by the same address changes nothing', async () => {
    const shelf = await withNode();
    const first = await shelf.set(JULIET, subscribe);
    expect(await shelf.set(JULIET, subscribe)).toBe(first);
    expect(subids(await shelf.get(JULIET, '<subscriptions/>'))).toHaveLength(1);
  });

  test('with options answers with what holds, and they count', async () => {
    const shelf = await withNode();
    const answer = await shelf.set(JULIET, subscribe + never);
    expect(answer).toContain("type='result'");
    expect(answer).toMatch(/var='pubsub#deliver'[^>]*><value>0/);
    await shelf.publish('musings', '1');
    expect(shelf.heard('juliet@verona.test')).toEqual([]);
  });

  test('sends the last item, to whoever may have it, unless the node is never to', async () => {
    for (const [when, expected] of [
      ['on_sub', 1],
      ['on_sub_and_presence', 1],
      ['never', 0],
    ] as const) {
      const shelf = await withNode({ send_last_published_item: when });
      for (const id of ['1', '2']) await shelf.publish('musings', id);
      await shelf.set(JULIET, subscribe);
      expect(shelf.heard()).toEqual(expected === 0 ? [] : ['juliet@verona.test: items [item id=2 [note]] late']);
    }
  });

  test('tells the owners, where the node is to', async () => {
    const shelf = await withNode({ notify_sub: '1' });
    await shelf.set(JULIET, subscribe);
    await shelf.set(JULIET, "<unsubscribe node='musings' jid='juliet@verona.test'/>");
    expect(shelf.heard('romeo@verona.test')).toEqual([
      'romeo@verona.test: subscription jid=juliet@verona.test subscription=subscribed',
      'romeo@verona.test: subscription jid=juliet@verona.test subscription=none',
    ]);
  });

  test.each<[string, Record<string, string>, string, string]>([
    ['for somebody else', {}, "<subscribe node='musings' jid='nurse@verona.test'/>", 'bad-request invalid-jid'],
    ['for nothing that is an address', {}, "<subscribe node='musings' jid='@'/>", 'bad-request invalid-jid'],
    ['for nobody', {}, "<subscribe node='musings'/>", 'bad-request jid-required'],
    ['where there is nothing', {}, "<subscribe node='other' jid='juliet@verona.test'/>", 'item-not-found'],
    ['to no node', {}, "<subscribe jid='juliet@verona.test'/>", 'bad-request nodeid-required'],
    ['where nobody may', { subscribe: '0' }, subscribe, 'feature-not-implemented unsupported(subscribe)'],
    ['where there is a whitelist', { access_model: 'whitelist' }, subscribe, 'not-allowed closed-node'],
    [
      'where it is for contacts',
      { access_model: 'presence' },
      subscribe,
      'not-authorized presence-subscription-required',
    ],
    ['where it is for friends', { access_model: 'roster' }, subscribe, 'not-authorized not-in-roster-group'],
    [
      'with options that cannot be',
      {},
      `${subscribe}<options>${options({ expire: 'soon' })}</options>`,
      'bad-request invalid-options',
    ],
    ['with options of another node', {}, `${subscribe}<options node='other'>${options({})}</options>`, 'bad-request'],
    ['with options before it', {}, `<options>${options({})}</options>${subscribe}`, 'bad-request'],
  ])('is refused %s', async (_what, fields, request, outcome) => {
    const shelf = await withNode(fields);
    expect(await shelf.set(JULIET, request)).toBe(outcome);
    expect(await shelf.get(JULIET, '<subscriptions/>')).toBe('<subscriptions/>');
  });

  test('is refused beyond a number', async () => {
    const shelf = await withNode({}, { policy: { mostSubscriptions: 2 } });
    for (const resource of ['a', 'b'])
      await shelf.set(JULIET, `<subscribe node='musings' jid='juliet@verona.test/${resource}'/>`);
    expect(await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test/c'/>")).toBe(
      'policy-violation too-many-subscriptions',
    );
  });
});

describe('who may subscribe and read, by access model', () => {
  const isFrom = { isFrom: true, groups: [] };
  const friend = { isFrom: true, groups: ['Friends'] };
  const stranger = { isFrom: false, groups: ['Friends'] };

  test.each<[string, string | undefined, TestShelfOptions['contacts'], boolean]>([
    ['open', undefined, {}, true],
    ['presence', undefined, { 'romeo@verona.test juliet@verona.test': isFrom }, true],
    ['presence', undefined, { 'romeo@verona.test juliet@verona.test': stranger }, false],
    ['presence', undefined, { 'nurse@verona.test juliet@verona.test': isFrom }, false],
    ['roster', undefined, { 'romeo@verona.test juliet@verona.test': friend }, true],
    ['roster', undefined, { 'romeo@verona.test juliet@verona.test': isFrom }, false],
    ['roster', undefined, { 'romeo@verona.test juliet@verona.test': stranger }, false],
    ['whitelist', 'member', {}, true],
    ['whitelist', 'publisher', {}, true],
    ['whitelist', 'owner', {}, true],
    ['whitelist', 'publish-only', {}, false],
    ['presence', 'member', {}, true],
    ['open', 'outcast', {}, false],
    ['open', 'publish-only', {}, false],
    ['presence', 'outcast', { 'romeo@verona.test juliet@verona.test': isFrom }, false],
    ['authorize', 'member', {}, true],
  ])('%s, %s: %#', async (access, affiliation, contacts, may) => {
    const shelf = await withNode(
      { access_model: access, roster_groups_allowed: 'Friends' },
      { contacts: contacts ?? {} },
    );
    if (affiliation !== undefined) {
      await shelf.setAsOwner(
        ROMEO,
        `<affiliations node='musings'><affiliation jid='juliet@verona.test' affiliation='${affiliation}'/></affiliations>`,
      );
    }
    expect((await shelf.set(JULIET, subscribe)).includes("'subscribed'")).toBe(may);
    expect((await shelf.get(JULIET, "<items node='musings'/>")) === "<items node='musings'/>").toBe(may);
    await shelf.publish('musings', '1');
    expect(shelf.heard('juliet@verona.test').some((line) => line.includes('item id=1'))).toBe(may);
  });

  test('who may not any more hears nothing, and hears again when that changes', async () => {
    const contacts = { 'romeo@verona.test juliet@verona.test': isFrom };
    const shelf = await withNode({ access_model: 'presence' }, { contacts });
    await shelf.set(JULIET, subscribe);
    delete shelf.contacts['romeo@verona.test juliet@verona.test'];
    await shelf.publish('musings', '1');
    expect(shelf.heard()).toEqual([]);
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toBe('not-authorized presence-subscription-required');
    await shelf.setAsOwner(
      ROMEO,
      `<configure node='musings'>${form(NS.pubsubNodeConfig, { access_model: 'open' })}</configure>`,
    );
    await shelf.publish('musings', '2');
    expect(shelf.heard()).toHaveLength(1);
    await shelf.setAsOwner(
      ROMEO,
      `<configure node='musings'>${form(NS.pubsubNodeConfig, { access_model: 'whitelist' })}</configure>`,
    );
    await shelf.publish('musings', '3');
    expect(shelf.heard()).toEqual([]);
  });

  test('one of several owners is enough', async () => {
    const shelf = await withNode(
      { access_model: 'presence' },
      { contacts: { 'nurse@verona.test juliet@verona.test': isFrom } },
    );
    expect(await shelf.set(JULIET, subscribe)).toContain('not-authorized');
    await shelf.setAsOwner(
      ROMEO,
      "<affiliations node='musings'><affiliation jid='nurse@verona.test' affiliation='owner'/></affiliations>",
    );
    expect(await shelf.set(JULIET, subscribe)).toContain("'subscribed'");
  });
});

describe('several subscriptions of one address', () => {
  test('are one notification, which names them all', async () => {
    const shelf = await withNode();
    const both = await twice(shelf);
    expect(both[0]).not.toBe(both[1]);
    await shelf.publish('musings', '1');
    await shelf.set(ROMEO, "<retract node='musings' notify='1'><item id='1'/></retract>");
    expect(shelf.heard()).toEqual([
      `juliet@verona.test: items [item id=1 [note]] under ${both.join(',')}`,
      `juliet@verona.test: items [retract id=1] under ${both.join(',')}`,
    ]);
  });

  test('are not named where they make no difference', async () => {
    const shelf = await withNode();
    await twice(shelf);
    await shelf.setAsOwner(ROMEO, "<purge node='musings'/>");
    await shelf.setAsOwner(ROMEO, "<delete node='musings'/>");
    expect(shelf.told).toHaveLength(2);
    expect(shelf.told.map(({ element }) => element.toXml()).join()).not.toContain('SubID');
  });

  test('are told apart by the subid in every request', async () => {
    const shelf = await withNode();
    const [first, second] = await twice(shelf);
    const requests: ['get' | 'set', string][] = [
      ['get', "<options node='musings' jid='juliet@verona.test'/>"],
      ['get', "<items node='musings'/>"],
      ['set', "<unsubscribe node='musings' jid='juliet@verona.test'/>"],
    ];
    for (const [type, request] of requests) {
      expect(await shelf.ask(JULIET, type, request)).toBe('bad-request subid-required');
      const other = request.replace("node='musings'", "node='musings' subid='other'");
      expect(await shelf.ask(JULIET, type, other)).toBe('not-acceptable invalid-subid');
      const right = request.replace("node='musings'", `node='musings' subid='${second}'`);
      expect(await shelf.ask(JULIET, type, right)).not.toMatch(/^[a-z]/);
    }
    expect(subids(await shelf.get(JULIET, '<subscriptions/>'))).toEqual([first]);
  });

  test('end when their time is over', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, `${subscribe}<options>${options({ expire: '2026-01-15T12:01:00Z' })}</options>`);
    await shelf.publish('musings', '1');
    expect(shelf.heard()).toHaveLength(1);
    await shelf.clock.advance(60_000);
    await shelf.publish('musings', '2');
    expect(shelf.heard()).toEqual([]);
    expect(await shelf.get(JULIET, '<subscriptions/>')).toBe('<subscriptions/>');
    expect(await shelf.get(JULIET, "<options node='musings' jid='juliet@verona.test'/>")).toBe(
      'unexpected-request not-subscribed',
    );
    expect(await shelf.set(JULIET, subscribe)).toContain("'subscribed'");
  });
});

describe('unsubscribing', () => {
  test('answers with the subscription that is over', async () => {
    const shelf = await withNode();
    const [subid] = subids(await shelf.set(JULIET, subscribe));
    expect(await shelf.set(JULIET, "<unsubscribe node='musings' jid='juliet@verona.test'/>")).toBe(
      `<subscription node='musings' jid='juliet@verona.test' subid='${subid}' subscription='none'/>`,
    );
    await shelf.publish('musings', '1');
    expect(shelf.heard()).toEqual([]);
    expect(await shelf.stores.entities.get('pubsub', 'musings', 'juliet@verona.test')).toBeUndefined();
  });

  test.each([
    [
      'who has not subscribed',
      "<unsubscribe node='musings' jid='juliet@verona.test'/>",
      'unexpected-request not-subscribed',
    ],
    [
      'by another address',
      "<unsubscribe node='musings' jid='juliet@verona.test/x'/>",
      'unexpected-request not-subscribed',
    ],
    ['others', "<unsubscribe node='musings' jid='romeo@verona.test'/>", 'forbidden'],
    ['where there is nothing', "<unsubscribe node='other' jid='juliet@verona.test'/>", 'item-not-found'],
    ['nobody', "<unsubscribe node='musings'/>", 'bad-request jid-required'],
  ])('is refused for %s', async (_who, request, outcome) => {
    const shelf = await withNode();
    expect(await shelf.set(JULIET, request)).toBe(outcome);
  });

  test('modules hear who comes and goes', async () => {
    const heard: string[] = [];
    const shelf = await withNode(
      {},
      {
        handlers: [
          on(nodeSubscribed, ({ subscriber, isSubscribed }) => void heard.push(`${subscriber.full} ${isSubscribed}`)),
        ],
      },
    );
    await shelf.set(JULIET, subscribe);
    await shelf.set(JULIET, "<unsubscribe node='musings' jid='juliet@verona.test'/>");
    expect(heard).toEqual(['juliet@verona.test true', 'juliet@verona.test false']);
  });
});

describe('options', () => {
  test('are told and changed by the subscriber', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, subscribe);
    const asked = "<options node='musings' jid='juliet@verona.test'/>";
    expect(await shelf.get(JULIET, asked)).toMatch(/type='form'.*pubsub#deliver'[^>]*><value>1/);
    const changed = `<options node='musings' jid='juliet@verona.test'>${options({ deliver: 'false', expire: 'presence' })}</options>`;
    expect(await shelf.set(JULIET, changed)).toBe('');
    shelf.restart();
    expect(await shelf.get(JULIET, asked)).toMatch(/pubsub#deliver'[^>]*><value>0.*<value>presence/);
    await shelf.publish('musings', '1');
    expect(shelf.heard()).toEqual([]);
    // an empty field takes back what was chosen; what is left out stays
    expect(await shelf.set(JULIET, changed.replace(/<x.*x>/, options({ expire: '' })))).toBe('');
    const now = await shelf.get(JULIET, asked);
    expect(now).toMatch(/pubsub#deliver'[^>]*><value>0/);
    expect(now).not.toContain('presence</value>');
  });

  test.each([
    ['of others', "<options node='musings' jid='romeo@verona.test'/>", 'forbidden'],
    ['of nobody', "<options node='musings'/>", 'bad-request jid-required'],
    ['where there is nothing', "<options node='other' jid='juliet@verona.test'/>", 'item-not-found'],
    ['of no subscription', "<options node='musings' jid='juliet@verona.test'/>", 'unexpected-request not-subscribed'],
  ])('%s are refused', async (_what, request, outcome) => {
    const shelf = await withNode();
    for (const type of ['get', 'set'] as const) expect(await shelf.ask(JULIET, type, request)).toBe(outcome);
  });

  test('that cannot be are refused', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, subscribe);
    for (const x of [options({ deliver: 'perhaps' }), form('urn:other', {})]) {
      expect(await shelf.set(JULIET, `<options node='musings' jid='juliet@verona.test'>${x}</options>`)).toBe(
        'bad-request invalid-options',
      );
    }
  });

  test('of somebody who has chosen nothing are told to everybody', async () => {
    const shelf = await withNode();
    expect(await shelf.get(JULIET, '<default/>')).toMatch(
      /^<default><x [^>]*type='result'.*pubsub#deliver'[^>]*><value>1/,
    );
    expect(await shelf.get(JULIET, "<default node='musings'/>")).toContain("<default node='musings'>");
  });
});

test('people see what they have to do with which nodes, by all of their addresses', async () => {
  const shelf = await withNode();
  await shelf.create('other', { access_model: 'authorize' });
  await shelf.set(JULIET, subscribe);
  await shelf.set(JULIET, `<subscribe node='musings' jid='${JULIET}'/>`);
  await shelf.set(JULIET, "<subscribe node='other' jid='juliet@verona.test'/>");
  await shelf.setAsOwner(
    ROMEO,
    "<affiliations node='musings'><affiliation jid='juliet@verona.test' affiliation='member'/></affiliations>",
  );
  const all = await shelf.get('juliet@verona.test/elsewhere', '<subscriptions/>');
  for (const part of [
    "node='musings' jid='juliet@verona.test' ",
    `node='musings' jid='${JULIET}' `,
    "node='other' jid='juliet@verona.test' ",
  ]) {
    expect(all).toContain(part);
  }
  expect(all.match(/subscription='subscribed'/g)).toHaveLength(2);
  expect(all.match(/subscription='pending'/g)).toHaveLength(1);
  expect(await shelf.get(JULIET, "<subscriptions node='other'/>")).toMatch(
    /^<subscriptions node='other'><subscription node='other'[^>]*\/><\/subscriptions>$/,
  );
  expect(await shelf.get(JULIET, '<affiliations/>')).toBe(
    "<affiliations><affiliation node='musings' affiliation='member'/></affiliations>",
  );
  expect(await shelf.get(JULIET, "<affiliations node='other'/>")).toBe("<affiliations node='other'/>");
});
