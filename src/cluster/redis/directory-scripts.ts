// What the directory does in Redis, each in one step. Of an account there is a hash with a value for every resource; of a node, in each
// part of the directory, an index: a hash of full JIDs and sids. Both are in the same slot of a Redis Cluster, with the clock that
// versions come from: the time when that part of the directory was begun, and the changes since. So versions do not fall back when
// Redis has lost everything, and it can be seen that it has.
import { defineScript } from '../../net/redis.ts';

const common = `
local function isOf(value, sid)
  return value and string.sub(value, 1, #sid + 1) == sid .. ' '
end
local function nodeOf(value, sid)
  local details = cjson.decode(string.sub(value, #sid + 2))
  return details[4] or string.match(sid, '%.(.*)$')
end
local function pack(birth, changes)
  local state = redis.call('HGETALL', KEYS[1])
  local packed = birth .. '\\0' .. changes .. '\\0' .. ARGV[1]
  if #state > 0 then packed = packed .. '\\0' .. table.concat(state, '\\0') end
  return packed
end
local function unchanged()
  local clock = redis.call('HMGET', KEYS[2], 'birth', 'changes')
  return pack(clock[1] or '0', clock[2] or '0')
end
local function changed()
  local changes = redis.call('HINCRBY', KEYS[2], 'changes', 1)
  local birth = redis.call('HGET', KEYS[2], 'birth')
  if not birth then
    local time = redis.call('TIME')
    birth = string.format('%.0f', time[1] * 1000000 + time[2])
    redis.call('HSET', KEYS[2], 'birth', birth)
  end
  local packed = pack(birth, string.format('%.0f', changes))
  redis.call('PUBLISH', ARGV[2], packed)
  return packed
end
`;

/** Keys: account, clock. Arguments: account. Returns the state. */
export const lookUpScript = defineScript(`${common}
return unchanged()
`);

/**
 * Keys: account, clock, index. Arguments: account, channel, resource, sid, value, full JID, and `take` or `keep`: what to do
 * where another session has the full JID, or another node the session. Returns the state, and the other session's value where there
 * was one; refuses a node whose life is over.
 */
export const putScript = defineScript(`${common}
if redis.call('HEXISTS', KEYS[3], '') == 1 then
  return redis.error_reply('OVER this life of the node is over')
end
local old = redis.call('HGET', KEYS[1], ARGV[3])
local other = false
if old and not isOf(old, ARGV[4]) then other = old end
if other and ARGV[7] == 'keep' then
  return {unchanged(), other}
end
if old and old ~= ARGV[5] and ARGV[7] == 'keep' and nodeOf(old, ARGV[4]) ~= nodeOf(ARGV[5], ARGV[4]) then
  return {unchanged()}
end
redis.call('HSET', KEYS[3], ARGV[6], ARGV[4])
if old == ARGV[5] then return {unchanged()} end
redis.call('HSET', KEYS[1], ARGV[3], ARGV[5])
return {changed(), other or nil}
`);

/** Keys: index. Arguments: full JID, sid. */
export const releaseScript = defineScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
`);

/** Keys: account, clock, index. Arguments: account, channel, resource, sid, full JID. Returns the state. */
export const dropScript = defineScript(`${common}
if redis.call('HGET', KEYS[3], ARGV[5]) == ARGV[4] then redis.call('HDEL', KEYS[3], ARGV[5]) end
if not isOf(redis.call('HGET', KEYS[1], ARGV[3]), ARGV[4]) then return unchanged() end
redis.call('HDEL', KEYS[1], ARGV[3])
return changed()
`);

/**
 * Takes a session of a dead node out of its account; its value stays in the index until whoever sweeps has made it known. Keys:
 * account, clock, index. Arguments: account, channel, resource, full JID, the dead node. Returns the account's state; and the value,
 * unless the session had been replaced, or had moved.
 */
export const takeScript = defineScript(`${common}
local held = redis.call('HGET', KEYS[3], ARGV[4])
if not held then return {unchanged()} end
if string.find(held, ' ', 1, true) then return {unchanged(), held} end
local value = redis.call('HGET', KEYS[1], ARGV[3])
if not isOf(value, held) or nodeOf(value, held) ~= ARGV[5] then
  redis.call('HDEL', KEYS[3], ARGV[4])
  return {unchanged()}
end
redis.call('HSET', KEYS[3], ARGV[4], value)
redis.call('HDEL', KEYS[1], ARGV[3])
return {changed(), value}
`);

/**
 * Takes out what a node has not put, or has dropped, though its index has it: a Redis that took the place of another one may have
 * missed that. Keys: account, clock, index. Arguments: account, channel, resource, sid, full JID, the node. Returns the state.
 */
export const strayScript = defineScript(`${common}
if redis.call('HGET', KEYS[3], ARGV[5]) ~= ARGV[4] then return unchanged() end
redis.call('HDEL', KEYS[3], ARGV[5])
local value = redis.call('HGET', KEYS[1], ARGV[3])
if not isOf(value, ARGV[4]) or nodeOf(value, ARGV[4]) ~= ARGV[6] then return unchanged() end
redis.call('HDEL', KEYS[1], ARGV[3])
return changed()
`);

/** Nothing more is put for a node: its life is over. Keys: index. Arguments: for how many seconds that is remembered. */
export const buryScript = defineScript(`
redis.call('HSET', KEYS[1], '', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HLEN', KEYS[1])
`);
