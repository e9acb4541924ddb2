-- The deletion of a run's records.

local OWNED = {
  'attr', 'cond', 'users', 'out', 'busy', 'line', 'wait:DISCOVERED', 'wait:RESERVED',
  'wait:PROVISIONED', 'wait:READY', 'wait:STARTED', 'wait:STOPPED', 'wait:FINISHED',
  'wait:FAILED', 'wait:RELEASED',
}

-- Delete the records of so many resources, and at last the rest; return whether all is deleted.
local function expire(limit)
  local keys = {}
  for _, guid in ipairs(call('LPOP', P .. 'rms', limit) or {}) do
    for _, kind in ipairs(OWNED) do
      local head, tail = match(kind, '^(%l+)(.*)$')
      keys[#keys + 1] = P .. head .. ':' .. guid .. tail
    end
  end
  for at = 1, #keys, 4000 do
    call('UNLINK', unpack(keys, at, min(at + 3999, #keys)))
  end
  if call('EXISTS', P .. 'rms') == 1 then
    return false
  end
  keys = {}
  for _, id in ipairs(call('HKEYS', P .. 'order')) do
    keys[#keys + 1] = P .. 'list:' .. id
  end
  for _, id in ipairs(call('HKEYS', P .. 'group')) do
    keys[#keys + 1] = P .. 'wait:@' .. id
  end
  for kind in gmatch('rms rm step group order request journal todo alarm watch ev meta', '%l+') do
    keys[#keys + 1] = P .. kind
  end
  for at = 1, #keys, 4000 do
    call('UNLINK', unpack(keys, at, min(at + 3999, #keys)))
  end
  return true
end
