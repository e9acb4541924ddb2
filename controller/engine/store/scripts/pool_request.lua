-- most overtaken, patience, id, run, step, wants -> status, wakes, seconds that it waits or waited, grants
local id, run, step, wants = unpack(ARGV, 3)
local r = requests[id]
if r and r.state == 'closed' then
  return '["CLOSED",[],0,[]]'
end
if not r then
  r = { run = run, step = step, state = 'waiting', since = stamp(), overtaken = 0 }
  requests[id] = r
  call('RPUSH', P .. 'queue', id)
  queue[#queue + 1] = id
end
if r.state == 'waiting' then
  r.wants = cjson.decode(wants)
  save(id)
end
decide()
if r.state == 'granted' and not r.taken then
  r.taken = 1
  save(id)
end
return reply(r.state == 'granted' and 'OK' or 'WAITING', function()
  local grants = {}
  for host, lease in pairs(leases) do
    if lease.request == id then
      grants[#grants + 1] = { lease.guid, host, lease.token }
    end
  end
  return format('%.6f', (r.granted or now) - r.since) .. ',' .. list(grants)
end)
