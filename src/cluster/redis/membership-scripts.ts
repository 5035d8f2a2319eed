// What membership does in Redis, each in one step. By Redis' clock alone: those of the nodes may be apart. Of all nodes there is
//
//   beats     when each life is overdue, in milliseconds by Redis' clock (a sorted set)
//   info      what each life says of itself, as JSON
//   names     the life that has a name
//   log       who came and went, in the order that all are told of it (a stream)
//   dead      lives that are over, and when they ended
//   wills     lives that are over and what is left of them to be dealt with: the life that does so, or nothing while there is none
//   draining  lives that are about to stop
//   era       lost when Redis loses its memory
//   since     when the era began
//   missing   lives that were members before Redis lost its memory, and until when they may come back (a sorted set)
//   unfenced  lives that are over and may still have something under way to the database
//   leases    by key: the token of its owner's lease, a blank, and the life that owns it
//   token     the highest one so far
import { defineScript, type RedisConnection, type RedisScript } from '../../net/redis.ts';

const keyNames = [
  ...['beats', 'info', 'names', 'log', 'dead', 'wills', 'draining', 'era'],
  ...['since', 'missing', 'unfenced', 'leases', 'token'],
] as const;

/** The channel on which nodes are told to look into the log at once. */
export const noticeChannel = 'nodes';

/** For so long a life that is over is remembered, in milliseconds: a frozen node may wake up. */
const rememberedMs = 24 * 3600_000;
/** So many comings and goings are kept at least. */
const logLength = 1000;

const common = `
local beats, info, names, log, dead, wills, draining, era, since, missing, unfenced, leases, token = unpack(KEYS)
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function tell(what, node)
  redis.call('XADD', log, 'MAXLEN', '~', ${logLength}, '*', 'w', what, 'n', node)
  redis.call('PUBLISH', ARGV[1], what)
end
local function kill(node)
  redis.call('ZREM', beats, node)
  redis.call('HDEL', info, node)
  redis.call('SREM', draining, node)
  redis.call('ZREM', missing, node)
  local name = string.match(node, '^(.*):')
  if redis.call('HGET', names, name) == node then redis.call('HDEL', names, name) end
  redis.call('ZADD', dead, now, node)
  redis.call('ZREMRANGEBYSCORE', dead, '-inf', now - ${rememberedMs})
  redis.call('SADD', unfenced, node)
  redis.call('HSET', wills, node, '')
  tell('down', node)
end
local function view()
  local last = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  return {string.format('%.0f', now), redis.call('GET', era), last[1] and last[1][1] or '0-0', redis.call('ZRANGE', beats, 0, -1),
    redis.call('SMEMBERS', draining), redis.call('ZRANGEBYSCORE', beats, '-inf', now), redis.call('HLEN', wills)}
end
`;

/**
 * A life begins, or is put back where Redis has lost it. Arguments: channel, name, life, how long a beat lasts, info, a new era,
 * what to do where another life has the name (`other`: take one like it, `refuse`, or `keep` it all the same), how many lives
 * ended so lately that what they left may be to be dealt with, and the lives known to be over, these first. Returns the identity and the view; or nothing and who has the name; or nothing at all where that life is over.
 */
export const joinScript = script(`
for i = 9, #ARGV do
  if redis.call('ZADD', dead, 'NX', now, ARGV[i]) == 1 then
    redis.call('SADD', unfenced, ARGV[i])
    if i - 9 < tonumber(ARGV[8]) then redis.call('HSET', wills, ARGV[i], '') end
  end
end
if redis.call('SET', era, ARGV[6], 'NX') then redis.call('SET', since, string.format('%.0f', now)) end
local name = ARGV[2]
local node = name .. ':' .. ARGV[3]
if redis.call('ZSCORE', dead, node) then return {false} end
local n = 1
while ARGV[7] ~= 'keep' do
  local holder = redis.call('HGET', names, name)
  if not holder or not redis.call('ZSCORE', beats, holder) then break end
  if ARGV[7] == 'refuse' then return {false, holder} end
  n = n + 1
  name = ARGV[2] .. '-' .. n
  node = name .. ':' .. ARGV[3]
end
if ARGV[7] == 'keep' then redis.call('HSETNX', names, name, node) else redis.call('HSET', names, name, node) end
redis.call('HSET', info, node, ARGV[5])
redis.call('ZREM', missing, node)
if redis.call('ZADD', beats, now + ARGV[4], node) == 1 then tell('up', node) end
return {node, view()}
`);

/**
 * A node lives. Arguments: channel, life, how long a beat lasts, info, the last entry of the log that it knows. Returns `over`,
 * `unknown` or `in`; the view; and what the log has that is new.
 */
export const beatScript = script(`
local node = ARGV[2]
if redis.call('ZSCORE', dead, node) then return {'over'} end
if not redis.call('ZSCORE', beats, node) then return {'unknown'} end
redis.call('ZADD', beats, now + ARGV[3], node)
redis.call('HSET', info, node, ARGV[4])
local far = redis.call('ZRANGEBYSCORE', beats, '(' .. string.format('%.0f', now + ARGV[3]), '+inf')
for _, other in ipairs(far) do redis.call('ZADD', beats, now + ARGV[3], other) end
local news = {}
for _, entry in ipairs(redis.call('XRANGE', log, '(' .. ARGV[5], '+')) do
  news[#news + 1] = entry[2][2]
  news[#news + 1] = entry[2][4]
end
return {'in', view(), news}
`);

/**
 * A node is overdue. Arguments: channel, the overdue life, who says so, and `force` where it is known that it is no more. Returns
 * whether it was this call that ended it; then whoever called deals with what is left.
 */
export const declareScript = script(`
local node = ARGV[2]
local due = redis.call('ZSCORE', beats, node)
if not due then return 0 end
if ARGV[4] ~= 'force' and tonumber(due) > now then return 0 end
kill(node)
redis.call('HSET', wills, node, ARGV[3])
return 1
`);

/** A life that Redis has lost did not come back: it is over. Arguments: channel, that life. */
export const mournScript = script(`
if redis.call('ZSCORE', beats, ARGV[2]) or redis.call('ZSCORE', dead, ARGV[2]) then return 0 end
kill(ARGV[2])
return 1
`);

/** A node leaves of itself; whoever sees it first deals with what is left. Arguments: channel, life, whether it need not be fenced (1 or 0). */
export const leaveScript = script(`
if redis.call('ZSCORE', beats, ARGV[2]) then
  kill(ARGV[2])
  if ARGV[3] == '1' then redis.call('SREM', unfenced, ARGV[2]) end
end
return 1
`);

/** Takes on what is left of lives that nobody deals with. Arguments: channel, who takes it on. Returns all that are this node's. */
export const claimScript = script(`
local mine = {}
if not redis.call('ZSCORE', beats, ARGV[2]) then return mine end
local all = redis.call('HGETALL', wills)
for i = 1, #all, 2 do
  local heir = all[i + 1]
  if heir == '' or not redis.call('ZSCORE', beats, heir) then
    redis.call('HSET', wills, all[i], ARGV[2])
    heir = ARGV[2]
  end
  if heir == ARGV[2] then mine[#mine + 1] = all[i] end
end
return mine
`);

/** All that was left of a life is dealt with. Arguments: channel, that life, who did it. */
export const settleScript = script(`
if redis.call('HGET', wills, ARGV[2]) == ARGV[3] then redis.call('HDEL', wills, ARGV[2]) end
return 1
`);

/** Arguments: channel, life, whether it is about to stop (1 or 0). */
export const drainScript = script(`
local changed
if not redis.call('ZSCORE', beats, ARGV[2]) then return 0 end
if ARGV[3] == '1' then changed = redis.call('SADD', draining, ARGV[2]) else changed = redis.call('SREM', draining, ARGV[2]) end
if changed == 1 then tell('drain', ARGV[2]) end
return changed
`);

/** Who is there and what each says of itself, and who of them is overdue. Arguments: channel. */
export const membersScript = script(`
return {redis.call('ZRANGE', beats, 0, -1), redis.call('HGETALL', info), redis.call('SMEMBERS', draining),
  redis.call('ZRANGEBYSCORE', beats, '-inf', now)}
`);

export function script(lua: string): RedisScript {
  return defineScript(`${common}${lua}`);
}

/** Runs one of these scripts, or one that `script` has made. */
export function runOnNodes(
  redis: RedisConnection,
  which: RedisScript,
  ...args: readonly (string | number)[]
): Promise<unknown> {
  const keys = keyNames.map((name) => redis.key('nodes', name));
  return redis.run(which, keys, [redis.channel(noticeChannel), ...args]);
}
