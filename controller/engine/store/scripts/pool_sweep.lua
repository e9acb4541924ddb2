-- most overtaken, patience, number of runs that are over, these, runs that start nothing any more...
-- -> status, wakes, runs that have requests
local over, halted = {}, {}
for i = 4, #ARGV do
  (i < 4 + ARGV[3] and over or halted)[ARGV[i]] = true
end
for id, r in pairs(requests) do
  local unused = r.state == 'waiting' or (r.state == 'granted' and not r.taken)
  if over[r.run] or (halted[r.run] and unused) then
    give_back(id, '')
    unqueue(id)
    save(id)
    requests[id] = not over[r.run] and { run = r.run, state = 'closed' } or nil
  end
end
return reply('OK', function()
  local runs, known = {}, {}
  for _, r in pairs(requests) do
    if not known[r.run] then
      known[r.run] = true
      runs[#runs + 1] = r.run
    end
  end
  return list(runs)
end)
