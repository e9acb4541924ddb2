-- grace, broker, verb, arguments... -> status, whether to dispatch
local grace, broker, verb = tonumber(ARGV[1]), ARGV[2], ARGV[3]
if not state.phase then
  return GONE
end
local phase = state.phase
local ended = phase == 'finished' or phase == 'stopped' or phase == 'cancelled'

local verbs = {}

function verbs.pause()
  if phase == 'running' then
    enter('paused')
  end
end

function verbs.stop()
  if phase == 'running' or phase == 'paused' then
    enter('stopped')
  end
end

function verbs.cancel()
  if not (ended and is_at_rest()) and phase ~= 'cancelling' then
    enter('cancelling')
  end
end

function verbs.resume()
  if phase ~= 'running' and phase ~= 'finished' then
    enter('running')
    assign('held', '')
    -- Those that failed so far are not counted again.
    if state.max_failures ~= '' and number('failed') >= number('max_failures') then
      assign('max_failures', number('failed') + number('most_failures'))
    end
  end
end

-- Begin failed runs again: all, or those of a cause. Their rows go.
function verbs.retry()
  local cause, n = ARGV[4], 0
  local failed = call('HGETALL', C .. 'failed')
  for i = 1, #failed, 2 do
    local slot, id, _, outcome, why = failed[i], match(failed[i + 1], '^(.-)|(.-)|(.-)|(.*)$')
    if cause == '' or why == cause then
      call('XDEL', C .. 'history', id)
      call('HDEL', C .. 'failed', slot)
      call('RPUSH', C .. 'again', slot .. '|1')
      count(outcome, -1)
      n = n + 1
    end
  end
  if n > 0 and phase == 'finished' then
    enter('running')
  end
  return n
end

function verbs.set()
  for i = 4, #ARGV, 2 do
    assign(ARGV[i], ARGV[i + 1])
  end
end

local n = verbs[verb]() or 0
activate(broker)
return cjson.encode({ 'OK', trigger(C, now, grace) and 1 or 0, n })
