import { describe, expect, test } from 'vitest';
import { Asked } from '../../../../src/modules/pubsub/asked.ts';
import { run } from '../../../../src/modules/pubsub/errands.ts';
import { heedsPresence } from '../../../../src/modules/pubsub/presence.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { form, jid, TestShelf } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';

async function withNode(fields: Record<string, string> = {}): Promise<TestShelf> {
  const shelf = await TestShelf.open();
  await shelf.create('musings', fields);
  return shelf;
}

const affiliations = (...changes: [jid: string, affiliation: string][]): string =>
  `<affiliations node='musings'>${changes.map(([who, what]) => `<affiliation jid='${who}' affiliation='${what}'/>`).join('')}</affiliations>`;
const subscriptions = (...changes: [jid: string, state: string][]): string =>
  `<subscriptions node='musings'>${changes.map(([who, what]) => `<subscription jid='${who}' subscription='${what}'/>`).join('')}</subscriptions>`;

describe('affiliations', () => {
  test('are told to owners, and to whom they are given', async () => {
    const shelf = await withNode();
    expect(
      await shelf.setAsOwner(
        ROMEO,
        affiliations(['juliet@verona.test', 'publisher'], ['nurse@verona.test/x', 'outcast']),
      ),
    ).toBe('');
    expect(shelf.heard()).toEqual([
      expect.stringMatching(
        /^juliet@verona.test: <pubsub xmlns='http:\/\/jabber.org\/protocol\/pubsub'><affiliations node='musings'><affiliation jid='juliet@verona.test' affiliation='publisher'\/>/,
      ),
      expect.stringContaining('nurse@verona.test: '),
    ]);
    shelf.restart();
    expect(await shelf.getAsOwner(ROMEO, "<affiliations node='musings'/>")).toBe(
      affiliations(
        ['romeo@verona.test', 'owner'],
        ['juliet@verona.test', 'publisher'],
        ['nurse@verona.test', 'outcast'],
      ),
    );
    await shelf.setAsOwner(ROMEO, affiliations(['nurse@verona.test', 'none']));
    expect(await shelf.getAsOwner(ROMEO, "<affiliations node='musings'/>")).not.toContain('nurse');
  });

  test('what of several cannot be is told as it is, and the rest is done', async () => {
    const shelf = await withNode();
    const answer = await shelf.setAsOwner(
      ROMEO,
      affiliations(
        ['romeo@verona.test', 'none'],
        ['juliet@verona.test', 'member'],
        ['nurse@verona.test', 'boss'],
        ['@', 'member'],
      ),
    );
    expect(answer).toBe(
      `not-acceptable ${affiliations(['romeo@verona.test', 'owner'], ['nurse@verona.test', 'none'], ['@', 'none'])}`,
    );
    expect(await shelf.get(JULIET, '<affiliations/>')).toContain('member');
  });

  test('a node keeps an owner', async () => {
    const shelf = await withNode();
    await shelf.setAsOwner(ROMEO, affiliations(['juliet@verona.test', 'owner']));
    expect(
      await shelf.setAsOwner(ROMEO, affiliations(['romeo@verona.test', 'publisher'], ['juliet@verona.test', 'none'])),
    ).toBe(`not-acceptable ${affiliations(['juliet@verona.test', 'owner'])}`);
    expect(await shelf.getAsOwner(ROMEO, "<affiliations node='musings'/>")).toBe('forbidden');
  });

  test.each([
    ['by others', JULIET, affiliations(['juliet@verona.test', 'owner']), 'forbidden'],
    ['where there is no node', ROMEO, "<affiliations node='other'/>", 'item-not-found'],
    ['twice for the same', ROMEO, affiliations(['a@b.test', 'member'], ['a@b.test/x', 'outcast']), 'bad-request'],
    ['without saying what', ROMEO, "<affiliations node='musings'><affiliation jid='a@b.test'/></affiliations>", ''],
  ])('%s: %s', async (_how, from, request, outcome) => {
    const shelf = await withNode();
    expect(await shelf.setAsOwner(from, request)).toBe(outcome);
    expect(await shelf.get('a@b.test', '<affiliations/>')).toBe('<affiliations/>');
  });

  test('who is banned is subscribed no longer, and hears so', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.setAsOwner(ROMEO, affiliations(['juliet@verona.test', 'outcast']));
    expect(shelf.heard().join()).toContain('subscription=none');
    await shelf.publish('musings', '1');
    expect(shelf.heard()).toEqual([]);
    await shelf.setAsOwner(ROMEO, affiliations(['juliet@verona.test', 'none']));
    await shelf.publish('musings', '2');
    expect(shelf.heard('juliet@verona.test').join()).not.toContain('items');
  });
});

describe('subscriptions', () => {
  test('are told to owners, but for those that are pending', async () => {
    const shelf = await withNode({ access_model: 'authorize' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.set(ROMEO, `<subscribe node='musings' jid='${ROMEO}'/>`);
    expect(await shelf.getAsOwner(ROMEO, "<subscriptions node='musings'/>")).toMatch(
      /^<subscriptions node='musings'><subscription jid='romeo@verona.test\/orchard' subid='[^']+' subscription='subscribed'\/><\/subscriptions>$/,
    );
    expect(await shelf.getAsOwner(JULIET, "<subscriptions node='musings'/>")).toBe('forbidden');
    expect(await shelf.getAsOwner(ROMEO, "<subscriptions node='other'/>")).toBe('item-not-found');
  });

  test('are made, approved and ended by owners, and those they are of are told', async () => {
    const shelf = await withNode({ access_model: 'authorize' });
    await shelf.publish('musings', '1');
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    shelf.told.length = 0;
    expect(
      await shelf.setAsOwner(
        ROMEO,
        subscriptions(['juliet@verona.test', 'subscribed'], ['nurse@verona.test', 'subscribed']),
      ),
    ).toBe('');
    for (const who of ['juliet@verona.test', 'nurse@verona.test']) {
      expect(shelf.heard(who).map((line) => line.replace(/subid=\S+/, ''))).toEqual([
        `${who}: subscription jid=${who}  subscription=subscribed`,
        `${who}: items [item id=1 [note]] late`,
      ]);
    }
    expect(await shelf.setAsOwner(ROMEO, subscriptions(['juliet@verona.test', 'none']))).toBe('');
    expect(shelf.heard('juliet@verona.test')[0]).toContain('subscription=none');
    expect(await shelf.get(JULIET, '<subscriptions/>')).toBe('<subscriptions/>');
  });

  test('wait again where owners say so, for them or for options, and nothing is heard until then', async () => {
    const shelf = await withNode();
    const states: string[] = [];
    const ask = "<subscriptions node='musings'/>";
    for (const state of ['subscribed', 'unconfigured', 'pending', 'unconfigured']) {
      expect(await shelf.setAsOwner(ROMEO, subscriptions(['juliet@verona.test', state]))).toBe('');
      await shelf.publish('musings', state);
      states.push(/subscription='(\w+)'/.exec(await shelf.getAsOwner(ROMEO, ask))?.[1] ?? '');
    }
    // 8.8.1.2: owners are not told of those that are pending
    expect(states).toEqual(['subscribed', 'unconfigured', '', 'unconfigured']);
    expect(shelf.heard('juliet@verona.test').map((line) => line.replace(/.*(subscription=|items )/, ''))).toEqual([
      'subscribed',
      '[item id=subscribed [note]]',
      'unconfigured',
      'pending',
      'unconfigured',
    ]);
    expect(await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>")).toMatch(
      /subscription='unconfigured'><subscribe-options><required\/><\/subscribe-options><\/subscription>$/,
    );
    shelf.told.length = 0;
    const chosen = form(NS.pubsubSubscribeOptions, { deliver: '1' });
    expect(await shelf.set(JULIET, `<options node='musings' jid='juliet@verona.test'>${chosen}</options>`)).toBe('');
    expect(shelf.heard('juliet@verona.test')).toEqual([
      expect.stringContaining('subscription=subscribed'),
      expect.stringContaining('item id=unconfigured'),
    ]);
  });

  test('what of several cannot be is told as it is, and the rest is done', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.setAsOwner(ROMEO, affiliations(['tybalt@verona.test', 'outcast']));
    const answer = await shelf.setAsOwner(
      ROMEO,
      subscriptions(
        ['nurse@verona.test', 'none'],
        ['juliet@verona.test', 'enchanted'],
        ['tybalt@verona.test', 'subscribed'],
        ['paris@verona.test', 'subscribed'],
        ['@', 'none'],
      ),
    );
    expect(answer.replace(/ subid='[^']*'/, '')).toBe(
      `not-acceptable ${subscriptions(['nurse@verona.test', 'none'], ['juliet@verona.test', 'subscribed'], ['tybalt@verona.test', 'none'], ['@', 'none'])}`,
    );
    expect(await shelf.get('paris@verona.test', '<subscriptions/>')).toContain("'subscribed'");
    expect(
      await shelf.setAsOwner(
        ROMEO,
        "<subscriptions node='musings'><subscription jid='juliet@verona.test'/></subscriptions>",
      ),
    ).toBe('');
    expect(await shelf.setAsOwner(JULIET, subscriptions(['juliet@verona.test', 'none']))).toBe('forbidden');
  });
});

describe('items are taken back', () => {
  const retract = (id: string, notify = ''): string => `<retract node='musings'${notify}><item id='${id}'/></retract>`;

  test.each([
    ['and everybody is told, where the request says so', '0', " notify='1'", true],
    ['and everybody is told, where the node is to', '1', '', true],
    ['silently', '0', " notify='false'", false],
  ])('%s', async (_how, config, notify, isTold) => {
    const shelf = await withNode({ notify_retract: config });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.publish('musings', '1');
    shelf.told.length = 0;
    expect(await shelf.set(ROMEO, retract('1', notify))).toBe('');
    expect(shelf.heard()).toEqual(isTold ? ['juliet@verona.test: items [retract id=1]'] : []);
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toBe("<items node='musings'/>");
  });

  test.each([
    ['owner', 'others', ''],
    ['publisher', 'own', ''],
    ['publisher', 'others', 'forbidden'],
    ['publish-only', 'own', ''],
    ['publish-only', 'others', 'forbidden'],
    ['member', 'others', 'forbidden'],
    ['none', 'others', 'forbidden'],
    ['outcast', 'own', 'forbidden'],
  ])('by an entity that is %s: %s', async (affiliation, whose, outcome) => {
    const shelf = await withNode({ publish_model: 'open' });
    await shelf.publish('musings', '1', 'a', whose === 'own' ? JULIET : ROMEO);
    await shelf.setAsOwner(ROMEO, affiliations(['juliet@verona.test', affiliation]));
    expect(await shelf.set(JULIET, retract('1'))).toBe(outcome);
  });

  test.each<[string, Record<string, string>, string, string, string]>([
    ['that is not there', {}, ROMEO, retract('x'), 'item-not-found'],
    ['that is not there, to those who have no business with it', {}, JULIET, retract('x'), 'forbidden'],
    ['of a node that is not there', {}, ROMEO, "<retract node='other'><item id='1'/></retract>", 'item-not-found'],
    ['of no node', {}, ROMEO, "<retract><item id='1'/></retract>", 'bad-request nodeid-required'],
    ['without an item', {}, ROMEO, "<retract node='musings'/>", 'bad-request item-required'],
    ['without an id', {}, ROMEO, "<retract node='musings'><item/></retract>", 'bad-request item-required'],
    [
      'of a node that keeps none',
      { persist_items: '0' },
      ROMEO,
      retract('1'),
      'feature-not-implemented unsupported(persistent-items)',
    ],
  ])('not one %s', async (_what, fields, from, request, outcome) => {
    const shelf = await withNode(fields);
    expect(await shelf.set(from, request)).toBe(outcome);
  });

  test('all of several, or none', async () => {
    const shelf = await withNode();
    for (const id of ['1', '2']) await shelf.publish('musings', id);
    expect(await shelf.set(ROMEO, "<retract node='musings'><item id='1'/><item id='x'/></retract>")).toBe(
      'item-not-found',
    );
    expect(await shelf.set(ROMEO, "<retract node='musings'><item id='1'/><item id='2'/></retract>")).toBe('');
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe("<items node='musings'/>");
  });
});

describe('items are read', () => {
  test('up to a page, and it is said when there are more', async () => {
    const shelf = await TestShelf.open({ policy: { pageSize: 2 } });
    await shelf.create('musings');
    for (const id of ['1', '2', '3']) await shelf.publish('musings', id);
    const found = await shelf.get(JULIET, "<items node='musings'/>");
    expect([...found.matchAll(/item id='(\d)'/g)].map(([, id]) => id)).toEqual(['3', '2']);
    expect(found).toMatch(/<first index='0'>3<\/first><last>2<\/last><count>3<\/count>/);
    expect(await shelf.get(JULIET, "<items node='musings' max_items='2'/>")).not.toContain('<set');
  });

  test.each([
    ['no number', "<items node='musings' max_items='0'/>", 'bad-request'],
    ['an item without an id', "<items node='musings'><item/></items>", 'bad-request item-required'],
    [
      'a page by its number',
      `<items node='musings'/><set xmlns='${NS.rsm}'><max>1</max><index>1</index></set>`,
      'feature-not-implemented',
    ],
    [
      'a page from two places',
      `<items node='musings'/><set xmlns='${NS.rsm}'><after>a</after><before>b</before></set>`,
      'bad-request',
    ],
    ['ids without end', `<items node='musings'>${"<item id='a'/>".repeat(1001)}</items>`, 'not-acceptable'],
  ])('not with %s', async (_what, request, outcome) => {
    const shelf = await withNode();
    expect(await shelf.get(ROMEO, request)).toBe(outcome);
  });

  test('until they expire', async () => {
    const shelf = await withNode({ item_expire: '60' });
    await shelf.publish('musings', '1');
    const [item] = await shelf.stores.items.get('pubsub', 'musings', ['1']);
    expect(item?.until).toBe(shelf.clock.now() + 60_000);
    await shelf.setAsOwner(
      ROMEO,
      `<configure node='musings'>${form(NS.pubsubNodeConfig, { item_expire: 'max' })}</configure>`,
    );
    expect((await shelf.stores.items.get('pubsub', 'musings', ['1']))[0]?.until).toBeUndefined();
  });
});

describe('what the server has to tell a node', () => {
  test('who comes is sent the last item, where the node is to and they have subscribed', async () => {
    const shelf = await withNode({ send_last_published_item: 'on_sub_and_presence' });
    await shelf.publish('musings', '1');
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    shelf.told.length = 0;
    for (const who of [JULIET, 'nurse@verona.test/x']) await run(shelf.shelf, 'musings', { is: 'coming', who });
    await shelf.settled();
    expect(shelf.heard()).toEqual([`${JULIET}: items [item id=1 [note]] late`]);
  });

  test('who goes is subscribed no longer, where that was for as long as they are there', async () => {
    const shelf = await withNode({ tempsub: '1' });
    shelf.present.set('juliet@verona.test', true);
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.set(JULIET, `<subscribe node='musings' jid='${JULIET}'/>`);
    // another resource is still there
    await run(shelf.shelf, 'musings', { is: 'going', who: JULIET });
    expect(await shelf.get(JULIET, '<subscriptions/>')).toMatch(
      /^<subscriptions><subscription node='musings' jid='juliet@verona.test' [^>]*\/><\/subscriptions>$/,
    );
    shelf.present.set('juliet@verona.test', false);
    await run(shelf.shelf, 'musings', { is: 'going', who: 'juliet@verona.test/other' });
    expect(await shelf.get(JULIET, '<subscriptions/>')).toBe('<subscriptions/>');
  });

  test('an account is gone, and what it had to do with the node', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    for (const who of ['juliet@verona.test', 'romeo@verona.test'])
      await run(shelf.shelf, 'musings', { is: 'removed', who });
    expect([...(await shelf.stores.entities.left('pubsub', 'musings')).keys()]).toEqual([]);
    expect(await shelf.publish('musings', '1')).toBe('forbidden');
    expect(shelf.heard()).toEqual([]);
  });

  test('an owner is asked again about all who wait', async () => {
    const shelf = await withNode({ access_model: 'authorize' });
    for (const who of ['a', 'b']) await shelf.set(`${who}@v.test/x`, `<subscribe node='musings' jid='${who}@v.test'/>`);
    shelf.told.length = 0;
    await run(shelf.shelf, 'musings', { is: 'reminder', from: ROMEO });
    await shelf.settled();
    expect(shelf.heard(ROMEO).map((line) => /[ab]@v.test/.exec(line)?.[0])).toEqual(['a@v.test', 'b@v.test']);
    expect(() => run(shelf.shelf, 'musings', { is: 'reminder', from: JULIET })).toThrow('owners');
  });

  test('requests and answers are the same as text', async () => {
    const shelf = await withNode();
    const asked = new Asked(
      jid(JULIET),
      'get',
      parseElement(`<pubsub xmlns='${NS.pubsub}'><items node='musings'/></pubsub>`),
    );
    const errand = JSON.parse(JSON.stringify({ is: 'request', asked }));
    const answer = await run(shelf.shelf, 'musings', errand);
    expect(JSON.parse(JSON.stringify(answer))).toEqual({
      xml: `<pubsub xmlns='${NS.pubsub}'><items node='musings'/></pubsub>`,
    });
  });

  test('only nodes that heed presence are told of it', async () => {
    const shelf = await withNode();
    const row = (config: object) => ({ config, creator: 'a@b.test', at: 0 });
    const subscription = { jid: 'a@b.test', subid: '1', state: 'subscribed' } as const;
    const heeds = (config: object, entity: object): boolean =>
      heedsPresence(shelf.shelf, 'musings', row(config), entity);
    expect(heeds({}, { subscriptions: [subscription] })).toBe(false);
    expect(heeds({ isTemporary: true }, {})).toBe(false);
    expect(heeds({ isTemporary: true }, { subscriptions: [subscription] })).toBe(true);
    expect(heeds({ sendLast: 'on_sub_and_presence' }, { subscriptions: [subscription] })).toBe(true);
    expect(heeds({}, { subscriptions: [{ ...subscription, options: { expire: 'presence' } }] })).toBe(true);
  });
});

test('those alone are notified who are online, where the node is to; of others nobody knows', async () => {
  const shelf = await withNode({ presence_based_delivery: '1' });
  for (const who of ['here', 'away', 'elsewhere'])
    await shelf.set(`${who}@v.test/x`, `<subscribe node='musings' jid='${who}@v.test'/>`);
  shelf.present.set('here@v.test', true).set('away@v.test', false);
  await shelf.publish('musings', '1');
  expect(shelf.heard().map((line) => line.split('@')[0])).toEqual(['here', 'elsewhere']);
});
