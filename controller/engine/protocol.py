"""Version of the engine's protocol, which all processes that share a state must use.

It is separate from nepiq's version: most versions change neither records nor messages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from redis import Redis

from .. import errors
from . import redis_memory
from .membership import ALIVE
from .store import keys

PROTOCOL = 4
"""To be increased with each incompatible change of records, scripts or messages."""


# KEYS: protocol, workers, heartbeats, active runs. ARGV: protocol of this process, seconds within
# which a heartbeat counts, name of a worker that joins (or empty), its info. Returns the protocol
# in use, the number of active runs, and the workers with another protocol. One script, so that of
# several processes that join at once each sees the earlier ones. A full Redis does not refuse it,
# since the process may be about to free memory.
_AGREE = (
    redis_memory.UNREFUSED
    + """
local mine, now = tonumber(ARGV[1]), redis.call('TIME')
now = now[1] + now[2] / 1e6
local used = tonumber(redis.call('GET', KEYS[1]) or mine)
local others, active = {}, redis.call('SCARD', KEYS[4])
if used ~= mine then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], now - ARGV[2], '+inf')) do
    local info = redis.call('HGET', KEYS[2], name)
    if info and cjson.decode(info).protocol ~= mine then
      others[#others + 1] = name
    end
  end
  if #others > 0 or active > 0 then
    return { used, active, others }
  end
end
if used ~= mine or redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('SET', KEYS[1], mine)
end
if ARGV[3] ~= '' then
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
  redis.call('ZADD', KEYS[3], now, ARGV[3])
end
return { mine, active, others }
"""
)


def agree(
    redis: Redis, broker: str, worker: str = "", info: Mapping[str, Any] | None = None
) -> None:
    """Check that this process uses the same protocol version as the others on a broker.

    The first process sets the version. It may be set anew once no run is active and no worker
    with another version is alive.

    Args:
        redis: client of the state.
        broker: the broker's name.
        worker: name of the joining worker, which counts as alive from now on; empty for a client.
        info: the worker's record.

    Raises:
        ProtocolMismatch: another version is in use; the message names its users.
    """
    names = (keys.protocol(broker), keys.WORKERS, keys.BEATS, keys.active(broker))
    record = json.dumps({**(info or {}), "protocol": PROTOCOL})
    reply: Any = redis.eval(_AGREE, len(names), *names, PROTOCOL, ALIVE, worker, record)
    used, active, others = reply
    if used != PROTOCOL:
        workers = [name.decode() for name in others]
        raise errors.ProtocolMismatch(_problem(used, workers, active), hint=_hint(used, workers))


def _problem(used: int, others: list[str], active: int) -> str:
    if others:
        by = f"the workers ({', '.join(others[:3])})"
    else:
        by = f"{active} active run{'s' if active != 1 else ''}"
    return f"this nepiq speaks protocol {PROTOCOL} of the engine, {by} protocol {used}"


def _hint(used: int, others: list[str]) -> str:
    if used > PROTOCOL:
        return "upgrade nepiq on this machine"
    after = "then drain the old workers (nepiq drain NAME)" if others else "then try again"
    return f"release the active runs with the old version, {after}"
