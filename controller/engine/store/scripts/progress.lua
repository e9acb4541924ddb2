-- step, token, state, age, (name, JSON)... -> reply
if not alive then
  return GONE
end
tick()
local id, token, state, age = unpack(ARGV, 4, 7)
local s = step(id)
if s.token ~= token or s.status ~= 'claimed' then
  return reply('STALE')
end
local r = rm(s._guid)
if #ARGV > 7 then
  call('HSET', P .. 'attr:' .. s._guid, unpack(ARGV, 8))
end
if BEFORE_READY[r.state] and not r[state] then
  reach(r, state, max(now - age, tonumber(s.began)), s)
end
return reply('OK')
