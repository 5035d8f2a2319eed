// The directory in a real Redis: what the contract (test/contract/cluster.test.ts) does not reach.
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { silent } from '../../../../src/base/log.ts';
import type { NodeId, SessionEntry } from '../../../../src/cluster/cluster.ts';
import { RedisDirectory } from '../../../../src/cluster/redis/directory.ts';
import { shardOf } from '../../../../src/cluster/redis/directory-entries.ts';
import type { RedisDirectoryOptions } from '../../../../src/cluster/redis/directory-options.ts';
import { openRedis, type RedisConnection } from '../../../../src/net/redis.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { startRedis, type TestRedis } from '../../../kit/redis.ts';

interface Node {
  readonly self: NodeId;
  readonly redis: RedisConnection;
  readonly directory: RedisDirectory;
}

let server: TestRedis;
const nodes: Node[] = [];

beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.remove());
afterEach(async () => {
  for (const { directory, redis } of nodes.splice(0)) {
    directory.close();
    redis.close();
  }
  await server.ask('FLUSHALL');
});

async function startNode(name: string, more: Partial<RedisDirectoryOptions> = {}): Promise<Node> {
  const redis = await openRedis({ target: server.url, log: silent, clock: systemClock });
  await redis.whenUp(5000);
  const self = name as NodeId;
  const directory = await RedisDirectory.open({ redis, self, clock: systemClock, log: silent, ...more });
  const node = { self, redis, directory };
  nodes.push(node);
  return node;
}

const jid = (text: string): Jid => Jid.parse(text)!;
const romeo = jid('romeo@verona.test').bare;
const orchard = jid('romeo@verona.test/orchard');

function entry({ self }: Node, full: Jid | string, sid: string, more: Partial<SessionEntry> = {}): SessionEntry {
  const address = typeof full === 'string' ? jid(full) : full;
  return { jid: address, node: self, sid: `${sid}.${self}`, available: false, priority: 0, shared: {}, ...more };
}
const sids = (entries: readonly SessionEntry[]): string[] => entries.map(({ sid }) => sid).sort();

async function eventually(check: () => unknown, within = 5000): Promise<void> {
  const end = Date.now() + within;
  for (;;) {
    try {
      await check();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}
async function sweep({ directory }: Node, dead: NodeId): Promise<string[]> {
  const swept: SessionEntry[] = [];
  for await (const page of directory.sweep(dead)) swept.push(...page);
  return sids(swept);
}

test('what was looked up is answered at once, also that nobody is online, and changes arrive', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  expect(await two.directory.sessions(romeo)).toEqual([]);
  expect(two.directory.sessions(romeo)).toEqual([]);
  await one.directory.put(entry(one, orchard, 'a', { available: true, priority: -5, shared: { carbons: true } }));
  await eventually(() => expect(sids(two.directory.sessions(romeo) as SessionEntry[])).toEqual(['a.one']));
  const [seen] = two.directory.sessions(romeo) as SessionEntry[];
  expect(seen).toEqual(entry(one, orchard, 'a', { available: true, priority: -5, shared: { carbons: true } }));
  await one.directory.drop(orchard, 'a.one');
  expect(one.directory.sessions(romeo)).toEqual([]);
  await eventually(() => expect(two.directory.sessions(romeo)).toEqual([]));
  expect(two.directory.figures.misses).toBe(1);
});

test('addresses and marks of any characters come back as they were', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  for (const resource of ['Gärten 🌹 {0} "x" \\', 'a/b@c', '第一', '{}']) {
    const full = jid(`ромео@verona.test/${resource}`);
    await one.directory.put(entry(one, full, 's', { shared: { client: 'ñ "{\\' } }));
    expect(await two.directory.sessions(full.bare, true)).toEqual([
      entry(one, full, 's', { shared: { client: 'ñ "{\\' } }),
    ]);
    await one.directory.drop(full, 's.one');
  }
});

test('a session whose name does not end in its node is known to be there all the same', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  await one.directory.put({ ...entry(one, orchard, ''), sid: 's1' });
  expect(await two.directory.sessions(romeo)).toMatchObject([{ sid: 's1', node: 'one' }]);
  await expect(one.directory.put({ ...entry(one, orchard, ''), sid: 'with blank' })).rejects.toThrow(TypeError);
});

test('changes in quick succession end with the last one everywhere', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  await one.directory.put(entry(one, orchard, 'a'));
  await two.directory.sessions(romeo);
  await Promise.all(Array.from({ length: 20 }, (_, i) => one.directory.put(entry(one, orchard, 'a', { priority: i }))));
  expect(await two.directory.sessions(romeo, true)).toMatchObject([{ priority: 19 }]);
  expect(one.directory.sessions(romeo)).toMatchObject([{ priority: 19 }]);
  await Promise.all([
    one.directory.put(entry(one, orchard, 'a', { priority: 1 })),
    one.directory.put(entry(one, orchard, 'a', { priority: 2 })),
    one.directory.drop(orchard, 'a.one'),
  ]);
  expect(await two.directory.sessions(romeo, true)).toEqual([]);
});

test('of two nodes that put the same full JID at the same time exactly one is told of the other', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  for (let i = 0; i < 20; i++) {
    const full = jid(`romeo@verona.test/${i}`);
    const told = await Promise.all([one, two].map((node) => node.directory.put(entry(node, full, `${i}`))));
    expect(told.filter((other) => other !== undefined)).toHaveLength(1);
  }
});

test('the sessions of a dead node are swept in pages, and again when the one who swept died over it', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  const three = await startNode('three');
  const names = Array.from({ length: 300 }, (_, i) => `user${i}@verona.test/r`);
  await Promise.all(names.map((full, i) => two.directory.put(entry(two, full, `${i}`))));
  // one account with more sessions than a page has
  const crowd = Array.from({ length: 250 }, (_, i) => `crowd@verona.test/${i}`);
  await Promise.all(crowd.map((full, i) => two.directory.put(entry(two, full, `c${i}`))));
  await one.directory.put(entry(one, 'user7@verona.test/r', 'again'));
  await one.directory.put(entry(one, 'user8@verona.test/other', 'stays'));

  const first: SessionEntry[] = [];
  for await (const page of one.directory.sweep(two.self)) {
    expect(page.length).toBeLessThanOrEqual(100);
    first.push(...page);
    if (first.length > 150) break;
  }
  const second = await sweep(three, two.self);
  const all = new Set([...sids(first), ...second]);
  expect(all.size).toBe(549);
  expect(all.has('7.two')).toBe(false);
  expect(await sweep(one, two.self)).toEqual([]);
  for (const full of names) {
    const left = await one.directory.sessions(jid(full).bare, true);
    const expected = full.startsWith('user7@') ? ['again.one'] : full.startsWith('user8@') ? ['stays.one'] : [];
    expect(sids(left)).toEqual(expected);
  }
});

test('whoever sweeps knows at once that the sessions are gone', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  await two.directory.put(entry(two, orchard, 'a'));
  expect(sids(await one.directory.sessions(romeo, true))).toEqual(['a.two']);
  for await (const page of one.directory.sweep(two.self)) {
    expect(sids(page)).toEqual(['a.two']);
    expect(one.directory.sessions(romeo)).toEqual([]);
  }
});

test('a session whose end Redis has forgotten, as after a failover, is taken out again; one that has moved stays', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  const balcony = jid('juliet@verona.test/balcony');
  const window = jid('juliet@verona.test/window');
  for (const [full, sid] of [
    [orchard, 'ends'],
    [balcony, 'moves'],
    [window, 'stays'],
  ] as const) {
    await one.directory.put(entry(one, full, sid));
  }
  const keys = [romeo, balcony.bare].flatMap((user) => {
    const shard = String(shardOf(user));
    return [one.redis.key(shard, `u:${user}`), one.redis.key(shard, 'n:one')];
  });
  const before = await Promise.all(keys.map((key) => one.redis.command('HGETALL', key)));
  await one.directory.drop(orchard, 'ends.one');
  const moved = { ...entry(one, balcony, 'moves'), node: two.self };
  await two.directory.put(moved);
  one.directory.release(balcony, 'moves.one');
  // a copy takes its place that has not heard of the end, and of the move only half
  const [account, index, , moveIndex] = keys as [string, string, string, string];
  for (const [key, at] of [
    [account, 0],
    [index, 1],
    [moveIndex, 3],
  ] as const) {
    await one.redis.command('HSET', key, ...(before[at] as string[]));
  }
  expect(sids(await two.directory.sessions(romeo, true))).toEqual(['ends.one']);
  await server.ask('CLIENT KILL TYPE normal SKIPME yes');
  await eventually(async () => {
    expect(sids(await two.directory.sessions(romeo, true))).toEqual([]);
    expect(Object.keys((await one.redis.command('HGETALL', index)) as string[])).toEqual([]);
  });
  expect(sids(await two.directory.sessions(balcony.bare, true))).toEqual(['moves.one', 'stays.one']);
  // and it is the other node's still
  expect((await two.directory.sessions(balcony.bare, true)).find(({ jid: at }) => at.full === balcony.full)?.node).toBe(
    'two',
  );
  expect(sids(two.directory.sessions(romeo) as SessionEntry[])).toEqual([]);
});

test('what no node would publish changes nothing', async () => {
  const warned: unknown[] = [];
  const one = await startNode('one');
  const two = await startNode('two', { log: { ...silent, warn: (_fields, message) => void warned.push(message) } });
  await one.directory.put(entry(one, orchard, 'a'));
  expect(sids(await two.directory.sessions(romeo))).toEqual(['a.one']);
  const nonsense = ['', 'x', `x\0y\0${romeo}\0orchard\0junk`, `NaN\x001\0${romeo}`, `9\0${romeo}`, '\0\0\0\0\0'];
  for (const message of nonsense) await one.redis.publish('{directory}:changes', message);
  await one.directory.put(entry(one, 'romeo@verona.test/garden', 'b'));
  await eventually(() => expect(sids(two.directory.sessions(romeo) as SessionEntry[])).toEqual(['a.one', 'b.one']));
  await one.redis.publish('{directory}:changes', `x\0y\0${romeo}\0orchard\0junk`);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(sids(two.directory.sessions(romeo) as SessionEntry[])).toEqual(['a.one', 'b.one']);
  expect(warned).toEqual([]);
});

test('changes that go together are told as one, and what is wrong with one of them concerns no other', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  const names = Array.from({ length: 70 }, (_, i) => jid(`user${i}@verona.test/r`));
  for (const { bare } of names) await two.directory.sessions(bare);
  await one.redis.command('SET', one.redis.key(String(shardOf(names[3]!.bare)), `u:${names[3]!.bare}`), 'not a hash');
  let words = 0;
  const stop = await one.redis.subscribe('{directory}:changes', () => words++);
  // (the first that comes after a pause goes at once)
  const put = await Promise.allSettled(names.map((full) => one.directory.put(entry(one, full, full.local))));
  expect(put.flatMap(({ status }, i) => (status === 'rejected' ? [i] : []))).toEqual([3]);
  expect((put[3] as PromiseRejectedResult).reason).toBeInstanceOf(StorageUnavailable);
  await eventually(() => {
    for (const [i, { bare, local }] of names.entries()) {
      if (i !== 3) expect(two.directory.sessions(bare)).toMatchObject([{ sid: `${local}.one` }]);
    }
  });
  expect(words).toBe(2);
  stop();
});

test('a node that was swept cannot put anything any more, and is told so', async () => {
  const one = await startNode('one');
  let over = 0;
  const two = await startNode('two', { onOver: () => over++ });
  await two.directory.put(entry(two, orchard, 'a'));
  await sweep(one, two.self);
  await expect(two.directory.put(entry(two, 'romeo@verona.test/garden', 'b'))).rejects.toThrow(StorageUnavailable);
  await two.directory.put(entry(two, orchard, 'a', { priority: 1 }));
  expect(over).toBe(1);
  expect(await one.directory.sessions(romeo, true)).toEqual([]);
});

test('while Redis is away what is known is answered, and what is new is refused; afterwards everything is there again', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  const juliet = jid('juliet@verona.test/balcony');
  await one.directory.put(entry(one, orchard, 'a'));
  await two.directory.put(entry(two, juliet, 'j'));
  await one.directory.put(entry(one, 'romeo@verona.test/leaves', 'b'));
  await one.directory.sessions(juliet.bare);
  await server.stop('empty');
  await eventually(() => expect(one.redis.isUp).toBe(false));

  expect(sids(await one.directory.sessions(romeo))).toEqual(['a.one', 'b.one']);
  expect(sids(await one.directory.sessions(juliet.bare))).toEqual(['j.two']);
  await expect((async () => one.directory.sessions(jid('nurse@verona.test').bare))()).rejects.toThrow(
    StorageUnavailable,
  );
  await expect((async () => one.directory.sessions(romeo, true))()).rejects.toThrow(StorageUnavailable);
  await expect(one.directory.put(entry(one, 'nurse@verona.test/x', 'n'))).rejects.toThrow(StorageUnavailable);
  // what is there already may change and end
  await one.directory.put(entry(one, orchard, 'a', { priority: 7 }));
  await one.directory.drop(jid('romeo@verona.test/leaves'), 'b.one');
  expect(await one.directory.sessions(romeo)).toMatchObject([{ sid: 'a.one', priority: 7 }]);
  expect(one.directory.figures.unsaved).toBeGreaterThan(0);

  await server.start();
  await eventually(async () => {
    expect(await two.directory.sessions(romeo, true)).toMatchObject([{ sid: 'a.one', priority: 7 }]);
    expect(sids(await one.directory.sessions(juliet.bare, true))).toEqual(['j.two']);
    expect(one.directory.figures.unsaved).toBe(0);
  });
  expect(await two.directory.sessions(jid('nurse@verona.test').bare, true)).toEqual([]);
}, 20_000);

test('a Redis that comes back with what it had forgets the sessions that ended meanwhile', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  await one.directory.put(entry(one, orchard, 'a'));
  expect(sids(await two.directory.sessions(romeo))).toEqual(['a.one']);
  await server.stop('keep');
  await eventually(() => expect(one.redis.isUp).toBe(false));
  await one.directory.drop(orchard, 'a.one');
  await server.start();
  await eventually(async () => {
    expect(one.redis.isUp && two.redis.isUp).toBe(true);
    expect(await one.directory.sessions(romeo)).toEqual([]);
    expect(await two.directory.sessions(romeo)).toEqual([]);
  });
}, 20_000);

test('a Redis that was emptied under a running cluster is found out and filled again', async () => {
  const one = await startNode('one');
  const two = await startNode('two');
  await one.directory.put(entry(one, orchard, 'a'));
  await two.directory.sessions(romeo);
  await server.ask('FLUSHALL');
  await one.directory.sessions(romeo, true);
  await eventually(async () => expect(sids(await two.directory.sessions(romeo, true))).toEqual(['a.one']));
});

test('what is forgotten for want of room is asked for again, and what is too old', async () => {
  let now = 0;
  const clock = { now: () => now, after: systemClock.after };
  const one = await startNode('one', { capacity: 10, maxAge: 1000, clock });
  for (let i = 0; i < 100; i++) await one.directory.sessions(jid(`user${i}@verona.test`).bare);
  expect(one.directory.figures.size).toBeLessThanOrEqual(20);
  expect(one.directory.sessions(jid('user99@verona.test').bare)).toEqual([]);
  now += 1000;
  expect(one.directory.sessions(jid('user99@verona.test').bare)).toBeInstanceOf(Promise);
  await one.directory.sessions(jid('user99@verona.test').bare);
  expect(one.directory.sessions(jid('user99@verona.test').bare)).toEqual([]);
});

test('what Redis has lost is presumed to be there until its node had time to say so', async () => {
  let ahead = 0;
  const clock = { now: () => Date.now() + ahead, after: systemClock.after };
  const one = await startNode('one');
  const dead = await startNode('dead');
  const two = await startNode('two', { clock, nodes: () => new Set(['one', 'two'] as NodeId[]) });
  await one.directory.put(entry(one, orchard, 'a'));
  await dead.directory.put(entry(dead, 'romeo@verona.test/garden', 'b'));
  expect(sids(await two.directory.sessions(romeo))).toEqual(['a.one', 'b.dead']);
  // neither says anything any more
  one.directory.close();
  dead.directory.close();
  await server.stop('empty');
  await server.start();
  await eventually(async () => expect(two.redis.isUp).toBe(true));
  expect(sids(await two.directory.sessions(romeo))).toEqual(['a.one']);
  await two.directory.put(entry(two, 'romeo@verona.test/street', 'c'));
  expect(sids(await two.directory.sessions(romeo))).toEqual(['a.one', 'c.two']);
  // (more than once: whatever of the connection comes back last begins anew)
  await eventually(async () => {
    ahead += 11_000;
    expect(sids(await two.directory.sessions(romeo))).toEqual(['c.two']);
  });
}, 20_000);

test('a session whose full JID was given away without a word to its node is found', async () => {
  const displaced: string[] = [];
  const clock = { now: () => Date.now(), after: (ms: number, fn: () => void) => systemClock.after(ms / 50, fn) };
  const one = await startNode('one', { clock, onDisplaced: ({ sid }) => displaced.push(sid) });
  const two = await startNode('two');
  await one.directory.put(entry(one, orchard, 'a'));
  await one.directory.put(entry(one, 'romeo@verona.test/garden', 'b'));
  expect(await two.directory.put(entry(two, orchard, 'c'))).toMatchObject({ sid: 'a.one' });
  await eventually(() => expect(displaced).toEqual(['a.one']));
  expect(sids(await one.directory.sessions(romeo))).toEqual(['b.one', 'c.two']);
});

test('after a break nothing is put again by a node that does not know whether it counts as alive', async () => {
  let answer: (isAlive: boolean) => void = () => {};
  const sure = () => new Promise<boolean>((resolve) => (answer = resolve));
  const one = await startNode('one', { sure });
  const two = await startNode('two');
  await one.directory.put(entry(one, orchard, 'a'));
  await two.directory.put(entry(two, 'romeo@verona.test/garden', 'b'));
  await server.stop('empty');
  await server.start();
  const count = (): Promise<string> => server.ask(`HLEN parley:{${shardOf(romeo)}}:u:${romeo}`);
  await eventually(() => expect(one.redis.isUp && two.redis.isUp).toBe(true));
  await eventually(async () => expect(await count()).toBe(':1'));
  answer(false);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await count()).toBe(':1');
}, 20_000);

test('everything of one script is in one slot of a Redis Cluster', async () => {
  const cluster = await startRedis(['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']);
  const connections: RedisConnection[] = [];
  try {
    await cluster.ask('CLUSTER ADDSLOTSRANGE 0 16383');
    await eventually(async () => expect(await cluster.ask('CLUSTER INFO')).toContain('cluster_state:ok'), 15_000);
    const directories: RedisDirectory[] = [];
    for (const name of ['one', 'two']) {
      const redis = await openRedis({ target: { cluster: [cluster.url] }, log: silent, clock: systemClock });
      connections.push(redis);
      await redis.whenUp(10_000);
      directories.push(await RedisDirectory.open({ redis, self: name as NodeId, clock: systemClock, log: silent }));
    }
    const [one, two] = directories as [RedisDirectory, RedisDirectory];
    const names = Array.from({ length: 40 }, (_, i) => jid(`user${i}{${i}@verona.test/r}`));
    const put = (full: Jid) => ({
      jid: full,
      node: 'one' as NodeId,
      sid: `${full.local}.one`,
      available: true,
      priority: 0,
      shared: {},
    });
    for (const full of names) expect(await two.sessions(full.bare)).toEqual([]);
    for (const full of names) await one.put(put(full));
    await eventually(() => {
      for (const full of names) expect(two.sessions(full.bare)).toEqual([put(full)]);
    });
    await one.drop(names[0]!, put(names[0]!).sid);
    const swept: SessionEntry[] = [];
    for await (const page of two.sweep('one' as NodeId)) swept.push(...page);
    expect(swept).toHaveLength(39);
    for (const full of names) expect(await two.sessions(full.bare, true)).toEqual([]);
    for (const directory of directories) directory.close();
  } finally {
    for (const redis of connections) redis.close();
    await cluster.remove();
  }
}, 40_000);
