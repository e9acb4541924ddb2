-- run, campaign, token, broker, origin, slot, attempt, exp_id, timeout, goal, guids, then resources as
-- for upload -> reply
local run, name, token, broker, origin, slot, attempt = unpack(ARGV, 4, 10)
local exp_id, timeout, goal, ranges = unpack(ARGV, 11, 14)
local C, entry = campaign_prefix(name), slot .. '|' .. attempt

local present = call('HGET', C .. 'active', run)
if present == entry and alive then
  tick()
  return reply('OK')
elseif present or meta.phase then
  return '["CLASH"]'
end
local placed = origin == 'placed'
local state = call('HMGET', C .. 'state', 'token', 'phase', 'parallel')
if state[1] ~= token then
  return '["STALE"]'
elseif state[2] ~= 'running' then
  return '["CLOSED"]'
elseif placed and call('HLEN', C .. 'active') >= tonumber(state[3]) or not placed and room(C, 0) <= 0 then
  return '["FULL"]'
elseif placed and call('HEXISTS', C .. 'placing', run) == 0 then
  return '["STALE"]'
elseif not placed and not take_slot(C, origin, slot, attempt) then
  return '["STALE"]'
end
tick()
call('HSET', C .. 'active', run, entry)
if placed then
  call('HDEL', C .. 'placing', run)
  call('HDEL', C .. 'granted', run)
end
call('HINCRBY', C .. 'state', 'begun', 1)
call('SADD', 'nepiq:active:' .. broker, run)
call('ZADD', 'nepiq:runs', stamp(now), run)
create_run(name, exp_id, '')
meta.campaign, meta.goal = name, tonumber(goal)
if timeout ~= '' then
  meta.timeout, meta.ends_by = timeout, stamp(now + timeout)
end
local guids, items = resources_at(15)
write_resources(guids, items, true)
order_deployment('begin', 'new', guids_of(ranges))
return reply('OK')
