-- Steps: becoming due, being handed out, ending.

local GRACE, HORIZON, LIMIT = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local LONGEST_GRACE = 60

local BEFORE_READY = { NEW = true, DISCOVERED = true, RESERVED = true, PROVISIONED = true }
-- What is done of a deployment when it is asked for by itself, and what it reaches.
local PARTIAL = { discover = 'DISCOVERED', provision = 'PROVISIONED' }
local ENDED = { STOPPED = true, FINISHED = true, FAILED = true, RELEASED = true }

-- The reply's list of steps that became due, flat; and new alarms: time, or false for none.
local due, dues, alarms = {}, 0, {}

local function write_alarms()
  local rings, silent = {}, {}
  for id, time in pairs(alarms) do
    if time then
      rings[#rings + 1] = stamp(time)
      rings[#rings + 1] = id
    else
      silent[#silent + 1] = id
    end
  end
  call_with('ZADD', P .. 'alarm', rings)
  call_with('ZREM', P .. 'alarm', silent)
end

-- Whether a step does I/O: its class does, and has something to do in this action. Nothing is done
-- to what ends by itself after a time, nor for what the release of the host covers.
local function does_io(s, r)
  return r.batch ~= 1 and s._action ~= 'finish' and not s.covered
    and not (r.idle and string.find(r.idle, s._action, 1, true))
end

-- The host on which a step does I/O, if it does.
local function busy_host(s, r)
  return does_io(s, r) and r.host or nil
end

-- What acts on a local host goes to the machine that the host is bound to.
local function queue_of(r)
  local host = r.host and rm(r.host)
  if host and host['local'] == 1 then
    local machine = meta['bind.' .. host.site]
    if machine then
      return 'nepiq.m.' .. machine
    end
  end
  return r.queue
end

-- Where the message of a step goes: to the worker that is the home of its host.
local function way(s, r)
  local queue, host = queue_of(r), busy_host(s, r)
  local home = host and rm(host).home
  return home and queue .. '@' .. home or queue
end

-- Whether a step can be carried out together with others of its host.
local function is_joint(r, action)
  return r.joint and string.find(r.joint, action, 1, true)
end

-- How a step travels: 0 alone, 1 with others that do no I/O, 2 with others on its host.
local function way_of_travel(s, r)
  return not does_io(s, r) and 1 or is_joint(r, s._action) and 2 or 0
end

local function announce(s)
  local r, n = rm(s._guid), dues
  due[n + 1], due[n + 2], due[n + 3] = s._id, max(0, s.due - now), way(s, r)
  due[n + 4], due[n + 5], due[n + 6] = way_of_travel(s, r), r.label, (s.tries or 0) + 1
  dues = n + 6
end

-- If nothing comes of a due step somebody looks again, ever more patiently.
local function look_again(s)
  local sent = s.sent or 0
  alarms[s._id] = max(s.due, now) + min(GRACE * 2 ^ sent, LONGEST_GRACE)
  s.sent = sent + 1
  save(s)
end

-- Have a due step submitted.
local function hand_out(s)
  look_again(s)
  announce(s)
end

local function make_due(s)
  s.status, s.sent = 'due', nil
  if s.due - HORIZON > now then
    alarms[s._id] = s.due - HORIZON / 2
    save(s)
  else
    hand_out(s)
  end
end

local function not_before(s, time)
  if time > tonumber(s.due) then
    s.due = stamp(time)
  end
end

-- A step that does not exist yet, without gates.
local function new_step(id)
  local s = identify({ status = 'waiting', left = 0, due = stamp(now) }, 'step', id)
  records.step[id] = s
  save(s)
  return s
end

-- The same for one that is not part of the deployment, so that there may be several of its action.
local function numbered_step(r, action)
  meta.requests = meta.requests + 1
  local id = format('%s.%s.%d', r._id, action, meta.requests)
  r.extra = r.extra and r.extra .. ' ' .. id or id
  save(r)
  return new_step(id)
end

-- Stops, releases and joint steps of one host go together in one command, so that more of them have
-- a place.
local JOINT_A_PLACE = 64

local function has_place(id, host)
  local limit, guid, action = rm(host).limit, match(id, '^(%d+)%.(%a+)')
  if limit and (action == 'stop' or action == 'release' or is_joint(rm(guid), action)) then
    limit = limit * JOINT_A_PLACE
  end
  return not limit or call('SCARD', P .. 'busy:' .. host) < limit
end

-- How far a step is that waits for a place on its host: in line, or offered one.
local IN_LINE, OFFERED = 1, 2
local LINE_ALARM = 60

local function line_up(s, host)
  if not s.lined then
    s.lined = IN_LINE
    save(s)
    call('RPUSH', P .. 'line:' .. host, s._id)
  end
  alarms[s._id] = now + LINE_ALARM
end

-- Let a step wait until its resource manager has done another.
local function park(r, id)
  if not string.find(' ' .. (r.parked or '') .. ' ', ' ' .. id .. ' ', 1, true) then
    r.parked = r.parked and r.parked .. ' ' .. id or id
    save(r)
  end
end

-- Keep free places on a host for the first in line that can use one, and have these submitted.
local function offer_places(host)
  local line = P .. 'line:' .. host
  while true do
    local id = call('LINDEX', line, 0)
    local s = id and step(id)
    local lined = id and s.lined == IN_LINE and s.status == 'due'
    if not id or lined and not has_place(id, host) then
      return
    end
    call('LPOP', line)
    local r = lined and rm(s._guid)
    if lined and r.running then
      s.lined = nil
      save(s)
      park(r, id)
    elseif lined then
      s.lined = OFFERED
      call('SADD', P .. 'busy:' .. host, id)
      hand_out(s)
    end
  end
end

local function leave_place(s, host)
  call('SREM', P .. 'busy:' .. host, s._id)
  offer_places(host)
end

-- A step that was offered a place cannot use it now.
local function give_up_offer(s)
  if s.lined == OFFERED then
    s.lined = nil
    save(s)
    leave_place(s, busy_host(s, rm(s._guid)))
  end
end

-- Nobody executes the step any more: its resource manager and its place on the host are free.
-- One that waits for its host keeps its place, so that few try out a host that does not answer.
local function end_claim(s, waits_for_host)
  local r = rm(s._guid)
  local parked = r.parked
  r.running, r.parked = nil
  save(r)
  if parked then
    for id in gmatch(parked, '%S+') do
      if step(id).status == 'due' then
        hand_out(step(id))
      end
    end
  end
  local host = busy_host(s, r)
  if waits_for_host then
    s.lined = OFFERED
  elseif host then
    leave_place(s, host)
  end
end

local function without(list, item)
  local kept = {}
  for other in gmatch(list, '%S+') do
    if other ~= item then
      kept[#kept + 1] = other
    end
  end
  return #kept > 0 and table.concat(kept, ' ') or nil
end

local function is_live(s)
  return s.status and s.status ~= 'done' and s.status ~= 'void'
end

-- A step becomes done or void; what is worth knowing later stays.
local function end_step(s, status)
  if s.status == 'claimed' then
    s._worker = s.worker
    end_claim(s)
  end
  give_up_offer(s)
  s.status = status
  s.left, s.due, s.nonce, s.worker, s.began, s.sent, s.lined, s.cancel, s.woken = nil
  save(s)
  alarms[s._id] = false
  if s._n ~= '' then
    local r = rm(s._guid)
    r.extra = without(r.extra or '', s._id)
    save(r)
  end
end

local function void(s, why)
  end_step(s, 'void')
  s.why = why
  event('void', s._guid, now, s)
end

-- A claimed step is due again.
local function give_back(s, time, waits_for_host)
  end_claim(s, waits_for_host)
  s.due, s.nonce, s.worker, s.woken = stamp(time), nil
  make_due(s)
end

local function forbidden(action)
  local phase = meta.phase
  if action == 'stop' or action == 'finish' then
    return phase == 'RELEASING' or phase == 'RELEASED'
  end
  return action ~= 'release' and phase ~= 'RUNNING'
end
