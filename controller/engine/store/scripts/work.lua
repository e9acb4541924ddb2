-- What is done in parts: arming, releasing, opening, passing failures on. And the reply.

-- Make a step with its gates. One whose need has gone ends the resource manager instead.
local function arm_step(r, action, conditions, barrier)
  if ENDED[r.state] then
    return
  end
  local s = new_step(r._id .. '.' .. action)
  for _, condition in ipairs(conditions) do
    local governed, target, milestone, offset, kind =
      match(condition, '^(.-)|(.-)|(.-)|(.-)|(.)$')
    if governed == action and s.status == 'waiting' then
      gate(s, target, milestone, offset, kind)
    end
  end
  if s.status ~= 'waiting' then
    return
  end
  if barrier then
    s.left = s.left + 1
    barrier[#barrier + 1] = s._id .. '|0|c'
  elseif action == 'start' then
    gate(s, r._id, 'READY', 0, 'c')
  elseif action == 'stop' then
    gate(s, r._id, 'STARTED', 0, 'c')
  end
  if s.left == 0 then
    make_due(s)
  end
end

local function conditions_of(r)
  local conditions = call('SMEMBERS', P .. 'cond:' .. r._id)
  if #conditions > 1 then
    table.sort(conditions)
  end
  return conditions
end

-- Make the steps of a resource manager that is deployed into a group, or into none. `barrier`
-- collects what waits for the group.
local function arm(guid, group, barrier)
  local r = rm(guid)
  if not r.state or ENDED[r.state] or step(guid .. '.deploy').status then
    return
  end
  local closed = group and not group.open
  if group then
    r.group = group._id
    save(r)
  end
  if closed then
    r.held = group._id
    group.left = group.left + 1
    save(group)
  end
  local conditions = conditions_of(r)
  arm_step(r, 'deploy', conditions)
  arm_step(r, 'start', conditions, closed and barrier)
  for _, condition in ipairs(conditions) do
    if string.sub(condition, 1, 5) == 'stop|' then
      return arm_step(r, 'stop', conditions)
    end
  end
end

-- What lives on a resource manager, by ascending guid.
local function users_of(guid)
  return call('SORT', P .. 'users:' .. guid)
end

-- Whether the release of its host does all that its own would, so that nothing is left to do.
local function is_covered(r)
  return r.host and meta.phase == 'RELEASING'
    and (r.covered == 1 or (r.covered == 2 and ENDED[r.state] and not r.running))
end

local function release(guid)
  local r = rm(guid)
  if not r.state or r.state == 'RELEASED' then
    return
  end
  for _, id in ipairs(steps_of(r)) do
    local s = step(id)
    if s.status == 'claimed' then
      s.cancel = 1
      save(s)
    elseif s.status == 'waiting' or s.status == 'due' then
      void(s)
    end
  end
  -- A Redis that was restarted may have forgotten a claim.
  local untouched = r.state == 'NEW' and not r.token and not meta.restarted
  if untouched or (r.host and rm(r.host).gone) then
    return reach(r, 'RELEASED', now)
  end
  if step(guid .. '.release').status then
    return
  end
  local users, living = users_of(guid), {}
  load('rm', users)
  for _, user in ipairs(users) do
    local state = rm(user).state
    if state and state ~= 'RELEASED' then
      living[#living + 1] = user
    end
  end
  local covered = is_covered(r)
  if covered and #living == 0 and not r.running then
    return reach(r, 'RELEASED', now)
  end
  local s = new_step(guid .. '.release')
  if covered then
    s.covered = 1
    save(s)
  end
  for _, user in ipairs(living) do
    gate(s, user, 'RELEASED', 0, 'c')
  end
  if s.left == 0 then
    make_due(s)
  end
end

-- Resource managers and what lives on them, directly or not: breadth first, each once.
local function with_users(guids)
  local found, all = {}, {}
  local function add(guid)
    if not found[guid] then
      found[guid] = true
      all[#all + 1] = guid
    end
  end
  for _, guid in ipairs(guids) do
    add(guid)
  end
  local at = 1
  while at <= #all do
    for _, user in ipairs(users_of(all[at])) do
      add(user)
    end
    at = at + 1
  end
  return all
end

local function order_release(id, all, guids)
  local order = record('order', id)
  if order.kind then
    return
  end
  order.kind, order.at = 'release', 0
  save(order)
  if meta.server ~= server() then
    meta.restarted = 1
  end
  if all then
    order.all, order.n = 1, call('LLEN', P .. 'rms')
    if meta.phase == 'RUNNING' or meta.phase == 'FAILED' then
      meta.phase = 'RELEASING'
      event('RELEASING', '0', now)
    end
  else
    local list = with_users(guids)
    order.n = #list
    call_with('RPUSH', P .. 'list:' .. id, list)
  end
  call('RPUSH', P .. 'todo', 'r|' .. id)
end

-- Enter a deployment into a group, `new` for a new one, or into none; return the group.
local function order_deployment(id, group, guids)
  if group == 'new' then
    group = format('%d', meta.groups + 1)
  end
  if group ~= '' then
    meta.groups = max(meta.groups, tonumber(group))
    local barrier = record('group', group)
    barrier.left = (barrier.left or 0) + 1
    save(barrier)
  end
  local order = record('order', id)
  order.kind, order.group, order.at, order.n = 'deployment', group, 0, #guids
  save(order)
  call_with('RPUSH', P .. 'list:' .. id, guids)
  call('RPUSH', P .. 'todo', 'd|' .. id)
  return group
end

local budget = LIMIT

-- Take the next entries of a wait list, as many as the budget allows.
local function take(key)
  local entries = budget > 0 and call('LPOP', P .. key, budget) or {}
  budget = budget - #entries
  return entries
end

-- Open the entries of a wait list. What they name is read in bulk.
local function open_all(entries, time, target, milestone)
  local ids, guids = {}, {}
  for i, entry in ipairs(entries) do
    ids[i], guids[i] = match(entry, '^((%d+)[^|]*)')
  end
  load('step', ids)
  load('rm', guids)
  for _, entry in ipairs(entries) do
    open(entry, time, target, milestone)
  end
end

local function emptied(key)
  return budget > 0 or call('EXISTS', P .. key) == 0
end

-- The kinds of entries on `todo`. Each returns whether it is finished.
local work = {}

function work.m(guid, milestone)
  local key, time = 'wait:' .. guid .. ':' .. milestone, tonumber(rm(guid)[milestone])
  open_all(take(key), time, guid, milestone)
  return emptied(key)
end

function work.o(group)
  local key, time = 'wait:@' .. group, tonumber(record('group', group).open)
  open_all(take(key), time)
  return emptied(key)
end

-- Nothing can reach the other milestones of a critical one that FAILED.
function work.f(guid)
  for i = 1, IMPLIED.FINISHED do
    local milestone = MILESTONES[i]
    local key = 'wait:' .. guid .. ':' .. milestone
    for _, entry in ipairs(take(key)) do
      local s = step(match(entry, '^(.-)|'))
      if s.status == 'waiting' and s._action == 'stop' then
        void(s, unmet(guid, milestone))
      elseif s.status == 'waiting' then
        fail(rm(s._guid), unmet(guid, milestone), true, now, s)
      end
    end
    if not emptied(key) then
      return false
    end
  end
  return true
end

-- The next members of an order's list.
local function members(order, key)
  local guids = call('LRANGE', P .. key, order.at, order.at + budget - 1)
  order.at = order.at + #guids
  save(order)
  budget = budget - #guids
  load('rm', guids)
  return guids, order.at >= order.n
end

function work.d(id)
  local order = record('order', id)
  if meta.phase ~= 'RUNNING' then
    order.at = order.n
  end
  local group = order.group ~= '' and record('group', order.group)
  local guids, finished = members(order, 'list:' .. id)
  local barrier, deploys = {}, {}
  for i, guid in ipairs(guids) do
    deploys[i] = guid .. '.deploy'
  end
  load('step', deploys)
  for _, guid in ipairs(guids) do
    arm(guid, group, barrier)
  end
  if group then
    call_with('RPUSH', P .. 'wait:@' .. order.group, barrier)
    if finished then
      leave_group(order.group)
    end
  end
  return finished
end

function work.r(id)
  local order = record('order', id)
  local guids, finished = members(order, order.all and 'rms' or 'list:' .. id)
  for _, guid in ipairs(guids) do
    release(guid)
  end
  if finished then
    end_run_if_released()
  end
  return finished
end

-- A run of a campaign has ended: all that ends by itself has, or it failed.
function work.e()
  if meta.phase == 'RUNNING' or meta.phase == 'FAILED' then
    meta.over = stamp(now)
    order_release('over', true)
  end
  return true
end

-- The machine of a host has gone, and what lived on it with it.
function work.x(node)
  local error, key, releases = rm(node).gone, 'list:gone.' .. node, {}
  local guids = take(key)
  for i, guid in ipairs(guids) do
    releases[i] = guid .. '.release'
  end
  load('rm', guids)
  load('step', releases)
  for i, guid in ipairs(guids) do
    local r, s = rm(guid), step(releases[i])
    local releasing = is_live(s)
    fail(r, error, r.critical == 1, now)
    if releasing then
      s.error = error
      save(s)
      reach(r, 'RELEASED', now, nil, error)
    end
  end
  return emptied(key)
end

local function drain()
  while budget > 0 do
    local entry = call('LINDEX', P .. 'todo', 0)
    if not entry then
      return
    end
    local kind, first, second = match(entry, '^(%a)|([^|]*)|?(.*)$')
    if work[kind](first, second) then
      call('LPOP', P .. 'todo')
    end
  end
end

-- 1 once the run needs no more attention, else 0. A run of a campaign needs that of the campaign:
-- it is entered there, and the answer is the campaign's name if its step is to be dispatched.
local function end_of_run()
  if meta.phase ~= 'RELEASED' or call('EXISTS', P .. 'todo') == 1 then
    return 0
  elseif not meta.campaign then
    return 1
  end
  local C, id = campaign_prefix(meta.campaign), match(P, '{(.*)}')
  if call('HEXISTS', C .. 'active', id) == 0 then
    return 1
  end
  call('SADD', C .. 'over', id)
  return trigger(C, now, GRACE) and meta.campaign or 0
end

-- Write all changes and answer; `extra` are further items, as JSON.
local function finish(status, more, extra)
  local ended = end_of_run()
  write_records()
  write_alarms()
  return '[' .. cjson.encode(status) .. ',' .. more .. ',' .. cjson.encode(ended) .. ',' .. encode(due)
    .. (extra and ',' .. extra or '') .. ']'
end

local function reply(status, extra)
  drain()
  return finish(status, call('EXISTS', P .. 'todo'), extra)
end
