"""The version of the engine's protocol, which all who share a state must speak.

It is a number of its own: most versions of nepiq change neither the records nor the messages.
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

PROTOCOL = 1
"""Raised by whoever changes records, scripts or messages so that others misread them."""


# protocol, workers, signs of life, active runs; our protocol, seconds that count as alive, name of
# a worker that joins (or empty), what it says of itself -> protocol in use, active runs, workers
# that speak another one. In one go, so that of several that come at once the first is seen. A full
# Redis does not refuse it: whoever asks may want to free something.
_AGREE = (
    redis_memory.UNREFUSED
    + """
local mine, now = tonumber(ARGV[1]), redis.call('TIME')
now = now[1] + now[2] / 1e6
local used = tonumber(redis.call('GET', KEYS[1]) or mine)
local others, active = {}, redis.call('SCARD', KEYS[4])
if used ~= mine then
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], now - ARGV[2], '+inf')) do
    local told = redis.call('HGET', KEYS[2], name)
    if told and cjson.decode(told).protocol ~= mine then
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
    redis: Redis, broker: str, worker: str = "", told: Mapping[str, Any] | None = None
) -> None:
    """Return if this process speaks the protocol that is in use on a broker.

    The first one settles it. It is settled anew once no worker that speaks another one is alive
    and no run is active.

    Args:
        redis: client of the state.
        broker: the broker's name.
        worker: the worker that joins, which counts as alive from now on; empty for a client.
        told: what it says of itself.

    Raises:
        ProtocolMismatch: another one is in use; says by whom.
    """
    names = (keys.protocol(broker), keys.WORKERS, keys.BEATS, keys.active(broker))
    ours = {**(told or {}), "protocol": PROTOCOL}
    answer: Any = redis.eval(_AGREE, len(names), *names, PROTOCOL, ALIVE, worker, json.dumps(ours))
    used, active, others = answer
    if used != PROTOCOL:
        who = [name.decode() for name in others]
        raise errors.ProtocolMismatch(_who(used, who, active), hint=_advice(used, who))


def _who(used: int, others: list[str], active: int) -> str:
    if others:
        by = f"the workers ({', '.join(others[:3])})"
    else:
        by = f"{active} active run{'s' if active != 1 else ''}"
    return f"this nepiq speaks protocol {PROTOCOL} of the engine, {by} protocol {used}"


def _advice(used: int, others: list[str]) -> str:
    if used > PROTOCOL:
        return "upgrade nepiq on this machine"
    after = "then drain the old workers (nepiq drain NAME)" if others else "then try again"
    return f"release the active runs with the old version, {after}"
