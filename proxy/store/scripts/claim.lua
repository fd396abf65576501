-- Takes a resource's claim, and with it the recorded versions out of the store (rules 1 and 2).
-- ARGV[3]  token; it begins with w where a collection is written with all that is in it, with i where
--          something in it is: these two exclude each other, though the second is shared
-- ARGV[4]  lease in microseconds
-- ARGV[5]  'exclusive' or 'shared'
-- Replies  granted, the fence, the lines of `m` and the versions handed over; busy and the rest of the other's
--          lease; grace and its rest.

local lease_end = now + tonumber(ARGV[4])
local entry

-- The fence is this claim's moment, and the entry's last change so far: later than all before it, even where the
-- server's clock stepped back.
local function fence()
  entry.changed = math.max(now, entry.changed + 1)
  return entry.changed
end

if ARGV[5] == 'shared' then
  -- It excludes nobody, so the grace has nothing to wait for: what was recorded is erased, and nothing is
  -- recorded or committed while it lasts. But on a deposed master, which others may still ask, it is not erased.
  if now < sole then
    return {now, 'grace', sole - now}
  end
  entry = load()
  if entry.owner and string.sub(entry.owner, 1, 1) == 'w' and string.sub(ARGV[3], 1, 1) == 'i' then
    return {now, 'busy', entry.lease_end - now}
  end
  local number = fence()
  redis.call('HSET', KEYS[1], 'p' .. ARGV[3], decimal(lease_end))
  forget(entry)
  return {now, 'granted', number, '', 'unknown'}
end

if now < grace_end then
  return {now, 'grace', grace_end - now}
end
entry = load()
if entry.owner then
  return {now, 'busy', entry.lease_end - now}
end
if string.sub(ARGV[3], 1, 1) == 'w' then
  for token in pairs(entry.shared) do
    if string.sub(token, 1, 1) == 'i' then
      return {now, 'busy', tonumber(ARGV[4])}
    end
  end
end
local number = fence()
redis.call('HSET', KEYS[1], 'i', ARGV[1], 't', decimal(number), 'o', ARGV[3], 'u', decimal(lease_end))
erase_versions(entry)
keep()
return describe({now, 'granted', number}, entry, entry.erased)
