import { describe, expect, test } from 'vitest';
import type { Registration } from '../../../../src/core/module.ts';
import attachments from '../../../../src/modules/pubsub-attachments/index.ts';
import { attachmentNode, summaryNode, targetOf } from '../../../../src/modules/pubsub-attachments/names.ts';
import { attachedIn, Tally } from '../../../../src/modules/pubsub-attachments/tally.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { jid, SERVICE, TestShelf, type TestShelfOptions } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';
const SUMMARY = summaryNode('musings');
const nodeOf = (item: string): string => attachmentNode(jid(SERVICE), { node: 'musings', item });

const { handlers = [] } = (attachments.setup as (setup: object) => { handlers?: Registration[] })({
  host: { kind: 'pubsub' },
});

async function open(fields: Record<string, string> = {}, options: TestShelfOptions = {}): Promise<TestShelf> {
  const shelf = await TestShelf.open({ handlers, ...options });
  await shelf.create('musings', { publish_model: 'open', ...fields });
  return shelf;
}

function attach(shelf: TestShelf, item: string, who: string, inside: string): Promise<string> {
  const payload = `<attachments xmlns='${NS.attachments}'>${inside}</attachments>`;
  const id = jid(who).bare;
  return shelf.set(who, `<publish node='${nodeOf(item)}'><item id='${id}'>${payload}</item></publish>`);
}

const reactions = (...all: readonly string[]): string =>
  `<reactions>${all.map((one) => `<reaction>${one}</reaction>`).join('')}</reactions>`;

async function summaryOf(shelf: TestShelf, item: string): Promise<string> {
  const found = await shelf.get(ROMEO, `<items node='${SUMMARY}'><item id='${item}'/></items>`);
  return (
    /<summary[^>]*>(.*)<\/summary>|<summary[^>]*\/>/.exec(found)?.[1] ?? (found.includes('<summary') ? '' : 'none')
  );
}

describe('names', () => {
  test('lead back to the item, whatever it is called', () => {
    for (const item of ['one', 'a &1', "it's;here", 'ä/b?c=d', '👷']) {
      for (const node of ['musings', 'urn:xmpp:microblog:0', 'a;item=b']) {
        expect(targetOf(jid(SERVICE), attachmentNode(jid(SERVICE), { node, item }))).toEqual({ node, item });
      }
    }
  });

  test('of other services, spelt otherwise or broken lead nowhere', () => {
    const one = nodeOf('one');
    const wrong = [
      attachmentNode(jid('other.test'), { node: 'musings', item: 'one' }),
      one.replace('musings', '%6dusings'),
      one.replace('one', '%E0%A4%A'),
      one.replace(';item=one', ''),
      `${one};more=x`,
      nodeOf(''),
    ];
    expect(wrong.map((name) => targetOf(jid(SERVICE), name))).toEqual(wrong.map(() => undefined));
  });
});

describe('a tally', () => {
  const attached = (inside: string): ReturnType<typeof attachedIn> =>
    attachedIn(parseElement(`<attachments xmlns='${NS.attachments}'>${inside}</attachments>`));
  const shown = (tally: Tally): string => tally.summary().toXml(NS.attachmentsSummary);

  test('counts whatever is one emoji, and that once for each person', () => {
    const good = ['👷', '❤', '❤️', '👩‍👩‍👧‍👦', '🇮🇹', '7️⃣', '👍🏽'];
    const bad = ['', ' ', 'x', ':-)', '👷👷', '👷x', '7', `👷${'\u{1f3fd}'.repeat(40)}`];
    expect(attached(reactions(...good, ...good, ...bad)).reactions).toEqual(good);
  });

  test('counts no more of one person than somebody can mean', () => {
    const many = Array.from({ length: 100 }, (_, i) => String.fromCodePoint(0x1f600 + (i % 64)));
    expect(attached(reactions(...many)).reactions).toHaveLength(30);
  });

  test('shows the most frequent first, and what was taken back not at all', () => {
    const tally = new Tally();
    tally.set('a', attached(`<noticed/>${reactions('👷', '🔨')}`));
    tally.set('b', attached(reactions('🔨')));
    tally.set('c', attached('<noticed/><noticed/>'));
    expect(shown(tally)).toBe(
      "<summary><noticed count='2'/><reactions><reaction count='2'>🔨</reaction><reaction>👷</reaction></reactions></summary>",
    );
    tally.set('a', attached(''));
    tally.set('c', undefined);
    expect(shown(tally)).toBe('<summary><reactions><reaction>🔨</reaction></reactions></summary>');
    tally.clear();
    expect(shown(tally)).toBe('<summary/>');
  });

  test('shows two hundred different ones at most', () => {
    const tally = new Tally();
    for (let i = 0; i < 250; i++) tally.set(`p${i}`, attached(reactions(String.fromCodePoint(0x1f300 + i))));
    expect(tally.summary().getChild('reactions')?.elements().length).toBe(200);
  });
});

describe('summaries', () => {
  test('are right however many attach something at once, and after everything was forgotten', async () => {
    const shelf = await open();
    await shelf.publish('musings', 'one');
    const people = Array.from({ length: 30 }, (_, i) => `p${i}@verona.test/x`);
    await Promise.all(people.map((who) => attach(shelf, 'one', who, `<noticed/>${reactions('🎉')}`)));
    expect(await summaryOf(shelf, 'one')).toBe(
      "<noticed count='30'/><reactions><reaction count='30'>🎉</reaction></reactions>",
    );
    shelf.restart();
    await Promise.all(people.slice(0, 10).map((who) => attach(shelf, 'one', who, reactions('🎉'))));
    expect(await summaryOf(shelf, 'one')).toBe(
      "<noticed count='20'/><reactions><reaction count='30'>🎉</reaction></reactions>",
    );
    await shelf.setAsOwner(ROMEO, `<purge node='${nodeOf('one')}'/>`);
    expect(await summaryOf(shelf, 'one')).toBe('');
  });

  test('count what one page of the store does not hold', async () => {
    const shelf = await open();
    await shelf.publish('musings', 'one');
    const people = Array.from({ length: 620 }, (_, i) => `p${i}@verona.test/x`);
    await Promise.all(people.map((who) => attach(shelf, 'one', who, '<noticed/>')));
    shelf.restart();
    await attach(shelf, 'one', JULIET, '<noticed/>');
    expect(await summaryOf(shelf, 'one')).toBe("<noticed count='621'/>");
  });

  test('forget an item that gave way to others, and what was attached to it', async () => {
    const shelf = await open({ max_items: '2' });
    await shelf.publish('musings', 'one');
    await attach(shelf, 'one', JULIET, '<noticed/>');
    await shelf.publish('musings', 'two');
    expect(await summaryOf(shelf, 'one')).toBe("<noticed count='1'/>");
    await shelf.publish('musings', 'three');
    expect(await summaryOf(shelf, 'one')).toBe('none');
    expect(await shelf.get(JULIET, `<items node='${nodeOf('one')}'/>`)).toBe('item-not-found');
  });

  test('keep what is attached to an item that is published again', async () => {
    const shelf = await open();
    await shelf.publish('musings', 'one');
    await attach(shelf, 'one', JULIET, '<noticed/>');
    await shelf.publish('musings', 'one', 'better');
    expect(await summaryOf(shelf, 'one')).toBe("<noticed count='1'/>");
  });

  test('of a node that keeps nothing any more are gone with its items, however many there were', async () => {
    const shelf = await open();
    const ids = Array.from({ length: 80 }, (_, i) => `i${i}`);
    for (const id of ids) {
      await shelf.publish('musings', id);
      await attach(shelf, id, JULIET, '<noticed/>');
    }
    await shelf.setAsOwner(
      ROMEO,
      "<configure node='musings'><x xmlns='jabber:x:data' type='submit'><field var='pubsub#persist_items'><value>0</value></field></x></configure>",
    );
    await shelf.settled();
    expect(await shelf.get(JULIET, `<items node='${SUMMARY}'/>`)).toBe(`<items node='${SUMMARY}'/>`);
    expect([...(await shelf.stores.nodes.all('pubsub')).keys()].sort()).toEqual(['musings', SUMMARY].sort());
    expect(await attach(shelf, 'i0', JULIET, '<noticed/>')).toBe('item-not-found');
  });

  test('and all that was attached go with the node', async () => {
    const shelf = await open();
    for (const id of ['one', 'two']) {
      await shelf.publish('musings', id);
      await attach(shelf, id, JULIET, '<noticed/>');
    }
    shelf.restart();
    await shelf.setAsOwner(ROMEO, "<delete node='musings'/>");
    await shelf.settled();
    expect((await shelf.stores.nodes.all('pubsub')).size).toBe(0);
    expect((await shelf.stores.items.usage('pubsub')).items).toBe(0);
    expect((await shelf.stores.entities.right('pubsub', 'romeo@verona.test')).size).toBe(0);
  });

  test('stay right where so much is attached that not all of it can be in memory', async () => {
    const shelf = await open({}, { policy: { mostItems: 5000 } });
    const ids = Array.from({ length: 2600 }, (_, i) => `i${i}`);
    await Promise.all(ids.map((id) => shelf.publish('musings', id)));
    for (let i = 0; i < ids.length; i += 100) {
      await Promise.all(ids.slice(i, i + 100).map((id) => attach(shelf, id, JULIET, '<noticed/>')));
      expect(shelf.shelf.size).toBeLessThanOrEqual(2102);
    }
    const [first] = ids;
    await Promise.all([JULIET, ROMEO].map((who) => attach(shelf, first!, who, `<noticed/>${reactions('🎉')}`)));
    expect(await summaryOf(shelf, first!)).toBe(
      "<noticed count='2'/><reactions><reaction count='2'>🎉</reaction></reactions>",
    );
  });

  test('of items that have expired are removed when it is looked for', async () => {
    const shelf = await open({ item_expire: '60' });
    await shelf.publish('musings', 'one');
    await attach(shelf, 'one', JULIET, '<noticed/>');
    await shelf.clock.advance(3_700_000);
    expect(await attach(shelf, 'one', JULIET, '<noticed/>')).toBe('item-not-found');
    await shelf.publish('musings', 'two');
    await attach(shelf, 'two', JULIET, '<noticed/>');
    await shelf.settled();
    expect(await summaryOf(shelf, 'one')).toBe('none');
    expect(await summaryOf(shelf, 'two')).toBe("<noticed count='1'/>");
  });
});

describe('what is attached', () => {
  test('is refused where the item goes at the same moment, or goes with it', async () => {
    const shelf = await open();
    for (let round = 0; round < 20; round++) {
      const item = `i${round}`;
      await shelf.publish('musings', item);
      const both = [
        () => attach(shelf, item, JULIET, '<noticed/>'),
        () => shelf.set(ROMEO, `<retract node='musings'><item id='${item}'/></retract>`),
      ];
      await Promise.all((round % 2 === 0 ? both : both.reverse()).map((one) => one()));
      expect(await summaryOf(shelf, item)).toBe('none');
      expect(await shelf.get(JULIET, `<items node='${nodeOf(item)}'/>`)).toBe('item-not-found');
    }
    expect((await shelf.stores.items.usage('pubsub')).items).toBe(0);
  });

  test('counts for nobody who may only own so many nodes, and is in no list', async () => {
    const shelf = await open({}, { policy: { mostNodes: 2 } });
    for (const id of ['one', 'two', 'three']) {
      await shelf.publish('musings', id);
      expect(await attach(shelf, id, ROMEO, '<noticed/>')).toContain('<publish');
    }
    await shelf.create('other');
    const mine = await shelf.get(ROMEO, '<affiliations/>');
    expect(mine.match(/<affiliation /g)).toHaveLength(2);
  });

  test('cannot be attached to an item whose name would be too long', async () => {
    const shelf = await open();
    const long = 'ä'.repeat(300);
    await shelf.publish('musings', long);
    expect(await attach(shelf, long, JULIET, '<noticed/>')).toBe('not-acceptable');
  });
});
