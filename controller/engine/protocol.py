"""The version of the engine's protocol, which all who share a state must speak.

It is a number of its own: most versions of nepiq change neither the records nor the messages.
"""

from __future__ import annotations

from typing import Any

from redis import Redis

from .. import errors
from .presence import workers
from .store import keys

PROTOCOL = 1
"""Raised by whoever changes records, scripts or messages so that others misread them."""


def agree(redis: Redis, broker: str) -> None:
    """Return if this process speaks the protocol that is in use on a broker.

    The first one settles it. It is settled anew once no worker that speaks another one is alive
    and no run is active.

    Args:
        redis: client of the state.
        broker: the broker's name.

    Raises:
        ProtocolMismatch: another one is in use; says by whom.
    """
    key = keys.protocol(broker)
    # A Redis that is full must be asked without a write.
    found: Any = redis.get(key)
    if found is None:
        pipe = redis.pipeline(transaction=False)
        pipe.setnx(key, PROTOCOL)
        pipe.get(key)
        found = pipe.execute()[1]
    used = int(found or PROTOCOL)
    if used == PROTOCOL:
        return
    others = [info.name for info in workers(redis) if info.alive and info.protocol != PROTOCOL]
    active: Any = redis.scard(keys.active(broker))
    if not others and not active:
        redis.set(key, PROTOCOL)
        return
    raise errors.ProtocolMismatch(_who(used, others, active), hint=_advice(used, others))


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
