-- limit, campaign, token, broker, run, verdict, keep, outcome, cause, row, point, samples, enough
-- -> status, more
-- The end of a run for its campaign: its row, or its slot once more; and its records go.
local limit, name, token, broker, run, verdict, keep, outcome, cause, row = unpack(ARGV)
local point, samples, enough = unpack(ARGV, 11)
local C = campaign_prefix(name)
local entry = call('HGET', C .. 'active', run)
if entry and call('HGET', C .. 'state', 'token') ~= token then
  return '["STALE",0]'
end
local slot, attempt = match(entry or '', '^(%d+)|(%d+)$')
-- A run that was cancelled with its campaign has no row: it is begun again if that is resumed.
local cancelled = call('SREM', C .. 'releasing', run) == 1 and outcome == 'cancelled'
if entry and (cancelled or verdict == 'again') then
  call('RPUSH', C .. 'again', slot .. '|' .. (cancelled and attempt or attempt + 1))
  call('HINCRBY', C .. 'state', 'again', cancelled and 0 or 1)
elseif entry then
  enter_row(C, slot, run, outcome, cause, row)
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

local status = entry and 'OK' or 'KNOWN'
local over = not meta.phase or meta.phase == 'RELEASED' or meta.phase == 'EXPIRED'
if not over then
  return cjson.encode({ status, 0 })
elseif keep == '1' and not cancelled then
  call('ZADD', 'nepiq:ended', 'NX', call('TIME')[1], run)
  return cjson.encode({ status, 0 })
elseif meta.phase and not expire(limit) then
  -- The sweeper goes on with it.
  meta.phase = 'EXPIRED'
  save(meta)
  write_records()
  call('ZADD', 'nepiq:ended', 0, run)
  return cjson.encode({ status, 1 })
end
call('ZREM', 'nepiq:ended', run)
call('ZREM', 'nepiq:runs', run)
return cjson.encode({ status, 0 })
