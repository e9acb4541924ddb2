-- lease, largest lost count, backlogged queues... -> reply, the number of alarms in its status
if not alive then
  return GONE
end
tick()
local lease, max_lost = tonumber(ARGV[4]), tonumber(ARGV[5])

-- A step whose workers keep dying will not kill more of them.
local function give_up(s)
  local r, action = rm(s._guid), s._action
  local error = message('worker lost ' .. max_lost .. ' times')
  void(s)
  s.error = error
  if action == 'release' then
    if r.state ~= 'RELEASED' then
      reach(r, 'RELEASED', now, s, error)
    end
  elseif action ~= 'set' then
    fail(r, error, r.critical == 1, now, s)
  end
end

-- Steps that lost their worker together part ways: else one that kills its workers takes the same
-- neighbours with it each time, until they fail for its fault.
local function pause_after(lost, guid)
  if lost == 1 then
    return 0
  end
  local turn = guid % 8
  return GRACE * (lost == 2 and turn or 7 - turn)
end

local function take_back(s)
  s.lost = (s.lost or 0) + 1
  event('lost', s._guid, now, s)
  if s.lost >= max_lost then
    give_up(s)
  elseif s.cancel or forbidden(s._action) then
    void(s)
  else
    give_back(s, now + pause_after(s.lost, s._guid))
  end
end

-- Where messages queue up, that of a step is among them: another one would only lengthen the queue.
local backlogged = {}
for i = 6, #ARGV do
  backlogged[ARGV[i]] = true
end
local MOST_PATIENCE = 6

local function message_is_queued(s)
  return s.sent and s.sent < MOST_PATIENCE and backlogged[queue_of(rm(s._guid))]
end

local function late_error()
  return format('{"type":"WaitTimeout","message":"the run took longer than %s s"}', meta.timeout)
end

-- After a pause of Redis or of all sweepers no lease could be renewed: wait for one lease.
local paused = now - (meta.swept or meta.created) > lease / 3
if paused or not meta.reclaim then
  meta.reclaim = stamp(paused and now + lease or now)
end
meta.swept = stamp(now)

local rang = call('ZRANGEBYSCORE', P .. 'alarm', '-inf', stamp(now), 'LIMIT', 0, LIMIT)
budget = budget - #rang
load('step', rang)
for _, id in ipairs(rang) do
  local s = step(id)
  if alarms[id] ~= nil then
    -- One before this has moved it.
  elseif s.status == 'due' and s.lined == IN_LINE then
    local host = busy_host(s, rm(s._guid))
    line_up(s, host)
    offer_places(host)
  elseif s.status == 'due' and message_is_queued(s) then
    look_again(s)
  elseif s.status == 'due' then
    hand_out(s)
  elseif s.status ~= 'claimed' then
    alarms[id] = false
  elseif now < tonumber(meta.reclaim) then
    alarms[id] = tonumber(meta.reclaim)
  else
    take_back(s)
  end
end
-- Nor could clients tell that they are there.
local attended = not meta.release_after or now <= meta.seen + meta.release_after
if not attended and now >= tonumber(meta.reclaim) then
  order_release('unattended', true)
end
if meta.ends_by and now >= tonumber(meta.ends_by) and meta.phase == 'RUNNING' then
  fail_run('{"guid":0,"label":"run","error":' .. late_error() .. '}')
end
return reply('OK:' .. #rang)
