-- token, origin, slot, attempt, cause, row -> status
-- A slot for which no run can be described: its row says so.
local token, origin, slot, attempt, cause, row = unpack(ARGV)
if not state.phase then
  return GONE
elseif state.token ~= token then
  return '["STALE"]'
elseif state.phase ~= 'running' then
  return '["CLOSED"]'
elseif not take_slot(C, origin, slot, attempt) then
  return '["STALE"]'
end
enter_row(C, slot, '', 'failed', cause, row)
call('HDEL', C .. 'avoid', slot)
return '["OK"]'
