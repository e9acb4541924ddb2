-- A campaign: the hash of its state, and what every script on it needs.

local C = KEYS[1]
local call, format, max, min = redis.call, string.format, math.max, math.min
local match = string.match

local time = call('TIME')
local now = time[1] + time[2] / 1e6

local state, flat = {}, call('HGETALL', C .. 'state')
for i = 1, #flat, 2 do
  state[flat[i]] = flat[i + 1]
end

local function stamp(moment)
  return format('%.6f', moment)
end

local function assign(field, value)
  state[field] = value
  call('HSET', C .. 'state', field, value)
end

local function count(field, n)
  state[field] = call('HINCRBY', C .. 'state', field, n)
end

local function enter(phase, why)
  if state.phase ~= phase then
    state.phase = phase
    change_phase(C, phase, why or '')
  end
end

local function number(field)
  return tonumber(state[field] or 0)
end

-- How many runs wait to be begun.
local function left()
  return call('LLEN', C .. 'again') + number('total') - number('cursor')
end

local function is_at_rest()
  return call('HLEN', C .. 'active') + call('HLEN', C .. 'placing') + call('SCARD', C .. 'over') == 0
end

-- How many runs hosts are requested for, before they are begun. A campaign that needs no hosts of pools
-- has no limit.
local MOST_PLACING = 16

local function places()
  return state.places and MOST_PLACING - call('HLEN', C .. 'placing') or math.huge
end

local function activate(broker)
  call('SADD', 'nepiq:campaigns:' .. broker, match(C, '{campaign:(.*)}'))
end

local function list(items)
  return #items == 0 and '[]' or cjson.encode(items)
end

local GONE = '["GONE"]'
