"""Redis that has lost its data: which data set it holds, and where lost runs left something.

A data set has a name, made by the first worker that finds none: where the name is another one
than before, Redis was emptied, or came back without its file.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import Any

from redis import Redis

from . import redis_memory
from .store import keys


@dataclass(frozen=True)
class Left:
    """What a run, whose data Redis has lost, may have left on a host.

    Attributes:
        run_id: the run.
        host: the host as ``nepiq clean`` takes it.
        machine: the worker machine that reaches it.
        why: why it has not been removed.
    """

    run_id: str
    host: str
    machine: str
    why: str


def dataset(redis: Redis) -> str:
    """The name of the data set that Redis holds."""
    client: Any = redis
    found = client.get(keys.DATASET)
    if found is None:
        redis_memory.execute(redis, [("SET", keys.DATASET, secrets.token_hex(8), "NX")])
        found = client.get(keys.DATASET)
    return str(found.decode()) if found else ""


def note(redis: Redis, left: Left) -> None:
    """Tell everybody that something may be left on a host."""
    told = {"machine": left.machine, "why": left.why}
    redis_memory.execute(
        redis, [("HSET", keys.LOST, f"{left.run_id} {left.host}", json.dumps(told))]
    )


def strike(redis: Redis, run_id: str, host: str) -> None:
    """Nothing of a run is left on a host any more."""
    redis.hdel(keys.LOST, f"{run_id} {host}")


def left(redis: Redis) -> list[Left]:
    """Where runs whose data Redis has lost may have left something, by run and host."""
    client: Any = redis
    found: dict[bytes, bytes] = client.hgetall(keys.LOST)
    made = []
    for name, text in sorted(found.items()):
        run_id, _, host = name.decode().partition(" ")
        told = json.loads(text)
        made.append(Left(run_id, host, told["machine"], told["why"]))
    return made
