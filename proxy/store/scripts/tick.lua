-- Only this server's time, where the incarnation is still the caller's.

return {now, 'ticked'}
