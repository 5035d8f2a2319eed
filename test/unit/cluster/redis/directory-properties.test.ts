// Whatever is put, dropped and looked up on three nodes, and however late, in whatever order or not at all they hear of it: in the end
// all of them agree with Redis, and until then each sees what it did itself.
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { silent } from '../../../../src/base/log.ts';
import type { NodeId, SessionEntry } from '../../../../src/cluster/cluster.ts';
import { RedisDirectory } from '../../../../src/cluster/redis/directory.ts';
import { openRedis, type RedisConnection } from '../../../../src/net/redis.ts';
import { Jid } from '../../../../src/xmpp/jid.ts';
import { startRedis, type TestRedis } from '../../../kit/redis.ts';

let server: TestRedis;
beforeAll(async () => {
  server = await startRedis();
});
afterAll(() => server.remove());

let lastRun = 0;
const resources = ['a', 'b', 'c'];
const names = ['one', 'two', 'three'];

type Step =
  | {
      readonly kind: 'put';
      readonly node: number;
      readonly user: number;
      readonly resource: number;
      readonly rank: number;
    }
  | {
      readonly kind: 'change';
      readonly node: number;
      readonly user: number;
      readonly resource: number;
      readonly rank: number;
    }
  | { readonly kind: 'drop'; readonly node: number; readonly user: number; readonly resource: number }
  | { readonly kind: 'look'; readonly node: number; readonly user: number; readonly isFresh: boolean };

const where = { node: fc.nat(2), user: fc.nat(1), resource: fc.nat(2) };
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ kind: fc.constant('put' as const), ...where, rank: fc.integer({ min: -128, max: 127 }) }),
  fc.record({ kind: fc.constant('change' as const), ...where, rank: fc.integer({ min: -128, max: 127 }) }),
  fc.record({ kind: fc.constant('drop' as const), ...where }),
  fc.record({ kind: fc.constant('look' as const), node: where.node, user: where.user, isFresh: fc.boolean() }),
);

/** A connection on which published messages come late, in another order, or not at all, and answers late. */
class BadConnection {
  private readonly random: () => number;
  private readonly isLossy: boolean;
  private returned: (() => void)[] = [];
  private underway = 0;
  readonly connection: RedisConnection;

  constructor(redis: RedisConnection, random: () => number, isLossy: boolean) {
    this.random = random;
    this.isLossy = isLossy;
    this.connection = Object.assign(Object.create(redis) as RedisConnection, {
      subscribe: (channel: string, fn: (message: string) => void) =>
        redis.subscribe(channel, (message) => void this.deliver(() => fn(message))),
      onReconnected: (fn: () => void) => {
        this.returned.push(fn);
        return () => {};
      },
      run: async (...args: Parameters<RedisConnection['run']>) => {
        const reply = await redis.run(...args);
        await this.wait();
        return reply;
      },
    });
  }

  get isIdle(): boolean {
    return this.underway === 0;
  }

  /** As after a break of the connection. */
  reconnect(): void {
    for (const fn of this.returned) fn();
  }

  private async deliver(arrive: () => void): Promise<void> {
    if (this.isLossy && this.random() < 0.3) return;
    this.underway++;
    await this.wait();
    arrive();
    this.underway--;
  }

  private async wait(): Promise<void> {
    const rounds = Math.floor(this.random() * 6);
    for (let i = 0; i < rounds; i++) await new Promise((resolve) => setImmediate(resolve));
  }
}

function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}
const summary = (entries: readonly SessionEntry[]): string[] =>
  entries.map(({ jid, sid, node, priority }) => `${jid.full} ${sid} ${node} ${priority}`).sort();

async function run(steps: readonly Step[], seed: number, isLossy: boolean): Promise<void> {
  const users = ['romeo', 'juliet'].map((name) => Jid.parse(`${name}${++lastRun}@verona.test`)!);
  const redis = await Promise.all(names.map(() => openRedis({ target: server.url, log: silent, clock: systemClock })));
  await Promise.all(redis.map((one) => one.whenUp(5000)));
  const random = generator(seed);
  const bad = redis.map((one) => new BadConnection(one, random, isLossy));
  const directories = await Promise.all(
    bad.map(({ connection }, i) =>
      RedisDirectory.open({ redis: connection, self: names[i] as NodeId, clock: systemClock, log: silent }),
    ),
  );
  let lastSid = 0;
  const own = names.map(() => new Map<string, SessionEntry>());
  const work: Promise<unknown>[] = [];
  const play = async (one: Step): Promise<void> => {
    const directory = directories[one.node]!;
    const mine = own[one.node]!;
    const user = users[one.user]!;
    if (one.kind === 'look') {
      await directory.sessions(user.bare, one.isFresh);
      return;
    }
    const jid = user.withResource(resources[one.resource]!);
    const old = mine.get(jid.full);
    if (one.kind === 'drop') {
      if (old === undefined) return;
      mine.delete(jid.full);
      await directory.drop(jid, old.sid);
      const seen = await directory.sessions(user.bare);
      expect(seen.map(({ sid }) => sid)).not.toContain(old.sid);
      return;
    }
    const node = names[one.node] as NodeId;
    if (one.kind === 'change') {
      if (old === undefined) return;
      const changed = { ...old, priority: one.rank };
      mine.set(jid.full, changed);
      await directory.put(changed);
      return;
    }
    // as sessions do: the one before goes first, and is known when its successor is in the directory
    if (old !== undefined) {
      mine.delete(jid.full);
      await directory.drop(jid, old.sid);
    }
    const sid = `${++lastSid}.${node}`;
    const entry = { jid, node, sid, available: true, priority: one.rank, shared: {} };
    mine.set(jid.full, entry);
    const other = await directory.put(entry);
    if (other !== undefined) {
      const theirs = own[names.indexOf(other.node)]!;
      if (theirs.get(jid.full)?.sid === other.sid) theirs.delete(jid.full);
      await directories[names.indexOf(other.node)]!.drop(jid, other.sid);
    }
  };
  try {
    for (const one of steps) {
      work.push(play(one));
      if (random() < 0.5) await new Promise((resolve) => setImmediate(resolve));
    }
    await Promise.all(work);
    if (isLossy) for (const one of bad) one.reconnect();
    const truth = await Promise.all(users.map(async ({ bare }) => summary(await directories[0]!.sessions(bare, true))));
    const end = Date.now() + 3000;
    for (;;) {
      const seen = await Promise.all(
        directories.map((one) => Promise.all(users.map(async ({ bare }) => summary(await one.sessions(bare))))),
      );
      const isSame = seen.every((all) => JSON.stringify(all) === JSON.stringify(truth));
      if (isSame && bad.every(({ isIdle }) => isIdle)) break;
      if (Date.now() > end) expect(seen).toEqual(names.map(() => truth));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(truth.flat()).toEqual(
      users.flatMap(({ bare }) =>
        summary(own.flatMap((mine) => [...mine.values()]).filter(({ jid }) => jid.bare === bare)),
      ),
    );
  } finally {
    for (const directory of directories) directory.close();
    for (const one of redis) one.close();
  }
}

test.each([false, true])(
  'all nodes agree with Redis in the end (messages lost: %s)',
  async (isLossy) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), fc.integer(), (steps, seed) =>
        run(steps, seed, isLossy),
      ),
      { numRuns: 80, endOnFailure: true },
    );
  },
  60_000,
);
