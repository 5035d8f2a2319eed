// Things with one owner: who is asked, what becomes of requests, and how things move.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { isPromise } from '../../../../src/base/maybe.ts';
import type { Cluster, Lease } from '../../../../src/cluster/cluster.ts';
import { createSolo } from '../../../../src/cluster/solo.ts';
import { Metrics } from '../../../../src/core/metrics.ts';
import type { OwnerLimits } from '../../../../src/core/owners/context.ts';
import type { Kind, Owned } from '../../../../src/core/owners/kind.ts';
import { Owners } from '../../../../src/core/owners/owners.ts';
import { StorageUnavailable } from '../../../../src/storage/errors.ts';
import { el } from '../../../../src/xml/element.ts';
import { StanzaError } from '../../../../src/xmpp/errors.ts';
import { createNodes, type Nodes } from '../../../kit/cluster-pair.ts';

/** Keeps what it was told, in order. */
interface Diary {
  readonly key: string;
  readonly lease: Lease;
  readonly entries: string[];
  wasDropped?: boolean;
}
type DiaryKind = Kind<Diary, string, readonly string[]>;

interface Node {
  readonly cluster: Cluster;
  readonly owners: Owners;
  readonly diaries: Owned<string, readonly string[]>;
  /** Those that were ever brought to life here, with what was handed over. */
  readonly thawed: { readonly diary: Diary; readonly handed: unknown }[];
  readonly errors: object[];
}

const running: Node[] = [];
afterEach(async () => {
  for (const { owners } of running.splice(0)) await owners.stop(100);
});

function start(cluster: Cluster, more: Partial<DiaryKind> = {}, limits: Partial<OwnerLimits> = {}): Node {
  const errors: object[] = [];
  const log = {
    debug() {},
    info() {},
    warn() {},
    error: (fields: object) => void errors.push(fields),
    child: () => log,
  };
  const owners = new Owners({
    cluster,
    clock: systemClock,
    log,
    metrics: new Metrics(),
    limits: { wait: 150, ...limits },
  });
  const thawed: Node['thawed'] = [];
  const kind: DiaryKind = {
    thaw(key, lease, handed) {
      const diary = { key, lease, entries: [...((handed as string[] | undefined) ?? [])] };
      thawed.push({ diary, handed });
      return diary;
    },
    handle(diary, entry) {
      diary.entries.push(entry);
      return diary.entries;
    },
    freeze: (diary) => diary.entries,
    drop(diary) {
      diary.wasDropped = true;
    },
    ...more,
  };
  const node = { cluster, owners, diaries: owners.declare('h.test', 'diary', kind), thawed, errors };
  running.push(node);
  return node;
}

/** Nodes, the one that `mine` belongs to first. */
function startNodes(
  count: number,
  more: Partial<DiaryKind> = {},
  limits: Partial<OwnerLimits> = {},
): [Nodes, ...Node[]] {
  const nodes = createNodes(['one', 'two', 'three'].slice(0, count), 400);
  const all = nodes.clusters.map((cluster) => start(cluster, more, limits));
  const owner = nodes.clusters[0]!.owner('h.test/diary mine');
  return [nodes, ...all.sort((a, b) => Number(b.cluster.self === owner) - Number(a.cluster.self === owner))];
}

const up = async (node: Node, keys: readonly string[]): Promise<void> => {
  for (const key of keys) await node.diaries.call(key, 'first');
};

test('a thing that lives here and is awake answers at once, without a promise or a copy', async () => {
  const node = start(createSolo());
  const first = node.diaries.call('mine', 'a');
  expect(isPromise(first)).toBe(true);
  const entries = await first;
  const second = node.diaries.call('mine', 'b');
  expect(second).toBe(entries);
  expect(second).toEqual(['a', 'b']);
  expect(node.diaries.isHere('mine')).toBe(true);
  expect(node.owners.figures()).toMatchObject({ owned: { diary: 1 }, thawed: 1, queued: 0 });
});

test('all that is asked while a thing comes to life is done in order', async () => {
  const node = start(createSolo(), {
    thaw: async (key, lease) => {
      await sleep(10);
      return { key, lease, entries: [] };
    },
  });
  const answers = await Promise.all(['a', 'b', 'c'].map((entry) => node.diaries.call('mine', entry)));
  expect(answers.at(-1)).toEqual(['a', 'b', 'c']);
});

test('what is thrown reaches whoever asked, on whatever node', async () => {
  const handle = (_: Diary, body: string): never => {
    if (body === 'storage') throw new StorageUnavailable('away');
    if (body === 'bug') throw new TypeError('no');
    throw new StanzaError('gone', 'moved', { content: 'xmpp:there', extra: el('why', 'urn:test', undefined, 'so') });
  };
  const [, one, two] = startNodes(2, { handle }) as [Nodes, Node, Node];
  await expect(one.diaries.call('mine', 'gone')).rejects.toMatchObject({ condition: 'gone' });
  const error: StanzaError = await Promise.resolve(two.diaries.call('mine', 'gone')).then(
    () => Promise.reject(new Error('it was done')),
    (thrown: StanzaError) => thrown,
  );
  expect(error).toMatchObject({ condition: 'gone', text: 'moved', content: 'xmpp:there' });
  expect(error.extra?.toXml()).toContain("<why xmlns='urn:test'>so</why>");
  await expect(two.diaries.call('mine', 'storage')).rejects.toMatchObject({
    condition: 'resource-constraint',
    type: 'wait',
  });
  await expect(two.diaries.call('mine', 'bug')).rejects.toMatchObject({ condition: 'internal-server-error' });
  expect(one.errors).toHaveLength(1);
});

test('all nodes ask the one that the ring has for it, and what one asks is done in its order', async () => {
  const [, one, two, three] = startNodes(3) as [Nodes, Node, Node, Node];
  const asked = [two, three].flatMap((node) =>
    [...Array(20).keys()].map((n) => node.diaries.send('mine', `${node.cluster.self} ${n}`)),
  );
  await Promise.all(asked);
  const entries = await one.diaries.call('mine', 'end');
  for (const { cluster } of [two, three]) {
    const own = entries.filter((entry) => entry.startsWith(cluster.self));
    expect(own).toEqual([...Array(20).keys()].map((n) => `${cluster.self} ${n}`));
  }
  expect([one.thawed.length, two.thawed.length, three.thawed.length]).toEqual([1, 0, 0]);
});

test('an answer that nobody wants does not travel', async () => {
  const [, , two] = startNodes(2) as [Nodes, Node, Node];
  expect(await two.diaries.send('mine', 'a')).toBeUndefined();
});

test('a node that does not know the kind leaves it to those that ask', async () => {
  const nodes = createNodes(['one', 'two'], 400);
  const [one, two] = nodes.clusters as [Cluster, Cluster];
  const node = start(one);
  new Owners({
    cluster: two,
    clock: systemClock,
    log: { debug() {}, info() {}, warn() {}, error() {}, child: () => running[0]! as never },
    metrics: new Metrics(),
  });
  await up(node, ['a', 'b', 'c', 'd', 'e', 'f']);
  expect(node.thawed).toHaveLength(6);
});

test('where nothing answers such requests at all, whoever asks is the owner', async () => {
  const nodes = createNodes(['one', 'two'], 400);
  const node = start(nodes.clusters[0]!);
  await up(node, ['a', 'b', 'c', 'd', 'e', 'f']);
  expect(node.thawed).toHaveLength(6);
});

test('draining ends in time, whatever does not come to rest', async () => {
  let release = (): void => {};
  const stuck = new Promise<void>((resolve) => {
    release = resolve;
  });
  const freeze = async (diary: Diary): Promise<string[]> => {
    if (diary.key === 'mine') await stuck;
    return diary.entries;
  };
  const [, one, two] = startNodes(2, { freeze }) as [Nodes, Node, Node];
  await up(one, ['mine']);
  await one.cluster.drain(true);
  const began = performance.now();
  await one.owners.drain(50);
  expect(performance.now() - began).toBeLessThan(1_000);
  expect(two.thawed).toEqual([]);
  // it goes where it was to go when it can
  release();
  await expect.poll(() => two.thawed.length).toBe(1);
});

test('a node that drains gives what it owns to others, with what is in memory, and requests go on in order', async () => {
  const [, one, two] = startNodes(2, { freeze: async ({ entries }) => sleep(5).then(() => entries) }) as [
    Nodes,
    Node,
    Node,
  ];
  await one.diaries.call('mine', 'before');
  await two.diaries.call('mine', 'from two');
  await one.cluster.drain(true);
  const draining = one.owners.drain(1000);
  const during = [...Array(10).keys()].flatMap((n) => [
    one.diaries.send('mine', `one ${n}`),
    two.diaries.send('mine', `two ${n}`),
  ]);
  await Promise.all([draining, ...during]);
  const entries = await two.diaries.call('mine', 'after');
  expect(entries.slice(0, 2)).toEqual(['before', 'from two']);
  expect(entries).toHaveLength(23);
  for (const name of ['one', 'two']) {
    const own = entries.filter((entry) => entry.startsWith(`${name} `));
    expect(own).toEqual([...Array(10).keys()].map((n) => `${name} ${n}`));
  }
  expect([one.diaries.isHere('mine'), two.diaries.isHere('mine')]).toEqual([false, true]);
  expect(two.thawed[0]!.diary.lease.token).toBeGreaterThan(one.thawed[0]!.diary.lease.token);
  expect(one.owners.figures()).toMatchObject({ moved: 1, owned: { diary: 0 } });
  // and nothing new comes here
  await up(one, ['a', 'b', 'c', 'd', 'e', 'f']);
  expect(one.thawed).toHaveLength(1);
});

test('a large thing travels in parts, whatever characters are where it is cut', async () => {
  const [, one, two] = startNodes(2, {}, { part: 7 }) as [Nodes, Node, Node];
  const long = 'Wherefore 🎭 art thou \ud83c "Romeo"? '.repeat(20);
  await one.diaries.call('mine', long);
  await one.cluster.drain(true);
  await one.owners.drain(3000);
  expect(two.thawed[0]?.handed).toEqual([long]);
});

test('a thing that is too large stays, and goes on', async () => {
  const [, one, two] = startNodes(2, {}, { handed: 10 }) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'much too long for that');
  await one.cluster.drain(true);
  await one.owners.drain(1000);
  expect(await two.diaries.call('mine', 'more')).toEqual(['much too long for that', 'more']);
  expect(one.diaries.isHere('mine')).toBe(true);
});

test('a thing that cannot be written down stays, and goes on', async () => {
  const [, one, two] = startNodes(2, {
    freeze: () => {
      const circle: Record<string, unknown> = {};
      circle.self = circle;
      return circle;
    },
    thaw: (key, lease, handed) => ({ key, lease, entries: handed === undefined ? [] : ['again'] }),
  }) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  await one.cluster.drain(true);
  await one.owners.drain(1000);
  expect(await two.diaries.call('mine', 'b')).toEqual(['again', 'b']);
  expect(one.diaries.isHere('mine')).toBe(true);
  expect(one.errors.length).toBeGreaterThan(0);
});

test('a node that cannot tell whether it is the owner does not wait for that when it stops', async () => {
  const [nodes, one, two] = startNodes(2) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  nodes.doubt(one.cluster.self, true);
  const before = performance.now();
  await one.owners.stop(5000);
  expect(performance.now() - before).toBeLessThan(1000);
  expect(one.thawed[0]?.diary.wasDropped).toBe(true);
  // it is not given up in good order: whoever is next sees to it that nothing more is written
  await one.cluster.close();
  expect(await two.diaries.call('mine', 'b')).toEqual(['b']);
  expect(two.thawed[0]?.diary.lease.isAfterDeath).toBe(true);
});

test('a thing that the other node cannot bring to life comes back as it was', async () => {
  let isBroken = false;
  const thaw: DiaryKind['thaw'] = (key, lease, handed) => {
    if (isBroken && handed !== undefined) {
      isBroken = false;
      throw new StorageUnavailable('away');
    }
    return { key, lease, entries: [...((handed as string[] | undefined) ?? [])] };
  };
  const [, one] = startNodes(2, { thaw }) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  isBroken = true;
  await one.cluster.drain(true);
  const [, entries] = await Promise.all([one.owners.drain(1000), one.diaries.call('mine', 'b')]);
  expect(entries).toEqual(['a', 'b']);
});

test('when the node that a thing goes to dies over it, the old owner goes on', async () => {
  const [nodes, one, two] = startNodes(2, {}, { wait: 2000 }) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  nodes.freeze(two.cluster.self, true);
  await one.cluster.drain(true);
  const draining = one.owners.drain(2000);
  const more = one.diaries.call('mine', 'b');
  await sleep(30);
  nodes.kill(two.cluster.self);
  await draining;
  expect(await more).toEqual(['a', 'b']);
});

test('a move that arrives after all, when the old owner has given it up, changes nothing', async () => {
  const [nodes, one, two] = startNodes(2, {}, { wait: 2000 }) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  nodes.freeze(two.cluster.self, true);
  await one.cluster.drain(true);
  // (the call for the move is waited for in vain)
  await one.owners.drain(10);
  expect(await one.diaries.call('mine', 'b')).toEqual(['a', 'b']);
  nodes.freeze(two.cluster.self, false);
  await nodes.idle();
  await sleep(20);
  expect([one.diaries.isHere('mine'), two.diaries.isHere('mine')]).toEqual([true, false]);
  expect(await two.diaries.call('mine', 'c')).toEqual(['a', 'b', 'c']);
});

test('after a crash a thing is made anew where it is asked for, and whoever waited for the dead node is told that nobody knows', async () => {
  const handle = (diary: Diary, entry: string): Promise<readonly string[]> | readonly string[] => {
    if (entry === 'never') return new Promise(() => {});
    diary.entries.push(entry);
    return diary.entries;
  };
  const [nodes, one, two] = startNodes(2, { handle }) as [Nodes, Node, Node];
  await two.diaries.call('mine', 'a');
  const lostOne = Promise.resolve(two.diaries.call('mine', 'never'));
  await sleep(20);
  nodes.kill(one.cluster.self);
  await expect(lostOne).rejects.toMatchObject({ condition: 'remote-server-timeout', type: 'wait' });
  expect(await two.diaries.call('mine', 'b')).toEqual(['b']);
  expect(two.thawed[0]?.diary.lease.isAfterDeath).toBe(true);
  expect(two.owners.figures()).toMatchObject({ rebuilt: 1 });
});

test('what a dead node has left is found by the next one, where the one between could not bring it to life or had to leave', async () => {
  let fails = false;
  let isAfterDeath: boolean | undefined;
  const [nodes, one, two, three] = startNodes(3, {
    thaw: (key, lease) => {
      isAfterDeath = lease.isAfterDeath;
      if (fails) throw new StorageUnavailable('away');
      return { key, lease, entries: [] };
    },
  });
  await up(one!, ['mine']);
  nodes.kill(one!.cluster.self);
  const owner = nodes.clusters.find(({ self }) => self !== one!.cluster.self)!.owner('h.test/diary mine');
  const [next, last] = two!.cluster.self === owner ? [two!, three!] : [three!, two!];
  fails = true;
  await expect(next.diaries.call('mine', 'a')).rejects.toMatchObject({ condition: 'resource-constraint' });
  expect(isAfterDeath).toBe(true);
  // it stops while it claims it again
  fails = false;
  Promise.resolve(next.diaries.call('mine', 'b')).catch(() => {});
  await next.owners.stop(500);
  await next.cluster.close();
  isAfterDeath = undefined;
  await expect
    .poll(async () => Promise.resolve(last.diaries.call('mine', 'c')).catch(() => []), { timeout: 5000 })
    .toContain('c');
  expect(isAfterDeath).toBe(true);
});

test('a thing that is over before it was claimed takes nothing away from the one after it', async () => {
  const solo = createSolo();
  const claims: (() => void)[] = [];
  let expel = (): void => {};
  const node = start({
    ...solo,
    leases: {
      ...solo.leases,
      claim: async (key) => {
        await new Promise<void>((resolve) => claims.push(resolve));
        return solo.leases.claim(key);
      },
    },
    onExpelled: (fn) => {
      expel = fn;
      return () => {};
    },
  });
  const answer = node.diaries.call('mine', 'a');
  await expect.poll(() => claims.length).toBe(1);
  expel();
  await sleep(20);
  // the later one first, if there are two
  for (; claims.length > 0; await sleep(20)) claims.pop()!();
  expect(await answer).toEqual(['a']);
  expect(node.diaries.isHere('mine')).toBe(true);
  expect(node.thawed).toHaveLength(1);
});

test('things of a kind that says so are made anew at once when their owner has died', async () => {
  const [nodes, one, two, three] = startNodes(3, { rebuild: 'eager' }) as [Nodes, Node, Node, Node];
  const keys = [...Array(30).keys()].map((n) => `room ${n}`);
  for (const key of keys) await two.diaries.call(key, 'a');
  const count = one.owners.figures().owned.diary!;
  expect(count).toBeGreaterThan(0);
  nodes.kill(one.cluster.self);
  const owned = (): number => two.owners.figures().owned.diary! + three.owners.figures().owned.diary!;
  await expect.poll(owned).toBe(30);
  expect(two.owners.figures().rebuilt + three.owners.figures().rebuilt).toBe(count);
});

test('an owner in doubt answers nothing until it is certain, and nothing is done twice', async () => {
  const [nodes, one] = startNodes(2) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  nodes.doubt(one.cluster.self, true);
  let isAnswered = false;
  const answer = Promise.resolve(one.diaries.call('mine', 'b')).then((entries) => {
    isAnswered = true;
    return entries;
  });
  await sleep(20);
  expect(isAnswered).toBe(false);
  nodes.doubt(one.cluster.self, false);
  expect(await answer).toEqual(['a', 'b']);
});

test('an owner that was given up drops what it has without a word, and sends whoever asks to the new owner', async () => {
  const [nodes, one, two] = startNodes(2) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  nodes.doubt(one.cluster.self, true);
  const waits = Promise.resolve(one.diaries.call('mine', 'late'));
  waits.catch(() => {});
  nodes.kill(one.cluster.self);
  expect(await two.diaries.call('mine', 'b')).toEqual(['b']);
  nodes.doubt(one.cluster.self, false);
  await expect.poll(() => one.thawed[0]?.diary.wasDropped).toBe(true);
  expect(one.thawed[0]?.diary.entries).toEqual(['a']);
  expect(one.diaries.isHere('mine')).toBe(false);
  expect(one.owners.figures()).toMatchObject({ lost: 1 });
});

test('who waits too long is told so, and too many are turned away at once', async () => {
  const [nodes, one, two] = startNodes(2, {}, { perKey: 3, wait: 60 }) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  nodes.doubt(one.cluster.self, true);
  const asked = [...Array(5).keys()].map((n) => Promise.resolve(two.diaries.call('mine', `${n}`)));
  const ends = await Promise.allSettled(asked);
  expect(ends.map((end) => (end.status === 'rejected' ? (end.reason as StanzaError).condition : end.status))).toEqual([
    ...Array(3).fill('remote-server-timeout'),
    ...Array(2).fill('resource-constraint'),
  ]);
  expect(ends.every((end) => end.status === 'rejected' && (end.reason as StanzaError).type === 'wait')).toBe(true);
  nodes.doubt(one.cluster.self, false);
  expect(await two.diaries.call('mine', 'b')).toEqual(['a', 'b']);
  expect([one.owners.figures().queued, two.owners.figures().turnedAway]).toEqual([0, 2]);
});

test('a thing that cannot be brought to life refuses, and may be asked again', async () => {
  let isBroken = true;
  const [, , two] = startNodes(2, {
    thaw: (key, lease) => {
      if (isBroken) throw new StanzaError('item-not-found');
      return { key, lease, entries: [] };
    },
  }) as [Nodes, Node, Node];
  await expect(two.diaries.call('mine', 'a')).rejects.toMatchObject({ condition: 'item-not-found' });
  isBroken = false;
  expect(await two.diaries.call('mine', 'b')).toEqual(['b']);
});

test('what is idle is let go, unless it says that it is not', async () => {
  const isIdle = ({ entries }: Diary): boolean => !entries.includes('stay');
  const node = start(createSolo(), { idleAfter: 5, isIdle });
  await node.diaries.call('mine', 'stay');
  await node.diaries.call('other', 'go');
  await expect.poll(() => node.owners.figures().owned.diary, { timeout: 4000 }).toBe(1);
  expect(node.diaries.isHere('mine')).toBe(true);
  expect(await node.diaries.call('other', 'again')).toEqual(['again']);
}, 10_000);

test('a node that comes is given its share, one thing after another', async () => {
  const nodes = createNodes(['one'], 400);
  const limits = { settled: 100, pace: 0 };
  const one = start(nodes.clusters[0]!, {}, limits);
  const keys = [...Array(6).keys()].map((n) => `room ${n}`);
  await up(one, keys);
  const two = start(nodes.add('two'), {}, limits);
  const share = keys.filter((key) => two.cluster.owner(`h.test/diary ${key}`) === two.cluster.self);
  expect(share.length).toBeGreaterThan(0);
  await expect.poll(() => share.every((key) => two.diaries.isHere(key)), { timeout: 15_000 }).toBe(true);
  expect(two.thawed).toHaveLength(share.length);
  expect(await one.diaries.call(share[0]!, 'x')).toEqual(['first', 'x']);
}, 20_000);

test('a module that is installed anew takes over what lives, and one that is gone lets it go', async () => {
  const node = start(createSolo());
  await node.diaries.call('mine', 'a');
  const renewed = node.owners.declare<Diary, string, readonly string[]>('h.test', 'diary', {
    thaw: (key, lease, handed) => ({ key, lease, entries: ['anew', ...(handed as string[])] }),
    handle: (diary, entry) => [...diary.entries, entry],
    freeze: ({ entries }) => entries,
  });
  expect(await renewed.call('mine', 'b')).toEqual(['anew', 'a', 'b']);
  await renewed.withdraw();
  // the one before counts again, as when the new one could not be set up
  expect(await node.diaries.call('mine', 'c')).toEqual(['anew', 'a', 'c']);
  await (node.diaries as unknown as { withdraw(): Promise<void> }).withdraw();
  await expect(node.diaries.call('mine', 'd')).rejects.toMatchObject({ condition: 'service-unavailable' });
  expect(node.owners.figures().owned.diary).toBe(0);
});

test('what does not come to rest is not given to anybody else', async () => {
  let finish: () => void = () => {};
  const [, one, two] = startNodes(
    2,
    {
      handle: (diary, entry) =>
        entry === 'long'
          ? new Promise((resolve) => {
              finish = () => resolve(diary.entries);
            })
          : [...diary.entries, entry],
    },
    { quiet: 20, patience: 1000 },
  ) as [Nodes, Node, Node];
  await one.diaries.call('mine', 'a');
  const long = one.diaries.call('mine', 'long');
  await one.cluster.drain(true);
  await one.owners.drain(5_000);
  expect(one.diaries.isHere('mine')).toBe(true);
  await one.owners.stop(20);
  await expect(two.diaries.call('mine', 'b')).rejects.toMatchObject({ type: 'wait' });
  finish();
  await long;
  expect(await two.diaries.call('mine', 'c')).toEqual(['c']);
}, 20_000);
