-- limits..., campaign, token, number of lists, these, number of requests that are over, these, number of
-- runs to withdraw, these, then for each new run: run, guid, origin, slot, attempt, number of wants, and
-- the guids and the number of the list of each -> status, wakes
-- The requests of a campaign for the hosts of runs that it has not begun yet.
local at = 4

local function following()
  at = at + 1
  return ARGV[at - 1]
end

local function number()
  return tonumber(following())
end

local name, token = following(), following()
local C = campaign_prefix(name)
local texts, state = {}, call('HMGET', C .. 'state', 'token', 'phase', 'priority')
for i = 1, number() do
  texts[i] = following()
end
for _ = 1, number() do
  forget(following())
end
if state[1] ~= token then
  return reply('STALE')
end
for _ = 1, number() do
  local run = following()
  local slot, attempt, guid = string.match(call('HGET', C .. 'placing', run) or '', '^(%d+)|(%d+)|(%d+)$')
  if slot then
    forget(run .. '/' .. guid)
    call('HDEL', C .. 'placing', run)
    call('HDEL', C .. 'granted', run)
    call('LPUSH', C .. 'again', slot .. '|' .. attempt)
  end
end
while at <= #ARGV do
  local run, guid, origin, slot, attempt = unpack(ARGV, at)
  at = at + 5
  local wants = {}
  for i = 1, number() do
    wants[i] = { guids = cjson.decode(following()), list = texts[number()] }
  end
  if state[2] == 'running' and room(C, 0) > 0 and take_slot(C, origin, slot, attempt) then
    for _, want in ipairs(wants) do
      want.list = keep_list(want.list)
    end
    call('HSET', C .. 'placing', run, table.concat({ slot, attempt, guid }, '|'))
    local priority = tonumber(state[3] or 0)
    enter(run .. '/' .. guid, { run = run, campaign = name, wants = wants, priority = priority })
  end
end
return reply('OK')
