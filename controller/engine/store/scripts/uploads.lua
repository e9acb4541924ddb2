-- A new run: its record, and the records of its resources.

local function create_run(nonce, exp_id, release_after)
  meta.phase, meta.exp_id, meta.nonce = 'RUNNING', exp_id, nonce
  meta.server, meta.created, meta.seen = server(), stamp(now), stamp(now)
  meta.next_guid, meta.groups, meta.live, meta.requests = 1, 0, 0, 0
  if release_after ~= '' then
    meta.release_after = release_after
  end
  event('RUNNING', '0', now)
end

-- Resources in ARGV from an index on: guid, record, attributes, conditions, after. The last three
-- are lists, each led by its length.
local function resources_at(at)
  local guids, items = {}, {}
  while at <= #ARGV do
    local item = { ARGV[at + 1] }
    guids[#guids + 1] = ARGV[at]
    at = at + 2
    for list = 2, 4 do
      item[list] = { at + 1, at + ARGV[at] }
      at = item[list][2] + 1
    end
    items[#items + 1] = item
  end
  return guids, items
end

local function list_at(command, kind, guid, range)
  if range[2] >= range[1] then
    call(command, P .. kind .. ':' .. guid, unpack(ARGV, range[1], range[2]))
  end
end

-- Write those resources that are new. `fresh` says that all are.
local function write_resources(guids, items, fresh)
  local new, values = {}, {}
  for i, guid in ipairs(guids) do
    if fresh or not rm(guid).by then
      local text, attributes, conditions, after = unpack(items[i])
      if not fresh and rm(guid).waited then
        local r = cjson.decode(text)
        r.waited = 1
        text = cjson.encode(r)
      end
      new[#new + 1] = guid
      values[#values + 1] = guid
      values[#values + 1] = text
      list_at('HSET', 'attr', guid, attributes)
      list_at('SADD', 'cond', guid, conditions)
      for k = after[1], after[2] do
        call('SADD', P .. 'users:' .. ARGV[k], guid)
      end
      meta.next_guid = max(meta.next_guid, guid + 1)
    end
  end
  call_with('HSET', P .. 'rm', values)
  call_with('RPUSH', P .. 'rms', new)
  meta.live = meta.live + #new
end
