-- What scripts of runs do to the records of their campaign, by the prefix of its keys.

local function campaign_prefix(name)
  return 'nepiq:{campaign:' .. name .. '}:'
end

-- Make the step due. Return whether it has to be dispatched: not while a worker holds it, who looks
-- again before it lets go, and not if it has just been.
local function trigger(C, now, grace)
  local state = redis.call('HMGET', C .. 'state', 'status', 'lease', 'sent')
  if state[1] == 'claimed' and tonumber(state[2]) > now then
    return false
  elseif state[1] == 'due' and tonumber(state[3]) + grace > now then
    return false
  end
  redis.call('HSET', C .. 'state', 'status', 'due', 'sent', string.format('%.6f', now))
  return true
end

-- How many runs may begin beside the active ones, of which `over` have ended, and those that hosts are
-- requested for. Where a script measures, no more than `ahead` runs beyond `parallel` wait for it.
local function room(C, over)
  local state = redis.call('HMGET', C .. 'state', 'parallel', 'ahead')
  local free = state[1] - redis.call('HLEN', C .. 'active') - redis.call('HLEN', C .. 'placing')
  if not state[2] then
    return free + over
  end
  return math.min(free + over, free + state[2] - redis.call('HLEN', C .. 'waiting'))
end

-- Take a slot out of the list of those to be begun again, or move the cursor beyond it. Return
-- whether it was there.
local function take_slot(C, origin, slot, attempt)
  if origin == 'again' then
    return redis.call('LREM', C .. 'again', 1, slot .. '|' .. attempt) == 1
  elseif redis.call('HGET', C .. 'state', 'cursor') ~= slot then
    return false
  end
  redis.call('HINCRBY', C .. 'state', 'cursor', 1)
  return true
end

local function change_phase(C, phase, why)
  redis.call('HSET', C .. 'state', 'phase', phase, 'why', why)
  redis.call('XADD', C .. 'history', '*', 'e', phase, 'i', why)
end

-- Count a run that is begun again by its cause, and list the hosts to blame. Causes are few, and so are
-- these hosts; if they are not, the first ones are kept.
local MOST_CAUSES, MOST_BLAMED = 100, 20

local function count_repeat(C, cause, run, blamed)
  local known = redis.call('HGET', C .. 'repeated', cause)
  if not known and redis.call('HLEN', C .. 'repeated') >= MOST_CAUSES then
    return
  end
  local n, listed = string.match(known or '0||', '^(%d+)|[^|]*|(.*)$')
  local hosts, seen = {}, {}
  for host in string.gmatch(listed .. ' ' .. blamed, '%S+') do
    if not seen[host] and #hosts < MOST_BLAMED then
      seen[host] = true
      hosts[#hosts + 1] = host
    end
  end
  local entry = { n + 1, run, table.concat(hosts, ' ') }
  redis.call('HSET', C .. 'repeated', cause, table.concat(entry, '|'))
end

-- Enter the row of a slot. Too many failures pause the campaign.
local function enter_row(C, slot, run, outcome, cause, row)
  local id = redis.call('XADD', C .. 'history', '*', 'r', row)
  local n = redis.call('HINCRBY', C .. 'state', outcome, 1)
  if outcome == 'finished' then
    return
  end
  redis.call('HSET', C .. 'failed', slot, table.concat({ id, run, outcome, cause }, '|'))
  local state = redis.call('HMGET', C .. 'state', 'phase', 'max_failures')
  local most = tonumber(state[2])
  if outcome == 'failed' and state[1] == 'running' and most and n >= most then
    change_phase(C, 'paused', n .. ' runs failed')
  end
end
