// What becomes of what waits for a node that is no more, where Redis has forgotten who dealt with what that left.
import { expect, test } from 'vitest';
import { silent } from '../../../../src/base/log.ts';
import type { NodeId } from '../../../../src/cluster/cluster.ts';
import { Outbox, Undeliverable } from '../../../../src/cluster/redis/outbox.ts';
import type { RedisConnection } from '../../../../src/net/redis.ts';

const two = 'two:b' as NodeId;

interface World {
  readonly outbox: Outbox;
  readonly lost: string[];
  done: number;
  /** What Redis answers to what is sent: an error, an entry, or that there is no such inbox. */
  answers: (Error | string | null)[];
  isThere: boolean;
  isOwed: boolean;
  isHeld: boolean;
  /** What the closing report says. */
  taken: string | null;
  /** The last number that the other node says to have handled; and whether it has an inbox. */
  handled: string;
  isOpen: boolean;
  sent: number;
}

function start(): World {
  const redis = {
    isUp: true,
    key: (tag: string, name: string) => `{${tag}}:${name}`,
    async command() {
      world.sent++;
      const answer = world.answers.shift() ?? null;
      if (answer instanceof Error) throw answer;
      return answer;
    },
    run: async () => [world.handled, 0, world.isOpen ? 1 : 0, world.taken],
  };
  const outbox = new Outbox({
    redis: redis as unknown as RedisConnection,
    log: silent,
    self: 'one:a' as NodeId,
    to: two,
    limit: { size: 1000, items: 100 },
    isThere: async () => world.isThere,
    isHeld: () => world.isHeld,
    isOwed: async () => world.isOwed,
    onLost: (items) => world.lost.push(items),
    onDone: () => {
      world.done++;
    },
  });
  const world: World = {
    ...{ outbox, lost: [], done: 0, answers: [], isThere: true, isOwed: true, taken: null },
    ...{ handled: '0', isHeld: false, isOpen: false, sent: 0 },
  };
  return world;
}

test('who waits for something that may have arrived at a dead node hears in the end that nobody will have it', async () => {
  const world = start();
  world.answers = [new Error('the connection broke')];
  let fate = '';
  const sent = world.outbox.push('one').catch((err: unknown) => {
    fate = err instanceof Undeliverable ? 'refused' : String(err);
  });
  await expect.poll(() => world.answers.length).toBe(0);
  world.isThere = false;
  // as long as another node may be at it, it is not known
  await new Promise((resolve) => setTimeout(resolve, 150));
  expect(fate).toBe('');
  // Redis has lost its memory: nobody is, and nobody was
  world.isOwed = false;
  await sent;
  expect(fate).toBe('refused');
  expect(world.done).toBe(1);
});

test('what a dead node may never have handled is dealt with here, where nobody else will', async () => {
  const world = start();
  world.answers = ['1-1'];
  await world.outbox.push('one');
  world.isThere = false;
  world.isOwed = false;
  // its inbox is gone, and so is the word of who closed it
  await world.outbox.audit();
  await expect.poll(() => world.lost).toEqual(['one']);
  expect(world.done).toBe(1);
});

test('nothing is kept of a dead node that is owed nothing', async () => {
  const world = start();
  world.outbox.lose();
  expect(world.done).toBe(1);
  await expect(world.outbox.push('one')).rejects.toThrow('is no more');
});

test('what comes shortly behind a batch gathers for the next one, unless somebody waits for an answer', async () => {
  const world = start();
  world.answers = ['1-1', '1-2', '1-3'];
  await world.outbox.push('one');
  const second = world.outbox.push('two');
  const third = world.outbox.push('three');
  expect(third).toBe(second);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  expect(world.answers).toHaveLength(2);
  await second;
  expect(world.answers).toHaveLength(1);
  await world.outbox.push('question', true);
  expect(world.answers).toHaveLength(0);
  world.outbox.close();
});

test('an answer is not kept waiting by what gathers', async () => {
  const world = start();
  world.answers = ['1-1', '1-2'];
  await world.outbox.push('one');
  const gathering = world.outbox.push('two');
  const urgent = world.outbox.push('question', true);
  expect(urgent).toBe(gathering);
  await new Promise((resolve) => setImmediate(resolve));
  expect(world.answers).toHaveLength(0);
  await urgent;
  world.outbox.close();
});

test('what Redis has lost is sent again when the other node has opened its inbox, and said what it had handled', async () => {
  for (const [handled, sent] of [
    ['1', 1],
    ['0', 2],
  ] as const) {
    const world = start();
    world.answers = ['1-1', '2-1'];
    await world.outbox.push('one');
    // Redis is there again, and the other node has not seen that yet
    await world.outbox.audit();
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(world.sent).toBe(1);
    Object.assign(world, { isOpen: true, handled });
    await world.outbox.audit();
    await expect.poll(() => world.sent).toBe(sent);
    expect(world.outbox.backlog).toBe(handled === '1' ? 0 : 3);
    world.outbox.close();
  }
});

test('while the life before has something to say nothing is sent, and then all in its order', async () => {
  const world = start();
  world.isHeld = true;
  world.answers = ['1-1', '1-2'];
  const sent = world.outbox.push('one');
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(world.sent).toBe(0);
  world.isHeld = false;
  world.outbox.wake();
  await sent;
  expect(world.sent).toBe(1);
  world.outbox.close();
});
