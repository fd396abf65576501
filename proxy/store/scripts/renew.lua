-- Starts a claim's lease anew, where the claim is still the caller's (rule 4).
-- ARGV[3]  token
-- ARGV[4]  lease in microseconds
-- Replies  renewed, or lost.

local lease_end = decimal(now + tonumber(ARGV[4]))
local entry = load()
if entry.owner == ARGV[3] then
  redis.call('HSET', KEYS[1], 'u', lease_end)
elseif entry.shared[ARGV[3]] then
  redis.call('HSET', KEYS[1], 'p' .. ARGV[3], lease_end)
else
  return {now, 'lost'}
end
keep()
return {now, 'renewed'}
