-- step -> reply
if not alive then
  return GONE
end
tick()
local s = step(ARGV[4])
if s.status == 'claimed' and not s.woken then
  s.woken = 1
  save(s)
elseif s.status == 'due' and tonumber(s.due) > now then
  s.due = stamp(now)
  make_due(s)
end
return reply('OK')
