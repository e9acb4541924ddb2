-- limits..., id, run, guid -> status, wakes
-- Without a guid the request is closed: a late attempt cannot make it again while its run lives.
local id, run, guid = unpack(ARGV, 4)
if guid == '' then
  close(id, run)
else
  give_back(id, guid)
end
return reply('OK')
