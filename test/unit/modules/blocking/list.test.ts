// How addresses match, and how a list is changed and limited.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BlockList, Lists, parseItems } from '../../../../src/modules/blocking/list.ts';
import type { KvStore } from '../../../../src/storage/ports.ts';
import { el } from '../../../../src/xml/element.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const jid = (text: string): Jid => Jid.parse(text)!;

function memory(): KvStore<readonly string[]> & { writes: number } {
  const values = new Map<string, readonly string[]>();
  return {
    writes: 0,
    get: (owner) => values.get(owner),
    async set() {},
    async update(owner, change) {
      this.writes++;
      const value = change(values.get(owner));
      if (value === undefined) values.delete(owner);
      else values.set(owner, value);
      return value;
    },
    owners: async () => [...values.keys()],
  };
}

describe('matching (XEP-0191 5)', () => {
  test.each([
    ['juliet@verona.test/balcony', ['juliet@verona.test/balcony']],
    ['juliet@verona.test', ['juliet@verona.test', 'juliet@verona.test/balcony', 'juliet@verona.test/chamber']],
    ['verona.test/balcony', ['verona.test/balcony']],
    [
      'verona.test',
      [
        'verona.test',
        'verona.test/balcony',
        'verona.test/chamber',
        'juliet@verona.test',
        'juliet@verona.test/balcony',
        'juliet@verona.test/chamber',
        'nurse@verona.test',
      ],
    ],
  ])('%s', (item, matching) => {
    const all = [
      'verona.test',
      'verona.test/balcony',
      'verona.test/chamber',
      'juliet@verona.test',
      'juliet@verona.test/balcony',
      'juliet@verona.test/chamber',
      'nurse@verona.test',
      'sub.verona.test',
      'juliet@sub.verona.test',
      'verona.test.example',
    ];
    const list = new BlockList([item]);
    expect(all.filter((one) => list.has(jid(one)))).toEqual(all.filter((one) => matching.includes(one)));
  });

  test('whatever is blocked matches itself, and with it all that is in it', () => {
    const part = fc.stringMatching(/^[a-z]{1,3}$/);
    fc.assert(
      fc.property(part, part, part, (local, domain, resource) => {
        const full = Jid.of(local, domain, resource);
        for (const item of [full.full, full.bare, full.domain]) expect(new BlockList([item]).has(full)).toBe(true);
        expect(new BlockList([`x${full.full}`, `${full.full}x`]).has(full)).toBe(false);
      }),
    );
  });

  test('of an account, what is blocked is told: itself, and resources that are named', () => {
    const list = new BlockList(['a@x.test', 'a@x.test/1', 'b@x.test/2', 'a@x.testing/3']);
    expect(list.of(jid('a@x.test')).map(String)).toEqual(['a@x.test', 'a@x.test/1']);
    expect(list.of(jid('b@x.test')).map(String)).toEqual(['b@x.test/2']);
    expect(list.of(jid('c@x.test'))).toEqual([]);
    expect(new BlockList(['x.test']).of(jid('c@x.test')).map(String)).toEqual(['c@x.test']);
  });
});

describe('changes', () => {
  test('are told with what was before; an empty list is none', async () => {
    const lists = new Lists(memory(), 10);
    expect(lists.of('romeo')).toBeUndefined();
    const first = await lists.add('romeo', ['a.test', 'b.test']);
    expect([first.was, first.is?.jids]).toEqual([undefined, ['a.test', 'b.test']]);
    const second = await lists.remove('romeo', ['a.test', 'c.test']);
    expect([second.was?.jids, second.is?.jids]).toEqual([['a.test', 'b.test'], ['b.test']]);
    expect((await lists.clear('romeo')).is).toBeUndefined();
    expect(lists.of('romeo')).toBeUndefined();
    expect(lists.of('juliet')).toBeUndefined();
  });

  test('a list is made once of what is remembered', async () => {
    const lists = new Lists(memory(), 10);
    await lists.add('romeo', ['a.test']);
    expect(lists.of('romeo')).toBe(lists.of('romeo'));
  });

  test('too many addresses, or too long ones, are refused as a whole; less is always possible', async () => {
    const store = memory();
    const lists = new Lists(store, 3);
    await lists.add('romeo', ['a.test', 'b.test']);
    await expect(lists.add('romeo', ['c.test', 'd.test'])).rejects.toMatchObject({ condition: 'resource-constraint' });
    expect((await lists.add('romeo', ['b.test', 'c.test'])).is?.jids).toEqual(['a.test', 'b.test', 'c.test']);
    const fewer = new Lists(store, 1);
    expect((await fewer.remove('romeo', ['a.test'])).is?.jids).toEqual(['b.test', 'c.test']);
    expect((await fewer.add('romeo', ['b.test'])).is?.jids).toEqual(['b.test', 'c.test']);
    const long = Array.from({ length: 300 }, (_, i) => `${'x'.repeat(1000)}${i}@a.test`);
    await expect(new Lists(store, 5000).add('juliet', long)).rejects.toMatchObject({
      condition: 'resource-constraint',
    });
  });
});

test('items are prepared, each once; anything else is refused', () => {
  const item = (text: string | undefined) => el('item', NS.blocking, { jid: text });
  const block = (...children: ReturnType<typeof el>[]) => el('block', NS.blocking, undefined, ...children);
  expect(parseItems(block(item('Romeo@Verona.TEST/Orchard'), item('romeo@verona.test/Orchard')))).toEqual([
    'romeo@verona.test/Orchard',
  ]);
  expect(parseItems(block())).toEqual([]);
  for (const bad of [undefined, '', '@x.test', 'a@', 'a b@x.test', 'x'.repeat(1024), 'a@x.test/']) {
    expect(() => parseItems(block(item('a.test'), item(bad)))).toThrow('jid-malformed');
  }
  expect(() => parseItems(block(el('item', 'urn:x', { jid: 'a.test' })))).toThrow('bad-request');
});
