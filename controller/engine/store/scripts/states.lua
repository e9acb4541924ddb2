-- Transitions, failures and gates.

local MILESTONES = {
  'DISCOVERED', 'RESERVED', 'PROVISIONED', 'READY', 'STARTED',
  'STOPPED', 'FINISHED', 'FAILED', 'RELEASED',
}

-- How many of the milestones a state implies. A critical FAILED implies itself alone.
local IMPLIED = {
  NEW = 0, DISCOVERED = 1, RESERVED = 2, PROVISIONED = 3, READY = 4, STARTED = 5,
  STOPPED = 7, FINISHED = 7, FAILED = 8, RELEASED = 9,
}

local function leave_group(id)
  local group = record('group', id)
  group.left = group.left - 1
  save(group)
  if group.left == 0 and not group.open then
    group.open = stamp(now)
    if call('EXISTS', P .. 'wait:@' .. id) == 1 then
      call('RPUSH', P .. 'todo', 'o|' .. id)
    end
  end
end

-- The steps of a resource manager that may be live, but for its release.
local function steps_of(r)
  local guid = r._id
  local ids = { guid .. '.deploy', guid .. '.start', guid .. '.stop' }
  for id in gmatch(r.extra or '', '%S+') do
    ids[#ids + 1] = id
  end
  load('step', ids)
  return ids
end

-- Steps of one that has ended will not run; those claimed go on, unless it is RELEASED.
local function void_steps(r)
  local released, ids = r.state == 'RELEASED', steps_of(r)
  if released then
    ids[#ids + 1] = r._id .. '.release'
  end
  for _, id in ipairs(ids) do
    local s = step(id)
    local status = s.status
    if status == 'waiting' or status == 'due' or (released and status == 'claimed') then
      void(s)
    end
  end
end

local function end_run_if_released()
  if meta.phase == 'RELEASING' and meta.live == 0 then
    meta.phase = 'RELEASED'
    event('RELEASED', '0', now)
  end
end

-- A resource manager enters a state, and with it the milestones that the state implies, not before
-- its latest milestone, which is that of its present state.
local function reach(r, state, time, by, info, critical)
  local latest = r[r.state]
  if latest and time < now then
    time = max(time, tonumber(latest))
  end
  r.state = state
  if state == 'RELEASED' and info and info ~= '' and not r.error then
    r.error = info
  end
  save(r)
  local text = stamp(time)
  for i = critical and IMPLIED.FAILED or 1, IMPLIED[state] do
    local name = MILESTONES[i]
    if not r[name] then
      r[name] = text
      if r.waited and call('EXISTS', P .. 'wait:' .. r._id .. ':' .. name) == 1 then
        call('RPUSH', P .. 'todo', 'm|' .. r._id .. '|' .. name)
      end
    end
  end
  event(state, r._id, time, by, info)
  local ended = ENDED[state]
  if r.held and (ended or state == 'READY') then
    local group = r.held
    r.held = nil
    leave_group(group)
  end
  if ended then
    void_steps(r)
    if r.goal then
      r.goal, meta.goal = nil, meta.goal - 1
      if meta.goal == 0 then
        call('RPUSH', P .. 'todo', 'e|')
      end
    end
  end
  if r.is_host and state == 'READY' then
    call('ZADD', P .. 'watch', 'NX', 0, r._id)
  elseif state == 'RELEASED' then
    if r.is_host then
      call('ZREM', P .. 'watch', r._id)
    end
    meta.live = meta.live - 1
    end_run_if_released()
  end
end

-- Whether a step waits for a milestone that one that fails will not reach.
local function something_waits(r)
  if not r.waited then
    return false
  end
  local keys = {}
  for i = 1, IMPLIED.FINISHED do
    keys[i] = P .. 'wait:' .. r._id .. ':' .. MILESTONES[i]
  end
  return call('EXISTS', unpack(keys)) > 0
end

-- Tell whoever waits for one that failed critically, and so did not reach FINISHED.
local function pass_on_failure(r)
  if r.state == 'FAILED' and not r.FINISHED and something_waits(r) then
    call('RPUSH', P .. 'todo', 'f|' .. r._id)
  end
end

-- RUNNING ends with a failure, whose cause is JSON.
local function fail_run(cause)
  meta.phase, meta.cause = 'FAILED', cause
  event('FAILED', '0', now, nil, cause)
  if meta.campaign then
    call('RPUSH', P .. 'todo', 'e|')
  end
end

-- A resource manager fails, unless it has ended; a critical one ends RUNNING.
local function fail(r, error, critical, time, by)
  if ENDED[r.state] then
    return
  end
  if error ~= '' then
    r.error = error
  end
  reach(r, 'FAILED', time, by, error, critical)
  if not critical then
    return
  end
  pass_on_failure(r)
  if meta.phase == 'RUNNING' then
    fail_run(format('{"guid":%s,"label":%s,"error":%s}',
      r._id, cjson.encode(r.label), error ~= '' and error or 'null'))
  end
end

local function message(text)
  return '{"message":' .. cjson.encode(text) .. '}'
end

local function unmet(target, milestone)
  local t = rm(target)
  local how = t.state == 'FAILED' and 'failed' or 'was released'
  return message('needs ' .. t.label .. ' ' .. milestone .. ', which ' .. how)
end

local function has_gone(target)
  return target.state == 'FAILED' or target.state == 'RELEASED'
end

-- What a step needs has gone. What a dispensable one takes along is dispensable too; one that
-- failed critically is known by not having FINISHED.
local function fail_for_need(s, target, milestone)
  local t, r = rm(target), rm(s._guid)
  local critical = t.state == 'FAILED' and not t.FINISHED
  if not critical and not ENDED[r.state] then
    r.critical = 0
  end
  fail(r, unmet(target, milestone), critical, now, s)
end

local function gate(s, target, milestone, offset, kind)
  local t = rm(target)
  if kind == 'n' and has_gone(t) then
    fail_for_need(s, target, milestone)
  elseif t[milestone] then
    not_before(s, t[milestone] + offset)
  else
    s.left = s.left + 1
    if not t.waited then -- Also of one that has not been uploaded yet.
      t.waited = 1
      save(t)
    end
    call('RPUSH', P .. 'wait:' .. target .. ':' .. milestone,
      s._id .. '|' .. offset .. '|' .. kind)
  end
  save(s)
end

-- What an entry of a wait list waited for has happened.
local function open(entry, time, target, milestone)
  local id, offset, kind = match(entry, '^(.-)|(.-)|(.)$')
  local s = step(id)
  if s.status ~= 'waiting' then
    return
  end
  if kind == 'n' and has_gone(rm(target)) then
    return fail_for_need(s, target, milestone)
  end
  s.left = s.left - 1
  not_before(s, time + offset)
  save(s)
  if s.left == 0 then
    make_due(s)
  end
end

-- The process of a resource manager has ended; if that is being released, the release did it.
local function end_process(r, outcome, time, info)
  if outcome == 'FAILED' and is_live(step(r._id .. '.release')) then
    outcome = 'STOPPED'
  end
  if outcome == 'FAILED' then
    fail(r, info, r.critical == 1, time)
  else
    reach(r, outcome, time, nil, info)
  end
end
