import { expect, test } from 'vitest';
import { Shelf } from '../../../../src/modules/csi/shelf.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { type Message, type Stanza, stanzaOf } from '../../../../src/xmpp/stanza.ts';

const juliet = Jid.parse('juliet@capulet.test/balcony')!;
const romeo = Jid.parse('romeo@verona.test')!;
const presence = (id: string): Stanza => stanzaOf(parseElement(`<presence id='${id}'/>`), juliet, romeo);
const taken = (shelf: Shelf): (string | undefined)[] => shelf.take().map(({ stanza }) => stanza.id);

test('what is taken comes in the order in which it was put', () => {
  const shelf = new Shelf();
  for (const id of ['a', 'b', 'c']) shelf.put(presence(id), id === 'b' ? undefined : id, 0);
  expect(shelf.count).toBe(3);
  expect(taken(shelf)).toEqual(['a', 'b', 'c']);
  expect(shelf.count).toBe(0);
  expect(shelf.bytes).toBe(0);
  expect(taken(shelf)).toEqual([]);
});

test('a later one stands where it came, not where the one stood that it replaces', () => {
  const shelf = new Shelf();
  expect(shelf.put(presence('old'), 'key', 0)).toBe(false);
  shelf.put(presence('between'), undefined, 0);
  expect(shelf.put(presence('new'), 'key', 0)).toBe(true);
  expect(shelf.count).toBe(2);
  expect(taken(shelf)).toEqual(['between', 'new']);
});

test('what has no key replaces nothing', () => {
  const shelf = new Shelf();
  for (const id of ['a', 'b']) expect(shelf.put(presence(id), undefined, 0)).toBe(false);
  expect(taken(shelf)).toEqual(['a', 'b']);
});

test('what is dropped is gone', () => {
  const shelf = new Shelf();
  shelf.put(presence('a'), 'key', 0);
  expect(shelf.drop('key')).toBe(true);
  expect(shelf.drop('key')).toBe(false);
  expect(shelf.bytes).toBe(0);
  expect(taken(shelf)).toEqual([]);
});

test('bytes are those of what is kept, not of what was replaced', () => {
  const shelf = new Shelf();
  shelf.put(presence('x'.repeat(1000)), 'key', 0);
  expect(shelf.bytes).toBeGreaterThan(1000);
  shelf.put(presence('a'), 'key', 0);
  expect(shelf.bytes).toBeLessThan(100);
});

test('a stanza is given back with its addresses, who else has it, and the time when it was put', () => {
  const shelf = new Shelf();
  shelf.put(presence('a'), 'key', 42);
  const reach = { home: 'life.node', id: 1, to: ['one', 'two'], copied: [], back: [] };
  const message = stanzaOf(parseElement("<message type='chat'/>"), juliet, romeo) as Message;
  shelf.put({ ...message, reach }, undefined, 43);
  const [first, second] = shelf.take();
  expect(first).toMatchObject({ at: 42, stanza: { kind: 'presence', from: juliet, to: romeo, id: 'a' } });
  expect(second).toMatchObject({ at: 43, stanza: { kind: 'message', type: 'chat', from: juliet, to: romeo } });
  // shared with whoever else has it, not copied
  expect((second!.stanza as Message).reach).toBe(reach);
});
