-- limits..., id, run, step, then for each want its guids and its hosts -> status, wakes, seconds that it
-- waits or waited, grants
local id, run, step = unpack(ARGV, 4)
local r = request(id)
if r and r.state == 'closed' then
  return '["CLOSED",[],0,[]]'
end
if not r then
  r = { run = run, step = step }
  enter(id, r)
end
if r.state == 'waiting' then
  r.wants, unused = {}, true
  for i = 7, #ARGV, 2 do
    r.wants[#r.wants + 1] = { guids = cjson.decode(ARGV[i]), list = keep_list(ARGV[i + 1]) }
  end
  save(id)
end
decide()
if r.state == 'granted' and not r.taken then
  r.taken = 1
  call('SREM', P .. 'untold', id)
  save(id)
end
return reply(r.state == 'granted' and 'OK' or 'WAITING', function()
  local grants = {}
  for _, host in pairs(r.hosts or {}) do
    local text = call('HGET', P .. 'leases', host)
    local lease = text and cjson.decode(text) or {}
    if lease.request == id then
      grants[#grants + 1] = { lease.guid, host, lease.token }
    end
  end
  return format('%.6f', (r.granted or now) - r.since) .. ',' .. list(grants)
end)
