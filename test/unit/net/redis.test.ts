// The connection to Redis, with a real one: what is asked while it is away, and what is heard when it is back.
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import { type Logger, silent } from '../../../src/base/log.ts';
import { defineScript, openRedis, type RedisConnection } from '../../../src/net/redis.ts';
import type { RedisTarget } from '../../../src/net/redis-target.ts';
import { startRedis } from '../../kit/redis.ts';
import { redisForAll } from '../../kit/redis-for-all.ts';

describe('a connection to Redis', () => {
  const redis = redisForAll();
  const opened: RedisConnection[] = [];
  const open = async (target: RedisTarget = redis.url): Promise<RedisConnection> => {
    const connection = await openRedis({ target, log: silent, clock: systemClock });
    opened.push(connection);
    await connection.whenUp(5_000);
    return connection;
  };
  afterEach(() => {
    for (const connection of opened.splice(0)) connection.close();
  });

  test('commands and scripts are answered', async () => {
    const connection = await open();
    const key = connection.key('romeo@verona.test', 'n');
    expect(key).toBe('parley:{romeo@verona.test}:n');
    await connection.command('SET', key, 'ü1');
    expect(await connection.command('GET', key)).toBe('ü1');
    const script = defineScript("return {redis.call('GET', KEYS[1]), ARGV[1]}");
    expect(await connection.run(script, [key], ['x'])).toEqual(['ü1', 'x']);
    await connection.command('SCRIPT', 'FLUSH');
    expect(await connection.run(script, [key], ['y'])).toEqual(['ü1', 'y']);
    await expect(connection.command('INCR', key)).rejects.toThrow('not an integer');
  });

  test('an address may be that of a Unix socket, with a name, a password and a database', async () => {
    const socket = join(tmpdir(), `parley-redis-${process.pid}.sock`);
    const other = await startRedis(['--unixsocket', socket]);
    try {
      await other.ask('ACL SETUSER chat on >p@ss ~* &* +@all');
      const places = [
        `redis+unix://${socket}?db=3&username=chat&password=p%40ss`,
        `redis://chat:p%40ss@127.0.0.1:${other.port}/3`,
      ];
      for (const target of places) {
        const connection = await open(target);
        expect(await connection.command('ACL', 'WHOAMI')).toBe('chat');
        expect(await connection.command('CLIENT', 'INFO')).toContain(' db=3 ');
      }
    } finally {
      for (const connection of opened.splice(0)) connection.close();
      await other.remove();
    }
  });

  test('no error shows what was sent, nor a password', async () => {
    const guarded = await startRedis();
    try {
      await guarded.ask('CONFIG SET requirepass right');
      const logged: unknown[] = [];
      const note = (fields: object): void => void logged.push(fields);
      const log: Logger = { ...silent, debug: note, info: note, warn: note, error: note };
      const target = `redis://:mistaken@127.0.0.1:${guarded.port}`;
      const stranger = await openRedis({ target, log, clock: systemClock });
      opened.push(stranger);
      await expect(stranger.whenUp(2_000)).rejects.toThrow(/^Redis cannot be reached \(WRONGPASS [^:]*\)$/);
      expect(inspect(logged, { depth: 9 })).toContain('WRONGPASS');
      const connection = await open(`redis://:right@127.0.0.1:${guarded.port}`);
      await connection.command('CONFIG', 'SET', 'maxmemory', '1');
      const script = defineScript("return redis.call('SET', KEYS[1], ARGV[1])");
      const failures = await Promise.all([
        connection.command('XADD', 'k', '*', 'b', 'a private word').catch((err: unknown) => err),
        connection.run(script, ['k'], ['a private word']).catch((err: unknown) => err),
        connection
          .openReader()
          .command('SET', 'k', 'a private word')
          .catch((err: unknown) => err),
      ]);
      expect(String(failures[0])).toContain('OOM');
      expect(inspect([logged, failures], { depth: 9 })).not.toMatch(/mistaken|private/);
    } finally {
      for (const connection of opened.splice(0)) connection.close();
      await guarded.remove();
    }
  });

  test('all keys of a tag are in one slot, whatever braces it has', async () => {
    const connection = await open();
    for (const tag of ['plain', 'a}b', '}x@verona.test', '{', '{}']) {
      const [one, two] = [connection.key(tag, 'one'), connection.key(tag, 'two')];
      const tagOf = (key: string): string => key.slice(key.indexOf('{') + 1, key.indexOf('}', key.indexOf('{') + 1));
      expect(tagOf(one)).not.toBe('');
      expect(tagOf(one)).toBe(tagOf(two));
    }
  });

  test('what is published is heard by those who subscribed, until they stop', async () => {
    const [one, two] = [await open(), await open()];
    const heard: string[] = [];
    const stop = await two.subscribe('news', (message) => heard.push(message));
    await one.publish('news', 'a');
    await expect.poll(() => heard).toEqual(['a']);
    stop();
    await one.publish('news', 'b');
    await two.subscribe('other', (message) => heard.push(message));
    await one.publish('other', 'c');
    await expect.poll(() => heard).toEqual(['a', 'c']);
  });

  test('while Redis is away commands fail at once, and it says when it is back', async () => {
    const connection = await open();
    const heard: string[] = [];
    await connection.subscribe('news', (message) => heard.push(message));
    const events: string[] = [];
    connection.onDown(() => events.push('down'));
    connection.onReconnected(() => events.push('back'));
    const reader = connection.openReader();
    await new Promise<void>((resolve) => reader.onUp(resolve));
    const waiting = expect(reader.command('BLPOP', 'nothing', 0)).rejects.toThrow();
    await redis.stop();
    await waiting;
    await expect.poll(() => connection.isUp).toBe(false);
    await expect(connection.command('PING')).rejects.toThrow();
    await expect(connection.whenUp(50)).rejects.toThrow('cannot be reached');
    await redis.start();
    await connection.whenUp(5_000);
    expect(await connection.command('PING')).toBe('PONG');
    // once for commands, once for what is published
    await expect.poll(() => events).toEqual(['down', 'back', 'back']);
    await connection.publish('news', 'again');
    await expect.poll(() => heard).toEqual(['again']);
    await expect.poll(() => reader.isUp).toBe(true);
  });

  test('a server that is there but silent counts as gone, and comes back', async () => {
    const connection = await open();
    redis.freeze(true);
    await expect(connection.command('PING')).rejects.toThrow();
    redis.freeze(false);
    await connection.whenUp(5_000);
    expect(await connection.command('PING')).toBe('PONG');
  });
});
