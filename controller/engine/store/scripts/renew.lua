-- worker, lease, (step, token)... -> status, per pair ok, lost or cancel
if not alive then
  return GONE
end
tick()
local ring, ids, answers, rings = stamp(now + ARGV[2]), {}, { 'OK' }, {}
for i = 3, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
end
load('step', ids)
for i = 3, #ARGV, 2 do
  local s, answer = step(ARGV[i]), 'lost'
  if s.status == 'claimed' and s.token == ARGV[i + 1] then
    rings[#rings + 1] = ring
    rings[#rings + 1] = s._id
    answer = s.cancel and 'cancel' or 'ok'
  end
  answers[#answers + 1] = answer
end
call_with('ZADD', P .. 'alarm', rings)
write_records()
return cjson.encode(answers)
