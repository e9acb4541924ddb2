-- Records of the run: JSON objects, in one hash for each kind. They are read in bulk, changed in
-- place, and written once, at the end of the script. A field with nothing to say is nil.

local P = KEYS[1]
local call, max, min, floor = redis.call, math.max, math.min, math.floor
local match, gmatch, format = string.match, string.gmatch, string.format

local records = { rm = {}, step = {}, group = {}, order = {}, journal = {} }
local changed = {}

-- Every step names its resource manager and its action; a requested one has a number too.
local function identify(r, kind, id)
  r._kind, r._id = kind, id
  if kind == 'step' then
    r._guid, r._action, r._n = match(id, '^(%d+)%.(%a+)%.?(%d*)$')
  end
  return r
end

-- Read those of the records that have not been looked at before.
local function load(kind, ids)
  local known, missing, n = records[kind], {}, 0
  for _, id in ipairs(ids) do
    if not known[id] then
      n = n + 1
      missing[n] = id
    end
  end
  for at = 1, n, 1000 do
    local values = call('HMGET', P .. kind, unpack(missing, at, min(at + 999, n)))
    for i, value in ipairs(values) do
      local id = missing[at + i - 1]
      known[id] = identify(value and cjson.decode(value) or {}, kind, id)
    end
  end
end

local function record(kind, id)
  local r = records[kind][id]
  if not r then
    local value = call('HGET', P .. kind, id)
    r = identify(value and cjson.decode(value) or {}, kind, id)
    records[kind][id] = r
  end
  return r
end

local function rm(guid)
  return records.rm[guid] or record('rm', guid)
end

local function step(id)
  return records.step[id] or record('step', id)
end

-- Have a record written at the end.
local function save(r)
  if not r._changed then
    r._changed = true
    changed[#changed + 1] = r
  end
end

-- Call with the items of a list of any length behind what is given.
local function call_with(command, key, items)
  for at = 1, #items, 4000 do
    call(command, key, unpack(items, at, min(at + 3999, #items)))
  end
end

local function write_records()
  local values = {}
  for _, r in ipairs(changed) do
    local kind, id = r._kind, r._id
    r._kind, r._id, r._changed, r._guid, r._action, r._n, r._worker = nil
    local list = values[kind]
    if not list then
      list = {}
      values[kind] = list
    end
    list[#list + 1] = id
    list[#list + 1] = cjson.encode(r)
  end
  for kind, list in pairs(values) do
    if kind == 'meta' then
      call('SET', P .. 'meta', list[2])
    else
      call_with('HSET', P .. kind, list)
    end
  end
end

-- The run itself is a record with a key of its own.
local found = call('GET', P .. 'meta')
local meta = identify(found and cjson.decode(found) or {}, 'meta', '')
local alive = meta.phase and meta.phase ~= 'EXPIRED'
local now

-- Most times in a script are the same one.
local stamps = {}

local function stamp(time)
  local text = stamps[time]
  if not text then
    text = format('%.6f', time)
    stamps[time] = text
  end
  return text
end

-- Times of a run never go back, even if the clock of Redis' host does.
local function tick()
  local time = call('TIME')
  now = max(time[1] + time[2] / 1e6, tonumber(meta.last) or 0)
  meta.last = stamp(now)
  save(meta)
end

-- Which process of Redis this is.
local function server()
  return match(call('INFO', 'server'), 'run_id:(%x+)')
end

-- The history. `by` is the step that brought it about, if one did; `_worker` is who ran it.
local EV = P .. 'ev'

local function event(what, guid, time, by, info)
  local t, worker = stamp(time), by and (by._worker or by.worker)
  if worker and not info then
    call('XADD', EV, '*', 't', t, 'g', guid, 'e', what, 's', by._id, 'n', by.tries, 'w', worker)
    return
  end
  local entry = { EV, '*', 't', t, 'g', guid, 'e', what }
  if by then
    entry[9], entry[10] = 's', by._id
    if worker then
      entry[11], entry[12], entry[13], entry[14] = 'n', by.tries, 'w', worker
    end
  end
  if info and info ~= '' then
    entry[#entry + 1] = 'i'
    entry[#entry + 1] = info
  end
  call('XADD', unpack(entry))
end

-- The guids of `1-3,7`, as text.
local function guids_of(ranges)
  local guids = {}
  for first, last in gmatch(ranges, '(%d+)%-?(%d*)') do
    for guid = tonumber(first), tonumber(last) or tonumber(first) do
      guids[#guids + 1] = format('%d', guid)
    end
  end
  return guids
end

local function encode(list)
  return #list == 0 and '[]' or cjson.encode(list)
end

local GONE = '["GONE"]'
