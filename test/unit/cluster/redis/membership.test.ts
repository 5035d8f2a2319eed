// What a node concludes from its beats, where Redis' answers come late or its clock jumps: with a Redis that is made up.
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { silent } from '../../../../src/base/log.ts';
import type { NodeId } from '../../../../src/cluster/cluster.ts';
import { Membership } from '../../../../src/cluster/redis/membership.ts';
import {
  beatScript,
  claimScript,
  declareScript,
  joinScript,
  membersScript,
} from '../../../../src/cluster/redis/membership-scripts.ts';
import type { RedisConnection, RedisScript } from '../../../../src/net/redis.ts';

const BEAT = 40;
const other = 'two:b' as NodeId;
const running: Membership[] = [];
afterEach(() => {
  for (const membership of running.splice(0)) membership.abandon();
});

/** A Redis with two nodes in it. */
class MadeUpRedis {
  readonly isUp = true;
  /** How far its clock is ahead. */
  ahead = 0;
  /** When the other node is overdue by that clock. */
  due = Number.POSITIVE_INFINITY;
  isOver = false;
  readonly declared: unknown[] = [];
  beats = 0;
  /** Holds the answers of beats back. */
  wait: Promise<void> | undefined;

  now(): number {
    return Date.now() + this.ahead;
  }

  async run(script: RedisScript, _keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    const overdue = this.due <= this.now() ? [other] : [];
    const view = [String(this.now()), 'era', '0-1', ['one:a', other], [], overdue, 0];
    switch (script) {
      case joinScript:
        return ['one:a', view];
      case beatScript: {
        this.beats++;
        const reply = this.isOver ? ['over'] : ['in', view, []];
        await this.wait;
        return reply;
      }
      case membersScript:
        return [[], [], [], []];
      case declareScript:
        this.declared.push(args[1]);
        return 1;
      case claimScript:
        return [];
      default:
        throw new Error('not foreseen');
    }
  }

  key(tag: string, name: string): string {
    return `{${tag}}:${name}`;
  }
  channel(name: string): string {
    return name;
  }
  async subscribe(): Promise<() => void> {
    return () => {};
  }
  onReconnected(): () => void {
    return () => {};
  }
}

async function join(redis: MadeUpRedis, beat = BEAT): Promise<Membership> {
  const membership = new Membership({
    redis: redis as unknown as RedisConnection,
    log: silent,
    name: 'one',
    life: 'a',
    beat,
    info: () => ({ version: '1', started: 0, sessions: 0, lag: 0, protocol: [1, 1] }),
    onBeat: () => {},
    onNode: () => {},
    onOver: () => {},
    onLoss: () => {},
    onEstate: async () => {},
  });
  running.push(membership);
  await membership.join();
  membership.takePart();
  return membership;
}

test('a beat whose answer comes too late does not make a node sure', async () => {
  const redis = new MadeUpRedis();
  const membership = await join(redis);
  let arrive = (): void => {};
  redis.wait = new Promise((resolve) => {
    arrive = resolve;
  });
  const before = redis.beats;
  await expect.poll(() => redis.beats).toBe(before + 1);
  await sleep(6 * BEAT);
  // what Redis said then was true then; meanwhile the others have gone on without it
  redis.isOver = true;
  redis.wait = undefined;
  const sure = membership.sure();
  arrive();
  expect(await sure).toBe(false);
});

test('a node whose process was seen to end is declared dead at once, and one that buries itself is not', async () => {
  const redis = new MadeUpRedis();
  const membership = await join(redis);
  await membership.bury(membership.self);
  expect(redis.declared).toEqual([]);
  await membership.bury(other);
  expect(redis.declared).toEqual([other]);
});

test('when the clock of Redis jumps ahead nobody is declared dead before all had time to beat', async () => {
  const redis = new MadeUpRedis();
  await join(redis);
  // nobody is declared dead in the first while either
  await sleep(9 * BEAT);
  redis.due = redis.now() + 5 * BEAT;
  redis.ahead = 3_600_000;
  await sleep(3 * BEAT);
  expect(redis.declared).toEqual([]);
  // the other one really is silent
  await expect.poll(() => redis.declared.length).toBeGreaterThan(0);
  expect(redis.declared).toContain(other);
});

/** Nothing else happens in this process for so many milliseconds. */
function standStill(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

test('a node that stood still for longer than it may be silent is dazed until the next answer says that its life goes on', async () => {
  const redis = new MadeUpRedis();
  const membership = await join(redis);
  await sleep(2 * BEAT);
  expect(membership.isDazed).toBe(false);
  standStill(6 * BEAT);
  expect(membership.isDazed).toBe(true);
  expect(await membership.sure()).toBe(true);
  expect(membership.isDazed).toBe(false);
});

test('a node that stood still and is over is not dazed any more: it knows', async () => {
  const redis = new MadeUpRedis();
  const membership = await join(redis);
  standStill(6 * BEAT);
  redis.isOver = true;
  expect(membership.isDazed).toBe(true);
  expect(await membership.sure()).toBe(false);
  expect(membership.isDazed).toBe(false);
  expect(membership.isOver).toBe(true);
});

test('a node that runs while Redis is away is unsure and not dazed, also when it stands still meanwhile', async () => {
  const redis = new MadeUpRedis();
  // slow enough for a busy machine, which lets nobody run for a while, not to look like one that stood still
  const beat = 4 * BEAT;
  const membership = await join(redis, beat);
  redis.wait = new Promise(() => {});
  await expect.poll(() => membership.isSure).toBe(false);
  expect(membership.isDazed).toBe(false);
  // (it is seen to run once in a beat)
  await sleep(2 * beat);
  standStill(6 * beat);
  expect(membership.isDazed).toBe(false);
});

test('nobody is declared dead on an answer that was on its way while the node stood still', async () => {
  const redis = new MadeUpRedis();
  await join(redis);
  await sleep(9 * BEAT);
  let arrive = (): void => {};
  redis.wait = new Promise((resolve) => {
    arrive = resolve;
  });
  redis.due = 0;
  const before = redis.beats;
  await expect.poll(() => redis.beats, { interval: 2 }).toBe(before + 1);
  redis.due = Number.POSITIVE_INFINITY;
  redis.wait = undefined;
  standStill(6 * BEAT);
  arrive();
  await sleep(3 * BEAT);
  expect(redis.declared).toEqual([]);
});
