-- Records what a GET showed, unless a write began, ran or ended since its stamp (rule 3).
-- ARGV[3]  stamp, microseconds of this server's clock
-- ARGV[4]  oldest stamp accepted, in microseconds before now; entries live longer, so that a last change is
--          never forgotten while it matters
-- ARGV[5]  known or absent
-- ARGV[6]  variant
-- ARGV[7]  version
-- ARGV[8]  most variants kept
-- Replies  recorded, same, changed or refused.

local stamp = tonumber(ARGV[3])
if stamp <= grace_end or stamp > now or now - stamp > tonumber(ARGV[4]) then
  return {now, 'refused'}
end
local entry = load()
if entry.owner or entry.is_shared or entry.changed >= stamp then
  return {now, 'refused'}
end

local function put(field, value)
  redis.call('HSET', KEYS[1], 'i', ARGV[1], 't', decimal(entry.changed), field, value)
  keep()
end

local function put_version(field, value)
  local version, left = marked(value, entry.erased)
  put(field, version)
  keep_erased(entry, left)
end

if ARGV[5] == 'absent' then
  if entry.absent then
    keep()
    return {now, 'same'}
  end
  put('a', '1')
  if #entry.order == 0 then
    return {now, 'recorded'}
  end
  remember_dates(entry)
  redis.call('HDEL', KEYS[1], unpack(entry.order))
  return {now, 'changed'}
end

-- A date that is sent now and then tells nothing where it is not sent: HEAD often goes without.
local function same(one, other)
  local date, flags, tags = parts(one)
  local date2, flags2, tags2 = parts(other)
  return (date == date2 or date == '' or date2 == '') and flags == flags2 and tags == tags2
end

local function sharing_second(old, new)
  local date, flags, tags = parts(new)
  if date ~= '' and date == parts(old) then
    return date .. ';' .. flags .. 's;' .. tags
  end
  return new
end

local field, version = 'v' .. ARGV[6], ARGV[7]
local old = entry.versions[field]
if entry.absent then
  put_version(field, version)
  redis.call('HDEL', KEYS[1], 'a')
  return {now, 'changed'}
end
if old and same(old, version) then
  if parts(old) == '' and parts(version) ~= '' then
    put_version(field, version)
  end
  keep()
  return {now, 'same'}
end
if old then -- one variant changed, so the resource did: the others are of an older state
  put_version(field, sharing_second(old, version))
  for _, other in ipairs(entry.order) do
    if other ~= field then
      redis.call('HDEL', KEYS[1], other)
    end
  end
  return {now, 'changed'}
end
put_version(field, version)
if #entry.order >= tonumber(ARGV[8]) then
  redis.call('HDEL', KEYS[1], entry.order[1])
end
return {now, 'recorded'}
