-- grace, broker -> status, whether to dispatch
local grace, broker = tonumber(ARGV[1]), ARGV[2]
if not state.phase then
  call('SREM', 'nepiq:campaigns:' .. broker, match(C, '{campaign:(.*)}'))
  return GONE
end
-- Runs that are not there any more, since somebody deleted their records.
for _, run in ipairs(call('HKEYS', C .. 'active')) do
  if call('EXISTS', 'nepiq:{' .. run .. '}:meta') == 0 then
    call('SADD', C .. 'over', run)
  end
end
local running = state.phase == 'running'
local free = running and left() > 0 and room(C, 0) > 0 and places() > 0
local placed = call('HLEN', C .. 'granted') > 0 or (not running and call('HLEN', C .. 'placing') > 0)
local work = free or placed or state.phase == 'cancelling' or call('SCARD', C .. 'over') > 0
if state.status == 'idle' and (not work or number('retry') > now) then
  return '["OK",0]'
end
return cjson.encode({ 'OK', trigger(C, now, grace) and 1 or 0 })
