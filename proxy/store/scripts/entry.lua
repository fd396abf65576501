-- The beginning of every script but `incarnate`: what one resource's entry is, and how it is read.
--
-- KEYS[1]  the resource's entry, a hash:
--   i  incarnation it belongs to (rule 6)        t  last change, microseconds of this server's clock (rule 3)
--   o  token of the exclusive claim, if any      u  when that claim's lease ends
--   d  the claimed resource changed meanwhile    a  there is no current representation
--   p<token>    a shared claim: when its lease ends
--   v<variant>  a current representation's version, as `proxy.rules.versions.encode` writes it
--   m  dated versions that were erased and that no version has taken the place of yet, a line each
-- KEYS[2]  the store's incarnation, in the same slot, a hash; see `incarnate`
-- ARGV[1]  the incarnation that the caller believes in
-- ARGV[2]  for how many milliseconds an entry is kept after its last touch
--
-- Every reply begins with this server's time, from which stamps are made.

local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local life = redis.call('HMGET', KEYS[2], 'id', 'grace', 'sole')
if life[1] ~= ARGV[1] then
  return {now, 'incarnation'}
end
local grace_end, sole = tonumber(life[2]), tonumber(life[3] or 0)

-- Lua prints large numbers in exponents; the store keeps them as decimals.
local function decimal(number)
  return string.format('%.0f', number)
end

local function keep()
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end

-- A claim whose lease ran out may have written until its last moment (rule 5): that is the last change.
local function read_claims(entry, fields)
  if fields.o and tonumber(fields.u) > now then
    entry.owner, entry.lease_end, entry.dirty = fields.o, tonumber(fields.u), fields.d
  elseif fields.o then
    entry.changed = math.max(entry.changed, tonumber(fields.u))
    redis.call('HDEL', KEYS[1], 'o', 'u', 'd')
  end
  for field, value in pairs(fields) do
    if string.sub(field, 1, 1) == 'p' and tonumber(value) > now then
      entry.shared[string.sub(field, 2)] = true
      entry.is_shared = true
    elseif string.sub(field, 1, 1) == 'p' then
      entry.changed = math.max(entry.changed, tonumber(value))
      redis.call('HDEL', KEYS[1], field)
      if entry.owner then -- it wrote while this claim lasted
        entry.dirty = '1'
        redis.call('HSET', KEYS[1], 'd', '1')
      end
    end
  end
  if entry.changed > tonumber(fields.t) then
    redis.call('HSET', KEYS[1], 't', decimal(entry.changed))
  end
end

local function load()
  local entry = {changed = 0, shared = {}, is_shared = false, absent = false, versions = {}, order = {}}
  entry.erased = ''
  local raw = redis.call('HGETALL', KEYS[1])
  local fields = {}
  for n = 1, #raw, 2 do
    fields[raw[n]] = raw[n + 1]
    if string.sub(raw[n], 1, 1) == 'v' then
      entry.order[#entry.order + 1] = raw[n]
    end
  end
  if #raw == 0 then
    return entry
  end
  if fields.i ~= ARGV[1] then -- Another incarnation's entry means nothing to this one (rule 6).
    redis.call('DEL', KEYS[1])
    entry.order = {}
    return entry
  end
  entry.changed = tonumber(fields.t)
  entry.absent = fields.a ~= nil
  entry.erased = fields.m or ''
  for _, field in ipairs(entry.order) do
    entry.versions[field] = fields[field]
  end
  read_claims(entry, fields)
  return entry
end

-- A version is `date;flags;tags`. The flag `s` says that another version had the same date; it is the
-- store's own finding and no part of what was seen (RFC 9110 section 8.8.2.2).
local function parts(version)
  local date, flags, tags = string.match(version, '^([^;]*);([^;]*);(.*)$')
  local seen, marks = string.gsub(flags, 's', '')
  return date, seen, tags, marks > 0
end

local function keep_erased(entry, erased)
  if erased ~= '' and erased ~= entry.erased then
    redis.call('HSET', KEYS[1], 'm', erased)
  elseif erased == '' and entry.erased ~= '' then
    redis.call('HDEL', KEYS[1], 'm')
  end
end

-- The version that comes next may have the date of one of these: only they tell.
local function remember_dates(entry)
  local lines = {}
  for _, field in ipairs(entry.order) do
    if string.sub(entry.versions[field], 1, 1) ~= ';' then
      lines[#lines + 1] = entry.versions[field]
    end
  end
  if #lines > 0 then
    keep_erased(entry, table.concat(lines, '\n'))
  end
end

local function erase_versions(entry)
  remember_dates(entry)
  if entry.absent then
    redis.call('HDEL', KEYS[1], 'a')
  end
  if #entry.order > 0 then
    redis.call('HDEL', KEYS[1], unpack(entry.order))
  end
end

-- A version as it is put in after others were erased, and the erased lines that still matter then. Its date
-- is weak where an erased one had it too, unless their tags say that it is the same. The same is in
-- `proxy.rules.aftermath.marked`.
local function marked(version, erased)
  local date, flags, tags, weak = parts(version)
  if date == '' or erased == '' then
    return version, erased
  end
  local others, twin, shares = {}, false, weak
  for line in string.gmatch(erased, '[^\n]+') do
    local date2, flags2, tags2, weak2 = parts(line)
    if date2 == date and flags2 == flags and tags2 == tags and string.sub(tags, 1, 1) ~= '-' then
      twin, weak = true, weak or weak2
    else
      others[#others + 1] = line
      shares = shares or date2 == date
    end
  end
  local left = ''
  if twin then -- nothing changed, so the others are of the same state
    shares, left = weak, table.concat(others, '\n')
  end
  return date .. ';' .. flags .. (shares and 's' or '') .. ';' .. tags, left
end

-- A write elsewhere changed this resource: unknown from now on, and whoever holds the claim must not
-- commit what it read before (rule 2).
local function forget(entry)
  redis.call('HSET', KEYS[1], 'i', ARGV[1], 't', decimal(math.max(now, entry.changed)))
  if entry.owner then
    redis.call('HSET', KEYS[1], 'd', '1')
  end
  erase_versions(entry)
  keep()
end

-- What was erased before, where it is wanted; then 'unknown', 'absent', or 'known' and pairs of variant and
-- version.
local function describe(reply, entry, erased)
  if erased then
    reply[#reply + 1] = erased
  end
  if entry.absent then
    reply[#reply + 1] = 'absent'
  elseif #entry.order == 0 then
    reply[#reply + 1] = 'unknown'
  else
    reply[#reply + 1] = 'known'
    for _, field in ipairs(entry.order) do
      reply[#reply + 1] = string.sub(field, 2)
      reply[#reply + 1] = entry.versions[field]
    end
  end
  return reply
end

