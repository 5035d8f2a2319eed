import { describe, expect, test } from 'vitest';
import { Shelf } from '../../../../src/modules/pubsub/shelf.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { TestShelf } from '../../../kit/pubsub-shelf.ts';

const ROMEO = 'romeo@verona.test/orchard';
const JULIET = 'juliet@verona.test/balcony';

async function subscribed(fields: Record<string, string> = {}): Promise<TestShelf> {
  const shelf = await TestShelf.open();
  await shelf.create('musings', fields);
  await shelf.set(JULIET, "<subscribe node='musings' jid='juliet@verona.test'/>");
  shelf.told.length = 0;
  return shelf;
}

/** From now on nothing is written. */
function breakStores({ shelf }: TestShelf): void {
  const fail = (): Promise<never> => Promise.reject(new StorageUnavailable('the database is away'));
  Object.assign(shelf.ports.rows, { saveNode: fail, saveEntities: fail, clearEntities: fail });
  Object.assign(shelf.ports.rows.items, { put: fail, remove: fail, clear: fail, trim: fail, expire: fail });
}

describe('while nothing can be written', () => {
  test.each<[string, string, string]>([
    [
      'publish',
      'http://jabber.org/protocol/pubsub',
      "<publish node='musings'><item id='1'><note xmlns='urn:note'/></item></publish>",
    ],
    ['retract', 'http://jabber.org/protocol/pubsub', "<retract node='musings' notify='1'><item id='0'/></retract>"],
    ['purge', 'http://jabber.org/protocol/pubsub#owner', "<purge node='musings'/>"],
    ['delete', 'http://jabber.org/protocol/pubsub#owner', "<delete node='musings'/>"],
    ['create', 'http://jabber.org/protocol/pubsub', "<create node='other'/>"],
    [
      'affiliate',
      'http://jabber.org/protocol/pubsub#owner',
      "<affiliations node='musings'><affiliation jid='juliet@verona.test' affiliation='outcast'/></affiliations>",
    ],
    [
      'unsubscribe others',
      'http://jabber.org/protocol/pubsub#owner',
      "<subscriptions node='musings'><subscription jid='juliet@verona.test' subscription='none'/></subscriptions>",
    ],
  ])('nobody can %s, nobody is told, and all is as it was', async (_what, ns, request) => {
    const shelf = await subscribed();
    await shelf.publish('musings', '0');
    shelf.told.length = 0;
    breakStores(shelf);
    await expect(shelf.ask(ROMEO, 'set', request, ns)).rejects.toThrow(StorageUnavailable);
    await shelf.settled();
    expect(shelf.heard()).toEqual([]);
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toContain("id='0'");
    expect(await shelf.get(JULIET, '<subscriptions/>')).toContain("'subscribed'");
    expect(await shelf.getAsOwner(ROMEO, "<affiliations node='musings'/>")).not.toContain('juliet');
    expect(await shelf.get(JULIET, "<items node='other'/>")).toBe('item-not-found');
  });

  test('one publication that fails does not keep the next one back', async () => {
    const shelf = await subscribed();
    const { items } = shelf.shelf.ports.rows;
    const put = items.put.bind(items);
    let isFirst = true;
    Object.assign(items, {
      put: (...given: Parameters<typeof put>) => {
        if (!isFirst) return put(...given);
        isFirst = false;
        return Promise.reject(new StorageUnavailable('the database is away'));
      },
    });
    const [first, second] = await Promise.allSettled(['1', '2'].map((id) => shelf.publish('musings', id)));
    expect([first?.status, second?.status]).toEqual(['rejected', 'fulfilled']);
    await shelf.settled();
    expect(shelf.heard()).toEqual(['juliet@verona.test: items [item id=2 [note]]']);
  });

  test('a node that could not be read is read once more', async () => {
    const shelf = await subscribed();
    shelf.restart();
    const { rows } = shelf.shelf.ports;
    const node = rows.node.bind(rows);
    Object.assign(rows, { node: () => Promise.reject(new StorageUnavailable('the database is away')) });
    await expect(shelf.get(JULIET, "<items node='musings'/>")).rejects.toThrow(StorageUnavailable);
    Object.assign(rows, { node });
    expect(await shelf.get(JULIET, "<items node='musings'/>")).toBe("<items node='musings'/>");
  });
});

test('what a node remembers without keeping it goes with it to the next owner', async () => {
  const shelf = await subscribed({ persist_items: '0' });
  await shelf.publish('musings', '1');
  const handed = JSON.parse(JSON.stringify(shelf.shelf.remembered()));
  shelf.shelf = new Shelf(shelf.shelf.jid, shelf.shelf.ports, handed);
  expect(await shelf.get(JULIET, "<items node='musings'/>")).toContain("id='1'");
});

test('a shelf is quiet when all is told', async () => {
  const shelf = await subscribed();
  const published = shelf.publish('musings', '1');
  await published;
  await shelf.shelf.settled();
  expect(shelf.shelf.isQuiet).toBe(true);
});
