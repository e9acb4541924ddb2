-- Pools of hosts: requests, their queue, and the leases that they were granted. These records belong
-- to the installation and not to a run. What waits is read as a whole, the rest when it is needed.

local P = KEYS[1]
local call, format, floor, max = redis.call, string.format, math.floor, math.max
local MOST_OVERTAKEN, PATIENCE, GRACE = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local time = call('TIME')
local now = time[1] + time[2] / 1e6

local function stamp()
  return format('%.6f', now)
end

-- Call with the items of a list of any length behind what is given.
local function call_with(command, key, items)
  for at = 1, #items, 4000 do
    call(command, key, unpack(items, at, math.min(at + 3999, #items)))
  end
end

-- Whether each host is leased.
local leased = {}
for _, host in ipairs(call('HKEYS', P .. 'leases')) do
  leased[host] = true
end

-- Requests by id; false for one that does not exist.
local requests, changed = {}, {}
local queue = call('LRANGE', P .. 'queue', 0, -1)
for at = 1, #queue, 1000 do
  local last = math.min(at + 999, #queue)
  for i, text in ipairs(call('HMGET', P .. 'requests', unpack(queue, at, last))) do
    requests[queue[at + i - 1]] = cjson.decode(text)
  end
end

local function request(id)
  if requests[id] == nil then
    local text = call('HGET', P .. 'requests', id)
    requests[id] = text and cjson.decode(text) or false
  end
  return requests[id]
end

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

-- Lists of hosts that requests can use, by digest: most requests can use the same ones.
local lists, members, unused = {}, {}, false

-- The free hosts of a list, as of a number of grants and withholdings: these only make it shorter.
local free_hosts, age_of, age, withheld = {}, {}, 0, {}

local function keep_list(text)
  local id = redis.sha1hex(text)
  call('HSETNX', P .. 'lists', id, text)
  return id
end

local function hosts_of(id)
  local hosts = lists[id]
  if not hosts then
    hosts = cjson.decode(call('HGET', P .. 'lists', id))
    lists[id] = hosts
  end
  return hosts
end

-- The hosts of a list that have no lease and are not withheld.
local function free_of(id)
  if age_of[id] ~= age then
    local free = {}
    for _, host in ipairs(free_hosts[id] or hosts_of(id)) do
      if not leased[host] and not withheld[host] then
        free[#free + 1] = host
      end
    end
    free_hosts[id], age_of[id] = free, age
  end
  return free_hosts[id]
end

-- Whether each host is in a list.
local function members_of(id)
  local known = members[id]
  if not known then
    known = {}
    for _, host in ipairs(hosts_of(id)) do
      known[host] = true
    end
    members[id] = known
  end
  return known
end

local function drop_lists()
  local used = {}
  for _, id in ipairs(queue) do
    for _, want in ipairs(requests[id].wants) do
      used[want.list] = true
    end
  end
  for _, id in ipairs(call('HKEYS', P .. 'lists')) do
    if not used[id] then
      call('HDEL', P .. 'lists', id)
    end
  end
end

local function unqueue(id)
  if call('LREM', P .. 'queue', 0, id) == 0 then
    return
  end
  local rest = {}
  for _, other in ipairs(queue) do
    if other ~= id then
      rest[#rest + 1] = other
    end
  end
  queue, unused = rest, true
end

-- Give back the leases of a request: those of one resource, or all.
local function give_back(id, guid)
  local hosts = (request(id) or {}).hosts or {}
  for _, host in pairs(guid == '' and hosts or { hosts[guid] }) do
    local text = call('HGET', P .. 'leases', host)
    local lease = text and cjson.decode(text) or {}
    if lease.request == id and (guid == '' or lease.guid == guid) then
      leased[host] = nil
      call('HDEL', P .. 'leases', host)
    end
  end
end

-- Whether the campaign that placed the run of a request is to begin it.
local function is_placing(r)
  return call('HEXISTS', campaign_prefix(r.campaign) .. 'placing', r.run) == 1
end

-- End a request; nobody knows it afterwards.
local function forget(id)
  give_back(id, '')
  unqueue(id)
  call('SREM', P .. 'untold', id)
  requests[id] = false
  save(id)
end

-- End a request; a late attempt cannot make it again while its run lives.
local function close(id, run)
  forget(id)
  requests[id] = { run = run, state = 'closed' }
end

local function is_below(one, other)
  return (one.priority or 0) < (other.priority or 0)
end

-- Put a request into the queue before the one at a place, which may be that after the last one.
local function insert(id, place)
  if queue[place] then
    call('LINSERT', P .. 'queue', 'BEFORE', queue[place], id)
  else
    call('RPUSH', P .. 'queue', id)
  end
  table.insert(queue, place, id)
end

-- Enter a request at the end of the queue, but before those of lower priority at its end that have not
-- been overtaken often enough.
local function enter(id, r)
  r.state, r.since, r.overtaken = 'waiting', stamp(), 0
  requests[id] = r
  save(id)
  local place = #queue + 1
  while place > 1 do
    local o = requests[queue[place - 1]]
    if not is_below(o, r) or o.overtaken >= MOST_OVERTAKEN then
      break
    end
    place = place - 1
  end
  insert(id, place)
end

-- The free hosts for resources of a campaign in the order in which it prefers them: first those that it
-- had last, and none in its quarantine if there are enough others.
local WARM = 64
local warm_hosts, quarantined = {}, {}

local function read_preferences(campaign)
  local C = campaign_prefix(campaign)
  warm_hosts[campaign] = call('ZREVRANGE', C .. 'warm', 0, WARM - 1)
  quarantined[campaign] = call('ZRANGEBYSCORE', C .. 'out', '(' .. stamp(), '+inf')
end

local function preferred(want, campaign)
  local hosts = free_of(want.list)
  if not campaign then
    return hosts
  end
  if not warm_hosts[campaign] then
    read_preferences(campaign)
  end
  local warm, out = warm_hosts[campaign], quarantined[campaign]
  if #warm + #out == 0 then
    return hosts
  end
  local known, ordered = {}, {}
  for _, host in ipairs(hosts) do
    known[host] = true
  end
  local others = #hosts_of(want.list)
  for _, host in ipairs(out) do
    others = others - (members_of(want.list)[host] and 1 or 0)
  end
  if others >= #want.guids then
    for _, host in ipairs(out) do
      known[host] = nil
    end
  end
  for _, host in ipairs(warm) do
    if known[host] then
      ordered[#ordered + 1] = host
      known[host] = nil
    end
  end
  for _, host in ipairs(hosts) do
    if known[host] then
      ordered[#ordered + 1] = host
    end
  end
  return ordered
end

-- Pairs of hosts and resources of a request: as many as possible; nil if `whole` is wanted and some
-- resource gets no host. The pairs are resource by host.
local function match(r, whole)
  for _, want in ipairs(r.wants) do
    if whole and #free_of(want.list) < #want.guids then
      return nil
    end
  end
  local guids, hosts, resource_of, n = {}, {}, {}, 0
  for _, want in ipairs(r.wants) do
    local free = preferred(want, r.campaign)
    if whole and #free < #want.guids then
      return nil
    end
    for i = 1, math.min(#want.guids, #free) do
      n = n + 1
      guids[n], hosts[n] = want.guids[i], free
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

-- Keep the free hosts that a request can use from later ones in this call.
local function withhold(r)
  for host in pairs(match(r, false)) do
    withheld[host] = true
    age = age + 1
  end
end

local function concerns(r, found)
  for _, want in ipairs(r.wants) do
    local known = members_of(want.list)
    for host in pairs(found) do
      if known[host] then
        return true
      end
    end
  end
  return false
end

local function list(items)
  return #items == 0 and '[]' or cjson.encode(items)
end

-- Campaigns whose step is due since a request of theirs was granted.
local woken = {}

-- Tell a campaign which hosts a run that it places has.
local function tell(r, grants)
  local C, marks = campaign_prefix(r.campaign), {}
  call('HSET', C .. 'granted', r.run, list(grants))
  for _, item in ipairs(grants) do
    marks[#marks + 1] = stamp()
    marks[#marks + 1] = item[2]
  end
  call_with('ZADD', C .. 'warm', marks)
  warm_hosts[r.campaign] = nil
  if trigger(C, now, GRACE) then
    woken[#woken + 1] = r.campaign
  end
end

local function grant(id, r, found)
  local token = max(floor(now * 1e6), tonumber(call('GET', P .. 'token') or 0) + 1)
  local text = format('%.0f', token)
  call('SET', P .. 'token', text)
  local hosts, grants, fields = {}, {}, {}
  for host, guid in pairs(found) do
    local lease = { run = r.run, request = id, guid = guid, token = text, since = stamp() }
    leased[host], hosts[guid] = true, host
    grants[#grants + 1] = { guid, host, text }
    fields[#fields + 1] = host
    fields[#fields + 1] = cjson.encode(lease)
  end
  call_with('HSET', P .. 'leases', fields)
  age = age + 1
  r.state, r.granted, r.hosts, r.wants = 'granted', stamp(), hosts, nil
  unqueue(id)
  save(id)
  if r.campaign then
    r.taken = 1
    tell(r, grants)
  else
    call('SADD', P .. 'untold', id)
  end
end

-- Count that a request was granted hosts that the next one of lower priority could use. One that was
-- overtaken often enough goes to the front, also in `line`, whose requests from `place` on are still to
-- be looked at.
local function pass(line, place, r, found)
  for i = place, #line do
    local id = line[i]
    local o = requests[id]
    if is_below(o, r) and concerns(o, found) then
      o.overtaken = o.overtaken + 1
      save(id)
      if o.overtaken == MOST_OVERTAKEN then
        table.remove(line, i)
        table.insert(line, place, id)
        unqueue(id)
        local front = 1
        while queue[front] and requests[queue[front]].overtaken >= MOST_OVERTAKEN do
          front = front + 1
        end
        insert(id, front)
      end
      return
    end
  end
end

-- Grant what can be granted, in the order of the queue. A request that does not get all of its hosts
-- lets later ones overtake it, a bounded number of times and for a bounded time; from then on the
-- free hosts that it can use are kept for it.
local decided = false

local function decide()
  if decided then
    return
  end
  decided = true
  local ahead, line, place = {}, {}, 1
  for i, id in ipairs(queue) do
    line[i] = id
  end
  while line[place] do
    local id = line[place]
    local r = requests[id]
    place = place + 1
    local found = match(r, true)
    if found and r.campaign and not is_placing(r) then
      forget(id) -- The campaign was removed.
    elseif found then
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
      pass(line, place, r, found)
    else
      ahead[#ahead + 1] = id
      if r.overtaken >= MOST_OVERTAKEN or now - r.since >= PATIENCE then
        withhold(r)
      end
    end
  end
end

-- Decide, write and answer: the status, the runs and steps or campaigns to wake, and more that is JSON.
local function reply(status, more)
  decide()
  write_requests()
  if unused then
    drop_lists()
  end
  local wakes = {}
  for _, id in ipairs(call('SMEMBERS', P .. 'untold')) do
    local r = request(id)
    wakes[#wakes + 1] = { r.run, r.step }
  end
  for _, name in ipairs(woken) do
    wakes[#wakes + 1] = { '', '', name }
  end
  return '[' .. cjson.encode(status) .. ',' .. list(wakes) .. (more and ',' .. more() or '') .. ']'
end
