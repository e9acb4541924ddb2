"""Detection of lost Redis data, and records of hosts on which lost runs left something.

The first worker that finds no name for the data set generates one. If the name differs from an
earlier one, Redis was emptied or restarted without its file.
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
class HostRemains:
    """Remains that a lost run may have on a host.

    Attributes:
        run_id: the run.
        host: the host in the form of ``nepiq clean``.
        machine: the worker machine that reaches it.
        why: the reason why they have not been removed.
    """

    run_id: str
    host: str
    machine: str
    why: str


def dataset(redis: Redis) -> str:
    """Return the name of the data set that Redis holds."""
    client: Any = redis
    name = client.get(keys.DATASET)
    if name is None:
        redis_memory.execute(redis, [("SET", keys.DATASET, secrets.token_hex(8), "NX")])
        name = client.get(keys.DATASET)
    return str(name.decode()) if name else ""


def add(redis: Redis, item: HostRemains) -> None:
    """Record that a lost run may have left something on a host."""
    text = json.dumps({"machine": item.machine, "why": item.why})
    redis_memory.execute(redis, [("HSET", keys.LOST, f"{item.run_id} {item.host}", text)])


def remove(redis: Redis, run_id: str, host: str) -> None:
    """Remove the record of a host on which nothing of a run remains."""
    redis.hdel(keys.LOST, f"{run_id} {host}")


def remains(redis: Redis) -> list[HostRemains]:
    """Return the recorded hosts, by run and host."""
    client: Any = redis
    fields: dict[bytes, bytes] = client.hgetall(keys.LOST)
    items = []
    for name, text in sorted(fields.items()):
        run_id, _, host = name.decode().partition(" ")
        record = json.loads(text)
        items.append(HostRemains(run_id, host, record["machine"], record["why"]))
    return items
