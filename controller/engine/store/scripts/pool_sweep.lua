-- limits..., number of runs that are over, these, runs that start nothing any more... -> status, wakes,
-- runs that have requests, without those that campaigns have not begun yet
local over, halted = {}, {}
for i = 5, #ARGV do
  (i < 5 + ARGV[4] and over or halted)[ARGV[i]] = true
end
local runs, known, flat = {}, {}, call('HGETALL', P .. 'requests')
for i = 1, #flat, 2 do
  local id, r = flat[i], requests[flat[i]] or cjson.decode(flat[i + 1])
  requests[id] = r
  local unused_yet = r.state == 'waiting' or (r.state == 'granted' and not r.taken)
  if r.campaign and is_placing(r) then
    -- The campaign looks after it.
  elseif over[r.run] then
    forget(id)
  else
    if halted[r.run] and unused_yet then
      close(id, r.run)
    end
    if not known[r.run] then
      known[r.run] = true
      runs[#runs + 1] = r.run
    end
  end
end
return reply('OK', function()
  return list(runs)
end)
