-- nonce, worker, lease, most, broker, released runs... -> status, token, state, over, runs to release,
-- slots to begin again, number of next slots, runs that have hosts, runs that shall get none
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
if state.retry then
  call('HDEL', C .. 'state', 'retry')
end

local over = {}
for _, run in ipairs(call('SRANDMEMBER', C .. 'over', most)) do
  if call('HEXISTS', C .. 'active', run) == 1 then
    over[#over + 1] = run
  else
    call('SREM', C .. 'over', run)
  end
end
local releases, again, fresh, granted, withdrawn = {}, {}, 0, {}, {}
local active = call('HLEN', C .. 'active')
local placing = call('HKEYS', C .. 'placing')
local excess = state.phase == 'running' and -room(C, #over) or #placing
if excess > 0 then
  -- Those that were placed last; ids of runs are in the order of time.
  table.sort(placing, function(a, b) return a > b end)
  withdrawn = { unpack(placing, 1, min(excess, #placing)) }
end
if state.phase == 'running' then
  local free = min(most, room(C, #over), places())
  if free > 0 then
    again = call('LRANGE', C .. 'again', 0, free - 1)
    fresh = max(0, min(free - #again, number('total') - number('cursor')))
  end
  local found = #withdrawn == 0 and call('HGETALL', C .. 'granted') or {}
  for i = 1, #found, 2 do
    granted[#granted + 1] = { found[i], call('HGET', C .. 'placing', found[i]), found[i + 1] }
  end
elseif state.phase == 'cancelling' then
  for _, run in ipairs(call('HKEYS', C .. 'active')) do
    if call('SISMEMBER', C .. 'over', run) + call('SISMEMBER', C .. 'releasing', run) == 0 then
      releases[#releases + 1] = run
    end
  end
  if #releases + #withdrawn == 0 then
    enter('cancelled')
  end
end

if #over + #releases + #again + fresh + #granted + #withdrawn > 0 then
  call('HSET', C .. 'state', 'status', 'claimed', 'nonce', nonce, 'worker', worker,
    'lease', stamp(now + lease))
  return cjson.encode({ 'OK', state.token }):sub(1, -2) .. ',' .. cjson.encode(state) .. ','
    .. table.concat({ list(over), list(releases), list(again), fresh, list(granted),
      list(withdrawn) }, ',') .. ']'
end
assign('status', 'idle')
if active + #placing == 0 then
  if state.phase == 'running' and left() == 0 and call('HLEN', C .. 'waiting') == 0 then
    enter('finished')
  end
  -- Without them only a verb, or a script that measures, gives it work.
  call('SREM', 'nepiq:campaigns:' .. broker, match(C, '{campaign:(.*)}'))
end
return '["REST"]'
