-- token, quarantine, then time and host of each host in quarantine -> status
-- What the holder of the step has concluded about hosts from the rows that it has entered.
local token, quarantine = unpack(ARGV)
if not state.phase then
  return GONE
elseif state.token ~= token then
  return '["STALE"]'
end
call('SET', C .. 'quarantine', quarantine)
call('DEL', C .. 'out')
for at = 3, #ARGV, 4000 do
  call('ZADD', C .. 'out', unpack(ARGV, at, min(at + 3999, #ARGV)))
end
return '["OK"]'
