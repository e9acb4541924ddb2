-- most overtaken, patience, runs that are over... -> status, wakes, runs that have requests
local over = {}
for i = 3, #ARGV do
  over[ARGV[i]] = true
end
for id, r in pairs(requests) do
  if over[r.run] then
    give_back(id, '')
    unqueue(id)
    save(id)
    requests[id] = nil
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
