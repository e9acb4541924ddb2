-- step, token, delay, kind, note, attributes... -> reply
if not alive then
  return GONE
end
tick()
local id, token, delay, kind, note = unpack(ARGV, 4)
local s = step(id)
if s.token ~= token then
  return reply('STALE')
end
if s.status ~= 'claimed' then
  return reply('OK')
end
if #ARGV > 8 then
  call('HSET', P .. 'attr:' .. s._guid, unpack(ARGV, 9))
end
if s.cancel then
  void(s)
  return reply('OK')
end
if kind == 'retry' then
  s.retried = (s.retried or 0) + 1
end
local host = kind == 'silent' and busy_host(s, rm(s._guid))
if host and not rm(host).silent then
  rm(host).silent = stamp(now)
  save(rm(host))
end
event('again', s._guid, now, s, note)
give_back(s, now + (s.woken and 0 or delay), host)
return reply('OK')
