// What becomes of leases in Redis, each in one step. They lie where the membership is, so that whether an owner lives and what it owns
// are looked at together.
import { script } from './membership-scripts.ts';

const common = `
local function held(key)
  local had = redis.call('HGET', leases, key)
  if not had then return nil end
  local blank = string.find(had, ' ', 1, true)
  return string.sub(had, blank + 1), tonumber(string.sub(had, 1, blank - 1))
end
-- higher than all before, those of an era that Redis has forgotten too
local function give(key, life)
  local highest = math.max(tonumber(redis.call('GET', token) or '0') + 1, now)
  local text = string.format('%.0f', highest)
  redis.call('SET', token, text)
  redis.call('HSET', leases, key, text .. ' ' .. life)
  return text
end
`;

/**
 * Claims a key. Arguments: channel, life, key, for how long after Redis has lost its memory nobody who is new gets anything, in
 * milliseconds, and whether a key that nobody has may be had (1 or 0). Returns `out` where that life is no member; `held` and by
 * whom; `wait` and for how many milliseconds; or `had`, the token, whether a dead life had it (1 or 0), and all lives to be fenced.
 */
export const claimLeaseScript = script(`${common}
local life, key, grace = ARGV[2], ARGV[3], tonumber(ARGV[4])
if not redis.call('ZSCORE', beats, life) then return {'out'} end
for _, node in ipairs(redis.call('ZRANGEBYSCORE', missing, '-inf', now)) do
  redis.call('ZREM', missing, node)
  if not redis.call('ZSCORE', beats, node) then kill(node) end
end
local holder = held(key)
if holder and holder ~= life then
  if redis.call('ZSCORE', beats, holder) then return {'held', holder} end
  if redis.call('ZSCORE', missing, holder) then return {'wait', string.format('%.0f', grace)} end
elseif not holder then
  local wait = tonumber(redis.call('GET', since) or '0') + grace - now
  local last = redis.call('ZREVRANGE', missing, 0, 0, 'WITHSCORES')
  if last[2] then wait = math.max(wait, tonumber(last[2]) - now + 1) end
  if wait > 0 then return {'wait', string.format('%.0f', wait)} end
  if ARGV[5] == '0' then return {'wait', string.format('%.0f', grace)} end
end
local reply = {'had', give(key, life), (holder and holder ~= life) and '1' or '0'}
for _, node in ipairs(redis.call('SMEMBERS', unfenced)) do reply[#reply + 1] = node end
return reply
`);

/** A key goes from one life to another. Arguments: channel, the new owner, key, the owner, its token. Returns the new token, or nothing. */
export const takeLeaseScript = script(`${common}
if not redis.call('ZSCORE', beats, ARGV[2]) then return false end
local holder, number = held(ARGV[3])
if holder ~= ARGV[4] or number ~= tonumber(ARGV[5]) then return false end
return give(ARGV[3], ARGV[2])
`);

/**
 * Arguments: channel, life, key, token, and whether what is kept for after a death is to be taken up still (1 or 0): then the key is that
 * of a life that has never been.
 */
export const releaseLeaseScript = script(`${common}
local holder, number = held(ARGV[3])
if holder ~= ARGV[2] or number ~= tonumber(ARGV[4]) then return 0 end
if ARGV[5] == '1' then redis.call('HSET', leases, ARGV[3], ARGV[4] .. ' -') else redis.call('HDEL', leases, ARGV[3]) end
return 1
`);

/**
 * A life says what it owns, for Redis may have forgotten it. Arguments: channel, life, for how long those that were members may be
 * missing in milliseconds, how many lives it knows, these, then keys and tokens in turn. Returns 1 or 0 for each key, whether it is
 * that life's still; or nothing where that life is no member.
 */
export const announceScript = script(`${common}
local life = ARGV[2]
if not redis.call('ZSCORE', beats, life) then return false end
local known = tonumber(ARGV[4])
for i = 5, 4 + known do
  if not redis.call('ZSCORE', beats, ARGV[i]) and not redis.call('ZSCORE', dead, ARGV[i]) then
    redis.call('ZADD', missing, 'NX', now + ARGV[3], ARGV[i])
  end
end
local own = {}
for i = 5 + known, #ARGV, 2 do
  local holder, number = held(ARGV[i])
  local ours = tonumber(ARGV[i + 1])
  if not holder or number < ours then
    redis.call('HSET', leases, ARGV[i], ARGV[i + 1] .. ' ' .. life)
    if tonumber(redis.call('GET', token) or '0') < ours then redis.call('SET', token, ARGV[i + 1]) end
    own[#own + 1] = 1
  else
    own[#own + 1] = (holder == life and number == ours) and 1 or 0
  end
end
return own
`);

/** Lives that cannot write any more. Arguments: channel, then lives. */
export const fencedScript = script(`
for i = 2, #ARGV do redis.call('SREM', unfenced, ARGV[i]) end
return 1
`);
