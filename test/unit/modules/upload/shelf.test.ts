// What a killed server leaves behind: whatever the moment, a file that is not known whole is not there, and is removed in time.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { upload } from '../../../../src/config/upload.ts';
import { Disk } from '../../../../src/modules/upload/disk.ts';
import { Ids } from '../../../../src/modules/upload/ids.ts';
import { Library, pathOf } from '../../../../src/modules/upload/library.ts';
import { isSameFolder } from '../../../../src/modules/upload/sameness.ts';
import {
  isThere,
  type Purpose,
  Shelf,
  type Shelved,
  stores,
  type UploadStores,
} from '../../../../src/modules/upload/shelf.ts';
import { Slots } from '../../../../src/modules/upload/slots.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import { el } from '../../../../src/xml/element.ts';
import { NS } from '../../../../src/xmpp/ns.ts';
import { FakeClock } from '../../../kit/clock.ts';

const HOUR = 3_600_000;
let folder: string;
let clock: FakeClock;
let opened: UploadStores;
let shelf: Shelf;
let disk: Disk;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'parley-uploads-'));
  clock = new FakeClock(Date.now());
  opened = (await createMemoryDriver(clock).open('upload.test', 'upload', stores)) as UploadStores;
  disk = new Disk({ folder, keepFree: 0, clock });
  shelf = new Shelf(opened, disk, clock);
});
afterEach(() => rmSync(folder, { recursive: true }));

const ids = new Ids('secret');
async function asked(purpose: Purpose = 'message'): Promise<Shelved> {
  const now = clock.now();
  const row = { name: 'a', type: '', size: 3, purpose, state: 'asked', at: now, until: now + 1000 } as const;
  const slot = { user: 'romeo', id: ids.mint(), row };
  await shelf.add(slot);
  return slot;
}
async function* bytes(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
const placeOf = ({ id }: Shelved): string => join(folder, id.slice(0, 2), id);
const isRead = async ({ id }: Shelved): Promise<boolean> => {
  const found = await shelf.find(id);
  return found !== undefined && isThere(found.row, clock.now());
};

describe('a server that was killed', () => {
  test('between the file and what is written of it has no such file, and none on the disk in the end', async () => {
    const slot = await asked();
    expect(await shelf.begin(slot)).toBe(true);
    await disk.put(slot.id, bytes('abc'), 3);
    // here it was
    expect(await isRead(slot)).toBe(false);
    expect((await shelf.sweep('romeo')).removed).toBe(0);
    await clock.advance(HOUR + 2000);
    expect(await shelf.sweep('romeo')).toEqual({ removed: 1, bytes: 0 });
    expect(existsSync(placeOf(slot))).toBe(false);
    expect(await shelf.find(slot.id)).toBeUndefined();
    expect(await shelf.total()).toBe(0);
  });

  test('while it deleted a file does not have it any more, and deletes it in the end', async () => {
    const slot = await asked();
    await shelf.begin(slot);
    await disk.put(slot.id, bytes('abc'), 3);
    expect(await shelf.finish(slot, 'text/plain')).toBe(true);
    await opened.files.update('romeo', slot.id, (old) => ({ ...old!, state: 'gone' }));
    // here it was
    expect(await isRead(slot)).toBe(false);
    await clock.advance(25 * HOUR);
    await shelf.sweep('romeo');
    expect(existsSync(placeOf(slot))).toBe(false);
    expect(await shelf.find(slot.id)).toBeUndefined();
  });

  test('has no parts of files after a day, nor files that nobody knows of, and keeps all others', async () => {
    const slot = await asked();
    await shelf.begin(slot);
    await disk.put(slot.id, bytes('abc'), 3);
    await shelf.finish(slot, 'text/plain');
    const unknown = { ...slot, id: ids.mint() };
    mkdirSync(join(folder, unknown.id.slice(0, 2)), { recursive: true });
    for (const file of [join(folder, 'incoming', 'part.x'), placeOf(unknown), join(folder, 'notes.txt')])
      writeFileSync(file, 'x');
    const isKnown = async (id: string): Promise<boolean> => (await shelf.find(id)) !== undefined;
    expect(await disk.tidy(isKnown, () => true)).toBe(0);
    const old = (clock.now() - 25 * HOUR) / 1000;
    for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' }))
      utimesSync(join(folder, name), old, old);
    expect(await disk.tidy(isKnown, () => true)).toBe(2);
    expect(existsSync(placeOf(slot))).toBe(true);
    expect(existsSync(join(folder, 'notes.txt'))).toBe(true);
    expect(readdirSync(join(folder, 'incoming'))).toEqual([]);
  });
});

test('what is deleted while it is being sent is gone when it has come', async () => {
  const slot = await asked();
  await shelf.begin(slot);
  await shelf.remove('romeo', slot.id);
  await disk.put(slot.id, bytes('abc'), 3);
  expect(await shelf.finish(slot, 'text/plain')).toBe(false);
  expect(existsSync(placeOf(slot))).toBe(false);
  expect(await shelf.find(slot.id)).toBeUndefined();
});

test('bytes that are too few or too many are no file', async () => {
  for (const text of ['ab', 'abcd']) {
    const slot = await asked();
    await expect(disk.put(slot.id, bytes(text), 3)).rejects.toThrow(/bytes came, and not 3/);
    expect(existsSync(placeOf(slot))).toBe(false);
  }
  expect(readdirSync(join(folder, 'incoming'))).toEqual([]);
});

test('the sum of all is counted anew with what comes meanwhile', async () => {
  await asked();
  const before = await shelf.total();
  await asked();
  await shelf.recount(100, before);
  expect(await shelf.total()).toBe(103);
});

test('people who have nothing any more are not looked at for ever', async () => {
  await asked();
  await clock.advance(2000);
  await shelf.sweep('romeo');
  await shelf.sweep('romeo');
  const people: string[] = [];
  for await (const user of shelf.people()) people.push(user);
  expect(people).toEqual([]);
});

test('whoever sends something while it is swept is not forgotten', async () => {
  for (let steps = 0; steps < 30; steps++) {
    await shelf.removeAll('romeo');
    await opened.people.set('romeo', true);
    const sweeping = shelf.sweep('romeo');
    for (let i = 0; i < steps; i++) await Promise.resolve();
    await Promise.all([asked(), sweeping]);
    expect(await opened.people.get('romeo'), `after ${steps} steps`).toBe(true);
  }
});

test('what somebody asks for and never sends takes the room of the host once, however often they ask', async () => {
  const settings = {
    ...upload.parse({ folder, 'host-quota': '100B' }),
    'keep-free': 0,
  };
  const slots = new Slots({ shelf, depot: disk, ids, clock, settings });
  const request = el('request', NS.upload, { filename: 'a', size: '60' });
  for (let i = 0; i < 3; i++) {
    await slots.give('romeo', request);
    await clock.advance(settings['slot-lifetime'] + 1);
  }
  expect(await shelf.total()).toBe(60);
});

test('what is kept of the messages that speak of a file is small, however long their ids are', async () => {
  const library = new Library({ shelf, ids, domain: 'verona.test', now: () => clock.now(), url: (path) => path });
  const slot = await asked();
  const [by, text] = ['romeo@verona.test', `see https://verona.test${pathOf(slot.id, 'a')}`];
  const long = 'x'.repeat(100_000);
  for (const message of ['m1', 'm1', long]) await library.mentioned(by, text, message);
  const { mentions = [] } = (await shelf.find(slot.id))!.row;
  expect(mentions).toHaveLength(2);
  expect(mentions.join('').length).toBeLessThan(100);
  await library.withdrawn(by, text, long);
  expect((await shelf.find(slot.id))?.row.mentions).toHaveLength(1);
  await library.withdrawn(by, text, 'm1');
  expect(await shelf.find(slot.id)).toBeUndefined();
});

test('what belongs to a profile, or is to stay, outlives the message that speaks of it', async () => {
  const library = new Library({ shelf, ids, domain: 'verona.test', now: () => clock.now(), url: (path) => path });
  const left: string[] = [];
  for (const purpose of ['message', 'ephemeral', 'profile', 'permanent'] as const) {
    const slot = await asked(purpose);
    const text = `see https://verona.test${pathOf(slot.id, 'a')}`;
    await library.mentioned('romeo@verona.test', text, 'm');
    await library.withdrawn('romeo@verona.test', text, 'm');
    if ((await shelf.find(slot.id)) !== undefined) left.push(purpose);
  }
  expect(left).toEqual(['profile', 'permanent']);
});

describe('a folder with files in it', () => {
  const look = (isAlone = true): Promise<boolean> =>
    isSameFolder({
      folder,
      marks: opened.secrets,
      hasOthers: () => !isAlone,
      clock,
      signal: new AbortController().signal,
    });
  const mark = '.parley-uploads';

  test('that this database made is its own', async () => {
    expect(await look()).toBe(true);
    expect(await look()).toBe(true);
    expect(await opened.secrets.get('adopted')).toBeUndefined();
  });

  test.each([undefined, 'mine'])(
    'that another database made is taken by a single node that had %s, and what is unknown there stays',
    async (had) => {
      if (had !== undefined) await opened.secrets.set('folder', had);
      writeFileSync(join(folder, mark), 'theirs\n');
      expect(await look()).toBe(true);
      expect(await opened.secrets.get('adopted')).toBe('theirs');
    },
  );

  test('that another database made is not taken where other nodes have theirs', async () => {
    await opened.secrets.set('folder', 'mine');
    writeFileSync(join(folder, mark), 'theirs\n');
    expect(await look(false)).toBe(false);
    expect(await opened.secrets.get('adopted')).toBeUndefined();
  });
});
