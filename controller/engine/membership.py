"""The workers that are there, as they tell by their signs of life."""

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
"""Seconds since its last sign of life within which a worker counts as alive."""


@dataclass(frozen=True)
class WorkerInfo:
    """What a worker says of itself.

    Attributes:
        name: its Celery node name.
        machine: the worker machine it runs on.
        queues: what it serves.
        pid: its process id there.
        version: its nepiq version.
        protocol: the version of the engine's protocol that it speaks.
        ahead: seconds by which its clock is ahead of that of Redis.
        running: steps that it carries out.
        draining: it takes no new steps, since it is about to end.
        paused: it takes no new steps, since its clock is too far from that of Redis.
        seen: seconds since its last sign of life.
        slots: steps that it carries out at once, at most; 0 if it did not say.
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
        """True if it gave a sign of life lately."""
        return self.seen < ALIVE

    @property
    def serving(self) -> bool:
        """True if it is alive and takes steps."""
        return self.alive and not self.draining and not self.paused


def workers(redis: Redis) -> list[WorkerInfo]:
    """All workers that have not said farewell, by name."""
    pipe = redis.pipeline(transaction=False)
    pipe.hgetall(keys.WORKERS)
    pipe.zrange(keys.BEATS, 0, -1, withscores=True)
    pipe.time()
    answers: list[Any] = pipe.execute()
    records, beats, (seconds, micros) = answers[0], dict(answers[1]), answers[2]
    now = seconds + micros / 1e6
    found = []
    for name, text in sorted(records.items()):
        if name in beats:
            told = json.loads(text)
            found.append(
                WorkerInfo(
                    name.decode(),
                    told["machine"],
                    tuple(told["queues"]),
                    told["pid"],
                    told["version"],
                    max(0.0, now - beats[name]),
                    told.get("protocol", 0),
                    told.get("ahead", 0.0),
                    told.get("running", 0),
                    told.get("draining", False),
                    told.get("paused", False),
                    told.get("slots", 0),
                )
            )
    return found


def served(redis: Redis) -> set[str]:
    """The queues that live workers serve."""
    return {queue for worker in workers(redis) if worker.serving for queue in worker.queues}


def forget(redis: Redis, names: Iterable[str]) -> None:
    """Remove workers from the records: they have said farewell, or will not come back."""
    pipe = redis.pipeline(transaction=False)
    for name in names:
        pipe.hdel(keys.WORKERS, name)
        pipe.hdel(keys.DRAIN, name)
        pipe.zrem(keys.BEATS, name)
    pipe.execute()


def drain(redis: Redis, names: Iterable[str], seconds: float) -> None:
    """Ask workers to take no new steps, to finish what they carry out, and to end.

    Args:
        redis: client of the state.
        names: of the workers.
        seconds: what their running steps are given before others take them over.
    """
    redis_memory.execute(redis, [("HSET", keys.DRAIN, name, f"{seconds:g}") for name in names])


def require(redis: Redis, names: Iterable[str], seconds: float) -> None:
    """Return when each queue is served by a live worker.

    Raises:
        NoWorker: one is not within ``seconds``.
    """
    end = time.monotonic() + seconds
    wanted = set(names)
    while missing := wanted - served(redis):
        if time.monotonic() > end:
            raise _no_worker(sorted(missing), seconds)
        # Workers announce themselves by a key of their own, which gives no event.
        time.sleep(0.1)


def _no_worker(missing: Sequence[str], seconds: float) -> errors.NoWorker:
    queue = missing[0]
    site = queues.site_of(queue)
    what = f"site {site!r}" if site else "it"
    command = f"nepiq worker --site {site}" if site else "nepiq worker"
    return errors.NoWorker(
        f"no worker serves {what} (queue {queue})"
        + (f", waited {seconds:.3g} s" if seconds else ""),
        hint=f"start one: {command}",
    )
