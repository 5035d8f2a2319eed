// What an inbox takes, and from whom: with a Redis that is made up.
import { afterEach, expect, test } from 'vitest';
import { silent } from '../../../../src/base/log.ts';
import type { NodeId } from '../../../../src/cluster/cluster.ts';
import { writeBatch, writeTopic } from '../../../../src/cluster/redis/frames.ts';
import { Inbox } from '../../../../src/cluster/redis/inbox.ts';
import type { RedisConnection } from '../../../../src/net/redis.ts';

let inbox: Inbox | undefined;
afterEach(() => inbox?.close());

/** An inbox with these entries; answers with the senders of what it has handled. */
function read(entries: readonly string[]): NodeId[] {
  const heard: NodeId[] = [];
  const waiting = entries.map((text, i) => [`${i + 1}-0`, ['b', text]] as const);
  const reader = {
    isUp: true,
    async command() {
      const page = waiting.splice(0, 500);
      if (page.length > 0) return [['inbox', page]];
      return new Promise((resolve) => setTimeout(resolve, 20, null));
    },
    onUp: () => () => {},
    close() {},
  };
  const redis = {
    key: (tag: string, name: string) => `{${tag}}:${name}`,
    run: async () => 1,
    openReader: () => reader,
  };
  inbox = new Inbox({
    redis: redis as unknown as RedisConnection,
    log: silent,
    self: 'one:a' as NodeId,
    handle: (_content, from) => void heard.push(from),
    isSure: () => true,
    sure: async () => true,
    onGone() {},
    redisNow: () => Date.now(),
  });
  inbox.start();
  return heard;
}

const say = (from: string, number: number): string => writeBatch(from as NodeId, number, writeTopic('t', number));

test('a node that is heard of all the time is not forgotten, however many others come and go', async () => {
  const entries: string[] = [];
  for (let n = 1; n <= 5000; n++) entries.push(say('old:a', n), say(`life:${n}`, 1));
  const heard = read(entries);
  await expect.poll(() => heard.length).toBe(10_000);
});

test('what is no batch, of another version, cut off or in the wrong order harms nothing else', async () => {
  const huge = '9'.repeat(400);
  const good = say('two:b', 1);
  const entries = [
    ...['', 'nonsense', '2 two:b 1\nd1;x', '1 two:b 0\n', `1 two:b ${huge}\n`, '1  1\n', '1 two:b -1\n', '\u0000'],
    ...[`1 bad:a 1\nd${huge};x`, '1 bad:b 1\nd-5,5;abcde', '1 bad:c 1\nt1,9;t{"a":', '1 bad:d 1\nd3,4,4;a\tb<a/>null'],
    ...[say('two:b', 2), good, good, say('two:b', 2)],
  ];
  const heard = read(entries);
  await expect.poll(() => heard).toEqual(['two:b', 'two:b']);
});
