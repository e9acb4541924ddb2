-- nonce, phase, wait, reason, held -> status, whether to dispatch
-- The end of a claim with work that was not done. With a reason, the campaign pauses. The sweeper sends
-- the step again after `wait` seconds; if a verb has changed the phase meanwhile, it is sent at once.
local nonce, phase, wait, reason, held = unpack(ARGV)
if state.status ~= 'claimed' or state.nonce ~= nonce then
  return '["LOST",0]'
end
local changed = state.phase ~= phase
if reason ~= '' and state.phase == 'running' then
  enter('paused', reason)
end
if held == '1' then
  assign('held', held)
end
assign('status', 'idle')
assign('retry', stamp(now + wait))
return cjson.encode({ 'OK', changed and trigger(C, now, 0) and 1 or 0 })
