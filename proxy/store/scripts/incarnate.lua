-- Joins the store's present incarnation, or makes a new one (rule 6). Run on every new connection.
-- KEYS[1]  the store's incarnation, a hash: id; run, the server process it was made in; epoch, for which time
--          the sentinels had made that server the master; made, when; grace, until when no claim is granted
--          and no stamp is worth anything (0: there was none); sole, until when another server may still be
--          taken for the master
-- ARGV[1]  run_id of the server at the other end of this connection
-- ARGV[2]  the incarnation that the caller knew last, or empty
-- ARGV[3]  a name for a new one
-- ARGV[4]  lease in microseconds: how long a writer of an older incarnation may still be at work
-- ARGV[5]  grace in microseconds that even a first start waits
-- ARGV[6]  the sentinels' configuration epoch that names this server the master; 0 where there are none
-- ARGV[7]  for how many microseconds a deposed master may still be asked
-- Replies  the time, the incarnation, and the end of its grace.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local life = redis.call('HMGET', KEYS[1], 'id', 'run', 'made', 'grace', 'epoch')
local id, run, made, grace_end = life[1], life[2], tonumber(life[3]), tonumber(life[4])
local made_epoch, epoch = tonumber(life[5] or 0), tonumber(ARGV[6])
local lease = tonumber(ARGV[4])

local function decimal(number)
  return string.format('%.0f', number)
end

-- A later epoch: another server was the master in between, though this one may never have noticed. An earlier
-- one: the caller's sentinel has not heard yet.
if id and run == ARGV[1] and epoch <= made_epoch then
  if ARGV[2] == '' or ARGV[2] == id then
    return {now, id, grace_end}
  end
  -- Whatever the caller knew ended before this one was made. If that is being waited for, it is enough, as
  -- long as it is waited for the caller's own lease too. Otherwise somebody who knew nothing made this one
  -- without grace: announce it now.
  if grace_end > 0 then
    grace_end = math.max(grace_end, made + lease)
    redis.call('HSET', KEYS[1], 'grace', decimal(grace_end))
    return {now, id, grace_end}
  end
end

local grace = tonumber(ARGV[5])
if id or ARGV[2] ~= '' then
  grace = math.max(grace, lease)
end
local before = grace_end
grace_end = 0
if grace > 0 then
  grace_end = now + grace
end
local sole = 0
if id or ARGV[2] ~= '' then
  sole = now + tonumber(ARGV[7])
end
-- Another server may have other sentinels, which count anew.
if run == ARGV[1] then
  epoch = math.max(epoch, made_epoch)
  grace_end = math.max(grace_end, before or 0) -- somebody's lease may be longer than the caller's
end
redis.call('HSET', KEYS[1], 'id', ARGV[3], 'run', ARGV[1], 'epoch', decimal(epoch), 'made', decimal(now),
  'grace', decimal(grace_end), 'sole', decimal(sole))
return {now, ARGV[3], grace_end}
