-- limit, campaign, token, broker, run, verdict, keep, outcome, cause, row, point, samples, enough, grace,
-- hosts to avoid -> status, more, whether to dispatch
-- The end of a run for its campaign: its row, or its slot once more; and its records go. With verdict
-- `wait` it keeps them, and waits for a script that measures it: that has a token of its own.
local limit, name, token, broker, run, verdict, keep, outcome, cause, row = unpack(ARGV)
local point, samples, enough, grace, avoid = unpack(ARGV, 11)
local C = campaign_prefix(name)
local active = call('HGET', C .. 'active', run)
local waiting = not active and call('HGET', C .. 'waiting', run)
local entry = active or waiting
if waiting and verdict == 'wait' then
  return '["KNOWN",0,0]'
elseif entry and call('HGET', C .. 'state', active and 'token' or 'reader') ~= token then
  return '["STALE",0,0]'
end
local slot, attempt = match(entry or '', '^(%d+)|(%d+)')
if waiting then
  call('HDEL', C .. 'waiting', run)
  call('LREM', C .. 'line', 1, run)
  call('XDEL', C .. 'history', match(waiting, '^%d+|%d+|([%d-]+)'))
end
-- A run that was cancelled with its campaign has no row: it is begun again if that is resumed.
local cancelled = call('SREM', C .. 'releasing', run) == 1 and outcome == 'cancelled'
if entry and (cancelled or verdict == 'again') then
  call('RPUSH', C .. 'again', slot .. '|' .. (cancelled and attempt or attempt + 1))
  call('HINCRBY', C .. 'state', 'again', cancelled and 0 or 1)
  if not cancelled and cause ~= '' then
    count_repeat(C, cause, run, avoid)
  end
  if not cancelled and avoid ~= '' then
    local known = call('HGET', C .. 'avoid', slot)
    call('HSET', C .. 'avoid', slot, known and known .. ' ' .. avoid or avoid)
    for host in string.gmatch(avoid, '%S+') do
      call('ZREM', C .. 'warm', host)
    end
  end
elseif active and verdict == 'wait' then
  local id = call('XADD', C .. 'history', '*', 'w', run)
  call('HSET', C .. 'waiting', run, table.concat({ slot, attempt, id, row }, '|'))
  call('RPUSH', C .. 'line', run)
elseif entry then
  enter_row(C, slot, run, outcome, cause, row)
  call('HDEL', C .. 'avoid', slot)
  if enough == '1' then
    call('SETBIT', C .. 'enough', point, 1)
    call('HDEL', C .. 'samples', point)
  elseif samples ~= '' then
    call('HSET', C .. 'samples', point, samples)
  end
end
call('HDEL', C .. 'active', run)
call('SREM', C .. 'over', run)
call('SREM', 'nepiq:active:' .. broker, run)

local dispatch = 0
if waiting then
  -- There is room for another run, or this was the last one.
  local time = call('TIME')
  call('SADD', 'nepiq:campaigns:' .. broker, name)
  dispatch = trigger(C, time[1] + time[2] / 1e6, tonumber(grace)) and 1 or 0
end
local function answer(more)
  return cjson.encode({ entry and 'OK' or 'KNOWN', more, dispatch })
end
local over = not meta.phase or meta.phase == 'RELEASED' or meta.phase == 'EXPIRED'
if not over or verdict == 'wait' then
  return answer(0)
elseif keep == '1' and not cancelled then
  call('ZADD', 'nepiq:ended', 'NX', call('TIME')[1], run)
  return answer(0)
elseif meta.phase and not expire(limit) then
  -- The sweeper goes on with it.
  meta.phase = 'EXPIRED'
  save(meta)
  write_records()
  call('ZADD', 'nepiq:ended', 0, run)
  return answer(1)
end
call('ZREM', 'nepiq:ended', run)
call('ZREM', 'nepiq:runs', run)
return answer(0)
