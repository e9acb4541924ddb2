-- most overtaken, patience, id, run, guid -> status, wakes
-- Without a guid the request is closed: a late attempt cannot make it again while its run lives.
local id, run, guid = unpack(ARGV, 3)
give_back(id, guid)
if guid == '' then
  unqueue(id)
  requests[id] = { run = run, state = 'closed' }
  save(id)
end
return reply('OK')
