-- The answer that was kept when a claim of this resource was released.
-- KEYS[3]  where
-- Replies  recalled and the answer; pending, where there is none and the claim is held; or none.

local answer = redis.call('GET', KEYS[3])
if answer then
  return {now, 'recalled', answer}
end
return {now, load().owner and 'pending' or 'none'}
