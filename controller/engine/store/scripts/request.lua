-- id, guid, action, args -> reply, the step in its status
if not alive then
  return GONE
end
tick()
local id, guid, action, args = unpack(ARGV, 4)
local field = guid .. '|' .. id
local r, made = rm(guid), call('HGET', P .. 'request', field)
if not r.state then
  return reply('UNKNOWN:' .. guid)
end
if made then
  return reply('OK:' .. made)
end
if forbidden(action) then
  return reply('CLOSED:' .. meta.phase)
end
local state = r.state
local again = state == 'STOPPED' or state == 'FINISHED'
local legal = (action == 'set' and state ~= 'RELEASED') or (action == 'stop' and state == 'STARTED')
  or (action == 'start' and (again or state == 'READY'))
  or (PARTIAL[action] and BEFORE_READY[state])
if not legal then
  return reply('ILLEGAL:' .. state)
end

-- What waits for the milestones of the occasion that ends has seen them.
local function begin_occasion()
  for i = IMPLIED.READY + 1, IMPLIED.FINISHED do
    local milestone = MILESTONES[i]
    local key = 'wait:' .. guid .. ':' .. milestone
    local entries = call('LRANGE', P .. key, 0, -1)
    call('DEL', P .. key)
    call('LREM', P .. 'todo', 0, 'm|' .. guid .. '|' .. milestone)
    for _, entry in ipairs(entries) do
      open(entry, tonumber(r[milestone]), guid, milestone)
    end
  end
  r.STARTED, r.STOPPED, r.FINISHED, r.exit, r.restarts = nil
  r.occ, r.state = r.occ + 1, 'READY'
  save(r)
  event('READY', guid, now)
end

-- A start or stop under way, or asked for before, is the answer; one with gates makes way.
local function under_way()
  local others = steps_of(r)
  for _, other in ipairs(others) do
    local s = step(other)
    if s._action == action and (s.status == 'claimed' or s.status == 'due' and s._n ~= '') then
      return other
    end
  end
  for _, other in ipairs(others) do
    local s = step(other)
    if s._action == action and (s.status == 'waiting' or s.status == 'due') then
      void(s)
    end
  end
end

local name = action ~= 'set' and under_way()
if not name then
  if action == 'start' and again then
    begin_occasion()
  end
  local s = numbered_step(r, action)
  name = s._id
  if args ~= '' then
    s.args = args
  end
  make_due(s)
  if action == 'set' and r.covered == 2 then -- its release may do more with the new value
    r.covered = nil
    save(r)
  end
end
call('HSET', P .. 'request', field, name)
return reply('OK:' .. name)
