-- Pools of hosts: requests, their queue, and the leases that they were granted. These records belong
-- to the installation and not to a run. They are small: all are read, and what changed is written.

local P = KEYS[1]
local call, format, floor, max = redis.call, string.format, math.floor, math.max
local MOST_OVERTAKEN, PATIENCE = tonumber(ARGV[1]), tonumber(ARGV[2])

local time = call('TIME')
local now = time[1] + time[2] / 1e6

local function stamp()
  return format('%.6f', now)
end

local function read(name)
  local all, flat = {}, call('HGETALL', P .. name)
  for i = 1, #flat, 2 do
    all[flat[i]] = cjson.decode(flat[i + 1])
  end
  return all
end

local leases, requests = read('leases'), read('requests')
local queue = call('LRANGE', P .. 'queue', 0, -1)
local changed = {}

local function save(id)
  changed[id] = true
end

local function write_requests()
  for id in pairs(changed) do
    if requests[id] then
      call('HSET', P .. 'requests', id, cjson.encode(requests[id]))
    else
      call('HDEL', P .. 'requests', id)
    end
  end
end

local function unqueue(id)
  call('LREM', P .. 'queue', 0, id)
  local rest = {}
  for _, other in ipairs(queue) do
    if other ~= id then
      rest[#rest + 1] = other
    end
  end
  queue = rest
end

-- Give back the leases of a request: those of one resource, or all.
local function give_back(id, guid)
  for host, lease in pairs(leases) do
    if lease.request == id and (guid == '' or lease.guid == guid) then
      leases[host] = nil
      call('HDEL', P .. 'leases', host)
    end
  end
end

-- Hosts that later requests may not take in this call.
local withheld = {}

-- Pairs of hosts and resources of a request: as many as possible; nil if `whole` is wanted and some
-- resource gets no host. The pairs are resource by host.
local function match(r, whole)
  local guids, hosts, resource_of, n = {}, {}, {}, 0
  for _, want in ipairs(r.wants) do
    local free = {}
    for _, host in ipairs(want.hosts) do
      if not leases[host] and not withheld[host] then
        free[#free + 1] = host
      end
    end
    if whole and #free < #want.guids then
      return nil
    end
    for _, guid in ipairs(want.guids) do
      n = n + 1
      guids[n], hosts[n] = guid, free
    end
  end
  local function place(i, seen)
    for _, host in ipairs(hosts[i]) do
      if not resource_of[host] then
        resource_of[host] = i
        return true
      end
    end
    for _, host in ipairs(hosts[i]) do
      if not seen[host] then
        seen[host] = true
        if place(resource_of[host], seen) then
          resource_of[host] = i
          return true
        end
      end
    end
    return false
  end
  for i = 1, n do
    if not place(i, {}) and whole then
      return nil
    end
  end
  local pairs_found = {}
  for host, i in pairs(resource_of) do
    pairs_found[host] = guids[i]
  end
  return pairs_found
end

local function withhold(r)
  for host in pairs(match(r, false)) do
    withheld[host] = true
  end
end

local function concerns(r, hosts)
  for _, want in ipairs(r.wants) do
    for _, host in ipairs(want.hosts) do
      if hosts[host] then
        return true
      end
    end
  end
  return false
end

local function grant(id, r, found)
  local token = max(floor(now * 1e6), tonumber(call('GET', P .. 'token') or 0) + 1)
  local text = format('%.0f', token)
  call('SET', P .. 'token', text)
  r.state, r.granted = 'granted', stamp()
  save(id)
  for host, guid in pairs(found) do
    local lease = { run = r.run, request = id, guid = guid, token = text, since = stamp() }
    leases[host] = lease
    call('HSET', P .. 'leases', host, cjson.encode(lease))
  end
  unqueue(id)
end

-- Grant what can be granted, in the order of the queue. A request that does not get all of its hosts
-- lets later ones overtake it, a bounded number of times and for a bounded time; from then on the
-- free hosts that it can use are kept for it.
local function decide()
  local ahead = {}
  for _, id in ipairs(queue) do
    local r = requests[id]
    local found = match(r, true)
    if found then
      grant(id, r, found)
      for _, other in ipairs(ahead) do
        local o = requests[other]
        if concerns(o, found) then
          o.overtaken = o.overtaken + 1
          save(other)
          if o.overtaken == MOST_OVERTAKEN then
            withhold(o)
          end
        end
      end
    else
      ahead[#ahead + 1] = id
      if r.overtaken >= MOST_OVERTAKEN or now - r.since >= PATIENCE then
        withhold(r)
      end
    end
  end
end

local function list(items)
  return #items == 0 and '[]' or cjson.encode(items)
end

-- Decide, write and answer: the status, the runs and steps to wake, and more that is JSON.
local function reply(status, more)
  decide()
  write_requests()
  local wakes = {}
  for _, r in pairs(requests) do
    if r.state == 'granted' and not r.taken then
      wakes[#wakes + 1] = { r.run, r.step }
    end
  end
  return '[' .. cjson.encode(status) .. ',' .. list(wakes) .. (more and ',' .. more() or '') .. ']'
end
