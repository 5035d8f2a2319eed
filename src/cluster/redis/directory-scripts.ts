// What the directory does in Redis, each in one step (in `directory-changes.ts` several go together). Of an account there is a hash with a value for every resource; of a node, in each
// part of the directory, an index: a hash of full JIDs and sids. Both are in the same slot of a Redis Cluster, with the clock that
// versions come from: the time when that part of the directory was begun, and the changes since. So versions do not fall back when
// Redis has lost everything, and it can be seen that it has.
import { defineScript } from '../../net/redis.ts';

const common = `
local function isOf(value, sid)
  return value and string.sub(value, 1, #sid + 1) == sid .. ' '
end
local function nodeOf(value, sid)
  -- only a node is written as a string in the end
  if string.sub(value, -2) ~= '"]' then return string.match(sid, '%.(.*)$') end
  return cjson.decode(string.sub(value, #sid + 2))[4]
end
local function pack(account, birth, changes, user)
  local state = redis.call('HGETALL', account)
  local packed = birth .. '\\0' .. changes .. '\\0' .. user
  if #state > 0 then packed = packed .. '\\0' .. table.concat(state, '\\0') end
  return packed
end
local function unchanged(account, clock, user)
  local counted = redis.call('HMGET', clock, 'birth', 'changes')
  return pack(account, counted[1] or '0', counted[2] or '0', user)
end
local news = {}
local function changed(account, clock, user)
  local changes = redis.call('HINCRBY', clock, 'changes', 1)
  local birth = redis.call('HGET', clock, 'birth')
  if not birth then
    local time = redis.call('TIME')
    birth = string.format('%.0f', time[1] * 1000000 + time[2])
    redis.call('HSET', clock, 'birth', birth)
  end
  local packed = pack(account, birth, string.format('%.0f', changes), user)
  news[#news + 1] = packed
  return packed
end
local function publish(channel)
  if #news > 0 then redis.call('PUBLISH', channel, table.concat(news, '\\1')) end
end
`;

/** What is between the states of several accounts that are published together. */
export const BETWEEN = '\u0001';

/** What is said to a node whose life is over, in place of an answer. */
export const OVER = 'OVER';

/**
 * Several changes and questions, one after the other; what they change is published together. Keys, of each: account, clock, index.
 * Arguments: the channel; and of each what it is, the account, resource, sid, value and full JID, as far as it needs them:
 *
 * - `look`: what is there. Needs the account.
 * - `take` and `keep`: puts a session. Where another session has the full JID, `take` takes its place, and `keep` does not; nor does that
 *   take a session back from another node.
 * - `drop`: the session is over. Needs no value.
 *
 * Returns of each the account's state, and the other session's value where there was one; or what was wrong with it, which is no concern of
 * the others.
 */
export const changesScript = defineScript(`${common}
local function one(i)
  local account, clock, index = KEYS[3 * i + 1], KEYS[3 * i + 2], KEYS[3 * i + 3]
  local what, user, resource = ARGV[6 * i + 2], ARGV[6 * i + 3], ARGV[6 * i + 4]
  local sid, value, full = ARGV[6 * i + 5], ARGV[6 * i + 6], ARGV[6 * i + 7]
  if what == 'look' then return {unchanged(account, clock, user)} end
  if what == 'drop' then
    if redis.call('HGET', index, full) == sid then redis.call('HDEL', index, full) end
    if not isOf(redis.call('HGET', account, resource), sid) then return {unchanged(account, clock, user)} end
    redis.call('HDEL', account, resource)
    return {changed(account, clock, user)}
  end
  if redis.call('HEXISTS', index, '') == 1 then return '${OVER}' end
  local old = redis.call('HGET', account, resource)
  local other = nil
  if old and not isOf(old, sid) then other = old end
  if what == 'keep' then
    if other then return {unchanged(account, clock, user), other} end
    if old and old ~= value and nodeOf(old, sid) ~= nodeOf(value, sid) then return {unchanged(account, clock, user)} end
  end
  redis.call('HSET', index, full, sid)
  if old == value then return {unchanged(account, clock, user)} end
  redis.call('HSET', account, resource, value)
  return {changed(account, clock, user), other}
end
local answers = {}
for i = 0, #KEYS / 3 - 1 do
  local isDone, answer = pcall(one, i)
  -- (what Redis makes of errors depends on its version)
  if not isDone then answer = tostring(type(answer) == 'table' and answer.err or answer) end
  answers[i + 1] = answer
end
publish(ARGV[1])
return answers
`);

/** Keys: index. Arguments: full JID, sid. */
export const releaseScript = defineScript(`
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return 1
`);

/**
 * Takes a session of a dead node out of its account; its value stays in the index until whoever sweeps has made it known. Keys:
 * account, clock, index. Arguments: account, channel, resource, full JID, the dead node. Returns the account's state; and the value,
 * unless the session had been replaced, or had moved.
 */
export const takeScript = defineScript(`${common}
local held = redis.call('HGET', KEYS[3], ARGV[4])
if not held then return {unchanged(KEYS[1], KEYS[2], ARGV[1])} end
if string.find(held, ' ', 1, true) then return {unchanged(KEYS[1], KEYS[2], ARGV[1]), held} end
local value = redis.call('HGET', KEYS[1], ARGV[3])
if not isOf(value, held) or nodeOf(value, held) ~= ARGV[5] then
  redis.call('HDEL', KEYS[3], ARGV[4])
  return {unchanged(KEYS[1], KEYS[2], ARGV[1])}
end
redis.call('HSET', KEYS[3], ARGV[4], value)
redis.call('HDEL', KEYS[1], ARGV[3])
local state = changed(KEYS[1], KEYS[2], ARGV[1])
publish(ARGV[2])
return {state, value}
`);

/**
 * Takes out what a node has not put, or has dropped, though its index has it: a Redis that took the place of another one may have
 * missed that. Keys: account, clock, index. Arguments: account, channel, resource, sid, full JID, the node. Returns the state.
 */
export const strayScript = defineScript(`${common}
if redis.call('HGET', KEYS[3], ARGV[5]) ~= ARGV[4] then return unchanged(KEYS[1], KEYS[2], ARGV[1]) end
redis.call('HDEL', KEYS[3], ARGV[5])
local value = redis.call('HGET', KEYS[1], ARGV[3])
if not isOf(value, ARGV[4]) or nodeOf(value, ARGV[4]) ~= ARGV[6] then return unchanged(KEYS[1], KEYS[2], ARGV[1]) end
redis.call('HDEL', KEYS[1], ARGV[3])
local state = changed(KEYS[1], KEYS[2], ARGV[1])
publish(ARGV[2])
return state
`);

/** Nothing more is put for a node: its life is over. Keys: index. Arguments: for how many seconds that is remembered. */
export const buryScript = defineScript(`
redis.call('HSET', KEYS[1], '', '1')
redis.call('EXPIRE', KEYS[1], ARGV[1])
return redis.call('HLEN', KEYS[1])
`);
