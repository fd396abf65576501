-- The key of minted tags, which all replicas share: the one that is there, or the caller's.
-- KEYS[1]  where it is kept, without expiry
-- ARGV[1]  the caller's
-- Replies  the time, and the one that counts.

local clock = redis.call('TIME')
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return {clock[1] * 1000000 + clock[2], redis.call('GET', KEYS[1])}
