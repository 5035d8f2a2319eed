import { describe, expect, test } from 'vitest';
import { on } from '../../../../src/core/module.ts';
import { itemPublish, itemPublished, itemsRetracted } from '../../../../src/modules/pubsub/hooks.ts';
import { el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { form, TestShelf, type TestShelfOptions } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';
const NURSE = 'nurse@verona.test/chamber';

async function withNode(fields: Record<string, string> = {}, options: TestShelfOptions = {}): Promise<TestShelf> {
  const shelf = await TestShelf.open(options);
  await shelf.create('musings', fields);
  return shelf;
}

const note = (text: string): string => `<note xmlns='urn:note'>${text}</note>`;

describe('publishing an item', () => {
  test('stores it, tells subscribers, and answers with its id', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    expect(await shelf.publish('musings', '1', 'a')).toBe("<publish node='musings'><item id='1'/></publish>");
    expect(shelf.heard()).toEqual(['juliet@verona.test: items [item id=1 [note]]']);
    expect(await shelf.get(NURSE, "<items node='musings'/>")).toBe(
      `<items node='musings'><item id='1'>${note('a')}</item></items>`,
    );
  });

  test('gives it an id where the publisher does not', async () => {
    const shelf = await withNode();
    const answer = await shelf.set(ROMEO, `<publish node='musings'><item>${note('a')}</item></publish>`);
    expect(answer).toMatch(/^<publish node='musings'><item id='id\d+'\/><\/publish>$/);
  });

  test('again under the same id makes it the newest, and others stay', async () => {
    const shelf = await withNode();
    for (const [id, text] of [
      ['1', 'a'],
      ['2', 'b'],
      ['1', 'c'],
    ] as const)
      await shelf.publish('musings', id, text);
    expect(await shelf.get(NURSE, "<items node='musings'/>")).toBe(
      `<items node='musings'><item id='1'>${note('c')}</item><item id='2'>${note('b')}</item></items>`,
    );
  });

  test('takes the oldest back where the node is full, and says so', async () => {
    const shelf = await withNode({ max_items: '2' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    for (const id of ['1', '2', '3']) await shelf.publish('musings', id);
    expect(shelf.heard().slice(2)).toEqual([
      'juliet@verona.test: items [item id=3 [note]]',
      'juliet@verona.test: items [retract id=1]',
    ]);
    expect(await shelf.get(ROMEO, "<items node='musings'><item id='1'/></items>")).toBe("<items node='musings'/>");
  });

  test.each([
    [
      'silently, where it is to discard',
      'discard-oldest',
      ['items [item id=2 [note]]'],
      "<publish node='musings'><item id='2'/></publish>",
    ],
    ['not at all, where it is to refuse', 'reject', [], 'conflict node-full'],
  ])('makes room %s', async (_how, whenFull, heard, answer) => {
    const shelf = await withNode({ max_items: '1', publish_node_full: whenFull });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.publish('musings', '1');
    shelf.told.length = 0;
    expect(await shelf.publish('musings', '2')).toBe(answer);
    expect(shelf.heard()).toEqual(heard.map((line) => `juliet@verona.test: ${line}`));
    // the same item is never one too many
    expect(await shelf.publish('musings', whenFull === 'reject' ? '1' : '2', 'b')).toContain('<publish');
  });

  test('names the publisher where the node is to, and nobody else may say who that is', async () => {
    const shelf = await withNode({ itemreply: 'publisher' });
    const item = `<item id='1' publisher='juliet@verona.test'>${note('a')}</item>`;
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.set(ROMEO, `<publish node='musings'>${item}</publish>`);
    expect(shelf.heard()).toEqual(['juliet@verona.test: items [item id=1 publisher=romeo@verona.test [note]]']);
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toContain("publisher='romeo@verona.test'");
  });

  test('tells of it without the payload where the node is to', async () => {
    const shelf = await withNode({ deliver_payloads: 'false' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    await shelf.publish('musings', '1');
    await shelf.set(ROMEO, "<publish node='musings'><item id='2'/></publish>");
    expect(shelf.heard()).toEqual(['juliet@verona.test: items [item id=1]', 'juliet@verona.test: items [item id=2]']);
  });

  test('is one element for all that hear the same', async () => {
    const shelf = await withNode();
    for (const who of ['a', 'b', 'c'])
      await shelf.set(`${who}@v.test/x`, `<subscribe node='musings' jid='${who}@v.test'/>`);
    shelf.elements = 0;
    await shelf.publish('musings', '1');
    expect(shelf.elements).toBe(1);
    expect(shelf.heard()).toHaveLength(3);
  });

  test('is told to those who listen too, and once to those who have subscribed by the same address', async () => {
    const shelf = await withNode();
    shelf.listeners = [JULIET, NURSE];
    await shelf.set(JULIET, `<subscribe node='musings' jid='${JULIET}'/>`);
    await shelf.publish('musings', '1');
    expect(shelf.heard().map((line) => line.split(':')[0])).toEqual([JULIET, NURSE]);
  });

  test('stays in order, whatever number is under way', async () => {
    const shelf = await withNode();
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    const ids = Array.from({ length: 20 }, (_, i) => `${i}`);
    await Promise.all(ids.map((id) => shelf.publish('musings', id)));
    expect(shelf.heard()).toEqual(ids.map((id) => `juliet@verona.test: items [item id=${id} [note]]`));
  });
});

describe('a publication is refused', () => {
  test.each<[string, Record<string, string>, string, string]>([
    [
      'to a node that is not there',
      {},
      `<publish node='other'><item id='1'>${note('a')}</item></publish>`,
      'item-not-found',
    ],
    ['without a node', {}, `<publish><item id='1'>${note('a')}</item></publish>`, 'bad-request nodeid-required'],
    ['without an item', {}, "<publish node='musings'/>", 'bad-request item-required'],
    ['without a payload', {}, "<publish node='musings'><item id='1'/></publish>", 'bad-request payload-required'],
    [
      'with two payloads',
      {},
      `<publish node='musings'><item>${note('a')}${note('b')}</item></publish>`,
      'bad-request invalid-payload',
    ],
    [
      'with two items',
      {},
      `<publish node='musings'><item>${note('a')}</item><item>${note('b')}</item></publish>`,
      'bad-request',
    ],
    [
      'with too much',
      { max_payload_size: '10' },
      `<publish node='musings'><item>${note('a')}</item></publish>`,
      'not-acceptable payload-too-big',
    ],
    [
      'with an item that tells nothing to anybody',
      { persist_items: 'false', deliver_payloads: 'false' },
      "<publish node='musings'><item id='1'/></publish>",
      'bad-request item-forbidden',
    ],
    [
      'without an item, though the payload is what matters',
      { persist_items: 'false' },
      "<publish node='musings'/>",
      'bad-request item-required',
    ],
    [
      'with an id of too many bytes',
      {},
      `<publish node='musings'><item id='${'ü'.repeat(512)}'>${note('a')}</item></publish>`,
      'not-acceptable',
    ],
  ])('%s', async (_what, fields, request, conditions) => {
    const shelf = await withNode(fields);
    expect(await shelf.set(ROMEO, request)).toBe(conditions);
  });

  test('where the payload is too big for the server, in bytes', async () => {
    const shelf = await withNode({}, { policy: { mostPayload: 40 } });
    expect(await shelf.publish('musings', '1', 'aaaaaaaaaa')).toContain('<publish');
    expect(await shelf.publish('musings', '2', 'ääääääääää')).toBe('not-acceptable payload-too-big');
  });
});

describe('who may publish', () => {
  test.each([
    ['publishers', 'none', 'forbidden'],
    ['publishers', 'member', 'forbidden'],
    ['publishers', 'publisher', 'ok'],
    ['publishers', 'publish-only', 'ok'],
    ['publishers', 'owner', 'ok'],
    ['publishers', 'outcast', 'forbidden'],
    ['open', 'none', 'ok'],
    ['open', 'outcast', 'forbidden'],
    ['subscribers', 'none', 'forbidden'],
  ])('where the model is %s: %s, %s', async (model, affiliation, outcome) => {
    const shelf = await withNode({ publish_model: model });
    await shelf.setAsOwner(
      ROMEO,
      `<affiliations node='musings'><affiliation jid='juliet@verona.test' affiliation='${affiliation}'/></affiliations>`,
    );
    const answer = await shelf.publish('musings', '1', 'a', JULIET);
    expect(answer.startsWith('<publish') ? 'ok' : answer).toBe(outcome);
  });

  test('subscribers, where the model says so, while they are', async () => {
    const shelf = await withNode({ publish_model: 'subscribers' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    expect(await shelf.publish('musings', '1', 'a', JULIET)).toContain('<publish');
    await shelf.set(JULIET, "<unsubscribe node='musings' jid='juliet@verona.test'/>");
    expect(await shelf.publish('musings', '2', 'a', JULIET)).toBe('forbidden');
  });
});

describe('a node that keeps nothing', () => {
  test('sends what is published, and remembers the last', async () => {
    const shelf = await withNode({ persist_items: 'false' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    for (const id of ['1', '2']) await shelf.publish('musings', id);
    expect(shelf.heard()).toHaveLength(2);
    expect(await shelf.get(NURSE, "<items node='musings'/>")).toBe(
      `<items node='musings'><item id='2'>${note('2')}</item></items>`,
    );
    shelf.restart();
    expect(await shelf.get(NURSE, "<items node='musings'/>")).toBe("<items node='musings'/>");
  });

  test('tells that something happened, and no more, where it sends no payloads', async () => {
    const shelf = await withNode({ persist_items: 'false', deliver_payloads: 'false' });
    await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
    expect(await shelf.set(ROMEO, "<publish node='musings'/>")).toBe("<publish node='musings'/>");
    expect(shelf.heard()).toEqual(['juliet@verona.test: items']);
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe(
      'feature-not-implemented unsupported(persistent-items)',
    );
  });
});

describe('what a publisher expects of a node', () => {
  const options = (fields: Record<string, string>): string =>
    `<publish-options>${form('http://jabber.org/protocol/pubsub#publish-options', fields)}</publish-options>`;
  const publish = `<publish node='musings'><item id='1'>${note('a')}</item></publish>`;

  test.each<[string, Record<string, string>, string]>([
    ['is so', { access_model: 'open', persist_items: '1', max_items: 'max' }, 'ok'],
    ['is so, in other words', { max_items: '1000', send_last_published_item: 'on_sub' }, 'ok'],
    ['is not so', { access_model: 'whitelist' }, 'conflict precondition-not-met'],
    ['is not so in one of several ways', { access_model: 'open', max_items: '5' }, 'conflict precondition-not-met'],
    ['cannot be', { max_items: '1000000' }, 'conflict precondition-not-met'],
    ['is nothing that there is', { fancy: 'yes' }, 'conflict precondition-not-met'],
  ])('%s', async (_how, fields, outcome) => {
    const shelf = await withNode();
    const answer = await shelf.set(ROMEO, publish + options(fields));
    expect(answer.startsWith('<publish') ? 'ok' : answer).toBe(outcome);
  });

  test('is not told to those who may not publish', async () => {
    const shelf = await withNode();
    expect(await shelf.set(JULIET, publish + options({ access_model: 'whitelist' }))).toBe('forbidden');
  });

  test('is what a node becomes that is made by it', async () => {
    const shelf = await TestShelf.open({ policy: { createsOnPublish: true } });
    expect(await shelf.set(ROMEO, publish + options({ access_model: 'whitelist', max_items: '3' }))).toContain(
      '<publish',
    );
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toBe('not-allowed closed-node');
    const configuration = await shelf.getAsOwner(ROMEO, "<configure node='musings'/>");
    expect(configuration).toContain('<value>whitelist</value>');
    expect(await shelf.set(ROMEO, publish + options({ fancy: 'yes' }))).toBe('conflict precondition-not-met');
  });

  test.each([
    ['no form', '<publish-options/>', 'bad-request'],
    ['another form', `<publish-options>${form('urn:other', {})}</publish-options>`, 'bad-request'],
  ])('%s is none', async (_what, given, outcome) => {
    const shelf = await withNode();
    expect(await shelf.set(ROMEO, publish + given)).toBe(outcome);
  });
});

describe('modules', () => {
  test('refuse items, and change them, before they are stored', async () => {
    const shelf = await withNode(
      {},
      {
        handlers: [
          on(itemPublish, { phase: 'check' }, ({ id }) =>
            id === 'bad' ? new StanzaError('policy-violation') : undefined,
          ),
          on(itemPublish, { phase: 'change' }, (event) => {
            event.payload = el('other', 'urn:other');
            event.id = 'changed';
          }),
        ],
      },
    );
    expect(await shelf.publish('musings', 'bad')).toBe('policy-violation');
    expect(await shelf.publish('musings', 'good')).toBe("<publish node='musings'><item id='changed'/></publish>");
    expect(await shelf.get(ROMEO, "<items node='musings'/>")).toBe(
      "<items node='musings'><item id='changed'><other xmlns='urn:other'/></item></items>",
    );
  });

  test('hear of items, and of those that had to make room', async () => {
    const heard: string[] = [];
    const shelf = await withNode(
      { max_items: '1' },
      {
        handlers: [
          on(itemPublished, ({ item, publisher }) => void heard.push(`+${item.id} ${publisher.full}`)),
          on(itemsRetracted, ({ ids }) => void heard.push(`-${ids.join()}`)),
        ],
      },
    );
    await shelf.publish('musings', '1');
    await shelf.publish('musings', '2');
    expect(heard).toEqual([`+1 ${ROMEO}`, `+2 ${ROMEO}`, '-1']);
  });
});
