// XEP-0402 5.3: bookmarks of both ages, one made of the other.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Bookmark, fromLegacy, isSameList, listOf, readList } from '../../../../src/modules/bookmarks/convert.ts';
import { parseElement } from '../../../../src/xml/document.ts';
import { type Element, el } from '../../../../src/xml/element.ts';
import { NS } from '../../../../src/xmpp/ns.ts';

const word = fc.stringMatching(/^[a-z]{1,8}$/);
const text = fc.stringMatching(/^[ -~é]{0,12}$/);
const foreign = fc
  .record({ name: word, ns: word, text })
  .map(({ name, ns, text: inside }) => el(name, `urn:${ns}`, undefined, inside));

const again = (element: Element): Element => parseElement(element.toXml());

const conferences: fc.Arbitrary<Element> = fc
  .record({
    name: fc.option(text, { nil: undefined }),
    autojoin: fc.constantFrom('true', '1', 'false', '0', undefined),
    color: fc.option(word, { nil: undefined }),
    nick: fc.option(text, { nil: undefined }),
    password: fc.option(text, { nil: undefined }),
    extensions: fc.option(fc.uniqueArray(foreign, { selector: ({ name, ns }) => `${ns} ${name}`, maxLength: 4 }), {
      nil: undefined,
    }),
    beside: fc.array(word, { maxLength: 2 }),
  })
  .map(({ name, autojoin, color, nick, password, extensions, beside }) =>
    el(
      'conference',
      NS.bookmarks,
      { name, autojoin, color },
      ...(nick === undefined ? [] : [el('nick', NS.bookmarks, undefined, nick)]),
      ...(password === undefined ? [] : [el('password', NS.bookmarks, undefined, password)]),
      ...(extensions === undefined ? [] : [el('extensions', NS.bookmarks, undefined, ...extensions)]),
      ...beside.map((one) => el(`x-${one}`, 'urn:example:beside')),
    ),
  )
  .map(again);

const bookmarks: fc.Arbitrary<Bookmark[]> = fc.uniqueArray(
  fc.record({ id: word.map((room) => `${room}@chat.example`), conference: conferences }),
  { selector: ({ id }) => id, maxLength: 5 },
);

describe('a list of before', () => {
  test('that comes back as it was shown changes no bookmark', () => {
    fc.assert(
      fc.property(bookmarks, (all) => {
        const { rooms, others } = readList(again(listOf(all, [])));
        expect(others).toEqual([]);
        expect([...rooms.keys()]).toEqual(all.map(({ id }) => id));
        for (const { id, conference } of all) expect(fromLegacy(rooms.get(id)!, conference)).toBe(conference);
      }),
    );
  });

  test('that names rooms and nothing else takes no extension away', () => {
    fc.assert(
      fc.property(conferences, (conference) => {
        const bare = el('conference', NS.bookmarksLegacy, { jid: 'a@chat.example' });
        const made = fromLegacy(bare, conference);
        const extensions =
          conference
            .getChild('extensions')
            ?.elements()
            .map((one) => one.toXml()) ?? [];
        expect(
          made
            .getChild('extensions')
            ?.elements()
            .map((one) => one.toXml()) ?? [],
        ).toEqual(extensions);
        expect(made.attrs.color).toBe(conference.attrs.color);
        expect(made.attrs.name).toBeUndefined();
        expect(['true', '1']).not.toContain(made.attrs.autojoin);
        expect(made.getChild('nick')).toBeUndefined();
      }),
    );
  });

  test('is the same in another order and in other words, and another when a word is another', () => {
    fc.assert(
      fc.property(bookmarks, fc.array(foreign, { maxLength: 3 }), (all, others) => {
        const list = again(listOf(all, others));
        expect(isSameList(list, again(listOf([...all].reverse(), [...others].reverse())))).toBe(true);
        const more = { id: 'another@chat.example', conference: el('conference', NS.bookmarks) };
        expect(isSameList(list, listOf([...all, more], others))).toBe(false);
        for (const { id } of all) {
          const renamed = all.map((one) =>
            one.id === id ? { id, conference: one.conference.with({ name: '~new' }) } : one,
          );
          expect(isSameList(list, listOf(renamed, others))).toBe(false);
        }
      }),
    );
  });

  test('keeps what has no address, and is no room, as it is', () => {
    const odd = "<conference name='nowhere'/><conference jid='a@@b'/><url url='http://a.example'/><x xmlns='urn:x'/>";
    const { rooms, others } = readList(parseElement(`<storage xmlns='storage:bookmarks'>${odd}</storage>`));
    expect(rooms.size).toBe(0);
    expect(others.map((one) => one.toXml('storage:bookmarks')).join('')).toBe(odd);
  });
});
