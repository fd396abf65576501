-- Ends a claim and commits what its holder knows (rule 2).
-- ARGV[3]  token
-- ARGV[4]  known; kept, where nothing was written and what the claim took is put back; absent, unknown; or
--          drop, for a claim that was perhaps granted and surely not used
-- ARGV[5..]  with known and kept: pairs of variant and version
-- KEYS[3]  where the write's answer is kept, if it is; then the last two arguments are the answer, and for
--          how many milliseconds
-- Replies  released, and 1 where just what was told is recorded now, else 0; or lost.

local token, outcome = ARGV[3], ARGV[4]
local entry = load()

if entry.shared[token] then
  redis.call('HDEL', KEYS[1], 'p' .. token)
  if outcome ~= 'drop' then
    forget(entry) -- its write may have taken effect at any moment until now
  end
  return {now, 'released', 0}
end

if entry.owner ~= token then
  if outcome ~= 'drop' then
    forget(entry) -- a write that outlived its lease ended just now: whatever is recorded is in doubt
  end
  return {now, 'lost'}
end

-- HDEL first: it needs no memory, and lets the rest pass on a full server.
redis.call('HDEL', KEYS[1], 'o', 'u', 'd')
redis.call('HSET', KEYS[1], 't', decimal(math.max(now, entry.changed)))
local recorded = 0
if not entry.dirty and not entry.is_shared then
  recorded = 1
  if outcome == 'absent' then
    redis.call('HSET', KEYS[1], 'a', '1')
  elseif outcome == 'known' or outcome == 'kept' then
    local erased = entry.erased
    for n = 5, KEYS[3] and #ARGV - 2 or #ARGV, 2 do
      local version, left = marked(ARGV[n + 1], erased)
      version = outcome == 'kept' and ARGV[n + 1] or version
      redis.call('HSET', KEYS[1], 'v' .. ARGV[n], version)
      if version ~= ARGV[n + 1] then
        recorded = 0
      end
      erased = left
    end
    keep_erased(entry, erased)
  end
end
keep()
if KEYS[3] then -- last, and whatever comes of it: a full server must not keep the claim from ending
  redis.pcall('SET', KEYS[3], ARGV[#ARGV - 1], 'PX', ARGV[#ARGV])
end
return {now, 'released', recorded}
