-- (step, token, kind, age, end age, info, attributes, outputs)... -> reply, per item its status
-- Both lists come at the end, behind their two lengths.
if not alive then
  return GONE
end
tick()

-- Attributes and outputs of an item are the parts of ARGV from one index to another.
local function keep(s, r, at, outputs, last)
  if outputs > at then
    call('HSET', P .. 'attr:' .. s._guid, unpack(ARGV, at, outputs - 1))
  end
  for i = outputs, last, 2 do
    call('HSET', P .. 'out:' .. s._guid, r.occ .. '/' .. ARGV[i], ARGV[i + 1])
  end
end

-- Of two sets of one attribute the one that was asked for later holds, in whatever order they ran.
local function keep_set(s, at, outputs)
  local n, key = tonumber(s._n), P .. 'attr:' .. s._guid
  for i = at, outputs - 1, 2 do
    local name = ARGV[i]
    if n >= tonumber(call('HGET', key, '=' .. name) or 0) then
      call('HSET', key, name, ARGV[i + 1], '=' .. name, n)
    end
  end
end

local function ago(age)
  return age == '0' and now or now - max(0, tonumber(age))
end

-- What a step that did not fail brings about; false if its resource manager has ended meanwhile.
local enter = {}

function enter.deploy(r, time, s)
  if not BEFORE_READY[r.state] then
    return false
  end
  reach(r, 'READY', time, s)
  return true
end

local function enter_part(r, time, s)
  local milestone = PARTIAL[s._action]
  if not BEFORE_READY[r.state] or r[milestone] then
    return false
  end
  reach(r, milestone, time, s)
  return true
end
enter.discover, enter.provision = enter_part, enter_part

function enter.start(r, time, s, kind, end_age, info)
  if r.state ~= 'READY' then
    return false
  end
  reach(r, 'STARTED', time, s)
  local kept = r.exit
  r.exit = nil
  if kind == 'lasts' then
    local finish = numbered_step(r, 'finish')
    finish.due = stamp(r.STARTED + end_age)
    finish.at = finish.due
    make_due(finish)
  elseif kind ~= 'ok' then
    end_process(r, kind, ago(end_age), info)
  elseif kept then
    local outcome, moment, detail = match(kept, '^(.-)|(.-)|(.*)$')
    end_process(r, outcome, tonumber(moment), detail)
  end
  return true
end

function enter.finish(r, _, s)
  if r.state ~= 'STARTED' then
    return false
  end
  reach(r, 'FINISHED', tonumber(s.at), s)
  return true
end

function enter.stop(r, time, s)
  if r.state ~= 'STARTED' then
    return false
  end
  reach(r, 'STOPPED', time, s)
  return true
end

function enter.release(r, time, s, kind, _, info)
  if r.state == 'RELEASED' then
    return false
  end
  reach(r, 'RELEASED', now, s, kind == 'failed' and info or nil)
  return true
end

local function commit(id, token, kind, age, end_age, info, at, outputs, last)
  local s = step(id)
  local status = s.status
  if s.token ~= token or not (status == 'claimed' or status == 'done' or status == 'void') then
    return 'STALE'
  end
  if status ~= 'claimed' then
    return 'OK'
  end
  local r, action, failed = rm(s._guid), s._action, kind == 'failed'
  local time = ago(age)
  if time < now then
    time = max(time, tonumber(s.began))
  end
  if action == 'set' and not failed then
    keep_set(s, at, outputs)
  elseif last >= at then
    keep(s, r, at, outputs, last)
  end
  if kind == 'cancelled' then
    void(s)
    return 'OK'
  end
  local host = not failed and busy_host(s, r)
  if host and rm(host).silent then
    rm(host).silent = nil
    save(rm(host))
  end
  end_step(s, 'done')
  if failed and info ~= '' and (action == 'set' or action == 'release') then
    s.error = info
  end
  if action == 'set' then
    event('set', s._guid, now, s, failed and info or nil)
  elseif failed and action ~= 'release' then
    if ENDED[r.state] then
      event('done', s._guid, now, s)
    else
      fail(r, info, r.critical == 1, time, s)
    end
  elseif not enter[action](r, time, s, kind, end_age, info) then
    event('done', s._guid, now, s)
  end
  return 'OK'
end

local at, ids, guids = 4, {}, {}
while at <= #ARGV do
  ids[#ids + 1] = ARGV[at]
  guids[#guids + 1] = match(ARGV[at], '^%d*')
  at = at + 8 + ARGV[at + 6] + ARGV[at + 7]
end
load('step', ids)
load('rm', guids)

local statuses = {}
at = 4
while at <= #ARGV do
  local id, token, kind, age, end_age, info, attributes, outputs = unpack(ARGV, at, at + 7)
  at = at + 8
  local last = at + attributes + outputs - 1
  statuses[#statuses + 1] =
    commit(id, token, kind, age, end_age, info, at, at + attributes, last)
  at = last + 1
end
return reply('OK', encode(statuses))
