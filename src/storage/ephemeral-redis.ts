// Values that expire, in Redis: what several nodes share. An owner's values of a store are a hash whose fields know until when they
// count, by the clock of Redis: those of the nodes may differ. The hash goes when the last of them has expired.
import { defineScript, type RedisConnection, type RedisScript } from '../net/redis.ts';
import type { Ephemeral, OpenEphemeral } from './ephemeral.ts';
import { StorageUnavailable } from './errors.ts';
import { checkText, encode, freeze } from './json.ts';

const common = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function live(value)
  local blank = string.find(value, ' ', 1, true)
  if tonumber(string.sub(value, 1, blank - 1)) > now then return string.sub(value, blank + 1) end
  return false
end
`;

const getScript = defineScript(`${common}
local value = redis.call('HGET', KEYS[1], ARGV[1])
return value and live(value)
`);

/** Key and value in turn. */
const allScript = defineScript(`${common}
local found = {}
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local value = live(fields[i + 1])
  if value then
    found[#found + 1] = fields[i]
    found[#found + 1] = value
  end
end
return found
`);

/** Arguments: key, value, how long it counts in milliseconds. As a hash grows, what has expired is taken out now and then. */
const setScript = defineScript(`${common}
local ttl = tonumber(ARGV[3])
local isNew = redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ttl) .. ' ' .. ARGV[2])
if redis.call('PTTL', KEYS[1]) < ttl then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
if isNew == 1 and redis.call('HLEN', KEYS[1]) % 32 == 0 then
  local fields = redis.call('HGETALL', KEYS[1])
  for i = 1, #fields, 2 do
    if not live(fields[i + 1]) then redis.call('HDEL', KEYS[1], fields[i]) end
  end
end
return redis.status_reply('OK')
`);

/** Longer than anybody means; what Redis can count. */
const longest = 10 * 365 * 86_400_000;

/** Stores that all nodes on this Redis share. All they do rejects with StorageUnavailable where Redis does not answer. */
export function ephemeralInRedis(redis: RedisConnection): OpenEphemeral {
  return (host, title) => open(redis, `e:${host} ${title}`);
}

function open(redis: RedisConnection, name: string): Ephemeral {
  const keyOf = (owner: string): string => redis.key(encodeURIComponent(checkText(owner)), name);
  const run = (script: RedisScript, owner: string, ...args: readonly string[]): Promise<unknown> =>
    answered(redis.run(script, [keyOf(owner)], args));
  return {
    async get(owner, key) {
      return read(await run(getScript, owner, checkText(key)));
    },
    async set(owner, key, value, ttl) {
      checkText(key);
      if (value === undefined || ttl <= 0) await answered(redis.command('HDEL', keyOf(owner), key));
      else await run(setScript, owner, key, encode(value), String(Math.ceil(Math.min(ttl, longest))));
    },
    async all(owner) {
      const fields = (await run(allScript, owner)) as readonly string[];
      const values = new Map<string, unknown>();
      for (let i = 0; i < fields.length; i += 2) values.set(fields[i]!, read(fields[i + 1]));
      return values;
    },
    async purge(owner) {
      await answered(redis.command('DEL', keyOf(owner)));
    },
    close() {},
  };
}

function read(json: unknown): unknown {
  return typeof json === 'string' ? freeze(JSON.parse(json)) : undefined;
}

async function answered<T>(reply: Promise<T>): Promise<T> {
  try {
    return await reply;
  } catch (error) {
    throw new StorageUnavailable(`Redis does not answer: ${(error as Error).message}`, { cause: error });
  }
}
