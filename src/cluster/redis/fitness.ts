// Whether a Redis will do: which one it is, what this user may do there (ACL), whether it takes writes, and what becomes of what it holds.
// Asked before a node joins, so that what is wrong is said in a sentence, and by `parley doctor`.
import type { Logger } from '../../base/log.ts';
import { defineScript, type RedisConnection } from '../../net/redis.ts';

export interface Fitness {
  /** `Redis 7.0.15`, `Valkey 8.0.1`. */
  readonly version: string;
  /** What it does when its memory is full, how much it may have, and has, in bytes; limit 0: as much as there is. */
  readonly eviction: { readonly policy: string; readonly limit: number; readonly used: number };
  /** Whether anything is left of what it holds after a restart; undefined where it does not tell. */
  readonly persists: boolean | undefined;
  /** Why nodes cannot work with it. */
  readonly problem: RedisProblem | undefined;
}

export interface RedisProblem {
  /** What follows "Redis". */
  readonly what: string;
  readonly fix: string;
}

/** Redis answers, and nodes cannot work with it; the message says why, and what to do. */
export class UnfitRedis extends Error {
  override readonly name = 'UnfitRedis';
  constructor({ what, fix }: RedisProblem) {
    super(`Redis ${what}: ${fix}`);
  }
}

const oldest = [6, 2] as const;

/**
 * All that nodes ask of Redis but for `SUBSCRIBE`, each once and without a trace, on keys that nothing else uses. The first write is one
 * that needs room: a script that has written anything is let go on with its memory full.
 */
export const needs: readonly (readonly [command: string, ...args: readonly string[]])[] = [
  ['PING'],
  ['TIME'],
  ['PUBLISH', 'channel', ''],
  ['SET', 'string', '1'],
  ['GET', 'string'],
  ['EXISTS', 'string'],
  ['EXPIRE', 'string', '1'],
  ['PEXPIRE', 'string', '1000'],
  ['PTTL', 'string'],
  ['RENAME', 'string', 'other'],
  ['HSET', 'hash', 'a', '1'],
  ['HSETNX', 'hash', 'a', '1'],
  ['HINCRBY', 'hash', 'a', '1'],
  ['HGET', 'hash', 'a'],
  ['HMGET', 'hash', 'a'],
  ['HGETALL', 'hash'],
  ['HSCAN', 'hash', '0'],
  ['HLEN', 'hash'],
  ['HEXISTS', 'hash', 'a'],
  ['HDEL', 'hash', 'a'],
  ['SADD', 'set', 'a'],
  ['SISMEMBER', 'set', 'a'],
  ['SMEMBERS', 'set'],
  ['SREM', 'set', 'a'],
  ['ZADD', 'sorted', '1', 'a'],
  ['ZSCORE', 'sorted', 'a'],
  ['ZRANGE', 'sorted', '0', '-1'],
  ['ZREVRANGE', 'sorted', '0', '-1'],
  ['ZRANGEBYSCORE', 'sorted', '0', '1'],
  ['ZREMRANGEBYSCORE', 'sorted', '2', '3'],
  ['ZREM', 'sorted', 'a'],
  ['XADD', 'stream', '*', 'a', '1'],
  ['XLEN', 'stream'],
  ['XRANGE', 'stream', '-', '+'],
  ['XREVRANGE', 'stream', '+', '-'],
  ['XREAD', 'STREAMS', 'stream', '0-0'],
  ['XTRIM', 'stream', 'MAXLEN', '1'],
  ['XDEL', 'stream', '1-1'],
  ['DEL', 'string', 'hash', 'set', 'sorted', 'stream', 'other'],
];

const keys = ['string', 'hash', 'set', 'sorted', 'stream', 'other'];
const argument = (text: string): string => {
  const key = keys.indexOf(text);
  return key >= 0 ? `KEYS[${key + 1}]` : text === 'channel' ? 'ARGV[1]' : `'${text}'`;
};

/** Answers with what this user may not run; anything else that is refused is an error. */
const probe = defineScript(`
local refused = {}
local function try(name, ...)
  local answer = redis.pcall(name, ...)
  if type(answer) ~= 'table' or not answer.err then return end
  if not string.find(answer.err, "can't run this command", 1, true) and not string.find(answer.err, 'permissions to run', 1, true) then
    return answer
  end
  refused[#refused + 1] = name
end
local failed = ${needs.map(([name, ...args]) => `try(${[`'${name}'`, ...args.map(argument)].join(', ')})`).join('\n  or ')}
return failed or refused
`);

/** Before a node joins. @throws UnfitRedis; Error where the connection breaks */
export async function checkFitness(redis: RedisConnection, log: Logger): Promise<void> {
  const { problem, eviction } = await examineFitness(redis);
  if (problem !== undefined) throw new UnfitRedis(problem);
  if (eviction.limit === 0 || eviction.policy === 'noeviction') return;
  log.warn(
    { policy: eviction.policy },
    'Redis throws away what nodes need when its memory is full: set its maxmemory-policy to noeviction',
  );
}

/** @throws Error where the connection breaks */
export async function examineFitness(redis: RedisConnection): Promise<Fitness> {
  const info = parse(String(await redis.command('INFO').catch(refusedInfo)));
  const name = info.has('valkey_version') ? 'Valkey' : 'Redis';
  const version = info.get('valkey_version') ?? info.get('redis_version') ?? '';
  return {
    version: `${name} ${version || '?'}`,
    eviction: {
      policy: info.get('maxmemory_policy') ?? '',
      limit: Number(info.get('maxmemory') ?? 0),
      used: Number(info.get('used_memory') ?? 0),
    },
    persists: info.get('aof_enabled') === '1' ? true : await savesNow(redis),
    problem: knownProblem(redis, info, version) ?? (await findRefusal(redis)),
  };
}

/** What needs no trial. */
function knownProblem(
  { isToCluster }: RedisConnection,
  info: ReadonlyMap<string, string>,
  version: string,
): RedisProblem | undefined {
  if (info.size === 0) return mayNot(['INFO']);
  if (isTooOld(version)) return tooOld(version);
  return info.get('cluster_enabled') === '1' && !isToCluster ? problems.MOVED : undefined;
}

const isTooOld = (version: string): boolean => {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < oldest[0] || (major === oldest[0] && minor < oldest[1]);
};

const tooOld = (version: string): RedisProblem => ({
  what: `${version} is too old`,
  fix: `update it to ${oldest.join('.')} or later, or Valkey`,
});

const mayNot = (commands: readonly string[]): RedisProblem => ({
  what: `does not let this user run ${[...new Set(commands)].join(', ')}`,
  fix: access,
});

/** What an ACL has to grant. */
const access =
  'give it what nodes need (ACL SETUSER name ~parley* resetchannels &parley* +@all -@admin -@dangerous +info)';

function refusedInfo(error: unknown): string {
  if (/NOPERM/.test(messageOf(error))) return '';
  throw error;
}

/** Why it does not let nodes do their work; undefined where it does. */
async function findRefusal(redis: RedisConnection): Promise<RedisProblem | undefined> {
  try {
    const names = keys.map((name) => redis.key('probe', name));
    const refused = (await redis.run(probe, names, [redis.channel('probe')])) as readonly string[];
    if (refused.length > 0) return mayNot(refused);
    const stop = await redis.subscribe('probe', () => {});
    stop();
    return undefined;
  } catch (error) {
    if (!redis.isUp) throw error;
    return explain(messageOf(error));
  }
}

const isClusterNode: Omit<RedisProblem, 'what'> = {
  fix: 'name it, and others of its kind, as { cluster: [redis://host:port, ...] }',
};

/** By the word that errors of Redis begin with; those of scripts have it further on. */
const problems: Readonly<Record<string, RedisProblem>> = {
  OOM: { what: 'takes no writes (OOM), since its memory is full', fix: 'raise its maxmemory' },
  READONLY: {
    what: 'takes no writes (READONLY), since it is a replica',
    fix: 'name its master, or the sentinels that know which one that is',
  },
  MISCONF: {
    what: 'takes no writes (MISCONF), since it cannot save what it has',
    fix: 'see its log; perhaps its disk is full, or its folder not its own',
  },
  NOREPLICAS: {
    what: 'takes no writes (NOREPLICAS), since too few replicas are connected to it',
    fix: 'see what has become of them; min-replicas-to-write says how many it needs',
  },
  MASTERDOWN: { what: 'is a replica that has lost its master (MASTERDOWN)', fix: 'name the master' },
  MOVED: { what: 'is a node of a Redis Cluster, and named as if it were all of it', ...isClusterNode },
  CROSSSLOT: { what: 'is a node of a Redis Cluster (CROSSSLOT)', ...isClusterNode },
  CLUSTERDOWN: { what: 'is a node of a Redis Cluster that is not whole (CLUSTERDOWN)', fix: 'see CLUSTER INFO there' },
};

function explain(message: string): RedisProblem {
  const [word] = /\b(OOM|READONLY|MISCONF|NOREPLICAS|MASTERDOWN|MOVED|CROSSSLOT|CLUSTERDOWN)\b/.exec(message) ?? [];
  if (word !== undefined) return problems[word]!;
  if (/channel/.test(message))
    return { what: `does not let this user listen to its channels (${message})`, fix: access };
  const refused = /NOPERM.* run the '([^']+)'/.exec(message)?.[1];
  if (refused !== undefined) return mayNot([refused.toUpperCase()]);
  // (Redis adds where in the script it was)
  const why = message.replace(/,? script: [0-9a-f]{40}.*$/, '');
  if (/NOPERM|can't access|access a key/.test(message))
    return { what: `does not let this user use its keys (${why})`, fix: access };
  return { what: `does not do what nodes need: ${why}`, fix: 'see what else it says' };
}

/** Whether it writes itself down from time to time; undefined where it does not tell. */
async function savesNow(redis: RedisConnection): Promise<boolean | undefined> {
  try {
    const [, when] = (await redis.command('CONFIG', 'GET', 'save')) as readonly string[];
    return when === undefined ? undefined : when !== '';
  } catch {
    return undefined;
  }
}

function parse(info: string): ReadonlyMap<string, string> {
  const pairs = info.split(/\r?\n/).filter((line) => line.includes(':'));
  return new Map(pairs.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]));
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
