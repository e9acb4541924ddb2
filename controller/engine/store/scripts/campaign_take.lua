-- nonce, worker, lease, most, broker, released runs... -> status, token, state, over, runs to release, begun again
-- The claim of the step, its renewal and its end: with nothing to do the worker lets go (REST).
local nonce, worker, lease, most, broker = unpack(ARGV)
most = tonumber(most)
if not state.phase then
  return GONE
end
if state.status == 'idle' or state.status == 'claimed' and state.nonce ~= nonce then
  return '["NONE"]'
end
-- What the worker did since it looked last is done: pages that show the campaign read it now.
call('XADD', C .. 'looks', 'MAXLEN', 1, '*', 'w', worker)
if #ARGV > 5 then
  call('SADD', C .. 'releasing', unpack(ARGV, 6))
end
if state.status ~= 'claimed' then
  assign('token', format('%.0f', max(number('token') + 1, now * 1e6)))
end

local over = {}
for _, run in ipairs(call('SRANDMEMBER', C .. 'over', most)) do
  if call('HEXISTS', C .. 'active', run) == 1 then
    over[#over + 1] = run
  else
    call('SREM', C .. 'over', run)
  end
end
local releases, again, fresh = {}, {}, 0
local active = call('HLEN', C .. 'active')
if state.phase == 'running' then
  local free = min(most, room(C, #over))
  if free > 0 then
    again = call('LRANGE', C .. 'again', 0, free - 1)
    fresh = max(0, min(free - #again, number('total') - number('cursor')))
  end
elseif state.phase == 'cancelling' then
  for _, run in ipairs(call('HKEYS', C .. 'active')) do
    if call('SISMEMBER', C .. 'over', run) + call('SISMEMBER', C .. 'releasing', run) == 0 then
      releases[#releases + 1] = run
    end
  end
  if #releases == 0 then
    enter('cancelled')
  end
end

if #over + #releases + #again + fresh > 0 then
  call('HSET', C .. 'state', 'status', 'claimed', 'nonce', nonce, 'worker', worker,
    'lease', stamp(now + lease))
  return cjson.encode({ 'OK', state.token }):sub(1, -2) .. ',' .. cjson.encode(state) .. ','
    .. list(over) .. ',' .. list(releases) .. ',' .. list(again) .. ',' .. fresh .. ']'
end
assign('status', 'idle')
if active == 0 then
  if state.phase == 'running' and left() == 0 and call('HLEN', C .. 'waiting') == 0 then
    enter('finished')
  end
  -- Without active runs only a verb, or a script that measures, gives it work.
  call('SREM', 'nepiq:campaigns:' .. broker, match(C, '{campaign:(.*)}'))
end
return '["REST"]'
