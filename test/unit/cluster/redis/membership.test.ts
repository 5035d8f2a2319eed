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

async function join(redis: MadeUpRedis): Promise<Membership> {
  const membership = new Membership({
    redis: redis as unknown as RedisConnection,
    log: silent,
    name: 'one',
    life: 'a',
    beat: BEAT,
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
