-- nonce, worker, machine, lease, steps... -> reply, per step its answer
if not alive then
  return GONE
end
tick()
local nonce, worker, machine, lease = ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local TOLERANCE = 0.002
local MICROSECONDS = floor(now * 1e6 + 0.5)
local TOKEN = format('%.0f', MICROSECONDS)

local function allowed(action, state)
  if action == 'deploy' or PARTIAL[action] then
    return BEFORE_READY[state]
  elseif action == 'start' then
    return state == 'READY'
  elseif action == 'stop' or action == 'finish' then
    return state == 'STARTED'
  end
  return state ~= 'RELEASED'
end

-- Local hosts of a site are on one machine: that of the first who claims a step there.
local function bound_here(r)
  local host = r.host and rm(r.host)
  if not host or host['local'] ~= 1 then
    return true
  end
  local field = 'bind.' .. host.site
  meta[field] = meta[field] or machine
  return meta[field] == machine
end

-- The time of a step that waited in line for a host that does not answer runs since it was found out.
local function begin(s, r)
  local silent = does_io(s, r) and r.host and rm(r.host).silent
  return silent and stamp(max(tonumber(silent), tonumber(s.due))) or stamp(now)
end

local function take(s, r)
  local token = TOKEN
  if r.token and tonumber(r.token) >= MICROSECONDS then
    token = format('%.0f', r.token + 1)
  end
  r.running, r.token = s._id, token
  s.status, s.nonce, s.worker, s.token = 'claimed', nonce, worker, token
  s.tries, s.began, s.lined = (s.tries or 0) + 1, s.began or begin(s, r), nil
  save(r)
  save(s)
  alarms[s._id] = now + lease
  if does_io(s, r) then
    event('claim', r._id, now, s)
    if r.host then
      call('SADD', P .. 'busy:' .. r.host, s._id)
    end
  end
end

local function grant(s, r)
  local answer = {
    'grant', s.token, s.tries, s.retried or 0, s.began, s.due, r.rtype, r.label, r.occ,
    r.state, r.host or '', r.inside or '', s.covered or 0, s.args or '', r.peers or '',
  }
  local attributes = call('HGETALL', P .. 'attr:' .. r._id)
  for i = 1, #attributes, 2 do
    if string.byte(attributes[i]) ~= 61 then -- '=' marks the order of live sets
      answer[#answer + 1], answer[#answer + 2] = attributes[i], attributes[i + 1]
    end
  end
  return answer
end

-- A set that lost its worker must not undo on the host what was asked for later.
local function superseded(s)
  local last = call('HGET', P .. 'attr:' .. s._guid, '=' .. cjson.decode(s.args)[1])
  return last and tonumber(last) > tonumber(s._n)
end

-- Why a step is not granted, or nil if it is.
local function refusal(s, r, host)
  if s.status ~= 'due' then
    return 'not due'
  end
  if forbidden(s._action) or not allowed(s._action, r.state) then
    void(s)
    return 'void'
  end
  if s._action == 'set' and superseded(s) then
    void(s, 'superseded')
    return 'void'
  end
  if s.due - now > TOLERANCE then
    return 'early'
  end
  if r.running then
    if s.lined ~= IN_LINE then
      park(r, s._id)
    end
    return 'parked'
  end
  if not bound_here(r) then
    announce(s)
    return 'elsewhere'
  end
  if host and s.lined ~= OFFERED and not has_place(s._id, host) then
    line_up(s, host)
    return 'full'
  end
end

local function claim(id)
  local s = step(id)
  if not s.status then
    return 'none'
  end
  local r = rm(s._guid)
  if s.status == 'claimed' and s.nonce == nonce then
    return grant(s, r)
  end
  local host = busy_host(s, r)
  local why = refusal(s, r, host)
  if why then
    if why ~= 'elsewhere' then
      give_up_offer(s)
    end
    return why == 'early' and { 'early', s.due - now } or 'none'
  end
  take(s, r)
  return grant(s, r)
end

local ids, guids, answers = { unpack(ARGV, 8) }, {}, {}
for i, id in ipairs(ids) do
  guids[i] = match(id, '^%d*')
end
load('step', ids)
load('rm', guids)
-- Who gives up an offer does so before those whom it may help: once or twice, the answers are equal.
for i, id in ipairs(ids) do
  answers[i] = step(id).lined == OFFERED and claim(id) or nil
end
for i, id in ipairs(ids) do
  answers[i] = answers[i] or claim(id)
end
-- It drains nothing: a worker waits for the answer.
return finish('OK', 0, encode(answers))
