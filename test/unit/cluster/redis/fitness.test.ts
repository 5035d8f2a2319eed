// What is said of a Redis that nodes cannot work with, before a node joins and by the doctor; and that nodes ask nothing of it that the
// oldest one they work with does not know.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { systemClock } from '../../../../src/base/clock.ts';
import { type Logger, silent } from '../../../../src/base/log.ts';
import { checkFitness, examineFitness, type Fitness, needs } from '../../../../src/cluster/redis/fitness.ts';
import { createRedisCluster } from '../../../../src/cluster/redis/redis.ts';
import { openRedis } from '../../../../src/net/redis.ts';
import type { RedisTarget } from '../../../../src/net/redis-target.ts';
import { freePort } from '../../../kit/peers.ts';
import { startRedis, type TestRedis } from '../../../kit/redis.ts';

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.remove());

async function examine(target: RedisTarget, server = redis): Promise<Fitness> {
  const connection = await openRedis({ target, log: silent, clock: systemClock });
  try {
    await connection.whenUp(5_000);
    return await examineFitness(connection);
  } finally {
    connection.close();
    // nothing is left of it
    expect(await server.ask('DBSIZE')).toBe(':0');
  }
}

const problemOf = async (target: RedisTarget, server?: TestRedis): Promise<string> => {
  const { problem } = await examine(target, server);
  return problem === undefined ? '' : `${problem.what}: ${problem.fix}`;
};

test('one that does is told by its version, and by what becomes of what it holds', async () => {
  const { version, eviction, persists, problem } = await examine(redis.url);
  expect(problem).toBeUndefined();
  expect(version).toMatch(/^(Redis|Valkey) \d+\.\d+/);
  expect(eviction).toMatchObject({ policy: 'noeviction', limit: 0 });
  expect(persists).toBe(false);
});

test('what its user may not do is named, with what to grant', async () => {
  const target = `redis://chat:pw@127.0.0.1:${redis.port}`;
  const grant = async (rules: string): Promise<string> => {
    await redis.ask(`ACL SETUSER chat reset on >pw ${rules}`);
    return problemOf(target);
  };
  expect(await grant('~parley* resetchannels &parley* +@all -@admin -@dangerous +info')).toBe('');
  const fix = 'ACL SETUSER name ~parley* resetchannels &parley* +@all -@admin -@dangerous +info';
  const some = await grant('~parley* resetchannels &parley* +@all -xread -hset');
  expect(some).toContain('does not let this user run HSET, XREAD');
  expect(some).toContain(fix);
  expect(await grant('~parley* resetchannels &parley* +@all -@scripting')).toContain(
    'does not let this user run EVALSHA',
  );
  expect(await grant('~parley* resetchannels &parley* +@all -subscribe')).toContain(
    'does not let this user run SUBSCRIBE',
  );
  expect(await grant('~other* resetchannels &parley* +@all')).toContain('does not let this user use its keys');
  expect(await grant('~parley* resetchannels +@all')).toContain('does not let this user listen to its channels');
});

test('one that takes no writes says why', async () => {
  await redis.ask('CONFIG SET maxmemory 1');
  expect(await problemOf(redis.url)).toMatch(/^takes no writes \(OOM\), since its memory is full: raise its maxmemory/);
  await redis.ask('CONFIG SET maxmemory 0');
  await redis.ask('CONFIG SET min-replicas-to-write 1');
  expect(await problemOf(redis.url)).toMatch(/^takes no writes \(NOREPLICAS\)/);
  await redis.ask('CONFIG SET min-replicas-to-write 0');
  await redis.ask('REPLICAOF 127.0.0.1 1');
  expect(await problemOf(redis.url)).toMatch(/^takes no writes \(READONLY\), since it is a replica: name its master/);
  await redis.ask('REPLICAOF NO ONE');
});

test('a node of a Redis Cluster that is named alone is not taken for all of it, nor another one for a Redis Cluster', async () => {
  const one = await startRedis(['--cluster-enabled', 'yes', '--cluster-port', String(await freePort())]);
  try {
    expect(await problemOf(one.url, one)).toMatch(
      /^is a node of a Redis Cluster.*: name it, and others of its kind, as/,
    );
  } finally {
    await one.remove();
  }
  await expect(examine({ cluster: [redis.url] })).rejects.toThrow('cluster support disabled');
});

test('an old one is refused', async () => {
  const target = await openRedis({ target: redis.url, log: silent, clock: systemClock });
  await target.whenUp(5_000);
  const old = Object.create(target, { command: { value: async () => 'redis_version:6.0.16\r\n' } });
  await expect(checkFitness(old, silent)).rejects.toThrow('Redis 6.0.16 is too old: update it to 6.2 or later');
  target.close();
});

test('a node that may not listen to channels does not wait for ever', async () => {
  await redis.ask('ACL SETUSER deaf reset on >pw ~* resetchannels +@all');
  const target = `redis://deaf:pw@127.0.0.1:${redis.port}`;
  const joining = createRedisCluster({ target, log: silent, clock: systemClock, name: 'a' });
  await expect(joining).rejects.toThrow('Redis does not let this user listen to its channels');
});

test('a database that it does not have is not another one', async () => {
  const target = `${redis.url}/99`;
  const began = performance.now();
  const joining = createRedisCluster({ target, log: silent, clock: systemClock, name: 'a' });
  await expect(joining).rejects.toThrow('DB index is out of range');
  expect(performance.now() - began).toBeLessThan(5_000);
});

test('one that throws away what it holds is warned of', async () => {
  const warnings: unknown[] = [];
  const log = { ...silent, warn: (fields: object, text: string) => warnings.push({ ...fields, text }) } as Logger;
  await redis.ask('CONFIG SET maxmemory 100mb');
  const connection = await openRedis({ target: redis.url, log: silent, clock: systemClock });
  await connection.whenUp(5_000);
  await checkFitness(connection, log);
  expect(warnings).toEqual([]);
  await redis.ask('CONFIG SET maxmemory-policy allkeys-lru');
  await checkFitness(connection, log);
  expect(warnings).toEqual([
    { policy: 'allkeys-lru', text: expect.stringContaining('set its maxmemory-policy to noeviction') },
  ]);
  connection.close();
  await redis.ask('CONFIG SET maxmemory-policy noeviction');
  await redis.ask('CONFIG SET maxmemory 0');
});

/** Commands as they stand in the source, in scripts and outside, with the options that stand there too. */
function asked(): Map<string, Set<string>> {
  const source = fileURLToPath(new URL('../../../../src/', import.meta.url));
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'));
  const found = new Map<string, Set<string>>();
  for (const file of files) {
    if (file.endsWith('fitness.ts')) continue;
    const text = readFileSync(join(source, file), 'utf8');
    for (const [, name = '', rest = ''] of text.matchAll(
      /(?:redis\.p?call|\bcommand|\bcall)\(\s*'([A-Z]+)'(.*?)(?=redis\.p?call|$)/gm,
    )) {
      const options = found.get(name) ?? new Set();
      for (const [, option = ''] of rest.matchAll(/'([A-Z]{2,})'/g)) options.add(option);
      found.set(name, options);
    }
  }
  return found;
}

interface Described {
  readonly since?: string;
  readonly token?: string;
  readonly arguments?: readonly unknown[];
}

/** Redis answers with lists of names and values in turn. */
function described(list: unknown): Described {
  const fields = new Map<unknown, unknown>();
  for (let i = 0; Array.isArray(list) && i + 1 < list.length; i += 2) fields.set(list[i], list[i + 1]);
  return Object.fromEntries(fields) as Described;
}

/** The options of a command, and since when there are such. */
function optionsOf(argument: Described): [string, string | undefined][] {
  const own: [string, string | undefined][] = argument.token === undefined ? [] : [[argument.token, argument.since]];
  return [...own, ...(argument.arguments ?? []).flatMap((one) => optionsOf(described(one)))];
}

const isLater = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major > 6 || (major === 6 && minor > 2);
};

test('everything that is asked of it is tried before a node joins, and known to the oldest one that will do', async () => {
  const used = asked();
  // CONFIG is done without where it is refused, EVAL and EVALSHA are how the rest is tried
  const tried = new Set([...needs.map(([name]) => name), 'INFO', 'CONFIG', 'EVAL', 'EVALSHA']);
  expect([...used.keys()].filter((name) => !tried.has(name))).toEqual([]);
  expect(needs.map(([name]) => name).filter((name) => !used.has(name))).toEqual([]);
  expect(used.get('XREAD')).toContain('STREAMS');

  const connection = await openRedis({ target: redis.url, log: silent, clock: systemClock });
  await connection.whenUp(5_000);
  for (const [name, options] of used) {
    const answer = (await connection.command('COMMAND', 'DOCS', name)) as readonly unknown[];
    const command = described(answer[1]);
    expect(isLater(command.since ?? '99'), name).toBe(false);
    const known = new Map(optionsOf(command));
    for (const option of options) {
      // (what is no option is a value of ours)
      const since = known.get(option);
      if (since !== undefined) expect(isLater(since), `${name} ${option}`).toBe(false);
    }
  }
  connection.close();
});
