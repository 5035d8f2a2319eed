import { beforeEach, describe, expect, test } from 'vitest';
import type { MaybePromise } from '../../../../src/base/maybe.ts';
import type { SessionEntry } from '../../../../src/cluster/cluster.ts';
import { createSolo } from '../../../../src/cluster/solo.ts';
import type { Router } from '../../../../src/core/router.ts';
import { presenceOf } from '../../../../src/modules/presence/stanzas.ts';
import { formatVersion, isForInterested, parseVersion, RosterBook } from '../../../../src/modules/roster/book.ts';
import type { RosterItem } from '../../../../src/modules/roster/item.ts';
import { cached } from '../../../../src/storage/cached.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { createMemoryDriver } from '../../../../src/storage/memory.ts';
import type { KvStore, MapStore } from '../../../../src/storage/ports.ts';
import { kv, map } from '../../../../src/storage/specs.ts';
import { type BareJid, Jid } from '../../../../src/xmpp/jid.ts';
import type { Presence, Stanza } from '../../../../src/xmpp/stanza.ts';
import { lateDriver } from '../../../kit/late-driver.ts';

const juliet = Jid.parse('juliet@example.com')!;
const contact = (name: string) => Jid.parse(`${name}@example.net`)!;
const limits = { maxItems: 5, maxRequests: 2, maxRequestSize: 200, maxRemoved: 3 };

let parts: ConstructorParameters<typeof RosterBook>[0];
let book: RosterBook;
let written: { stanza: Stanza; to: readonly SessionEntry[] }[];
let removed: string[];
let doubted: string[];
let now: number;

beforeEach(async () => {
  now = 1_000_000;
  const clock = { now: () => now, after: () => () => {} };
  const stores = (await createMemoryDriver(clock).open('example.com', 'roster', {
    items: map<RosterItem>(),
    floors: kv<number>(),
  })) as { items: MapStore<RosterItem>; floors: KvStore<number> };
  const cluster = createSolo();
  await cluster.directory.put(resource('balcony', true));
  await cluster.directory.put(resource('chamber', false));
  written = [];
  removed = [];
  doubted = [];
  // (as `session-out` does on the node of each)
  const delivery = {
    write(stanza: Stanza, all: readonly SessionEntry[]) {
      const to = all.filter(({ jid, shared }) => shared.interested === true || !isForInterested(stanza, jid));
      if (to.length > 0) written.push({ stanza, to });
    },
  };
  const router = { delivery } as unknown as Router;
  parts = {
    ...stores,
    cluster,
    router,
    clock,
    limits,
    watchers: [],
    tell: () => {},
    doubt: (_account, jid) => void doubted.push(jid.bare),
    changed: () => {},
    removed: (_account, jid) => void removed.push(jid.bare),
  };
  book = new RosterBook(parts);
});

function resource(name: string, interested: boolean): SessionEntry {
  const shared: Record<string, boolean> = interested ? { interested: true } : {};
  const node = 'solo' as SessionEntry['node'];
  return { jid: juliet.withResource(name), node, sid: name, available: true, priority: 0, shared };
}

const pushes = () => written.filter(({ stanza }) => stanza.kind === 'iq');
const versions = () =>
  pushes().map(({ stanza }) => parseVersion((stanza.kind === 'iq' && stanza.payload?.attrs.ver) || '')!);
const add = (name: string) => book.set(juliet, contact(name), undefined, []);
const request = (from: Jid): Presence => presenceOf('subscribe', from, juliet);

test('a roster that was not in memory is known to be as it is now; one that was may be older', async () => {
  const late = cached(lateDriver(createMemoryDriver(), async () => {}));
  const stores = (await late.open('example.com', 'roster', {
    items: map<RosterItem>({ cache: true }),
    floors: kv<number>({ cache: true }),
  })) as { items: MapStore<RosterItem>; floors: KvStore<number> };
  const remembering = new RosterBook({ ...parts, ...stores });
  expect(await remembering.isFresh('juliet')).toBe(true);
  expect(await remembering.isFresh('juliet')).toBe(false);
  await stores.items.set('juliet', 'a@example.net', undefined);
  // (the other part of it is remembered still)
  expect(await remembering.isFresh('juliet')).toBe(false);
});

describe('a push', () => {
  test('goes to every interested resource and to no other (RFC 6121 2.1.6)', async () => {
    await add('a');
    expect(pushes().map(({ to }) => to.map(({ jid }) => jid.resource))).toEqual([['balcony']]);
    const [push] = pushes();
    expect(push?.stanza.el.attrs).toMatchObject({ from: 'juliet@example.com', to: 'juliet@example.com/balcony' });
  });

  test('has a version of its own, which rises whatever the clock does (RFC 6121 2.6.3)', async () => {
    await Promise.all(['a', 'b', 'c'].map(add));
    now -= 60_000;
    await add('a');
    await book.remove(juliet, contact('b'));
    const seen = versions();
    expect(seen).toHaveLength(5);
    expect(seen).toEqual([...new Set(seen)].sort((a, b) => a - b));
    expect((await book.current('juliet')).version).toBe(seen.at(-1));
  });

  test('follows the stanza that caused it (RFC 6121 3.1.6)', async () => {
    await book.sending(juliet, contact('a'), 'subscribe');
    written = [];
    await book.receiving(juliet, contact('a'), 'subscribed', presenceOf('subscribed', contact('a'), juliet));
    expect(written.map(({ stanza }) => stanza.kind)).toEqual(['presence', 'iq']);
  });

  test('does not tell of a request nobody answered yet (RFC 6121 A.1)', async () => {
    const { pass } = await book.receiving(juliet, contact('a'), 'subscribe', request(contact('a')));
    expect(pass).toBe(true);
    expect(written).toEqual([]);
  });
});

describe('the changes since a version', () => {
  test('are the last state of each item, in the order of modification', async () => {
    await add('start');
    const [since] = versions();
    for (const name of ['a', 'b', 'a', 'c']) await add(name);
    await book.remove(juliet, contact('b'));
    const changes = await book.changesSince('juliet', formatVersion(since!));
    expect(changes?.map(([jid, item]) => [jid, item.hidden])).toEqual([
      ['a@example.net', undefined],
      ['c@example.net', undefined],
      ['b@example.net', true],
    ]);
  });

  test('are none when nothing changed', async () => {
    await add('a');
    expect(await book.changesSince('juliet', formatVersion((await book.current('juliet')).version))).toEqual([]);
  });

  // empty, of other servers, and from our future
  test.each(['', 'x', '17', '999999', 'v', 'v-1', 'v1zzzzzzzzz', 'vzzzzzzzzzz'])(
    'are not known for "%s"',
    async (ver) => {
      await add('a');
      expect(await book.changesSince('juliet', ver)).toBeUndefined();
    },
  );

  test('are forgotten with the oldest removals, and then the whole roster is needed', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await add(name);
    const ver = formatVersion((await book.current('juliet')).version);
    for (const name of ['a', 'b', 'c']) await book.remove(juliet, contact(name));
    expect(await book.changesSince('juliet', ver)).toHaveLength(3);
    await book.remove(juliet, contact('d'));
    expect(await book.changesSince('juliet', ver)).toBeUndefined();
    expect([...(await book.all('juliet')).keys()].sort()).toEqual(
      ['b', 'c', 'd', 'e'].map((name) => `${name}@example.net`),
    );
    const floor = versions()[5];
    expect(await book.changesSince('juliet', formatVersion(floor!))).toHaveLength(3);
  });
});

describe('limits', () => {
  test('stop new contacts, however they come', async () => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) await add(name);
    await expect(add('f')).rejects.toThrow('resource-constraint');
    await expect(book.sending(juliet, contact('f'), 'subscribe')).rejects.toThrow('resource-constraint');
    await expect(book.sending(juliet, contact('f'), 'subscribed')).rejects.toThrow('resource-constraint');
    await add('a');
    await expect(book.sending(juliet, contact('a'), 'subscribe')).resolves.toMatchObject({ pass: true });
  });

  test('stop requests of strangers', async () => {
    for (const name of ['a', 'b']) await book.receiving(juliet, contact(name), 'subscribe', request(contact(name)));
    await expect(book.receiving(juliet, contact('c'), 'subscribe', request(contact('c')))).rejects.toThrow(
      'resource-constraint',
    );
    const long = contact('x'.repeat(200));
    await expect(book.receiving(juliet, long, 'subscribe', request(long))).rejects.toThrow('policy-violation');
  });
});

test('a removal is told once it is done', async () => {
  await add('a');
  await book.remove(juliet, contact('a'));
  expect(removed).toEqual(['a@example.net']);
  expect((await book.get('juliet', contact('a').bare))?.hidden).toBe(true);
});

test('removing who is not there is refused (RFC 6121 2.5.3)', async () => {
  await expect(book.remove(juliet, contact('a'))).rejects.toThrow('item-not-found');
  await book.receiving(juliet, contact('a'), 'subscribe', request(contact('a')));
  await expect(book.remove(juliet, contact('a'))).rejects.toThrow('item-not-found');
});

test('presence is for the account itself and for subscribers', async () => {
  const [a, b] = [contact('a'), contact('b')];
  await book.receiving(juliet, a, 'subscribe', request(a));
  await book.sending(juliet, a, 'subscribed');
  expect(await book.canSee(juliet, a.withResource('x'))).toBe(true);
  expect(await book.canSee(juliet, b)).toBe(false);
  expect(await book.canSee(juliet, juliet.withResource('balcony'))).toBe(true);
});

test('naming a contact keeps its request and its subscription', async () => {
  const a = contact('a');
  await book.receiving(juliet, a, 'subscribe', request(a));
  await book.set(juliet, a, 'A', ['Friends']);
  expect(await book.get('juliet', a.bare)).toMatchObject({ name: 'A', request: request(a).el.toXml() });
  await book.sending(juliet, a, 'subscribed');
  await book.set(juliet, a, undefined, []);
  const item = await book.get('juliet', a.bare);
  expect(item).toMatchObject({ subscription: 'from', groups: [] });
  expect(item).not.toHaveProperty('name');
  expect(item).not.toHaveProperty('request');
});

test('where it cannot be told who is there, those that are known are pushed a change, and the others when it is settled', async () => {
  const { directory } = parts.cluster;
  const known = (await directory.sessions(juliet.bare)).slice(0, 1);
  const late = [...known, resource('orchard', true)];
  let isAway = true;
  const sessions = (_: BareJid, isFresh?: boolean): MaybePromise<readonly SessionEntry[]> =>
    isFresh !== true ? known : isAway ? Promise.reject(new StorageUnavailable('Redis is away')) : late;
  Object.assign(parts, { cluster: { ...parts.cluster, directory: { ...directory, sessions } } });
  await add('romeo');
  expect(pushes().map(({ to }) => to[0]!.jid.resource)).toEqual(['balcony']);
  expect(doubted).toEqual(['romeo@example.net']);
  await expect(book.settle(juliet, contact('romeo'))).rejects.toThrow('Redis is away');
  isAway = false;
  await book.settle(juliet, contact('romeo'));
  expect(pushes().map(({ to }) => to[0]!.jid.resource)).toEqual(['balcony', 'balcony', 'orchard']);
});

test('what a lost write may still do to a contact comes too late when it is settled: the row is another', async () => {
  await add('romeo');
  const before = (await parts.items.get('juliet', contact('romeo').bare))!.ver;
  await book.settle(juliet, contact('romeo'));
  const { ver, ...item } = (await parts.items.get('juliet', contact('romeo').bare))!;
  expect(ver).toBeGreaterThan(before);
  expect(item).toEqual({ groups: [], subscription: 'none' });
  await book.settle(juliet, contact('nurse'));
  expect(await parts.items.get('juliet', contact('nurse').bare)).toMatchObject({ hidden: true });
  expect(pushes().at(-1)!.stanza.el.toXml()).toContain("subscription='remove'");
});
