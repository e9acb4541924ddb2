"""Membership of workers, by their heartbeats in Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from .. import errors
from . import redis_memory
from .messaging import queues
from .store import keys

ALIVE = 10.0
"""Seconds since its last heartbeat within which a worker counts as alive."""


@dataclass(frozen=True)
class WorkerInfo:
    """The record of a worker, from its last heartbeat.

    Attributes:
        name: its Celery node name.
        machine: the worker machine on which it runs.
        queues: names of the queues that it serves.
        pid: its process id there.
        version: its nepiq version.
        protocol: its version of the engine's protocol.
        ahead: seconds by which its clock is ahead of that of Redis.
        running: number of steps that it executes.
        draining: True if it takes no new steps because it is about to end.
        paused: True if it takes no new steps because its clock is too far from that of Redis.
        seen: seconds since its last heartbeat.
        slots: the largest number of steps that it executes in parallel; 0 if not recorded.
    """

    name: str
    machine: str
    queues: tuple[str, ...]
    pid: int
    version: str
    seen: float
    protocol: int = 0
    ahead: float = 0.0
    running: int = 0
    draining: bool = False
    paused: bool = False
    slots: int = 0

    @property
    def alive(self) -> bool:
        """True if it sent a heartbeat within :data:`ALIVE` seconds."""
        return self.seen < ALIVE

    @property
    def serving(self) -> bool:
        """True if it is alive and takes new steps."""
        return self.alive and not self.draining and not self.paused


def workers(redis: Redis) -> list[WorkerInfo]:
    """Return all registered workers, by name."""
    pipe = redis.pipeline(transaction=False)
    pipe.hgetall(keys.WORKERS)
    pipe.zrange(keys.BEATS, 0, -1, withscores=True)
    pipe.time()
    replies: list[Any] = pipe.execute()
    records, heartbeats, (seconds, micros) = replies[0], dict(replies[1]), replies[2]
    now = seconds + micros / 1e6
    infos = []
    for name, text in sorted(records.items()):
        if name in heartbeats:
            record = json.loads(text)
            infos.append(
                WorkerInfo(
                    name.decode(),
                    record["machine"],
                    tuple(record["queues"]),
                    record["pid"],
                    record["version"],
                    max(0.0, now - heartbeats[name]),
                    record.get("protocol", 0),
                    record.get("ahead", 0.0),
                    record.get("running", 0),
                    record.get("draining", False),
                    record.get("paused", False),
                    record.get("slots", 0),
                )
            )
    return infos


def served(redis: Redis) -> set[str]:
    """Return the queues that live workers serve."""
    return {queue for worker in workers(redis) if worker.serving for queue in worker.queues}


def forget(redis: Redis, names: Iterable[str]) -> None:
    """Remove the records of workers that have ended or will not come back."""
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.hdel(keys.WORKERS, name)
        pipe.hdel(keys.DRAIN, name)
        pipe.zrem(keys.BEATS, name)
    pipe.execute()


def drain(redis: Redis, names: Iterable[str], seconds: float) -> None:
    """Request workers to take no new steps, to finish the running ones, and to end.

    Args:
        redis: client of the state.
        names: of the workers.
        seconds: time that running steps may take to finish; then other workers retry them.
    """
    redis_memory.execute(redis, [("HSET", keys.DRAIN, name, f"{seconds:g}") for name in names])


def require(redis: Redis, names: Iterable[str], seconds: float) -> None:
    """Wait until each queue is served by a live worker.

    Raises:
        NoWorker: one is not served within ``seconds``.
    """
    end = time.monotonic() + seconds
    required = set(names)
    while missing := required - served(redis):
        if time.monotonic() > end:
            raise _no_worker(sorted(missing), seconds)
        # Workers register in a hash of Redis, which gives no event.
        time.sleep(0.1)


def _no_worker(missing: Sequence[str], seconds: float) -> errors.NoWorker:
    queue = missing[0]
    site = queues.site_of(queue)
    place = f"site {site!r} (queue {queue})" if site else f"queue {queue}"
    command = f"nepiq worker --site {site}" if site else "nepiq worker"
    return errors.NoWorker(
        f"no worker serves {place}" + (f", waited {seconds:.3g} s" if seconds else ""),
        hint=f"start one: {command}",
    )
