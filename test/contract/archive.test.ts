// The contract of message archives (ArchiveStore in src/storage/ports.ts): one suite, every driver.
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/base/clock.ts';
import { StorageUnavailable, UnstorableValue } from '../../src/storage/errors.ts';
import { idTime } from '../../src/storage/ids.ts';
import type { ArchivePage, ArchiveQuery, ArchiveStore, NewArchived } from '../../src/storage/ports.ts';
import { archive, type Searchable, type Spec } from '../../src/storage/specs.ts';
import { storageForAll, storageWorlds } from '../kit/storage-worlds.ts';

const clock: Clock & { time: number } = {
  time: Date.UTC(2026, 0, 1),
  now() {
    return this.time;
  },
  after: () => () => {},
};

// what is archived here: the language, who speaks, what it corrects, and the text
const line = /^\[([\w-]*) (\S*) (\S*)\] (.*)$/s;
function searchable(xml: string): Searchable | undefined {
  const [, language, sender, replaced, text] = line.exec(xml) ?? [];
  if (text === undefined) return undefined;
  return {
    text,
    language: language === '' ? undefined : language,
    replaces: replaced === '' ? undefined : { sender: sender!, id: replaced! },
  };
}
const specs = { messages: archive({ searchable }) as Spec<unknown> };

describe.each(Object.entries(storageWorlds(clock)))('%s', (name, build) => {
  const storage = storageForAll(build);
  let messages: ArchiveStore;
  let owner = '';
  let owners = 0;

  beforeAll(async () => {
    messages = await open('first.test');
  });
  beforeEach(() => {
    owner = `owner${owners++}`;
  });

  const open = async (host: string, of = storage.driver): Promise<ArchiveStore> =>
    (await of.open(host, 'talk', specs)).messages as ArchiveStore;
  const message = (xml: string, more: Partial<NewArchived> = {}): NewArchived => ({
    with: 'juliet@capulet.test',
    resource: 'balcony',
    xml,
    ...more,
  });
  const append = async (xml: string, more: Partial<NewArchived> = {}, to = owner): Promise<string> => {
    const { id, durable } = messages.append(to, message(xml, more));
    await durable;
    return id;
  };
  const several = async (count: number, more: Partial<NewArchived> = {}): Promise<string[]> => {
    const all = Array.from({ length: count }, (_, i) => messages.append(owner, message(`${i}`, more)));
    await Promise.all(all.map(({ durable }) => durable));
    return all.map(({ id }) => id);
  };
  const find = (query: Partial<ArchiveQuery> = {}): Promise<ArchivePage | undefined> =>
    messages.find(owner, { limit: 100, ...query });
  const texts = async (query: Partial<ArchiveQuery> = {}): Promise<string[] | undefined> =>
    (await find(query))?.entries.map((entry) => entry.xml);

  test('what was not read is counted in many archives at once, without what nobody has to read and what one said oneself', async () => {
    const [one, two, none] = [`${owner}-1`, `${owner}-2`, `${owner}-none`];
    const said = await append('a', { with: 'romeo@montague.test' }, one);
    await append('b', { with: 'juliet@capulet.test' }, one);
    await append('marker', { with: 'romeo@montague.test', resource: '' }, one);
    await append('c', { with: 'romeo@montague.test' }, one);
    clock.time += 1000;
    const since = clock.time;
    for (const xml of ['x', 'y', 'z']) await append(xml, {}, two);
    const count = messages.unread(
      [
        { owner: one },
        { owner: none },
        { owner: two, except: 'romeo@montague.test' },
        { owner: one, afterId: said },
        { owner: one, afterId: said, except: 'juliet@capulet.test' },
        { owner: one, start: since },
        { owner: two, start: since, except: 'juliet@capulet.test' },
        { owner: one, afterId: 'no id' },
      ],
      100,
    );
    expect(await count).toEqual([3, 0, 3, 2, 1, 0, 0, 3]);
    expect(await messages.unread([{ owner: two }, { owner: one }, { owner: one, afterId: said }], 2)).toEqual([
      2, 2, 2,
    ]);
    expect(await messages.unread([], 2)).toEqual([]);
  });

  describe('pages', () => {
    test('give back what was archived, with its id and its time', async () => {
      const xml = '<message xmlns="jabber:client"><body>C:\\new\\table "ü" \\. 😀\n\r\t\u2028 {a,b}</body></message>';
      const id = await append(xml);
      expect(await find()).toEqual({ entries: [{ id, at: clock.time, xml }], complete: true });
      expect(idTime(id)).toBe(clock.time);
      const other = await append('');
      expect(other > id).toBe(true);
    });

    test('come in the order of time, whichever way they are reached', async () => {
      const ids = await several(7);
      expect(await find({ limit: 3 })).toMatchObject({
        entries: [{ xml: '0' }, { xml: '1' }, { xml: '2' }],
        complete: false,
      });
      expect(await texts({ limit: 3, after: ids[2]! })).toEqual(['3', '4', '5']);
      expect(await find({ limit: 3, after: ids[5]! })).toMatchObject({ entries: [{ xml: '6' }], complete: true });
      expect(await find({ limit: 4, after: ids[2]! })).toMatchObject({ complete: true });
      expect(await find({ limit: 2, backwards: true })).toMatchObject({
        entries: [{ xml: '5' }, { xml: '6' }],
        complete: false,
      });
      expect(await texts({ limit: 2, backwards: true, before: ids[5]! })).toEqual(['3', '4']);
      expect(await find({ limit: 9, backwards: true, before: ids[2]! })).toMatchObject({
        entries: [{ xml: '0' }, { xml: '1' }],
        complete: true,
      });
    });

    test('of nothing say whether there is anything', async () => {
      expect(await find({ limit: 0 })).toEqual({ entries: [], complete: true });
      expect(await find()).toEqual({ entries: [], complete: true });
      await append('x');
      expect(await find({ limit: 0 })).toEqual({ entries: [], complete: false });
    });

    test('have what this process has appended just now', async () => {
      for (let i = 0; i < 30; i++) messages.append(owner, message(`${i}`));
      expect(await texts()).toHaveLength(30);
    });

    test('are taken from between two ids, which are not among them', async () => {
      const ids = await several(6);
      expect(await texts({ afterId: ids[1]!, beforeId: ids[4]! })).toEqual(['2', '3']);
      expect(await texts({ afterId: ids[1]!, after: ids[3]! })).toEqual(['4', '5']);
      expect(await texts({ beforeId: ids[4]!, before: ids[2]!, backwards: true, limit: 1 })).toEqual(['1']);
      expect(await texts({ afterId: ids[4]!, beforeId: ids[1]! })).toEqual([]);
    });

    test('are those of the ids that are asked for', async () => {
      const ids = await several(5);
      expect(await texts({ ids: [ids[3]!, ids[0]!, ids[3]!] })).toEqual(['0', '3']);
      expect(await texts({ ids: [ids[3]!, ids[0]!], with: 'nobody@capulet.test' })).toEqual([]);
      expect(await texts({ ids: [] })).toEqual([]);
      expect(await find({ ids, limit: 2 })).toMatchObject({ complete: false });
    });

    test('are none at all when an id is not in this archive', async () => {
      const [id = ''] = await several(2);
      const elsewhere = await append('of another', {}, `${owner}b`);
      const unknown = [
        elsewhere,
        '',
        'no such id',
        "'",
        '0'.repeat(20),
        id.toUpperCase(),
        `${id} `,
        '{',
        'ü'.repeat(20),
      ];
      for (const bad of unknown) {
        for (const query of [
          { after: bad },
          { before: bad },
          { afterId: bad },
          { beforeId: bad },
          { ids: [id, bad] },
        ]) {
          expect(await find(query), JSON.stringify(query)).toBeUndefined();
        }
      }
      expect(await texts({ after: id, ids: [id] })).toEqual([]);
    });

    test('are of one party, bare or with a resource', async () => {
      const romeo = { with: 'romeo@montague.test', resource: 'orchard' };
      await append('j1');
      await append('r1', romeo);
      await append('j2', { resource: '' });
      await append('r2', { ...romeo, resource: 'garden' });
      await append('ro', { ...romeo, with: 'romeo@montague.test.example' });
      expect(await texts({ with: 'juliet@capulet.test' })).toEqual(['j1', 'j2']);
      expect(await texts({ with: 'romeo@montague.test' })).toEqual(['r1', 'r2']);
      expect(await texts({ with: 'romeo@montague.test', resource: 'garden' })).toEqual(['r2']);
      expect(await texts({ with: 'juliet@capulet.test', resource: '' })).toEqual(['j2']);
      expect(await texts({ with: 'romeo@montague.test', resource: 'gar' })).toEqual([]);
      expect(await texts({ with: 'montague.test' })).toEqual([]);
      expect(await texts({ with: 'romeo@montague.test', backwards: true, limit: 1 })).toEqual(['r2']);
    });

    test('tell very long addresses apart', async () => {
      const long = (end: string): string => `${'ü'.repeat(500)}@${'x'.repeat(900)}.${end}`;
      await append('one', { with: long('one'), resource: 'ÿ'.repeat(511) });
      await append('two', { with: long('two') });
      expect(await texts({ with: long('one') })).toEqual(['one']);
      expect(await texts({ with: long('one'), resource: 'ÿ'.repeat(511) })).toEqual(['one']);
      expect(await texts({ with: long('one'), resource: 'ÿ'.repeat(510) })).toEqual([]);
    });

    test('are of a time, ends included', async () => {
      const start = clock.time + 10_000;
      for (let i = 0; i < 5; i++) {
        clock.time = start + i * 1000;
        await append(`${i}`);
      }
      expect(await texts({ start: start + 1000, end: start + 3000 })).toEqual(['1', '2', '3']);
      expect(await texts({ start: start + 1001 })).toEqual(['2', '3', '4']);
      expect(await texts({ end: start + 999 })).toEqual(['0']);
      expect(await texts({ start: Number.NEGATIVE_INFINITY, end: Number.POSITIVE_INFINITY })).toHaveLength(5);
      expect(await texts({ start: 8.64e15 })).toEqual([]);
      expect(await texts({ end: -1 })).toEqual([]);
      expect(await texts({ start, with: 'juliet@capulet.test', backwards: true, limit: 2 })).toEqual(['3', '4']);
    });

    test('keep the order of appending when the clock steps back', async () => {
      await append('0');
      clock.time -= 3_600_000;
      await append('1');
      await append('2');
      clock.time += 3_600_000;
      await append('3');
      expect(await texts()).toEqual(['0', '1', '2', '3']);
    });

    test('have what was brought in from elsewhere at its own time', async () => {
      await append('now');
      const at = clock.time - 86_400_000;
      await append('yesterday', { at });
      await append('yesterday too', { at });
      await append('before', { at: at - 1 });
      expect(await texts()).toEqual(['before', 'yesterday', 'yesterday too', 'now']);
      expect((await find({ start: at, end: at }))?.entries[0]?.at).toBe(at);
    });

    test('keep hosts and owners apart', async () => {
      const other = await open('second.test');
      await append('here');
      await other.append(owner, message('there')).durable;
      await append('another', {}, `${owner}x`);
      expect(await texts()).toEqual(['here']);
      expect((await other.find(owner, { limit: 9 }))?.entries.map((entry) => entry.xml)).toEqual(['there']);
    });
  });

  test('an archive tells its ends', async () => {
    expect(await messages.ends(owner)).toBeUndefined();
    const [first = ''] = await several(1);
    expect(await messages.ends(owner)).toEqual({
      first: { id: first, at: clock.time },
      last: { id: first, at: clock.time },
    });
    clock.time += 5;
    const last = (await several(3)).at(-1)!;
    expect(await messages.ends(owner)).toEqual({
      first: { id: first, at: clock.time - 5 },
      last: { id: last, at: clock.time },
    });
  });

  test('messages are counted up to where it becomes dear', async () => {
    const ids = await several(12);
    await append('r', { with: 'romeo@montague.test' });
    expect(await messages.count(owner, {}, 13)).toBe(13);
    expect(await messages.count(owner, {}, 12)).toBeUndefined();
    expect(await messages.count(owner, { with: 'romeo@montague.test' }, 5)).toBe(1);
    expect(await messages.count(owner, { afterId: ids[9]! }, 5)).toBe(3);
    expect(await messages.count(owner, { ids: [ids[1]!, 'none'] }, 5)).toBe(1);
    expect(await messages.count(owner, { afterId: '' }, 50)).toBe(0);
    expect(await messages.count(owner, { beforeId: 'z' }, 50)).toBe(0);
    expect(await messages.count(`${owner}-nobody`, {}, 5)).toBe(0);
  });

  describe('a message that others refer to', () => {
    const juliet = 'juliet@capulet.test';
    const lookup = async (id: string, sender = juliet, party = juliet) =>
      (await messages.lookup(owner, { with: party, ref: { sender, id } }))?.xml;

    test('is found by who sent it and how it is called, in its conversation', async () => {
      await append('one', { ref: { sender: juliet, id: 'a' } });
      await append('mine', { ref: { sender: 'me@h.test', id: 'a' } });
      await append('two', { ref: { sender: juliet, id: 'b' } });
      await append('no ref');
      expect(await lookup('a')).toBe('one');
      expect(await lookup('b')).toBe('two');
      expect(await lookup('a', 'me@h.test')).toBe('mine');
      expect(await lookup('c')).toBeUndefined();
      expect(await lookup('a', juliet, 'romeo@montague.test')).toBeUndefined();
      expect(await messages.lookup(`${owner}x`, { with: juliet, ref: { sender: juliet, id: 'a' } })).toBeUndefined();
    });

    test('is the newest of that name', async () => {
      await append('old', { ref: { sender: juliet, id: 'a' } });
      const id = await append('new', { ref: { sender: juliet, id: 'a' } });
      expect(await messages.lookup(owner, { with: juliet, ref: { sender: juliet, id: 'a' } })).toEqual({
        id,
        at: clock.time,
        xml: 'new',
      });
    });

    test('gives way to a tombstone, which keeps its place', async () => {
      const ids = await several(3, { ref: { sender: juliet, id: 'x' } });
      expect(await messages.replace(owner, ids[1]!, 'tombstone')).toBe(true);
      expect(await texts({ with: juliet })).toEqual(['0', 'tombstone', '2']);
      expect((await find({ ids: [ids[1]!] }))?.entries[0]).toEqual({ id: ids[1], at: clock.time, xml: 'tombstone' });
      expect(await messages.replace(owner, 'no such id', 'tombstone')).toBe(false);
      expect(await messages.replace(`${owner}x`, ids[1]!, 'tombstone')).toBe(false);
      expect(await lookup('x')).toBe('2');
    });
  });

  describe('removing', () => {
    test('takes the oldest first, at most so many', async () => {
      const ids = await several(10);
      clock.time += 1000;
      await append('young');
      expect(await messages.remove(owner, { end: clock.time - 1 }, 4)).toBe(4);
      expect(await texts()).toEqual(['4', '5', '6', '7', '8', '9', 'young']);
      expect(await find({ after: ids[0]! })).toBeUndefined();
      expect(await messages.remove(owner, { ids: [ids[5]!, 'none'] }, 4)).toBe(1);
      expect(await messages.remove(owner, { end: clock.time - 1 }, 100)).toBe(5);
      expect(await messages.remove(owner, { end: clock.time - 1 }, 100)).toBe(0);
      expect(await messages.remove(owner, { with: 'nobody@h.test' }, 100)).toBe(0);
      expect(await texts()).toEqual(['young']);
      expect(await messages.remove(owner, {}, 100)).toBe(1);
      expect(await texts()).toEqual([]);
    });

    test('an account removes all it has on its host, and nothing else', async () => {
      const here = await open('purge.test');
      const there = await open('purge2.test');
      for (const store of [here, there]) {
        for (const who of ['gone', 'stays']) {
          await store.append(who, message('[  ] words of mine')).durable;
          await store.find(who, { limit: 1, search: { text: 'words', languages: ['en'] } });
        }
      }
      here.append('gone', message('still on its way'));
      await storage.driver.purge('purge.test', 'gone');
      expect((await here.find('gone', { limit: 9 }))?.entries).toEqual([]);
      expect((await here.find('stays', { limit: 9 }))?.entries).toHaveLength(1);
      expect((await there.find('gone', { limit: 9 }))?.entries).toHaveLength(1);
      await here.append('gone', message('[  ] back again')).durable;
      expect((await here.find('gone', { limit: 9 }))?.entries).toHaveLength(1);
      const search = { text: 'words', languages: ['en'] };
      expect((await here.find('gone', { limit: 9, search }))?.entries).toEqual([]);
    });

    test('owners are listed in order, page by page', async () => {
      const store = await open('owners.test');
      for (const who of ['d', 'a', 'c', 'b', 'e']) await store.append(who, message('x')).durable;
      expect(await store.owners()).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(await store.owners(undefined, 2)).toEqual(['a', 'b']);
      expect(await store.owners('b', 2)).toEqual(['c', 'd']);
      expect(await store.owners('e')).toEqual([]);
    });
  });

  describe('searching', () => {
    const search = (text: string, query: Partial<ArchiveQuery> = {}, languages: readonly string[] = ['en']) =>
      texts({ ...query, search: { text, languages } });

    test('finds messages that have all the words, whatever their case and accents', async () => {
      await append('[  ] The café at the corner');
      await append('[  ] CAFÉ NOIR, Straße 7');
      await append('[  ] a corner without coffee');
      await append('<encrypted/> corner');
      expect(await search('cafe')).toEqual(['[  ] The café at the corner', '[  ] CAFÉ NOIR, Straße 7']);
      expect(await search('Corner, CAFÉ!')).toEqual(['[  ] The café at the corner']);
      expect(await search('STRASSE')).toEqual(['[  ] CAFÉ NOIR, Straße 7']);
      expect(await search('7 noir')).toEqual(['[  ] CAFÉ NOIR, Straße 7']);
      expect(await search('the')).toEqual(['[  ] The café at the corner']);
      expect(await search('tea')).toEqual([]);
      expect(await search('cafe tea')).toEqual([]);
      expect(await search('caf')).toEqual([]);
    });

    test('takes any text, and finds nothing for one without words', async () => {
      await append("[  ] it's 100% ok & (maybe) !fine");
      for (const text of ['', ' ', '!?', '&', "'"]) expect(await search(text)).toEqual([]);
      for (const text of ["it's", '100%', "ok' OR 1=1 --".slice(0, 3), '(maybe)', '!fine', 'ok & fine', 'FINE | ok']) {
        expect(await search(text), text).toHaveLength(1);
      }
      expect(await search('x'.repeat(10_000))).toEqual([]);
      expect(await search('ok '.repeat(10_000))).toHaveLength(1);
    });

    test('reads Greek, Cyrillic, Hebrew, Arabic, Chinese, Japanese and Thai', async () => {
      await append('[  ] Ο Οδυσσεύς γύρισε');
      await append('[  ] Всё хорошо, ёлка');
      await append('[  ] שָׁלוֹם לך');
      await append('[  ] مَرْحَبًا بك');
      await append('[  ] 我们明天去北京大学');
      await append('[  ] 東京へ行きます');
      await append('[  ] สวัสดีครับ');
      expect(await search('ΟΔΥΣΣΕΥΣ')).toHaveLength(1);
      expect(await search('все елка')).toHaveLength(1);
      expect(await search('שלום')).toHaveLength(1);
      expect(await search('مرحبا')).toHaveLength(1);
      expect(await search('明天')).toHaveLength(1);
      expect(await search('東京')).toHaveLength(1);
      expect(await search('สวัสดี')).toHaveLength(1);
    });

    test('pages both ways, and goes together with all other conditions', async () => {
      const ids: string[] = [];
      for (let i = 0; i < 9; i++) {
        clock.time += 10;
        const party = i % 3 === 0 ? 'romeo@montague.test' : 'juliet@capulet.test';
        ids.push(await append(`[  ] ${i % 2 === 0 ? 'even' : 'odd'} number ${i}`, { with: party }));
      }
      const of = (...numbers: number[]): string[] =>
        numbers.map((i) => `[  ] ${i % 2 === 0 ? 'even' : 'odd'} number ${i}`);
      expect(await search('even', { limit: 2 })).toEqual(of(0, 2));
      expect(await search('even', { limit: 2, after: ids[2]! })).toEqual(of(4, 6));
      expect(await search('even', { limit: 2, backwards: true })).toEqual(of(6, 8));
      expect(await search('even', { limit: 2, backwards: true, before: ids[6]! })).toEqual(of(2, 4));
      const page = await find({ limit: 2, after: ids[4]!, search: { text: 'even', languages: [] } });
      expect(page?.complete).toBe(true);
      expect(await find({ limit: 2, after: 'none', search: { text: 'even', languages: [] } })).toBeUndefined();
      expect(await search('number', { with: 'romeo@montague.test' })).toEqual(of(0, 3, 6));
      expect(await search('odd', { with: 'romeo@montague.test' })).toEqual(of(3));
      expect(await search('odd', { start: clock.time - 30, end: clock.time - 10 })).toEqual(of(5, 7));
      expect(await search('odd', { afterId: ids[1]!, beforeId: ids[7]! })).toEqual(of(3, 5));
      expect(await search('odd', { ids: [ids[1]!, ids[2]!] })).toEqual(of(1));
    });

    // (in memory, words are compared as they are)
    if (!name.startsWith('memory')) {
      test('knows inflection, in the language of the message or else of the host', async () => {
        await append('[  ] the stars were shining');
        await append('[de  ] die schönen Häuser');
        await append('[fr-CA  ] les chevaux mangeaient');
        await append('[xx  ] unknown tongues');
        expect(await search('star')).toHaveLength(1);
        expect(await search('shine star')).toHaveLength(1);
        expect(await search('STARRING')).toHaveLength(1);
        expect(await search('starboard')).toHaveLength(0);
        expect(await search('haus')).toHaveLength(1);
        expect(await search('Häusern', {}, ['en', 'de'])).toHaveLength(1);
        expect(await search('mangeait')).toHaveLength(1);
        expect(await search('chevaux', {}, [])).toHaveLength(1);
        expect(await search('tongues unknown')).toHaveLength(1);
        expect(await search('tongue')).toHaveLength(0);
      });
    }

    test('sees only the archive of its owner', async () => {
      await append('[  ] secret of another', {}, `${owner}x`);
      await append('[  ] secret of mine');
      expect(await search('secret')).toEqual(['[  ] secret of mine']);
      const other = await open('second.test');
      await other.append(owner, message('[  ] secret of a namesake')).durable;
      expect(await search('secret')).toEqual(['[  ] secret of mine']);
    });

    test('goes on with what has come since, also what came late', async () => {
      await append('[  ] first apple');
      expect(await search('apple')).toHaveLength(1);
      await append('[  ] second apple');
      messages.append(owner, message('[  ] third apple'));
      expect(await search('apple')).toHaveLength(3);
      clock.time += 3_600_000;
      await append('[  ] fourth apple');
      expect(await search('apple')).toHaveLength(4);
      await append('[  ] an apple of old', { at: clock.time - 10_000_000 });
      expect(await search('apple')).toHaveLength(5);
    });

    test('follows corrections: of a message, and of its correction', async () => {
      const ref = (id: string, sender = 'juliet@capulet.test') => ({ ref: { sender, id } });
      await append('[  ] meet at the harbour', ref('a'));
      await append('[  ] the harbour is far', ref('b'));
      expect(await search('harbour')).toHaveLength(2);
      await append('[ juliet@capulet.test a] meet at the station', ref('c'));
      expect(await search('harbour')).toEqual(['[  ] the harbour is far']);
      expect(await search('meet')).toEqual(['[ juliet@capulet.test a] meet at the station']);
      // XEP-0308 3: a later correction names the original too
      await append('[ juliet@capulet.test a] meet at the airport', ref('d'));
      expect(await search('meet')).toEqual(['[ juliet@capulet.test a] meet at the airport']);
      // nobody corrects what somebody else has said, or said elsewhere
      await append('[ mallory@h.test b] nonsense', ref('e', 'mallory@h.test'));
      await append('[ juliet@capulet.test b] nonsense', { with: 'romeo@montague.test' });
      expect(await search('harbour')).toEqual(['[  ] the harbour is far']);
    });

    test('follows corrections that came before the first search', async () => {
      const ref = (id: string) => ({ ref: { sender: 'juliet@capulet.test', id } });
      await append('[  ] blue paint', ref('a'));
      await append('[ juliet@capulet.test a] green paint', ref('b'));
      expect(await search('paint')).toEqual(['[ juliet@capulet.test a] green paint']);
      expect(await search('blue')).toEqual([]);
    });

    test('does not find what was retracted or removed', async () => {
      const [one, two] = [await append('[  ] regret one'), await append('[  ] regret two')];
      await append('[  ] regret three');
      expect(await search('regret')).toHaveLength(3);
      await messages.replace(owner, one, 'tombstone');
      expect(await search('regret')).toEqual(['[  ] regret two', '[  ] regret three']);
      await messages.remove(owner, { ids: [two] }, 1);
      expect(await search('regret')).toEqual(['[  ] regret three']);
      const last = await append('[  ] regret four');
      await messages.replace(owner, last, 'tombstone');
      expect(await search('regret')).toEqual(['[  ] regret three']);
    });
  });

  describe('what cannot be stored', () => {
    const bad = { NUL: 'a\0b', 'a high surrogate alone': 'a\ud800', 'a low surrogate alone': '\udc00b' };
    test.each(Object.entries(bad))('%s is refused wherever it stands, and does no harm', async (_what, text) => {
      const refused = (append: () => unknown): void => expect(append).toThrow(UnstorableValue);
      refused(() => messages.append(text, message('x')));
      refused(() => messages.append(owner, message(text)));
      refused(() => messages.append(owner, message('x', { with: text })));
      refused(() => messages.append(owner, message('x', { resource: text })));
      refused(() => messages.append(owner, message('x', { ref: { sender: text, id: 'a' } })));
      refused(() => messages.append(owner, message('x', { ref: { sender: 'a', id: text } })));
      const asked = [
        { with: text },
        { with: 'a', resource: text },
        { after: text },
        { ids: [text] },
        { beforeId: text },
      ];
      for (const query of asked) await expect(find(query)).rejects.toThrow(UnstorableValue);
      const [id = ''] = await several(1);
      await expect(messages.replace(owner, id, text)).rejects.toThrow(UnstorableValue);
      await expect(messages.lookup(owner, { with: text, ref: { sender: 'a', id: 'b' } })).rejects.toThrow(
        UnstorableValue,
      );
      expect(await find({ search: { text, languages: [text] } })).toMatchObject({ entries: [] });
      expect(await texts()).toEqual(['0']);
    });
  });

  test('a closed driver says so', async () => {
    const another = await storage.world.driver();
    const own = await open('closed.test', another);
    const last = own.append('a', message('on the way'));
    await another.close();
    await last.durable;
    expect(() => own.append('a', message('too late'))).toThrow(StorageUnavailable);
    await expect(own.find('a', { limit: 1 })).rejects.toBeInstanceOf(StorageUnavailable);
    await expect(own.owners()).rejects.toBeInstanceOf(StorageUnavailable);
  });
});
