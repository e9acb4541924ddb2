-- token, origin, slot, attempt -> status
-- A slot that needs no run, since the metrics of its point are known well enough.
local token, origin, slot, attempt = unpack(ARGV)
if not state.phase then
  return GONE
elseif state.token ~= token then
  return '["STALE"]'
elseif not take_slot(C, origin, slot, attempt) then
  return '["STALE"]'
end
count('skipped', 1)
return '["OK"]'
